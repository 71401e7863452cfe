"""What is posted from sessions to their card, and what follows from it."""

import pytest

from freeradius_module import store
from tests.engine_callers import LAPTOP, PHONE, class_of, log_in, report

TABLET = "02-00-00-00-00-03"


def on(shop, engine, card, device, seconds=0, down=0, up=0):
    """Log in, and report so much."""
    classes = class_of(log_in(engine, card, device))
    engine.account(report(card, "Interim-Update", seconds, classes, down=down, up=up, device=device, session_id=device))


def use(shop, card, number, **used):
    """Set what a session has used, without what follows."""
    assignments = ", ".join(f"used_{name} = %s" for name in used)
    shop.database.execute(
        f"UPDATE session SET {assignments} WHERE card_id = %s AND login_number = %s",
        [*used.values(), shop.id(card), number],
    )


def posted(shop, card) -> tuple:
    row = shop.card(card)
    return tuple(row[f"posted_{name}"] for name in ("seconds", "down_octets", "up_octets", "login_number"))


def posted_of_sessions(shop, card) -> list[tuple]:
    return [
        tuple(row[f"posted_{name}"] for name in ("seconds", "down_octets", "up_octets")) for row in shop.sessions(card)
    ]


# --- Posting ---------------------------------------------------------------------------------------------


def test_each_card_gets_what_its_own_sessions_used_since_the_last_time(shop, engine, cursor):
    cards = shop.sell(2, credit_seconds=36_000, max_sessions=2)
    for card, factor in zip(cards, (1, 10), strict=True):
        on(shop, engine, card, PHONE, factor * 1, factor * 20, factor * 300)
        on(shop, engine, card, LAPTOP, factor * 2, factor * 30, factor * 500)
    ids = [shop.id(card) for card in cards]
    for _ in range(2):
        assert store.posting.post(cursor, ids) == dict.fromkeys(ids, "in_use")
        assert [posted(shop, card) for card in cards] == [(3, 50, 800, 2), (30, 500, 8000, 2)]
    for card in cards:
        use(shop, card, 1, seconds=100, down_octets=1000, up_octets=10_000)
        use(shop, card, 2, seconds=200, down_octets=2000, up_octets=20_000)
    store.posting.post(cursor, ids)
    assert [posted(shop, card) for card in cards] == [(300, 3000, 30_000, 2)] * 2
    assert posted_of_sessions(shop, cards[0]) == [(100, 1000, 10_000), (200, 2000, 20_000)]


@pytest.mark.parametrize("counter", ["seconds", "down_octets", "up_octets"])
def test_a_session_is_posted_if_any_counter_rose(shop, engine, cursor, counter):
    (card,) = shop.sell(1, credit_seconds=36_000)
    on(shop, engine, card, PHONE, 10, 10, 10)
    store.posting.post(cursor, [shop.id(card)])
    use(shop, card, 1, **{counter: 15})
    store.posting.post(cursor, [shop.id(card)])
    expected = tuple(15 if name == counter else 10 for name in ("seconds", "down_octets", "up_octets"))
    assert posted(shop, card) == (*expected, 1)
    assert posted_of_sessions(shop, card) == [expected]


def test_a_card_keeps_its_highest_login_number_when_its_sessions_are_archived(shop, engine, cursor, database):
    """The next login gets a number that no session had."""
    (card,) = shop.sell(1, credit_seconds=36_000, max_sessions=2)
    on(shop, engine, card, PHONE, 10)
    on(shop, engine, card, LAPTOP, 20)
    store.posting.post(cursor, [shop.id(card)])
    database.execute("DELETE FROM session WHERE card_id = %s AND login_number = 2", [shop.id(card)])
    use(shop, card, 1, seconds=15)
    store.posting.post(cursor, [shop.id(card)])
    assert posted(shop, card)[3] == 2


def test_posting_activates_only_a_delivered_card_and_exhausts_only_one_in_use(shop, cursor, database):
    used, blocked = shop.sell(2, credit_seconds=60)
    for card in (used, blocked):
        database.execute(
            "INSERT INTO session (card_id, login_number, nas_id, used_seconds) VALUES (%s, 1, 1, 60)", [shop.id(card)]
        )
    shop.set_status(blocked, "blocked")
    statuses = store.posting.post(cursor, [shop.id(used), shop.id(blocked)])
    assert statuses == {shop.id(used): "exhausted", shop.id(blocked): "blocked"}
    assert [shop.status(card) for card in (used, blocked)] == ["exhausted", "blocked"]
    assert [posted(shop, card)[0] for card in (used, blocked)] == [60, 60]


@pytest.mark.parametrize(
    ("columns", "added", "almost", "all_of_it", "ended_by"),
    [
        ({"credit_seconds": 100}, {"added_seconds": 20}, (119, 0, 0), (120, 0, 0), "time"),
        ({"credit_octets": 1000}, {"added_octets": 200}, (5, 600, 599), (5, 600, 600), "traffic"),
        ({"credit_down_octets": 1000}, {"added_down_octets": 200}, (5, 1199, 9999), (5, 1200, 0), "download"),
        ({"credit_up_octets": 1000}, {"added_up_octets": 200}, (5, 9999, 1199), (5, 0, 1200), "upload"),
        (
            {"credit_cents": 100, "tariff_minute_millicents": 6000},
            {"added_cents": 20},
            (1199, 0, 0),
            (1200, 0, 0),
            "money",
        ),
        (
            {"credit_cents": 100, "tariff_mb_millicents": 1000},
            {"added_cents": 20},
            (5, 100_000_000, 19_999_999),
            (5, 100_000_000, 20_000_000),
            "money",
        ),
        (
            {"credit_cents": 100, "tariff_minute_millicents": 6000, "tariff_mb_millicents": 1000},
            {"added_cents": 20},
            (600, 30_000_000, 29_999_999),
            (600, 30_000_000, 30_000_000),
            "money",
        ),
    ],
)
def test_added_credit_counts_to_the_last_unit(shop, engine, cursor, columns, added, almost, all_of_it, ended_by):
    (card,) = shop.sell(1, **columns)
    shop.add_credit(card, **added)
    on(shop, engine, card, PHONE)
    names = ("seconds", "down_octets", "up_octets")
    for used, status in ((almost, "in_use"), (all_of_it, "exhausted")):
        shop.database.execute("UPDATE session SET posted_seconds = posted_seconds")
        current = shop.sessions(card)[0]
        use(
            shop,
            card,
            1,
            **{name: max(current[f"used_{name}"], value) for name, value in zip(names, used, strict=True)},
        )
        assert store.posting.post(cursor, [shop.id(card)]) == {shop.id(card): status}
    assert shop.database.query("SELECT reason FROM card_event WHERE to_status = 'exhausted'") == [{"reason": ended_by}]


def test_a_card_that_is_exhausted_ends_its_own_open_sessions_that_are_not_due_yet(shop, engine, cursor, database):
    card, other = shop.sell(2, credit_seconds=100, max_sessions=3)
    for one in (card, other):
        for device in (PHONE, LAPTOP, TABLET):
            on(shop, engine, one, device, 10)
    database.execute(
        "UPDATE session SET due_at = UTC_TIMESTAMP(3) - INTERVAL 9 SECOND, due_cause = 'replaced' WHERE login_number = 1"
    )
    use(shop, card, 2, seconds=500)
    store.posting.post(cursor, [shop.id(card), shop.id(other)])
    causes = [[row["due_cause"] for row in shop.sessions(one)] for one in (card, other)]
    assert causes == [["replaced", "exhausted", "exhausted"], ["replaced", "time", "time"]]


# --- Grants ----------------------------------------------------------------------------------------------


def test_only_the_session_that_used_its_grant_is_disconnected_for_it(shop, engine, cursor, database):
    card, other = shop.sell(2, credit_seconds=900, max_sessions=3)
    for one in (card, other):
        for device in (PHONE, LAPTOP):
            on(shop, engine, one, device, 1)
    for one in (card, other):
        for number, session in enumerate(shop.sessions(one), 1):
            use(shop, one, number, seconds=session["granted_seconds"])
    store.posting.disconnect_beyond_grant(cursor, shop.id(card), 1)
    causes = [[row["due_cause"] for row in shop.sessions(one)] for one in (card, other)]
    assert causes == [["granted", "time"], ["time", "time"]]


def test_a_session_within_its_grant_or_due_already_or_without_a_login_is_not_disconnected_for_it(
    shop, engine, cursor, database
):
    within, due, unknown = shop.sell(3, credit_seconds=900)
    for card in (within, due):
        on(shop, engine, card, PHONE, 1)
    engine.account(report(unknown, "Interim-Update", 60))
    use(shop, due, 1, seconds=900)
    database.execute(
        "UPDATE session SET due_at = UTC_TIMESTAMP(3) - INTERVAL 9 SECOND, due_cause = 'replaced' WHERE card_id = %s",
        [shop.id(due)],
    )
    database.execute(
        "UPDATE session SET granted_seconds = 5, due_at = UTC_TIMESTAMP(3) + INTERVAL 60 SECOND WHERE card_id = %s",
        [shop.id(unknown)],
    )
    for card in (within, due, unknown):
        store.posting.disconnect_beyond_grant(cursor, shop.id(card), 1)
    assert [shop.sessions(card)[0]["due_cause"] for card in (within, due, unknown)] == ["time", "replaced", "unknown"]


@pytest.mark.parametrize(
    ("product", "granted", "beyond"),
    [
        ({"credit_seconds": 900}, "granted_seconds", {"seconds": 700}),
        ({"credit_octets": 900}, "granted_octets", {"down_octets": 600, "up_octets": 100}),
        ({"credit_down_octets": 900}, "granted_down_octets", {"down_octets": 700}),
        ({"credit_up_octets": 900}, "granted_up_octets", {"up_octets": 700}),
        ({"credit_cents": 90, "tariff_minute_millicents": 6000}, "granted_millicents", {"seconds": 700}),
    ],
)
def test_what_a_card_no_longer_has_is_taken_back_from_its_newest_session(
    shop, engine, cursor, product, granted, beyond
):
    """The first session has used more than it was granted; another card's sessions keep theirs."""
    card, other = shop.sell(2, max_sessions=3, **product)
    for one in (card, other):
        for device in (PHONE, LAPTOP):
            on(shop, engine, one, device)
    version = shop.card(card)["version"]
    before = [row[granted] for row in shop.sessions(card)]
    use(shop, card, 1, **beyond)
    store.posting.lower_grants(cursor, shop.id(card))
    after = [row[granted] for row in shop.sessions(card)]
    unit = 100 if granted == "granted_millicents" else 1
    assert (after[0], after[1]) == (before[0], 200 * unit)
    assert [row[granted] for row in shop.sessions(other)] == before
    assert shop.card(card)["version"] == version + 1


def test_a_session_that_lost_time_is_due_when_that_ends_and_the_first_cause_stays(shop, engine, cursor, database):
    (card,) = shop.sell(1, credit_seconds=900, max_sessions=2)
    on(shop, engine, card, PHONE)
    on(shop, engine, card, LAPTOP)
    database.execute("UPDATE session SET due_cause = 'expired' WHERE card_id = %s", [shop.id(card)])
    use(shop, card, 1, seconds=700)
    store.posting.lower_grants(cursor, shop.id(card))
    first, second = shop.sessions(card)
    assert (first["due_cause"], second["due_cause"], second["granted_seconds"]) == ("expired", "time", 200)
    # Its Session-Timeout, and a quarter of a minute.
    assert (second["due_at"] - second["started_at"]).total_seconds() == 215
    due_at = "UTC_TIMESTAMP() + INTERVAL 50 SECOND"
    database.execute(f"UPDATE session SET due_at = {due_at}, due_cause = 'expired' WHERE card_id = %s", [shop.id(card)])
    before = shop.sessions(card)[1]["due_at"]
    use(shop, card, 1, seconds=800)
    store.posting.lower_grants(cursor, shop.id(card))
    second = shop.sessions(card)[1]
    assert (second["granted_seconds"], second["due_cause"], second["due_at"]) == (100, "expired", before)


def test_a_card_that_does_not_exist_has_no_grants_to_lower(cursor):
    store.posting.lower_grants(cursor, 4_000_000_000)


# --- Fair use --------------------------------------------------------------------------------------------

FAIR = {"fup_share_percent": 80, "fup_down_kbit": 200}


def slowed(database) -> list[tuple[int, int]]:
    return [
        (row["card_id"], row["login_number"])
        for row in database.query("SELECT card_id, login_number FROM session_slow_down ORDER BY 1, 2")
    ]


@pytest.mark.parametrize(
    ("columns", "below", "beyond"),
    [({"credit_octets": 1000}, (100, 99), (100, 100)), ({"credit_down_octets": 1000}, (199, 5000), (200, 5000))],
)
def test_the_share_is_compared_with_what_is_posted_and_what_is_not_of_all_sessions(
    shop, engine, cursor, database, columns, below, beyond
):
    card, other = shop.sell(2, max_sessions=3, **columns, **FAIR)
    for one in (card, other):
        for device in (PHONE, LAPTOP):
            on(shop, engine, one, device)
    for one in (card, other):
        use(shop, one, 1, down_octets=200, up_octets=100)
        use(shop, one, 2, down_octets=300, up_octets=0)
        store.posting.post(cursor, [shop.id(one)])
        use(shop, one, 1, down_octets=300, up_octets=100)
    # 600 octets down and 100 up, and now the last ones of the second session.
    for (down, up), is_slow in ((below, False), (beyond, True)):
        use(shop, card, 2, down_octets=300 + down - (100 if "credit_octets" in columns else 0), up_octets=up)
        store.posting.slow_down(cursor, shop.id(card))
        assert slowed(database) == ([(shop.id(card), 1), (shop.id(card), 2)] if is_slow else [])
    limits = [[row["fup_octets"] is None for row in shop.sessions(one)] for one in (card, other)]
    assert limits == [[True, True], [False, False]]


def test_a_session_that_has_ended_keeps_its_limit_and_the_open_ones_are_slowed_once(shop, engine, cursor, database):
    (card,) = shop.sell(1, credit_octets=1000, max_sessions=3, **FAIR)
    for device in (PHONE, LAPTOP):
        on(shop, engine, card, device)
    ended, _ = shop.sessions(card)
    database.execute("UPDATE session SET stopped_at = UTC_TIMESTAMP(3), due_at = NULL WHERE login_number = 1")
    use(shop, card, 1, down_octets=900)
    for _ in range(2):
        store.posting.slow_down(cursor, shop.id(card))
        assert slowed(database) == [(shop.id(card), 2)]
        assert [row["fup_octets"] for row in shop.sessions(card)] == [ended["fup_octets"], None]


def test_a_session_whose_share_others_use_too_loses_its_own_limit(shop, engine, cursor, database):
    """Until the share is passed, each of its reports is compared with it; no ended session and no other card changes."""
    card, other = shop.sell(2, credit_octets=1000, **FAIR)
    for one in (card, other):
        on(shop, engine, one, PHONE)
    before = shop.sessions(other)[0]["fup_octets"]
    assert before > 0
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, used_seconds, fup_octets) VALUES (%s, 2, 1, 5, 7)",
        [shop.id(card)],
    )
    store.posting.slow_down(cursor, shop.id(card))
    assert [row["fup_octets"] for row in shop.sessions(card)] == [0, 7]
    assert shop.sessions(other)[0]["fup_octets"] == before
    assert slowed(database) == []


def test_a_card_without_sessions_or_that_does_not_exist_is_not_slowed_down(shop, cursor, database):
    (card,) = shop.sell(1, credit_octets=1000, **FAIR)
    for card_id in (shop.id(card), 4_000_000_000):
        assert store.posting._fair_use(cursor, card_id) == (False, False)


# --- The very moment -------------------------------------------------------------------------------------


def test_a_session_that_is_due_at_this_moment_keeps_its_cause(shop, engine, cursor, database):
    exhausted, granted = shop.sell(2, credit_seconds=900, max_sessions=2)
    for card in (exhausted, granted):
        on(shop, engine, card, PHONE, 1)
    cursor.execute("SET timestamp = UNIX_TIMESTAMP()")
    cursor.execute("SELECT UTC_TIMESTAMP(3)")
    ((now,),) = cursor.fetchall()
    for later_ms, exhausted_cause, granted_cause in ((0, "replaced", "replaced"), (1, "exhausted", "granted")):
        database.execute(
            "UPDATE session SET due_at = %s + INTERVAL %s MICROSECOND, due_cause = 'replaced'", [now, later_ms * 1000]
        )
        for card in (exhausted, granted):
            use(shop, card, 1, seconds=900)
        store.posting._exhaust(cursor, shop.id(exhausted), "time")
        store.posting.disconnect_beyond_grant(cursor, shop.id(granted), 1)
        causes = [shop.sessions(card)[0]["due_cause"] for card in (exhausted, granted)]
        assert causes == [exhausted_cause, granted_cause]


def test_grants_are_lowered_without_reading_a_pin(shop, engine, cursor, monkeypatch):
    """The account of `prepaid charge` may not."""
    (card,) = shop.sell(1, credit_seconds=900)
    on(shop, engine, card, PHONE, 1)
    asked, read_cards = [], store.logins.read_cards
    monkeypatch.setattr(
        store.logins,
        "read_cards",
        lambda cursor, serials, with_pins=True: asked.append(with_pins) or read_cards(cursor, serials, with_pins),
    )
    store.posting.lower_grants(cursor, shop.id(card))
    assert asked == [False]


def test_a_session_that_lost_no_time_is_due_when_it_was(shop, engine, cursor, database):
    """Only octets are taken back, though it is due later than its time ends."""
    (card,) = shop.sell(1, credit_seconds=9000, credit_octets=900, max_sessions=2)
    on(shop, engine, card, PHONE)
    on(shop, engine, card, LAPTOP)
    database.execute("UPDATE session SET due_at = due_at + INTERVAL 1 DAY, due_cause = 'validity'")
    before = shop.sessions(card)[1]
    use(shop, card, 1, down_octets=700)
    store.posting.lower_grants(cursor, shop.id(card))
    after = shop.sessions(card)[1]
    assert (after["granted_octets"], after["granted_seconds"]) == (200, before["granted_seconds"])
    assert (after["due_at"], after["due_cause"]) == (before["due_at"], "validity")


def test_a_session_whose_time_now_ends_when_it_is_due_keeps_its_cause(shop, engine, cursor, database):
    (card,) = shop.sell(1, credit_seconds=900, max_sessions=2)
    on(shop, engine, card, PHONE)
    on(shop, engine, card, LAPTOP)
    # 200 seconds are left to it, and a quarter of a minute to its NAS.
    database.execute("UPDATE session SET due_at = started_at + INTERVAL 215 SECOND, due_cause = 'validity'")
    use(shop, card, 1, seconds=700)
    store.posting.lower_grants(cursor, shop.id(card))
    second = shop.sessions(card)[1]
    assert (second["granted_seconds"], second["due_cause"]) == (200, "validity")


def test_download_and_upload_of_several_sessions_are_added_for_the_share(shop, engine, cursor, database):
    (card,) = shop.sell(1, credit_octets=1000, max_sessions=2, **FAIR)
    on(shop, engine, card, PHONE)
    on(shop, engine, card, LAPTOP)
    for number in (1, 2):
        use(shop, card, number, down_octets=200, up_octets=200)
    store.posting.slow_down(cursor, shop.id(card))
    assert slowed(database) == [(shop.id(card), 1), (shop.id(card), 2)]


def test_an_only_session_loses_its_own_limit_too(shop, engine, cursor):
    (card,) = shop.sell(1, credit_octets=1000, **FAIR)
    on(shop, engine, card, PHONE)
    store.posting.slow_down(cursor, shop.id(card))
    assert [row["fup_octets"] for row in shop.sessions(card)] == [0]
