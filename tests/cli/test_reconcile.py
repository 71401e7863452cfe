"""reconcile: the books agree; each fault that a test makes is found, and no other."""

import pymysql
import pytest

from tests.database import without_triggers
from tests.shop import Shop


@pytest.fixture
def books(office, database):
    """Cards of all kinds, by the office's own commands; and their ids."""
    partner = office.partner()
    cards = office.sell(8, "--time", "10h", partner=partner)
    office.must("return", "--partner", partner, "--range", f"{cards[6].serial}-{cards[7].serial}")
    office.must("block", cards[5].serial, "--reason", "Stolen")
    office.must("block", cards[4].serial, "--reason", "Stolen")
    office.must("unblock", cards[4].serial)
    office.must("edit", cards[3].serial, "--expires", "2099-12-31", "--reason", "goodwill")
    office.must("delete", cards[7].serial, "--yes", "--reason", "Misprinted")
    database.execute(
        "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3), posted_seconds = 700, posted_login_number = 2"
        " WHERE serial = %s",
        [cards[0].serial],
    )
    for number, used, posted in ((1, 700, 700), (2, 100, 0)):
        database.execute(
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, stopped_at, used_seconds, posted_seconds)"
            " SELECT id, %s, 1, 's', UTC_TIMESTAMP(3) - INTERVAL 20 DAY, %s, %s FROM card WHERE serial = %s",
            [number, used, posted, cards[0].serial],
        )
    database.execute(
        "INSERT INTO card_entry (card_id, what, reason, added_seconds) VALUES (%s, 'credited', 'x', 60)",
        [database.value("SELECT id FROM card WHERE serial = %s", [cards[1].serial])],
    )
    return cards


def faults(office) -> list[tuple]:
    result = office.run("reconcile", "--json")
    found = [(row["check"], row["which"]) for row in result.json()["faults"]]
    assert result.exit_status == (1 if found else 0), result.stderr
    return found


def test_books_that_agree(office, books):
    assert faults(office) == []
    assert "agree" in office.must("reconcile").stdout
    office.must("db", "archive")
    assert faults(office) == []


def test_an_empty_database_agrees(office):
    assert faults(office) == []


# Statements that make a fault, run with all rights, and the rule that must find it.  C is the card in use.
WRONGS = {
    "credit without an entry": (["UPDATE card SET added_seconds = 3600 WHERE serial = 'C'"], "ledger"),
    "usage without a session": (["UPDATE card SET posted_seconds = posted_seconds + 1 WHERE serial = 'C'"], "usage"),
    "traffic without a session": (["UPDATE card SET posted_up_octets = 5 WHERE serial = 'C'"], "usage"),
    "a session removed": (
        ["DELETE session FROM session JOIN card ON card.id = card_id WHERE serial = 'C' AND login_number = 1"],
        "usage",
    ),
    "more posted than used": (
        [
            "UPDATE session JOIN card ON card.id = card_id SET session.posted_up_octets = 5"
            " WHERE serial = 'C' AND login_number = 2",
            "UPDATE card SET posted_up_octets = 5 WHERE serial = 'C'",
        ],
        "sessions",
    ),
    "an archived number that comes again": (
        [
            "INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, used_seconds,"
            " used_down_octets, used_up_octets) SELECT id, 9, 1, 's', '', UTC_TIMESTAMP(), 0, 0, 0 FROM card WHERE serial = 'C'"
        ],
        "sessions",
    ),
    "blocked without a block": (
        [
            "UPDATE card SET status = 'blocked' WHERE serial = 'C'",
            "INSERT INTO card_event (card_id, from_status, to_status, operator)"
            " SELECT card_id, 'in_use', 'blocked', MAX(operator) FROM card_event JOIN card ON card.id = card_id"
            " WHERE serial = 'C' AND to_status = 'delivered'",
        ],
        "block",
    ),
    "a block that blocks nothing": (
        ["INSERT INTO card_block (card_id, scope, reason) SELECT id, 'serial', 'x' FROM card WHERE serial = 'C'"],
        "block",
    ),
    "history removed": (
        [
            "DELETE card_event FROM card_event JOIN card ON card.id = card_id WHERE serial = 'C'"
            " AND to_status = 'in_use'"
        ],
        "status",
    ),
    "a break in the history": (
        [
            "UPDATE card_event JOIN card ON card.id = card_id SET from_status = 'expired'"
            " WHERE serial = 'C' AND to_status = 'in_use'"
        ],
        "status",
    ),
    "a card that walked to another shop": (
        [
            "INSERT INTO partner (name) VALUES ('Elsewhere')",
            "UPDATE card SET partner_id = (SELECT id FROM partner WHERE name = 'Elsewhere') WHERE serial = 'C'",
        ],
        "custody",
    ),
    "a card without a note": (["UPDATE card SET delivery_note_id = NULL WHERE serial = 'C'"], "custody"),
    "a note that says more": (["UPDATE note SET card_count = card_count + 1 WHERE kind = 'return'"], "note"),
    "a price for fewer": (
        ["UPDATE note_price JOIN note ON note.id = note_id SET note_price.card_count = 1 WHERE kind = 'delivery'"],
        "note",
    ),
    "a change that is not permitted": (
        [
            "INSERT INTO card_event (card_id, from_status, to_status, operator) SELECT id, 'in_use', 'created', 'x' FROM card"
            " WHERE serial = 'C'",
            "INSERT INTO card_event (card_id, from_status, to_status, operator) SELECT id, 'created', 'in_use', 'x' FROM card"
            " WHERE serial = 'C'",
        ],
        "history",
    ),
    "a change by an account that never had a role": (
        [
            "INSERT INTO card_event (card_id, from_status, to_status, operator) SELECT id, 'in_use', 'blocked', 'x' FROM card"
            " WHERE serial = 'C'",
            "INSERT INTO card_event (card_id, from_status, to_status, operator) SELECT id, 'blocked', 'in_use', 'x' FROM card"
            " WHERE serial = 'C'",
        ],
        "history",
    ),
    "a change by FreeRADIUS that is the office's": (
        [
            "INSERT INTO card_event (card_id, from_status, to_status, operator)"
            " SELECT id, 'in_use', 'blocked', 'prepaid_radius' FROM card WHERE serial = 'C'",
            "INSERT INTO card_event (card_id, from_status, to_status, operator)"
            " SELECT id, 'blocked', 'in_use', 'prepaid_radius' FROM card WHERE serial = 'C'",
        ],
        "history",
    ),
    "a PIN that FreeRADIUS' account read like an operator": (
        [
            "INSERT INTO card_event (card_id, what, operator) SELECT id, 'pin_read', 'prepaid_radius' FROM card WHERE serial = 'C'"
        ],
        "history",
    ),
    "a batch exported by an account without that role": (
        ["UPDATE batch_event SET operator = 'x' WHERE what = 'exported'"],
        "role",
    ),
    "a note of an account without a role": (["UPDATE note SET operator = 'x' WHERE kind = 'return'"], "role"),
    "a transfer that gave nothing": (
        [
            "INSERT INTO card_entry (card_id, what, operator, reason, other_card_id, added_seconds)"
            " SELECT id, 'transferred', 'x', 'x', 1, -5 FROM card WHERE serial = 'C'",
            "UPDATE card SET added_seconds = added_seconds - 5 WHERE serial = 'C'",
        ],
        "transfer",
    ),
    "a credit for the voice platform of a card that is not redeemed": (
        [
            "INSERT INTO voice_credit (card_id, account, credit_cents, operator)"
            " SELECT id, 'a', 4000000, 'prepaid_admin' FROM card WHERE serial = 'C'"
        ],
        "voice",
    ),
    "a batch that says more": (["UPDATE batch SET card_count = card_count + 1"], "batch"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_a_fault_is_found_by_its_rule(office, books, database, wrong):
    statements, check = WRONGS[wrong]
    with without_triggers(database) as cursor:
        for statement in statements:
            assert cursor.execute(statement.replace("'C'", f"'{books[0].serial}'")) >= 1
    found = faults(office)
    assert {rule for rule, _which in found} == {check}, found
    if check in ("ledger", "usage", "sessions", "status", "custody", "history", "transfer", "voice"):
        assert {which for _rule, which in found} == {books[0].serial}


# By the days since it was given and taken: when an operator held the role block, and acted.
TIMES = {
    "before it was given": (9, 5, 10),
    "after it was taken": (9, 5, 4),
    "while it was held": (9, 5, 7),
    "at the minute when it was given": (9, 5, 9),
}


@pytest.mark.parametrize("when", TIMES)
def test_who_acted_held_the_role_then(office, books, database, when):
    """The insider may write events, but not the roles of another day."""
    given, taken, acted = TIMES[when]
    with without_triggers(database) as cursor:
        for what, days in (("given", given), ("taken", taken)):
            cursor.execute(
                "INSERT INTO operator_role_event (at, operator, role, what, changed_by)"
                " VALUES (UTC_TIMESTAMP(3) - INTERVAL %s DAY, 'ana', 'block', %s, 'root')",
                [days, what],
            )
        for before, after in (("in_use", "blocked"), ("blocked", "in_use")):
            cursor.execute(
                "INSERT INTO card_event (card_id, at, from_status, to_status, operator)"
                " SELECT id, UTC_TIMESTAMP(3) - INTERVAL %s DAY, %s, %s, 'ana' FROM card WHERE serial = %s",
                [acted, before, after, books[0].serial],
            )
    expected = [] if when in ("while it was held", "at the minute when it was given") else 2 * ["history"]
    assert [check for check, _which in faults(office)] == expected


def test_roles_that_commands_give_and_take_are_recorded(office, database, books):
    office.must("operator", "add", "ana", "--role", "see", "--role", "block")
    office.must("operator", "remove", "ana", "--role", "block")
    office.must("operator", "add", "ana", "--role", "block")
    office.must("operator", "remove", "ana")
    rows = database.query("SELECT role, what, changed_by FROM operator_role_event WHERE operator = 'ana' ORDER BY id")
    assert {row["changed_by"] for row in rows} == {database.mariadb.owner}
    assert [row["what"] for row in rows if row["role"] == "block"] == ["given", "taken", "given", "taken"]
    assert [row["what"] for row in rows if row["role"] == "see"] == ["given", "taken"]
    assert faults(office) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operator_role SET role = 'admin' WHERE role = 'office'",
        "UPDATE operator_role_event SET at = at - INTERVAL 9 DAY",
        "UPDATE operator_role_event SET role = 'admin'",
        "DELETE FROM operator_role_event",
        "INSERT INTO operator_role_event (operator, role, what) VALUES ('ana', 'block', 'given')",
        "INSERT INTO operator_role_event (operator, role, what) VALUES ('prepaid_admin', 'office', 'taken')",
    ],
)
def test_the_history_of_roles_is_written_by_triggers_only(database, statement):
    """Even the schema's owner cannot write it, unless the triggers are removed."""
    before = database.query("SELECT * FROM operator_role_event")
    with pytest.raises(pymysql.MySQLError):
        database.execute(f"SET STATEMENT check_constraint_checks = 0, foreign_key_checks = 0 FOR {statement}")
    assert database.query("SELECT * FROM operator_role_event") == before


def test_a_role_has_the_servers_time_and_account(database):
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET timestamp = 1000000000")
        cursor.execute("INSERT INTO operator_role (operator, role) VALUES ('ana', 'block')")
    (row,) = database.query(
        "SELECT changed_by, at > SYSDATE() - INTERVAL 1 HOUR AS is_now FROM operator_role_event WHERE operator = 'ana'"
    )
    assert row == {"changed_by": database.mariadb.owner, "is_now": 1}


def test_a_session_that_came_back_counts_once(office, books, database):
    office.must("db", "archive")
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, stopped_at, used_seconds, posted_seconds)"
        " SELECT card_id, login_number, 1, acct_session_id, ended_at, used_seconds + 50, used_seconds FROM session_archive"
        " WHERE login_number = 1"
    )
    assert faults(office) == []


def test_usage_before_an_import_counts(office, books, database, _unstarted_stack):
    shop = Shop(database, _unstarted_stack.key_file)
    (card,) = shop.stock(1, credit_seconds=3600)
    card_id = shop.id(card)
    with without_triggers(database) as cursor:
        cursor.execute("UPDATE batch SET origin = 'imported' WHERE id = %s", [card.batch])
    database.execute("UPDATE card SET posted_seconds = 600 WHERE id = %s", [card_id])
    database.execute(
        "INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, used_seconds,"
        " used_down_octets, used_up_octets) VALUES (%s, 0, 1, '', '', UTC_TIMESTAMP(), 600, 0, 0)",
        [card_id],
    )
    assert faults(office) == []


def test_commits_meanwhile_are_not_seen(office, books, database, monkeypatch):
    """Cards are used and blocked between two rules; the snapshot does not see it."""
    from admin.books import reconcile

    calls = []

    def wrong_sessions(cursor, first, last, rule=reconcile.OF_CARDS["sessions"]):
        if not calls:
            database.execute(
                "UPDATE card SET posted_seconds = posted_seconds + 100 WHERE serial = %s", [books[0].serial]
            )
            database.execute(
                "UPDATE session JOIN card ON card.id = card_id SET session.posted_seconds = used_seconds"
                " WHERE serial = %s",
                [books[0].serial],
            )
            office.must("block", books[1].serial, "--reason", "Stolen")
        calls.append(first)
        return rule(cursor, first, last)

    monkeypatch.setitem(reconcile.OF_CARDS, "sessions", wrong_sessions)
    monkeypatch.setattr(reconcile, "CARDS_A_RANGE", 2)
    assert faults(office) == []
    assert len(calls) > 3
