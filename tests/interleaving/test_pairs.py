"""Each pair of acts on a card, statement by statement in every order: the result equals that of a serial order."""

import itertools

import pytest

from tests.interleaving.acts import ACTS
from tests.interleaving.trial import IS_SHORT, Trial, told

# Accounting of a card in stock that is deleted meanwhile: charged, and logged as unknown_card. Nobody had the card.
NOT_MEANT = {(act, "delete", "created") for act in ("start", "interim", "exhaust", "stop", "late_interim", "late_stop")}
# A login is decided while a session is open, and an Accounting-On ends that session before the login is written: the login
# gets its share as if that session continued, never more.
NOT_MEANT.add(("other_login", "nas_on", "on"))


def pairs():
    """Each pair, also of an act with itself, in the first state of the act that needs the rarer state; in both with
    INTERLEAVINGS=all."""
    for one, other in itertools.combinations_with_replacement(ACTS, 2):
        states = dict.fromkeys((ACTS[other].states[0], ACTS[one].states[0]))
        for state in list(states)[:1] if IS_SHORT else states:
            if (one, other, state) not in NOT_MEANT:
                yield one, other, state


# Acts with several states are tried with these others in each state.
MORE = [
    ("login", "block", "on"),
    ("login", "block", "single"),
    ("login", "exhaust", "both"),
    ("login", "credit", "on"),
    ("login", "stop", "single"),
    ("login", "interim", "single"),
    ("login", "nas_on", "single"),
    ("login", "shorten", "on"),
    ("login", "login", "single"),
    ("login", "login", "reserved"),
    ("other_login", "exhaust", "on"),
    ("login", "exhaust", "on"),
    ("other_login", "other_login", "in_use"),
    ("login", "other_login", "in_use"),
    ("interim", "late_interim", "taken_over"),
    ("first_login", "transfer", "delivered"),
    ("first_login", "block", "delivered"),
    ("block", "return", "delivered"),
    ("enforce", "interim", "disconnected"),
    ("enforce", "stop", "disconnected"),
    ("enforce", "enforce", "disconnected"),
    ("enforce", "unblock", "disconnected"),
    ("enforce", "interim", "revived"),
    ("enforce", "login", "blocked"),
    ("credit", "exhaust", "on"),
    ("block", "exhaust", "on"),
    ("transfer", "block", "delivered"),
    ("edit", "login", "on"),
    ("edit", "expire", "overdue"),
    ("shorten", "edit", "on"),
    ("block", "interim", "on"),
    ("block", "stop", "on"),
    ("block", "nas_on", "on"),
    ("block", "block", "delivered"),
]


@pytest.mark.parametrize("acts", dict.fromkeys([*pairs(), *MORE]), ids="-".join)
def test_pair(world, acts, request):
    *names, state = acts
    trial = Trial(world, tuple(names), state)
    wanted = request.config.getoption("--schedule", default=None)
    if wanted:
        if not wanted.startswith(trial.name + "-"):
            pytest.skip("another schedule is wanted")
        failures = [failure for failure in [trial.replay(wanted.removeprefix(trial.name + "-"))] if failure.faults]
    else:
        failures = trial.failures()
        world.count(request, pairs=1, **trial.counts)
    assert not failures, f"{len(failures)} schedules failed, first\n{told(failures[0])}\nand\n" + "\n".join(
        f"{failure.schedule}: {failure.faults}" for failure in failures[1:40]
    )
