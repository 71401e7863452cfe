"""An hour of load (short: 25 seconds): radiusd's memory, file handles and threads stay what they were.

Threads and memory are compared with those after the first tenth of the time, when all that is kept has been read.
"""

import time

from .campaign import Campaign, run
from .processes import held
from .results import Row

MEMORY_GROWTH_KIB = 16 * 1024
# In so short a time, most of what 192 instances of the module need for their first packet comes after the first look.
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
