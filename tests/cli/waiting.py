"""Wait for what must happen, however busy the machine is; give up only when it surely will not."""

import time

GIVE_UP_SECONDS = 120
# MariaDB shows innodb_trx anew only to who has not looked at it for a tenth of a second.
PAUSE_SECONDS = 0.15


def wait_until(condition) -> None:
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(PAUSE_SECONDS)


def waiting_for_a_lock(database) -> int:
    """How many transactions stand still because another one is not done."""
    return database.value("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
