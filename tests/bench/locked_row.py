"""How long other cards wait while one card's row is locked, as a delivery of many cards locks it for seconds.

    .venv/bin/python -m tests.bench.locked_row --others 16 --seconds 6

Some customers log in and report, each with an own card, by the module's own code in the threads of one process, as in
FreeRADIUS.  Then a transaction locks one more card, and that card's customer logs in and reports too.  Prints the wait of
the others, before and during the lock: p50, p99 and the longest, in milliseconds.
"""

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from tests.database import Database
from tests.engine_callers import PHONE, class_of, report, request
from tests.shop import Shop
from tests.stack import Stack, free_ports
from tests.stack.stack import DATABASE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--others", type=int, default=16, help="customers whose cards are not locked  [16]")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long the row stays locked  [6]")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prepaid-locked-"))
    auth_port, acct_port = free_ports(2)
    stack = Stack(folder, auth_port=auth_port, acct_port=acct_port, dies_with_parent=True)
    try:
        stack.start_database()
        measure(stack, options.others, options.seconds)
    finally:
        stack.down()
        shutil.rmtree(folder)


def measure(stack: Stack, others: int, seconds: float) -> None:
    database = Database(stack.mariadb, DATABASE)
    shop = Shop(database, stack.key_file)
    engine = Engine(settings.load(str(stack.option_file)))
    product = shop.product(credit_seconds=10_000_000, max_sessions=1)
    *cards, locked = shop.sell(others + 2, product=product)
    # Half of the others log in, half report.
    customers = [Customer(engine, card, index % 2 == 0) for index, card in enumerate(cards[:others])]
    of_locked = [Customer(engine, locked, logs_in) for logs_in in (True, False)]
    for customer in (*customers, of_locked[1]):
        customer.begin()
    print(f"{'':24}{'':12}{'count':>8}{'p50 ms':>10}{'p99 ms':>10}{'longest':>10}")
    for is_locked in (False, True):
        for customer in customers:
            customer.waits.clear()
        end = threading.Event()
        threads = [threading.Thread(target=customer.go_on, args=(end,)) for customer in customers]
        with database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            if is_locked:
                cursor.execute(
                    "UPDATE card SET expires_at = expires_at, note = 'locked' WHERE serial = %s", [locked.serial]
                )
                # Whose card is locked, logs in and reports; nobody waits for the end of that.
                threads += [threading.Thread(target=one.go_on, args=(end,), daemon=True) for one in of_locked]
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            end.set()
            for thread in threads[:others]:
                thread.join()
            cursor.execute("ROLLBACK")
        for logs_in, what in (True, "logins"), (False, "accounting"):
            waits = sorted(wait for one in customers if one.logs_in is logs_in for wait in one.waits)
            print(
                f"{'one card locked' if is_locked else 'nothing locked':24}{what:12}{len(waits):>8}"
                f"{waits[len(waits) // 2]:>10.1f}{waits[len(waits) * 99 // 100]:>10.1f}{waits[-1]:>10.1f}"
            )


class Customer:
    """A customer who logs in again and again, or whose session reports again and again."""

    def __init__(self, engine: Engine, card, logs_in: bool):
        self.engine = engine
        self.card = card
        self.logs_in = logs_in
        self.waits: list[float] = []
        self._seconds = 0
        self._classes: list[str] = []

    def go_on(self, end: threading.Event) -> None:
        while not end.is_set():
            began = time.perf_counter()
            try:
                self._log_in() if self.logs_in else self._report()
            except Exception:  # The locked card's: no answer.
                time.sleep(0.05)
            self.waits.append((time.perf_counter() - began) * 1000)
            # As a busy hotspot, and not as a storm: the wait is asked for, not the rate.
            time.sleep(0.01)

    def begin(self) -> None:
        """Who reports has logged in before."""
        if not self.logs_in:
            self._classes = class_of(self._log_in().answer)

    def _log_in(self):
        handout = self.engine.authorize(request(self.card, PHONE) | {"User-Password": self.card.pin})
        if handout.answer is None:
            raise ValueError("the PIN was wrong")
        return handout

    def _report(self) -> None:
        self._seconds += 1
        self.engine.account(
            report(self.card, "Interim-Update", self._seconds, self._classes, later_seconds=self._seconds)
        )


if __name__ == "__main__":
    main()
