"""The frequent statements at 100,000 cards: each finds its rows by a key, as EXPLAIN shows."""

import re

import pytest

from freeradius_module import connection, settings
from freeradius_module.engine.engine import Engine
from tests.engine_callers import LAPTOP, class_of, log_in, report
from tests.shop import Shop

CARDS = 100_000
# To scan a small table costs less than to use a key: products, NAS.  Derived tables are the statement's own values.
SMALL = {"product", "nas", "site", "schema_version", "accounting_queue"}
# Rows of one card, or of the few that are asked for; a scan would be all of them.
FEW_ROWS = 100


@pytest.fixture
def big_shop(database, _unstarted_stack):
    """Cards in use with an ended session each, and refusals."""
    shop = Shop(database, _unstarted_stack.key_file)
    (card,) = shop.sell(1)
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO card (serial, pin_sealed, key_number, status, batch_id, product_id, partner_id)"
            " SELECT CONCAT('X', LPAD(seq, 9, '0')), 'sealed', 1, 'in_use', batch_id, product_id, partner_id"
            f"  FROM seq_1_to_{CARDS} JOIN card WHERE card.serial = %s",
            [card.serial],
        )
        cursor.execute(
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, started_at, heard_at,"
            " stopped_at, used_seconds)"
            " SELECT id, 1, 1, CONCAT('s', id), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3),"
            " UTC_TIMESTAMP(3), 60 FROM card WHERE serial LIKE 'X%'"
        )
        cursor.execute(
            "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, first_at, last_at)"
            " SELECT id, '1/x', 'wrong_pin', '2026-01-01', 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)"
            " FROM card WHERE serial LIKE 'X%'"
        )
        for table in ("card", "session", "login_refusal"):
            cursor.execute(f"ANALYZE TABLE {table} PERSISTENT FOR ALL")
    return shop


@pytest.fixture
def statements(monkeypatch):
    """Every statement that the module sends, with its parameters, in order."""
    seen = []
    connect = connection.connect

    def connect_and_listen(*where):
        made = connect(*where)
        query = made.query

        def listen(text, *arguments, **options):
            seen.append(text.decode() if isinstance(text, bytes) else text)
            return query(text, *arguments, **options)

        made.query = listen
        return made

    monkeypatch.setattr(connection, "connect", connect_and_listen)
    return seen


def test_no_statement_of_a_cards_life_scans_a_table(big_shop, _unstarted_stack, statements):
    module_settings = settings.load(str(_unstarted_stack.option_file))
    engine = Engine(module_settings)
    card, other, loser = big_shop.sell(3, credit_seconds=600, bind_device=True, valid_days=30)
    statements.clear()
    answer = log_in(engine, card)  # the first login
    engine.account(report(card, "Start", classes=class_of(answer)))
    engine.account(report(card, "Interim-Update", 60))  # known by memory
    Engine(module_settings).account(report(card, "Interim-Update", 70))  # not known
    big_shop.age(card, 2000)
    log_in(engine, card, LAPTOP)  # refused: another device
    engine.authorize({"User-Name": other.serial, "Tmp-String-0": "127.0.0.1"})
    engine.record_wrong_pin({"User-Name": other.serial, "Tmp-String-0": "127.0.0.1"})
    log_in(engine, other)  # somebody had tried a wrong PIN
    log_in(engine, card)  # closes the stale session
    engine.account(report(card, "Stop", 600))  # posts and exhausts
    engine.charges.queued([(report(one, "Stop", 60, session_id="8002"), 0.0) for one in (other, loser)])
    engine.account([("Acct-Status-Type", "Accounting-On"), ("Tmp-String-0", "127.0.0.1")])
    assert big_shop.status(card) == "exhausted"

    looked_at = 0
    assert any(statement.startswith("EXECUTE") for statement in statements)
    module = connection.connect(module_settings)
    with module.cursor() as cursor:
        for statement in dict.fromkeys(without_names(statements)):
            verb = statement.split(None, 1)[0].upper()
            if verb not in ("SELECT", "UPDATE", "INSERT") or "RETURNING" in statement or "VALUES (" in statement:
                continue  # rows that are named by their key
            if "accounting_state" in statement:
                continue  # a view of a row for each queue, which the module's account may read and not explain
            cursor.execute(f"EXPLAIN {statement}")
            columns = [column[0] for column in cursor.description]
            for row in (dict(zip(columns, values, strict=True)) for values in cursor.fetchall()):
                table = row["table"]
                if table is None or table.startswith("<") or table in SMALL or row["type"] in ("const", "system"):
                    continue
                if table == "refused":
                    continue
                looked_at += 1
                assert row["key"] and row["type"] not in ("ALL", "index"), f"{table} is read through by: {statement}"
                assert int(row["rows"] or 0) <= FEW_ROWS, f"{row['rows']} rows of {table} are read by: {statement}"
    assert looked_at > 10
    module.close()


def without_names(statements):
    """The statements as they were before they were prepared, with the values that they were executed with."""
    prepared = {}
    for statement in statements:
        if found := re.match(r"PREPARE (\w+) FROM '(.*)'$", statement, re.DOTALL):
            prepared[found[1]] = found[2].replace("\\n", "\n").replace("\\'", "'")
        elif found := re.match(r"EXECUTE (\w+) USING (.*)$", statement):
            values = iter(found[2].split(", "))
            yield re.sub(r"\?", lambda _, values=values: next(values), prepared[found[1]])
        else:
            yield statement


def test_the_offices_view_of_a_card_reads_that_card(big_shop):
    """`prepaid show`: a view over tables of any size."""
    for row in big_shop.database.query("EXPLAIN SELECT * FROM card_overview WHERE serial = 'X000050000'"):
        if row["table"] and not row["table"].startswith("<") and row["table"] not in SMALL | {"partner"}:
            assert row["key"], f"{row['table']} is read through"
