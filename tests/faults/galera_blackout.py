"""kill -9 of all nodes at once under load, 5 times (short: 1): a bare restart is refused, the right one loses nothing."""

import threading

from tests.stack.errors import StackError

from .campaign import run
from .cluster import ClusterCampaign
from .results import Row

PACKETS = 2_000


def campaign(short: bool) -> Row:
    times = 1 if short else 5
    with ClusterCampaign("galera: all nodes at once") as servers:
        for _ in range(times):
            servers.load_for(PACKETS)
            kills = [threading.Thread(target=node.kill) for node in servers.nodes]
            for kill in kills:
                kill.start()
            for kill in kills:
                kill.join()
            if is_started_bare(servers):
                servers.fail("a node was started although no other one answered, and nobody had compared positions")
            print("  came to", *[node.position().rpartition(":")[2] for node in servers.nodes])
            servers.cluster.start()
            servers.wait_until_served()
        return servers.verdict(f"{times} times")


def is_started_bare(servers: ClusterCampaign) -> bool:
    try:
        servers.nodes[0].start()
    except StackError:
        return False
    return True


if __name__ == "__main__":
    run(campaign)
