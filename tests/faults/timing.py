"""An unknown serial and a wrong PIN, 10,000 tries each (short: 300): are texts and times of the answers equal?

Tries alternate, so that other load on the machine affects both.  Different texts are a failure; times are only printed,
because they need a quiet machine.
"""

import random
import statistics

from tests.radius_client import RadiusClient

from .campaign import Campaign, run
from .results import Row

SERIALS = 500


def campaign(short: bool) -> Row:
    tries = 300 if short else 10_000
    with Campaign("timing", customers=0) as servers:
        radius = RadiusClient(servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port)
        chance = random.Random(1)
        known = [card.serial for card in servers.shop.sell(SERIALS)]
        unknown = [f"9{chance.randrange(10**9):09d}" for _ in range(SERIALS)]
        told, texts = [], set()
        for method in ("pap", "chap"):
            waited = {"unknown serial": [], "wrong PIN": []}
            for number in range(tries):
                for what, serials in (("unknown serial", unknown), ("wrong PIN", known)):
                    reply = radius.login(
                        serials[number % SERIALS],
                        f"{chance.randrange(10**10):010d}",
                        method=method,
                        calling_station_id=f"06-00-00-00-{number >> 8 & 255:02X}-{number & 255:02X}",
                    )
                    if reply is None or not reply.is_reject:
                        servers.fail(f"{what}: {reply and reply.code}")
                        continue
                    waited[what].append(reply.waited_seconds)
                    if set(reply.attributes) != {"Reply-Message", "Message-Authenticator"}:
                        servers.fail(f"{what}: {sorted(reply.attributes)}")
                    texts.add(reply["Reply-Message"])
            medians = {what: statistics.median(times) for what, times in waited.items()}
            difference_us = (medians["wrong PIN"] - medians["unknown serial"]) * 1e6
            told.append(
                f"{method}: median {medians['wrong PIN'] * 1e3:.2f} ms for a wrong PIN, {difference_us:+.0f} µs "
                f"beside an unknown serial"
            )
        if len(texts) != 1:
            servers.fail(f"texts differ: {texts}")
        row = servers.verdict("; ".join(told))
        return row._replace(acknowledged=4 * tries)


if __name__ == "__main__":
    run(campaign)
