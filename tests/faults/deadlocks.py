"""A storm of deadlocks: rivals lock the same rows in the other order, until 10,000 were counted (short: 50).

The rivals are heavy (each has written a hundred rows), so that InnoDB ends the module's transaction and not theirs.
"""

import random
import threading
import time

import pymysql

from tests.stack.stack import DATABASE

from .campaign import Campaign, run
from .results import Row

RIVALS = 3
DEADLOCK = 1213
SCRATCH = "CREATE TABLE IF NOT EXISTS fault_scratch (id BIGINT AUTO_INCREMENT PRIMARY KEY, x INT)"


def campaign(short: bool) -> Row:
    wanted = 50 if short else 10_000
    with Campaign("deadlock storm", mariadb_options=["--innodb-lock-wait-timeout=1"]) as servers:
        servers.sql(SCRATCH)
        before = deadlocks(servers)
        rivals = [Rival(servers, number) for number in range(RIVALS)]
        for rival in rivals:
            rival.start()
        servers.wait_until(lambda: deadlocks(servers) - before >= wanted)
        for rival in rivals:
            rival.is_ending = True
        for rival in rivals:
            rival.join()
        counted = deadlocks(servers) - before
        own = counted - sum(rival.lost for rival in rivals)
        servers.load_for(500)
        return servers.verdict(f"{counted} deadlocks, {own} of them ended by a transaction of the module")


def deadlocks(servers: Campaign) -> int:
    ((_, value),) = servers.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    return int(value)


class Rival(threading.Thread):
    """Locks sessions and cards from the highest to the lowest, where the module goes from the lowest to the highest."""

    def __init__(self, servers: Campaign, seed: int):
        super().__init__(daemon=True)
        self.is_ending = False
        self.lost = 0
        self._servers = servers
        self._random = random.Random(seed)

    def run(self) -> None:
        with self._servers.stack.mariadb.connect(DATABASE) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            while not self.is_ending:
                try:
                    self._fight(cursor)
                except pymysql.err.OperationalError as fault:
                    if fault.args[0] == DEADLOCK:
                        self.lost += 1
                    cursor.execute("ROLLBACK")

    def _fight(self, cursor) -> None:
        cursor.execute("SELECT card_id, MAX(login_number) FROM session FORCE INDEX (session_by_nas)"
                       " WHERE nas_id > 1 AND due_at IS NOT NULL GROUP BY card_id")
        rows = list(cursor.fetchall())
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO fault_scratch (x) SELECT seq FROM seq_1_to_100")
        for card_id, number in sorted(self._random.sample(rows, min(len(rows), 12)), reverse=True):
            cursor.execute("SELECT 1 FROM session WHERE card_id = %s AND login_number = %s FOR UPDATE", (card_id, number))
            if self._random.random() < 0.3:
                cursor.execute("SELECT 1 FROM card WHERE id = %s FOR UPDATE", (card_id,))
            # Time for the module to take the next one.
            time.sleep(0.002)
        cursor.execute("ROLLBACK")


if __name__ == "__main__":
    run(campaign)
