"""schema.sql and the migrations, run one after the other, give the same database."""

import re
import uuid
from pathlib import Path

import pytest

from freeradius_module import SCHEMA_VERSION
from tests.conftest import load_sql
from tests.database import Database

SQL = Path(__file__).resolve().parents[2] / "sql"
MIGRATIONS = sorted((SQL / "migrations").glob("*.sql"))

# What information_schema says of a database, without its name, its size and the hour at which it was made.
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
def empty_database(mariadb):
    name = f"migrated_{uuid.uuid4().hex[:12]}"
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield Database(mariadb, name)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


def test_all_migrations_together_give_the_schema(schema_database, empty_database):
    assert MIGRATIONS, "sql/migrations has no file: 0001_initial.sql is the schema of the first release"
    for path in MIGRATIONS:
        load_sql(empty_database, path)
    for table in FACTS:
        assert facts(empty_database, table) == facts(schema_database, table), f"information_schema.{table} differs"
    assert contents(empty_database) == contents(schema_database)


def test_the_schema_has_the_version_that_the_programs_work_with(schema_database):
    assert schema_database.value("SELECT MAX(version) FROM schema_version") == SCHEMA_VERSION


def test_migrations_are_numbered_without_a_gap():
    names = [path.name for path in MIGRATIONS]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, SCHEMA_VERSION + 1))


def facts(database: Database, table: str) -> list[dict]:
    owner = OWNER_COLUMN.get(table, "CONSTRAINT_SCHEMA")
    rows = database.query(
        f"SELECT {', '.join(FACTS[table])} FROM information_schema.{table} WHERE {owner} = %s", [database.name]
    )
    told = [{name: _nameless(value, database.name) for name, value in row.items()} for row in rows]
    return sorted(told, key=lambda row: [str(row[name]) for name in FACTS[table]])


def contents(database: Database) -> dict:
    """The rows that come with the schema."""
    return {
        "card_transition": database.query("SELECT * FROM card_transition ORDER BY from_status, to_status"),
        "nas": database.query("SELECT * FROM nas ORDER BY id"),
        "version": database.query("SELECT MAX(version) AS version FROM schema_version"),
    }


def _nameless(value, name: str):
    return value.replace(f"`{name}`.", "") if isinstance(value, str) else value
