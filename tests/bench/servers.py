"""What all sides have in common: the settings of the database, how it is filled, and the number of threads.

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
    """The options of a server of ordinary size; tests.stack already flushes the log at every commit."""
    return [
        "--innodb-buffer-pool-size=1G",
        "--innodb-log-file-size=1G",
        # For a solid state disk, so that a round's pages are written before the next side's turn.
        "--innodb-io-capacity=2000",
        "--local-infile=1",
        # Loading sorts millions of rows; /tmp may be too small for that.
        f"--tmpdir={folder}",
    ]


# A table with more rows is loaded by a server with a larger buffer pool.
ROWS_MANY = 1_000_000


@contextlib.contextmanager
def filling(mariadb: MariaDB, rows: int) -> Iterator[None]:
    """Load many rows under random keys with a larger server; the server that is measured starts afterwards, and reads them
    from the disk."""
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
    """Read these keys of tables once, because in production the buffer pool is never empty."""
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
    """A fixed number of threads, so that no thread starts during a round."""
    return {
        "start_servers": str(threads),
        "max_servers": str(threads),
        "min_spare_servers": "1",
        "max_spare_servers": str(threads),
    }


def freeradius_version() -> str:
    """The version, as in '3.2.1'."""
    told = subprocess.run(["/usr/sbin/freeradius", "-v"], capture_output=True, text=True).stdout
    return told.partition("FreeRADIUS Version ")[2].split()[0].rstrip(",")


def running_pid(daemon) -> int:
    """The process id of a server; raises StackError with its last log lines if it has ended."""
    pid = daemon.pid()
    if pid is None:
        raise StackError(
            f"{daemon.name} has ended by itself; its last lines in {daemon.log_file}:\n{daemon.last_lines()}"
        )
    return pid
