"""Each account can do its work and nothing more; least rights are a list of statements that are refused."""

import pymysql
import pytest

from admin.shell.office import Office

DENIED = (1142, 1143, 1227, 1044, 1370)  # no such right on the table, on the column, on the server, on the database


@pytest.fixture
def ask(office):
    """Run a statement as the account of a group of the option file."""

    def asked(group: str, statement: str):
        with Office(str(office.option_file)).connect(group) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    return asked


RADIUS_MAY_NOT = [
    "INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id) VALUES ('X1', 'x', 1, 1, 1)",
    "DELETE FROM card",
    "UPDATE card SET pin_sealed = 'x'",
    "UPDATE card SET partner_id = 1",
    "UPDATE card SET added_seconds = 9999",
    "SELECT note FROM card",
    "SELECT partner_id FROM card",
    "SELECT * FROM partner",
    "SELECT * FROM note",
    "SELECT * FROM card_event",
    "SELECT * FROM batch",
    "INSERT INTO card_event (card_id, what, operator) VALUES (1, 'credited', 'x')",
    "INSERT INTO card_entry (card_id, what, reason) VALUES (1, 'credited', 'x')",
    "UPDATE product SET credit_seconds = 99999",
    "UPDATE nas SET address = '0.0.0.0/0'",
    "DELETE FROM session",
    "DELETE FROM session_archive",
    "DELETE FROM session_anomaly",
    "CREATE TABLE mine (id INT)",
    "DROP TABLE session",
    "TRUNCATE TABLE session",
    "DROP TRIGGER card_rules",
    "INSERT INTO card_transition VALUES ('deleted', 'in_use', 'revived')",
    "UPDATE site SET value = ''",
]

OFFICE_MAY_NOT = [
    "DELETE FROM card",
    "DELETE FROM card_event",
    "UPDATE card_event SET reason = 'x'",
    "UPDATE card_entry SET added_seconds = 1",
    "DELETE FROM card_entry",
    "UPDATE batch_event SET reason = 'x'",
    "DELETE FROM note",
    "UPDATE note SET card_count = 0",
    "UPDATE note_price SET price_cents = 0",
    "UPDATE card SET posted_seconds = 0",
    "UPDATE card SET added_seconds = 9999",
    "UPDATE card SET first_login_at = NULL",
    "UPDATE card SET serial = 'X'",
    "UPDATE session SET used_seconds = 0",
    "INSERT INTO session (card_id, login_number, nas_id, used_seconds) VALUES (1, 1, 1, 60)",
    "INSERT INTO session (card_id, login_number, nas_id, due_at) VALUES (1, 1, 1, UTC_TIMESTAMP())",
    "DELETE FROM session",
    "DELETE FROM session_archive",
    "INSERT INTO card_event (card_id, from_status, to_status, operator) VALUES (1, 'created', 'delivered', 'x')",
    "INSERT INTO card_transition VALUES ('deleted', 'in_use', 'revived')",
    "UPDATE schema_version SET version = 99",
    "DROP TRIGGER card_rules",
    "ALTER TABLE card DROP CONSTRAINT card_usage_only_grows",
    "TRUNCATE TABLE card_event",
    "CREATE USER another",
]


@pytest.mark.parametrize("statement", RADIUS_MAY_NOT)
def test_the_module_may_not(ask, statement):
    with pytest.raises(pymysql.MySQLError) as refusal:
        ask("prepaid-radius", statement)
    assert refusal.value.args[0] in DENIED


@pytest.mark.parametrize("statement", OFFICE_MAY_NOT)
def test_the_office_may_not(ask, statement):
    with pytest.raises(pymysql.MySQLError) as refusal:
        ask("prepaid-admin", statement)
    assert refusal.value.args[0] in DENIED


def test_the_history_names_the_account_and_no_other(ask, office, database):
    (card,) = office.sell(1, "--time", "10m")
    operators = {event["operator"] for event in office.track(card)}
    assert operators == {"prepaid_admin"}
