"""prepaid doctor: what a provider has to look after: the server, the disk, NAS, certificates, nightly work, clocks."""

import datetime
import re
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admin.doctor import command
from admin.doctor.finding import NAMES
from tests.acceptance.doctoring import faults, state_of
from tests.database import without_triggers
from tests.office import Office
from tests.stack.freeradius import set_option


def said(rows, check: str) -> str:
    """What doctor says about this check, and what to do about it."""
    return " ".join(f"{row['detail']} {row['what_to_do']}" for row in rows if row["check"] == check)


@pytest.fixture
def findings(stack, office):
    """The findings in this process, which is faster and can be changed."""
    return lambda: office.run("doctor", "--json").json()


@pytest.fixture
def server_variable(database):
    """Changes a setting of the running server; it is changed back afterwards."""
    before = {}

    def change(name: str, value: int) -> None:
        with database.mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT @@GLOBAL.{name}")
            before.setdefault(name, cursor.fetchone()[0])
            cursor.execute(f"SET GLOBAL {name} = {value}")

    yield change
    with database.mariadb.connect() as connection, connection.cursor() as cursor:
        for name, value in before.items():
            cursor.execute(f"SET GLOBAL {name} = {value}")


def test_a_server_without_a_binary_log(findings, monkeypatch):
    rows = findings()
    assert state_of(rows, "binary_log") == "look"
    assert "log_bin" in said(rows, "binary_log")
    monkeypatch.setattr("admin.store.doctor.variables", lambda _cursor, *names: dict.fromkeys(names, "ON"))
    monkeypatch.setattr("admin.doctor.command.CHECKS", [one for one in command.CHECKS if one.name in WITH_BINARY_LOG])
    assert state_of(findings(), "binary_log") == "ok"


WITH_BINARY_LOG = ("database", "binary_log")


def test_tables_that_do_not_fit_into_memory(findings, database, server_variable, wait_until):
    assert state_of(findings(), "buffer_pool") == "ok"
    server_variable("innodb_buffer_pool_size", 8 * 2**20)
    wait_until(lambda: database.value("SELECT @@innodb_buffer_pool_size") == 8 * 2**20)
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, due_at)"
        " SELECT 0, seq, 0, REPEAT('-', 253), REPEAT('-', 64), NULL FROM seq_1_to_40000"
    )
    database.query("ANALYZE TABLE session")
    rows = findings()
    assert state_of(rows, "buffer_pool") == "look"
    assert "innodb_buffer_pool_size = " in said(rows, "buffer_pool")
    database.execute("DELETE FROM session WHERE card_id = 0")
    database.query("OPTIMIZE TABLE session")


@pytest.mark.parametrize(("least", "state"), [(0, "ok"), (2**40, "look"), (2**62, "fault")])
def test_a_disk_of_the_tables_that_fills(findings, monkeypatch, stack, least, state):
    """The limit rises here, because a test cannot fill the machine's disk."""
    free = shutil.disk_usage(stack.mariadb.data_folder).free
    monkeypatch.setattr("admin.doctor.server.FREE_OCTETS", {0: 0, 2**40: free + 2**30, 2**62: 2**62}[least])
    monkeypatch.setattr("admin.doctor.server.FREE_SHARE", 0)
    assert state_of(findings(), "data_disk") == state


def test_fewer_connections_than_freeradius_has_threads(findings, server_variable):
    assert state_of(findings(), "connections") == "ok"
    server_variable("max_connections", 40)
    rows = findings()
    assert state_of(rows, "connections") == "look"
    assert "max_connections = " in said(rows, "connections")


def test_fewer_threads_than_group_commit_needs(findings, stack, monkeypatch):
    path = stack.freeradius.raddb / "radiusd.conf"
    text = path.read_text()
    monkeypatch.setattr("admin.freeradius.choices.freeradius_version", lambda: (3, 2, 1))
    assert not said(findings(), "threads"), "3.2.1 has one instance, which more threads do not help"
    monkeypatch.setattr("admin.freeradius.choices.freeradius_version", lambda: (3, 2, 7))
    assert "32 threads" in said(findings(), "threads")
    path.write_text(set_option(set_option(text, "max_servers", "64"), "start_servers", "64"))
    try:
        assert not said(findings(), "threads")
    finally:
        path.write_text(text)


def test_a_nas_that_does_not_send_class_back(findings, shop, radius):
    """Its sessions are known from accounting only."""
    for card in shop.sell(2):
        radius.start(radius.session(card.serial))
    assert state_of(findings(), "nas_reports") == "ok"
    (card,) = shop.sell(1)
    radius.start(radius.session(card.serial))
    rows = findings()
    assert state_of(rows, "nas_reports") == "look"
    assert "loopback: no login is known of 3 of 3 sessions" in said(rows, "nas_reports")
    assert "Class" in said(rows, "nas_reports")


def test_a_nas_that_sends_no_interims(findings, shop, radius):
    cards = shop.sell(5, credit_seconds=86_400)
    sessions = [radius.session(card.serial, radius.login(card.serial, card.pin)) for card in cards]
    for session in sessions:
        radius.start(session)
    for card in cards[:3]:
        shop.age(card, 1000)
    rows = findings()
    assert "loopback: 3 of 3 long sessions have sent no interim" in said(rows, "nas_reports")
    # One that sends them, and is silent for the moment, is no such NAS.
    for card, session in zip(cards[:3], sessions[:3], strict=True):
        radius.interim(session, 1000)
        shop.age(card, 1)
    assert state_of(findings(), "nas_reports") == "ok"


def test_a_nas_that_is_off_sends_no_interims(findings, shop, radius):
    for card in shop.sell(3, credit_seconds=86_400):
        radius.start(radius.session(card.serial, radius.login(card.serial, card.pin)))
        shop.age(card, 4000)
    assert state_of(findings(), "nas_reports") == "ok"


def test_a_nas_whose_counters_wrap(findings, shop, radius):
    (card,) = shop.sell(1, credit_seconds=86_400)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    radius.start(session)
    radius.interim(session, 60, down_octets=4_000_000_000, gigawords=False)
    radius.interim(session, 120, down_octets=1_000, gigawords=False)
    rows = findings()
    assert "octets fell" in said(rows, "nas_reports")
    assert "prepaid nas edit loopback --counter-rule wraps" in said(rows, "nas_reports")


def certificate(ends_in_days: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "radius.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=300))
        .not_valid_after(now + datetime.timedelta(days=ends_in_days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(("days", "state"), [(40, "ok"), (30, "look"), (-1, "fault")])
def test_a_certificate_that_ends(findings, stack, days, state):
    path = stack.freeradius.raddb / "certs" / "prepaid" / "server.pem"
    before = path.read_bytes()
    path.write_bytes(certificate(days))
    try:
        rows = findings()
        assert state_of(rows, "certificates") == state
        assert state == "ok" or str(path) in said(rows, "certificates")
    finally:
        path.write_bytes(before)


def test_a_certificate_of_the_database_that_ends(office, stack, options, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(certificate(10))
    asked = Office(options("[prepaid-radius]\n", f"[prepaid-radius]\nssl-ca = {path}\n"))
    assert str(path) in said(asked.run("doctor", "--json").json(), "certificates")


def test_nightly_work_that_does_not_run(findings, office, database):
    assert state_of(findings(), "nightly_runs") == "ok", "a new installation has two nights"
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE schema_version SET applied_at = UTC_TIMESTAMP() - INTERVAL 72 HOUR")
        cursor.connection.commit()
    try:
        rows = findings()
        assert [row["state"] for row in rows if row["check"] == "nightly_runs"] == ["look"] * 3
        assert "'prepaid reconcile' has not run for 72 hours." in said(rows, "nightly_runs")
        office.must("reconcile")
        assert "prepaid reconcile" not in said(findings(), "nightly_runs")
    finally:
        with without_triggers(database) as cursor:
            cursor.execute("UPDATE schema_version SET applied_at = UTC_TIMESTAMP()")
            cursor.connection.commit()


def test_books_that_did_not_agree_last_night(findings, office, shop):
    shop.sell(1)  # by SQL: there is no delivery note
    assert office.run("reconcile").exit_status == 1
    assert "reconcile" in faults(findings())["nightly_runs"]


def test_a_clock_that_no_ntp_keeps(findings, tmp_path, monkeypatch):
    program = tmp_path / "timedatectl"
    program.write_text("#!/bin/sh\necho no\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("admin.doctor.clock.SYSTEMD", tmp_path)
    assert "not synchronized" in said(findings(), "clock")
    program.write_text("#!/bin/sh\necho yes\n")
    assert "not synchronized" not in said(findings(), "clock")


ALWAYS_SEEN = (
    "binary_log", "event_scheduler", "secure_timestamp", "server_settings", "queue", "nas", "configuration", "threads",
)  # fmt: skip


def test_nagios_has_one_line_and_its_exit_statuses(office, stack, tmp_path):
    leave_out = [word for name in ALWAYS_SEEN for word in ("--leave-out", name)]
    fine = office.program("doctor", "--nagios", *leave_out)
    assert (fine.exit_status, fine.stderr) == (0, ""), fine.stdout
    assert re.fullmatch(
        r"PREPAID OK - \d+ checks \| faults=0;;0;0 warnings=0;0;;0 ok=\d+;;;0 seconds=[\d.]+s;;;0\n", fine.stdout
    )
    look = office.program("doctor", "--nagios")
    assert look.exit_status == 1 and look.stdout.startswith("PREPAID WARNING - ")
    assert look.stdout.count("\n") == 1
    nothing = Office(tmp_path / "nowhere.cnf").program("doctor", "--nagios")
    assert nothing.exit_status == 3 and nothing.stdout.startswith("PREPAID UNKNOWN - ")
    stack.mariadb.stop()
    away = office.program("doctor", "--nagios")
    assert away.exit_status == 2 and away.stdout.startswith("PREPAID CRITICAL - database: ")


def test_every_check_can_be_left_out(doctor, office):
    assert {row["check"] for row in doctor()} <= set(NAMES)
    assert office.run("doctor", "--leave-out", "nothing").exit_status == 2
