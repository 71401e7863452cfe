"""An hour of load (short: 25 seconds): radiusd's memory, file handles and threads do not grow.

They are compared with those after the first tenth of the time, when radiusd has read what it keeps in memory.
"""

import time

from .campaign import Campaign, run
from .processes import held
from .results import Row

MEMORY_GROWTH_KIB = 16 * 1024
# In the short form, most of the 192 instances get their first packet, and its memory, after the first measurement.
MEMORY_GROWTH_KIB_SHORT = 48 * 1024
HANDLES_GROWTH = 5


def campaign(short: bool) -> Row:
    seconds, growth_kib = (25, MEMORY_GROWTH_KIB_SHORT) if short else (3600, MEMORY_GROWTH_KIB)
    with Campaign("soak") as servers:
        servers.load_seconds(seconds / 10)
        pid = servers.stack.freeradius.daemon.pid()
        first = held(pid)
        ends_at = time.monotonic() + seconds * 0.9
        servers.wait_until(lambda: time.monotonic() >= ends_at)
        last = held(pid)
        if last.memory_kib > first.memory_kib + growth_kib or last.handles > first.handles + HANDLES_GROWTH:
            servers.fail(f"radiusd held {first} at first and {last} at last")
        return servers.verdict(f"radiusd held {first} at first, {last} at last")


if __name__ == "__main__":
    run(campaign)
