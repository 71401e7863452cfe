"""prepaid enforce --watch: the service, many sessions, and how long a disconnect takes."""

import configparser
import json
import random
import statistics
import subprocess
import threading
import time
from pathlib import Path

from admin.cli import cli
from tests.cli.enforcing import NOW, add_nas, end, open_session, sell, session_of, stop
from tests.disconnect_server import DisconnectServer, silence
from tests.office import Office
from tests.waiting import wait_until


def test_watch_disconnects_what_becomes_due_and_stops_on_a_signal(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due="-1 HOUR")
    nas.on_request = stop(database)
    process = office.spawn("enforce", "--watch")
    try:
        office.must("block", card.serial, "--reason", "stolen")
        wait_until(lambda: session_of(database, card)["stopped_at"])
    finally:
        assert end(process) == 0
    assert len(nas.requests) == 1


def test_watch_waits_for_a_database_that_is_away(office, database, nas, mariadb):
    (card,) = sell(office, database, 1, "--time", "10m")
    process = office.spawn("enforce", "--watch")
    said = []
    listener = threading.Thread(target=lambda: said.extend(process.stderr))
    listener.start()
    try:
        mariadb.stop()
        wait_until(lambda: said)
        mariadb.start()
        nas.on_request = stop(database)
        open_session(database, card)
        wait_until(lambda: session_of(database, card)["stopped_at"])
    finally:
        mariadb.start()
        assert end(process) == 0
        listener.join()
    assert "cannot be reached" in said[0] or "connection" in said[0]
    # The third line, about the disconnect, needs the NAS' answer, for which this test does not wait.
    assert said[1] == "The database is back.\n"
    assert len(said) <= 3


def test_the_service_writes_each_disconnect_as_json(office, database, nas, tmp_path):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.on_request = stop(database)
    option_file = tmp_path / "prepaid.cnf"
    option_file.write_text(office.option_file.read_text().replace("[prepaid]\n", "[prepaid]\nlog = json\n"))
    process = Office(option_file).spawn("enforce", "--watch")
    try:
        event = json.loads(process.stderr.readline())
    finally:
        assert end(process) == 0
    assert event.pop("at").endswith("Z")
    assert event.pop("text").startswith(f"disconnect of {card.serial} on centro, session ")
    assert event == {
        "program": "enforcer",
        "event": "disconnect",
        "serial": card.serial,
        "nas": "centro",
        "session": session_of(database, card)["acct_session_id"],
        "reason": session_of(database, card)["due_cause"] or "time",
        "outcome": "ack",
    }


def test_a_thousand_sessions_of_one_nas(office, database, nas):
    """A batch is blocked: requests follow as fast as the NAS answers, and never more at once than it may hold."""
    cards = sell(office, database, 1000, "--time", "10m")
    open_session(database, cards[0])
    database.execute(
        """INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, started_at, heard_at, due_at,
                                due_cause)
           SELECT card.id, 1, session.nas_id, card.serial, login_at, started_at, heard_at, due_at, due_cause
             FROM card, session WHERE card.batch_id = %s AND card.id <> session.card_id""",
        [cards[0].batch],
    )
    begun_at = time.monotonic()
    process = office.spawn("enforce", "--watch", stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: database.value("SELECT COUNT(*) FROM disconnect_attempt WHERE outcome = 'ack'") == 1000)
    finally:
        end(process)
    print(f"\n1,000 sessions of one NAS asked for in {time.monotonic() - begun_at:.1f} s, start included")
    assert len({request["Acct-Session-Id"][0] for request in nas.requests}) == 1000


def test_the_service_runs_the_command_that_there_is():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(Path(__file__).resolve().parents[2] / "raddb-config" / "systemd" / "prepaid-enforce.service")
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert program.endswith("/bin/prepaid")
    command = cli.commands[arguments[0]]
    assert set(arguments[1:]) <= {name for parameter in command.params for name in parameter.opts}


def test_how_long_a_disconnect_takes(office, database, nas):
    """Prints figures (pytest -s) and asserts nothing about them.  Another NAS with many sessions does not answer."""
    due = {}
    with DisconnectServer("127.0.0.10", silence) as dead:
        add_nas(office, "norte", dead)
        for number, card in enumerate(sell(office, database, 100, "--time", "10m"), 1):
            open_session(database, card, "norte", acct_session_id=f"dead{number}", due="20 SECOND")
        cards = sell(office, database, 40, "--time", "10m")
        for number, card in enumerate(cards, 1):
            open_session(database, card, acct_session_id=f"s{number}", due="-1 HOUR")
        nas.on_request = stop(database)
        process = office.spawn("enforce", "--watch")
        try:
            wait_until(lambda: dead.requests)
            for number, card in enumerate(cards, 1):
                due[f"s{number}"] = time.time()
                database.execute(
                    f"UPDATE session JOIN card ON card.id = card_id SET due_at = {NOW}, due_cause = 'blocked'"
                    " WHERE serial = %s",
                    [card.serial],
                )
                time.sleep(random.random() * 0.3)
            wait_until(
                lambda: (
                    not database.value(
                        "SELECT COUNT(*) FROM session JOIN nas ON nas.id = nas_id WHERE due_at IS NOT NULL AND nas.name = 'centro'"
                    )
                )
            )
        finally:
            end(process)
    waits = sorted(
        at - due.pop(request["Acct-Session-Id"][0], at)
        for request, at in zip(nas.requests, nas.received_at, strict=True)
    )
    print(
        f"\nFrom the cause to the NAS: median {statistics.median(waits):.2f} s, worst {waits[-1]:.2f} s, of {len(waits)}"
    )
    assert not due
