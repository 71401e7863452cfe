"""Login, accounting and block of one card at the same time, statement by statement."""

import pytest

from tests.interleaving.trial import Trial, told

TRIPLES = [
    (login, accounting, block, state)
    for login, state in (("login", "on"), ("login", "single"), ("other_login", "on"), ("first_login", "delivered"))
    for accounting in ("interim", "stop", "exhaust", "nas_on")
    for block in ("block",)
] + [
    ("login", "block", "unblock", "in_use"),
    ("login", "block", "enforce", "on"),
    ("first_login", "block", "return", "delivered"),
    ("login", "login", "other_login", "in_use"),
    ("interim", "exhaust", "credit", "on"),
    ("login", "stop", "archive", "on"),
    ("first_login", "first_login", "transfer", "delivered"),
    ("late_stop", "late_stop", "archive", "old"),
]


@pytest.mark.parametrize("acts", TRIPLES, ids="-".join)
def test_triple(world, acts, request):
    *names, state = acts
    trial = Trial(world, tuple(names), state)
    wanted = request.config.getoption("--schedule", default=None)
    if wanted:
        if not wanted.startswith(trial.name + "-"):
            pytest.skip("another schedule is wanted")
        failures = [failure for failure in [trial.replay(wanted.removeprefix(trial.name + "-"))] if failure.faults]
    else:
        failures = trial.failures()
        world.count(request, triples=1, **trial.counts)
    assert not failures, f"{len(failures)} schedules failed, first\n{told(failures[0])}\nand\n" + "\n".join(
        f"{failure.schedule}: {failure.faults}" for failure in failures[1:40]
    )
