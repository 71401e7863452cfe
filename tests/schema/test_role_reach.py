"""What a role might reach for beyond its action: each was possible once, with a plain client and the role's own account."""

import datetime

import pymysql
import pytest

from admin import store
from tests.schema.test_roles import person  # noqa: F401

OFF = "SET check_constraint_checks = 0, foreign_key_checks = 0"


@pytest.fixture
def ids(database):
    def number(card):
        return database.value("SELECT id FROM card WHERE serial = %s", [card.serial])

    return number


def tried(connection, *statements) -> str:
    """Run statements one after the other and commit; the name of the rule that refused, or nothing."""
    try:
        with connection.cursor() as cursor:
            for statement in (OFF, *statements):
                cursor.execute(statement)
                while cursor.nextset():
                    pass
        connection.commit()
    except pymysql.MySQLError as error:
        connection.rollback()
        return str(error.args[1])
    return ""


def test_history_has_the_servers_time(person, office, database, ids):  # noqa: F811
    (card,) = office.sell(1, "--time", "10m")
    with person("block") as connection:
        for moved in ("1000000000", "UNIX_TIMESTAMP() + 86400"):
            assert (
                tried(
                    connection,
                    f"SET timestamp = {moved}, time_zone = '-11:00'",
                    f"INSERT INTO card_block (card_id, scope, reason) VALUES ({ids(card)}, 'serial', 'x')",
                    f"UPDATE card_block SET lifted_at = '2000-01-01' WHERE card_id = {ids(card)} AND lifted_at IS NULL",
                )
                == ""
            )
    moments = [row["at"] for row in database.query("SELECT at FROM card_event")]
    now = database.value("SELECT UTC_TIMESTAMP(3)")
    assert all(now - datetime.timedelta(minutes=5) < moment <= now for moment in moments), moments


@pytest.mark.parametrize("way", ["SET insert_id = 4294967295", "SET auto_increment_increment = 65535"])
def test_nobody_chooses_the_next_number(person, office, database, ids, way):  # noqa: F811
    (card,) = office.stock(1, "--time", "10m")
    partner = office.partner()
    number = database.value("SELECT id FROM partner WHERE name = %s", [partner])
    with person("deliver") as connection:
        refusal = tried(connection, way, f"INSERT INTO note (kind, partner_id) VALUES ('delivery', {number})")
    assert "numbers_are_the_servers" in refusal
    assert office.json("deliver", "--batch", card.batch, "--partner", partner)["count"] == 1


def test_a_note_counts_and_prices_its_cards_itself(person, office, database, ids):  # noqa: F811
    product = office.product("--time", "10m", "--price", "10.00", "--commission", "10")
    cards = office.stock(3, product=product)
    number = database.value("SELECT id FROM partner WHERE name = %s", [office.partner()])
    chosen = ", ".join(str(ids(card)) for card in cards)
    with person("deliver") as connection:
        assert "denied" in tried(
            connection, f"INSERT INTO note (kind, partner_id, card_count) VALUES ('delivery', {number}, 1)"
        )
        assert (
            tried(
                connection,
                f"INSERT INTO note (kind, partner_id) VALUES ('delivery', {number})",
                "SET @n = LAST_INSERT_ID()",
                f"UPDATE card SET status = 'delivered', partner_id = {number}, delivery_note_id = @n WHERE id IN ({chosen})",
            )
            == ""
        )
    assert database.query("SELECT card_count, price_cents, commission_basis_points FROM note_price") == [
        {"card_count": 3, "price_cents": 1000, "commission_basis_points": 1000}
    ]
    (note,) = database.query("SELECT card_count, first_serial, last_serial FROM note")
    assert list(note.values()) == [3, cards[0].serial, cards[2].serial]
    assert office.json("reconcile")["faults"] == []


def test_cards_change_hands_with_a_note_of_their_own(person, office, database, ids):  # noqa: F811
    partner = office.partner()
    (first,) = office.sell(1, "--time", "10m", partner=partner)
    (card,) = office.stock(1, product=first.product)
    note = database.value("SELECT id FROM note")
    number = database.value("SELECT id FROM partner WHERE name = %s", [partner])
    with person("deliver", "return") as connection:
        for statement in (
            f"UPDATE card SET status = 'delivered' WHERE id = {ids(card)}",
            f"UPDATE card SET status = 'delivered', partner_id = {number}, delivery_note_id = {note} WHERE id = {ids(card)}",
            f"UPDATE card SET partner_id = NULL WHERE id = {ids(first)}",
            f"UPDATE card SET status = 'created' WHERE id = {ids(first)}",
        ):
            assert "cards_change_hands_with_a_note" in tried(connection, statement), statement


def test_a_credit_for_the_voice_platform_is_what_the_card_is_worth(person, office, database, ids):  # noqa: F811
    (phone,) = office.sell(1, product=office.product("--money", "10.00", kind="telephony"))
    (internet,) = office.sell(1, "--time", "10m")
    (stock,) = office.stock(1, product=phone.product)
    with person("redeem") as connection:
        assert "denied" in tried(
            connection, f"INSERT INTO voice_credit (card_id, account, credit_cents) VALUES ({ids(phone)}, 'a', 4000000)"
        )
        for card in (internet, stock):
            assert "redeemable_cards_have_credit" in tried(
                connection, f"INSERT INTO voice_credit (card_id, account) VALUES ({ids(card)}, 'a')"
            )
        assert tried(connection, f"INSERT INTO voice_credit (card_id, account) VALUES ({ids(phone)}, 'a')") == ""
        assert tried(connection, f"INSERT INTO voice_credit (card_id, account) VALUES ({ids(phone)}, 'b')") != ""
    assert database.query("SELECT credit_cents, credit_seconds FROM voice_credit") == [
        {"credit_cents": 1000, "credit_seconds": None}
    ]
    assert office.show(phone)["status"] == "redeemed"
    assert office.json("reconcile")["faults"] == []


def test_a_pin_is_read_with_a_record_that_is_not_taken_back(person, office, database, ids):  # noqa: F811
    (card,) = office.stock(1, "--time", "10m")
    database.execute("TRUNCATE TABLE batch_event")
    with person("see_pin") as connection, connection.cursor() as cursor:
        assert "denied" in tried(connection, "SELECT pin_sealed FROM card")
        assert "pins_are_read_with_a_record" in tried(connection, f"CALL read_pins({card.batch}, 1, 4000000000)")
        connection.begin()
        cursor.execute("CALL read_pin(%s)", [ids(card)])
        assert cursor.fetchone()
        cursor.nextset()
        cursor.execute("CALL open_pins(%s, 'x', NULL, NULL)", [card.batch])
        cursor.execute("CALL read_pins(%s, 1, 4000000000)", [card.batch])
        assert card.serial in cursor.fetchone()[0]
        cursor.nextset()
        connection.rollback()
    assert database.value("SELECT COUNT(*) FROM card_event WHERE what = 'pin_read' AND operator = 'trial'") == 1
    assert database.query("SELECT what, operator, card_count FROM batch_event") == [
        {"what": "pins_read", "operator": "trial", "card_count": 1}
    ]


def test_one_question_has_one_answer(person, database):  # noqa: F811
    with person("address") as connection, connection.cursor() as cursor:
        connection.begin()
        cursor.execute("CALL who_had('2001:db8::5', NULL, '2026-01-01', 'x', '[\"2001:db8::5\", \"2001:db8::/64\"]')")
        while cursor.nextset():
            pass
        connection.rollback()
        for forms in ('["2001:db8::6"]', '["2001:db8:1::/64"]', '["10.0.0.1"]'):
            assert "forms_hold_the_address" in tried(
                connection, f"CALL who_had('2001:db8::5', NULL, '2026-01-01', 'x', '{forms}')"
            )
        assert "forms_hold_the_address" in tried(
            connection, "CALL who_had('10.0.0.1', NULL, '2026-01-01', 'x', '[\"10.0.0.2\"]')"
        )
        assert "questions_are_about_the_past" in tried(
            connection,
            "SET timestamp = UNIX_TIMESTAMP() + 999999",
            "CALL who_had('10.0.0.1', NULL, UTC_TIMESTAMP(), 'x', '[\"10.0.0.1\"]')",
        )
        assert "denied" in tried(
            connection, "INSERT INTO address_query_form (query_id, address) VALUES (1, '10.0.0.9')"
        )
        assert "denied" in tried(connection, "SELECT * FROM address_answer")
    assert [row["address"] for row in database.query("SELECT address FROM address_query")] == ["2001:db8::5"]


@pytest.mark.parametrize("role", ["block", "return", "credit", "disconnect"])
def test_no_role_lets_a_session_go_on_for_longer(person, office, database, ids, role):  # noqa: F811
    (card,) = office.sell(1, "--time", "10m")
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, due_at, due_cause)"
        " VALUES (%s, 1, 1, 's', UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time')",
        [ids(card)],
    )
    with person(role) as connection:
        assert "sessions_end_sooner" in tried(connection, "UPDATE session SET due_at = '2099-01-01'")
        assert "sessions_end_sooner" in tried(
            connection,
            "UPDATE session SET due_cause = 'unknown'",
            "UPDATE session SET due_at = '2099-01-01', due_cause = 'time'",
        )
        assert tried(connection, "UPDATE session SET due_at = UTC_TIMESTAMP(3), due_cause = 'blocked'") == ""


def test_what_was_used_elsewhere_is_that_of_the_card(person, office, database, ids):  # noqa: F811
    (card,) = office.sell(1, "--time", "10m")
    number = database.value("SELECT product_id FROM card WHERE id = %s", [ids(card)])
    new = (
        "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id, status, posted_seconds)"
        " VALUES ('OLD1', 'x', 1, {batch}, {product}, 'in_use', 60)"
    )
    with person("import") as connection:
        assert "card_belongs_to_its_batch" in tried(connection, new.format(batch=card.batch, product=number))
        assert "denied" in tried(connection, "INSERT INTO session_archive (card_id, login_number) VALUES (1, 7)")
        made = f"INSERT INTO batch (product_id, origin) VALUES ({number}, 'imported')"
        assert (
            tried(
                connection,
                made,
                "SET @b = LAST_INSERT_ID()",
                new.format(batch="@b", product=number),
                "CALL record_batch_event(@b, 'imported', NULL, NULL, NULL, NULL)",
            )
            == ""
        )
        assert "card_belongs_to_its_batch" in tried(
            connection, new.replace("OLD1", "OLD2").format(batch="@b", product=number)
        )
    assert database.query("SELECT login_number, used_seconds FROM session_archive") == [
        {"login_number": 0, "used_seconds": 60}
    ]


def test_the_module_delivers_and_unblocks_nothing(office, database, ids):
    from admin.shell.office import Office

    (blocked,) = office.sell(1, "--time", "10m")
    office.must("block", blocked.serial, "--reason", "Stolen")
    (stock,) = office.stock(1, product=blocked.product)
    (sold,) = office.sell(1, "--time", "10m", "--valid-days", "1")
    with Office(str(office.option_file)).connect("prepaid-radius") as connection:
        for card in (blocked, stock):
            assert "_needs_its_role" in tried(
                connection, f"UPDATE card SET status = 'delivered' WHERE id = {ids(card)}"
            )
        assert (
            tried(
                connection,
                f"UPDATE card SET status = 'in_use', first_login_at = '2040-01-01', expires_at = '2099-01-01'"
                f" WHERE id = {ids(sold)}",
            )
            == ""
        )
        assert "validity_begins_once" in tried(
            connection, f"UPDATE card SET expires_at = '2099-01-01' WHERE id = {ids(sold)}"
        )
    (card,) = database.query(
        "SELECT expires_at, first_login_at, UTC_TIMESTAMP(3) AS now FROM card WHERE id = %s", [ids(sold)]
    )
    assert (
        card["expires_at"]
        == card["first_login_at"] + datetime.timedelta(days=1)
        <= card["now"] + datetime.timedelta(days=1)
    )


def test_the_floor_of_the_history_waits_for_the_longest_transaction(person, office, database):  # noqa: F811
    office.sell(1, "--time", "10m")
    office.must("audit", "seal")
    rule = "floor_rises_over_what_is_sealed"
    with person("audit") as connection:
        assert rule in tried(connection, "UPDATE history_floor SET row_id = 5 WHERE source = 'card_event'")
        # The next number, because a database that has served other tests has sealed many rows.
        past_the_end = database.value("SELECT MAX(row_id) + 1 FROM history_chain WHERE source = 'card_event'")
        assert rule in tried(
            connection, f"UPDATE history_floor SET next_row_id = {past_the_end} WHERE source = 'card_event'"
        )
        long_ago = "UPDATE history_floor SET next_row_id = 1, next_since_at = '2020-01-01' WHERE source = 'note'"
        assert tried(connection, long_ago) == ""
        assert rule in tried(connection, "UPDATE history_floor SET row_id = next_row_id WHERE source = 'note'")


def test_whoever_holds_rows_and_does_nothing_is_ended(person, office, database, ids):  # noqa: F811
    office.sell(1, "--time", "10m")
    holder = person("see")
    with holder.cursor() as cursor:
        holder.begin()
        cursor.execute("SELECT id FROM card FOR UPDATE")
        database.execute("CALL end_idle_transactions(0)")
        with pytest.raises(pymysql.MySQLError):
            cursor.execute("SELECT 1")


def test_whoever_holds_the_offices_turn_and_does_nothing_is_ended(person, office, database):  # noqa: F811
    """A named lock needs no right at all; without an end nobody would archive or make an account."""
    holder = person("see")
    with holder.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('prepaid_db', 0)")
        database.execute("CALL end_idle_transactions(0)")
        with pytest.raises(pymysql.MySQLError):
            cursor.execute("SELECT 1")


def test_one_account_does_not_take_all_connections(person, office, database):  # noqa: F811
    held = [person("see")]
    try:
        with pytest.raises(pymysql.MySQLError) as refusal:
            for _ in range(store.operator.CONNECTIONS_MOST):
                held.append(pymysql.connect(unix_socket=str(database.mariadb.socket), user="trial", password="secret"))
        assert "max_user_connections" in str(refusal.value) and len(held) == store.operator.CONNECTIONS_MOST
    finally:
        for connection in held:
            connection.close()


def test_nobody_stops_the_verification_of_the_history(person, office, database):  # noqa: F811
    office.sell(1, "--time", "10m")
    with person("audit") as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK('{database.name}.history_chain', 0)")
        assert office.json("audit", "verify")["faults"] == []
        office.sell(1, "--time", "10m")
        connection.begin()
        cursor.execute("SELECT * FROM history_chain ORDER BY seq DESC LIMIT 1 FOR UPDATE")
        cursor.execute("SELECT * FROM history_floor FOR UPDATE")
        result = office.run("audit", "verify", "--json")
        assert result.exit_status == 0 and "not sealed" in result.stderr
