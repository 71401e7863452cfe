"""prepaid disconnect: a card's sessions end, and the command says what the NAS answered."""

from tests.cli.enforcing import open_session, sell, session_of, stop
from tests.disconnect_server import nak


def test_disconnect_ends_a_cards_sessions_and_says_so(office, database, nas):
    card, other = sell(office, database, 2, "--time", "10m")
    open_session(database, card, number=1, due="-1 HOUR")
    open_session(database, card, number=2, due="-1 HOUR")
    open_session(database, other, number=3, due="-1 HOUR")
    nas.on_request = stop(database)
    rows = office.json("disconnect", card.serial, "--reason", "asked by the customer")
    assert [(row["acct_session_id"], row["is_off"], row["outcome"]) for row in rows] == [
        ("80a1", True, "ack"),
        ("80a2", True, "ack"),
    ]
    assert office.show(card)["status"] == "in_use"
    assert len(nas.requests) == 2 and session_of(database, other, 3)["due_at"] is not None
    (event,) = database.query("SELECT operator, reason FROM card_event WHERE what = 'disconnected'")
    assert event == {"operator": "prepaid_admin", "reason": "asked by the customer"}


def test_disconnect_says_what_the_nas_refused(office, database, nas):
    (card,) = sell(office, database, 1, "--time", "10m")
    open_session(database, card, due="-1 HOUR")
    nas.behaviour = nak(501)
    result = office.run("disconnect", card.serial, "--wait", "0", "--json")
    (row,) = result.json()
    assert (result.exit_status, row["is_off"], row["error_cause"]) == (1, False, "501 Administratively-Prohibited")
    assert "prepaid enforce" in result.stderr


def test_disconnect_without_a_session_is_done_already(office, database):
    (card,) = sell(office, database, 1, "--time", "10m")
    result = office.run("disconnect", card.serial, "--json")
    assert (result.exit_status, result.json()) == (0, []) and "no session" in result.stderr


def test_disconnect_of_an_unknown_card(office):
    result = office.run("disconnect", "9999999999")
    assert result.exit_status == 1 and "9999999999" in result.stderr
