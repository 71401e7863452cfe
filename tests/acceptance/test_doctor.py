"""prepaid doctor on running servers: it finds nothing wrong; then it finds each fault, and says what to do."""

import re
import socket
import time
from types import SimpleNamespace

import pytest

from admin.doctor.freeradius import PIN_LEAKS
from admin.queue.files import Queue
from freeradius_module.queue_record import Unreadable
from tests.acceptance.doctoring import faults, state_of
from tests.acceptance.test_doctor_of_a_provider import said
from tests.database import without_triggers
from tests.office import Office
from tests.queue_writer import QueueWriter, report
from tests.stack.freeradius import set_option
from tests.waiting import engine_listens


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
