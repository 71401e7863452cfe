"""Guesses at PINs: what is counted, who is locked out, and how many rows that takes."""

import pytest

from freeradius_module import store
from freeradius_module.rules.login import SOURCES_MOST, card_tries
from freeradius_module.sealing.pin import SAFE_ALPHABET
from tests.database import without_triggers
from tests.engine_callers import LAPTOP, NAS, PHONE, class_of, log_in, report, request

CARD_TRIES = card_tries(5)


def device(number: int) -> str:
    """The MAC address with this number; a stranger may send another one each time."""
    return f"06-00-00-00-{number >> 8:02X}-{number & 255:02X}"


def guess(engine, card, device=LAPTOP, nas=NAS, times=1):
    for _ in range(times):
        asked = request(card, device, nas) | {"User-Password": "no such PIN"}
        assert engine.authorize(asked).answer is None
        engine.record_wrong_pin(asked)


def is_pin_handed_out(engine, card, device=PHONE, nas=NAS) -> bool:
    return engine.authorize(request(card, device, nas)).pin == card.pin


@pytest.fixture
def other_nas(shop):
    return shop.nas()


def test_a_source_that_is_locked_out_does_not_get_the_pin_to_prove(shop, engine):
    (card,) = shop.sell(1)
    guess(engine, card, times=5)
    asked = request(card, LAPTOP)
    decoys = {engine.authorize(asked).pin for _ in range(2)}
    assert len(decoys) == 2 and card.pin not in decoys
    assert all(set(decoy) - set(SAFE_ALPHABET) for decoy in decoys)
    # Not even if the packet proves the right one.
    proved = engine.authorize(asked | {"User-Password": card.pin})
    assert (proved.answer, proved.pin == card.pin) == (None, False)
    assert is_pin_handed_out(engine, card, PHONE)


def test_what_is_tried_while_locked_out_is_recorded_as_that(shop, engine):
    (card,) = shop.sell(1)
    guess(engine, card, times=5)
    assert engine.record_wrong_pin(request(card, LAPTOP)) == f"login of {card.serial}: locked_out"
    guess(engine, card, times=2)
    assert shop.refusals(card) == {"wrong_pin": 5, "locked_out": 3}


def test_a_new_address_for_each_guess_ends_at_the_cards_limit(shop, engine, other_nas):
    (card,) = shop.sell(1)
    for number in range(CARD_TRIES):
        assert is_pin_handed_out(engine, card, device(number), (NAS, other_nas)[number % 2])
        guess(engine, card, device(number), (NAS, other_nas)[number % 2])
    for number in range(CARD_TRIES, CARD_TRIES + 10):
        guess(engine, card, device(number), (NAS, other_nas)[number % 2])
    assert shop.refusals(card) == {"wrong_pin": CARD_TRIES, "locked_out": 10}
    assert not is_pin_handed_out(engine, card, PHONE) and not is_pin_handed_out(engine, card, PHONE, shop.nas())


def test_a_stranger_at_one_nas_keeps_a_new_device_out_there_and_nowhere_else(shop, engine, other_nas):
    (card,) = shop.sell(1)
    for number in range(CARD_TRIES):
        guess(engine, card, device(number))
    assert shop.refusals(card) == {"wrong_pin": CARD_TRIES // 2, "locked_out": CARD_TRIES // 2}
    assert not is_pin_handed_out(engine, card, PHONE)
    assert is_pin_handed_out(engine, card, PHONE, other_nas)
    assert log_in(engine, card, PHONE, other_nas).is_accepted


@pytest.mark.parametrize("known_by", ["session", "archive", "bound"])
def test_a_device_that_has_used_the_card_is_accepted_whatever_others_try(shop, engine, known_by, other_nas, database):
    (card,) = shop.sell(1, credit_seconds=3600, bind_device=known_by == "bound")
    answer = log_in(engine, card, PHONE)
    engine.account(report(card, "Stop", 60, class_of(answer), device=PHONE))
    if known_by == "archive":
        database.execute(
            "INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, login_at,"
            " ended_at, used_seconds, used_down_octets, used_up_octets)"
            " SELECT card_id, login_number, nas_id, acct_session_id, device, login_at, stopped_at, used_seconds, 0, 0"
            " FROM session"
        )
    if known_by != "session":
        database.execute("DELETE FROM session")
    for number in range(2 * CARD_TRIES):
        guess(engine, card, device(number), (NAS, other_nas)[number % 2])
    assert not is_pin_handed_out(engine, card, LAPTOP)
    assert is_pin_handed_out(engine, card, PHONE)
    assert log_in(engine, card, PHONE).is_accepted


def test_a_device_that_only_a_nas_has_named_is_not_the_owners(shop, engine):
    """A session that no login of ours began proves no PIN."""
    (card,) = shop.sell(1)
    engine.account(report(card, "Start", device=LAPTOP))
    guess(engine, card, LAPTOP, times=5)
    assert not is_pin_handed_out(engine, card, LAPTOP)


def test_a_stranger_who_pretends_to_be_the_owners_device_is_locked_out_too(shop, engine):
    (card,) = shop.sell(1)
    assert log_in(engine, card, PHONE).is_accepted
    guess(engine, card, PHONE, times=CARD_TRIES - 1)
    assert is_pin_handed_out(engine, card, PHONE)
    guess(engine, card, PHONE)
    assert not is_pin_handed_out(engine, card, PHONE)


def test_a_card_is_no_longer_locked_in_the_next_quarter_of_an_hour(shop, engine, database):
    (card,) = shop.sell(1)
    for number in range(CARD_TRIES):
        guess(engine, card, device(number))
    assert not is_pin_handed_out(engine, card, PHONE)
    with without_triggers(database):
        database.execute("UPDATE login_refusal SET window_at = window_at - INTERVAL 15 MINUTE")
    assert is_pin_handed_out(engine, card, PHONE)


def test_a_login_that_had_proved_its_pin_in_time_gets_the_reason(shop, engine):
    """Between FreeRADIUS' proof and our decision others may have tried."""
    (card,) = shop.sell(1)
    assert is_pin_handed_out(engine, card, LAPTOP)
    guess(engine, card, LAPTOP, times=5)
    assert engine.admit(request(card, LAPTOP)).reason == "locked_out"


def test_logins_together_are_each_counted_by_their_own_source(shop, engine):
    """Tries that wait at the same time are read in one statement."""
    one, other = shop.sell(2)
    guess(engine, one, LAPTOP, times=5)
    guess(engine, other, LAPTOP)
    asks = [
        engine.login_request("authorize", request(card, device)) for card in (one, other) for device in (LAPTOP, PHONE)
    ]
    handouts = engine.logins.submit_all(asks)
    assert [handout.pin in (one.pin, other.pin) for handout in handouts] == [False, True, True, True]


# --- In how many rows ------------------------------------------------------------------------------------


def rows_of(database, table="login_refusal", where="TRUE") -> dict[str, int]:
    return {row["source"]: row["tries"] for row in database.query(f"SELECT source, tries FROM {table} WHERE {where}")}


def test_wrong_pins_of_ever_new_devices_are_few_rows(shop, engine, database):
    (card,) = shop.sell(1)
    for number in range(3 * SOURCES_MOST):
        guess(engine, card, device(number))
    nas_id = database.value("SELECT id FROM nas WHERE name = 'loopback'")
    wrong = rows_of(database, where="reason = 'wrong_pin'")
    assert len(wrong) == SOURCES_MOST + 1
    assert wrong[f"{nas_id}/*"] == CARD_TRIES // 2 - SOURCES_MOST
    assert rows_of(database, where="reason = 'locked_out'") == {f"{nas_id}/*": 3 * SOURCES_MOST - CARD_TRIES // 2}


def test_the_owners_device_has_a_row_of_its_own_however_many_others_there_are(shop, engine, database):
    (card,) = shop.sell(1)
    assert log_in(engine, card, PHONE).is_accepted
    for number in range(SOURCES_MOST):
        guess(engine, card, device(number))
    guess(engine, card, PHONE, times=2)
    nas_id = database.value("SELECT id FROM nas WHERE name = 'loopback'")
    assert rows_of(database)[f"{nas_id}/{PHONE}"] == 2


def test_refusals_after_a_proved_pin_are_few_rows(shop, engine, database):
    (card,) = shop.sell(1)
    shop.set_status(card, "blocked")
    for number in [*range(2 * SOURCES_MOST), 0]:
        assert log_in(engine, card, device(number)).reason == "blocked"
    counted = rows_of(database)
    nas_id = database.value("SELECT id FROM nas WHERE name = 'loopback'")
    assert len(counted) == SOURCES_MOST + 1
    assert (counted[f"{nas_id}/*"], counted[f"{nas_id}/{device(0)}"]) == (SOURCES_MOST, 2)


def test_refusals_that_come_together_are_few_rows(shop, engine, database):
    (card,) = shop.sell(1)
    shop.set_status(card, "blocked")
    asks = [engine.login_request("admit", request(card, device(number))) for number in range(2 * SOURCES_MOST)]
    engine.logins.submit_all(asks)
    assert len(rows_of(database)) == SOURCES_MOST + 1


def test_unknown_serials_of_ever_new_devices_are_few_rows(shop, engine, database, other_nas):
    class Nothing:
        serial = "999999999999"

    for number in range(2 * SOURCES_MOST):
        guess(engine, Nothing, device(number))
    guess(engine, Nothing, PHONE, other_nas)
    guess(engine, Nothing, device(0), times=2)
    nas_id = database.value("SELECT id FROM nas WHERE name = 'loopback'")
    counted = rows_of(database, "unknown_login")
    assert len(counted) == SOURCES_MOST + 2
    assert (counted[f"{nas_id}/*"], counted[f"{nas_id}/{device(0)}"]) == (SOURCES_MOST, 3)


# --- What is counted -------------------------------------------------------------------------------------


def standing(cursor, serial, source="one", nas_id=1, device=PHONE):
    ((card_id, found),) = store.guessing.read_standings(cursor, [store.guessing.Try(serial, source, nas_id, device)])
    return card_id, tuple(found)


def test_refusals_are_counted_by_quarters_of_an_hour(shop, cursor, database):
    (card,) = shop.sell(1)
    refused = store.guessing.RefusedLogin(shop.id(card), "one", "wrong_pin", 1)
    moments = ("2026-03-02 10:00:00", "2026-03-02 10:14:59", "2026-03-02 10:15:00")
    for record in (store.guessing.record_refusals, store.guessing.record_unknown):
        for moment in moments:
            cursor.execute("SET timestamp = UNIX_TIMESTAMP(%s)", [moment])
            record(cursor, [refused])
    for table in ("login_refusal", "unknown_login"):
        rows = database.query(f"SELECT CAST(window_at AS CHAR) AS at, tries FROM {table} ORDER BY window_at")
        assert rows == [{"at": moments[0], "tries": 2}, {"at": moments[2], "tries": 1}]


def test_tries_at_a_card_are_added_by_source_and_nas_and_in_all(shop, cursor):
    card, other = shop.sell(2)
    cursor.execute("SET timestamp = UNIX_TIMESTAMP('2026-03-02 10:01:00')")
    refused = [
        store.guessing.RefusedLogin(shop.id(one), source, reason, nas_id)
        for one, source, reason, nas_id, times in (
            (card, "one", "wrong_pin", 1, 2),
            (card, "two", "wrong_pin", 1, 3),
            (card, "three", "wrong_pin", 2, 4),
            (card, "one", "expired", 1, 5),
            (other, "one", "wrong_pin", 1, 6),
        )
        for _ in range(times)
    ]
    store.guessing.record_refusals(cursor, refused)
    assert standing(cursor, card.serial) == (shop.id(card), (2, 5, 9, 3, False))
    cursor.execute("SET timestamp = UNIX_TIMESTAMP('2026-03-02 10:15:00')")
    assert standing(cursor, card.serial) == (shop.id(card), (0, 0, 0, 0, False))


def test_tries_with_serials_that_do_not_exist_are_added_for_their_nas(cursor):
    cursor.execute("SET timestamp = UNIX_TIMESTAMP('2026-03-02 10:01:00')")
    refused = [
        store.guessing.RefusedLogin(0, source, "unknown_card", nas_id)
        for source, nas_id, times in (("one", 1, 2), ("two", 1, 3), ("one", 2, 4))
        for _ in range(times)
    ]
    store.guessing.record_unknown(cursor, refused)
    assert standing(cursor, "9999999999") == (None, (2, 5, 5, 2, False))
    cursor.execute("SET timestamp = UNIX_TIMESTAMP('2026-03-02 10:15:00')")
    assert standing(cursor, "9999999999") == (None, (0, 0, 0, 0, False))


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_device_is_known_to_the_card_that_it_logged_in_with(shop, engine, cursor, database, is_archived):
    """Also long ago; and not by accounting alone, in which anything may be reported."""
    card, other, reported = shop.sell(3)
    log_in(engine, card, PHONE)
    log_in(engine, other, LAPTOP)
    engine.account(report(reported, "Interim-Update", 60, device=PHONE))
    if is_archived:
        names = store.accounting.ARCHIVED_COLUMNS
        database.execute(
            f"INSERT INTO session_archive ({names}, ended_at) SELECT {names}, UTC_TIMESTAMP(3) FROM session"
        )
        database.execute("DELETE FROM session")
    known = [
        standing(cursor, one.serial, device=device)[1][-1]
        for one, device in ((card, PHONE), (card, LAPTOP), (other, PHONE), (other, LAPTOP), (reported, PHONE))
    ]
    assert known == [True, False, False, True, False]


def test_the_sources_of_several_cards_and_reasons_are_found_at_once(shop, cursor):
    one, two, three = (shop.id(card) for card in shop.sell(3))
    refused = [
        store.guessing.RefusedLogin(card_id, source, reason, 1)
        for card_id, source, reason in (
            (one, "a", "wrong_pin"), (one, "b", "wrong_pin"), (one, "c", "expired"), (two, "d", "expired"),
            (three, "e", "expired"),
        )
    ]  # fmt: skip
    store.guessing.record_refusals(cursor, refused)
    assert store.guessing.refused_sources(cursor, [refused[0], refused[3]]) == {
        (one, "wrong_pin"): {"a", "b"},
        (two, "expired"): {"d"},
    }
