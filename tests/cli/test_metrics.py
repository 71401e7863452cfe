"""prepaid metrics: what Prometheus reads of the database and the queue; its own tools read it back."""

import os
import shutil
import stat
import subprocess
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from admin.queue.files import Queue
from freeradius_module.queue_record import Unreadable
from tests.office import Office
from tests.queue_writer import QueueWriter, report


def values(text: str) -> dict:
    """By name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def metrics(office):
    def metrics() -> dict:
        return values(office.must("metrics").stdout)

    return metrics


def with_queue(office: Office, folder, tmp_path) -> Office:
    option_file = tmp_path / "prepaid.cnf"
    option_file.write_text(office.option_file.read_text().replace("[prepaid]\n", f"[prepaid]\nqueue = {folder}\n"))
    return Office(option_file)


def test_cards_by_status(office, shop, metrics):
    shop.stock(3)
    shop.sell(2)
    found = metrics()
    assert found["prepaid_cards", ("status", "created")] == 3
    assert found["prepaid_cards", ("status", "delivered")] == 2
    assert found["prepaid_cards", ("status", "redeemed")] == 0
    assert found["prepaid_database_up",] == 1


SESSION = """
    INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, started_at, heard_at, due_at, due_cause)
    SELECT id, {number}, 1, '{session}', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) - INTERVAL {silent} SECOND,
           UTC_TIMESTAMP(3) + INTERVAL {due} SECOND, 'time' FROM card
"""


def test_sessions_by_state(shop, database, metrics):
    shop.sell(1)
    for number, (session, silent, due) in enumerate(
        [("a", 0, 600), ("b", 0, 600), ("c", 961, 600), ("", 0, 600), ("d", 0, -61)]
    ):
        database.execute(SESSION.format(number=number + 1, session=session, silent=silent, due=due))
    database.execute(SESSION.format(number=9, session="e", silent=0, due=600))
    database.execute("UPDATE session SET due_at = NULL WHERE login_number = 9")
    found = metrics()
    states = {state: found["prepaid_sessions", ("state", state)] for state in ("open", "stale", "reserved", "ended")}
    assert states == {"open": 3, "stale": 1, "reserved": 1, "ended": 1}
    assert found["prepaid_sessions_overdue",] == 1
    assert found["prepaid_sessions_refused_to_end",] == 0


def test_a_session_that_its_nas_does_not_end(shop, database, metrics):
    (card,) = shop.sell(1)
    database.execute(SESSION.format(number=1, session="a", silent=0, due=-600))
    for attempt in (1, 2, 3):
        database.execute(
            "INSERT INTO disconnect_attempt (card_id, login_number, action, attempt, next_at, cause, outcome)"
            " VALUES (%s, 1, 'disconnect', %s, UTC_TIMESTAMP(3), 'time', 'nak')",
            [shop.id(card), attempt],
        )
        assert metrics()["prepaid_sessions_refused_to_end",] == (attempt == 3)


def test_the_nightly_work(office, metrics, database):
    assert metrics()["prepaid_run_end_timestamp_seconds", ("work", "audit")] == 0
    began = time.time() - 1
    office.must("reconcile")
    office.must("audit", "verify")
    owner = database.mariadb
    office.must("db", "archive", "--root-user", "root", "--root-socket", owner.socket)
    found = metrics()
    for work in ("archive", "reconcile", "audit"):
        assert began <= found["prepaid_run_end_timestamp_seconds", ("work", work)] <= time.time() + 1
        assert found["prepaid_run_faults", ("work", work)] == 0


def test_books_that_do_not_agree(office, shop, database, metrics):
    (card,) = shop.sell(1)
    office.run("reconcile")
    assert metrics()["prepaid_run_faults", ("work", "reconcile")] >= 1, "cards made by SQL have no delivery note"


def test_the_queue_of_this_machine(office, tmp_path):
    queue = QueueWriter(tmp_path / "queue")
    queue.folder.mkdir()
    queue.write(report("7000000001", "Stop", seconds=60, ago_seconds=600))
    charger = Queue(queue.folder)
    charger.set_aside([Unreadable("half a record", "tried")])
    asked = with_queue(office, queue.folder, tmp_path)
    found = values(asked.must("metrics").stdout)
    assert found["prepaid_queue_packets",] == 1
    assert found["prepaid_queue_lag_seconds",] >= 600
    assert found["prepaid_queue_quarantined",] == 1
    assert found["prepaid_queue_charger_up",] == 0
    with charger.charging():
        # A lock of this process is no other process', so the command asks.
        assert values(asked.program("metrics").stdout)["prepaid_queue_charger_up",] == 1


def test_a_queue_that_cannot_be_read(office, tmp_path):
    found = values(with_queue(office, tmp_path / "nowhere", tmp_path).must("metrics").stdout)
    assert found["prepaid_queue_readable",] == 0


def test_a_database_that_is_away_is_said_in_the_file(office, tmp_path):
    option_file = tmp_path / "prepaid.cnf"
    lines = office.option_file.read_text().splitlines()
    option_file.write_text("\n".join("unix_socket = /nowhere" if "socket" in line else line for line in lines))
    path = tmp_path / "prepaid.prom"
    result = Office(option_file).run("metrics", "--output", path)
    assert result.exit_status == 3
    assert values(path.read_text())["prepaid_database_up",] == 0


def test_the_file_for_node_exporter(office, tmp_path):
    path = tmp_path / "prepaid.prom"
    path.write_text("old")
    before = os.umask(0o077)
    try:
        office.must("metrics", "--output", path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "node_exporter has an account of its own"
    assert values(path.read_text())["prepaid_database_up",] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["prepaid.prom"]


@pytest.mark.parametrize("path", ["prepaid.txt", "nowhere/prepaid.prom"])
def test_a_file_that_cannot_be_written(office, tmp_path, path):
    result = office.run("metrics", "--output", tmp_path / path)
    assert result.exit_status in (1, 2)
    assert path in result.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="Debian's package prometheus is not installed")
def test_promtool_finds_no_fault(office, shop, database):
    shop.sell(1)
    text = office.must("metrics").stdout
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_may_audit_may_read_them(office, tmp_path):
    """A monitoring account needs the role `audit` and nothing more."""
    printed = office.json("operator", "add", "watcher", "--role", "audit")
    try:
        path = tmp_path / "watcher.cnf"
        path.write_text("\n".join(printed["option_file"]) + "\n")
        assert values(Office(path).must("metrics").stdout)["prepaid_database_up",] == 1
    finally:
        office.must("operator", "remove", "watcher")
