"""prepaid enforce and prepaid disconnect, against a NAS of our own on a real MariaDB.

Sessions are written as the module writes them; tests/acceptance/test_enforce.py has the whole way, radiusd included.
"""

import json

import pytest

from admin.enforce.requests import WINDOW
from tests.cli.enforcing import NOW, add_nas, attempts, end, hear_again, open_session, pass_time, sell, session_of, stop
from tests.database import without_triggers
from tests.disconnect_server import DisconnectServer, ack, in_turn, nak, silence
from tests.office import Office
from tests.waiting import wait_until


def test_a_session_that_is_due_is_disconnected_and_its_stop_believed(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    (request,) = nas.requests
    assert request["User-Name"] == [card.serial]
    assert request["Acct-Session-Id"] == ["80a1"]
    assert request["Framed-IP-Address"] == ["10.5.0.7"]
    assert attempts(database, card) == [("ack", None)]


def test_an_ack_alone_is_not_believed(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    result = office.run("enforce", "--wait", "0", "--json")
    assert result.exit_status == 1 and "still on" in result.stderr
    (row,) = result.json()
    assert (row["serial"], row["nas"], row["outcome"], row["due_cause"]) == (card.serial, "centro", "ack", "blocked")
    assert session_of(database, card)["due_at"] is not None


def test_an_ack_and_a_missing_interim_are_believed(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    office.run("enforce", "--wait", "0")
    pass_time(database, 361)
    heard_at = session_of(database, card)["heard_at"]
    assert office.json("enforce") == []
    row = session_of(database, card)
    assert (row["close_cause"], row["closed_at"], row["due_at"]) == ("disconnected", heard_at, None)
    assert len(nas.requests) == 1


def test_after_a_report_that_follows_the_ack_the_nas_is_asked_again(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    office.run("enforce", "--wait", "0")
    pass_time(database, 300)
    database.execute(f"UPDATE session SET heard_at = {NOW}")
    hear_again(database)
    office.run("enforce", "--wait", "0")
    assert attempts(database, card) == [("ack", None), ("ack", None)]


def test_after_a_nak_the_request_has_fewer_attributes(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.behaviour = in_turn(nak(403), ack)
    nas.on_request = lambda request: len(nas.requests) == 2 and stop(database)(request)
    assert office.json("enforce") == []
    first, second = nas.requests
    assert "NAS-IP-Address" in first.keys() and "NAS-IP-Address" not in second.keys()
    assert attempts(database, card) == [("nak", "403 NAS-Identification-Mismatch"), ("ack", None)]


def test_a_session_that_its_nas_does_not_know_is_gone_once_an_interim_is_missing(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.behaviour = nak(503)
    result = office.run("enforce", "--wait", "3", "--json")
    (row,) = result.json()
    assert (result.exit_status, row["error_cause"]) == (1, "503 Session-Context-Not-Found")
    pass_time(database, 361)
    assert office.json("enforce") == []
    assert session_of(database, card)["close_cause"] == "gone"


def test_a_nas_that_does_not_answer_is_asked_three_times_and_listed(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.behaviour = silence
    result = office.run("enforce", "--wait", "0", "--json")
    assert [row["outcome"] for row in result.json()] == ["no_answer"] and result.exit_status == 1
    assert len({request.authenticator for request in nas.requests}) == 1 and len(nas.requests) == 3
    # Not asked again before the pause is over.
    office.run("enforce", "--wait", "0")
    assert len(nas.requests) == 3


def test_a_lost_answer_is_answered_when_the_request_comes_again(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.behaviour = in_turn(silence, ack)
    nas.on_request = lambda request: len(nas.requests) == 2 and stop(database)(request)
    assert office.json("enforce") == []
    assert attempts(database, card) == [("ack", None)]


def test_a_nas_that_does_not_answer_does_not_delay_the_others(office, database, nas):
    with DisconnectServer("127.0.0.10", silence) as dead:
        add_nas(office, "norte", dead)
        cards = sell(office, database, 3 * WINDOW + 1, "--time", "10m")
        for number, card in enumerate(cards[1:], 1):
            open_session(database, card, "norte", acct_session_id=f"dead{number}", due="20 SECOND")
        open_session(database, cards[0])
        nas.on_request = stop(database)
        process = office.spawn("enforce", "--watch")
        try:
            wait_until(lambda: session_of(database, cards[0])["stopped_at"])
            wait_until(lambda: len(dead.requests) >= WINDOW)
            assert not database.value("SELECT COUNT(*) FROM disconnect_attempt WHERE outcome = 'no_answer'")
        finally:
            end(process)


def test_two_enforcers_send_each_request_once(office, database, nas):
    cards = sell(office, database, 40, "--time", "10m")
    for number, card in enumerate(cards, 1):
        open_session(database, card, acct_session_id=f"s{number}")
    nas.on_request = stop(database)
    processes = [office.spawn("enforce", "--json") for _ in range(2)]
    for process in processes:
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, json.loads(stdout)) == (0, []), stderr
    # A request that is sent again, because the answer is slow, is the same request.
    requests = {(request["Acct-Session-Id"][0], request.authenticator) for request in nas.requests}
    assert sorted(session_id for session_id, _ in requests) == sorted(f"s{number}" for number in range(1, 41))


def test_an_attempt_whose_enforcer_died_is_made_again(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    database.execute(f"""INSERT INTO disconnect_attempt (card_id, login_number, action, attempt, next_at, cause)
                         SELECT card_id, 1, 'disconnect', 1, {NOW} + INTERVAL 1 HOUR, 'blocked' FROM session""")
    office.run("enforce", "--wait", "0")
    assert nas.requests == []
    hear_again(database)
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    assert attempts(database, card) == [("sent", None), ("ack", None)]


def test_a_session_that_is_not_due_is_left_alone(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due="-1 HOUR")
    assert office.json("enforce") == []
    assert nas.requests == []


def test_time_is_counted_from_the_start_of_the_session(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due="10 SECOND", due_cause="time")
    database.execute("UPDATE session SET started_at = login_at + INTERVAL 20 SECOND")
    assert office.json("enforce") == []
    assert nas.requests == []
    database.execute("UPDATE session SET started_at = login_at + INTERVAL 5 SECOND")
    nas.on_request = stop(database)
    office.json("enforce")
    assert len(nas.requests) == 1


def test_a_login_that_did_not_begin_is_closed_after_a_minute(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, acct_session_id="", used_seconds=0)
    database.execute(f"UPDATE session SET heard_at = NULL, started_at = NULL, login_at = {NOW} - INTERVAL 30 SECOND")
    assert office.json("enforce") == []
    assert session_of(database, card)["closed_at"] is None
    pass_time(database, 31)
    assert office.json("enforce") == []
    row = session_of(database, card)
    assert (row["close_cause"], row["closed_at"]) == ("not_begun", row["login_at"]) and nas.requests == []


def test_a_silent_session_of_a_silent_nas_is_stale(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card)
    nas.behaviour = silence
    office.run("enforce", "--wait", "0")
    pass_time(database, 961)
    assert office.json("enforce") == []
    assert session_of(database, card)["close_cause"] == "stale"


def test_the_address_is_the_one_that_the_session_came_from(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    add_nas(office, "hotspots", nas, address="127.0.0.8/31", vendor="chilli")
    open_session(database, card, "hotspots", nas_address="127.0.0.9")
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    open_session(database, card, "hotspots", number=2)
    result = office.run("enforce", "--wait", "0", "--json")
    assert [row["error_cause"] for row in result.json()] == ["no address: its NAS is a network"]


def test_a_nas_over_tls_has_no_address_for_a_disconnect(office, database):
    """It may be behind a NAT; what limits its sessions is the Session-Timeout of their Accept."""
    (card,) = sell(office, database, 1, "--time", "10m")
    office.must("nas", "add", "beach", "--tls")
    open_session(database, card, "beach", nas_address="tls:beach")
    rows = office.run("enforce", "--wait", "0", "--json").json()
    assert [row["error_cause"] for row in rows] == ["no address: its NAS is known by its certificate"]


def test_a_nas_without_a_secret_of_ours_is_listed(office, database):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, "unlisted")
    result = office.run("enforce", "--wait", "0", "--json")
    (row,) = result.json()
    assert result.exit_status == 1 and row["outcome"] == "not_sent" and "no secret" in row["error_cause"]


def test_a_nas_of_ipv6(office, database):
    (card,) = sell(office, database, 1, "--time", "10m")
    with DisconnectServer("::1", on_request=stop(database)) as server:
        add_nas(office, "six", server, vendor="generic")
        open_session(database, card, "six")
        assert office.json("enforce") == []
        assert server.requests[0]["NAS-IPv6-Address"] == ["::1"]


# --- Sessions that came back ----------------------------------------------------------------------------


def test_a_session_that_came_back_goes_on_if_it_may(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due_cause="revived")
    assert office.json("enforce") == []
    row = session_of(database, card)
    left = database.value(f"SELECT TIMESTAMPDIFF(SECOND, {NOW}, due_at) FROM session")
    assert row["due_cause"] == "time" and 550 <= left <= 555 and nas.requests == []


def test_a_session_that_nothing_limits_ends_when_the_option_file_says(office, database, nas, tmp_path):
    """`longest_session_seconds` binds the enforcer as it binds a login."""
    (card,) = sell(office, database, 1, "--traffic", "1GB")
    open_session(database, card, due_cause="revived", granted_seconds=None)
    option_file = tmp_path / "prepaid.cnf"
    option_file.write_text(
        office.option_file.read_text().replace("[prepaid]\n", "[prepaid]\nlongest_session_seconds = 7200\n")
    )
    Office(option_file).must("enforce")
    (row,) = database.query(
        f"SELECT due_cause, TIMESTAMPDIFF(SECOND, {NOW}, due_at) AS seconds FROM session WHERE acct_session_id = '80a1'"
    )
    assert row["due_cause"] == "longest" and 7100 < row["seconds"] <= 7200


@pytest.mark.parametrize("replace_oldest, disconnected", [(False, "80a2"), (True, "80a1")])
def test_of_more_sessions_than_the_product_allows_one_is_disconnected(
    office, database, nas, replace_oldest, disconnected
):
    (card,) = sell(office, database, 1, "--time", "10m", *(["--replace-oldest"] if replace_oldest else []))
    open_session(database, card, number=1, due_cause="revived")
    open_session(database, card, number=2, due_cause="time", due="-1 HOUR")
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    assert [request["Acct-Session-Id"][0] for request in nas.requests] == [disconnected]


def test_a_session_of_a_blocked_card_that_came_back_is_disconnected(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due_cause="revived")
    database.execute("UPDATE card SET status = 'blocked'")
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    assert session_of(database, card)["due_cause"] == "blocked" and len(nas.requests) == 1


@pytest.mark.parametrize("status", ["created", "blocked", "exhausted", "expired"])
def test_a_session_that_is_on_with_a_card_that_may_not_log_in_is_cut_whoever_opened_it(office, database, nas, status):
    """Nobody has said that it has to be off: the tables alone tell."""
    card, other = sell(office, database, 2, "--time", "10m")
    for one in (card, other):
        open_session(database, one, due="-1 HOUR", due_cause="time", acct_session_id=f"id {one.serial}")
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE card SET status = %s WHERE serial = %s", [status, card.serial])
        cursor.connection.commit()
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    assert [request["Acct-Session-Id"][0] for request in nas.requests] == [f"id {card.serial}"]
    assert session_of(database, card)["due_at"] is None
    assert session_of(database, other)["due_at"] is not None


def test_so_is_one_whose_nas_is_not_ours(office, database):
    """It cannot be told to its NAS; it is listed, and no login counts it."""
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, nas="unlisted", due="-1 HOUR", due_cause="time")
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE card SET status = 'blocked' WHERE serial = %s", [card.serial])
        cursor.connection.commit()
    office.run("enforce")
    assert database.value(f"SELECT due_at <= {NOW} FROM session") == 1
    assert session_of(database, card)["due_cause"] == "blocked"


# --- Fair use --------------------------------------------------------------------------------------------

FUP = ("--traffic", "1GB", "--fup-share", "80", "--fup-down", "512", "--fup-up", "256")


def pass_fair_use(database):
    database.execute("INSERT INTO session_slow_down (card_id, login_number) SELECT card_id, login_number FROM session")


def test_a_session_past_its_fair_use_is_slowed_down_once(office, database, nas):
    (card,) = sell(office, database, 1, *FUP)
    open_session(database, card, due="-1 HOUR")
    pass_fair_use(database)
    for _ in range(2):
        assert office.json("enforce") == []
    (request,) = nas.requests
    assert request.code == 43 and request["Mikrotik-Rate-Limit"] == ["256k/512k"]
    assert database.value("SELECT done_at FROM session_slow_down") is not None


def test_a_nas_that_cannot_slow_down_is_listed(office, database, nas):
    (card,) = sell(office, database, 1, *FUP)
    office.must("nas", "edit", "centro", "--vendor", "pfsense")
    open_session(database, card, due="-1 HOUR")
    pass_fair_use(database)
    (row,) = office.json("enforce")
    assert (row["action"], row["serial"], row["outcome"]) == ("slow_down", card.serial, None)
    database.execute(f"UPDATE session SET stopped_at = {NOW}, due_at = NULL")
    assert office.json("enforce") == []


# --- Validity --------------------------------------------------------------------------------------------


def test_cards_whose_validity_is_over_expire_and_their_sessions_end(office, database, nas):
    first, second, third = sell(office, database, 3, "--time", "10m", "--valid-days", "30")
    open_session(database, first, due="-1 HOUR")
    database.execute(
        f"UPDATE card SET expires_at = {NOW} - INTERVAL 1 SECOND WHERE serial IN (%s, %s)",
        [first.serial, second.serial],
    )
    nas.on_request = stop(database)
    assert office.json("enforce") == []
    assert [office.show(card)["status"] for card in (first, second, third)] == ["expired", "expired", "delivered"]
    assert len(nas.requests) == 1
    assert (
        database.value(
            "SELECT reason FROM card_event JOIN card ON card.id = card_id WHERE serial = %s AND to_status = 'expired'",
            [second.serial],
        )
        == "the validity is over"
    )


def test_cards_expire_with_their_product(office, database):
    (card,) = sell(office, database, 1, "--time", "10m")
    database.execute(f"UPDATE product SET valid_until_at = {NOW} - INTERVAL 1 SECOND WHERE name = %s", [card.product])
    assert office.json("enforce") == []
    assert office.show(card)["status"] == "expired"
