"""SIGSTOP of a node for 10 seconds under load, 10 times (short: 1): it keeps its connections and does not answer."""

from .campaign import run
from .cluster import ClusterCampaign
from .results import Row

PACKETS = 1_000
PAUSE_SECONDS = 10


def campaign(short: bool) -> Row:
    times = 1 if short else 10
    with ClusterCampaign("galera: a node hangs") as servers:
        for turn in range(times):
            node = servers.nodes[turn % len(servers.nodes)]
            servers.load_for(PACKETS)
            node.daemon().suspend()
            servers.load_seconds(PAUSE_SECONDS)
            servers.load_for(PACKETS)
            node.daemon().resume()
            servers.cluster.wait_until_whole()
        servers.load_for(PACKETS)
        return servers.verdict(f"{times} times {PAUSE_SECONDS} s")


if __name__ == "__main__":
    run(campaign)
