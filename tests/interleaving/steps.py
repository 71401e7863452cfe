"""Acts that run at the same time, statement by statement, in a given order.

Each act runs the product's own code in its own thread, on its own connections.  Before each statement the thread waits
for permission; only one thread runs at a time.  If the database shows that a statement waits for a lock, another thread
gets permission.

A schedule is the order of the threads, one letter a step: "AABAB".  `Explorer` tries all schedules that may differ.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pymysql

from tests.interleaving.footprint import Footprint, Footprints, remember_prepared

# The result of an act whose caller would send or run it again.
AGAIN = "again"
TRIES = 6
# An act that sends the same statement this often counts as waiting for the others.
TRIES_MOST = 2
LAST = 1_000_000
# A run that could not be repeated is tried so often.
RUNS_MOST = 4
# After this time the database is asked whether the statement waits for a lock.
PATIENCE_SECONDS = 0.002
HANGING_SECONDS = 10

_of_thread = threading.local()


@contextmanager
def intercepted():
    """Send every statement of a thread through its actor, if it has one; remember prepared statements of all threads."""
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
    """No thread can continue, and the database does not show a lock wait."""


class Diverges(Exception):
    """The same choices led to other steps than before."""


class Run(NamedTuple):
    """One schedule, and what each act returned."""

    schedule: str
    outcomes: tuple
    statements: tuple
    refusals: tuple  # what the database said no to
    footprints: tuple  # of each step, as it was executed


class Actor:
    """One act in its thread: between two statements it waits at the gate."""

    def __init__(self, name: str, theatre: "Theatre", act: Callable[[], object]):
        self.name = name
        self.theatre = theatre
        self.act = act
        self.outcome: object = None
        self.pending: tuple | None = None  # (footprint, statement) while it waits at the gate
        self.step: list[Footprint] = []  # what it does since then
        self.is_done = False
        self.patience = 0  # the act with the fewest comes first
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
                    # The act in the way finishes first; then the caller sends or runs this one again.
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
            # An act that repeats a statement waits for another act, so the others come first.
            self.patience = max(self.sent[kind] - TRIES_MOST, 0)
            self._wait(footprint, statement)
        try:
            result = do()
        except pymysql.MySQLError as fault:
            self.faults.append(f"{fault.args} to {' '.join(statement.split())[:60]}")
            raise
        executed = self.theatre.footprints.sent(connection, statement, footprint)
        if footprint:
            self.step[0] = executed
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
        """At each step, `choose` says which of the waiting acts gets permission."""
        self.moved = threading.Semaphore(0)
        actors = [Actor(name, self, act) for name, act in acts.items()]
        try:
            return self._run(actors, choose)
        except BaseException:
            self._give_up(actors)
            raise

    def _give_up(self, actors: list[Actor]) -> None:
        """End all waits, at the gate and in the database."""
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
        schedule, statements, steps = [], [], []
        for actor in actors:
            # Each runs alone up to its first statement, so that their preparations do not overlap.
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
            actor.step = [actor.pending[0]]
            steps.append(actor.step)
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
            tuple(footprint for (footprint,) in steps),
        )

    def _post(self, actors: list[Actor]) -> None:
        """Wait until every act is at the gate, has ended, or waits for a lock in the database."""
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
        """The counter is cheap, but it also counts a statement that has its lock and has not yet been woken."""
        if self._lock_waits() < len(under_way) or self._waiting_transactions() < len(under_way):
            return False
        return all(not actor.pending and not actor.is_done for actor in under_way)

    def _lock_waits(self) -> int:
        with self._monitor.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
            return int(cursor.fetchone()[1])

    def _waiting_transactions(self) -> int:
        """From the server's report, because it keeps information_schema.innodb_trx for a tenth of a second."""
        with self._monitor.cursor() as cursor:
            cursor.execute("SHOW ENGINE INNODB STATUS")
            return sum(line.startswith("LOCK WAIT") for line in cursor.fetchone()[2].splitlines())


def following(order: str) -> Callable[[dict[str, Footprint]], str]:
    """Give permission in this order, one letter a step; to the first act that waits, if the named one cannot run."""
    left = list(order)

    def choose(waiting):
        while left:
            name = left.pop(0)
            if name in waiting:
                return name
        return next(iter(waiting))

    return choose


def one_after_the_other(order: str) -> Callable[[dict[str, Footprint]], str]:
    """Each act as a whole, one after the other."""
    return lambda waiting: next(name for name in order if name in waiting)


class _Node:
    """A step of the current path: which acts could run, which ran, and which must be tried here, too."""

    def __init__(self, waiting: dict[str, Footprint], asleep: dict[str, Footprint], chosen: str, preemptions: int):
        self.waiting = waiting
        self.asleep = asleep
        self.chosen = chosen
        self.preemptions = preemptions  # up to here
        self.tried: set[str] = set()
        self.wanted: set[str] = set()

    @property
    def footprint(self) -> Footprint:
        return self.waiting[self.chosen]


class Explorer:
    """All orders that may differ, depth first, with at most so many preemptions (None: any number).

    A preemption runs another act although the last one could continue.  Orders that differ only in the order of two
    statements that may be exchanged are tried once ("sleep sets": Godefroid, 1996).  Without a limit of preemptions,
    another act is tried at a step only if a run has shown that a later statement of it conflicts with that step ("dynamic
    partial-order reduction": Flanagan and Godefroid, 2005).  With a limit, an equal order may need more preemptions, so
    statements on the same table are never exchanged.  *twins* are acts that are the same: the first of them begins.
    """

    def __init__(self, preemptions: int | None, most: int | None = None, twins: str = ""):
        self._bound = preemptions
        self._most = most
        self._twins = twins
        self.runs = 0
        self.redundant = 0
        self.is_complete = True

    def schedules(self, run: Callable[[Callable], Run]):
        """Yields each run that differs from all earlier ones."""
        path: list[_Node] = []
        while True:
            result = self._repeatable(run, path)
            self.runs += 1
            self._find_races(path, result.footprints)
            if self._is_redundant:
                self.redundant += 1
            else:
                yield result
            if not self._step_back(path):
                return
            if self._most and self.runs - self.redundant >= self._most:
                self.is_complete = False
                return

    def _repeatable(self, run: Callable[[Callable], Run], path: list[_Node]) -> Run:
        """A busy machine may let a statement run into a time-out of its own; then the same choices are made again."""
        for tries in range(1, RUNS_MOST + 1):
            self.depth = 0
            self._is_redundant = False
            known = len(path)
            try:
                return run(lambda waiting: self._choose(path, waiting))
            except Diverges:
                if tries == RUNS_MOST:
                    raise
                del path[known:]
        raise AssertionError

    def _choose(self, path: list[_Node], waiting: dict[str, Footprint]) -> str:
        depth, self.depth = self.depth, self.depth + 1
        if depth < len(path):
            node = path[depth]
            if node.chosen not in waiting:
                raise Diverges(f"{node.chosen} was to be let on at step {depth}, and {sorted(waiting)} are waiting")
            return node.chosen
        if self._is_redundant:
            return next(iter(waiting))
        waiting = self._without_second_twins(path, waiting)
        last = path[-1] if path else None
        asleep = {}
        if last is not None:
            asleep = {
                name: footprint
                for name, footprint in [*last.asleep.items(), *((name, last.waiting[name]) for name in last.tried)]
                if not self._is_fixed(footprint, last.footprint)
            }
        candidates = [name for name in waiting if name not in asleep]
        if not candidates:
            # Every order from here on equals one that was tried.
            self._is_redundant = True
            return next(iter(waiting))
        chosen = last.chosen if last is not None and last.chosen in candidates else candidates[0]
        preemptions = (last.preemptions if last else 0) + self._is_preemption(last, waiting, chosen)
        path.append(_Node(waiting, asleep, chosen, preemptions))
        return chosen

    def _is_fixed(self, one: Footprint, other: Footprint) -> bool:
        return one.conflicts(other) if self._bound is None else one.overlaps(other)

    def _without_second_twins(self, path: list[_Node], waiting: dict[str, Footprint]) -> dict[str, Footprint]:
        begun = {node.chosen for node in path}
        fresh = [name for name in self._twins if name in waiting and name not in begun]
        return {name: footprint for name, footprint in waiting.items() if name not in fresh[1:]}

    def _find_races(self, path: list[_Node], footprints: tuple[Footprint, ...]) -> None:
        """Two statements of two acts race if they conflict and nothing between them decides their order.  Then the later
        one's act must be tried where the earlier one ran."""
        if self._bound is not None:
            for node in path:
                node.wanted |= set(node.waiting)
            return
        # For each step: how far it comes after the steps of each act.
        known: list[dict[str, int]] = []
        last: dict[str, int] = {}
        for at, node in enumerate(path):
            after = dict(known[last[node.chosen]]) if node.chosen in last else {}
            for before in reversed(range(at)):
                earlier = path[before]
                if earlier.chosen == node.chosen or before <= after.get(earlier.chosen, -1):
                    continue
                if footprints[before].conflicts(footprints[at]):
                    earlier.wanted |= {node.chosen} if node.chosen in earlier.waiting else set(earlier.waiting)
                    for name, step in known[before].items():
                        after[name] = max(after.get(name, -1), step)
            after[node.chosen] = last[node.chosen] = at
            known.append(after)

    def _step_back(self, path: list[_Node]) -> bool:
        while path:
            node = path[-1]
            node.tried.add(node.chosen)
            last = path[-2] if len(path) > 1 else None
            for name in node.waiting:
                preemptions = (last.preemptions if last else 0) + self._is_preemption(last, node.waiting, name)
                if name in node.tried or name in node.asleep or name not in node.wanted:
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
