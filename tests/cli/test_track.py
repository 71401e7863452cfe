"""track: everything that happened to a card, in time order."""

import signal
import time

import pytest


def test_the_life_of_a_card_in_order(office):
    (card,) = office.stock(1, "--time", "10m")
    partner = office.partner()
    note = office.json("deliver", "--partner", partner, "--batch", card.batch)["note"]
    office.must("block", card.serial, "--reason", "Stolen")
    office.must("unblock", card.serial, "--reason", "Found")
    back = office.json("return", "--partner", partner, "--batch", card.batch)["note"]
    rows = office.track(card)
    assert [row["what"] for row in rows] == ["generated", "exported", "delivered", "blocked", "unblocked", "returned"]
    assert [row.get("reason") for row in rows] == [None, None, None, "Stolen", "Found", None]
    assert (rows[2]["note"], rows[5]["note"]) == (note, back)
    assert sorted(row["at"] for row in rows) == [row["at"] for row in rows]
    assert all(row["at"].endswith("Z") for row in rows)


def test_logins_sessions_refusals_and_disconnects_are_listed(office, database):
    (card,) = office.sell(1, "--time", "10m")
    card_id = database.value("SELECT id FROM card WHERE serial = %s", [card.serial])
    nas_id = database.value("SELECT id FROM nas WHERE name = 'loopback'")
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at,"
        " used_seconds, used_down_octets, used_up_octets, granted_seconds, due_at) VALUES"
        " (%s, 1, %s, 's1', 'aa-bb', '2999-01-01 10:00', '2999-01-01 10:00:01', UTC_TIMESTAMP(3), 700, 1000, 24, 600,"
        " UTC_TIMESTAMP(3)), (%s, 2, %s, '', '', '2999-01-01 12:00', NULL, NULL, 0, 0, 0, 600, UTC_TIMESTAMP(3))",
        [card_id, nas_id, card_id, nas_id],
    )
    database.execute(
        "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at)"
        " VALUES (%s, 'loopback aa-bb', 'wrong_pin', '2999-01-01 11:00', %s, 3, '2999-01-01 11:01', '2999-01-01 11:02')",
        [card_id, nas_id],
    )
    login, session, refused, second = office.track(card)[-4:]
    assert (login["what"], login["at"], login["nas"], login["device"]) == (
        "login",
        "2999-01-01T10:00:00.000Z",
        "loopback",
        "aa-bb",
    )
    assert (session["what"], session["seconds"], session["octets"]) == ("session", 700, 1024)
    assert (session["overrun_seconds"], session["open"]) == (100, True)
    assert (refused["what"], refused["reason"], refused["tries"], refused["nas"]) == (
        "refused",
        "wrong_pin",
        3,
        "loopback",
    )
    (line,) = (line for line in office.must("track", card.serial).stdout.splitlines() if "wrong_pin" in line)
    assert line.split("\t")[-1] == "3"
    # A login whose session the NAS never reported is one row only.
    assert (second["what"], second["login_number"]) == ("login", 2)


def test_the_history_of_a_deleted_card_stays(office):
    (card,) = office.stock(1, "--time", "10m")
    office.must("delete", card.serial, "--yes", "--reason", "Misprinted")
    assert office.track(card)[-1]["what"] == "deleted"


def test_follow_prints_new_events(office):
    (card,) = office.sell(1, "--time", "10m")
    follower = office.spawn("track", card.serial, "--follow", "--json", env={"PYTHONUNBUFFERED": "1"})
    try:
        printed = [follower.stdout.readline() for _ in range(3)]
        office.must("block", card.serial, "--reason", "Stolen")
        printed.append(follower.stdout.readline())
    finally:
        follower.terminate()
        follower.communicate()
    assert '"generated"' in printed[0] and '"Stolen"' in printed[3]


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_ctrl_c_ends_follow_quietly(office, as_json):
    """--follow ends by Ctrl-C only, so that is no error: no "Aborted!", and exit status 0."""
    (card,) = office.sell(1, "--time", "10m")
    for pause_seconds in (0, 0.3, 1.0):
        follower = office.spawn("track", card.serial, "--follow", *as_json, env={"PYTHONUNBUFFERED": "1"})
        follower.stdout.readline()
        time.sleep(pause_seconds)
        follower.send_signal(signal.SIGINT)
        _printed, said = follower.communicate(timeout=30)
        assert (follower.returncode, said) == (0, "")
