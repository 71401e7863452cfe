"""kill -9 of a node under load, and its return by what it missed (IST, 10 times) or a full copy (SST, 10); short: 1."""

from .campaign import run
from .cluster import ClusterCampaign
from .results import Row

PACKETS = 2_000


def campaign(short: bool) -> Row:
    times = 1 if short else 10
    with ClusterCampaign("galera: kill and rejoin") as servers:
        for turn in range(2 * times):
            wanted = ("IST", "SST")[turn % 2]
            node = servers.nodes[turn % len(servers.nodes)]
            servers.load_for(PACKETS)
            node.kill()
            servers.load_for(PACKETS)
            if wanted == "SST":
                node.forget()
            how = servers.rejoin(node)
            if how != wanted:
                servers.fail(f"node {node.name} came back by {how}, not by {wanted}; see {node.log_file}")
        servers.load_for(PACKETS)
        return servers.verdict(f"{times} times by IST, {times} by SST")


if __name__ == "__main__":
    run(campaign)
