"""Requests that wait at the same time share statements: only a request whose card is locked waits."""

import pytest

from freeradius_module.connection import RowLocked
from freeradius_module.engine.accounting import Packet
from freeradius_module.engine.logins import AUTHORIZE
from tests.engine_callers import LAPTOP, report, request

LOCKERS = {
    "delivered": "UPDATE card SET delivery_note_id = NULL, expires_at = expires_at WHERE id = %s",
    "read for a change": "SELECT id FROM card WHERE id = %s FOR UPDATE",
}


@pytest.fixture
def locked(world):
    """Locks a card's row in a transaction that ends after the test."""
    connection = world.connect_owner()

    def lock(case, statement):
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(statement, [case.card.id])

    yield lock
    connection.rollback()
    connection.close()


def ask(engine, case):
    return engine.login_request(AUTHORIZE, request(case.card, LAPTOP, case.nas) | {"User-Password": case.card.pin})


@pytest.mark.parametrize("statement", LOCKERS.values(), ids=LOCKERS)
@pytest.mark.parametrize(
    "states",
    [
        ("in_use", "in_use"),
        ("delivered", "in_use"),
        ("in_use", "delivered"),
        ("delivered", "delivered"),
        ("single", "in_use"),
    ],
    ids=" ".join,
)
def test_a_login_goes_on_beside_one_whose_card_is_locked(world, locked, states, statement):
    engine = world.sides["A"].engine
    waiting, going = map(world.case, states)
    try:
        locked(waiting, statement)
        answers = engine.logins.submit_all([ask(engine, waiting), ask(engine, going)])
        # They returned while the row was still locked.
        assert answers[1].answer.is_accepted
        assert isinstance(answers[0], RowLocked) or not answers[0].answer.is_accepted
        (row,) = [row for row in world.look(going)["card"]["sessions"] if row[2] == "open"]
        assert row[1] == LAPTOP
    finally:
        world.clear(going)


@pytest.mark.parametrize("statement", LOCKERS.values(), ids=LOCKERS)
@pytest.mark.parametrize("states", [("on", "on"), ("exhausted", "on")], ids=" ".join)
def test_accounting_goes_on_beside_a_card_that_is_locked(world, locked, states, statement):
    engine = world.sides["A"].engine
    waiting, going = map(world.case, states)
    try:
        locked(waiting, statement)
        packets = [
            Packet(
                report(
                    case.card,
                    "Interim-Update",
                    395,
                    case.classes[2],
                    session_id="8002",
                    down=4000,
                    up=2000,
                    nas=case.nas,
                    delay=1,
                )
            )
            for case in (waiting, going)
        ]
        results = engine.charges.submit_all(packets)
        assert not isinstance(results[1], Exception)
        assert world.look(going)["card"]["used"] == (495, 5000, 2500)
    finally:
        world.clear(going)


def test_nothing_of_a_group_is_done_twice_where_one_of_it_fails(world, locked):
    """Two first logins of one group, one card is locked: the other card gets one session, not two."""
    engine = world.sides["A"].engine
    cases = [world.case("delivered") for _ in range(4)]
    try:
        locked(cases[2], LOCKERS["read for a change"])
        answers = engine.logins.submit_all([ask(engine, case) for case in cases])
        accepted = [getattr(answer, "answer", None) is not None and answer.answer.is_accepted for answer in answers]
        assert accepted == [True, True, False, True]
        assert [len(world.look(case)["card"]["sessions"]) for case in cases if case is not cases[2]] == [1, 1, 1]
    finally:
        for case in cases:
            if case is not cases[2]:
                world.clear(case)
