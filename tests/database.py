"""The stack's database as a test sees it: ask it anything, and find it as `prepaid db init` left it."""

import contextlib

import pymysql
import pymysql.cursors

from tests.stack import MariaDB

# Never emptied: a serial is never used again, so a card of one test is not mistaken for another's by
# whatever radiusd still remembers.
KEPT_TABLES = {"serial_counter"}

# A test that left a transaction open must fail the next one quickly and not for ever.
LOCK_TIMEOUT_SECONDS = 20


class Database:
    def __init__(self, mariadb: MariaDB, name: str):
        self.mariadb = mariadb
        self.name = name

    def connect(self, **options) -> pymysql.Connection:
        """With the rights of the schema's owner; rows are dictionaries."""
        return self.mariadb.connect(self.name, cursorclass=pymysql.cursors.DictCursor, **options)

    def query(self, statement: str, arguments=()) -> list[dict]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def value(self, statement: str, arguments=()):
        """The one value of the one row."""
        (row,) = self.query(statement, arguments)
        (value,) = row.values()
        return value

    def execute(self, statement: str, arguments=()) -> int:
        with self.connect() as connection, connection.cursor() as cursor:
            return cursor.execute(statement, arguments)


@contextlib.contextmanager
def without_triggers(database: Database):
    """What somebody with all rights can do: take all rules away.  They are put back in their order."""
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
    """Remembers the rows that belong to the set-up, and brings the database back to them.

    Emptied with TRUNCATE, because the triggers rightly refuse to DELETE cards and history.  The numbers of
    rows go on rising, as in life: radiusd may remember product 7, and another test's product must not be it.
    """

    def __init__(self, database: Database):
        self.database = database
        with database.connect() as connection, connection.cursor() as cursor:
            self.columns = {table: self._columns_of(cursor, table) for table in self._tables(cursor)}
            self.rows = {table: self._rows_of(cursor, table) for table in self.columns}

    def restore(self) -> None:
        with self.database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0, lock_wait_timeout = %s", [LOCK_TIMEOUT_SECONDS])
            # Tables with rows of the set-up first: putting those back may write history, emptied afterwards.
            for table in sorted(self.rows, key=lambda table: not self.rows[table]):
                if table not in KEPT_TABLES and self._has_changed(cursor, table):
                    self._restore_table(cursor, table)

    def _has_changed(self, cursor, table: str) -> bool:
        # One row more than the set-up has is enough to see it, however many cards a test made.
        rows = self.rows[table]
        return self._rows_of(cursor, table, limit=len(rows) + 1) != rows

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
        """Columns that hold a value of their own; generated ones cannot be put back."""
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
