"""Campaigns on a cluster: three Galera nodes, a FreeRADIUS for each, and customers whose NAS knows all three.

    with ClusterCampaign("all nodes at once") as servers:
        ...
        return servers.verdict()

A NAS sends to its own server, and each repetition to the next one, so that a request that one node may have executed
comes again to another.  Each FreeRADIUS prefers its own node, and can use the others.  At the end all nodes must have the
same data.
"""

import re
import time
from collections.abc import Callable

from tests.database import Database
from tests.shop import Shop
from tests.stack import FreeRadius, free_ports
from tests.stack.cluster import ClusterStack
from tests.stack.galera import Node, Place, places_on_loopback
from tests.stack.stack import DATABASE

from .campaign import Campaign, Stalled
from .customers import Customer, Customers
from .results import Row

NODES = 3
# The kernel keeps what a killed server wrote; only a power cut needs more.
QUICK = ["innodb_flush_method = nosync", "sync_frm = OFF"]
WAIT_SECONDS = 120


class ClusterCampaign(Campaign):
    def __init__(self, name: str, *, places: list[Place] | None = None, **options):
        super().__init__(name, **options)
        # The nodes run as the user mysql and must pass through it; the files in it keep their modes.
        self.folder.chmod(0o711)
        auth_port, acct_port = free_ports(2)
        self.stack = ClusterStack(
            self.folder,
            auth_port=auth_port,
            acct_port=acct_port,
            mariadb_options=QUICK,
            dies_with_parent=True,
            places=places or places_on_loopback(NODES),
            freeradius_options={"reject_delay": "0"},
        )
        self.cluster = self.stack.cluster
        self.nodes = self.cluster.nodes
        self.radius = [
            FreeRadius(
                self.folder,
                name=f"radius-{node.name}",
                auth_port=ports[0],
                acct_port=ports[1],
                options={"reject_delay": "0"},
                dies_with_parent=True,
            )
            for node, ports in zip(self.nodes, _pairs(free_ports(2 * NODES)), strict=True)
        ]

    def __enter__(self):
        try:
            self.stack.start_database()
            for node, radius in zip(self.nodes, self.radius, strict=True):
                self._start_radius(node, radius)
            self.shop = Shop(Database(self.stack.mariadb, DATABASE), self.stack.key_file)
            self.customers = RoamingCustomers(self.radius, self.purses())
            self.customers.start()
        except BaseException:
            self._end()
            raise
        return self

    def _start_radius(self, node: Node, radius: FreeRadius) -> None:
        """A server with its own option file: its node is the first."""
        option_file = self.folder / f"prepaid-{node.name}.cnf"
        own = f"{node.place.address}:{node.place.port}"
        others = [f"{other.place.address}:{other.place.port}" for other in self.nodes if other is not node]
        text = self.stack.option_file.read_text()
        all_hosts = self.stack._database_place()["hosts"]
        option_file.touch(0o600)
        option_file.write_text(text.replace(all_hosts, ", ".join([own, *others])))
        radius.copy_distribution()
        self.stack.prepaid(
            "--config",
            str(option_file),
            "raddb",
            "install",
            "--dir",
            str(radius.raddb),
            "--listen",
            "127.0.0.1",
            "--auth-port",
            str(radius.auth_port),
            "--acct-port",
            str(radius.acct_port),
        )
        radius.start()

    def _end(self) -> None:
        for radius in self.radius:
            radius.stop()
        self.charger.stop()
        self.stack.down()
        self._remove_folder()

    # --- While things go wrong -------------------------------------------------------------------------

    def wait_until_served(self) -> None:
        """Wait until a packet is acknowledged again."""
        self.load_for(200)

    def rejoin(self, node: Node) -> str:
        """Start a node; returns how it got what it had missed: IST or SST."""
        offset = node.log_file.stat().st_size
        node.start()
        with node.log_file.open(errors="replace") as log:
            log.seek(offset)
            words = log.read()
        found = re.findall(r"rsync (IST|SST) completed on joiner", words)
        return found[-1] if found else "nothing"

    # --- And after it ----------------------------------------------------------------------------------

    def verdict(self, told: str = "") -> Row:
        self.cluster.wait_until_whole()
        self.customers.stop()
        for table, sums in unequal_tables(self.nodes).items():
            self.fail(f"unequal: table {table} is not the same on all nodes: {sums}")
        lost = sum(
            int(node.status()[name])
            for node in self.nodes
            for name in ("wsrep_local_cert_failures", "wsrep_local_bf_aborts")
        )
        return super().verdict(f"{told}; {lost} transactions lost against another node's since the last starts")


class RoamingCustomers(Customers):
    """Customers of NAS that have several servers, in a different order for each."""

    def __init__(self, servers: list[FreeRadius], purses: list, *, seed: int = 1):
        super().__init__(servers[0].auth_port, servers[0].acct_port, purses, seed=seed)
        self._servers = [
            {self.auth: ("127.0.0.1", server.auth_port), self.acct: ("127.0.0.1", server.acct_port)}
            for server in servers
        ]

    def _send(self, one: Customer, request: bytes, to, now: float) -> None:
        server = one.random.randrange(len(self._servers))
        one.server = server
        one.asked = to
        super()._send(one, request, self._servers[server][to], now)

    def _repeat(self, one: Customer, now: float) -> None:
        one.server = (one.server + 1) % len(self._servers)
        one.to = self._servers[one.server][one.asked]
        super()._repeat(one, now)


def unequal_tables(nodes: list[Node]) -> dict[str, list]:
    """Tables that differ between nodes, with each node's checksum."""
    sums = [checksums(node) for node in nodes]
    return {table: [each[table] for each in sums] for table in sums[0] if len({each[table] for each in sums}) > 1}


def checksums(node: Node) -> dict[str, int]:
    with node.connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'",
            [DATABASE],
        )
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute("CHECKSUM TABLE " + ", ".join(tables))
        return dict(cursor.fetchall())


def _pairs(values: list) -> list[tuple]:
    return list(zip(values[::2], values[1::2], strict=True))


def wait_for(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise Stalled(f"after {WAIT_SECONDS} seconds {what} has not happened")
        time.sleep(0.1)
