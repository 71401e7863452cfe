"""The charger on a real database: every packet that FreeRADIUS has answered is charged exactly once."""

import os
import signal
import time

import pytest

from freeradius_module import SCHEMA_VERSION
from tests import engine_callers
from tests.office import Office
from tests.queue_writer import QueueWriter, another_charger, report
from tests.waiting import wait_until

PATIENCE_SECONDS = 60


@pytest.fixture
def queue(tmp_path):
    (tmp_path / "queue").mkdir()
    return QueueWriter(tmp_path / "queue")


@pytest.fixture
def office(office, queue, tmp_path, _unstarted_stack):
    """The office of an installation with a queue."""
    option_file = tmp_path / "prepaid.cnf"
    option_file.write_text(
        _unstarted_stack.option_file.read_text().replace("[prepaid]\n", f"[prepaid]\nqueue = {queue.folder}\n")
    )
    return Office(option_file)


@pytest.fixture
def start_charger(office):
    """`prepaid charge --watch` as a service runs it."""
    started = []

    def start():
        started.append(office.spawn("charge", "--watch", preexec_fn=os.setpgrp))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def used_seconds(database, *cards) -> int:
    return database.value(
        "SELECT CAST(COALESCE(SUM(used_seconds), 0) AS SIGNED) FROM session JOIN card ON card.id = card_id WHERE serial IN %s",
        [[card.serial for card in cards]],
    )


def sessions(database, card) -> list[dict]:
    return database.query(
        "SELECT session.*, TIMESTAMPDIFF(SECOND, started_at, UTC_TIMESTAMP()) AS start_age,"
        " TIMESTAMPDIFF(SECOND, heard_at, UTC_TIMESTAMP()) AS heard_age"
        " FROM session JOIN card ON card.id = card_id WHERE serial = %s ORDER BY login_number",
        [card.serial],
    )


# --- The same result as without a queue ------------------------------------------------------------


def test_a_session_from_the_queue(office, queue, shop, database):
    (card,) = shop.sell(1)
    queue.write(
        report(card.serial, "Start", ago_seconds=130),
        report(card.serial, "Interim-Update", seconds=60, ago_seconds=70, Acct_Output_Octets=1000),
        report(
            card.serial,
            "Stop",
            seconds=120,
            ago_seconds=10,
            Acct_Output_Octets=5,
            Acct_Output_Gigawords=1,
            Acct_Terminate_Cause="Idle-Timeout",
        ),
    )
    assert office.json("charge") == {"charged": 3, "quarantined": 0}
    (session,) = sessions(database, card)
    assert session["used_seconds"] == 120
    assert session["used_down_octets"] == 2**32 + 5
    assert session["stop_cause"] == "Idle-Timeout"
    assert queue.is_empty()


def test_the_time_of_an_event_is_counted_back_from_its_arrival(office, queue, shop, database):
    (card,) = shop.sell(1)
    queue.write(report(card.serial, "Interim-Update", seconds=60, ago_seconds=1000, Acct_Delay_Time=100))
    office.must("charge")
    (session,) = sessions(database, card)
    assert 1099 <= session["heard_age"] <= 1110
    assert 1159 <= session["start_age"] <= 1170


def test_an_empty_queue_is_no_fault(office):
    assert office.json("charge") == {"charged": 0, "quarantined": 0}


def test_a_packet_that_is_charged_twice_counts_once(office, queue, shop, database):
    (card,) = shop.sell(1)
    records = [report(card.serial, "Start", ago_seconds=61), report(card.serial, "Stop", seconds=60)]
    for _ in range(3):
        queue.write(*records)
        office.must("charge")
    assert [session["used_seconds"] for session in sessions(database, card)] == [60]


def test_a_card_whose_credit_ends_in_the_queue_is_exhausted(office, queue, shop, database):
    (card,) = shop.sell(1, credit_seconds=600)
    queue.write(report(card.serial, "Interim-Update", seconds=700))
    office.must("charge")
    assert database.value("SELECT status FROM card WHERE serial = %s", [card.serial]) == "exhausted"


# --- What cannot be charged -------------------------------------------------------------------------------


def test_a_record_that_cannot_be_charged_fails_alone(office, queue, shop, database):
    cards = shop.sell(3)
    bad = [
        report("0000", "Stop", seconds=60),
        report(cards[0].serial, "Stop", session_id=None),
        report(None, "Start"),
        report(cards[0].serial, "Failed"),
        "rubbish\n\n",
        report("x" * 300, "Start"),
        report("a\0b", "Start"),
        report(cards[0].serial, "Stop").replace("&End=&", "&End"),
    ]
    # Among hundreds of valid packets, so that they share statements.
    good = [report(card.serial, "Interim-Update", seconds=seconds) for seconds in range(1, 200) for card in cards]
    for number, record in enumerate(bad):
        good.insert(number * 70, record)
    queue.write(*good)
    assert office.json("charge") == {"charged": 3 * 199, "quarantined": len(bad)}
    assert used_seconds(database, *cards) == 3 * 199
    reasons = [row["reason"] for row in office.json("queue", "quarantine")]
    assert len(reasons) == len(bad) and all(reasons)
    assert any("unknown_card" in reason for reason in reasons)
    assert any("Acct-Session-Id is missing" in reason for reason in reasons)
    assert "the record was not finished" in reasons


def test_a_record_that_the_database_refuses_fails_alone(office, queue, shop, database):
    first, second = shop.sell(2)
    # No column for addresses of this kind: the statement of the whole group fails.
    database.execute("ALTER TABLE session ADD CONSTRAINT tried CHECK (framed_ipv4 <> '192.0.2.66')")
    try:
        queue.write(
            *(
                report(card.serial, "Interim-Update", seconds=60, session_id=card.serial, Framed_IP_Address=address)
                for card, address in ((first, "192.0.2.66"), (second, "192.0.2.67"))
            )
        )
        assert office.json("charge") == {"charged": 1, "quarantined": 1}
    finally:
        database.execute("ALTER TABLE session DROP CONSTRAINT tried")
    assert (used_seconds(database, first), used_seconds(database, second)) == (0, 60)
    # The cause is removed.
    assert office.json("queue", "replay") == {"charged": 1, "quarantined": 0}
    assert used_seconds(database, first) == 60
    assert office.json("queue", "quarantine") == []


def test_to_replay_twice_changes_nothing(office, queue, shop, database):
    (card,) = shop.sell(1)
    queue.write(report(card.serial, "Stop", seconds=60), report("0000", "Stop", seconds=60))
    office.must("charge")
    for _ in range(2):
        assert office.json("queue", "replay") == {"charged": 0, "quarantined": 1}
    assert used_seconds(database, card) == 60


# --- A NAS that restarts ----------------------------------------------------------------------------------


def test_a_restart_of_the_nas_ends_what_came_before_it_and_nothing_after(office, queue, shop, database):
    before, after = shop.sell(2)
    queue.write(
        report(before.serial, "Interim-Update", seconds=60, session_id="A", ago_seconds=100),
        report(None, "Accounting-On", session_id=None, ago_seconds=50),
        report(after.serial, "Start", session_id="B", ago_seconds=10),
    )
    assert office.json("charge") == {"charged": 3, "quarantined": 0}
    (ended,), (open_,) = sessions(database, before), sessions(database, after)
    assert (ended["close_cause"], ended["used_seconds"]) == ("nas_reboot", 60)
    assert open_["close_cause"] is None and open_["due_at"] is not None


def test_a_restart_waits_for_what_another_charger_has_from_before(office, queue, shop, database, start_charger):
    (card,) = shop.sell(1)
    queue.write(report(card.serial, "Interim-Update", seconds=60, session_id="A", ago_seconds=100))
    held = queue.path.rename(queue.folder / "queue.1.work")
    with another_charger(held):
        queue.write(report(None, "Accounting-On", session_id=None, ago_seconds=50))
        start_charger()
        taken = queue.folder / "queue.2.work"
        wait_until(taken.exists)
        # It has claimed the file with the restart, and waits.
        for _ in range(20):
            assert taken.exists()
            time.sleep(0.02)
    wait_until(queue.is_empty)
    (session,) = sessions(database, card)
    assert session["close_cause"] == "nas_reboot"


# --- The service ------------------------------------------------------------------------------------------


def test_the_service_charges_new_packets_and_stops_on_a_signal(queue, shop, database, start_charger):
    (card,) = shop.sell(1)
    service = start_charger()
    for seconds in (60, 120, 180):
        queue.write(report(card.serial, "Interim-Update", seconds=seconds))
        wait_until(lambda seconds=seconds: used_seconds(database, card) == seconds)
    service.send_signal(signal.SIGTERM)
    assert service.wait(PATIENCE_SECONDS) == 0


def test_killed_at_any_moment_each_packet_counts_once(queue, shop, database, start_charger):
    """Each packet is a session of its own, so that no later packet can hide a loss."""
    cards = shop.sell(40, credit_seconds=10**6)
    queue.write(
        *(report(card.serial, "Stop", seconds=1, session_id=str(number)) for number in range(200) for card in cards)
    )
    for life in range(8):
        service, seen = start_charger(), used_seconds(database, *cards)
        # Soon after a commit, each time a little later: before the commit is noted, in the middle of the next group, ...
        wait_until(lambda seen=seen: used_seconds(database, *cards) > seen or queue.is_empty())
        time.sleep(life * 0.02)
        os.kill(service.pid, signal.SIGKILL)
        queue.write(report(cards[0].serial, "Stop", seconds=1, session_id=f"life {life}"))
    start_charger()
    wait_until(queue.is_empty)
    assert [len(sessions(database, card)) for card in cards] == [208] + [200] * 39
    assert used_seconds(database, *cards) == 8008


def test_several_chargers_charge_each_packet_once(queue, shop, database, start_charger):
    cards = shop.sell(5, credit_seconds=10**6)
    services = [start_charger() for _ in range(3)]
    for seconds in range(1, 301):
        queue.write(*(report(card.serial, "Interim-Update", seconds=seconds) for card in cards))
    wait_until(queue.is_empty)
    assert used_seconds(database, *cards) == 5 * 300
    assert not (queue.folder / "quarantine").exists()
    assert all(service.poll() is None for service in services)


def test_a_database_that_is_away_is_waited_for(office, queue, shop, database, start_charger, _unstarted_stack):
    (card,) = shop.sell(1)
    service = start_charger()
    queue.write(report(card.serial, "Interim-Update", seconds=60))
    wait_until(queue.is_empty)
    _unstarted_stack.mariadb.stop()
    try:
        queue.write(report(card.serial, "Interim-Update", seconds=120, ago_seconds=100))
        assert "database is away" in service.stderr.readline()
        queue.write(report(card.serial, "Stop", seconds=180))
        status = office.json("queue", "status")
        assert (status["waiting"], status["is_charger_running"]) == (2, True)
        assert status["lag_seconds"] >= 100
    finally:
        _unstarted_stack.mariadb.start()
    wait_until(queue.is_empty)
    assert "database is back" in service.stderr.readline()
    assert used_seconds(database, card) == 180
    assert office.json("queue", "status")["lag_seconds"] == 0


def test_packets_wait_while_the_schema_is_newer_than_the_charger(office, queue, shop, database, start_charger):
    """As in an upgrade, between `prepaid db upgrade` and the restart of the charger: its connections end meanwhile."""
    (card,) = shop.sell(1)
    service = start_charger()
    queue.write(report(card.serial, "Interim-Update", seconds=60))
    wait_until(queue.is_empty)
    database.execute("INSERT INTO schema_version (version, name) VALUES (%s, 'newer')", [SCHEMA_VERSION + 1])
    try:
        for row in database.query("SELECT id FROM information_schema.PROCESSLIST WHERE user LIKE '%%radius%%'"):
            database.execute(f"KILL {row['id']}")
        queue.write(report(card.serial, "Stop", seconds=180))
        assert f"schema version {SCHEMA_VERSION + 1}" in service.stderr.readline()
        assert office.json("queue", "status")["waiting"] == 1
    finally:
        database.execute("DELETE FROM schema_version WHERE version = %s", [SCHEMA_VERSION + 1])
    wait_until(queue.is_empty)
    assert used_seconds(database, card) == 180
    assert office.json("queue", "quarantine") == []


def test_the_groups_former_name_works_and_is_not_shown(office, queue, shop, database):
    (card,) = shop.sell(1)
    queue.write(report(card.serial, "Stop", seconds=60))
    for verb in ("status", "quarantine", "replay", "status"):
        assert office.run("spool", verb, "--json").exit_status == 0
    assert office.json("spool", "status") == office.json("queue", "status")
    assert used_seconds(database, card) == 60
    assert "spool" not in office.must("--help").stdout


def test_a_single_run_does_not_wait_for_a_database_and_loses_nothing(office, queue, shop, database, _unstarted_stack):
    (card,) = shop.sell(1)
    queue.write(report(card.serial, "Stop", seconds=60))
    _unstarted_stack.mariadb.stop()
    try:
        result = office.run("charge")
    finally:
        _unstarted_stack.mariadb.start()
    assert result.exit_status == 3
    assert office.json("charge")["charged"] == 1
    assert used_seconds(database, card) == 60


def test_after_an_error_of_the_server_packets_stay_in_the_queue(office, queue, shop, database):
    cards = shop.sell(2)
    queue.write(*(report(card.serial, "Stop", seconds=60) for card in cards))
    database.execute("SET GLOBAL read_only = ON")
    try:
        assert office.run("charge").exit_status == 3
        assert office.json("queue", "quarantine") == []
    finally:
        database.execute("SET GLOBAL read_only = OFF")
    assert office.json("charge") == {"charged": 2, "quarantined": 0}
    assert used_seconds(database, *cards) == 120


def test_without_a_queue_the_sentence_says_which_setting(office):
    text = office.option_file.read_text()
    office.option_file.write_text("".join(line for line in text.splitlines(True) if not line.startswith("queue")))
    result = office.run("charge")
    assert result.exit_status == 2 and "queue = " in result.stderr


def test_memory_holds_open_sessions_only(engine, shop):
    """A server that runs for a year with ten thousand sessions a day must not keep them all in memory."""
    cards = shop.sell(20, credit_seconds=10_000)
    for card in cards:
        for kind, seconds in ("Start", None), ("Interim-Update", 60), ("Interim-Update", 90):
            engine.account(engine_callers.report(card, kind, seconds))
    held = len(engine.charges._sessions), len(engine.charges._known)
    assert min(held) == 20
    for card in cards:
        engine.account(engine_callers.report(card, "Stop", 100))
        engine.account(engine_callers.report(card, "Stop", 100))
    assert (len(engine.charges._sessions), len(engine.charges._known)) == (0, 0)
    assert {shop.used(card)[0] for card in cards} == {100}
