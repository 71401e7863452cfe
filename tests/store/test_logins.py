"""What a login reads of its card, and what it writes."""

from datetime import timedelta

import pymysql
import pytest

from freeradius_module import store
from freeradius_module.connection import LOCKED
from freeradius_module.rules.usage import Usage
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report, reservation_of, session_timeout

DAY = 86_400
# A moment, as MariaDB takes it for its own time.
NOW = 1_900_000_000.5
# One that has passed by the server's own clock, too, which some triggers ask.
PAST = 1_700_000_000


def read(cursor, card):
    return store.logins.read_cards(cursor, [card.serial])[card.serial]


def in_days(database, days):
    return database.value("SELECT UTC_TIMESTAMP() + INTERVAL %s DAY", [days])


# --- Validity --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("valid_days", "until_days", "expected_days"), [(5, None, 5), (None, 10, 10), (5, 10, 5), (30, 10, 10)]
)
def test_validity_begins_with_the_first_login_and_ends_on_the_products_last_day_at_the_latest(
    shop, engine, cursor, database, valid_days, until_days, expected_days
):
    until = until_days and in_days(database, until_days)
    (card,) = shop.sell(1, valid_days=valid_days, valid_until_at=until)
    assert abs(read(cursor, card).expires_in_seconds - expected_days * DAY) < 120
    assert log_in(engine, card).is_accepted
    assert abs(read(cursor, card).expires_in_seconds - expected_days * DAY) < 120
    expires_at = shop.card(card)["expires_at"]
    if expires_at is not None or valid_days:
        assert abs(expires_at - in_days(database, expected_days)) < timedelta(seconds=120)


def test_an_end_of_validity_of_the_card_itself_is_neither_begun_again_nor_shortened(shop, engine, cursor, database):
    (card,) = shop.sell(1, valid_days=5)
    shop.change(card, expires_at=in_days(database, 20))
    assert log_in(engine, card).is_accepted
    assert abs(read(cursor, card).expires_in_seconds - 20 * DAY) < 120


def test_a_card_without_an_end_that_was_used_ends_on_the_products_last_day(shop, engine, cursor, database):
    """The product got its number of days only after this card's first login."""
    (card,) = shop.sell(1)
    assert log_in(engine, card).is_accepted
    assert read(cursor, card).expires_in_seconds is None
    database.execute("UPDATE card SET expires_at = NULL WHERE serial = %s", [card.serial])
    product = shop.card(card)["product_id"]
    database.execute("UPDATE product SET valid_until_at = %s WHERE id = %s", [in_days(database, 7), product])
    assert abs(read(cursor, card).expires_in_seconds - 7 * DAY) < 120


@pytest.mark.parametrize(("later_seconds", "status"), [(-1, "delivered"), (0, "expired"), (1, "expired")])
@pytest.mark.parametrize("ends", ["the card", "the product"])
def test_a_card_expires_in_the_second_in_which_its_validity_ends(shop, cursor, database, later_seconds, status, ends):
    card, other = shop.sell(2)
    end = database.value("SELECT FROM_UNIXTIME(%s)", [PAST])
    if ends == "the card":
        shop.change(card, expires_at=end)
    else:
        database.execute("UPDATE product SET valid_until_at = %s", [end])
    cursor.execute("SET timestamp = %s", [PAST + later_seconds])
    store.logins.expire(cursor, shop.id(card))
    assert (shop.status(card), shop.status(other)) == (status, "delivered")


@pytest.mark.parametrize("status", ["created", "blocked"])
def test_only_a_card_that_works_expires(shop, cursor, database, status):
    (card,) = shop.sell(1)
    shop.change(card, expires_at="2020-01-01")
    shop.set_status(card, status)
    store.logins.expire(cursor, shop.id(card))
    assert shop.status(card) == status


# --- Which sessions count --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "cause", "is_open"),
    [
        ("FROM_UNIXTIME(%(now)s) + INTERVAL 1000 MICROSECOND", "time", True),
        ("FROM_UNIXTIME(%(now)s)", "time", False),
        ("FROM_UNIXTIME(%(now)s) - INTERVAL 60 SECOND", "time", False),
        ("FROM_UNIXTIME(%(now)s) - INTERVAL 60 SECOND", "replaced", False),
        # Until `prepaid enforce` has judged it.
        ("FROM_UNIXTIME(%(now)s) - INTERVAL 60 SECOND", "unknown", True),
        ("FROM_UNIXTIME(%(now)s) - INTERVAL 60 SECOND", "revived", True),
        ("NULL", "unknown", False),
        ("NULL", "time", False),
    ],
)
def test_a_session_is_open_until_the_moment_at_which_it_is_due(shop, engine, cursor, database, due, cause, is_open):
    (card,) = shop.sell(1, credit_seconds=3600)
    log_in(engine, card)
    closed = "closed_at = UTC_TIMESTAMP(3), close_cause = 'stale'," if due == "NULL" else ""
    database.execute(
        f"UPDATE session SET {closed} due_at = {due}, due_cause = %(cause)s WHERE card_id = %(card_id)s",
        {"now": NOW, "cause": cause, "card_id": shop.id(card)},
    )
    cursor.execute("SET timestamp = %s", [NOW])
    found = read(cursor, card)
    assert (len(found.sessions), found.unposted) == ((1, 0) if is_open else (0, 1))


def test_a_session_tells_whether_it_has_begun_and_what_it_has_left(shop, engine, cursor):
    (card,) = shop.sell(1, credit_octets=1000, credit_seconds=600)
    classes = class_of(log_in(engine, card))
    (session,) = read(cursor, card).sessions
    assert (session.is_begun, session.granted_left[:2]) == (False, (600, 1000))
    engine.account(report(card, "Interim-Update", 60, classes, down=300, up=50))
    (session,) = read(cursor, card).sessions
    assert (session.is_begun, session.granted_left[:2]) == (True, (540, 650))
    assert session.used == (60, 300, 50)


@pytest.mark.parametrize(
    ("product", "field", "left"),
    [
        ({"credit_seconds": 600}, "seconds", (540, 0)),
        ({"credit_octets": 1000}, "octets", (650, 0)),
        ({"credit_down_octets": 1000}, "down_octets", (700, 0)),
        ({"credit_up_octets": 1000}, "up_octets", (950, 0)),
        # 6 cents a minute.
        ({"credit_cents": 100, "tariff_minute_millicents": 6000}, "millicents", (94_000, 0)),
    ],
)
def test_a_session_that_used_more_than_it_was_granted_has_nothing_left(shop, engine, cursor, product, field, left):
    """Not less than nothing, which would be granted to others; and one unit is one unit."""
    (card,) = shop.sell(1, **product)
    log_in(engine, card)
    for expected, (seconds, down, up) in zip(left, ((60, 300, 50), (1005, 5000, 5000)), strict=True):
        shop.database.execute(
            "UPDATE session SET used_seconds = %s, used_down_octets = %s, used_up_octets = %s WHERE card_id = %s",
            [seconds, down, up, shop.id(card)],
        )
        (session,) = read(cursor, card).sessions
        assert getattr(session.granted_left, field) == expected


def test_what_is_posted_of_several_sessions_is_not_counted_twice(shop, cursor, two_cards):
    """All that is posted was added to the card: only what each session used since is added to that."""
    card = two_cards[0]
    store.posting.post(cursor, [shop.id(card)])
    shop.database.execute("UPDATE session SET used_seconds = 70, used_down_octets = 9, used_up_octets = 11")
    assert read(cursor, card).used == (140, 18, 22)


def test_a_session_that_has_ended_and_is_posted_is_read_no_more(shop, engine, cursor):
    """However many sessions a card had, a login reads few."""
    (card,) = shop.sell(1, credit_seconds=3600)
    assert read(cursor, card).unposted == 0
    for session_id in ("8001", "8002", "8003"):
        classes = class_of(log_in(engine, card))
        engine.account(report(card, "Stop", 60, classes, down=7, up=5, session_id=session_id))
    assert (read(cursor, card).unposted, read(cursor, card).used) == (3, (180, 21, 15))
    store.posting.post(cursor, [shop.id(card)])
    # The last one may stay, as it has the number of the posting.
    assert read(cursor, card).unposted <= 1
    assert read(cursor, card).used == (180, 21, 15)


def test_a_session_is_silent_since_it_was_heard_of_or_since_its_login(shop, engine, cursor):
    (card,) = shop.sell(1, credit_seconds=600)
    classes = class_of(log_in(engine, card))
    shop.age(card, 100)
    (session,) = read(cursor, card).sessions
    assert 100 <= session.silent_seconds < 160
    engine.account(report(card, "Interim-Update", 50, classes))
    (session,) = read(cursor, card).sessions
    assert 0 <= session.silent_seconds < 60


# --- Which cards are read --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 17])
def test_cards_are_read_in_any_number(shop, cursor, count):
    cards = shop.sell(count)
    serials = [card.serial for card in cards]
    assert sorted(store.logins.read_cards(cursor, serials)) == sorted(serials)


def test_statements_are_prepared_for_a_few_lengths(shop, cursor):
    """Each is parsed once on a connection, and the server keeps so many."""
    serials = [card.serial for card in shop.sell(24)]
    cursor.execute("SHOW SESSION STATUS LIKE 'Com_prepare_sql'")
    before = int(cursor.fetchone()[1])
    for count in range(1, 25):
        store.logins.read_cards(cursor, serials[:count])
    cursor.execute("SHOW SESSION STATUS LIKE 'Com_prepare_sql'")
    assert int(cursor.fetchone()[1]) - before == 4


def test_a_deleted_card_is_none(shop, cursor):
    deleted, kept = shop.stock(2)
    shop.set_status(deleted, "deleted")
    assert list(store.logins.read_cards(cursor, [deleted.serial, kept.serial])) == [kept.serial]
    assert [store.logins.is_card(cursor, card.serial) for card in (deleted, kept)] == [False, True]
    assert not store.logins.is_card(cursor, "9999999999")


def test_wrong_pins_of_this_quarter_of_an_hour_are_added_whoever_sent_them(shop, cursor, database):
    """Nothing else is a wrong PIN of this card: no other reason, no other time, no other card."""
    card, other = shop.sell(2)
    window = database.value("SELECT FROM_UNIXTIME(UNIX_TIMESTAMP() DIV 900 * 900)")
    cursor.execute("SET timestamp = UNIX_TIMESTAMP(%s) + 1", [window])
    for one, source, reason, window_at, tries in (
        (card, "one", "wrong_pin", window, 2),
        (card, "two", "wrong_pin", window, 3),
        (card, "one", "expired", window, 10),
        (card, "one", "wrong_pin", window - timedelta(seconds=900), 20),
        (other, "one", "wrong_pin", window, 40),
    ):
        database.execute(
            "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at)"
            " VALUES (%s, %s, %s, %s, 1, %s, %s, %s)",
            [shop.id(one), source, reason, window_at, tries, window_at, window_at],
        )
    assert (read(cursor, card).was_tried, read(cursor, other).was_tried) == (5, 40)


# --- Ending and replacing the card's other sessions -----------------------------------------------------


@pytest.fixture
def two_cards(shop, engine):
    """With two open sessions each, of 60 seconds, 7 octets down and 5 up."""
    cards = shop.sell(2, credit_seconds=3600, max_sessions=2)
    for card in cards:
        for device in (PHONE, LAPTOP):
            classes = class_of(log_in(engine, card, device))
            engine.account(report(card, "Interim-Update", 60, classes, down=7, up=5, device=device, session_id=device))
    return cards


def ended(shop, cards) -> list[list[int]]:
    return [[row["login_number"] for row in shop.sessions(card) if row["due_at"] is None] for card in cards]


@pytest.mark.parametrize(
    ("used", "is_ended"), [((60, 7, 5), True), ((59, 7, 5), False), ((60, 6, 5), False), ((60, 7, 4), False)]
)
def test_a_login_ends_the_session_that_it_takes_over_as_it_found_it_and_no_other(
    shop, cursor, two_cards, used, is_ended
):
    """Another server does it once more: the session has ended, so nothing is in the way."""
    card_id = shop.id(two_cards[0])
    for _ in range(2):
        assert store.logins._close_session(cursor, card_id, 1, "superseded", Usage(*used)) is is_ended
        assert ended(shop, two_cards) == [[1] if is_ended else [], []]
    # What the session reports after its end was granted to the login, which is to be decided again.
    assert store.logins._close_session(cursor, card_id, 1, "superseded", Usage(61, 7, 5)) is False
    assert store.logins._close_session(cursor, card_id, 77, "superseded", Usage()) is True


@pytest.mark.parametrize(
    ("silent_ms", "is_ended"), [(299_999, False), (300_000, True), (300_001, True)], ids=["sooner", "then", "later"]
)
def test_a_session_is_ended_as_silent_after_one_interim(shop, cursor, database, two_cards, silent_ms, is_ended):
    card_id = shop.id(two_cards[0])
    database.execute(
        "UPDATE session SET interim_seconds = 300, heard_at = FROM_UNIXTIME(%s) - INTERVAL %s MICROSECOND"
        " WHERE card_id = %s AND login_number = 1",
        [PAST, silent_ms * 1000, card_id],
    )
    cursor.execute("SET timestamp = %s", [PAST])
    assert store.logins._close_session(cursor, card_id, 1, "stale", Usage(60, 7, 5)) is is_ended
    assert ended(shop, two_cards) == [[1] if is_ended else [], []]


def test_a_session_that_was_never_heard_of_may_be_ended_as_silent(shop, engine, cursor):
    (card,) = shop.sell(1)
    log_in(engine, card)
    assert store.logins._close_session(cursor, shop.id(card), 1, "stale", Usage())


def test_a_session_that_is_replaced_is_due_and_no_other(shop, cursor, two_cards):
    store.logins._replace_session(cursor, shop.id(two_cards[0]), 1)
    causes = [[row["due_cause"] for row in shop.sessions(card)] for card in two_cards]
    assert causes == [["replaced", "time"], ["time", "time"]]


def test_a_session_that_has_ended_is_not_replaced(shop, engine, cursor):
    (card,) = shop.sell(1)
    engine.account(report(card, "Stop", 60, class_of(log_in(engine, card))))
    store.logins._replace_session(cursor, shop.id(card), 1)
    assert [(row["due_at"], row["due_cause"]) for row in shop.sessions(card)] == [(None, "time")]


def test_a_login_that_ends_a_session_waits_for_a_locked_card(shop, cursor, database, two_cards):
    """In a transaction of several statements a row that is left out would be an error that says nothing."""
    card = two_cards[0]
    reservation = reservation_of(shop, card, 3, ((1, "superseded", Usage(60, 7, 5)),))
    cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    with database.connect() as connection, connection.cursor() as office:
        office.execute("BEGIN")
        office.execute("UPDATE card SET note = 'being looked at' WHERE serial = %s", [card.serial])
        with pytest.raises(pymysql.err.OperationalError) as fault:
            store.logins.reserve_with_changes(cursor, reservation)
    assert fault.value.args[0] == LOCKED
    cursor.execute("ROLLBACK")
    assert store.logins.reserve_with_changes(cursor, reservation)
    assert ended(shop, two_cards) == [[1], []]


def test_a_login_takes_all_sessions_over_or_none(shop, engine, cursor, two_cards):
    """One of them has reported since the login read it: the login is not written, and both go on."""
    card = two_cards[0]
    reservation = reservation_of(
        shop, card, 3, ((1, "superseded", Usage(60, 7, 5)), (2, "superseded", Usage(59, 7, 5)))
    )
    assert store.logins.reserve_with_changes(cursor, reservation) is False
    assert ended(shop, two_cards) == [[], []]
    assert len(shop.sessions(card)) == 2


def test_a_cards_first_session_may_be_seen_in_accounting_only_and_activates_nothing_twice(shop, cursor):
    first, other = shop.sell(2, valid_days=5)
    assert store.logins.activate(cursor, shop.id(first)) is True
    expires_at = shop.card(first)["expires_at"]
    assert store.logins.activate(cursor, shop.id(first)) is False
    assert shop.card(first)["expires_at"] == expires_at
    assert [shop.status(card) for card in (first, other)] == ["in_use", "delivered"]


def test_a_session_that_timed_out_and_was_not_disconnected_leaves_its_card_to_others(shop, engine):
    (card,) = shop.sell(1, credit_seconds=3600)
    classes = class_of(log_in(engine, card))
    engine.account(report(card, "Interim-Update", 60, classes))
    shop.age(card, 4000)
    assert session_timeout(log_in(engine, card, LAPTOP)) == 3540
