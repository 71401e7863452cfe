"""The network between the nodes drops all packets under load: 1|2, 1|1|1 and flapping, 20 times each (short: 2)."""

import random

from .campaign import run
from .cluster import ClusterCampaign, wait_for
from .partition import Network
from .results import Row

PACKETS = 500
FLAPS = 5


def campaign(short: bool) -> Row:
    times = 2 if short else 20
    chance = random.Random(1)
    with Network() as network, ClusterCampaign("galera: partitions", places=network.places) as servers:
        for turn in range(times):
            one_and_two(servers, network, turn % len(servers.nodes))
        for _ in range(times):
            all_alone(servers, network)
        for _ in range(times):
            flapping(servers, network, chance)
        return servers.verdict(f"{times} times each 1|2, 1|1|1 and flapping")


def one_and_two(servers: ClusterCampaign, network: Network, alone: int) -> None:
    """Two continue, one does not answer."""
    network.cut(alone)
    wait_for(lambda: not servers.nodes[alone].is_primary(), f"node {servers.nodes[alone].name} gives up")
    servers.load_for(PACKETS)
    network.mend()
    servers.cluster.wait_until_whole()


def all_alone(servers: ClusterCampaign, network: Network) -> None:
    """None continues until they reach each other again."""
    network.cut(*range(len(servers.nodes)))
    wait_for(lambda: not any(node.is_primary() for node in servers.nodes), "every node gives up")
    network.mend()
    servers.cluster.wait_until_whole()
    servers.load_for(PACKETS)


def flapping(servers: ClusterCampaign, network: Network, chance: random.Random) -> None:
    """Cut off one node or another, too briefly to be noticed or just long enough."""
    for _ in range(FLAPS):
        network.cut(chance.randrange(len(servers.nodes)))
        servers.load_seconds(chance.uniform(0.2, 7))
        network.mend()
        servers.load_seconds(chance.uniform(0.2, 2))
    servers.cluster.wait_until_whole()
    servers.load_for(PACKETS)


if __name__ == "__main__":
    run(campaign)
