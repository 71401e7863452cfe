"""The stack's database in tests: queries with all rights, and the state that `prepaid db init` left."""

import contextlib

import pymysql
import pymysql.cursors

from tests.stack import MariaDB

# These are not emptied: so no test uses a serial again that radiusd may remember from an earlier test.
KEPT_TABLES = {"serial_counter"}

# A table whose rows of the set-up are written by triggers of another one, and dated by the server: they are restored
# after that, and get another date.
WRITTEN_BY_TRIGGERS = "operator_role_event"

# If a test left a transaction open, the next one fails after this time instead of blocking.
LOCK_TIMEOUT_SECONDS = 20


class Database:
    def __init__(self, mariadb: MariaDB, name: str):
        self.mariadb = mariadb
        self.name = name

    def connect(self, **options) -> pymysql.Connection:
        """A connection with the rights of the schema's owner; its rows are dictionaries."""
        return self.mariadb.connect(self.name, cursorclass=pymysql.cursors.DictCursor, **options)

    def query(self, statement: str, arguments=()) -> list[dict]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def value(self, statement: str, arguments=()):
        """The value of a query that returns one row with one column."""
        (row,) = self.query(statement, arguments)
        (value,) = row.values()
        return value

    def execute(self, statement: str, arguments=()) -> int:
        with self.connect() as connection, connection.cursor() as cursor:
            return cursor.execute(statement, arguments)


@contextlib.contextmanager
def without_triggers(database: Database):
    """Drop all triggers, as somebody with all rights can, and create them again in the same order afterwards."""
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0, check_constraint_checks = 0")
        cursor.execute(
            "SELECT trigger_name AS name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
            " ORDER BY event_object_table, action_timing, event_manipulation, action_order"
        )
        statements = []
        for name in [row["name"] for row in cursor.fetchall()]:
            cursor.execute(f"SHOW CREATE TRIGGER {name}")
            statements.append(cursor.fetchone()["SQL Original Statement"])
            cursor.execute(f"DROP TRIGGER {name}")
        try:
            yield cursor
        finally:
            connection.rollback()
            for statement in statements:
                cursor.execute(statement)


class CleanDatabase:
    """Keeps the rows of the set-up, and restores the database to them.

    Tables are emptied by TRUNCATE, because the triggers refuse to DELETE cards and history.  Row numbers continue to
    rise, because radiusd may remember product 7, and another test's product must not have that number.
    """

    def __init__(self, database: Database):
        self.database = database
        with database.connect() as connection, connection.cursor() as cursor:
            self.columns = {table: self._columns_of(cursor, table) for table in self._tables(cursor)}
            self.rows = {table: self._rows_of(cursor, table) for table in self.columns}

    def restore(self) -> None:
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0, lock_wait_timeout = %s", [LOCK_TIMEOUT_SECONDS])
            # Tables with rows of the set-up come first: restoring them may write history, which is emptied afterwards.
            for table in sorted(self.rows, key=lambda table: (not self.rows[table], table == WRITTEN_BY_TRIGGERS)):
                if table not in KEPT_TABLES and self._has_changed(cursor, table):
                    self._restore_table(cursor, table)

    def _has_changed(self, cursor, table: str) -> bool:
        # One row more than the set-up has is enough to see a change, so this does not read all rows of a test.
        rows = self.rows[table]
        found = self._rows_of(cursor, table, limit=len(rows) + 1)
        if table == WRITTEN_BY_TRIGGERS:
            return [{**row, "at": None} for row in found] != [{**row, "at": None} for row in rows]
        return found != rows

    def _restore_table(self, cursor, table: str) -> None:
        cursor.execute(
            "SELECT auto_increment AS next_number FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            [table],
        )
        next_number = cursor.fetchone()["next_number"]
        cursor.execute(f"TRUNCATE TABLE `{table}`")
        for row in self.rows[table]:
            places = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO `{table}` ({self.columns[table]}) VALUES ({places})", list(row.values()))
        if next_number:
            cursor.execute(f"ALTER TABLE `{table}` AUTO_INCREMENT = {next_number}")

    @staticmethod
    def _tables(cursor) -> list[str]:
        cursor.execute(
            "SELECT table_name AS name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        )
        return [row["name"] for row in cursor.fetchall()]

    @staticmethod
    def _columns_of(cursor, table: str) -> str:
        """The names of the columns; not the generated ones, which cannot be restored."""
        cursor.execute(
            "SELECT column_name AS name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s AND is_generated = 'NEVER'"
            " ORDER BY ordinal_position",
            [table],
        )
        return ", ".join(f"`{row['name']}`" for row in cursor.fetchall())

    def _rows_of(self, cursor, table: str, limit: int = 10_000) -> list[dict]:
        cursor.execute(f"SELECT {self.columns[table]} FROM `{table}` ORDER BY 1 LIMIT {limit}")
        return list(cursor.fetchall())
