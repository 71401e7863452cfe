"""This project as a side of the bench: the module, its schema and its site, set up by its own command.

As the documents advise: with an engine; and on a FreeRADIUS that supports only one Python instance (3.2.1), one radiusd for
logins and one for accounting.
"""

import time
from pathlib import Path

from admin.freeradius import files as raddb_files
from freeradius_module.sealing import keyring, pin
from tests.stack import FreeRadius, Stack
from tests.stack.stack import DATABASE
from tests.waiting import engine_listens

from . import servers
from .cards import card
from .load import Endpoint

PRODUCT = "bench"
DRAIN_LIMIT_S = 120

# Straight into the tables: `prepaid import` is measured by a bench of its own.  Cards are in use
# already, as the peer's users are; a first login writes more, and happens once in a card's life.
CARDS = """
    LOAD DATA LOCAL INFILE %(csv)s INTO TABLE card
        FIELDS TERMINATED BY ',' (serial, @pin_sealed, key_number)
        SET pin_sealed = UNHEX(@pin_sealed), batch_id = %(batch)s, product_id = %(product)s,
            status = 'in_use', first_login_at = UTC_TIMESTAMP(3) - INTERVAL 40 DAY,
            posted_seconds = %(posted)s * 600, posted_down_octets = %(posted)s * 100000000,
            posted_up_octets = %(posted)s * 10000000, posted_login_number = %(posted)s
"""
# As `prepaid db archive` leaves them every night: what is older than two days is posted to the card, and in the archive.
LIVE = 2
SESSIONS = """
    INSERT INTO session (
        card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at, stopped_at, stop_cause,
        used_seconds, used_down_octets, used_up_octets,
        posted_seconds, posted_down_octets, posted_up_octets, granted_seconds, framed_ipv4
    )
    SELECT card.id, seq, nas.id, CONCAT('old', seq, '-', card.id), CONCAT('020000', LPAD(HEX(card.id), 6, '0')),
           ended_at - INTERVAL 600 SECOND, ended_at - INTERVAL 600 SECOND, ended_at, ended_at, 'User-Request',
           600, 100000000, 10000000, 0, 0, 0, 3600, '10.0.0.1'
      FROM card
      JOIN nas ON nas.name = 'loopback'
      JOIN (SELECT seq, UTC_TIMESTAMP(3) - INTERVAL %(history)s + 1 - seq DAY AS ended_at FROM seq_1_to_1000) AS days
        ON seq BETWEEN %(history)s - %(live)s + 1 AND %(history)s
"""
ARCHIVE = """
    INSERT INTO session_archive (
        card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, ended_at, end_cause,
        used_seconds, used_down_octets, used_up_octets, framed_ipv4
    )
    SELECT card.id, seq, nas.id, CONCAT('old', seq, '-', card.id), CONCAT('020000', LPAD(HEX(card.id), 6, '0')),
           ended_at - INTERVAL 600 SECOND, ended_at - INTERVAL 600 SECOND, ended_at, 'User-Request',
           600, 100000000, 10000000, '10.0.0.1'
      FROM card
      JOIN nas ON nas.name = 'loopback'
      JOIN (SELECT seq, UTC_TIMESTAMP(3) - INTERVAL %(history)s + 1 - seq DAY AS ended_at FROM seq_1_to_1000) AS days
        ON seq BETWEEN 1 AND %(history)s - %(live)s
"""


class Ours:
    """`ours`: with the engine that all servers share; `ours_alone`: without; `ours_queued`: accounting is queued, and has a
    charger of its own beside radiusd."""

    def __init__(self, name: str, folder: Path, endpoint: Endpoint, threads: int):
        self.name = name
        self.folder = folder
        self.queue = folder / "queue"
        self.engine_socket = folder / "engine"
        settings = {
            "ours": {"engine": str(self.engine_socket)},
            "ours_alone": {},
            "ours_queued": {"accounting": "queued", "queue": str(self.queue)},
        }[name]
        self.stack = Stack(
            folder,
            auth_port=endpoint.auth_port,
            acct_port=endpoint.acct_port,
            mariadb_options=servers.database_options(folder),
            settings=settings,
            dies_with_parent=True,
        )
        self.radiusds = servers_of(folder, endpoint, threads)
        self.endpoint = endpoint
        self.engine = self.stack.service("engine", "engine", is_batch=True) if "engine" in settings else None
        self.charger = self.stack.service("charger", "charge", "--watch") if "queue" in settings else None

    def start(self, cards: int, history: int):
        self.stack.start_database()
        self.load(cards, history)
        if self.engine:
            self.engine.start(lambda: engine_listens(self.engine_socket))
        for serve, server in self.radiusds:
            server.copy_distribution()
            ports = {"auth": server.auth_port, "acct": server.acct_port}
            self.stack.prepaid(
                "raddb",
                "install",
                "--dir",
                str(server.raddb),
                "--serve",
                serve,
                "--listen",
                "127.0.0.1",
                *(word for name, port in ports.items() if port for word in (f"--{name}-port", str(port))),
            )
            server.start()
        if self.charger:
            self.charger.start(lambda: True)  # what it takes to begin is part of the warm-up

    def load(self, cards: int, history: int):
        """Once in a folder; and what is looked at every day is in memory."""
        loaded = self.folder / "loaded"
        if not loaded.exists():
            with servers.filling(self.stack.mariadb, cards * (history + 1)):
                self.load_cards(cards, history)
            loaded.touch()
        with self.stack.mariadb.connect(DATABASE) as connection, connection.cursor() as cursor:
            servers.warm(
                cursor,
                ("session", "session_by_nas"),
                ("card", "serial_is_unique"),
                ("card", "PRIMARY"),
                ("session", "PRIMARY"),
            )

    def load_cards(self, cards: int, history: int):
        """The bench's cards, sold and in use, each with `history` ended sessions, one a day."""
        # The peer's credit, speeds and interval.
        self.stack.prepaid(
            "product",
            "add",
            PRODUCT,
            "--kind",
            "internet",
            "--time",
            "100000000s",
            "--speed-down",
            "10000",
            "--speed-up",
            "2000",
            "--idle-timeout",
            "600",
        )
        csv = self.folder / "sealed.csv"
        write_sealed(csv, cards, keyring.load(self.stack.key_file))
        with self.stack.mariadb.connect(DATABASE, local_infile=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM product WHERE name = %s", [PRODUCT])
            [product] = cursor.fetchone()
            cursor.execute(
                "INSERT INTO batch (product_id, card_count, first_serial, last_serial, origin)"
                " VALUES (%s, %s, %s, %s, 'imported')",
                [product, cards, card(0).serial, card(cards - 1).serial],
            )
            about = {
                "csv": str(csv),
                "batch": cursor.lastrowid,
                "product": product,
                "history": history,
                "live": min(history, LIVE),
                "posted": max(history - LIVE, 0),
            }
            cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
            for statement in (CARDS, SESSIONS, ARCHIVE, "ANALYZE TABLE card, session, session_archive"):
                cursor.execute(statement, about)

    def pids(self) -> dict[str, list[int]]:
        pids = {
            "radiusd": [servers.running_pid(server.daemon) for _, server in self.radiusds],
            "mariadbd": [servers.running_pid(self.stack.mariadb.daemon)],
        }
        for name, service in (("engine", self.engine), ("charger", self.charger)):
            if service:
                pids[name] = [servers.running_pid(service)]
        return pids

    def drain(self):
        """Wait until what was acknowledged is charged: a file of the queue is removed after its last commit.

        The files are looked at, not `prepaid queue status`: to start that command takes longer than to charge.
        """
        if not self.charger:
            return
        ends_at = time.monotonic() + DRAIN_LIMIT_S
        while any(file.name == "queue" or file.suffix == ".work" for file in self.queue.iterdir()):
            if time.monotonic() > ends_at or self.charger.pid() is None:
                raise RuntimeError(
                    f"The queue in {self.queue} is not charged; its charger's last words:\n{self.charger.last_lines()}"
                )
            time.sleep(0.005)

    def stop(self):
        for service in (self.engine, self.charger):
            if service:
                service.stop()
        for _, server in self.radiusds:
            server.stop()
        self.stack.down()


def has_many_instances() -> bool:
    version = tuple(int(part) for part in servers.freeradius_version().split("."))
    return raddb_files.instances_for(version, None) > 1


def servers_of(folder: Path, endpoint: Endpoint, threads: int) -> list[tuple[str, FreeRadius]]:
    """The servers by what they serve: one if it can have several Python instances, otherwise one for each port."""
    if has_many_instances():
        return [("both", servers.radiusd(folder, endpoint, threads))]
    return [
        ("auth", servers.radiusd(folder, endpoint._replace(acct_port=None), threads, name="auth")),
        ("acct", servers.radiusd(folder, endpoint._replace(auth_port=None), threads, name="acct")),
    ]


def write_sealed(path: Path, count: int, keys):
    """All cards as `serial,sealed PIN in hexadecimal,number of its key`."""
    with open(path, "w", encoding="ascii") as file:
        for number in range(count):
            serial, secret, _, _ = card(number)
            key_number, sealed = pin.seal(secret, serial, keys)
            file.write(f"{serial},{sealed.hex()},{key_number}\n")
