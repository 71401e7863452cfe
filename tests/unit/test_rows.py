"""From the database's columns to the rules' values: each arrives under its own name."""

import json

from freeradius_module.store import logins
from freeradius_module.store.logins import CardRow, SessionRow, SessionsRow

CARD = {name: number for number, name in enumerate(CardRow._fields, start=1000)}
SESSION = {name: number for number, name in enumerate(SessionRow._fields, start=2000)} | {
    "granted_seconds": 10_001,
    "granted_octets": 10_002,
    "granted_down_octets": 10_003,
    "granted_up_octets": None,
    "granted_millicents": 2_000_000_000,
    "tariff_minute_millicents": 60,
    "tariff_mb_millicents": 0,
}
SINCE = {name: number for number, name in enumerate(SessionsRow._fields, start=3000)} | {
    "open_count": 1,
    "open_sessions": [list(SESSION.values())],
}


def read(sessions=None):
    of_sessions = json.dumps(list(sessions.values())) if sessions else None
    return logins._card("4000017", b"sealed", json.dumps(list(CARD.values())), of_sessions)


def test_a_card_that_was_never_used():
    card = read()
    same = ("id", "status", "version", "product_id", "product_revision", "expires_in_seconds", "device", "key_number")
    assert {name: getattr(card, name) for name in same} == {name: CARD[name] for name in same}
    assert (card.serial, card.pin_sealed, card.was_tried) == ("4000017", b"sealed", CARD["was_tried"])
    assert card.added._asdict() == {name: CARD[f"added_{name}"] for name in card.added._fields}
    assert card.used._asdict() == {name: CARD[f"posted_{name}"] for name in card.used._fields}
    assert (card.last_login_number, card.unposted, card.sessions) == (CARD["posted_login_number"], 0, ())


def test_a_card_with_an_open_session():
    card = read(SINCE)
    assert card.used._asdict() == {
        name: CARD[f"posted_{name}"] + SINCE[f"unposted_{name}"] for name in card.used._fields
    }
    assert (card.last_login_number, card.unposted) == (SINCE["last_login_number"], SINCE["ended_count"])
    (session,) = card.sessions
    same = ("login_number", "nas_id", "device", "interim_seconds")
    assert {name: getattr(session, name) for name in same} == {name: SESSION[name] for name in same}
    assert (session.is_begun, session.silent_seconds) == (True, SESSION["silent_us"] / 1_000_000)
    assert session.used._asdict() == {name: SESSION[f"used_{name}"] for name in session.used._fields}
    seconds, down_octets, up_octets = session.used
    assert session.granted_left._asdict() == {
        "seconds": 10_001 - seconds,
        "octets": 10_002 - down_octets - up_octets,
        "down_octets": 10_003 - down_octets,
        "up_octets": None,
        "millicents": 2_000_000_000 - seconds,
    }


def test_a_decoy_row_is_as_long_as_a_cards():
    assert logins._card("", b"", logins.DECOY, None).status == "delivered"
    assert len(json.loads(logins.DECOY)) == len(CardRow._fields)
