"""Each role of the office does its action and no other, in the mysql shell too: n of n statements are refused."""

import re

import pymysql
import pytest

from admin import store

DENIED = {1142, 1143, 1227, 1044, 1370}
# Rules that refuse a statement for what it would do, where the grants alone permit it: keys are changed by a role that may
# write sealed PINs, and the rule is what keeps it from emptying or replacing them.
RULES = ("_needs_its_role", "history_says_what_happened", "only_deleted_cards_lack_a_pin", "cards_keep_their_pin")

# What only this role may do; C is a card at a partner, S one in stock, B a blocked one, X one that is expired.
ONLY = {
    "see_pin": ["CALL read_pin(C)", "CALL open_pins(1, 'x', NULL, NULL)"],
    "generate": [
        "INSERT INTO serial_counter (prefix, digits) VALUES ('Z', 9)",
        "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id) VALUES ('Z1', 'x', 1, 1, 1)",
    ],
    "import": [
        "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id, status, posted_seconds)"
        " VALUES ('Z1', 'x', 1, 1, 1, 'in_use', 5)"
    ],
    "deliver": ["UPDATE card SET status = 'delivered', partner_id = P WHERE id = S"],
    "return": ["UPDATE card SET status = 'created' WHERE id = C"],
    "block": [
        "INSERT INTO card_block (card_id, scope, reason) VALUES (C, 'serial', 'x')",
        "INSERT INTO card_block (card_id, scope, reason) VALUES (S, 'serial', 'x')",
        "UPDATE card_block SET lifted_at = UTC_TIMESTAMP() WHERE card_id = B",
    ],
    "delete": ["UPDATE card SET status = 'deleted' WHERE id = S"],
    "credit": [
        "INSERT INTO card_entry (card_id, what, reason, added_seconds) VALUES (C, 'credited', 'x', 60)",
        "UPDATE card SET note = 'x' WHERE id = C",
        "UPDATE card SET status = 'delivered' WHERE id = X",
    ],
    "products": ["UPDATE product SET price_cents = 1", "DELETE FROM product_reply"],
    "partners": [
        "UPDATE partner SET commission_basis_points = 10000",
        "UPDATE partner_account SET credit_limit_cents = NULL",
    ],
    "payments": [
        "INSERT INTO payment (partner_id, amount_cents, paid_on, idempotency_key) VALUES (P, 5, '2026-01-01', 'x')"
    ],
    "nas": ["UPDATE nas SET name = 'x' WHERE id = 1", "DELETE FROM nas WHERE id = 99"],
    "disconnect": [
        "UPDATE session SET closed_at = UTC_TIMESTAMP(), close_cause = 'disconnected'",
        "SELECT secret_sealed FROM nas",
        "INSERT INTO disconnect_attempt (card_id, login_number, action, attempt, next_at, cause)"
        " VALUES (C, 1, 'disconnect', 1, UTC_TIMESTAMP(), 'blocked')",
        "UPDATE card SET status = 'expired' WHERE id = C",
    ],
    "redeem": ["INSERT INTO voice_credit (card_id, account) VALUES (C, 'A')"],
    "voice": ["UPDATE voice_credit SET confirmed_at = UTC_TIMESTAMP()"],
    "report": ["SELECT * FROM usage_hour"],
    "audit": ["SELECT * FROM history_chain", "INSERT INTO history_chain (seq) VALUES (1)"],
    "nat": ["CALL begin_nat_import('x')", "CALL purge_nat('2020-01-01', 1)"],
    "address": ["CALL who_had('10.5.0.7', NULL, '2026-01-01', NULL, JSON_ARRAY('10.5.0.7'))"],
}
# Statements that two roles share.
ALSO = {ONLY["generate"][1]: {"import"}}

# What nobody of the office may do, whatever his role.
NOBODY = [
    "UPDATE card SET posted_seconds = 0",
    "UPDATE card SET added_seconds = 9999",
    "UPDATE card SET serial = 'X'",
    "UPDATE card SET first_login_at = NULL",
    "UPDATE card SET pin_sealed = ''",
    "UPDATE card SET pin_sealed = 'x'",
    "SELECT * FROM address_answer",
    "INSERT INTO address_query (address, moment_at) VALUES ('10.5.0.7', UTC_TIMESTAMP())",
    "INSERT INTO session_archive (card_id, login_number) VALUES (1, 0)",
    "INSERT INTO note_price (note_id) VALUES (1)",
    "INSERT INTO batch_event (batch_id, what) VALUES (1, 'pins_read')",
    "INSERT INTO session (card_id, login_number) VALUES (1, 9)",
    "INSERT INTO note (id, kind) VALUES (4294967295, 'delivery')",
    "UPDATE session SET used_seconds = 0",
    "DELETE FROM session",
    "DELETE FROM session_archive",
    "UPDATE session_archive SET device = ''",
    "DELETE FROM card",
    "DELETE FROM card_event",
    "UPDATE card_event SET reason = 'x'",
    "UPDATE card_entry SET added_seconds = 1",
    "UPDATE payment SET amount_cents = 1",
    "DELETE FROM payment",
    "UPDATE partner_account SET paid_cents = 9999",
    "UPDATE partner_account SET cards_cents = 0",
    "UPDATE partner_account SET expired_cents = 9999",
    "INSERT INTO partner_account (partner_id) VALUES (99)",
    "UPDATE batch_event SET reason = 'x'",
    "UPDATE note SET card_count = 0",
    "UPDATE note_price SET price_cents = 0",
    "DELETE FROM history_chain",
    "UPDATE history_chain SET hash = ''",
    "DELETE FROM address_query",
    "DELETE FROM operator_role",
    "INSERT INTO operator_role VALUES ('somebody', 'admin')",
    "UPDATE card_transition SET role = NULL",
    "INSERT INTO card_event (card_id, from_status, to_status, operator) VALUES (1, 'created', 'delivered', 'x')",
    "SELECT framed_ipv4 FROM session_archive",
    "SELECT framed_ipv4 FROM session_overview",
    "UPDATE schema_version SET version = 9",
    "DROP TRIGGER card_rules",
    "TRUNCATE TABLE card_event",
    "UPDATE card_block SET reason = 'x'",
    "DELETE FROM card_block",
    "CREATE TABLE mine (id INT)",
    "CREATE USER friend",
    "GRANT SELECT ON card TO root@localhost",
    "SELECT * FROM mysql.global_priv",
]


@pytest.fixture
def numbers(office, database):
    """Cards in each status that a statement asks for, and a partner."""
    one, two, three, four = office.sell(4, "--time", "10m")
    (stock,) = office.stock(1, "--time", "10m")
    office.must("block", two.serial, "--reason", "Stolen")
    database.execute("UPDATE card SET status = 'expired' WHERE serial = %s", [three.serial])
    ids = {row["serial"]: row["id"] for row in database.query("SELECT id, serial FROM card")}
    return {
        "C": ids[one.serial],
        "B": ids[two.serial],
        "X": ids[three.serial],
        "S": ids[stock.serial],
        "P": database.value("SELECT MAX(id) FROM partner"),
    }


@pytest.fixture
def person(database):
    """A connection as an operator with some roles."""
    with database.connect() as owner, owner.cursor() as cursor:

        def connect(*given: str):
            store.operator.give(cursor, database.name, "trial", list(given))
            store.operator.create(cursor, database.name, "trial", ["localhost"], "secret")
            return pymysql.connect(
                unix_socket=str(database.mariadb.socket), user="trial", password="secret", database=database.name
            )

        yield connect
        store.operator.remove(cursor, database.name, "trial")


def refusal(connection, statement: str, numbers: dict) -> str:
    """Why the database refuses a statement for the account, or nothing; what it changes is undone."""
    for sign, number in numbers.items():
        statement = re.sub(rf"\b{sign}\b(?!')", str(number), statement)
    try:
        connection.begin()
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except pymysql.MySQLError as error:
        number, text = error.args[:2]
        return text if number in DENIED or any(rule in text for rule in RULES) else ""
    finally:
        connection.rollback()
    return ""


@pytest.mark.parametrize("role", ["see", *ONLY])
def test_a_role_does_its_action_and_no_other(person, numbers, role):
    with person(role) as connection:
        foreign = [
            statement
            for other, statements in ONLY.items()
            if other != role
            for statement in statements
            if role not in ALSO.get(statement, ())
        ]
        allowed = [statement for statement in (*foreign, *NOBODY) if not refusal(connection, statement, numbers)]
        assert allowed == []
        denied = {
            statement: why for statement in ONLY.get(role, ()) if (why := refusal(connection, statement, numbers))
        }
        assert denied == {}


def test_all_roles_together_may_not_rewrite_the_past(person, numbers):
    with person("admin") as connection:
        denied = {
            statement: why
            for statements in ONLY.values()
            for statement in statements
            if (why := refusal(connection, statement, numbers))
        }
        assert denied == {}
        # The disconnector needs the addresses of sessions that are on, and of no others.
        assert [statement for statement in NOBODY if not refusal(connection, statement, numbers)] == []


def test_two_roles_are_two_actions(person, numbers):
    with person("block", "deliver") as connection:
        assert not refusal(connection, ONLY["block"][0], numbers) and not refusal(
            connection, ONLY["deliver"][0], numbers
        )
        assert refusal(connection, ONLY["return"][0], numbers) and refusal(connection, ONLY["delete"][0], numbers)


def test_every_role_is_tried():
    # `export` only writes that a batch was exported, as others do too.
    assert {*ONLY, "see", "export", "admin"} == set(store.roles.ROLES)


def test_nobody_signs_history_with_another_name(person, numbers, database):
    """The operator of a row is the account that the server authenticated, whatever the statement says."""
    with person("disconnect") as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO card_event (card_id, what, operator) VALUES (%s, 'disconnected', 'somebody else')",
            [numbers["C"]],
        )
        connection.commit()
    assert database.value("SELECT operator FROM card_event WHERE what = 'disconnected'") == "trial"
