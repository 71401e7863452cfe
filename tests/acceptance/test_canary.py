"""Canaries: PINs that nobody else has are used in every way there is; then they are searched for everywhere else.

Played once, on servers of their own: MariaDB writes every statement down (general, slow and binary log), one
FreeRADIUS charges directly and has a queue_folder, one has a queue, and one has a module whose every function fails with the
PIN in the text of its exception.  A NAS' secret and an operator's password are canaries, too.
"""

import configparser
import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from types import SimpleNamespace

import pyrage
import pytest

from tests import canary
from tests.acceptance.test_host_eap import METHODS, Device
from tests.acceptance.test_queued_accounting import QueuedSite
from tests.canary import MARK, WatchedOffice, new_pin
from tests.host import HOSTILE
from tests.office import TIMEOUT_SECONDS
from tests.stack import Stack
from tests.stack.mariadb import QUICK, program
from tests.stack.stack import DATABASE, PREPAID

# Silence must be waited for; the servers answer within milliseconds otherwise.
SILENCE_SECONDS = 1
WRONG = new_pin()
FORMATS = ("csv", "delimited", "xlsx", "pdf")
# See hostile/failing.py.
NAS_WITH_A_CANARY = "127.0.0.9"


class Premises:
    """Everything in `folder` is searched.  In `papers` is what the office brings and takes away: there PINs may be."""

    def __init__(self, patch, wait_until):
        self.wait_until = wait_until
        self.folder = Path(tempfile.mkdtemp(prefix="prepaid-canary-"))
        self.papers = Path(tempfile.mkdtemp(prefix="prepaid-canary-papers-"))
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        patch.setenv("TMPDIR", str(self.temporary))
        patch.setattr(tempfile, "tempdir", str(self.temporary))
        self.processes = canary.Processes(patch)
        logs = self.folder / "log"
        self.stack = Stack(
            self.folder,
            auth_port=0,
            acct_port=0,
            durability=QUICK,
            dies_with_parent=True,
            mariadb_options=[
                "--innodb-log-file-size=8M",
                "--general-log",
                f"--general-log-file={logs}/general.log",
                "--slow-query-log",
                "--long-query-time=0",
                f"--slow-query-log-file={logs}/slow.log",
                "--server-id=1",
                f"--log-bin={self.folder}/binlog",
                "--log-bin-trust-function-creators",
            ],
        )
        self.office = WatchedOffice(self.stack.option_file)
        self.sites: list[QueuedSite] = []
        self.drawn: list[str] = []

    @property
    def needles(self) -> dict[str, bytes]:
        return canary.needles([*self.pins.values(), *self.drawn, WRONG])

    def play(self) -> None:
        self.stack.start_database()
        self.office.must(
            "nas", "add", "canary", "--address", f"{NAS_WITH_A_CANARY}/32", "--secret-file", "-", stdin=f"{MARK}-nas\n"
        )
        # The password is shown once, to whoever makes the account.
        self.office.must(
            "operator", "add", "canary", "--role", "see", "--password-file", "-", stdin=f"{MARK}-operator\n"
        )
        self.office.said.pop()
        self._import_and_refuse_to()
        self._export()
        self._hand_over_and_look_at()
        self.direct, self.queued, self.failing = (
            self._site(name, how) for name, how in (("direct", "direct"), ("queued", "queued"), ("failing", "direct"))
        )
        self._log_in()
        self._account()
        self._lose_the_database()
        self._fail_in_every_hook()
        self._look_after()

    # --- The office ----------------------------------------------------------------------------------------

    def _import_and_refuse_to(self) -> None:
        self.product = self.office.product("--time", "100h", "--sessions", "200")
        self.pins = {f"CANARY{number}": new_pin() for number in range(3)}
        self.telephony = {"VOICE1": new_pin()}
        batches = [
            self._import(self.pins, self.product),
            self._import(self.telephony, self.office.product("--money", "20.00", kind="telephony")),
        ]
        self.batch, self.voice_batch = batches
        pin = new_pin()
        for text in (
            f"X1,{pin}\nX2,{pin}\n",
            f"serial,pin\nX1,{pin}\nX1,{pin}\n",
            f"serial,pin\nX1,{pin}\x07\n",
            f"serial,pin\nX1,{pin * 5}\n",
            f"serial,pin\nX1,{pin},{pin}\n",
            f'serial,pin\nX1,"{pin}\n',
            f"serial,pin\n,{pin}\n",
            f"serial,pin\nX1,{pin}\x81\n",  # neither UTF-8 nor Windows-1252
            f"serial,pin\nCANARY0,{pin}\n",
            f"serial,{pin}\nX1,{pin}\n",
        ):
            assert self._try_import(text.encode("latin-1")).exit_status == 1
        assert self._try_import(f"serial,pin\nX1,{pin}\n".encode(), "--dry-run").exit_status == 0

    def _try_import(self, content: bytes, *options, product=None):
        path = self.papers / "cards.csv"
        path.write_bytes(content)
        return self.office.run("import", path, "--product", product or self.product, "--json", *options)

    def _import(self, pins: dict[str, str], product: str) -> int:
        rows = "".join(f"{serial},{pin}\n" for serial, pin in pins.items())
        return self._try_import(f"serial,pin\n{rows}".encode(), product=product).json()["batch"]

    def _export(self) -> None:
        """In every form, open and sealed; and cards whose PINs are drawn."""
        self.identity = pyrage.x25519.Identity.generate()
        again = ()
        for form in FORMATS:
            for name, seal in ((form, ()), (f"{form}.age", ("--seal", str(self.identity.to_public())))):
                shown = () if form == "pdf" else ("--fields", "serial,pin,login_url")
                self.office.must(
                    "export",
                    "--batch",
                    self.batch,
                    "--format",
                    form,
                    "--output",
                    self.papers / name,
                    *shown,
                    "--qr-url",
                    "https://hotspot.example/login?user={serial}&code={pin}",
                    *seal,
                    *again,
                )
                again = ("--again", "--reason", "canary")
        self.office.must("export", "--batch", self.batch, "--output", self.papers / "csv", "--force", *again)
        drawn = self.office.json("generate", "--product", self.product, "--count", 2, "--pin-length", 16)["batch"]
        self.office.must("export", "--batch", drawn, "--fields", "serial,pin", "--output", self.papers / "drawn")
        lines = (self.papers / "drawn").read_text("utf-8-sig").split()[1:]
        self.drawn = [line.split(",")[1] for line in lines]
        assert len(self.drawn) == 2

    def _hand_over_and_look_at(self) -> None:
        office, serial = self.office, "CANARY0"
        shown = office.json("show", serial, "--pin")
        assert shown["pin"] == self.pins[serial]
        # Whoever asks for it is told.
        self.office.said.pop()
        partner = office.partner()
        for batch in (self.batch, self.voice_batch):
            office.must("deliver", "--batch", batch, "--partner", partner)
        for wanted in (
            ("show", serial),
            ("list",),
            ("batch", "show", self.batch),
            ("track", serial),
            ("simulate", serial),
            ("note", "list"),
            ("report", "stock"),
            ("nas", "show", "canary"),
        ):
            office.json(*wanted)
        ((number, pin),) = self.telephony.items()
        account = ("--account", "+551133334444")
        assert office.run("redeem", number, *account, stdin=WRONG + "\n").exit_status == 1
        office.must("redeem", number, *account, stdin=pin + "\n")
        for act in (
            ("key", "add"),
            ("key", "rotate", "--yes"),
            ("block", "CANARY1", "--reason", "canary"),
            ("unblock", "CANARY1"),
        ):
            office.must(*act)

    # --- Customers -----------------------------------------------------------------------------------------

    def _site(self, name: str, accounting: str) -> QueuedSite:
        folder = self.folder / name
        folder.mkdir()
        site = QueuedSite(self.stack, folder, accounting, options={"reject_delay": "0"})
        site.office = WatchedOffice(site.office.option_file)
        self.sites.append(site)
        return site

    def _log_in(self) -> None:
        nas = self.direct.nas
        for serial, pin in self.pins.items():
            for method in ("pap", "chap", "mschap", "mschap2"):
                assert nas.login(serial, pin, method=method).is_accept
                assert nas.login(serial, WRONG, method=method, calling_station_id=method).is_reject
        for user in (b"caf\xe9", "%{User-Password}", "nobody"):
            assert nas.login(user, WRONG).is_reject
        # Not signed, a secret that is not the NAS': no answer.
        for options in ({"message_authenticator": False}, {"nas_ip": NAS_WITH_A_CANARY}):
            assert nas.login(serial, pin, timeout_seconds=SILENCE_SECONDS, **options) is None
        if shutil.which("eapol_test"):
            device = Device(SimpleNamespace(server=self.direct.server), self.papers)
            for method in METHODS:
                assert device.login(serial, pin, method=method).code == "Access-Accept"
                assert device.login(serial, WRONG, method=method).code == "Access-Reject"

    def _account(self) -> None:
        """What some NAS add to their reports besides is written nowhere, readable or not."""
        serial, pin = next(iter(self.pins.items()))
        for site in (self.direct, self.queued):
            session = site.nas.session(serial, site.nas.login(serial, pin))
            assert site.nas.interim(session, 1, attributes={"Connect-Info": pin}).is_acknowledged
            unreadable = {"Connect-Info": pin, "Called-Station-Id": b"Caf\xe9"}
            assert site.nas.stop(session, 2, attributes=unreadable).is_acknowledged
        charger = self.queued.start_charger()
        self.wait_until(self.queued.is_charged)
        self.processes.seen.append(canary.shown(charger.pid))

    def _lose_the_database(self) -> None:
        serial, pin = next(iter(self.pins.items()))
        session = self.direct.nas.session(serial, self.direct.nas.login(serial, pin))
        self.stack.mariadb.kill()
        for method in ("pap", "mschap2"):
            assert self.direct.nas.login(serial, pin, method=method, timeout_seconds=SILENCE_SECONDS) is None
        for site in (self.direct, self.queued):
            assert site.nas.interim(session, 60, attributes={"Connect-Info": pin}).is_acknowledged
        assert (self.direct.queue / "queue").exists()
        assert self.office.run("show", serial, "--pin").exit_status == 3
        self.stack.mariadb.start()
        self.direct.office.json("queue", "replay")

    def _fail_in_every_hook(self) -> None:
        site = self.failing
        site.server.stop()
        path = site.server.raddb / "mods-available" / "prepaid"
        text = path.read_text().replace("freeradius_module.hooks", "failing")
        path.write_text(re.sub('python_path = "(.*)"', rf'python_path = "\1:{HOSTILE}"', text))
        site.server.start()
        serial, pin = next(iter(self.pins.items()))
        silent = {"timeout_seconds": SILENCE_SECONDS}
        for kind in ("ValueError", "KeyError", "UnicodeEncodeError", "DataError"):
            assert site.nas.login(serial, pin, calling_station_id=f"authorize {kind}", **silent) is None
            assert site.nas.login(serial, WRONG, calling_station_id=f"login_refused {kind}").is_reject
        assert site.nas.login(serial, pin, method="mschap2", calling_station_id="post_auth KeyError", **silent) is None
        assert site.nas.login(serial, pin, nas_ip=NAS_WITH_A_CANARY, **silent) is None
        # What the module does not take goes to the queue_folder.
        session = site.nas.session(serial, calling_station_id="accounting ValueError")
        assert site.nas.stop(session, 1).is_acknowledged

    def _look_after(self) -> None:
        serial, pin = next(iter(self.pins.items()))
        for site in self.sites:
            site.office.json("queue", "status")
            site.office.json("queue", "quarantine")
            site.office.json("charge")
        self.direct.office.run(
            "doctor", "--dir", self.direct.server.raddb, "--card", serial, "--json", stdin=pin + "\n"
        )
        self.direct.office.run("doctor", "--dir", self.direct.server.raddb, "--card", serial, stdin=WRONG + "\n")
        self.office.must("block", "CANARY2", "--reason", "canary")
        assert self.direct.nas.login("CANARY2", self.pins["CANARY2"]).is_reject
        for wanted in (("reconcile",), ("audit", "verify"), ("track", serial), ("sessions",)):
            self.office.json(*wanted)

    # --- And afterwards ------------------------------------------------------------------------------------

    @property
    def offices(self) -> list[WatchedOffice]:
        return [self.office, *(site.office for site in self.sites)]

    def dump(self, *options: str) -> bytes:
        return subprocess.run(
            [
                program("mariadb-dump"),
                "--no-defaults",
                f"--socket={self.stack.mariadb.socket}",
                "--all-databases",
                "--routines",
                "--triggers",
                *options,
            ],
            stdout=subprocess.PIPE,
            check=True,
        ).stdout

    def close(self) -> None:
        for site in self.sites:
            site.stop()
        self.stack.down()
        if not os.environ.get("PREPAID_TEST_KEEP"):
            shutil.rmtree(self.folder)
            shutil.rmtree(self.papers)


@pytest.fixture(scope="module")
def premises(installed, wait_until):
    with pytest.MonkeyPatch.context() as patch:
        premises = Premises(patch, wait_until)
        try:
            premises.play()
            yield premises
        finally:
            premises.close()


# --- Searched ------------------------------------------------------------------------------------------------


def test_each_form_of_a_pin_is_found(tmp_path):
    for name, form in canary.needles(["4711471147114711"]).items():
        (tmp_path / "file").write_bytes(b"\0" + form + b"\0")
        assert name in canary.search(tmp_path, canary.needles(["4711471147114711"]))[str(tmp_path / "file")]


def test_what_is_no_secret_is_where_it_is_searched_for(premises):
    """Or the searches below would find nothing because there is nothing."""
    places = "\n".join(canary.search(premises.folder, {"serial": b"CANARY0"}))
    for place in (
        "log/general.log",
        "log/slow.log",
        "/binlog.0",
        "mariadb/ib_logfile0",
        "direct/log/radiusd.log",
        "queued/queue/quarantine",
    ):
        assert place in places
    general = (premises.folder / "log/general.log").read_text(errors="replace")
    assert "prepaid_radius@" in general and "prepaid_admin@" in general and "INSERT INTO card " in general
    failures = premises.failing.server.log_file.read_text()
    for line in (
        "no answer to a login: ValueError",
        "no answer to a login: KeyError",
        "no answer to a login: UnicodeEncodeError",
        "no answer to a login: DataError 1406",
        "a wrong PIN was not counted: ValueError",
        "no answer to a packet of accounting: ValueError",
        "no answer to a client: ValueError",
    ):
        assert line in failures
    assert b"CANARY0" in premises.dump()
    assert canary.which((premises.papers / "csv").read_bytes(), premises.needles)


def test_no_log_no_queue_and_no_file_of_the_servers_holds_a_pin(premises):
    """Of radiusd and MariaDB, redo log and data files as they are, queue_folder, quarantine, configuration, temporary files."""
    assert canary.search(premises.folder, premises.needles) == {}


def test_passwords_and_keys_are_in_the_files_for_them_and_in_no_other(premises):
    """The operator's password, whose hash alone the server was told, is a canary, and so looked for above."""
    options = configparser.ConfigParser(interpolation=None)
    options.read(premises.stack.option_file)
    wanted = {group: options[group]["password"].encode() for group in ("prepaid-admin", "prepaid-radius")}
    for key in re.findall("[0-9a-f]{64}", premises.stack.key_file.read_text()):
        wanted |= {f"{key}, as it is": bytes.fromhex(key), f"{key}, as hex": key.encode()}
    assert len(wanted) == 6
    files = {premises.stack.option_file, premises.stack.key_file, *(site.office.option_file for site in premises.sites)}
    assert set(canary.search(premises.folder, wanted)) == set(map(str, files))


@pytest.mark.parametrize("options", [("--skip-hex-blob",), ("--hex-blob",)], ids=str)
def test_no_row_of_any_table_holds_a_pin(premises, options):
    assert canary.which(premises.dump(*options), premises.needles) == []


def test_no_command_says_a_pin_that_was_not_asked_for(premises):
    said = [pair for office in premises.offices for pair in office.said]
    assert len(said) > 50
    assert [arguments for arguments, words in said if canary.which(words.encode(), premises.needles)] == []


def test_no_process_shows_a_pin(premises):
    assert len(premises.processes.seen) > 10
    assert canary.which(b"\0".join(premises.processes.seen), premises.needles) == []


def test_commands_write_into_the_file_that_was_asked_for_and_nowhere_else(premises):
    assert list(premises.temporary.iterdir()) == []
    allowed = [
        str(path)
        for path in (
            premises.papers,
            os.devnull,
            *(site.queue for site in premises.sites),
            *(site.server.raddb for site in premises.sites),
            # A key was added.
            premises.stack.key_file,
            premises.stack.key_file.with_name(".key."),
        )
    ]
    opened = {path for office in premises.offices for path in office.opened}
    assert str(premises.papers) in opened
    # Where the key file lies: it is written without a name (O_TMPFILE) until it is whole.
    unnamed_in = str(premises.stack.key_file.parent)
    assert {path for path in opened if not path.startswith(tuple(allowed)) and path != unnamed_in} == set()


def test_an_export_is_one_file_and_its_manifest_and_a_sealed_one_opens_with_the_key_only(premises):
    names = [*FORMATS, *(f"{form}.age" for form in FORMATS), "drawn"]
    made = {path.name for path in premises.papers.iterdir()} - {"cards.csv", "eapol.conf"}
    assert made == {*names, *(f"{name}.manifest.json" for name in names)}
    for name in names:
        assert canary.which((premises.papers / f"{name}.manifest.json").read_bytes(), premises.needles) == []
        content = (premises.papers / name).read_bytes()
        if name.endswith(".age"):
            assert canary.which(content, premises.needles) == []
            opened = pyrage.decrypt(content, [premises.identity])
            assert opened[:4] == (premises.papers / name.removesuffix(".age")).read_bytes()[:4]
            if name in ("csv.age", "delimited.age"):
                assert canary.which(opened, premises.needles)


# --- In memory -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def cores_allowed():
    """What is started here may write a core, as far as the system lets it."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    # A shell has its background jobs ignore it.
    quit_before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
        signal.signal(signal.SIGQUIT, quit_before)


def writes_core(process: subprocess.Popen, number: int) -> bool:
    process.send_signal(number)
    _pid, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == -number
    return os.WCOREDUMP(status)


@pytest.fixture
def cores(tmp_path):
    """Skips where no core is written by anybody."""
    with cores_allowed():
        anybody = subprocess.Popen(
            [sys.executable, "-c", "print(flush=True); input()"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        anybody.stdout.readline()
        if not writes_core(anybody, signal.SIGABRT):
            pytest.skip("this system writes no cores")
        yield


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
@pytest.mark.parametrize(
    "command", [("doctor", "--card", "CANARY0"), ("redeem", "VOICE1", "--account", "1")], ids=lambda c: c[0]
)
def test_a_command_that_holds_a_pin_does_not_show_it_and_leaves_no_core(
    premises, cores, wait_until, tmp_path, command, number
):
    process = subprocess.Popen(
        [PREPAID, "--config", premises.stack.option_file, *command],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # Without the end of the line: it has read the PIN, and waits for the rest.
    process.stdin.write(WRONG.encode())
    process.stdin.flush()
    wait_until(lambda: _unread(process.stdin) == 0)
    assert canary.which(canary.shown(process.pid), premises.needles) == []
    assert not writes_core(process, number)
    said = process.stdout.read() + process.stderr.read()
    assert canary.which(said, premises.needles) == []


def test_the_charger_leaves_no_core(premises, cores, wait_until, tmp_path):
    """It holds keys."""
    office = premises.direct.office
    process = office.spawn("charge", "--watch", cwd=tmp_path)
    wait_until(lambda: office.json("queue", "status")["is_charger_running"])
    assert not writes_core(process, signal.SIGQUIT)
    process.communicate(timeout=TIMEOUT_SECONDS)


def test_no_core_is_written_when_radiusd_dies(premises, cores):
    """FreeRADIUS forbids it to itself: allow_core_dumps = no."""
    server = premises.failing.server
    server.stop()
    server.start()
    assert not writes_core(server.daemon._child, signal.SIGABRT)


# --- At rest, the last of all ----------------------------------------------------------------------------------


def test_no_pin_is_in_the_files_of_a_database_that_was_stopped(premises):
    for site in premises.sites:
        site.stop()
    premises.stack.mariadb.stop()
    tables = premises.stack.mariadb.data_folder / DATABASE
    assert str(tables / "card.ibd") in canary.search(tables, {"serial": b"CANARY0"})
    assert canary.search(premises.folder, premises.needles) == {}


def _unread(pipe) -> int:
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
