"""What every side has in common: the settings of its database, how it is filled, and the number of its threads.

The servers themselves are those of tests.stack.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.stack import FreeRadius, MariaDB, StackError


def database(folder: Path) -> MariaDB:
    return MariaDB(folder, options=database_options(folder), dies_with_parent=True)


def database_options(folder: Path) -> list[str]:
    """Beside a log that is flushed at every commit (tests.stack's own setting): a server of an ordinary size."""
    return [
        "--innodb-buffer-pool-size=1G",
        "--innodb-log-file-size=1G",
        # A solid disk's, so that what a round leaves to be written is written before the next side's turn.
        "--innodb-io-capacity=2000",
        "--local-infile=1",
        # Millions of rows are sorted while they are loaded; /tmp may be small.
        f"--tmpdir={folder}",
    ]


# More rows than these are not loaded in the buffer pool that is measured.
ROWS_MANY = 1_000_000


@contextlib.contextmanager
def filling(mariadb: MariaDB, rows: int) -> Iterator[None]:
    """Many rows under random keys are loaded by a server with more memory than the one that is measured, which is started
    after it: what it knows of them is on the disk."""
    if rows <= ROWS_MANY:
        yield
        return
    roomy = MariaDB(
        mariadb.folder,
        options=[
            *database_options(mariadb.folder),
            "--innodb-buffer-pool-size=9G",
            "--innodb-log-file-size=4G",
            "--innodb-flush-log-at-trx-commit=2",
        ],
        dies_with_parent=True,
    )
    mariadb.stop()
    roomy.start()
    try:
        yield
    finally:
        roomy.stop()
    mariadb.start()


def warm(cursor, *keys: tuple[str, str]) -> None:
    """Read these keys of tables once, as the days before have done: a pool is never empty in a working week."""
    for table, key in keys:
        cursor.execute(f"SELECT COUNT(*) FROM {table} FORCE INDEX ({key})")
        cursor.fetchall()


def radiusd(folder: Path, endpoint, threads: int, name: str = "radiusd") -> FreeRadius:
    """A radiusd with this many threads, under the scheduler's batch policy, which makes the peer faster, too."""
    return FreeRadius(
        folder,
        name=name,
        auth_port=endpoint.auth_port,
        acct_port=endpoint.acct_port,
        options=thread_options(threads),
        is_batch=True,
        dies_with_parent=True,
    )


def thread_options(threads: int) -> dict[str, str]:
    """A fixed number of threads, so that no round pays for starting some."""
    return {
        "start_servers": str(threads),
        "max_servers": str(threads),
        "min_spare_servers": "1",
        "max_spare_servers": str(threads),
    }


def freeradius_version() -> str:
    """As in '3.2.1'."""
    told = subprocess.run(["/usr/sbin/freeradius", "-v"], capture_output=True, text=True).stdout
    return told.partition("FreeRADIUS Version ")[2].split()[0].rstrip(",")


def running_pid(daemon) -> int:
    """The process id of a server that must be there, or the reason why it is not."""
    pid = daemon.pid()
    if pid is None:
        raise StackError(
            f"{daemon.name} has ended by itself; its last words in {daemon.log_file}:\n{daemon.last_words()}"
        )
    return pid
