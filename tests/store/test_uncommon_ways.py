"""Logins and accounting on uncommon ways: a locked row, a full memory, a card that was deleted, a caller that gave up.

A packet is charged once on each of them; a login that cannot be decided is answered by an exception, never by an Accept.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import pymysql
import pytest

from freeradius_module import attributes, store
from freeradius_module.connection import LOCKED, DatabaseAway, RowLocked, TooLate
from freeradius_module.engine import accounting, logins
from freeradius_module.engine.accounting import NeverCharged, Packet
from freeradius_module.engine.logins import ADMIT, AUTHORIZE, WRONG_PIN
from freeradius_module.rules.identity import Claim, make_class
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, nas_restart, report, request, session_timeout

# No card has them.
NO_CARD, NO_SERIAL = 4_000_000_000, "9999999999"


@pytest.fixture
def locked(monkeypatch):
    """`locked("post")`: the database refuses the first call of this statement, because another transaction has its row."""

    def lock(name: str) -> None:
        home, statement = home_of(name)

        def refused_once(cursor, *arguments):
            monkeypatch.setattr(home, name, statement)
            raise pymysql.err.OperationalError(LOCKED, "Lock wait timeout exceeded")

        monkeypatch.setattr(home, name, refused_once)

    return lock


def home_of(name: str):
    """The module of the store that has this statement, and the statement."""
    modules = [store, *(value for value in vars(store).values() if isinstance(value, ModuleType))]
    home = next(module for module in modules if module.__name__.startswith(store.__name__) and hasattr(module, name))
    return home, getattr(home, name)


def charge(engine, *packets):
    """As the shared engine does: a result for each, and no second try."""
    return engine.charges.submit_all([Packet(packet) for packet in packets])


def use_some(shop, engine, nas="127.0.0.1", **product):
    """A card with one session, and a function that reports its use."""
    (card,) = shop.sell(1, **product)
    classes = class_of(log_in(engine, card, nas=nas))

    def used(seconds, octets, kind="Interim-Update"):
        return report(card, kind, seconds, classes, down=octets, up=0, nas=nas, later_seconds=seconds)

    return card, used


# --- Accounting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "product", "before", "packet"),
    [
        ("charge", {"credit_seconds": 600}, None, (60, 10)),
        # The interim before had gigabytes, this one has less.
        ("record_anomalies", {"credit_seconds": 600}, (60, 4_000_000_000), (120, 10)),
        ("slow_down", {"credit_octets": 1000, "fup_share_percent": 80, "fup_down_kbit": 200}, None, (60, 900)),
        ("post", {"credit_seconds": 60, "max_sessions": 2}, None, (60, 10)),
        ("disconnect_beyond_grant", {"credit_seconds": 600, "max_sessions": 2}, None, (310, 10)),
        ("lower_grants", {"credit_seconds": 600, "max_sessions": 2}, None, (310, 10)),
    ],
)
def test_a_packet_that_meets_a_locked_row_is_charged_once_when_it_comes_again(
    shop, engine, locked, statement, product, before, packet
):
    card, used = use_some(shop, engine, **product)
    if before:
        assert charge(engine, used(*before)) == [None]
    locked(statement)
    (first,) = charge(engine, used(*packet))
    assert isinstance(first, RowLocked)
    assert charge(engine, used(*packet)) == [None]
    assert shop.used(card) == (packet[0], max(packet[1], before[1] if before else 0), 0)


def test_a_locked_session_of_a_nas_whose_counters_wrap_is_charged_once_when_its_packet_comes_again(
    shop, engine, locked
):
    card, used = use_some(shop, engine, shop.nas(counter_rule="wraps"))

    def without_gigawords(*counters):
        return [pair for pair in used(*counters) if "Gigawords" not in pair[0]]

    assert charge(engine, without_gigawords(60, 4_000_000_000)) == [None]
    locked("charge_alone")
    (first,) = charge(engine, without_gigawords(120, 10))
    assert isinstance(first, RowLocked)
    assert charge(engine, without_gigawords(120, 10)) == [None]
    assert shop.used(card) == (120, 2**32 + 10, 0)


def test_a_restart_whose_sessions_are_locked_closes_them_when_it_comes_again(shop, engine, locked):
    card, used = use_some(shop, engine)
    charge(engine, used(60, 10))
    locked("close_nas")
    first, other = charge(engine, nas_restart(), used(90, 20))
    assert isinstance(first, RowLocked) and other is None
    (again,) = charge(engine, nas_restart(delay=0))
    assert "1 sessions closed" in again
    assert shop.used(card)[0] == 90


def test_a_packet_whose_sender_gave_up_is_not_charged(shop, engine):
    card, used = use_some(shop, engine)
    late, in_time = engine.charges.submit_all([Packet(used(60, 10), until=time.monotonic()), Packet(used(30, 5))])
    assert isinstance(late, TooLate) and in_time is None
    assert shop.used(card) == (30, 5, 0)


def test_a_packet_that_cannot_be_read_for_an_unforeseen_reason_stops_nobody_else(shop, engine, monkeypatch):
    card, used = use_some(shop, engine)
    read = attributes.report

    def fails_for_one(pairs, *arguments):
        if dict(pairs)["Acct-Session-Time"] == "666":
            raise KeyError("unforeseen")
        return read(pairs, *arguments)

    monkeypatch.setattr(attributes, "report", fails_for_one)
    fault, charged = charge(engine, used(666, 1), used(60, 10))
    assert isinstance(fault, KeyError) and charged is None
    assert shop.used(card) == (60, 10, 0)


def test_a_queue_is_charged_again_as_a_whole_when_the_database_was_away(shop, engine, monkeypatch):
    card, used = use_some(shop, engine)
    with monkeypatch.context() as away:
        away.setattr(accounting, "ROUNDS", 0)
        with pytest.raises(DatabaseAway):
            engine.charges.queued([(used(60, 10), 0.0), (used(90, 20), 0.0)])
    assert engine.charges.queued([(used(60, 10), 0.0), (used(90, 20), 0.0)]) == [None, None]
    assert shop.used(card) == (90, 20, 0)


def test_a_packet_is_not_answered_when_its_sessions_are_archived_again_and_again(shop, engine, monkeypatch):
    (card,) = shop.sell(1)
    monkeypatch.setattr(home_of("find_archived")[0], "find_archived", lambda cursor, reports: [(NO_CARD, 1)])
    # Without a Class, so that the card's sessions are searched.
    (result,) = charge(engine, report(card, "Interim-Update", 60))
    assert isinstance(result, DatabaseAway)
    assert shop.sessions(card) == []


def test_the_order_of_packets_matters_only_where_a_later_one_changes_their_meaning(shop, engine):
    (card,) = shop.sell(1)
    wrapping = shop.nas(counter_rule="wraps")
    assert engine.charges.needs_order(nas_restart())
    assert engine.charges.needs_order(report(card, "Interim-Update", 60, nas=wrapping))
    assert not engine.charges.needs_order(report(card, "Stop", 60))


def test_what_an_engine_forgets_changes_nothing(shop, engine, monkeypatch):
    monkeypatch.setattr(accounting, "REMEMBERED_MOST", 1)
    cards = shop.sell(3, credit_seconds=600)
    classes = {card: class_of(log_in(engine, card)) for card in cards}
    for seconds in (60, 120, 180):
        for card in cards:
            # With and without Class, so that a session is found by each memory in turn.
            named = classes[card] if seconds != 120 else ()
            packet = report(card, "Interim-Update", seconds, named, session_id=card.serial, later_seconds=seconds)
            assert charge(engine, packet) == [None]
    assert [shop.used(card)[0] for card in cards] == [180, 180, 180]
    assert [len(shop.sessions(card)) for card in cards] == [1, 1, 1]


def test_new_sessions_of_one_card_in_one_group_are_two(shop, engine):
    """Without Class: a NAS that does not return it.  A new session of another card is between them."""
    card, other = shop.sell(2, credit_seconds=600, max_sessions=3)
    packets = [
        report(one, "Interim-Update", 60, session_id=session_id, device=device)
        for one, session_id, device in ((card, "a", PHONE), (other, "x", PHONE), (card, "b", LAPTOP))
    ]
    assert charge(engine, *packets) == [None, None, None]
    assert [session["acct_session_id"] for session in shop.sessions(card)] == ["a", "b"]
    assert (shop.used(card)[0], shop.used(other)[0]) == (120, 60)


def renamed(packet, name):
    """The packet with another User-Name: with EAP it is what the customer typed outside the tunnel."""
    return [(attribute, name if attribute == "User-Name" else value) for attribute, value in packet]


@pytest.mark.parametrize("first", [1, 2])
def test_under_an_outer_identity_the_class_says_which_login_it_was(shop, engine, first):
    """Two logins of one card wait for their first reports, which come in any order and name no device."""
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=2)
    classes = {number: class_of(log_in(engine, card, device)) for number, device in ((1, PHONE), (2, LAPTOP))}
    packet = report(card, "Interim-Update", 60, classes[first], device=None)
    assert charge(engine, renamed(packet, "anonymous")) == [None]
    used = {session["login_number"]: session["used_seconds"] for session in shop.sessions(card)}
    assert used == {1: 0, 2: 0} | {first: 60}


@pytest.mark.parametrize(("fits", "charged"), [(True, "of the Class"), (False, "of the name")])
def test_a_class_decides_against_the_name_of_another_card_only_if_it_fits(shop, engine, fits, charged):
    card, other = shop.sell(2, credit_seconds=600, max_sessions=2)
    log_in(engine, card, LAPTOP)
    classes = class_of(log_in(engine, card))
    log_in(engine, other, LAPTOP)
    packet = report(card, "Interim-Update", 60, classes, device=PHONE if fits else "02-00-00-00-00-03")
    assert charge(engine, renamed(packet, other.serial)) == [None]
    assert (shop.used(card)[0], shop.used(other)[0]) == ((60, 0) if charged == "of the Class" else (0, 60))


@pytest.mark.parametrize("user_name", ["serial", "anonymous"])
def test_a_class_of_a_card_that_this_database_does_not_have_is_never_charged(shop, engine, database, user_name):
    """The database was restored from before the card was made; with EAP, User-Name may be anything."""
    lost = SimpleNamespace(serial=NO_SERIAL)
    claim = Claim(card_id=NO_CARD, login_number=1, login_epoch=int(time.time()) - 100)
    classes = [make_class(claim, NO_SERIAL, engine.keys.lasting("class"))]
    packet = report(lost, "Interim-Update", 60, classes)
    if user_name != "serial":
        packet = [(name, user_name if name == "User-Name" else value) for name, value in packet]
    (result,) = charge(engine, packet)
    assert isinstance(result, NeverCharged)


def test_a_class_of_a_card_that_is_deleted_meanwhile_does_not_take_the_packet_from_its_user_name(
    shop, engine, monkeypatch
):
    (card,) = shop.sell(1, credit_seconds=600)
    claim = Claim(card_id=NO_CARD, login_number=1, login_epoch=int(time.time()) - 100)
    classes = [make_class(claim, NO_SERIAL, engine.keys.lasting("class"))]
    # The card was there when its serial was read, and not when its sessions were.
    monkeypatch.setattr(home_of("read_serials")[0], "read_serials", lambda cursor, ids: {NO_CARD: NO_SERIAL})
    assert charge(engine, report(card, "Interim-Update", 60, classes)) == [None]
    assert shop.used(card)[0] == 60


def test_a_session_that_is_archived_while_it_is_charged_is_charged_once_when_its_packet_comes_again(
    shop, engine, database, monkeypatch
):
    """A row that is gone must not be made again: the archive has counted what it used."""
    (card,) = shop.sell(1, credit_seconds=10**6)
    stop = report(card, "Stop", 60, (), delay=3 * 86_400, received_at=time.time())
    assert charge(engine, stop) == [None]
    (session,) = shop.sessions(card)
    home, find = home_of("find_archived")

    def archived_meanwhile(cursor, reports):
        monkeypatch.setattr(home, "find_archived", find)
        found = find(cursor, reports)
        database.execute("DELETE FROM session WHERE card_id = %s", [shop.id(card)])
        return found

    monkeypatch.setattr(home, "find_archived", archived_meanwhile)
    (first,) = charge(engine, stop)
    assert isinstance(first, RowLocked) and session["used_seconds"] == 60
    assert shop.sessions(card) == []


# --- Logins ----------------------------------------------------------------------------------------------


def ask(engine, card, what=ADMIT, device=PHONE, until=None, **attributes):
    return engine.login_request(what, request(card, device) | attributes, until)


def test_a_wrong_pin_and_a_refusal_of_one_group_are_each_counted(shop, engine):
    (sold,) = shop.sell(1)
    (in_stock,) = shop.stock(1)
    engine.logins.submit_all([ask(engine, sold, WRONG_PIN), ask(engine, in_stock)])
    assert shop.refusals(sold) == {"wrong_pin": 1}
    assert shop.refusals(in_stock) == {"not_delivered": 1}


def test_a_login_whose_caller_gave_up_reserves_nothing(shop, engine):
    gone, there = shop.sell(2, credit_seconds=600)
    answers = engine.logins.submit_all([ask(engine, gone, until=time.monotonic()), ask(engine, there)])
    assert isinstance(answers[0], TooLate) and answers[1].is_accepted
    assert shop.sessions(gone) == []


def test_of_two_logins_of_one_card_in_one_group_each_gets_its_share(shop, engine):
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=2)
    first, second = engine.logins.submit_all([ask(engine, card), ask(engine, card, device=LAPTOP)])
    assert session_timeout(first) + session_timeout(second) == 600
    assert len(shop.sessions(card)) == 2


def test_a_login_that_is_never_written_gets_no_answer(shop, engine, monkeypatch):
    (card,) = shop.sell(1, credit_seconds=600)
    monkeypatch.setattr(logins, "ROUNDS", 0)
    (answer,) = engine.logins.submit_all([ask(engine, card)])
    assert isinstance(answer, DatabaseAway)
    assert shop.sessions(card) == []


def test_a_login_of_a_card_that_is_deleted_while_it_is_decided_is_refused(shop, engine, database, monkeypatch):
    (card,) = shop.sell(1, credit_seconds=600)
    home, reserve = home_of("reserve_with_changes")

    def deleted_before(cursor, reservation):
        database.execute("UPDATE card SET status = 'created', partner_id = NULL WHERE serial = %s", [card.serial])
        database.execute("UPDATE card SET status = 'deleted' WHERE serial = %s", [card.serial])
        return reserve(cursor, reservation)

    monkeypatch.setattr(home, "reserve_with_changes", deleted_before)
    (answer,) = engine.logins.submit_all([ask(engine, card)])
    assert (answer.is_accepted, answer.reason) == (False, "unknown_card")
    assert shop.sessions(card) == []


@pytest.mark.parametrize("what", [AUTHORIZE, ADMIT])
def test_a_login_whose_outer_name_is_another_card_is_refused(shop, engine, what):
    """A NAS reports by the outer name, and that card would be charged."""
    card, other = shop.sell(2, credit_seconds=600)
    asked = ask(engine, card, what, **{"Tmp-String-4": other.serial, "User-Password": card.pin})
    (result,) = engine.logins.submit_all([asked])
    answer = result.answer if what == AUTHORIZE else result
    assert (answer.is_accepted, answer.reason) == (False, "wrong_pin")
    assert "its outer name is another card's" in answer.log
    assert shop.sessions(card) == [] and shop.refusals(card) == {"wrong_pin": 1}


def test_a_pin_that_cannot_be_opened_stops_nobody_else(shop, engine):
    broken, card = shop.sell(2, credit_seconds=600)
    shop.change(broken, pin_sealed=b"\0" * 44)
    fault, handout = engine.logins.submit_all([ask(engine, broken, AUTHORIZE), ask(engine, card, AUTHORIZE)])
    assert isinstance(fault, Exception)
    assert handout.pin == card.pin and card.pin not in repr(handout)


def test_a_chap_password_that_is_not_hexadecimal_proves_nothing():
    assert logins.proof_of({"CHAP-Password": "0xzz", "CHAP-Challenge": "0x00"}) is None


def test_a_login_that_closes_a_session_which_reports_meanwhile_is_decided_again(shop, engine, monkeypatch):
    """What the session has used was granted to the login."""
    (card,) = shop.sell(1, credit_seconds=600, max_sessions=1)
    first = class_of(log_in(engine, card))
    shop.age(card, 100)
    home, reserve = home_of("reserve_with_changes")

    def reported_before(cursor, reservation):
        monkeypatch.setattr(home, "reserve_with_changes", reserve)
        assert charge(engine, report(card, "Interim-Update", 90, first)) == [None]
        return reserve(cursor, reservation)

    monkeypatch.setattr(home, "reserve_with_changes", reported_before)
    assert session_timeout(log_in(engine, card)) == 510


def test_a_call_that_holds_up_all_others_waits_briefly_for_a_locked_row(shop, engine, database):
    """FreeRADIUS with one Python instance gives one call at a time."""
    card, used = use_some(shop, engine)
    engine.set_serial(True)
    with database.connect() as connection, connection.cursor() as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM session WHERE card_id = %s FOR UPDATE", [shop.id(card)])
        with pytest.raises(TooLate):
            engine.account(used(60, 10))
    assert engine.account(used(60, 10)) is None
    assert shop.used(card) == (60, 10, 0)


def test_a_call_that_holds_up_nobody_waits_until_the_row_is_free(shop, engine, database):
    card, used = use_some(shop, engine)
    engine.set_serial(False)
    with database.connect() as connection, connection.cursor() as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN")
        other.execute("SELECT * FROM session WHERE card_id = %s FOR UPDATE", [shop.id(card)])
        answer = pool.submit(engine.account, used(60, 10))
        time.sleep(0.2)
        assert not answer.done()
        connection.rollback()
        assert answer.result() is None
    assert shop.used(card) == (60, 10, 0)
