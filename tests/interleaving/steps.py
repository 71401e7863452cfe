"""Acts that run at the same time, statement by statement, in an order that is given.

Each act runs in a thread of its own, on connections of its own, by the product's own code.  Before a statement is sent
the thread waits for permission; nobody else runs meanwhile.  A statement that waits in the database for a lock is
noticed there (Innodb_row_lock_current_waits), and another thread is let on.

A schedule is who was let on, in order, a letter a step: "AABAB".  `Explorer` tries all of them that may differ.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pymysql

from tests.interleaving.footprint import Footprint, Footprints, remember_prepared

# What an act returns whose caller would send or run it again.
AGAIN = "again"
TRIES = 6
# How often an act sends a statement before it counts as waiting for the others.
TRIES_MOST = 2
LAST = 1_000_000
# So long a statement may take before the database is asked whether it waits for a lock.
PATIENCE_SECONDS = 0.002
HANGING_SECONDS = 10

_of_thread = threading.local()


@contextmanager
def intercepted():
    """Every statement of a thread that has an actor goes through it.  What is prepared is remembered whoever does it."""
    kind = pymysql.connections.Connection
    originals = {name: getattr(kind, name) for name in ("query", "commit", "rollback", "begin")}

    def through_actor(original, words):
        def method(connection, *arguments, **options):
            actor = getattr(_of_thread, "actor", None)
            statement = words or arguments[0]
            if isinstance(statement, bytes | bytearray):
                statement = statement.decode("utf-8", "surrogateescape")
            if actor is None:
                if statement.startswith("PREPARE"):
                    remember_prepared(connection, statement)
                return original(connection, *arguments, **options)
            return actor.send(connection, statement, lambda: original(connection, *arguments, **options))

        return method

    try:
        for name, original in originals.items():
            setattr(kind, name, through_actor(original, None if name == "query" else name.upper()))
        yield
    finally:
        for name, original in originals.items():
            setattr(kind, name, original)


@contextmanager
def acting_as(actor):
    _of_thread.actor = actor
    try:
        yield
    finally:
        _of_thread.actor = None


class Hangs(Exception):
    """No thread can go on, and the database does not say why."""


class Diverges(Exception):
    """The same choices led elsewhere than before."""


class Run(NamedTuple):
    """One schedule, and what each act returned."""

    schedule: str
    outcomes: tuple
    statements: tuple
    refusals: tuple  # what the database said no to


class Actor:
    """One act in its thread: between two statements it waits at the gate."""

    def __init__(self, name: str, theatre: "Theatre", act: Callable[[], object]):
        self.name = name
        self.theatre = theatre
        self.act = act
        self.outcome: object = None
        self.pending: tuple | None = None  # (footprint, statement) while it waits at the gate
        self.is_done = False
        self.patience = 0  # who has more is let on only if nobody has less
        self.is_given_up = False
        self.last = ""
        self.faults: list[str] = []  # what the database said no to
        self.sent: Counter = Counter()
        self.go = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with acting_as(self):
            try:
                for _ in range(TRIES):
                    self.sent.clear()
                    self.outcome = self.act()
                    if self.outcome != AGAIN:
                        break
                    # Whoever was in the way is let finish; then the caller sends or runs it again.
                    self.patience = LAST
                    self._wait(Footprint(writes=frozenset(["*"])), "again")
            except BaseException as fault:
                self.outcome = fault
        self.is_done = True
        self.theatre.moved.release()

    def send(self, connection, statement: str, do: Callable[[], object]):
        footprint = self.theatre.footprints.of(connection, statement)
        self.last = statement
        if footprint:
            kind = statement[:100]
            self.sent[kind] += 1
            # Who tries the same again and again is in somebody's way, or waits for a row without a lock: others first.
            self.patience = max(self.sent[kind] - TRIES_MOST, 0)
            self._wait(footprint, statement)
        try:
            result = do()
        except pymysql.MySQLError as fault:
            self.faults.append(f"{fault.args} to {' '.join(statement.split())[:60]}")
            raise
        self.theatre.footprints.sent(connection, statement, footprint)
        return result

    def _wait(self, footprint: Footprint, statement: str) -> None:
        self.pending = footprint, statement
        self.theatre.moved.release()
        self.go.acquire()
        if self.is_given_up:
            raise Hangs("the schedule was given up")


class Theatre:
    """Runs acts at the same time, one step after the other."""

    def __init__(self, footprints: Footprints, monitor: pymysql.Connection):
        self.footprints = footprints
        self._monitor = monitor
        self.moved = threading.Semaphore(0)

    def run(self, acts: dict[str, Callable[[], object]], choose: Callable[[dict[str, Footprint]], str]) -> Run:
        """`choose` is asked at each step whom of those who wait at the gate to let on."""
        self.moved = threading.Semaphore(0)
        actors = [Actor(name, self, act) for name, act in acts.items()]
        try:
            return self._run(actors, choose)
        except BaseException:
            self._give_up(actors)
            raise

    def _give_up(self, actors: list[Actor]) -> None:
        """Let nobody wait for ever: not at the gate, and not in the database."""
        for actor in actors:
            actor.is_given_up = True
            actor.go.release()
        with self._monitor.cursor() as cursor:
            cursor.execute(
                "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id > 0"
            )
            for (number,) in cursor.fetchall():
                with suppress(pymysql.MySQLError):
                    cursor.execute(f"KILL {int(number)}")
        for actor in actors:
            for _ in range(100):
                actor.go.release()
            if actor.thread.is_alive():
                actor.thread.join(HANGING_SECONDS)

    def _run(self, actors: list[Actor], choose) -> Run:
        schedule, statements = [], []
        for actor in actors:
            # One after the other up to its first statement, so that what they do before does not overlap.
            actor.thread.start()
            self._post(actors[: actors.index(actor) + 1])
        while True:
            at_the_gate = [actor for actor in actors if actor.pending]
            if not at_the_gate:
                break
            least = min(actor.patience for actor in at_the_gate)
            waiting = {actor.name: actor for actor in at_the_gate if actor.patience == least}
            name = choose({name: actor.pending[0] for name, actor in waiting.items()})
            actor = waiting[name]
            schedule.append(name)
            statements.append(f"{name}: {' '.join(actor.pending[1].split())[:150]}")
            actor.pending = None
            actor.go.release()
            self._post(actors)
        for actor in actors:
            actor.thread.join()
        return Run(
            "".join(schedule),
            tuple(actor.outcome for actor in actors),
            tuple(statements),
            tuple(f"{actor.name}: {fault}" for actor in actors for fault in actor.faults),
        )

    def _post(self, actors: list[Actor]) -> None:
        """Wait until everybody is at the gate, has ended, or waits for a lock in the database."""
        until = time.monotonic() + HANGING_SECONDS
        while True:
            under_way = [actor for actor in actors if not actor.pending and not actor.is_done]
            if not under_way:
                return
            if self.moved.acquire(timeout=PATIENCE_SECONDS):
                continue
            if self._wait_for_locks(under_way) and any(actor.pending for actor in actors):
                return
            if time.monotonic() > until:
                raise Hangs([f"{actor.name}: {actor.last[:300]}" for actor in under_way])

    def _wait_for_locks(self, under_way: list[Actor]) -> bool:
        """Asked twice: a statement that does not wait for locks may look for a moment as if it did."""
        for _ in range(2):
            if self._lock_waits() < len(under_way) or self.moved.acquire(timeout=PATIENCE_SECONDS):
                return False
        return all(not actor.pending and not actor.is_done for actor in under_way)

    def _lock_waits(self) -> int:
        with self._monitor.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
            return int(cursor.fetchone()[1])


def following(order: str) -> Callable[[dict[str, Footprint]], str]:
    """Let on in this order, a letter a step; after it, and where its turn cannot come, the first that can."""
    left = list(order)

    def choose(waiting):
        while left:
            name = left.pop(0)
            if name in waiting:
                return name
        return next(iter(waiting))

    return choose


def one_after_the_other(order: str) -> Callable[[dict[str, Footprint]], str]:
    """Each act as a whole."""
    return lambda waiting: next(name for name in order if name in waiting)


class _Node:
    """A step of the path that is tried: who could be let on, who was, and who need not be tried here."""

    def __init__(self, waiting: dict[str, Footprint], asleep: dict[str, Footprint], chosen: str, preemptions: int):
        self.waiting = waiting
        self.asleep = asleep
        self.chosen = chosen
        self.preemptions = preemptions  # up to here
        self.tried: set[str] = set()


class Explorer:
    """All orders that may differ, depth first, with at most so many preemptions (None: any number).

    A preemption lets another act on where the last one could have gone on.  Orders that differ by an exchange of two
    statements which do not touch the same tables are tried once ("sleep sets": Godefroid, 1996).
    """

    def __init__(self, preemptions: int | None, most: int | None = None):
        self._bound = preemptions
        self._most = most
        self.runs = 0
        self.redundant = 0
        self.is_complete = True

    def schedules(self, run: Callable[[Callable], Run]):
        """Yields each run that is not the same as an earlier one."""
        path: list[_Node] = []
        while True:
            self.depth = 0
            self._is_redundant = False
            result = run(lambda waiting, path=path: self._choose(path, waiting))
            self.runs += 1
            if self._is_redundant:
                self.redundant += 1
            else:
                yield result
            if not self._step_back(path):
                return
            if self._most and self.runs - self.redundant >= self._most:
                self.is_complete = False
                return

    def _choose(self, path: list[_Node], waiting: dict[str, Footprint]) -> str:
        depth, self.depth = self.depth, self.depth + 1
        if depth < len(path):
            node = path[depth]
            if node.chosen not in waiting:
                raise Diverges(f"{node.chosen} was to be let on at step {depth}, and {sorted(waiting)} are waiting")
            return node.chosen
        if self._is_redundant:
            return next(iter(waiting))
        last = path[-1] if path else None
        asleep = {}
        if last is not None:
            done = last.waiting[last.chosen]
            asleep = {
                name: footprint
                for name, footprint in [*last.asleep.items(), *((name, last.waiting[name]) for name in last.tried)]
                if not footprint.conflicts(done) and "*" not in done.writes
            }
        candidates = [name for name in waiting if name not in asleep]
        if not candidates:
            # Every order from here on is the same as one that was tried.
            self._is_redundant = True
            return next(iter(waiting))
        chosen = last.chosen if last is not None and last.chosen in candidates else candidates[0]
        preemptions = (last.preemptions if last else 0) + self._is_preemption(last, waiting, chosen)
        path.append(_Node(waiting, asleep, chosen, preemptions))
        return chosen

    def _step_back(self, path: list[_Node]) -> bool:
        while path:
            node = path[-1]
            node.tried.add(node.chosen)
            last = path[-2] if len(path) > 1 else None
            for name in node.waiting:
                preemptions = (last.preemptions if last else 0) + self._is_preemption(last, node.waiting, name)
                if name in node.tried or name in node.asleep:
                    continue
                if self._bound is not None and preemptions > self._bound:
                    continue
                node.chosen, node.preemptions = name, preemptions
                return True
            path.pop()
        return False

    @staticmethod
    def _is_preemption(last: "_Node | None", waiting: dict, name: str) -> bool:
        return last is not None and last.chosen != name and last.chosen in waiting
