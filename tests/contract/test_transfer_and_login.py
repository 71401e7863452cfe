"""A transfer and a login of the card that gives: whoever is second decides on what the first has left."""

import threading

import pytest

from freeradius_module import settings, store
from freeradius_module.engine.engine import Engine


@pytest.fixture
def engine(database, _unstarted_stack):
    return Engine(settings.load(str(_unstarted_stack.option_file)))


def log_in(engine, card):
    return engine.admit(
        {"User-Name": card.serial, "Calling-Station-Id": "02-00-00-00-00-01", "Tmp-String-0": "127.0.0.1"}
    )


def _once_before(statement, act):
    acts = [act]

    def run(*arguments):
        if acts:
            acts.pop()()
        return statement(*arguments)

    return run


@pytest.mark.parametrize("is_first_login", [True, False])
def test_a_login_decided_on_the_old_balance_does_not_win(office, shop, engine, monkeypatch, is_first_login):
    source, target = shop.sell(2)
    if not is_first_login:
        shop.set_status(source, "in_use")
    # The transfer comes between the login's decision and its first write.
    for name in ("reserve", "reserve_with_changes"):
        monkeypatch.setattr(
            store.logins,
            name,
            _once_before(
                getattr(store.logins, name),
                lambda: office.must("transfer", source.serial, target.serial, "--reason", "Torn"),
            ),
        )
    answer = log_in(engine, source)
    assert (answer.is_accepted, answer.reason) == (False, "exhausted")
    assert shop.balance(target)["remaining_seconds"] == 1200
    assert shop.sessions(source) == []
    assert [row["what"] for row in office.track(source) if row["what"] in ("login", "session")] == []


def test_a_login_that_was_quicker_keeps_the_card(office, shop, engine):
    source, target = shop.sell(2)
    assert log_in(engine, source).is_accepted
    assert office.run("transfer", source.serial, target.serial, "--reason", "Torn").exit_status == 1
    assert shop.balance(target)["remaining_seconds"] == 600


def test_at_the_same_time_one_of_them_wins(office, shop, engine):
    """Twenty races: the credit is on one card, and never granted on the other."""
    outcomes = set()
    for _ in range(20):
        source, target = shop.sell(2)
        start, answers = threading.Barrier(2), []

        def run(source=source, start=start, answers=answers):
            start.wait()
            answers.append(log_in(engine, source))

        thread = threading.Thread(target=run)
        thread.start()
        start.wait()
        moved = office.run("transfer", source.serial, target.serial, "--reason", "Torn").exit_status == 0
        thread.join()
        assert answers[0].is_accepted != moved
        assert shop.balance(target)["remaining_seconds"] == (1200 if moved else 600)
        outcomes.add(moved)
    assert outcomes  # Which of them wins is chance.
