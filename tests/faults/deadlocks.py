"""A storm of locks: rivals lock rows of live sessions until 10,000 statements of the module met one (short: 100).

The module waits for no row (innodb_lock_wait_timeout = 0), so it is never part of a deadlock.  A statement that meets a
locked row is rolled back, the packets of other rows are done without it, and its own come again.  The server counts those
rollbacks; the rivals' own are known.
"""

import contextlib
import multiprocessing
import random
import time

import pymysql

from tests.stack.mariadb import MariaDB
from tests.stack.stack import DATABASE

from .campaign import Campaign, run
from .results import Row

CUSTOMERS = 150
RIVALS = 2
HOLD_SECONDS = 0.008
SCRATCH = "CREATE TABLE IF NOT EXISTS fault_scratch (id BIGINT AUTO_INCREMENT PRIMARY KEY, x INT)"


def campaign(short: bool) -> Row:
    wanted = 100 if short else 10_000
    # Queued, because the charger writes hundreds of sessions in one statement; FreeRADIUS 3.2.1 has but one packet in Python.
    settings = {"accounting": "queued", "queue": ""}
    with Campaign("storm of locks", customers=CUSTOMERS, settings=settings) as servers:
        servers.sql(SCRATCH)
        servers.load_for(500)
        # Processes of their own: the customers have a thread to themselves here.
        processes = multiprocessing.get_context("spawn")
        is_ending, own = processes.Event(), processes.Value("i", 0)
        before = rollbacks(servers)

        def refused() -> int:
            return rollbacks(servers) - before - own.value

        rivals = [
            processes.Process(target=fight, args=(servers.folder, number, is_ending, own), daemon=True)
            for number in range(RIVALS)
        ]
        for rival in rivals:
            rival.start()
        servers.wait_until(lambda: refused() >= wanted)
        is_ending.set()
        for rival in rivals:
            rival.join()
        counted = refused()
        servers.load_for(500)
        return servers.verdict(
            f"{counted} statements of the module met a locked row; the rivals let go {own.value} times"
        )


def rollbacks(servers: Campaign) -> int:
    time.sleep(0.2)
    ((_, value),) = servers.sql("SHOW GLOBAL STATUS LIKE 'Handler_rollback'")
    return int(value)


def fight(folder, seed: int, is_ending, own) -> None:
    """One rival, until the end; *own* counts the rollbacks of all rivals."""
    chance = random.Random(seed)
    with MariaDB(folder).connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        seen = 0
        while not is_ending.is_set():
            # Two rivals lock in the other's order, too, so that one of them may have to give way.
            with contextlib.suppress(pymysql.err.OperationalError):
                lock_downwards(cursor, chance)
            cursor.execute("ROLLBACK")
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_rollback'")
            now = int(cursor.fetchone()[1])
            with own.get_lock():
                own.value += now - seen
            seen = now


def lock_downwards(cursor, chance: random.Random) -> None:
    """One of the higher rows for some milliseconds, and then half of all, in the other order."""
    cursor.execute(
        "SELECT card_id, MAX(login_number) FROM session FORCE INDEX (session_by_nas)"
        " WHERE nas_id > 1 AND due_at IS NOT NULL GROUP BY card_id"
    )
    rows = list(cursor.fetchall())
    if not rows:
        return
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO fault_scratch (x) SELECT seq FROM seq_1_to_100")
    *lower, first = sorted(chance.sample(rows, len(rows) // 2 + 1))
    lock(cursor, *first)
    time.sleep(HOLD_SECONDS)
    for place in reversed(lower):
        lock(cursor, *place)
        if chance.random() < 0.1:
            cursor.execute("SELECT 1 FROM card WHERE id = %s FOR UPDATE", (place[0],))
    cursor.execute("ROLLBACK")


def lock(cursor, card_id: int, number: int) -> None:
    cursor.execute("SELECT 1 FROM session WHERE card_id = %s AND login_number = %s FOR UPDATE", (card_id, number))


if __name__ == "__main__":
    run(campaign)
