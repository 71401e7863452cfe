"""One secret for each reader: FreeRADIUS under its own account, and the process that decides under another.

FreeRADIUS' account then reads neither the key nor any password, and asks for everything at the shared engine.
"""

import configparser
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from freeradius_module.engine import wire
from tests.office import Office
from tests.radius_client import RadiusClient
from tests.shop import SECRET
from tests.stack import FreeRadius, free_ports
from tests.stack.accounts import as_account, open_way
from tests.stack.stack import PREPAID
from tests.waiting import engine_listens

RADIUS, ENGINE = "freerad", "daemon"
# A NAS asks the next server when it has waited for so long.
SILENCE_SECONDS = 2

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs under other accounts")


class Apart:
    """An installation with files of its own, each readable by whom needs it."""

    def __init__(self, stack, folder: Path, has_queue: bool):
        self.folder = folder
        self.option_file = folder / "prepaid.cnf"
        self.key_file = folder / "key"
        self.secrets = [self.key_file, folder / "radius.cnf", folder / "admin.cnf"]
        self.socket = folder / "run" / "engine"
        self.engine: subprocess.Popen | None = None
        open_way(stack.folder)
        self._write_files(stack, has_queue)
        self.office = Office(self.option_file)
        auth_port, acct_port = free_ports(2)
        self.server = FreeRadius(
            folder,
            auth_port=auth_port,
            acct_port=acct_port,
            options={"reject_delay": "0"},
            dies_with_parent=True,
            account=RADIUS,
        )
        self.server.copy_distribution()
        self.office.must(
            "raddb",
            "install",
            "--dir",
            self.server.raddb,
            "--listen",
            "127.0.0.1",
            "--auth-port",
            auth_port,
            "--acct-port",
            acct_port,
        )
        self.nas = RadiusClient(auth_port, acct_port)

    def _write_files(self, stack, has_queue: bool) -> None:
        options = configparser.ConfigParser(interpolation=None)
        options.read(stack.option_file)
        for name, reader in (("radius", ENGINE), ("admin", "root")):
            own = configparser.ConfigParser(interpolation=None)
            own[f"prepaid-{name}"] = options[f"prepaid-{name}"]
            with (self.folder / f"{name}.cnf").open("w") as file:
                own.write(file)
            shutil.chown(self.folder / f"{name}.cnf", "root", reader)
            (self.folder / f"{name}.cnf").chmod(0o640)
        shutil.copy(stack.key_file, self.key_file)
        shutil.chown(self.key_file, "root", ENGINE)
        self.key_file.chmod(0o640)
        self.option_file.write_text(
            f"[prepaid]\nkey_file = {self.key_file}\nengine = {self.socket}\nengine_callers = {RADIUS}\n"
            + (f"queue = {self.folder / 'queue'}\n" if has_queue else "")
            + "!include radius.cnf\n!include admin.cnf\n"
        )
        self.socket.parent.mkdir(mode=0o750)
        shutil.chown(self.socket.parent, ENGINE, RADIUS)

    def open_engine(self) -> None:
        """As raddb-config/systemd/prepaid-engine.service does: an account of its own, the group of who may call."""
        self.engine = subprocess.Popen(
            [str(PREPAID), "--config", str(self.option_file), "engine"],
            user=ENGINE,
            group=RADIUS,
            extra_groups=[grp.getgrnam(ENGINE).gr_gid],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def is_open(self) -> bool:
        assert self.engine.poll() is None, self.engine.communicate()
        return engine_listens(self.socket)

    def login(self, card, pin=None, **options):
        return self.nas.login(card.serial, pin or card.pin, timeout_seconds=SILENCE_SECONDS, **options)

    def stop(self) -> None:
        self.server.stop()
        if self.engine is not None and self.engine.poll() is None:
            self.engine.kill()
            self.engine.communicate()


@pytest.fixture
def make(stack, open_folder):
    made = []

    def make(has_queue: bool = False, starts: bool = True) -> Apart:
        made.append(Apart(stack, open_folder, has_queue))
        if starts:
            made[0].server.start()
        return made[0]

    yield make
    for site in made:
        site.stop()


@pytest.fixture
def site(make, wait_until):
    site = make()
    site.open_engine()
    wait_until(site.is_open)
    return site


def accepted(reply):
    return reply if reply and reply.is_accept else None


def of_radius(*command: str) -> subprocess.CompletedProcess:
    """A program under FreeRADIUS' account, with its groups: what a taken-over radiusd can do."""
    account = pwd.getpwnam(RADIUS)
    return subprocess.run(
        command,
        user=RADIUS,
        group=RADIUS,
        extra_groups=os.getgrouplist(RADIUS, account.pw_gid),
        capture_output=True,
        text=True,
    )


def test_logins_accounting_and_a_new_nas_by_way_of_the_engine(site, shop, wait_until):
    (card,) = shop.sell(1)
    # The server does not know this NAS before its first packet, and has to ask for its secret.
    address = shop.nas("mikrotik")
    reply = wait_until(lambda: accepted(site.login(card, nas_ip=address)))
    session = site.nas.session(card.serial, reply, nas_ip=address)
    assert site.nas.start(session).is_acknowledged and site.nas.stop(session, 60).is_acknowledged
    assert shop.used(card) == (60, 0, 0)
    assert wait_until(lambda: site.login(card, "0000000000", nas_ip=address)).is_reject
    assert site.login(card, method="mschap2", nas_ip=address).is_accept
    assert "The shared engine at" in site.server.log_since_mark()
    assert len([line for line in site.server.log_since_mark().splitlines() if "may not" in line]) == 1, (
        "one line, and clear"
    )


def test_an_address_that_is_no_nas_gets_no_answer(site, shop):
    (card,) = shop.sell(1)
    shop.database.execute("UPDATE nas SET address = '127.0.0.1/32' WHERE name = 'loopback'")
    assert site.login(card, nas_ip="127.9.9.9") is None


def test_the_radius_account_reads_neither_key_nor_password(site):
    for path in site.secrets:
        done = of_radius(sys.executable, "-c", "import sys; open(sys.argv[1])", str(path))
        assert "PermissionError" in done.stderr, path
    assert of_radius("cat", str(site.option_file)).returncode == 0
    pid = site.server.daemon.pid()
    assert f"Uid:\t{pwd.getpwnam(RADIUS).pw_uid}" in Path(f"/proc/{pid}/status").read_text()


def test_a_taken_over_radiusd_can_ask_the_engine_and_nothing_else(site, stack):
    """What docs/security.md lists: the five questions of the engine; no way into the database."""
    done = of_radius(
        "mariadb", "--no-defaults", f"--socket={stack.mariadb.socket}", "--user=prepaid_radius", "-e", "SELECT 1"
    )
    assert done.returncode != 0 and "Access denied" in done.stderr
    with as_account(RADIUS):
        for window, known in (
            (site.socket, {"authorize", "admit", "wrong_pin", "client"}),
            (site.socket.with_name("engine-accounting"), {"account"}),
        ):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
                caller.settimeout(30)
                caller.connect(str(window))
                for what in ("authorize", "admit", "wrong_pin", "client", "account", "post", "key", "query", "secrets"):
                    caller.send(wire.request(what, 1e12, [("Tmp-String-0", "192.0.2.9"), ("User-Name", "0")]))
                    word, *_ = wire.words(caller.recv(65_536))
                    assert (word != "fault") == (what in known), what


def test_another_account_is_not_served(site):
    assert {path.stat().st_mode & 0o777 for path in (site.socket, site.socket.with_name("engine-accounting"))} == {
        0o660
    }
    site.socket.chmod(0o666)
    open_way(site.socket.parent)
    with as_account("nobody"), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(30)
        caller.connect(str(site.socket))
        try:
            caller.send(wire.request("client", 1e12, [("Tmp-String-0", "127.0.0.1")]))
            answer = caller.recv(65_536)
        except ConnectionError:
            answer = b""
    assert answer == b""


@pytest.mark.parametrize("has_queue", [True, False])
def test_an_engine_that_is_killed_is_what_a_database_is_that_is_away(make, shop, wait_until, has_queue):
    site = make(has_queue)
    site.open_engine()
    wait_until(site.is_open)
    card, new = shop.sell(2)
    session = site.nas.session(card.serial, wait_until(lambda: accepted(site.login(card))))
    assert site.nas.start(session).is_acknowledged

    site.engine.send_signal(signal.SIGKILL)
    site.engine.communicate()
    assert site.login(new) is None
    assert site.login(new, "0000000000") is None
    stop = site.nas.build_report(session, "Stop", seconds=60)
    acknowledged = site.nas.send(stop, timeout_seconds=SILENCE_SECONDS)
    assert bool(acknowledged) == has_queue
    assert shop.used(card) == (0, 0, 0)

    site.open_engine()
    wait_until(site.is_open)
    if has_queue:
        assert site.office.json("charge")["charged"] == 1
    else:
        assert wait_until(lambda: site.nas.send(stop, timeout_seconds=SILENCE_SECONDS)).is_acknowledged
    assert shop.used(card) == (60, 0, 0)
    assert wait_until(lambda: accepted(site.login(new)))["Session-Timeout"] == 600


def test_freeradius_starts_without_the_engine_and_serves_when_it_comes(make, shop, wait_until):
    site = make()
    (card,) = shop.sell(1)
    assert site.login(card) is None
    site.open_engine()
    wait_until(site.is_open)
    assert wait_until(lambda: accepted(site.login(card)))


def test_without_an_engine_a_key_that_may_not_be_read_stops_the_start(make):
    site = make(starts=False)
    site.option_file.write_text(site.option_file.read_text().replace(f"engine = {site.socket}\n", ""))
    with pytest.raises(Exception, match="ended as soon as it was started"):
        site.server.start()
    assert "may not use" in site.server.log_since_mark()


def test_a_caller_that_is_no_account_is_named(make):
    site = make(starts=False)
    site.option_file.write_text(
        site.option_file.read_text().replace(f"engine_callers = {RADIUS}", "engine_callers = nobody-here")
    )
    result = site.office.run("engine")
    assert result.exit_status == 1 and "nobody-here" in result.stderr


def test_the_secret_of_a_nas_is_what_the_radius_account_may_ask_for(site):
    """Named in docs/security.md: FreeRADIUS must know it, to check what the NAS sends."""
    with as_account(RADIUS), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(30)
        caller.connect(str(site.socket))
        caller.send(wire.request("client", 1e12, [("Tmp-String-0", "127.0.0.1")]))
        done, name, secret, _ = wire.words(caller.recv(65_536))
    assert (done, name, secret) == ("done", "loopback", SECRET)
