"""Two FreeRADIUS processes and the engine that they share, which may be killed at any moment."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from freeradius_module.engine import wire
from freeradius_module.engine.server import accounting_path
from tests.office import Office
from tests.radius_client import RadiusClient
from tests.stack import FreeRadius, free_ports
from tests.waiting import engine_listens

NOBODY = 65534


class EngineClientSite:
    """Two FreeRADIUS of their own on the stack's database, and an engine."""

    def __init__(self, stack, folder):
        self.socket = folder / "engine"
        option_file = folder / "prepaid.cnf"
        option_file.write_text(
            stack.option_file.read_text().replace(
                "[prepaid]\n", f"[prepaid]\nengine = {self.socket}\ndatabase_timeout_seconds = 1\n"
            )
        )
        self.office = Office(option_file)
        self.servers, self.nas = [], []
        for number in range(2):
            auth_port, acct_port = free_ports(2)
            own = folder / str(number)
            own.mkdir()
            server = FreeRadius(own, auth_port=auth_port, acct_port=acct_port, dies_with_parent=True)
            server.copy_distribution()
            self.office.must(
                "raddb",
                "install",
                "--dir",
                server.raddb,
                "--listen",
                "127.0.0.1",
                "--auth-port",
                auth_port,
                "--acct-port",
                acct_port,
            )
            server.start()
            self.servers.append(server)
            self.nas.append(RadiusClient(auth_port, acct_port))
        self.engines: list[subprocess.Popen] = []

    def open_engine(self) -> subprocess.Popen:
        engine = self.office.spawn("engine", "--json")
        self.engines.append(engine)
        return engine

    def is_open(self) -> bool:
        return engine_listens(self.socket)

    def stop(self):
        for server in self.servers:
            server.stop()
        for engine in self.engines:
            engine.kill()
            engine.communicate()


@pytest.fixture
def site(stack, tmp_path):
    site = EngineClientSite(stack, tmp_path)
    yield site
    site.stop()


@pytest.fixture
def engine(site, wait_until):
    engine = site.open_engine()
    wait_until(site.is_open)
    return engine


def ended(engine: subprocess.Popen) -> tuple[int, int]:
    """How many logins and packets it had answered."""
    engine.send_signal(signal.SIGTERM)
    said, _ = engine.communicate(timeout=30)
    counts = json.loads(said)
    return counts["decided"], counts["charged"]


def use(nas: RadiusClient, card) -> None:
    """A card's whole session, and a login with a wrong PIN."""
    accepted = nas.login(card.serial, card.pin)
    assert accepted.is_accept
    session = nas.session(card.serial, accepted)
    assert nas.start(session).is_acknowledged
    assert nas.stop(session, 60).is_acknowledged
    assert nas.login(card.serial, "0000000000").is_reject


def test_two_servers_send_their_packets_to_the_engine(site, engine, shop):
    cards = shop.sell(2)
    for nas, card in zip(site.nas, cards, strict=True):
        use(nas, card)
    assert [shop.used(card) for card in cards] == [(60, 0, 0)] * 2
    # A wrong PIN is asked for and counted: two messages.
    assert ended(engine) == (6, 4)
    assert not site.socket.exists() and not accounting_path(site.socket).exists()


def test_every_way_to_prove_a_pin(site, engine, shop):
    (card,) = shop.sell(1, max_sessions=9)
    for number, method in enumerate(("pap", "chap", "mschap", "mschap2")):
        device = f"02-00-00-00-01-0{number}"
        assert site.nas[0].login(card.serial, card.pin, method=method, calling_station_id=device).is_accept, method
        assert site.nas[0].login(card.serial, "0000000000", method=method, calling_station_id=device).is_reject, method


def test_a_server_has_one_connection_a_thread_to_each_listener(site, engine, shop):
    # However many instances of the module it has: from 3.2.4 on 192, of which each packet takes another.
    for card in shop.sell(20):
        use(site.nas[0], card)
    threads = len(os.listdir(f"/proc/{site.servers[0].daemon.pid()}/task"))
    for listener in (site.socket, accounting_path(site.socket)):
        assert 0 < connections_to(listener) <= threads


def test_without_the_engine_each_server_decides_by_itself(site, shop, wait_until):
    card, later = shop.sell(2)
    use(site.nas[0], card)
    assert shop.used(card) == (60, 0, 0)
    engine = site.open_engine()
    wait_until(site.is_open)
    # The engine is looked for again a second after it was missed; FreeRADIUS delays a refusal for as long.
    wait_until(lambda: site.nas[0].login("9999999999", "0000000000").is_reject and connections_to(site.socket) > 0)
    use(site.nas[0], later)
    assert ended(engine)[1] == 2


def connections_to(listener: Path) -> int:
    """The connections that the engine has accepted: each is a socket with the listener's name, beside the listening one."""
    return sum(line.endswith(f" {listener}") for line in Path("/proc/net/unix").read_text().splitlines()) - 1


def test_an_engine_that_is_killed_loses_and_doubles_nothing(site, engine, shop, wait_until):
    card, later = shop.sell(2)
    nas = site.nas[0]
    accepted = nas.login(card.serial, card.pin)
    session = nas.session(card.serial, accepted)
    assert nas.start(session).is_acknowledged
    engine.kill()
    engine.wait()
    assert nas.interim(session, 60).is_acknowledged
    use(nas, later)
    again = site.open_engine()
    wait_until(site.is_open)
    assert nas.stop(session, 90).is_acknowledged
    assert shop.used(card) == (90, 0, 0)
    assert shop.used(later) == (60, 0, 0)
    ended(again)


def test_an_engine_that_hangs_is_given_up(site, engine, shop):
    (card,) = shop.sell(1)
    nas = site.nas[0]
    session = nas.session(card.serial, nas.login(card.serial, card.pin))
    assert nas.start(session).is_acknowledged
    engine.send_signal(signal.SIGSTOP)
    try:
        assert nas.interim(session, 60).is_acknowledged
    finally:
        engine.send_signal(signal.SIGCONT)
    # It has the packet, too, and does not do any more what nobody waits for.
    assert nas.stop(session, 61).is_acknowledged
    # A repetition that came a moment before may still be of use to its caller.
    assert ended(engine)[1] in (1, 2)
    assert shop.used(card) == (61, 0, 0)


def test_a_socket_serves_one_engine(site, engine):
    second = site.open_engine()
    _, said = second.communicate(timeout=30)
    assert second.returncode == 1
    assert said == f"Error: Another engine is open at {site.socket}.\n"
    assert site.is_open()


def test_another_file_is_not_removed(site):
    site.socket.write_text("mine")
    refused = site.open_engine()
    _, said = refused.communicate(timeout=30)
    assert refused.returncode == 1
    assert said == f"Error: {site.socket} is not a socket. Name another path for the engine.\n"
    assert site.socket.read_text() == "mine"


def test_nonsense_on_one_connection_does_not_disturb_the_others(site, engine, shop):
    for listener in (site.socket, accounting_path(site.socket)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.settimeout(30)
            caller.connect(str(listener))
            for nonsense in (
                b"\xff",
                b"what",
                b"what\0User-Name\0x",
                b"authorize\0User-Name",
                b"account\0User-Name",
                b"{}",
                b"\0",
                b"\0" * 9998,
                b"\0" * 9999,
            ):
                caller.send(nonsense)
                word, *_ = wire.words(caller.recv(65_536))
                assert word == "fault", nonsense
    use(site.nas[0], shop.sell(1)[0])


def test_no_other_account_is_served(site, engine):
    """The socket's mode keeps others out; if its mode was changed, the engine checks the caller's account."""
    assert {listener.stat().st_mode & 0o777 for listener in (site.socket, accounting_path(site.socket))} == {0o600}
    site.socket.chmod(0o666)
    for folder in site.socket.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    stranger = subprocess.run(
        [sys.executable, "-c", STRANGER, str(site.socket)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={},
        capture_output=True,
        text=True,
    )
    assert (stranger.stdout, stranger.stderr) == ("nothing\n", "")


STRANGER = """
import socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.settimeout(30)
connection.connect(sys.argv[1])
try:
    connection.send(b'["authorize", {"User-Name": "7000000001"}]')
    print(connection.recv(65_536) or "nothing")
except ConnectionError:
    print("nothing")
"""
