"""Wait for what must happen, however busy the machine is; give up only when it surely will not."""

import socket
import time
from pathlib import Path

from freeradius_module.engine.server import accounting_path

GIVE_UP_SECONDS = 120
PAUSE_SECONDS = 0.05
# MariaDB refreshes innodb_trx only for those who have not read it for a tenth of a second.
TRANSACTIONS_PAUSE_SECONDS = 0.15


def wait_until(ask, seconds=GIVE_UP_SECONDS, pause_seconds=PAUSE_SECONDS):
    """Call `ask` again until it returns something true; return that."""
    give_up_at = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(pause_seconds)
    return answer


def wait_for_locks(database, count: int = 1) -> None:
    """Wait until so many transactions wait for a row that another one holds."""
    wait_until(lambda: waiting_for_a_lock(database) >= count, pause_seconds=TRANSACTIONS_PAUSE_SECONDS)


def engine_listens(path) -> bool:
    """Whether an engine accepts logins and accounting.  Its files are there a moment earlier, that of logins first."""
    for each in (Path(path), accounting_path(Path(path))):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            if probe.connect_ex(str(each)) != 0:
                return False
    return True


def waiting_for_a_lock(database) -> int:
    """How many transactions wait for a row that another one holds."""
    return database.value("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
