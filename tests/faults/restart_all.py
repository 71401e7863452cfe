"""All servers are stopped and started again, in random order, under load: 10 times (short: 2)."""

import random

from .campaign import Campaign, run
from .results import Row


def campaign(short: bool) -> Row:
    times = 2 if short else 10
    with Campaign("restart of everything", settings={"queue": ""}) as servers:
        order = random.Random(1)
        everything = [servers.stack.mariadb, servers.stack.freeradius, Charger(servers)]
        for _ in range(times):
            servers.load_for(1_000 if short else 5_000)
            for server in order.sample(everything, 3):
                server.stop()
            for server in order.sample(everything, 3):
                server.start()
        servers.load_for(1_000)
        return servers.verdict(f"{times} times")


class Charger:
    def __init__(self, servers: Campaign):
        self._charger = servers.charger

    def stop(self) -> None:
        self._charger.stop()

    def start(self) -> None:
        self._charger.start(lambda: True)


if __name__ == "__main__":
    run(campaign)
