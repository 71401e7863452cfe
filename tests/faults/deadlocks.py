"""Many deadlocks: rivals lock the same rows in the opposite order, until 10,000 deadlocks were counted (short: 20).

Each rival has written a hundred rows, so that InnoDB ends the module's smaller transaction and not the rival's.
"""

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
DEADLOCK = 1213
SCRATCH = "CREATE TABLE IF NOT EXISTS fault_scratch (id BIGINT AUTO_INCREMENT PRIMARY KEY, x INT)"


def campaign(short: bool) -> Row:
    wanted = 20 if short else 10_000
    # Queued, because the charger writes hundreds of sessions in one transaction; FreeRADIUS 3.2.1 has but one packet in Python.
    settings = {"accounting": "queued", "queue": ""}
    with Campaign(
        "deadlock storm", customers=CUSTOMERS, settings=settings, mariadb_options=["--innodb-lock-wait-timeout=1"]
    ) as servers:
        servers.sql(SCRATCH)
        servers.load_for(500)
        before = deadlocks(servers)
        # In other processes, because the customers' thread needs this one.
        processes = multiprocessing.get_context("spawn")
        is_ending, lost = processes.Event(), processes.Value("i", 0)
        rivals = [
            processes.Process(target=fight, args=(servers.folder, number, is_ending, lost), daemon=True)
            for number in range(RIVALS)
        ]
        for rival in rivals:
            rival.start()
        servers.wait_until(lambda: deadlocks(servers) - before >= wanted)
        is_ending.set()
        for rival in rivals:
            rival.join()
        counted = deadlocks(servers) - before
        servers.load_for(500)
        return servers.verdict(
            f"{counted} deadlocks, {counted - lost.value} of them ended by a transaction of the module"
        )


def deadlocks(servers: Campaign) -> int:
    time.sleep(0.2)
    ((_, value),) = servers.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(value)


def fight(folder, seed: int, is_ending, lost) -> None:
    """One rival, until the end; `lost` counts the deadlocks that ended its own transaction."""
    chance = random.Random(seed)
    with MariaDB(folder).connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        while not is_ending.is_set():
            try:
                lock_downwards(cursor, chance)
            except pymysql.err.OperationalError as fault:
                if fault.args[0] == DEADLOCK:
                    with lost.get_lock():
                        lost.value += 1
                cursor.execute("ROLLBACK")


def lock_downwards(cursor, chance: random.Random) -> None:
    """Lock one of the higher rows until the module waits for it, and then the rows that the module has locked."""
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
