"""db archive: sessions move, balances stay; and what the law keeps is kept."""

import random

import pymysql
import pytest

KEY = "SELECT card_id, login_number FROM {} ORDER BY card_id, login_number"


@pytest.fixture
def used(shop, database):
    """Cards with sessions of all kinds: old and new, open, posted or not."""
    cards = shop.sell(6, credit_seconds=1_000_000, credit_octets=10**12)
    chance = random.Random(7)
    for card in cards:
        card_id = shop.id(card)
        for number in range(1, 9):
            age_days = [30, 30, 10, 3, 2, 1, 1, 0][number - 1]
            seconds, down, up = (chance.randrange(1, 5000) for _ in range(3))
            share = chance.choice([0, 1])
            database.execute(
                "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at,"
                " stopped_at, stop_cause, end_recorded_at, due_at, used_seconds, used_down_octets, used_up_octets, posted_seconds,"
                " posted_down_octets, posted_up_octets, framed_ipv4)"
                " SELECT %(card)s, %(n)s, 1, CONCAT('s', %(n)s), 'phone', at, at, at, IF(%(open)s, NULL, at), 'User-Request', at,"
                " IF(%(open)s, UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, NULL), %(s)s, %(d)s, %(u)s, %(s)s * %(share)s,"
                " %(d)s * %(share)s, %(u)s * %(share)s, '10.5.0.7'"
                " FROM (SELECT UTC_TIMESTAMP(3) - INTERVAL %(age)s DAY - INTERVAL 1 MINUTE AS at) AS moment",
                {
                    "card": card_id,
                    "n": number,
                    "s": seconds,
                    "d": down,
                    "u": up,
                    "share": share,
                    "age": age_days,
                    "open": number == 8,
                },
            )
        database.execute(
            "UPDATE card JOIN (SELECT card_id, SUM(posted_seconds) AS s, SUM(posted_down_octets) AS d,"
            " SUM(posted_up_octets) AS u FROM session WHERE card_id = %(id)s GROUP BY card_id) AS done ON done.card_id = card.id"
            " SET posted_seconds = s, posted_down_octets = d, posted_up_octets = u, posted_login_number = 3",
            {"id": card_id},
        )
    return cards


def balances(shop, cards) -> list:
    return [(shop.balance(card)["remaining_seconds"], shop.used(card)) for card in cards]


def test_old_sessions_move_and_no_balance_changes(office, shop, used, database):
    before = balances(shop, used)
    sessions = office.track(used[0])
    printed = office.json("db", "archive", "--step", 7)
    assert (printed["archived"], printed["left"]) == (30, 0)
    assert balances(shop, used) == before
    assert database.value("SELECT COUNT(*) FROM session") == 18
    assert {row["login_number"] for row in database.query(KEY.format("session"))} == {6, 7, 8}
    assert [row.get("seconds") for row in office.track(used[0]) if row["what"] == "session"] == [
        row.get("seconds") for row in sessions if row["what"] == "session"
    ]
    assert office.json("db", "archive")["archived"] == 0


def test_the_next_login_gets_the_next_number(office, shop, used, database):
    """What is archived is posted, and the card remembers the highest number."""
    database.execute(
        "UPDATE session SET stopped_at = UTC_TIMESTAMP(3) - INTERVAL 9 DAY, login_at = stopped_at, due_at = NULL"
    )
    # In a statement of its own: the moment at which a session ends is recorded by the database.
    database.execute("UPDATE session SET end_recorded_at = stopped_at")
    office.must("db", "archive")
    assert database.value("SELECT COUNT(*) FROM session") == 0
    assert {shop.card(card)["posted_login_number"] for card in used} == {8}


def test_a_session_that_comes_back_is_archived_again(office, shop, used, database):
    office.must("db", "archive")
    hours = database.query("SELECT SUM(session_count) AS n, SUM(used_seconds) AS s FROM usage_hour")[0]
    card_id = shop.id(used[0])
    # The module brings a session back like this for a late packet, which here adds 100 seconds.
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at,"
        " stopped_at, end_recorded_at, used_seconds, used_down_octets, used_up_octets, posted_seconds, posted_down_octets,"
        " posted_up_octets)"
        " SELECT card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, ended_at, ended_at, ended_at,"
        " used_seconds + 100, used_down_octets, used_up_octets, used_seconds, used_down_octets, used_up_octets"
        " FROM session_archive WHERE card_id = %s AND login_number = 2",
        [card_id],
    )
    before = balances(shop, used)
    assert office.json("db", "archive")["archived"] == 1
    assert balances(shop, used) == before
    again = database.query("SELECT SUM(session_count) AS n, SUM(used_seconds) AS s FROM usage_hour")[0]
    assert (again["n"] - hours["n"], again["s"] - hours["s"]) == (0, 100)


def test_a_login_beside_the_archive_waits_for_nothing(office, shop, used, database, monkeypatch):
    """While a step holds its locks, another connection makes a session for the same card."""
    from admin import store

    card_id = shop.id(used[0])
    logins = []

    def remove(cursor, keys, removing=store.archive.remove):
        count = removing(cursor, keys)
        with database.connect() as login, login.cursor() as other:
            other.execute("SET innodb_lock_wait_timeout = 1")
            other.execute(
                "INSERT IGNORE INTO session (card_id, login_number, nas_id, login_at, due_at) VALUES"
                " (%s, %s, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
                [card_id, 100 + len(logins)],
            )
            logins.append(other.rowcount)
        return count

    monkeypatch.setattr(store.archive, "remove", remove)
    office.must("db", "archive")
    assert logins == [1]


def test_a_locked_card_is_left_for_the_next_run(office, shop, used, database):
    with database.connect() as other, other.cursor() as cursor:
        other.begin()
        cursor.execute("SELECT * FROM card WHERE id = %s FOR UPDATE", [shop.id(used[3])])
        # Already posted, so that the archive has nothing to post to the locked card.
        database.execute(
            "UPDATE session SET posted_seconds = used_seconds, posted_down_octets = used_down_octets,"
            " posted_up_octets = used_up_octets WHERE card_id = %s",
            [shop.id(used[3])],
        )
        database.execute("DELETE FROM session WHERE card_id = %s AND login_number > 3", [shop.id(used[3])])
        printed = office.json("db", "archive")
        assert (printed["archived"], printed["left"]) == (25, 3)
        other.rollback()
    assert office.json("db", "archive")["archived"] == 3


def test_nothing_younger_than_a_year_is_forgotten(office, used):
    assert office.run("db", "archive", "--forget-older-than", "365").exit_status == 2
    assert office.json("db", "archive", "--forget-older-than", "366")["forgotten"] == 0


def test_what_is_forgotten_keeps_its_sum(office, shop, used, database):
    office.must("db", "archive")
    before = balances(shop, used)
    archived = database.value("SELECT SUM(used_seconds) FROM session_archive")
    database.execute("UPDATE session_archive SET ended_at = ended_at - INTERVAL 400 DAY WHERE login_number IN (1, 2)")
    assert office.json("db", "archive", "--forget-older-than", "366", "--step", "5")["forgotten"] == 12
    rows = database.query(
        "SELECT DISTINCT acct_session_id, device, framed_ipv4 FROM session_archive WHERE login_number = 0"
    )
    assert rows == [{"acct_session_id": "", "device": "", "framed_ipv4": None}]
    assert database.value("SELECT SUM(used_seconds) FROM session_archive") == archived
    assert balances(shop, used) == before
    # The fixture delivered these cards without a note, which reconcile reports.
    assert {row["check"] for row in office.run("reconcile", "--json").json()["faults"]} == {"custody"}


@pytest.mark.parametrize("account", ["prepaid-admin", "prepaid-radius"])
def test_no_account_but_the_owner_removes_sessions(office, used, account):
    from admin.shell.office import Office

    with (
        Office(str(office.option_file)).connect(account) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.MySQLError),
    ):
        cursor.execute("DELETE FROM session")


def test_old_counts_of_refused_logins_are_removed(office, shop, database):
    (card,) = shop.sell(1)
    for days in (0, 89, 91, 400):
        for number in range(3):
            database.execute(
                "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, first_at, last_at) SELECT"
                " %s, %s, 'wrong_pin', at, 1, at, at FROM (SELECT UTC_TIMESTAMP() - INTERVAL %s DAY AS at) AS moment",
                [shop.id(card), f"1/{number}", days],
            )
            database.execute(
                "INSERT INTO unknown_login (source, window_at, nas_id, first_at, last_at) SELECT"
                " %s, at, 1, at, at FROM (SELECT UTC_TIMESTAMP() - INTERVAL %s DAY AS at) AS moment",
                [f"1/{number}", days],
            )
    assert office.json("db", "archive", "--step", 2)["refusals_forgotten"] == 12
    assert (
        database.value("SELECT COUNT(*) FROM login_refusal")
        == database.value("SELECT COUNT(*) FROM unknown_login")
        == 6
    )
    assert office.json("db", "archive", "--refusals-older-than", 30)["refusals_forgotten"] == 6
    assert database.value("SELECT COUNT(*) FROM login_refusal") == 3
