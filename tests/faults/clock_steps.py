"""The machine's clock steps by an hour, forward and back, and passes a change of summer time, under load.

Both servers use Berlin's time zone, so that a use of local time would show.  libfaketime moves the clock of FreeRADIUS,
which stamps the packets, and of the database, which decides; it does not reach Python inside radiusd, because
rlm_python3 loads that later.
"""

import calendar
import os
import time

from .campaign import Campaign, run
from .clock import FakeClock
from .results import Row

HOUR = 3600
# The clocks change in Berlin (01:00 UTC); here the time only moves forward, because backward steps are above.
CHANGES = ((3, 28), (10, 31))
YEAR = 2027


def campaign(short: bool) -> Row:
    packets = 500 if short else 5_000
    clocks: list[FakeClock] = []

    def prepare(servers: Campaign) -> None:
        clocks.append(FakeClock(servers.folder))
        for server in (servers.stack.mariadb, servers.stack.freeradius):
            server.daemon.env = os.environ | {"TZ": "Europe/Berlin"}

    with Campaign("clock steps", prepare=prepare) as servers:
        clock = clocks[0]
        for step in (HOUR, -HOUR, -HOUR, HOUR):
            servers.load_for(packets)
            clock.advance(step)
        servers.load_for(packets)
        for month, day in CHANGES:
            before_change = calendar.timegm((YEAR, month, day, 0, 59, 50))
            clock.advance(int(before_change - time.time()) - clock.seconds)
            servers.load_for(packets)
            servers.load_seconds(12)
            servers.load_for(packets)
        return servers.verdict("four steps of an hour, two changes of summer time")


if __name__ == "__main__":
    run(campaign)
