"""A campaign: private servers under load, a fault, and the checker's verdict at the end.

def campaign(short: bool) -> Row:
    with Campaign("kill of mariadbd") as servers:
        for _ in range(3 if short else 20):
            servers.load_for(1000)
            servers.stack.mariadb.kill()
            servers.stack.mariadb.start()
        return servers.verdict()

if __name__ == "__main__":
    run(campaign)
"""

import argparse
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.database import Database
from tests.shop import Shop
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE

from . import checker
from .customers import Customers, Purse
from .processes import open_files
from .results import Row, record

CUSTOMERS = 40
# One in so many customers has small cards, uses them up and obeys Session-Timeout.
SMALL_EACH = 8
SMALL_SECONDS = 15
SMALL_CARDS = 60
PATIENCE_SECONDS = 120
WORDS_SHOWN = 10


class Stalled(Exception):
    """No packet was acknowledged for a long time."""


class Campaign:
    """`settings` are added to the group [prepaid]; with a queue a charger runs too, and with an engine that engine.

    Customers who pause between two packets have fewer sessions on their cards.  Without pauses a card gets some thousand
    in minutes, too young to be archived, and each login reads them.
    """

    def __init__(
        self,
        name: str,
        *,
        customers: int = CUSTOMERS,
        pause_seconds: float = 0.0,
        settings: dict | None = None,
        mariadb_options: list[str] = (),
        prepare: Callable[["Campaign"], None] = lambda campaign: None,
    ):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="prepaid-faults-"))
        self.began_at = time.monotonic()
        self.queue = self.folder / "queue"
        settings = dict(settings or {})
        self.is_queueing = "queue" in settings
        if self.is_queueing:
            settings["queue"] = str(self.queue)
        self.has_engine = "engine" in settings
        if self.has_engine:
            settings["engine"] = str(self.folder / "engine")
        auth_port, acct_port = free_ports(2)
        self.stack = Stack(
            self.folder,
            auth_port=auth_port,
            acct_port=acct_port,
            durability=QUICK,
            settings=settings,
            mariadb_options=mariadb_options,
            freeradius_options={"reject_delay": "0"},
            dies_with_parent=True,
        )
        self.charger = self.stack.service("charger", "charge", "--watch")
        self.engine = self.stack.service("engine", "engine")
        self.customer_count = customers
        self.pause_seconds = pause_seconds
        self.failures: list[str] = []
        self._prepare = prepare

    def __enter__(self):
        try:
            self._prepare(self)
            self.stack.up()
            if self.is_queueing:
                self.charger.start(lambda: True)
            if self.has_engine:
                self.start_engine()
            self.shop = Shop(Database(self.stack.mariadb, DATABASE), self.stack.key_file)
            self.customers = Customers(self.stack.freeradius.auth_port, self.stack.freeradius.acct_port, self.purses())
            self.customers.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_fault):
        self._end()

    def _end(self) -> None:
        self.charger.stop()
        self.engine.stop()
        for server in (self.stack.mariadb, self.stack.freeradius):
            if server.is_running():
                server.daemon.resume()
        self.stack.down()
        self._remove_folder()

    def start_engine(self) -> None:
        """FreeRADIUS finds it within a second."""
        self.engine.start(self._is_engine_open)

    def is_engine_used(self) -> bool:
        """Whether FreeRADIUS uses it: then it has other sockets than its two listeners and its database connection."""
        return sum(target.startswith("socket:") for target in open_files(self.engine.pid())) > 3

    def _is_engine_open(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(str(self.folder / "engine")) == 0

    def _remove_folder(self) -> None:
        if os.environ.get("PREPAID_TEST_KEEP"):
            print(f"Kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def purses(self) -> list[Purse]:
        if not self.customer_count:
            return []
        small_count = self.customer_count // SMALL_EACH
        plenty = self.shop.sell(self.customer_count - small_count, credit_octets=2**60)
        purses = [Purse([(card.serial, card.pin)], pause_seconds=self.pause_seconds) for card in plenty]
        for _ in range(small_count):
            cards = self.shop.sell(SMALL_CARDS, credit_seconds=SMALL_SECONDS)
            purses.append(Purse([(card.serial, card.pin) for card in cards], SMALL_SECONDS, pause_seconds=0.4))
        return purses

    # --- During the fault ------------------------------------------------------------------------------

    def load_for(self, acknowledged: int) -> None:
        """Wait until so many more packets were acknowledged."""
        self.wait_until(lambda wanted=self.customers.acknowledged + acknowledged: self.customers.acknowledged >= wanted)

    def load_seconds(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        last, last_at = self.customers.acknowledged, time.monotonic()
        while not is_true():
            time.sleep(0.02)
            if self.customers.acknowledged > last:
                last, last_at = self.customers.acknowledged, time.monotonic()
            elif time.monotonic() - last_at > PATIENCE_SECONDS:
                raise Stalled(
                    f"{self.name}: nothing was acknowledged for {PATIENCE_SECONDS} seconds; the last lines of "
                    f"FreeRADIUS' log:\n{self.stack.freeradius.daemon.last_lines()}"
                )

    def fail(self, sentence: str) -> None:
        self.failures.append(sentence)

    def sql(self, statement: str, arguments=()) -> list[tuple]:
        with self.stack.mariadb.connect(DATABASE) as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    # --- After it --------------------------------------------------------------------------------------

    def verdict(self, told: str = "", *, is_quarantine_empty: bool = True) -> Row:
        """End the load, and run the checker; both servers must run."""
        self.customers.stop()
        if self.is_queueing:
            self.drain()
            if is_quarantine_empty and (self.queue / "quarantine").exists():
                self.fail("there are packets in the quarantine")
        path = self.folder / "record.jsonl"
        self.customers.write(path)
        with self.stack.mariadb.connect(DATABASE) as connection:
            found = checker.check(path, connection)
        self.failures += self.customers.failures
        for sentence in (found.words + self.failures)[:WORDS_SHOWN]:
            print(f"  {sentence}")
        print(
            f"  {self.name}: {found.sessions} sessions, {self.customers.logins} logins, {self.customers.refused} refused once, "
            f"longest wait {self.customers.longest_wait_seconds:.1f} s{told and ', ' + told}"
        )
        return Row(
            self.name,
            found.acknowledged,
            found.lost,
            found.doubled,
            found.overrun,
            len(self.failures),
            time.monotonic() - self.began_at,
        )

    def drain(self) -> None:
        """Wait until the queue is charged: a file of the queue is removed after its last commit."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while any(path.name == "queue" or path.suffix == ".work" for path in self.queue.iterdir()):
            if time.monotonic() > ends_at or self.charger.pid() is None:
                self.fail(
                    f"the queue is not charged; the last lines of the charger's log:\n{self.charger.last_lines()}"
                )
                return
            time.sleep(0.05)


def run(campaign: Callable[[bool], Row]) -> None:
    """Run the campaign as a program; `--short` is the form that runs at every change."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="some seconds instead of some minutes")
    row = campaign(parser.parse_args().short)
    record(row)
    print(row_line(row))
    sys.exit(1 if is_bad(row) else 0)


def is_bad(row: Row) -> bool:
    return bool(row.lost or row.doubled or row.overrun or row.failed)


def row_line(row: Row) -> str:
    return (
        f"{row.campaign:<28} {row.acknowledged:>9} acknowledged  {row.lost} lost  {row.doubled} doubled  "
        f"{row.overrun} overrun  {row.failed} failed  {row.seconds:.0f} s"
    )
