"""The state table of a card binds every writer: the database's owner in the mysql shell, too."""

import itertools

import pymysql
import pytest

STATUSES = ("created", "delivered", "in_use", "exhausted", "expired", "blocked", "redeemed", "deleted")

# Design, section 2.  From blocked a card goes back to where it was; that has a test of its own.
ALLOWED = {
    "created": {"delivered", "blocked", "deleted"},
    "delivered": {"in_use", "created", "blocked", "expired", "redeemed"},
    "in_use": {"exhausted", "expired", "blocked"},
    "exhausted": {"in_use", "blocked"},
    "expired": {"delivered", "in_use", "blocked"},
    "redeemed": set(),
    "deleted": set(),
}
WAY_TO = {
    "created": (),
    "delivered": ("delivered",),
    "in_use": ("delivered", "in_use"),
    "exhausted": ("delivered", "in_use", "exhausted"),
    "expired": ("delivered", "in_use", "expired"),
    "blocked": ("delivered", "blocked"),
    "redeemed": ("delivered", "redeemed"),
    "deleted": ("deleted",),
}


@pytest.fixture
def cards(schema_database):
    return Cards(schema_database)


class Cards:
    """Cards made in SQL, one after the other."""

    def __init__(self, database):
        self.database = database
        database.execute("INSERT INTO product (id, name, kind, credit_seconds) VALUES (1, 'Hour', 'internet', 3600)")
        database.execute(
            "INSERT INTO batch (id, product_id, card_count, first_serial, last_serial) VALUES (1, 1, 9, 'A0', 'A9')"
        )
        self.numbers = itertools.count(1)

    def in_status(self, status: str) -> int:
        card_id = next(self.numbers)
        self.database.execute(
            "INSERT INTO card (id, serial, pin_sealed, key_number, batch_id, product_id)"
            " VALUES (%s, %s, 'sealed', 1, 1, 1)",
            [card_id, f"A{card_id}"],
        )
        for step in WAY_TO[status]:
            self.put(card_id, step)
        return card_id

    def put(self, card_id: int, status: str) -> None:
        self.database.execute("UPDATE card SET status = %s WHERE id = %s", [status, card_id])

    def status(self, card_id: int) -> str:
        return self.database.value("SELECT status FROM card WHERE id = %s", [card_id])

    def may_go(self, status: str, to_status: str) -> bool:
        card_id = self.in_status(status)
        try:
            self.put(card_id, to_status)
        except pymysql.MySQLError:
            assert self.status(card_id) == status
            return False
        assert self.status(card_id) == to_status
        return True


@pytest.mark.parametrize("status", ALLOWED)
def test_a_card_goes_where_the_table_says_and_nowhere_else(cards, status):
    others = [other for other in STATUSES if other != status]
    assert {other for other in others if cards.may_go(status, other)} == ALLOWED[status]


@pytest.mark.parametrize("before", ["created", "delivered", "in_use", "exhausted", "expired"])
def test_a_blocked_card_goes_back_to_where_it_was_and_nowhere_else(cards, before):
    for to_status in STATUSES:
        card_id = cards.in_status(before)
        cards.put(card_id, "blocked")
        if to_status in (before, "blocked"):
            cards.put(card_id, to_status)
        else:
            with pytest.raises(pymysql.MySQLError):
                cards.put(card_id, to_status)
            assert cards.status(card_id) == "blocked"


def test_every_change_is_in_the_history_with_account_reason_and_note(cards, schema_database):
    card_id = cards.in_status("created")
    with schema_database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET @prepaid_reason = 'Parcel lost', @prepaid_note = 7")
        cursor.execute("UPDATE card SET status = 'deleted' WHERE id = %s", [card_id])
    (event,) = schema_database.query("SELECT * FROM card_event WHERE card_id = %s", [card_id])
    assert (event["from_status"], event["to_status"]) == ("created", "deleted")
    assert (event["reason"], event["note_id"]) == ("Parcel lost", 7)
    assert event["operator"] == schema_database.mariadb.owner
    assert event["at"] is not None


def test_a_write_that_changes_no_status_writes_no_history(cards, schema_database):
    card_id = cards.in_status("created")
    schema_database.execute("UPDATE card SET note = 'Behind the counter' WHERE id = %s", [card_id])
    assert schema_database.query("SELECT * FROM card_event WHERE card_id = %s", [card_id]) == []


def test_a_refused_change_leaves_no_history(cards, schema_database):
    card_id = cards.in_status("created")
    with pytest.raises(pymysql.MySQLError, match="status_change_is_allowed"):
        cards.put(card_id, "exhausted")
    assert schema_database.query("SELECT * FROM card_event WHERE card_id = %s", [card_id]) == []


@pytest.mark.parametrize("table", ["card_event", "batch_event", "card_entry"])
def test_history_is_never_edited_or_removed(cards, schema_database, table):
    card_id = cards.in_status("delivered")
    schema_database.execute("INSERT INTO batch_event (batch_id, what, card_count) VALUES (1, 'generated', 9)")
    schema_database.execute(
        "INSERT INTO card_entry (card_id, what, reason, added_seconds) VALUES (%s, 'credited', 'Sorry', 60)", [card_id]
    )
    rows = schema_database.query(f"SELECT * FROM {table}")
    with pytest.raises(pymysql.MySQLError, match="history_is_never_edited"):
        schema_database.execute(f"UPDATE {table} SET operator = 'nobody'")
    with pytest.raises(pymysql.MySQLError, match="history_is_never_removed"):
        schema_database.execute(f"DELETE FROM {table}")
    assert rows and schema_database.query(f"SELECT * FROM {table}") == rows


def test_the_account_in_the_history_is_the_one_that_the_server_saw(cards, schema_database):
    card_id = cards.in_status("delivered")
    schema_database.execute(
        "INSERT INTO card_entry (card_id, what, reason, operator) VALUES (%s, 'credited', 'Sorry', 'somebody else')",
        [card_id],
    )
    assert schema_database.value("SELECT operator FROM card_entry") == schema_database.mariadb.owner


# --- Serials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["created", "deleted"])
def test_a_serial_is_never_used_twice(cards, schema_database, status):
    cards.in_status(status)
    with pytest.raises(pymysql.err.IntegrityError, match="serial_is_unique"):
        schema_database.execute(
            "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id) VALUES ('A1', 'sealed', 1, 1, 1)"
        )


def test_serials_that_differ_by_case_or_a_blank_are_two(cards, schema_database):
    cards.in_status("created")
    for serial in ("a1", "A1 ", "Á1"):
        schema_database.execute(
            "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id) VALUES (%s, 'sealed', 1, 1, 1)",
            [serial],
        )
    assert schema_database.value("SELECT COUNT(*) FROM card WHERE serial = 'A1'") == 1


def test_a_card_is_never_removed(cards, schema_database):
    cards.in_status("deleted")
    with pytest.raises(pymysql.MySQLError, match="card_rows_stay"):
        schema_database.execute("DELETE FROM card")


@pytest.mark.parametrize("change", ["serial = 'B1'", "batch_id = 2", "product_id = 2"])
def test_what_a_card_is_never_changes(cards, schema_database, change):
    schema_database.execute("INSERT INTO product (id, name, kind, credit_seconds) VALUES (2, 'Day', 'internet', 86400)")
    schema_database.execute(
        "INSERT INTO batch (id, product_id, card_count, first_serial, last_serial) VALUES (2, 2, 9, 'B0', 'B9')"
    )
    cards.in_status("created")
    with pytest.raises(pymysql.MySQLError, match="card_identity_is_fixed"):
        schema_database.execute(f"UPDATE card SET {change}")


def test_only_a_deleted_card_has_no_pin(cards, schema_database):
    card_id = cards.in_status("created")
    with pytest.raises(pymysql.MySQLError, match="only_deleted_cards_lack_a_pin"):
        schema_database.execute("UPDATE card SET pin_sealed = '' WHERE id = %s", [card_id])
    schema_database.execute("UPDATE card SET pin_sealed = '', status = 'deleted' WHERE id = %s", [card_id])


# --- Usage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["posted_seconds", "posted_down_octets", "posted_up_octets"])
def test_what_was_posted_to_a_card_only_grows(cards, schema_database, column):
    cards.in_status("in_use")
    schema_database.execute(f"UPDATE card SET {column} = 600")
    with pytest.raises(pymysql.MySQLError, match="card_usage_only_grows"):
        schema_database.execute(f"UPDATE card SET {column} = 599")
    assert schema_database.value(f"SELECT {column} FROM card") == 600


@pytest.mark.parametrize("column", ["used_seconds", "used_down_octets", "used_up_octets", "posted_seconds"])
def test_what_a_session_used_only_grows(cards, schema_database, column):
    card_id = cards.in_status("in_use")
    schema_database.execute(
        f"INSERT INTO session (card_id, login_number, nas_id, {column}) VALUES (%s, 1, 1, 600)", [card_id]
    )
    with pytest.raises(pymysql.MySQLError, match="session_usage_only_grows"):
        schema_database.execute(f"UPDATE session SET {column} = 599")
    assert schema_database.value(f"SELECT {column} FROM session") == 600


def test_an_entry_reaches_the_card_and_its_history(cards, schema_database):
    card_id = cards.in_status("in_use")
    schema_database.execute(
        "INSERT INTO card_entry (card_id, what, reason, added_seconds) VALUES (%s, 'credited', 'Sorry', 600)", [card_id]
    )
    assert schema_database.value("SELECT credit_seconds FROM card_overview WHERE id = %s", [card_id]) == 4200
    last = schema_database.query("SELECT what, reason FROM card_event ORDER BY id DESC LIMIT 1")
    assert last == [{"what": "credited", "reason": "Sorry"}]


def test_an_entry_needs_a_reason(cards, schema_database):
    card_id = cards.in_status("in_use")
    with pytest.raises(pymysql.MySQLError, match="entry_has_a_reason"):
        schema_database.execute(
            "INSERT INTO card_entry (card_id, what, reason, added_seconds) VALUES (%s, 'credited', '', 600)", [card_id]
        )


def test_a_balance_counts_what_is_posted_and_what_is_not_yet(cards, schema_database):
    card_id = cards.in_status("in_use")
    schema_database.execute("UPDATE card SET posted_seconds = 1000 WHERE id = %s", [card_id])
    schema_database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, used_seconds, posted_seconds) VALUES (%s, 1, 1, 900, 400)",
        [card_id],
    )
    (row,) = schema_database.query("SELECT used_seconds, remaining_seconds FROM card_overview WHERE id = %s", [card_id])
    assert row == {"used_seconds": 1500, "remaining_seconds": 2100}


def test_a_balance_stops_at_zero_and_shows_the_use_as_it_is(cards, schema_database):
    card_id = cards.in_status("in_use")
    schema_database.execute("UPDATE card SET posted_seconds = 5000 WHERE id = %s", [card_id])
    (row,) = schema_database.query("SELECT used_seconds, remaining_seconds FROM card_overview WHERE id = %s", [card_id])
    assert row == {"used_seconds": 5000, "remaining_seconds": 0}


# --- Products ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["credit_seconds = 7200", "credit_octets = 1000", "kind = 'telephony'"])
def test_the_terms_of_a_product_are_fixed_once_it_has_cards(cards, schema_database, change):
    schema_database.execute(f"UPDATE product SET {change}")
    schema_database.execute("UPDATE product SET credit_seconds = 3600, credit_octets = NULL, kind = 'internet'")
    cards.in_status("created")
    with pytest.raises(pymysql.MySQLError, match="product_terms_are_fixed_once_cards_exist"):
        schema_database.execute(f"UPDATE product SET {change}")
    schema_database.execute("UPDATE product SET price_cents = 1200")


def test_money_used_is_rounded_once_and_down(schema_database):
    schema_database.execute(
        "INSERT INTO product (id, name, kind, credit_cents, tariff_minute_millicents, tariff_mb_millicents)"
        " VALUES (1, 'R$ 20', 'internet', 2000, 5000, 1000)"
    )
    schema_database.execute(
        "INSERT INTO batch (id, product_id, card_count, first_serial, last_serial) VALUES (1, 1, 1, 'A1', 'A1')"
    )
    schema_database.execute(
        "INSERT INTO card (id, serial, pin_sealed, key_number, batch_id, product_id, status, posted_seconds,"
        " posted_down_octets) VALUES (1, 'A1', 'sealed', 1, 1, 1, 'in_use', 119, 1999999)"
    )
    # 119 s at 5 cents a minute are 9.91 cents, 1.999999 MB at 1 cent are 1.99 cents: 11.9 together, 11 charged.
    assert schema_database.value("SELECT used_cents FROM card_overview") == 11
