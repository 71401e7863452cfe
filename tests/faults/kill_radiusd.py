"""kill -9 of radiusd under load: 20 times within 100,000 acknowledged packets (short: 3 within 6,000)."""

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times, packets = (3, 6_000) if short else (20, 100_000)
    with Campaign("kill of radiusd") as servers:
        for _ in range(times):
            servers.load_for(packets // (times + 1))
            servers.stack.freeradius.kill()
            servers.stack.freeradius.start()
        servers.load_for(packets // (times + 1))
        return servers.verdict(f"{times} times")


if __name__ == "__main__":
    run(campaign)
