"""prepaid doctor on running servers: it finds nothing wrong; then it finds each fault, and says what to do."""

import datetime
import re
import shutil
import socket
import time
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from admin.doctor import command
from admin.doctor.finding import NAMES
from admin.doctor.freeradius import PIN_LEAKS
from admin.queue.files import Queue
from freeradius_module.queue_record import Unreadable
from tests.database import without_triggers
from tests.office import Office
from tests.queue_writer import QueueWriter, report
from tests.stack.freeradius import set_option
from tests.waiting import engine_listens


@pytest.fixture
def doctor(stack, office):
    """The findings of `prepaid doctor`."""

    def doctor(*arguments, stdin=None, option_file=None):
        asked = Office(option_file) if option_file else office
        result = asked.program("doctor", "--json", *arguments, stdin=stdin)
        rows = result.json()
        assert result.exit_status == (1 if any(row["state"] == "fault" for row in rows) else 0)
        return rows

    return doctor


def faults(rows) -> dict[str, str]:
    assert all(row["what_to_do"] or row["detail"] for row in rows)
    return {row["check"]: row["detail"] for row in rows if row["state"] == "fault"}


def state_of(rows, check: str) -> str:
    found = [row["state"] for row in rows if row["check"] == check]
    assert found, f"{check} was not checked"
    return found[0]


@pytest.fixture
def options(stack, tmp_path):
    """A changed copy of the option file."""

    def options(old: str, new: str) -> str:
        text = stack.option_file.read_text()
        assert old in text
        path = tmp_path / "prepaid.cnf"
        path.write_text(text.replace(old, new))
        path.chmod(0o600)
        return path

    return options


def test_an_installation_in_good_health(doctor):
    rows = doctor()
    assert faults(rows) == {}
    assert {
        "option_file",
        "database",
        "module_account",
        "server_settings",
        "clock",
        "key_file",
        "nas",
        "enforce",
        "queue",
        "freeradius",
        "raddb",
        "configuration",
        "login",
    } <= {row["check"] for row in rows}
    assert state_of(rows, "login") == "ok"


def test_people_read_a_table_and_what_to_do(stack, office, database):
    database.execute("UPDATE nas SET require_message_authenticator = 0 WHERE name = 'loopback'")
    told = office.program("doctor").stdout
    assert "Message-Authenticator" in told
    assert "loopback" in told
    assert "prepaid nas edit" in told


def test_a_valid_card_is_accepted_and_uses_nothing(doctor, shop):
    (card,) = shop.sell(1, credit_seconds=600)
    rows = doctor("--card", card.serial, stdin=card.pin + "\n")
    assert faults(rows) == {}
    assert state_of(rows, "card") == "ok"
    assert shop.used(card) == (0, 0, 0)
    assert shop.balance(card)["open_sessions"] == 0


def test_a_card_that_is_refused(doctor, shop):
    (card,) = shop.sell(1)
    rows = doctor("--card", card.serial, stdin="0000\n")
    assert "card" in faults(rows)
    assert not any(card.pin in str(row) for row in rows)


def test_freeradius_is_not_running(doctor, stack):
    stack.freeradius.stop()
    assert "login" in faults(doctor())


ACCEPTS_EVERY_LOGIN = """
clients everybody {{
	client loopback {{
		ipaddr = 127.0.0.0/8
		secret = testing123
	}}
}}
server prepaid {{
	listen {{
		type = auth
		ipaddr = 127.0.0.1
		port = {port}
		clients = everybody
	}}
	authorize {{
		update control {{
			&Auth-Type := Accept
		}}
	}}
	post-auth {{
		update reply {{
			&Message-Authenticator := 0x00
		}}
	}}
}}
"""


def test_another_site_accepts_every_login(doctor, stack):
    stack.freeradius.stop()
    site = stack.freeradius.raddb / "sites-enabled" / "prepaid"
    site.unlink()
    site.write_text(ACCEPTS_EVERY_LOGIN.format(port=stack.freeradius.auth_port))
    stack.freeradius.start()
    try:
        assert "accepted" in faults(doctor())["login"]
    finally:
        stack.freeradius.stop()


def test_a_configuration_that_was_edited(doctor, stack):
    path = stack.freeradius.raddb / "policy.d" / "prepaid"
    text = path.read_text()
    path.write_text(text + "# edited\n")
    try:
        assert "policy.d/prepaid" in faults(doctor())["raddb"]
    finally:
        path.write_text(text)


def test_a_configuration_that_freeradius_does_not_accept(doctor, stack):
    path = stack.freeradius.raddb / "radiusd.conf"
    text = path.read_text()
    path.write_text(set_option(text, "max_requests", "many {"))
    try:
        assert "configuration" in faults(doctor())
    finally:
        path.write_text(text)


@pytest.mark.parametrize("option", PIN_LEAKS)
def test_a_freeradius_that_would_write_pins_to_the_disk(doctor, stack, option):
    path = stack.freeradius.raddb / "radiusd.conf"
    text = path.read_text()
    assert not any(row["check"] == "pins" for row in doctor())
    path.write_text(set_option(text, option, "yes"))
    try:
        assert option in faults(doctor())["pins"]
    finally:
        path.write_text(text)


def test_the_database_is_away(stack, office):
    stack.mariadb.stop()
    result = office.run("doctor", "--json")
    assert result.exit_status == 1
    assert "database" in faults(result.json())


def test_rights_that_the_module_lacks_or_need_not_have(doctor, database):
    with database.mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("GRANT DELETE ON prepaid.session TO prepaid_radius@localhost")
        cursor.execute("REVOKE INSERT ON prepaid.unknown_login FROM prepaid_radius@localhost")
        try:
            rows = doctor()
            told = [row["detail"] for row in rows if row["state"] == "fault" and row["check"] == "module_account"]
            assert len(told) == 2
            assert "INSERT unknown_login" in told[0]
            assert "DELETE session" in told[1]
        finally:
            cursor.execute("REVOKE DELETE ON prepaid.session FROM prepaid_radius@localhost")
            cursor.execute("GRANT INSERT ON prepaid.unknown_login TO prepaid_radius@localhost")


def test_an_option_file_that_everybody_may_read(doctor, options):
    path = options("[prepaid]", "[prepaid]")
    path.chmod(0o644)
    assert "option_file" in faults(doctor(option_file=path))


def test_a_log_format_that_does_not_exist(options):
    rows = Office(options("[prepaid]\n", "[prepaid]\nlog = xml\n")).run("doctor", "--json").json()
    assert state_of(rows, "option_file") == "look"
    assert "log = xml" in said(rows, "option_file")


def test_a_key_file_of_another_installation(doctor, options, stack, tmp_path):
    key = tmp_path / "key"
    key.write_text(stack.key_file.read_text()[:-10] + "0123456789")
    key.chmod(0o600)
    assert "key_file" in faults(doctor(option_file=options(str(stack.key_file), str(key))))


def test_a_session_that_nobody_disconnects(doctor, shop, database, radius):
    (card,) = shop.sell(1, credit_seconds=600)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    radius.start(session)
    assert state_of(doctor(), "enforce") == "ok"
    database.execute("UPDATE session SET due_at = UTC_TIMESTAMP(3) - INTERVAL 61 MINUTE")
    assert "61" in faults(doctor())["enforce"]


def test_a_queue_without_a_charger(doctor, options, tmp_path):
    (tmp_path / "queue").mkdir()
    rows = doctor(option_file=options("[prepaid]\n", f"[prepaid]\nqueue = {tmp_path / 'queue'}\n"))
    assert "charger" in faults(rows)["queue"]


def test_an_engine_that_does_not_run(doctor, options, tmp_path):
    path = tmp_path / "engine"
    rows = doctor(option_file=options("[prepaid]\n", f"[prepaid]\nengine = {path}\n"))
    assert str(path) in faults(rows)["engine"]


def test_an_engine_that_runs(doctor, options, tmp_path, wait_until):
    path = tmp_path / "engine"
    option_file = options("[prepaid]\n", f"[prepaid]\nengine = {path}\n")
    engine = Office(option_file).spawn("engine")
    try:
        wait_until(lambda: engine_listens(path))
        assert state_of(doctor(option_file=option_file), "engine") == "ok"
    finally:
        engine.terminate()
        engine.communicate()


def test_a_queue_that_is_not_there(doctor, options, tmp_path):
    rows = doctor(option_file=options("[prepaid]\n", f"[prepaid]\nqueue = {tmp_path / 'nowhere'}\n"))
    assert "nowhere" in faults(rows)["queue"]


def test_packets_that_wait_or_were_put_aside(doctor, options, tmp_path):
    queue = QueueWriter(tmp_path / "queue")
    queue.folder.mkdir()
    queue.write(report("7000000001", "Stop", seconds=60, ago_seconds=600))
    option_file = options("[prepaid]\n", f"[prepaid]\nqueue = {queue.folder}\n")
    charger = Queue(queue.folder)
    charger.set_aside([Unreadable("half a record", "tried")])
    with charger.charging():
        rows = [row for row in doctor(option_file=option_file) if row["check"] == "queue"]
    assert [row["state"] for row in rows] == ["fault", "look"]
    assert int(re.search(r"for (\d+) s", rows[0]["detail"])[1]) >= 600
    assert rows[1]["what_to_do"] == "prepaid queue quarantine"


def test_history_that_is_not_in_the_hash_chain(doctor, office, shop, database):
    (card,) = shop.sell(1)
    assert not any(row["check"] == "audit" for row in doctor())
    number = shop.id(card)
    with without_triggers(database) as cursor:
        cursor.execute(
            "INSERT INTO card_event (card_id, at, what, operator)"
            " VALUES (%s, UTC_TIMESTAMP() - INTERVAL 72 HOUR, 'tried', '')",
            [number],
        )
        cursor.execute(
            "UPDATE history_floor SET row_id = (SELECT MAX(id) - 1 FROM card_event) WHERE source = 'card_event'"
        )
        cursor.connection.commit()
    assert state_of(doctor(), "audit") == "look"


def test_sessions_that_nobody_archives(doctor, shop, database):
    (card,) = shop.sell(1)
    ended = (
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, stopped_at, end_recorded_at)"
        " SELECT %s, seq, 1, seq, at, at, at FROM seq_{}_to_{}"
        " JOIN (SELECT UTC_TIMESTAMP() - INTERVAL 20 DAY AS at) AS moment"
    )
    database.execute(ended.format(1, 999), [shop.id(card)])
    assert not any(row["check"] == "archive" for row in doctor())
    database.execute(ended.format(1000, 1001), [shop.id(card)])
    assert state_of(doctor(), "archive") == "look"


def test_two_clocks_that_differ(stack, office, monkeypatch):
    """In this process, whose clock can be put forward."""
    monkeypatch.setattr("admin.doctor.database.time", SimpleNamespace(time=lambda: time.time() + 60))
    assert "60 s" in faults(office.run("doctor", "--json").json())["clock"]


def test_settings_that_lose_commits_in_a_power_failure(doctor, database):
    """The tests' own server is set for speed, which doctor reports."""
    with database.mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
        assert state_of(doctor(), "server_settings") == "look"
        cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


def test_an_account_that_holds_rows_and_does_nothing_is_named(office, database, shop, monkeypatch, wait_until):
    monkeypatch.setattr("admin.doctor.database.HOLDING_SECONDS", 0)
    shop.sell(1)
    assert "locks" not in faults(office.run("doctor", "--json").json())
    with database.mariadb.connect(database.name) as holder, holder.cursor() as cursor:
        holder.begin()
        cursor.execute("SELECT id FROM card FOR UPDATE")
        # MariaDB keeps innodb_trx for a tenth of a second after it was read.
        wait_until(lambda: "locks" in faults(office.run("doctor", "--json").json()))
        rows = office.run("doctor", "--json").json()
        assert f"connection {holder.thread_id()}, which has been idle for" in faults(rows)["locks"]
        assert [row["what_to_do"] for row in rows if row["check"] == "locks"] == [
            f"KILL CONNECTION {holder.thread_id()}"
        ]


def test_a_number_that_somebody_chose_is_named(doctor, database):
    """As the owner: nobody else can."""
    next_number = database.value(
        "SELECT auto_increment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'note'"
    )
    database.execute("ALTER TABLE note AUTO_INCREMENT = 4294967000")
    assert "note" in faults(doctor())["locks"]
    database.execute(f"ALTER TABLE note AUTO_INCREMENT = {next_number}")
    assert "locks" not in faults(doctor())


def test_a_server_on_which_sessions_move_their_clock_is_named(doctor):
    assert state_of(doctor(), "secure_timestamp") == "look"


def test_no_nas_for_this_machine(doctor, database):
    database.execute("UPDATE nas SET address = '192.0.2.0/24' WHERE name = 'loopback'")
    assert state_of(doctor(), "login") == "look"


def test_a_port_on_which_nobody_answers(doctor, stack):
    """FreeRADIUS hangs, and the check ends nevertheless."""
    stack.freeradius.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", stack.freeradius.auth_port))
        assert "login" in faults(doctor())


def test_what_was_answered_and_can_never_be_charged_is_counted(doctor, stack, radius):
    quarantine = stack.freeradius.log_file.parent / "prepaid-quarantine"
    before = len(quarantine.read_text().splitlines()) if quarantine.exists() else 0
    assert radius.stop(radius.session("0000000000"), 60).is_acknowledged
    (detail,) = (row["detail"] for row in doctor() if row["check"] == "queue" and "quarantine" in row["detail"])
    assert detail == f"{before + 1} packets are in the quarantine."


# --- What a provider has to look after ---------------------------------------------------------------------


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
