"""The migrations, run one after the other, lead to schema.sql; before the first release there are none."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from freeradius_module import SCHEMA_VERSION
from tests.conftest import load_sql
from tests.database import Database
from tests.stack.mariadb import MariaDB

CHECKOUT = Path(__file__).resolve().parents[2]
SQL = CHECKOUT / "sql"
MIGRATIONS = sorted((SQL / "migrations").glob("*.sql"))
CHANGELOG = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
IS_RELEASED = re.search(r"(?m)^## (?!.*unreleased)", CHANGELOG) is not None

# What information_schema holds about a database, without its name, its size and its age.
FACTS = {
    "tables": (
        "TABLE_NAME",
        "TABLE_TYPE",
        "ENGINE",
        "TABLE_COLLATION",
        "ROW_FORMAT",
        "CREATE_OPTIONS",
        "TABLE_COMMENT",
    ),
    "columns": (
        "TABLE_NAME",
        "ORDINAL_POSITION",
        "COLUMN_NAME",
        "COLUMN_TYPE",
        "IS_NULLABLE",
        "COLUMN_DEFAULT",
        "EXTRA",
        "CHARACTER_SET_NAME",
        "COLLATION_NAME",
        "COLUMN_KEY",
        "GENERATION_EXPRESSION",
    ),
    "statistics": ("TABLE_NAME", "INDEX_NAME", "SEQ_IN_INDEX", "COLUMN_NAME", "NON_UNIQUE", "SUB_PART", "INDEX_TYPE"),
    "triggers": (
        "TRIGGER_NAME",
        "EVENT_OBJECT_TABLE",
        "EVENT_MANIPULATION",
        "ACTION_TIMING",
        "ACTION_ORDER",
        "ACTION_STATEMENT",
        "SQL_MODE",
        "COLLATION_CONNECTION",
    ),
    "views": ("TABLE_NAME", "VIEW_DEFINITION", "IS_UPDATABLE", "SECURITY_TYPE", "COLLATION_CONNECTION"),
    "check_constraints": ("TABLE_NAME", "CONSTRAINT_NAME", "CHECK_CLAUSE"),
    "referential_constraints": ("TABLE_NAME", "CONSTRAINT_NAME", "REFERENCED_TABLE_NAME", "UPDATE_RULE", "DELETE_RULE"),
    "key_column_usage": (
        "TABLE_NAME",
        "CONSTRAINT_NAME",
        "COLUMN_NAME",
        "ORDINAL_POSITION",
        "REFERENCED_TABLE_NAME",
        "REFERENCED_COLUMN_NAME",
    ),
    "routines": ("ROUTINE_NAME", "ROUTINE_DEFINITION", "SECURITY_TYPE"),
}
OWNER_COLUMN = {
    "tables": "TABLE_SCHEMA",
    "columns": "TABLE_SCHEMA",
    "statistics": "TABLE_SCHEMA",
    "views": "TABLE_SCHEMA",
    "triggers": "TRIGGER_SCHEMA",
    "routines": "ROUTINE_SCHEMA",
}


@pytest.fixture
def empty_database(mariadb: MariaDB) -> Iterator[Database]:
    name = f"migrated_{uuid.uuid4().hex[:12]}"
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield Database(mariadb, name)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


def test_a_release_begins_the_migrations() -> None:
    """Before it, schema.sql changes freely and no second copy of it is kept."""
    assert bool(MIGRATIONS) == IS_RELEASED, "see sql/migrations/README.md"


def test_migrations_are_numbered_without_a_gap() -> None:
    names = [path.name for path in MIGRATIONS]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)
    expected = range(1, SCHEMA_VERSION + 1) if IS_RELEASED else []
    assert [int(name[:4]) for name in names] == list(expected)


@pytest.mark.skipif(not MIGRATIONS, reason="there are no migrations before the first release")
def test_all_migrations_together_give_the_schema(schema_database: Database, empty_database: Database) -> None:
    for path in MIGRATIONS:
        load_sql(empty_database, path)
    assert differences(empty_database, schema_database) == []


CHANGES = {
    "ALTER TABLE partner ADD COLUMN email VARCHAR(64) NULL": ["columns"],
    "ALTER TABLE partner MODIFY COLUMN contact VARCHAR(254) NULL": ["columns"],
    "ALTER TABLE card DROP KEY card_by_expiry": ["statistics"],
    "ALTER TABLE partner DROP CONSTRAINT partner_commission_is_a_share": ["check_constraints"],
    "DROP TRIGGER card_rows_stay": ["triggers"],
    "CREATE OR REPLACE FUNCTION server_time() RETURNS DATETIME(3) NO SQL RETURN UTC_TIMESTAMP(3)": ["routines"],
    "CREATE OR REPLACE VIEW accounting_state AS SELECT UTC_TIMESTAMP(3) AS charged_until_at": ["views"],
    "DELETE FROM card_transition WHERE to_status = 'redeemed'": ["rows"],
    "INSERT INTO schema_version (version, name) VALUES (2, 'x')": ["rows"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_migration_that_leads_elsewhere_is_noticed(
    schema_database: Database, empty_database: Database, change: str
) -> None:
    """The comparison above sees what a migration may forget."""
    load_sql(empty_database, SQL / "schema.sql")
    assert differences(empty_database, schema_database) == []
    empty_database.execute(change)
    assert differences(empty_database, schema_database) == CHANGES[change]


def test_the_schema_has_the_version_that_the_programs_work_with(schema_database: Database) -> None:
    assert schema_database.value("SELECT MAX(version) FROM schema_version") == SCHEMA_VERSION


def differences(one: Database, other: Database) -> list[str]:
    """The tables of information_schema in which two databases differ, and "rows" if their first rows do."""
    found = [table for table in FACTS if facts(one, table) != facts(other, table)]
    return found if contents(one) == contents(other) else [*found, "rows"]


def facts(database: Database, table: str) -> list[dict[str, object]]:
    owner = OWNER_COLUMN.get(table, "CONSTRAINT_SCHEMA")
    rows = database.query(
        f"SELECT {', '.join(FACTS[table])} FROM information_schema.{table} WHERE {owner} = %s", [database.name]
    )
    named = [{name: _nameless(value, database.name) for name, value in row.items()} for row in rows]
    return sorted(named, key=lambda row: [str(row[name]) for name in FACTS[table]])


def contents(database: Database) -> dict[str, object]:
    """The rows that come with the schema."""
    return {
        "card_transition": database.query("SELECT * FROM card_transition ORDER BY from_status, to_status"),
        "nas": database.query("SELECT * FROM nas ORDER BY id"),
        "version": database.query("SELECT MAX(version) AS version FROM schema_version"),
    }


def _nameless(value: object, name: str) -> object:
    return value.replace(f"`{name}`.", "") if isinstance(value, str) else value
