"""A fault at each statement of each act, then its caller repeats it: nothing is done twice, and nothing by half.

The fault ends the database connection before a statement or after it (the server has executed it, its answer is lost), or
the database refuses: deadlock, lock wait, lost connection.  Another FreeRADIUS or office repeats the act, as after a crash
of the first.
"""

import re
import time

import pymysql
import pytest

from tests.interleaving.acts import ACTS
from tests.interleaving.steps import AGAIN, acting_as
from tests.interleaving.trial import _difference

DEADLOCK, LOCK_WAIT, LOST = 1213, 1205, 2013
# The statements that the database may refuse because of a lock.
CAN_LOCK = re.compile(r"UPDATE|INSERT|DELETE|LOCK IN SHARE MODE")
FAULTS = ("cut before", "cut after", "deadlock", "lock wait")


class Saboteur:
    """Sends statements, counts them, and makes its fault at one of them."""

    def __init__(self, at: int | None, fault: str, database):
        self.at = at
        self.fault = fault
        self.database = database
        self.count = 0
        self.statement = ""

    def send(self, connection, statement, do):
        if self.fault in ("deadlock", "lock wait") and not CAN_LOCK.search(statement):
            return do()
        at, self.count = self.count, self.count + 1
        if at != self.at:
            return do()
        self.statement = " ".join(statement.split())[:80]
        if self.fault == "lock wait":
            raise pymysql.err.OperationalError(LOCK_WAIT, "Lock wait timeout exceeded; try restarting transaction")
        if self.fault == "deadlock":
            # The server has rolled back the whole transaction.
            with acting_as(None):
                connection.rollback()
            _of_saboteur(self)
            raise pymysql.err.OperationalError(
                DEADLOCK, "Deadlock found when trying to get lock; try restarting transaction"
            )
        if self.fault == "cut after":
            do()
        number = connection.thread_id()
        connection._force_close()
        # The server rolls back when it notices; until then the rows are locked, and who does the act again leaves them out.
        with acting_as(None):
            while self.database.value("SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s", [number]):
                time.sleep(0.001)
        _of_saboteur(self)
        raise pymysql.err.OperationalError(LOST, "Lost connection to MySQL server during query")


def _of_saboteur(actor) -> None:
    from tests.interleaving import steps

    steps._of_thread.actor = actor


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_act_that_is_broken_off_and_done_again_is_done_once(world, name, fault, request):
    act = ACTS[name]
    state = act.states[0]
    expected, count, _ = _done(world, act, state, Saboteur(None, fault, world.database))
    found = []
    for at in range(count):
        saboteur = Saboteur(at, fault, world.database)
        after, _, faults = _done(world, act, state, saboteur)
        faults += _difference({"after": _once(expected["card"])}, {"after": _once(after["card"])})
        if faults:
            found.append(f"{fault} at {at} ({saboteur.statement}): {faults}")
    world.count(request, acts=1, faults=count)
    assert not found, f"{len(found)} of {count}:\n" + "\n".join(found)


def _once(card: dict) -> dict:
    """Records that may occur once more than the act happened: a validity moved to the same end, which has no key, and a
    wrong PIN, because one counted too often is better than one not counted."""
    moved = ("extended", None, None)
    events = [row for index, row in enumerate(card["events"]) if row != moved or moved not in card["events"][:index]]
    return card | {"events": events, "refusals": [reason for reason, _ in card["refusals"]]}


def _done(world, act, state: str, saboteur: Saboteur) -> tuple[dict, int, list[str]]:
    """The state of a card, the number of statements, and the invariants that do not hold."""
    case = world.case(state, act.needs_target)
    faults = []
    try:
        try:
            with acting_as(saboteur):
                outcome = act.run(world.sides["A"], case)
        except Exception as fault:
            faults.append(f"raised: {fault!r}")
            outcome = AGAIN
        if outcome == AGAIN:
            if act.run(world.sides["B"], case) == AGAIN:
                faults.append("it could not be done again")
        elif act.is_periodic:
            act.run(world.sides["B"], case)
        after = world.look(case)
        return after, saboteur.count, faults + world.faults(case, after)
    finally:
        world.clear(case)
