"""A private MariaDB Galera cluster: nodes in one folder, started by the product's own helper.

Each node has its own ports on the loopback address, or its own address in a private network (see
tests/faults/partition.py).  If root starts them, the servers run as the user mysql, because the state transfer by rsync
fails as root.  The user mysql cannot read a checkout under /root; the nodes' folder is then under /var/tmp.
"""

import getpass
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pymysql

from tests.stack.daemon import Daemon
from tests.stack.errors import StackError
from tests.stack.mariadb import program

RADDB_CONFIG = Path(__file__).resolve().parents[2] / "raddb-config"
SHIPPED_HELPER = RADDB_CONFIG / "galera" / "prepaid-galera"
SHIPPED_OPTIONS = RADDB_CONFIG / "galera" / "prepaid-galera.cnf"
START_TIMEOUT_SECONDS = 120

# The server must not have a capability that bypasses file modes.  access(2) ignores it, so Aria would not find its log,
# would begin a new one, and all accounts would be lost.
AS_MYSQL = ["setpriv", "--reuid=mysql", "--regid=mysql", "--init-groups"]


class Place(NamedTuple):
    """The addresses of a node, for clients and for the other nodes, and its ports."""

    address: str
    port: int
    group_address: str
    group_port: int
    ist_port: int
    sst_port: int
    prefix: tuple[str, ...] = ()  # the command that enters its network

    @classmethod
    def on_loopback(cls, base_port: int, index: int) -> "Place":
        ports = [base_port + index + 10 * step for step in range(4)]
        return cls("127.0.0.1", ports[0], "127.0.0.1", *ports[1:])


class Node:
    def __init__(
        self,
        name: str,
        folder: Path,
        place: Place,
        group: list[Place],
        *,
        password: str,
        options: list[str] = (),
        dies_with_parent: bool = False,
    ):
        """`options` are lines for the node's option file; `password` is that of the account owner, who has all rights."""
        self.name = name
        self.folder = folder.resolve()
        self.place = place
        self.group = group
        self.data_folder = self.folder / "data"
        self.option_file = self.folder / "node.cnf"
        self._helper = self.folder / SHIPPED_HELPER.name
        self.socket = self.folder / "run" / "s"
        self.options = options
        # The system account that the server runs as; the database accepts it as its owner.
        self.owner = "mysql" if os.getuid() == 0 else getpass.getuser()
        self.password = password
        self._as_owner = AS_MYSQL if os.getuid() == 0 else []
        self._dies_with_parent = dies_with_parent
        self.log_file = self.folder / "log"

    # --- Life ------------------------------------------------------------------------------------------

    def start(self, *how: str, wait: bool = True) -> None:
        """Join the other nodes; or pass `--new`, or `--first POSITION POSITION`: see prepaid-galera."""
        self._make_folders()
        if "--new" in how and not (self.data_folder / "mysql").is_dir():
            self._make_data()
        self._write_option_file()
        self.daemon(*how).start(self.is_synced if wait else lambda: True, timeout_seconds=START_TIMEOUT_SECONDS)

    def daemon(self, *how: str) -> Daemon:
        """The process id, also of a server that another process started."""
        argv = [
            *self.place.prefix,
            *self._as_owner,
            str(self._helper),
            f"--defaults-file={self.option_file}",
            "start",
            "--foreground",
            *how,
        ]
        return Daemon(
            f"Galera node {self.name}",
            argv,
            pid_file=self.folder / "pid",
            log_file=self.log_file,
            mark=f"--defaults-file={self.option_file}",
            dies_with_parent=self._dies_with_parent,
        )

    def stop(self) -> None:
        self.daemon().stop()

    def kill(self) -> None:
        self.daemon().kill()

    def is_running(self) -> bool:
        return self.daemon().pid() is not None

    def position(self) -> str:
        return subprocess.run(
            [*self._as_owner, str(self._helper), f"--defaults-file={self.option_file}", "position"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()

    def forget(self) -> None:
        """Remove the data, as a new disk would: the next start needs a full copy."""
        shutil.rmtree(self.data_folder)

    # --- Questions -------------------------------------------------------------------------------------

    def is_synced(self) -> bool:
        try:
            status = self.status()
        except (pymysql.err.OperationalError, pymysql.err.InternalError):
            return False
        return status.get("wsrep_ready") == "ON" and status.get("wsrep_local_state_comment") == "Synced"

    def is_primary(self) -> bool:
        return self.status().get("wsrep_cluster_status") == "Primary"

    def status(self) -> dict[str, str]:
        with self.connect(connect_timeout=2, read_timeout=5) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep\\_%'")
            return dict(cursor.fetchall())

    def connect(self, database: str | None = None, **options) -> pymysql.Connection:
        return pymysql.connect(
            host=self.place.address,
            port=self.place.port,
            user="owner",
            password=self.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            **options,
        )

    # --- Files -----------------------------------------------------------------------------------------

    def _make_folders(self) -> None:
        for folder in (self.folder, self.folder / "run", self.data_folder):
            folder.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(folder, self.owner)
        for file in (SHIPPED_HELPER, SHIPPED_OPTIONS):
            shutil.copy(file, self.folder)

    def _make_data(self) -> None:
        """For the first node only: the other nodes get a copy."""
        done = subprocess.run(
            [
                *self._as_owner,
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.data_folder}",
                "--skip-test-db",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={self.owner}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Not shared: a server that starts removes all temporary tables in the folder.
            env=os.environ | {"TMPDIR": str(self.folder / "run")},
        )
        if done.returncode != 0:
            raise StackError(f"mariadb-install-db could not make {self.data_folder}; its output:\n{done.stdout}")

    def _write_option_file(self) -> None:
        place = self.place
        group = ",".join(f"{other.group_address}:{other.group_port}" for other in self.group)
        # A later line replaces an earlier one; all provider options are one line, so it repeats the shipped ones.
        lines = [
            f"!include {self.folder / SHIPPED_OPTIONS.name}",
            "",
            "[mariadb]",
            f"datadir = {self.data_folder}",
            f"socket = {self.socket}",
            f"pid_file = {self.folder / 'run' / 'pid'}",
            f"tmpdir = {self.folder / 'run'}",
            f"port = {place.port}",
            "bind_address = 0.0.0.0" if place.prefix else f"bind_address = {place.address}",
            "skip_name_resolve",
            "character_set_server = utf8mb4",
            "default_time_zone = +00:00",
            "max_connections = 200",
            "performance_schema = OFF",
            "innodb_buffer_pool_size = 64M",
            f"init_file = {self.folder / 'init.sql'}",
            f"wsrep_node_name = {self.name}",
            f"wsrep_node_address = {place.group_address}",
            f"wsrep_cluster_address = gcomm://{group}",
            f"wsrep_sst_receive_address = {place.group_address}:{place.sst_port}",
            'wsrep_provider_options = "'
            + "; ".join(
                [
                    *provider_options(SHIPPED_OPTIONS.read_text()),
                    f"gmcast.listen_addr=tcp://{place.group_address}:{place.group_port}",
                    f"ist.recv_addr={place.group_address}:{place.ist_port}",
                    "gcache.size=64M",
                ]
            )
            + '"',
            *self.options,
        ]
        self.option_file.write_text("\n".join(lines) + "\n")
        self._write_init_file()

    def _write_init_file(self) -> None:
        """A connection of the owner, over TCP, because the path of a socket may be too long."""
        write_secret(
            self.folder / "init.sql",
            "SET SESSION wsrep_on = OFF;\n"
            f"CREATE USER IF NOT EXISTS owner@'%' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO owner@'%' WITH GRANT OPTION;\n",
        )
        if os.getuid() == 0:
            shutil.chown(self.folder / "init.sql", self.owner)


class Cluster:
    def __init__(self, folder: Path, places: list[Place], *, options: list[str] = (), dies_with_parent: bool = False):
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        password_file = self.folder / "owner.password"
        if not password_file.exists():
            write_secret(password_file, secrets.token_urlsafe(24))
        password = password_file.read_text()
        home = self._home()
        self.nodes = [
            Node(
                name, home / name, place, places, password=password, options=options, dies_with_parent=dies_with_parent
            )
            for name, place in zip("abcdefgh", places, strict=False)
        ]

    def start(self) -> None:
        """Start the nodes that do not run: of a new cluster, a stopped one, or a running one."""
        running = [node for node in self.nodes if node.is_running()]
        if not running:
            self.start_first()
        for node in self.nodes:
            node.start()
        self.wait_until_whole()

    def start_first(self) -> None:
        """Start with the node that has the latest position."""
        known = [node for node in self.nodes if (node.data_folder / "grastate.dat").exists()]
        if not known:
            self.nodes[0].start("--new")
            return
        positions = {node: node.position() if node in known else "lost" for node in self.nodes}
        first = max(known, key=lambda node: int(positions[node].rpartition(":")[2]))
        first.start("--first", *(position for node, position in positions.items() if node is not first))

    def _home(self) -> Path:
        """Where the nodes' folders are: here, or where the user mysql has access."""
        if os.getuid() != 0 or subprocess.run([*AS_MYSQL, "test", "-x", str(self.folder)]).returncode == 0:
            return self.folder
        home = Path("/var/tmp") / f"prepaid-cards-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"
        home.mkdir(mode=0o711, exist_ok=True)
        link = self.folder / "nodes"
        if not link.is_symlink():
            link.symlink_to(home)
        return home

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.stop()

    def is_up(self) -> bool:
        return all(node.is_running() for node in self.nodes)

    def wait_until_whole(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait until every node is in the primary component and synced."""
        deadline = time.monotonic() + timeout_seconds
        while not all(
            node.is_synced() and node.status()["wsrep_cluster_size"] == str(len(self.nodes)) for node in self.nodes
        ):
            if time.monotonic() > deadline:
                raise StackError(
                    f"The cluster in {self.folder} is not whole after {timeout_seconds} seconds; each "
                    "node's words are in its file 'log'."
                )
            time.sleep(0.1)


def places_on_loopback(count: int) -> list[Place]:
    """Free ports, below those that the system gives to outgoing connections."""
    for base_port in range(20_000 + os.getpid() % 200 * 50, 32_000, 50):
        places = [Place.on_loopback(base_port, index) for index in range(count)]
        if all(
            _is_free(port)
            for place in places
            for port in (place.port, place.group_port, place.ist_port, place.sst_port)
        ):
            return places
    raise StackError(f"There are no {4 * count} free ports together between 20000 and 32000 on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


def provider_options(option_file: str) -> list[str]:
    """The list wsrep_provider_options of an option file.

    >>> provider_options('wsrep_provider_options = "gcache.size=1G; pc.recovery=no"')
    ['gcache.size=1G', 'pc.recovery=no']
    """
    (text,) = [line.partition("=")[2] for line in option_file.splitlines() if line.startswith("wsrep_provider_options")]
    return [option.strip() for option in text.strip(' "').split(";")]
