"""What the engine tells of a packet or a login before and after its statements: whether it is late, odd, proved, counted."""

import hashlib
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from freeradius_module.attributes import SERIAL_MAX
from freeradius_module.engine import accounting, logins
from freeradius_module.engine.accounting import ARCHIVE_SECONDS, Packet
from freeradius_module.rules.identity import Candidate, Claim
from freeradius_module.store.accounting import Charged
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, nas_restart, report, request, session_timeout

CHARGED = Charged(7, 1, "8001", 60, 1000, 500, 0, 1, 0)
CANDIDATE = Candidate(1, 1, "8001", PHONE, False, True, 0.0, 0.0, 0.0, 60)


# --- Accounting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "is_open", "was_closed", "is_late"),
    [
        ("Interim-Update", 1, 0, False),
        ("Stop", 0, 0, False),
        ("Stop", 0, 1, True),
        ("Interim-Update", 0, 0, True),
        ("Interim-Update", 0, 1, True),
        ("Start", 0, 0, True),
    ],
)
def test_a_packet_is_late_if_its_session_had_ended(kind, is_open, was_closed, is_late):
    row = CHARGED._replace(is_open=is_open, was_closed=was_closed)
    assert accounting._is_late(SimpleNamespace(kind=kind), row) is is_late


@pytest.mark.parametrize(
    ("facts", "is_archivable"),
    [
        ({"login_age": ARCHIVE_SECONDS + 1}, True),
        ({"login_age": ARCHIVE_SECONDS}, False),
        ({"login_age": ARCHIVE_SECONDS + 1, "is_open": True}, False),
        # The login is certain; a start is what the NAS reports.
        ({"login_age": 5.0, "start_age": ARCHIVE_SECONDS + 1}, False),
        ({"login_age": None, "start_age": ARCHIVE_SECONDS + 1}, True),
        ({"login_age": None, "start_age": 5.0}, False),
        ({"login_age": None, "start_age": None}, True),
    ],
)
def test_only_a_session_that_ended_and_began_more_than_a_day_ago_may_be_archived(facts, is_archivable):
    assert accounting._is_archivable(CANDIDATE._replace(**facts)) is is_archivable


@pytest.mark.parametrize(
    ("seconds", "down", "up", "detail"),
    [
        (61, 1000, 500, None),
        (61, 999, 500, "at 61 s: down 999 after 1000"),
        (61, 1000, 499, "at 61 s: up 499 after 500"),
        (60, 999, 499, "at 60 s: down 999 after 1000, up 499 after 500"),
        (59, 999, 499, None),  # an older packet
        (None, 999, 499, None),
        (61, None, None, None),
    ],
)
def test_octets_that_fall_while_time_rises_are_odd(seconds, down, up, detail):
    found = accounting._anomaly(SimpleNamespace(seconds=seconds, down_octets=down, up_octets=up), CHARGED)
    assert (found and found.detail) == detail


def test_each_packet_is_counted_by_what_it_was_and_what_became_of_it(shop, engine):
    (card,) = shop.sell(1)
    classes = class_of(log_in(engine, card))
    nobody = SimpleNamespace(serial="9999999999")
    for packet in (
        report(card, "Start", None, classes),
        report(card, "Interim-Update", 60, classes),
        report(card, "Interim-Update", 60),
        report(nobody, "Stop", 60),
        report(card, "Tunnel-Start", 60),
        nas_restart(),
        nas_restart(),
    ):
        engine.charges.submit_all([Packet(packet)])
    nas_id = shop.sessions(card)[0]["nas_id"]
    assert engine.charges.counts == Counter(
        {
            (nas_id, "Start", True, "charged"): 1,
            (nas_id, "Interim-Update", True, "charged"): 1,
            (nas_id, "Interim-Update", False, "charged"): 1,
            (nas_id, "Stop", False, "never"): 1,
            (nas_id, "unreadable", False, "never"): 1,
            (nas_id, "Accounting-On", False, "charged"): 2,
        }
    )


def test_two_new_sessions_of_a_card_in_one_group_are_two(shop, engine):
    """Also beside one of another card, and a packet more of the first one."""
    card, other = shop.sell(2)
    packets = [
        (report(one, "Interim-Update", seconds, session_id=session_id, device=session_id), 0.0)
        for one, session_id, seconds in (
            (card, "8001", 10), (other, "8009", 99), (card, "8002", 20), (card, "8001", 15), (card, "8003", 30),
        )
    ]  # fmt: skip
    assert engine.charges.queued(packets) == [None] * 5
    assert sorted((row["acct_session_id"], row["used_seconds"]) for row in shop.sessions(card)) == [
        ("8001", 15), ("8002", 20), ("8003", 30)
    ]  # fmt: skip
    assert sorted(row["login_number"] for row in shop.sessions(card)) == [1, 2, 3]
    assert [(row["acct_session_id"], row["used_seconds"]) for row in shop.sessions(other)] == [("8009", 99)]


# --- Logins ----------------------------------------------------------------------------------------------


def test_chap_proves_a_pin_by_its_response():
    challenge, number, pin = bytes(range(16)), b"\x05", "1234567890"
    response = number + hashlib.md5(number + pin.encode() + challenge).digest()
    asked = {"CHAP-Password": "0x" + response.hex(), "CHAP-Challenge": "0x" + challenge.hex()}
    proves = logins.proof_of(asked)
    assert (proves(pin), proves("1234567891")) == (True, False)
    for name in asked:
        assert logins.proof_of(asked | {name: asked[name][2:]}) is None
        assert logins.proof_of({name: asked[name]}) is None


@pytest.mark.parametrize("more", ["activates", "binds_device", "closes", "replaces", None])
def test_a_login_changes_more_than_its_own_row_if_any_of_four_is_to_be_done(more):
    facts = {"activates": False, "binds_device": False, "closes": (), "replaces": ()}
    if more:
        facts[more] = True
    assert logins._changes_more(SimpleNamespace(**facts)) is bool(more)


def test_a_serial_that_is_longer_than_any_cards_is_looked_up_as_none():
    facts = SimpleNamespace(nas_id=1, device=PHONE)
    for length, expected in ((SERIAL_MAX, "7" * SERIAL_MAX), (SERIAL_MAX + 1, "")):
        facts.serial = "7" * length
        assert logins._try(facts).serial == expected


def test_the_log_names_a_strangers_serial_shortened_and_escaped_and_a_cards_as_it_is():
    assert logins._log_line(SimpleNamespace(serial="\x1b" + "7" * 99), "unknown_card") == (
        "login of '\\x1b" + "7" * 63 + "': unknown_card"
    )
    assert logins._log_line(SimpleNamespace(serial="4000123"), "expired") == "login of 4000123: expired"


def test_a_session_that_ends_with_the_cards_validity_is_due_then_and_not_later(shop, engine):
    (card,) = shop.sell(1, credit_seconds=10**6)
    shop.change(card, expires_at=shop.database.value("SELECT UTC_TIMESTAMP() + INTERVAL 500 SECOND"))
    timeout = session_timeout(log_in(engine, card))
    (session,) = shop.sessions(card)
    assert session["due_cause"] == "validity"
    assert (session["due_at"] - session["login_at"]).total_seconds() == timeout


def test_each_login_is_counted_by_what_became_of_it(shop, engine):
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=1)
    log_in(engine, card)
    engine.record_wrong_pin(request(card, LAPTOP))
    engine.record_wrong_pin(request(card, LAPTOP))
    nas_id = shop.sessions(card)[0]["nas_id"]
    assert engine.logins.counts == Counter({(nas_id, "accepted", "time"): 1, (nas_id, "refused", "wrong_pin"): 2})


def test_a_card_that_an_entry_used_up_is_exhausted_by_its_next_login(shop, engine):
    """And a blocked one stays blocked, an expired one is marked as that."""
    used, blocked, ended = shop.sell(3, credit_seconds=600)
    for card in (used, blocked):
        engine.account(report(card, "Stop", 100, class_of(log_in(engine, card))))
        shop.add_credit(card, added_seconds=-500)
    shop.set_status(blocked, "blocked")
    shop.change(ended, expires_at="2020-01-01")
    assert [log_in(engine, card).reason for card in (used, blocked, ended)] == ["exhausted", "blocked", "expired"]
    assert [shop.status(card) for card in (used, blocked, ended)] == ["exhausted", "blocked", "expired"]


# --- Whose a packet is, without reading the database ----------------------------------------------------


@pytest.mark.parametrize(("seconds", "key"), [(99, (7, 1)), (102, (7, 1)), (103, None)])
def test_a_class_is_trusted_if_the_session_began_after_its_login(engine, seconds, key):
    """A session that began before went on through a new authentication. Two seconds are for the clocks."""
    claim = Claim(card_id=7, login_number=1, login_epoch=900)._replace(is_named=True)
    packet = SimpleNamespace(
        kind="Interim-Update", age_seconds=0.0, seconds=seconds, claim=claim, at=1000.0, nas_id=1, serial="7",
        acct_session_id="8001",
    )  # fmt: skip
    assert engine.charges._trusted_key(packet) == key


@pytest.mark.parametrize(
    ("kind", "seconds", "key"),
    [
        ("Interim-Update", 100, (7, 1)),
        ("Interim-Update", 70, (7, 1)),
        ("Interim-Update", 130, (7, 1)),
        ("Interim-Update", 69, None),
        ("Interim-Update", 131, None),
        # It may begin another session, whatever its identifier.
        ("Start", 100, None),
    ],
)
def test_a_session_is_remembered_by_its_identifier_and_its_start(engine, kind, seconds, key):
    packet = SimpleNamespace(
        kind=kind, age_seconds=0.0, seconds=seconds, claim=None, at=1000.0, nas_id=1, serial="7",
        acct_session_id="8001",
    )  # fmt: skip
    assert engine.charges._trusted_key(packet) is None
    engine.charges._remember(packet, 7, 1, 900.0)
    assert engine.charges._trusted_key(packet) == key


def test_a_session_of_a_day_is_looked_for_unless_it_was_open_within_a_day(engine):
    charges = engine.charges
    assert charges._is_not_archived((7, 1), ARCHIVE_SECONDS - 1)
    assert not charges._is_not_archived((7, 1), ARCHIVE_SECONDS)
    for ago, is_certain in ((10, True), (ARCHIVE_SECONDS - 10, True), (ARCHIVE_SECONDS + 10, False)):
        charges._open_at[7, 1] = time.monotonic() - ago
        assert charges._is_not_archived((7, 1), ARCHIVE_SECONDS) is is_certain
