"""What no account may do, whatever it switches off: tried for every table, column and status, generated from the schema.

Each account (the module's, the whole office's, the charger's, the archive's, one for each role) switches off what any
session may switch off, and tries to change every column of a row up, down, to NULL and to something else, to remove the
row, to insert one like it with a number of its choice, and to move a card from every status to every other.  What is not
named as permitted must be refused, or change nothing.  So a table or column that is added later is tried too; one that
this test has no row for fails it.
"""

import collections
import contextlib
import datetime
from pathlib import Path

import pymysql
import pytest
from pymysql.constants import CLIENT

from admin import db, store
from admin.shell.office import Office as AdminOffice

SQL = Path(__file__).resolve().parents[2] / "sql"
STATUSES = ("created", "delivered", "in_use", "exhausted", "expired", "blocked", "redeemed", "deleted")
ALL = ("up", "down", "null", "other")
PRODUCT = {
    column: ALL
    for column in (
        "name",
        "valid_days",
        "sell_by",
        "valid_until_at",
        "allowed_hours",
        "timezone",
        "speed_down_kbit",
        "speed_up_kbit",
        "fup_share_percent",
        "fup_down_kbit",
        "fup_up_kbit",
        "max_sessions",
        "replace_oldest",
        "bind_device",
        "interim_seconds",
        "idle_seconds",
        "price_cents",
        "commission_basis_points",
        "retired_at",
    )
}
PARTNER = dict.fromkeys(("name", "document", "contact", "commission_basis_points", "retired_at"), ALL)
NAS = dict.fromkeys(
    (
        "name",
        "address",
        "secret_sealed",
        "key_number",
        "vendor",
        "disconnect_port",
        "require_message_authenticator",
        "counter_rule",
    ),
    ALL,
)
# A session ends sooner, for whatever cause.
SOONER = {"due_at": ("down", "null"), "due_cause": ALL}

# By account, table and column: which changes are its work.  The module's own tables are its own; all that is counted goes up.
PERMITTED: dict[str, dict[str, dict[str, tuple]]] = {
    "module": {
        "session": {
            column: ALL
            for column in (
                "nas_id",
                "nas_address",
                "acct_session_id",
                "device",
                "login_at",
                "login_token",
                "started_at",
                "heard_at",
                "stopped_at",
                "stop_cause",
                "closed_at",
                "close_cause",
                "reopens_after_at",
                "due_at",
                "due_cause",
                "granted_seconds",
                "granted_octets",
                "granted_down_octets",
                "granted_up_octets",
                "granted_millicents",
                "tariff_minute_millicents",
                "tariff_mb_millicents",
                "fup_octets",
                "interim_seconds",
                "raw_down_octets",
                "raw_up_octets",
                "framed_ipv4",
                "framed_ipv6",
                "delegated_prefix",
            )
        }
        | dict.fromkeys(("used_seconds", "used_down_octets", "used_up_octets"), ("up",)),
        "card": dict.fromkeys(
            ("posted_seconds", "posted_down_octets", "posted_up_octets", "posted_login_number", "version"), ("up",)
        ),
        "login_refusal": {"tries": ("up",), "nas_id": ALL, "last_at": ALL},
        "unknown_login": {"tries": ("up",), "nas_id": ALL, "last_at": ALL},
        "session_anomaly": {"times": ("up",), "last_at": ALL},
        "accounting_queue": dict.fromkeys(("name", "charged_until_at", "recorded_at"), ALL),
        "nas_restart": dict.fromkeys(("nas_address", "authenticator", "happened_at", "repeated_at"), ALL),
    },
    "generate": {"serial_counter": {"next_number": ("up",)}},
    "deliver": {},
    "return": {"session": SOONER},
    # A block is lifted once, by the server's clock, whatever the statement says.
    "block": {"session": SOONER, "card_block": {"lifted_at": ALL}},
    "credit": {"session": SOONER, "card": {"note": ALL}},
    "products": {"product": PRODUCT},
    "partners": {"partner": PARTNER, "partner_account": {"credit_limit_cents": ALL}},
    "payments": {},
    "nas": {"nas": NAS},
    "disconnect": {
        "session": {**SOONER, "close_cause": ALL},
        "disconnect_attempt": dict.fromkeys(("next_at", "outcome", "error_cause"), ALL),
    },
    "audit": {"history_floor": {"next_since_at": ALL, "next_row_id": ("up",)}},
}
# The daemons that have accounts of their own.  What is counted goes up; which sessions are due is said by what they used.
PERMITTED["charge"] = {
    **{
        table: PERMITTED["module"][table]
        for table in ("session", "card", "session_anomaly", "accounting_queue", "nas_restart")
    }
}
PERMITTED["archive"] = {
    "card": PERMITTED["module"]["card"],
    "session": {"due_at": ALL, "due_cause": ALL},
    "usage_hour": dict.fromkeys(("session_count", "used_seconds", "used_down_octets", "used_up_octets"), ("up",)),
}
DAEMONS = ("charge", "archive")
# The whole office, and the role that holds all roles.
_EVERYTHING: dict[str, dict[str, tuple]] = collections.defaultdict(dict)
for _role, _tables in PERMITTED.items():
    if _role not in ("module", *DAEMONS):
        for _table, _columns in _tables.items():
            _EVERYTHING[_table].update(_columns)
# Facts about the site that are no key's: none of ours has a rule of its own.
_EVERYTHING["site"] = {}
PERMITTED["office"] = PERMITTED["admin"] = dict(_EVERYTHING)
MAY_REMOVE = {"products": {"product_reply"}, "nas": {"nas"}}
# Old counts.
MAY_REMOVE["archive"] = {"login_refusal", "unknown_login"}
MAY_REMOVE["office"] = MAY_REMOVE["admin"] = {"product_reply", "nas"}
# Whole rows, every column of them, that an account may write.
MAY_INSERT = {
    "module": {
        "session",
        "session_anomaly",
        "session_slow_down",
        "login_refusal",
        "unknown_login",
        "accounting_queue",
        "nas_restart",
    },
    "charge": {"session", "session_anomaly", "session_slow_down", "accounting_queue", "nas_restart"},
    "archive": {"usage_hour"},
    "generate": {"serial_counter"},
    "products": {"product_reply"},
    "disconnect": {"disconnect_attempt"},
}
MAY_INSERT["office"] = MAY_INSERT["admin"] = {"serial_counter", "product_reply", "disconnect_attempt", "site"}
# Written by the owner alone, or once and for all by the set-up.
ACCOUNTS = ("module", "office", *DAEMONS, *store.roles.ROLES)


@pytest.fixture
def books(office, database, tmp_path):
    """A row in every table: the key of it, by table."""
    product = office.product("--time", "10h", "--bind-device", "--reply", "Filter-Id := x")
    partner = office.partner()
    cards = office.sell(9, product=product, partner=partner)
    (phone,) = office.sell(1, product=office.product("--money", "10.00", kind="telephony"), partner=partner)
    stock = office.stock(2, product=product)
    one = database.value("SELECT id FROM card WHERE serial = %s", [cards[0].serial])
    with database.connect() as connection, connection.cursor() as cursor:
        for statement in (
            "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3), expires_at = '2099-01-01', device = 'aa',"
            " posted_seconds = 60, posted_down_octets = 60, posted_up_octets = 60, posted_login_number = 5 WHERE id = {one}",
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, heard_at, due_at, due_cause,"
            " used_seconds, used_down_octets, used_up_octets, posted_seconds, posted_down_octets, posted_up_octets,"
            " granted_seconds) VALUES ({one}, 5, 1, 's', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3),"
            " UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', 60, 60, 60, 60, 60, 60, 600)",
            "INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, used_seconds,"
            " used_down_octets, used_up_octets) VALUES ({one}, 4, 1, 's', '', UTC_TIMESTAMP(3), 60, 60, 60)",
            "INSERT INTO work_run (work) VALUES ('audit')",
            "INSERT INTO usage_hour VALUES ('2026-01-01', 1, 1, 1, 1, 1, 1)",
            "INSERT INTO session_slow_down (card_id, login_number) VALUES ({one}, 5)",
            "UPDATE session_slow_down SET done_at = UTC_TIMESTAMP(3)",
            "INSERT INTO session_anomaly (card_id, login_number, what, detail) VALUES ({one}, 5, 'wraps', 'x')",
            "INSERT INTO login_refusal VALUES ({one}, 'a', 'wrong_pin', '2026-01-01', 1, 5, '2026-01-01', '2026-01-01')",
            "INSERT INTO unknown_login VALUES ('a', '2026-01-01', 1, 5, '2026-01-01', '2026-01-01')",
            "INSERT INTO accounting_queue VALUES ('host', '2026-01-01', '2026-01-01')",
            "INSERT INTO nas_restart VALUES ('127.0.0.1', '0x00', '2026-01-01', '2026-01-01')",
            "INSERT INTO cluster_conflict (card_id) VALUES ({one})",
            "INSERT INTO nat_import (file) VALUES ('nat.csv')",
            "INSERT INTO nat_record (public_address, first_port, begin_at, private_address, last_port, end_at, import_id)"
            " VALUES ('203.0.113.9', 1, UTC_TIMESTAMP(3) - INTERVAL 1 DAY, '100.64.0.7', 9, UTC_TIMESTAMP(3), 1)",
            "INSERT INTO disconnect_attempt (card_id, login_number, action, attempt, next_at, cause)"
            " VALUES ({one}, 5, 'disconnect', 1, '2026-01-01', 'time')",
        ):
            cursor.execute(statement.format(one=one))
    number = database.value("SELECT id FROM card WHERE serial = %s", [phone.serial])
    database.execute(
        "INSERT INTO voice_credit (card_id, account, credit_cents, export_number, exported_at, confirmed_at,"
        " reference) VALUES (%s, 'a', 1000, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 'r')",
        [number],
    )
    office.must("credit", cards[1].serial, "--add", "5m", "--reason", "Storm")
    office.must("sessions", "--address", "10.5.0.7", "--at", "2026-01-01T00:00Z")
    office.must("partner", "edit", partner, "--credit-limit", "5000.00")
    paid = office.json("payment", "add", partner, "5.00", "--key", "k")["payment"]
    office.must("payment", "reverse", paid, "--reason", "Mistake")
    office.must("audit", "seal")
    ids = {row["serial"]: row["id"] for row in database.query("SELECT id, serial FROM card")}
    for status, card in zip(("exhausted", "expired"), cards[3:5], strict=True):
        database.execute("UPDATE card SET status = 'in_use' WHERE serial = %s", [card.serial])
        database.execute("UPDATE card SET status = %s WHERE serial = %s", [status, card.serial])
    office.must("block", cards[5].serial, "--reason", "Stolen")
    office.must("delete", stock[1].serial, "--yes", "--reason", "Misprinted")
    in_status = {
        "created": stock[0],
        "delivered": cards[2],
        "in_use": cards[0],
        "exhausted": cards[3],
        "expired": cards[4],
        "blocked": cards[5],
        "redeemed": phone,
        "deleted": stock[1],
    }
    return {"card": one, "statuses": {status: ids[card.serial] for status, card in in_status.items()}}


@contextlib.contextmanager
def connected(account: str, office, database):
    """A connection of the account, with all switched off that any session may switch off."""
    with contextlib.ExitStack() as stack:
        if account in ("module", "office"):
            group = {"module": "prepaid-radius", "office": "prepaid-admin"}[account]
            connection = stack.enter_context(contextlib.closing(AdminOffice(str(office.option_file)).connect(group)))
        else:
            owner = stack.enter_context(database.connect(client_flag=CLIENT.MULTI_STATEMENTS))
            cursor = owner.cursor()
            store.operator.give(cursor, database.name, "side", [] if account in DAEMONS else [account])
            store.operator.create(cursor, database.name, "side", ["localhost"], "secret")
            if account in DAEMONS:
                db.run_script(
                    cursor,
                    store.schema.filled_grants(
                        (SQL / f"{account}.sql").read_text(),
                        database.name,
                        {account: "'side'@'localhost'", f"{account}_name": "'side'"},
                    ),
                )
                owner.commit()
            stack.callback(store.operator.remove, cursor, database.name, "side")
            connection = stack.enter_context(
                pymysql.connect(
                    unix_socket=str(database.mariadb.socket),
                    user="side",
                    password="secret",
                    database=database.name,
                    charset="utf8mb4",
                )
            )
        with connection.cursor() as cursor:
            cursor.execute("SET check_constraint_checks = 0, foreign_key_checks = 0, timestamp = 1000000000")
        yield connection


def is_done(connection, statement: str, values=()) -> bool:
    """Whether a statement changes anything; it is undone."""
    connection.begin()
    try:
        with connection.cursor() as cursor:
            return cursor.execute(statement, values) > 0
    except pymysql.MySQLError:
        return False
    finally:
        connection.rollback()


class Schema:
    """Tables, columns, keys, and a row of each table."""

    def __init__(self, database, card_id: int):
        self.columns = collections.defaultdict(dict)
        self.keys = collections.defaultdict(list)
        for row in database.query(
            "SELECT column_name AS name, c.table_name AS target, data_type AS type, column_key AS place, is_nullable AS empty,"
            " extra AS extra FROM information_schema.columns AS c JOIN information_schema.tables AS t"
            " ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'"
            " WHERE c.table_schema = DATABASE() ORDER BY ordinal_position"
        ):
            self.columns[row["target"]][row["name"]] = row
            if row["place"] == "PRI":
                self.keys[row["target"]].append(row["name"])
        self.rows = {}
        for table, columns in self.columns.items():
            if {"card_id", "login_number"} <= set(columns):
                wanted = f"WHERE card_id = {card_id}"
            else:
                wanted = {
                    "card": f"WHERE id = {card_id}",
                    "site": "WHERE name LIKE 'key%%fingerprint'",
                    "product": "WHERE id IN (SELECT product_id FROM card)",
                    "batch": "WHERE id IN (SELECT batch_id FROM card)",
                    "nas": "WHERE id > 1",
                }.get(table, "")
            found = database.query(f"SELECT * FROM {table} {wanted} LIMIT 1")
            assert found, f"no row to try in the table {table}: add one to `books`"
            self.rows[table] = found[0]

    def where(self, table: str) -> tuple[str, list]:
        """The key of the table's row, as a condition."""
        return " AND ".join(f"{key} = %s" for key in self.keys[table]), [
            self.rows[table][key] for key in self.keys[table]
        ]

    def changes(self, table: str, column: str):
        """The ways to change a column: the name of each, and the value that it would have."""
        value, kind = self.rows[table][column], self.columns[table][column]["type"]
        if self.columns[table][column]["empty"] == "YES" and value is not None:
            yield "null", None
        if kind in ("datetime", "date", "timestamp"):
            value = value or datetime.datetime(2026, 1, 1)
            yield "up", value + datetime.timedelta(days=400)
            yield "down", value - datetime.timedelta(days=400)
        elif kind in ("int", "bigint", "smallint", "tinyint", "decimal"):
            yield "up", (value or 0) + 1
            if value:
                yield "down", 0
        elif kind == "enum":
            yield from (
                ("other", one)
                for one in (
                    "delivery",
                    "return",
                    "void",
                    "internet",
                    "telephony",
                    "wraps",
                    "slow_down",
                    "imported",
                    "credited",
                    "extended",
                    "cisco",
                    "note",
                    *STATUSES,
                )
                if one != value
            )
        elif kind in ("varbinary", "binary"):
            yield "other", b"x" * len(value or b"x")
            yield "other", b""
        else:
            yield "other", f"{value or ''}x"[-30:]
            yield "other", ""


def tries_of(schema: Schema, account: str, statuses: dict, transitions: dict):
    """Every forbidden try of an account: its name, a statement, its values."""
    permitted = PERMITTED.get(account, {})
    for table in schema.columns:
        condition, key = schema.where(table)
        for column in schema.columns[table]:
            if (table, column) == ("card", "status"):
                continue
            for way, value in schema.changes(table, column):
                if way not in permitted.get(table, {}).get(column, ()):
                    yield (
                        f"{table}.{column} {way}",
                        f"UPDATE {table} SET {column} = %s WHERE {condition}",
                        [value, *key],
                    )
        if table not in MAY_REMOVE.get(account, ()):
            yield f"{table} removed", f"DELETE FROM {table} WHERE {condition}", key
        if table not in MAY_INSERT.get(account, ()):
            row = dict(schema.rows[table])
            last = schema.keys[table][-1]
            kind = schema.columns[table][last]["type"]
            row[last] = {"int": 4294967290, "smallint": 65000, "tinyint": 250, "bigint": 2**63}.get(kind, row[last])
            if row[last] == schema.rows[table][last] and isinstance(row[last], str):
                row[last] = f"{row[last]}x"[:10]
            for column in ("serial", "name", "idempotency_key", "reference", "address"):
                if column in row and column != last:
                    row[column] = "new"
            names = ", ".join(row)
            yield (
                f"{table} inserted",
                f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(row))})",
                list(row.values()),
            )
    for before, card_id in statuses.items():
        for after in STATUSES:
            if after != before and account not in transitions.get((before, after), ()):
                yield f"card {before} -> {after}", "UPDATE card SET status = %s WHERE id = %s", [after, card_id]
                yield (
                    f"card {before} -> {after} with a note",
                    "UPDATE card SET status = %s, delivery_note_id = 1, partner_id = 1 WHERE id = %s",
                    [after, card_id],
                )


@pytest.fixture
def transitions(database):
    """Which accounts may make a change of status, whatever else it needs."""
    return {
        (row["from_status"], row["to_status"]): {row["role"], "admin", "office"}
        | ({"module", *DAEMONS} if row["by_module"] else set())
        for row in database.query("SELECT * FROM card_transition")
    }


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_is_not_permitted_is_refused(account, office, database, books, transitions, record_property):
    schema = Schema(database, books["card"])
    with connected(account, office, database) as connection:
        tried, done = 0, []
        for name, statement, values in tries_of(schema, account, books["statuses"], transitions):
            tried += 1
            if is_done(connection, statement, values):
                done.append(name)
    record_property("tried", tried)
    print(f"\n{account}: {tried} tried, {tried - len(done)} refused")
    assert done == []


def test_every_account_is_tried():
    assert {path.stem for path in SQL.glob("*.sql")} == {"schema", "grants", "roles", *DAEMONS}
    assert {*PERMITTED, *MAY_INSERT, *MAY_REMOVE} <= set(ACCOUNTS)
