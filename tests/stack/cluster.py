"""The private stack on three Galera nodes: `make cluster` and `make cluster-down`.

Folder and ports come from the environment (VAR, CLUSTER_PORT, CLUSTER_AUTH_PORT, CLUSTER_ACCT_PORT).  The nodes use
the ports from CLUSTER_PORT on: 13306 to 13308 for clients, the next ones between the nodes.
"""

import os
import sys
from pathlib import Path

from tests import demo
from tests.stack.errors import StackError
from tests.stack.galera import Cluster, Place
from tests.stack.stack import SECRET, Stack

NODES = 3


class ClusterStack(Stack):
    """A stack whose database is a cluster; FreeRADIUS tries its nodes in order."""

    def __init__(
        self,
        folder: Path,
        *,
        auth_port: int,
        acct_port: int,
        places: list[Place],
        mariadb_options: list[str] = (),
        dies_with_parent: bool = False,
        **others,
    ):
        super().__init__(folder, auth_port=auth_port, acct_port=acct_port, dies_with_parent=dies_with_parent, **others)
        self.cluster = Cluster(self.folder, places, options=mariadb_options, dies_with_parent=dies_with_parent)
        # Any node can answer what the stack asks.
        self.mariadb = AnyNode(self.cluster)

    def _database_place(self) -> dict[str, str]:
        return {"hosts": ", ".join(f"{node.place.address}:{node.place.port}" for node in self.cluster.nodes)}

    def _owner_group(self) -> dict[str, dict[str, str]]:
        node = self.cluster.nodes[0]
        return {"prepaid-owner": {"user": "owner", "password": node.password, **self._database_place()}}


class AnyNode:
    """The cluster in the place of a single server."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.start = cluster.start
        self.stop = cluster.stop
        self.is_running = cluster.is_up

    def connect(self, database: str | None = None, **options):
        return self.cluster.nodes[0].connect(database, **options)


def main(arguments: list[str]) -> int:
    verbs = {"up": up, "down": down, "demo": play}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print("Usage: python -m tests.stack.cluster up|demo|down", file=sys.stderr)
        return 2
    try:
        return verbs[arguments[0]](cluster_of_environment()) or 0
    except StackError as error:
        print(f"make cluster: {error}", file=sys.stderr)
        return 1


def cluster_of_environment() -> ClusterStack:
    base_port = int(os.environ.get("CLUSTER_PORT", "13306"))
    return ClusterStack(
        Path(os.environ.get("VAR", "var")) / "cluster",
        auth_port=int(os.environ.get("CLUSTER_AUTH_PORT", "14812")),
        acct_port=int(os.environ.get("CLUSTER_ACCT_PORT", "14813")),
        places=[Place.on_loopback(base_port, index) for index in range(NODES)],
        settings={"lang": "en"},
    )


def up(stack: ClusterStack) -> None:
    stack.up()
    print("The cluster is up.")
    print(
        f"  FreeRADIUS   127.0.0.1, authentication {stack.freeradius.auth_port}, accounting"
        f" {stack.freeradius.acct_port}, secret {SECRET}"
    )
    for node in stack.cluster.nodes:
        print(f"  Node {node.name}       {node.place.address}:{node.place.port}, log {node.log_file}")
    print(f"  The office   prepaid --config {stack.option_file} --help")
    print("Stop it with 'make cluster-down'.")


def play(stack: ClusterStack) -> int:
    up(stack)
    return demo.main(stack, "make cluster-down")


def down(stack: ClusterStack) -> None:
    stack.down()
    print(f"The cluster is down; its data stays in {stack.folder}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
