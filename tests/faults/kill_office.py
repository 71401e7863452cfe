"""kill -9 of the office's commands at any moment: each has done all of its work, or nothing.

`generate`, `import`, `export`, `deliver` and `return` run many times and are killed: one run in each slice of the time
that the command takes, from its start to after its end, and every fifth one in its commit, which is delayed until the
command waits for it.  After each kill the campaign counts what the command made.  At the end the same command works
undisturbed, the books agree, and the history chain is correct.

The row: `acknowledged` are commands that reported success, `lost` those of them whose work is missing, `doubled` cards,
notes and batches that are there twice, `failed` all other faults.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tests.database import Database
from tests.office import Office
from tests.stack import Stack
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE

from .campaign import run
from .results import Row

SEED = 20
POINTS, POINTS_SHORT = 100, 20
CARDS = 5_000
# One in so many kills is in the commit.
IN_COMMIT_EACH = 5
# The slices extend beyond the command's own time, because it may take longer the next time, and its end matters.
SPREAD = 1.15
PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.005
WORDS_SHOWN = 10


def campaign(short: bool) -> Row:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="prepaid-faults-"))
    stack = Stack(folder, auth_port=0, acct_port=0, durability=QUICK, dies_with_parent=True)
    try:
        stack.start_database()
        office, database = Office(stack.option_file), Database(stack.mariadb, DATABASE)
        all_kills = []
        for act in ACTS:
            kills = Kills(act(office, database, folder, CARDS), office.spawn, seed=SEED)
            kills.play(POINTS_SHORT if short else POINTS)
            print(f"  {kills}")
            for sentence in kills.failures[:WORDS_SHOWN]:
                print(f"    {sentence}")
            all_kills.append(kills)
    finally:
        stack.down()
        shutil.rmtree(folder, ignore_errors=True)
    return Row(
        "kill of the office's commands",
        sum(kills.told for kills in all_kills),
        sum(kills.lost for kills in all_kills),
        sum(kills.doubled for kills in all_kills),
        0,
        sum(len(kills.failures) for kills in all_kills),
        time.monotonic() - began,
    )


class Kills:
    """One command, killed at many moments.  `start` (office.spawn or Fork.start) runs it and returns its process."""

    def __init__(self, act: "Act", start, *, seed: int):
        self.act = act
        self.start = start
        self.random = random.Random(f"{seed} {act.name}")
        self.killed = self.killed_and_done = self.in_commit = self.told = self.lost = self.doubled = 0
        self.failures: list[str] = []

    def __str__(self):
        return (
            f"{self.act.name:<9} {self.killed} killed, {self.in_commit} of them in the commit; {self.killed_and_done} of "
            f"them had done it, {self.told} were done before"
        )

    def play(self, points: int) -> None:
        seconds = self._measure()
        for point in range(points):
            if point % IN_COMMIT_EACH == IN_COMMIT_EACH - 1:
                self._once(f"in the commit, point {point}", self._killed_in_commit)
            else:
                moment = SPREAD * seconds * (point + self.random.random()) / points
                self._once(f"after {moment:.3f} s, point {point}", lambda moment=moment: self._killed_after(moment))
        self._once("undisturbed", self._undisturbed)
        self._judge_books()

    def _measure(self) -> float:
        """How long the command takes undisturbed, in its second run, with warm caches."""
        for _time in range(2):
            self._once("undisturbed", self._undisturbed)
        return self.seconds

    def _once(self, when: str, ended) -> None:
        self.act.prepare()
        process = ended()
        # Until the server sees that its client is gone, it may still commit, or roll back.
        self.act.wait_until(
            lambda: (
                self.act.value("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'prepaid_admin'") == 0
            )
        )
        self._judge(when, process.wait())

    # --- The ends of a run -----------------------------------------------------------------------------

    def _undisturbed(self):
        began = time.monotonic()
        process = self.start(*self.act.arguments())
        process.wait()
        self.seconds = time.monotonic() - began
        return process

    def _killed_after(self, seconds: float):
        process = self.start(*self.act.arguments())
        ends_at = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < ends_at:
            time.sleep(min(PAUSE_SECONDS, max(ends_at - time.monotonic(), 0)))
        process.kill()
        process.wait()
        return process

    def _killed_in_commit(self):
        """Delay all commits until the command waits for its own and is dead.

        A backup delays commits (BACKUP STAGE BLOCK_COMMIT, MariaDB's documentation).  The server may then complete the
        commit of a client that is gone, or not: it is all or nothing.
        """
        with self.act.database.connect() as backup, backup.cursor() as cursor:
            stages = [f"BACKUP STAGE {stage}" for stage in ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")]
            process = self.act.start_held(self.start, lambda: [cursor.execute(stage) for stage in stages])
            self.act.wait_until(lambda: process.poll() is not None or self._is_committing())
            self.in_commit += process.poll() is None
            process.kill()
            process.wait()
            cursor.execute("BACKUP STAGE END")
        return process

    def _is_committing(self) -> bool:
        # By no user: after a call of a procedure the server shows the procedure's owner here.
        return (
            self.act.value(
                "SELECT COUNT(*) FROM information_schema.processlist"
                " WHERE info = 'COMMIT' AND state LIKE '%%backup lock%%'"
            )
            == 1
        )

    # --- After the runs --------------------------------------------------------------------------------

    def _judge(self, when: str, status: int) -> None:
        was_killed = status == -signal.SIGKILL
        count = self.act.count_done()
        self.killed += was_killed
        self.killed_and_done += was_killed and count > 0
        self.told += status == 0
        self.lost += status == 0 and count == 0
        self.doubled += max(count - 1, 0)
        if status not in (0, -signal.SIGKILL):
            self._fail(when, f"it ended with exit status {status}")
        for sentence in self.act.faults(count):
            self._fail(when, sentence)

    def _judge_books(self) -> None:
        for arguments in (("reconcile",), ("audit", "verify")):
            result = self.act.office.run(*arguments, "--json")
            if result.exit_status:
                self._fail("at the end", f"{' '.join(arguments)}: {result.stdout[:500]} {result.stderr[:500]}")

    def _fail(self, when: str, sentence: str) -> None:
        self.failures.append(f"{self.act.name}, {when}: {sentence}")


class Fork:
    """Runs `prepaid` in a fork of a process that has loaded it, so that a kill meets its work and not its loading."""

    def __init__(self, office: Office):
        self.office = office
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload([__name__, "admin.cli"])

    def start(self, *arguments):
        process = self.processes.Process(
            target=_prepaid, args=(["--config", str(self.office.option_file), *map(str, arguments)],), daemon=True
        )
        process.start()
        return _Forked(process)


class _Forked:
    """A process with the methods of subprocess.Popen."""

    def __init__(self, process):
        self.process = process

    def poll(self):
        return self.process.exitcode

    def kill(self):
        self.process.kill()

    def wait(self):
        self.process.join()
        return self.process.exitcode

    @property
    def returncode(self):
        return self.process.exitcode


def _prepaid(arguments: list[str]) -> None:
    from admin.cli import cli

    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    cli.main(arguments, prog_name="prepaid")


# --- The commands ------------------------------------------------------------------------------------------


class Act:
    """A command, what it needs, and how to see what it did."""

    def __init__(self, office: Office, database: Database, folder: Path, cards: int):
        self.office, self.database, self.cards = office, database, cards
        # One connection for all checks: there are a dozen after each kill.
        self.connection = database.connect()
        self.folder = folder / self.name
        self.folder.mkdir()
        self.product = office.product("--time", "10h", "--price", "10.00", "--commission", "12.5")
        self.number = 0
        self.set_up()

    def set_up(self) -> None:
        """Make what the command needs beside a product."""

    def prepare(self) -> None:
        """Undo earlier runs, before each run."""
        self.number += 1
        self.before = self.marks()

    def marks(self) -> dict[str, int]:
        """The last batch, event and note so far."""
        (row,) = self.query(
            "SELECT "
            + ", ".join(
                f"(SELECT COALESCE(MAX(id), 0) FROM {table}) AS {table}"
                for table in ("batch", "batch_event", "card_event", "note")
            )
        )
        return row

    def query(self, statement: str, arguments=()) -> list[dict]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchall()

    def value(self, statement: str, arguments=()):
        (row,) = self.query(statement, arguments)
        (value,) = row.values()
        return value

    def since(self, table: str, condition: str = "TRUE") -> int:
        """Rows of a table that came since `prepare`."""
        return self.value(f"SELECT COUNT(*) FROM {table} WHERE id > %s AND {condition}", [self.before[table]])

    def start_held(self, start, hold_commits):
        """Start the command while commits are delayed."""
        hold_commits()
        return start(*self.arguments())

    @staticmethod
    def wait_until(condition) -> None:
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > ends_at:
                raise TimeoutError("what must happen did not")
            time.sleep(PAUSE_SECONDS)

    def batch_faults(self, count: int, what: str):
        """A batch exists with all its cards and its event, or not at all."""
        cards = self.value("SELECT COUNT(*) FROM card WHERE batch_id > %s", [self.before["batch"]])
        if cards != count * self.cards:
            yield f"{cards} cards in {count} batches"
        if self.since("batch", f"card_count <> {self.cards} OR first_serial >= last_serial"):
            yield "a batch without its count or its range"
        events = self.since("batch_event", f"what = '{what}' AND card_count = {self.cards}")
        if events != count or self.since("batch_event") != count:
            yield f"{self.since('batch_event')} events of {count} batches"


class Generate(Act):
    name = "generate"

    def arguments(self):
        return "generate", "--product", self.product, "--count", self.cards

    def count_done(self) -> int:
        return self.since("batch")

    def faults(self, count: int):
        return self.batch_faults(count, "generated")

    def start_held(self, start, hold_commits):
        """The command reserves the numbers in an earlier commit.  A lock on the product delays the batch until then."""
        taken = self._taken()
        with self.database.connect() as lock, lock.cursor() as cursor:
            lock.begin()
            cursor.execute("SELECT id FROM product WHERE name = %s FOR UPDATE", [self.product])
            process = start(*self.arguments())
            self.wait_until(lambda: process.poll() is not None or self._taken() != taken)
            hold_commits()
        return process

    def _taken(self) -> int:
        return self.value("SELECT COALESCE(SUM(next_number), 0) FROM serial_counter")


class Import(Act):
    name = "import"

    def prepare(self) -> None:
        # A file that was imported is not imported again: the command would say that its cards exist.
        if self.number == 0 or self.count_done():
            self._write_file()
        super().prepare()

    def _write_file(self) -> None:
        self.path = self.folder / "cards.csv"
        rows = (f"K{self.number:04}{card:07},{self.number * self.cards + card:010}\n" for card in range(self.cards))
        self.path.write_text("serial,pin\n" + "".join(rows))

    def arguments(self):
        return "import", self.path, "--product", self.product

    def count_done(self) -> int:
        return self.since("batch")

    def faults(self, count: int):
        return self.batch_faults(count, "imported")


class Export(Act):
    """In each format in turn.  There may be a record without a file: it is written first, so that every exported PIN has one."""

    name = "export"
    FORMS = ("csv", "xlsx", "delimited")

    def set_up(self) -> None:
        self.batch = self.office.json("generate", "--product", self.product, "--count", self.cards)["batch"]
        self.office.must("export", "--batch", self.batch, "--output", self.folder / "first")

    def arguments(self):
        self.path = self.folder / f"cards-{self.number}"
        return (
            "export",
            "--batch",
            self.batch,
            "--format",
            self.FORMS[self.number % len(self.FORMS)],
            "--again",
            "--reason",
            "test",
            "--output",
            self.path,
        )

    def start_held(self, start, hold_commits):
        """That the PINs are read is recorded and committed first.  A lock on the batch that is queued behind the command's own
        holds up the rest until then; it is a shared one, with which a record of the batch can be written."""
        lock = "SELECT id FROM batch WHERE id = %s"
        with (
            self.database.connect() as first,
            self.database.connect() as second,
            ThreadPoolExecutor(1) as thread,
            first.cursor() as holds_up_all,
            second.cursor() as holds_up_the_rest,
        ):
            first.begin()
            holds_up_all.execute(f"{lock} FOR UPDATE", [self.batch])
            process = start(*self.arguments())
            self.wait_until(lambda: process.poll() is not None or self._waiting() == 1)
            second.begin()
            queued = thread.submit(holds_up_the_rest.execute, f"{lock} LOCK IN SHARE MODE", [self.batch])
            self.wait_until(lambda: queued.done() or self._waiting() == 2)
            first.rollback()
            queued.result(PATIENCE_SECONDS)
            self.wait_until(lambda: process.poll() is not None or self.since("batch_event", "what = 'pins_read'"))
            hold_commits()
        return process

    def _waiting(self) -> int:
        """How many wait for a row.  (The table innodb_trx stays as it is while somebody reads it all the time.)"""
        return int(
            self.value(
                "SELECT variable_value FROM information_schema.global_status"
                " WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'"
            )
        )

    def count_done(self) -> int:
        return int(self.path.exists() and self.manifest.exists())

    @property
    def manifest(self) -> Path:
        return self.path.with_name(self.path.name + ".manifest.json")

    def faults(self, count: int):
        recorded = self.query(
            "SELECT detail FROM batch_event WHERE id > %s AND what = 'exported'", [self.before["batch_event"]]
        )
        if len(recorded) > 1:
            yield f"{len(recorded)} records"
        if self.path.exists():
            digest = sha256(self.path.read_bytes()).hexdigest()
            if [json.loads(row["detail"])["sha256"] for row in recorded] != [digest]:
                yield "a file that no record knows, or half of one"
        if self.manifest.exists():
            if not self.path.exists():
                yield "a manifest without a file"
            elif json.loads(self.manifest.read_text())["sha256"] != digest:
                yield "a manifest of another file"
        left = [path.name for path in self.folder.iterdir() if path.name.startswith(".")]
        if left:
            yield f"{left} was left behind"


class _HandOver(Act):
    def set_up(self) -> None:
        self.partner = self.office.partner()
        self.batch = self.office.json("generate", "--product", self.product, "--count", self.cards)["batch"]

    def prepare(self) -> None:
        if self.status() == self.to_status:
            self.office.must(self.undo, "--batch", self.batch, "--partner", self.partner)
        super().prepare()

    def arguments(self):
        return self.name, "--batch", self.batch, "--partner", self.partner

    def count_done(self) -> int:
        return self.since("note", f"kind = '{self.kind}'")

    def status(self) -> str:
        """The status of all cards, in groups: more than one group means that a command did half of its work."""
        return self.value("SELECT GROUP_CONCAT(DISTINCT status) FROM card WHERE batch_id = %s", [self.batch])

    def faults(self, count: int):
        wanted = self.to_status if count else self.from_status
        if self.status() != wanted:
            yield f"cards that are {self.status()} after {count} notes"
        if self.since("note") != count or self.since("note", f"card_count = {self.cards}") != count:
            yield f"{self.since('note')} notes"
        events = self.since("card_event", f"to_status = '{self.to_status}' AND note_id > {self.before['note']}")
        if events != count * self.cards or self.since("card_event") != events:
            yield f"{self.since('card_event')} rows of history with {count} notes"
        priced = self.value(
            "SELECT COALESCE(SUM(card_count), 0) FROM note_price WHERE note_id > %s", [self.before["note"]]
        )
        if priced != count * self.cards:
            yield f"{priced} cards priced with {count} notes"
        held = self.value("SELECT COUNT(*) FROM card WHERE batch_id = %s AND partner_id IS NOT NULL", [self.batch])
        if held != self.cards * (wanted == "delivered"):
            yield f"{held} cards with a partner"


class Deliver(_HandOver):
    name, kind, from_status, to_status, undo = "deliver", "delivery", "created", "delivered", "return"


class Return(_HandOver):
    name, kind, from_status, to_status, undo = "return", "return", "delivered", "created", "deliver"


ACTS = (Generate, Import, Export, Deliver, Return)


if __name__ == "__main__":
    run(campaign)
