"""prepaid db init, upgrade, version: the schema, the two accounts, the key file.

Creating tables and accounts needs more rights than the office has.  So init and upgrade connect as an owner: as the
group [prepaid-owner] of the option file says, or else as the database account with the name of the system account, which
the Unix socket proves (on Debian, the system's root is the database's root).
"""

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from freeradius_module import SCHEMA_VERSION
from freeradius_module.sealing import keyring
from freeradius_module.settings import hosts_of as nodes_of

from . import store
from .shell import errors, output, share
from .shell.command import cli, json_option, option, pass_office
from .shell.office import Office, check_version
from .shell.shared_options import together
from .shell.text import _
from .store.rows import Connection, Cursor

# The two accounts, and the group of the option file that names each.
GROUPS = {"radius": "prepaid-radius", "admin": "prepaid-admin"}
# Programs that may have accounts of their own, each with the rights of its own file in sql/, or with roles of the office.
DAEMONS = {"charge": "prepaid-charge", "archive": "prepaid-archive"}
ENFORCE = "prepaid-enforce"
ENFORCE_ROLES = ["disconnect", "audit"]


@cli.group()
def db() -> None:
    """The database: create it, upgrade it, show its version."""


owner_options = together(
    option("--root-socket", metavar="PATH", help="The server's Unix socket.  [that of [prepaid-admin]]"),
    option("--root-user", metavar="USER", help="An account that may create tables and accounts.  [the system account]"),
)


@db.command()
@owner_options
@json_option
@pass_office
def init(office: Office, root_user: str | None, root_socket: str | None, as_json: bool) -> None:
    """Create the database, its two accounts and the key file; what already exists stays as it is.

    Run it as root, with --root-user, or with a group [prepaid-owner] in the option file.

    \b
    Example:
        sudo prepaid db init
    """
    made = []
    with owner_connection(office, root_user, root_socket) as connection:
        made += make_schema(office, connection, owner_of(office, root_user, root_socket))
        made += make_accounts(office, connection)
        made += make_key(office, connection)
    check_accounts(office)
    sentence = (
        _("Created: {things}.")
        if made
        else _("Nothing to do: database {database} has schema version {version}, its accounts and its key.")
    )
    output.print_result(
        {"made": made, "version": SCHEMA_VERSION},
        sentence.format(things=", ".join(made), database=database_name(office), version=SCHEMA_VERSION),
        as_json,
    )


@db.command()
@owner_options
@json_option
@pass_office
def upgrade(office: Office, root_user: str | None, root_socket: str | None, as_json: bool) -> None:
    """Upgrade the schema to this program's version.  This cannot be undone: make a backup first.

    \b
    Example:
        sudo prepaid db upgrade
    """
    with owner_connection(office, root_user, root_socket) as connection:
        with connection.cursor() as cursor:
            store.schema.use(cursor, database_name(office))
            before = store.connection.schema_version(cursor)
            for path in migrations_after(before):
                _migrate(cursor, path)
            after = store.connection.schema_version(cursor)
        if after == SCHEMA_VERSION:
            give_room(office, connection, owner_of(office, root_user, root_socket))
        make_accounts(office, connection)
    if after > SCHEMA_VERSION:
        check_version(after)
    sentence = (
        _("The schema was upgraded from version {before} to {after}.")
        if after != before
        else _("Nothing to do: the schema has version {after}.")
    )
    output.print_result({"before": before, "after": after}, sentence.format(before=before, after=after), as_json)


@db.command()
@json_option
@pass_office
def version(office: Office, as_json: bool) -> None:
    """Show the schema version of the database, and the version that this program needs.

    \b
    Example:
        prepaid db version
    """
    with closing(office.connect()) as connection, connection.cursor() as cursor:
        output.print_record({"database": store.connection.schema_version(cursor), "program": SCHEMA_VERSION}, as_json)


# --- What init creates ------------------------------------------------------------------------------------


@contextmanager
def owner_connection(
    office: Office, root_user: str | None = None, root_socket: str | None = None
) -> Iterator[Connection]:
    """A connection that may create tables and accounts; only one at a time, others are refused as Busy."""
    changes = owner_of(office, root_user, root_socket)
    try:
        connection = office.connect("prepaid-owner", **changes)
    except errors.NotReachable as error:
        raise errors.NotReachable(
            _(
                "The database cannot be reached as {user!r}, to create tables and accounts ({cause}). Start it, run this as "
                "root, or name an account with --root-user or a group [prepaid-owner] in {config}."
            ),
            user=changes["user"],
            cause=error.cause,
            config=office.config_path,
        ) from error
    with closing(connection), connection.cursor() as cursor:
        if not store.schema.take_lock(cursor):
            raise errors.Busy()
        yield connection


def owner_of(office: Office, root_user: str | None, root_socket: str | None) -> dict[str, Any]:
    """The arguments of the owner's connections: where they go, and with which account."""
    given = office.settings("prepaid-owner")
    place = given if given else office.settings("prepaid-admin")
    return {
        "user": root_user or given.get("user") or getpass.getuser(),
        "password": given.get("password", ""),
        "unix_socket": root_socket or place.get("unix_socket") or place.get("socket"),
        "host": place.get("host"),
        "port": int(place.get("port") or 3306),
        "database": None,
        "client_flag": CLIENT.MULTI_STATEMENTS,
    }


def make_schema(office: Office, connection: Connection, owner: dict[str, Any]) -> list[str]:
    """Create the database and its tables, if they do not exist; returns what was created.

    *owner* has the arguments of the connection, to connect to the other nodes of a cluster with.
    """
    database = database_name(office)
    with connection.cursor() as cursor:
        made = [f"database {database}"] if store.schema.create_database(cursor, database) else []
        store.schema.use(cursor, database)
        tables = store.schema.tables(cursor)
        if "schema_version" in tables:
            found = store.connection.schema_version(cursor)
            if found == 0:
                raise errors.Refused(
                    _(
                        "Database {database} has a schema that was begun and not finished, so nobody has used it. "
                        "Run 'DROP DATABASE {database}' in the mysql shell, then run this again."
                    ),
                    database=database,
                )
            check_version(found)
            # A database that was restored from a dump has new files.
            give_room(office, connection, owner)
            return made
        if tables:
            raise errors.Refused(
                _(
                    "Database {database} has other tables, such as {table}. Prepaid cards need a database of their own: "
                    "correct 'database' in {config}."
                ),
                database=database,
                table=tables[0],
                config=office.config_path,
            )
        run_script(cursor, (share.folder("sql") / "schema.sql").read_text(encoding="utf-8"))
        give_room(office, connection, owner)
        store.schema.count_from_one(cursor)
    return [*made, f"schema version {SCHEMA_VERSION}"]


def give_room(office: Office, connection: Connection, owner: dict[str, Any]) -> None:
    """Enlarge the files of small tables on each node of a cluster (see store.schema.give_room).

    Each node needs a connection of its own: the rows that enlarge a file are rolled back, so they are not replicated.
    """
    database = database_name(office)
    with connection.cursor() as cursor:
        store.schema.give_room(cursor)
        size = store.schema.cluster_size(cursor)
    served = 0
    for node in office.connect_to_each("prepaid-owner", **owner):
        with node.cursor() as cursor:
            store.schema.wait_for_other_nodes(cursor)
            store.schema.use(cursor, database)
            store.schema.give_room(cursor)
        served += 1
    served, size = max(served, 1), max(size, len(office.nodes("prepaid-owner")))
    if served < size:
        output.print_notice(
            _(
                "Only {served} of {size} nodes enlarged the files of small tables, which a full disk could damage otherwise. "
                "Run this again when all nodes serve and the group [prepaid-owner] of {config} names them in 'hosts'."
            ).format(served=served, size=size, config=office.config_path)
        )


def make_accounts(office: Office, connection: Connection) -> list[str]:
    """Create the accounts of the option file and the roles, with the rights in grants.sql and roles.sql.

    Returns what was created.
    """
    database = database_name(office)
    made = []
    grants = (share.folder("sql") / "grants.sql").read_text(encoding="utf-8")
    roles_script = (share.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    names = {role: store.schema.quoted(store.roles.in_database(database, role)) for role in store.roles.ROLES}
    with connection.cursor() as cursor:
        hosts = {role: hosts_of(office.settings(group)) for role, group in GROUPS.items()}
        for role, group in GROUPS.items():
            settings = office.settings(group)
            if not settings.get("user"):
                raise errors.WrongUsage(
                    _("{config} has no user in its group [{group}]."), config=office.config_path, group=group
                )
            for host in hosts[role]:
                if store.schema.create_account(cursor, settings["user"], host, settings.get("password", "")):
                    made.append(f"account {settings['user']}@{host}")
        # The script grants to one account of each role.  It runs once for each host, which is nearly always once; a role
        # with fewer hosts than the other gets its last one again.
        for turn in range(max(map(len, hosts.values()))):
            accounts = {}
            for role, group in GROUPS.items():
                user = office.settings(group)["user"]
                host = hosts[role][min(turn, len(hosts[role]) - 1)]
                accounts[role] = store.schema.account(connection, user, host)
                accounts[f"{role}_name"] = connection.escape(user)
            run_script(cursor, store.schema.filled_grants(grants, database, accounts))
        run_script(cursor, store.schema.filled_grants(roles_script, database, names))
        made += _make_daemons(office, connection, cursor, database)
    return made


def _make_daemons(office: Office, connection: Connection, cursor: Cursor, database: str) -> list[str]:
    """The accounts of the daemons that have a group of their own in the option file."""
    made = []
    for daemon, group in {**DAEMONS, "enforce": ENFORCE}.items():
        settings = office.settings(group)
        if not settings.get("user"):
            continue
        hosts = hosts_of(settings)
        made += [
            f"account {settings['user']}@{host}"
            for host in hosts
            if store.schema.create_account(cursor, settings["user"], host, settings.get("password", ""))
        ]
        if daemon == "enforce":
            store.operator.give(cursor, database, settings["user"], ENFORCE_ROLES)
            store.operator.put_in_force(cursor, database, settings["user"], hosts)
            continue
        grants = (share.folder("sql") / f"{daemon}.sql").read_text(encoding="utf-8")
        for host in hosts:
            run_script(
                cursor,
                store.schema.filled_grants(
                    grants,
                    database,
                    {
                        daemon: store.schema.account(connection, settings["user"], host),
                        f"{daemon}_name": connection.escape(settings["user"]),
                    },
                ),
            )
    return made


def make_key(office: Office, connection: Connection) -> list[str]:
    """Create the key file if this database never had one, and record the fingerprints of its keys in the table site.

    Returns what was created.  A key file of another installation is refused.
    """
    path = Path(office.key_file)
    made = []
    with connection.cursor() as cursor:
        known = store.connection.key_fingerprints(cursor)
        if not path.exists() and not known:
            keyring.create(path)
            made.append(f"key file {path}")
        keys = keyring.load(path)
        for number in keys.numbers:
            if number in known:
                keys.confirm(number, known[number])
        if known and not set(known) & set(keys.numbers):
            keys.key(max(known))
        for number in keys.numbers:
            if store.connection.remember_key(cursor, number, keys.fingerprint(number)):
                made.append(f"fingerprint of key {number}")
        connection.commit()
    return made


def check_accounts(office: Office) -> None:
    """Check that both accounts can log in as the option file says: an account that existed may have another password."""
    for group in GROUPS.values():
        try:
            office.connect(group).close()
        except errors.NotReachable as error:
            raise errors.NotReachable(
                _(
                    "The account {user!r} exists, but cannot connect with the settings in [{group}] of {config} ({cause}). Set "
                    "its password in the mysql shell with ALTER USER, or correct the option file."
                ),
                user=office.settings(group)["user"],
                group=group,
                config=office.config_path,
                cause=error.cause,
            ) from error


# --- Helpers ----------------------------------------------------------------------------------------------


def run_script(cursor: Cursor, script: str) -> None:
    """Run a file of statements; the first one that fails raises."""
    cursor.execute(without_delimiters(script))
    while cursor.nextset():
        pass


def without_delimiters(script: str) -> str:
    """A script as the server reads it: only the mysql shell knows DELIMITER; the server itself finds a body's end.

    >>> without_delimiters("DELIMITER //\\nCREATE PROCEDURE p()\\nBEGIN\\n    DO 1;\\nEND//\\nDELIMITER ;\\nDO 2;\\n")
    'CREATE PROCEDURE p()\\nBEGIN\\n    DO 1;\\nEND;\\nDO 2;\\n'
    """
    lines: list[str] = []
    delimiter = ";"
    for line in script.splitlines(keepends=True):
        if line.startswith("DELIMITER "):
            delimiter = line.split()[1]
        elif delimiter != ";" and line.rstrip().endswith(delimiter):
            lines.append(line.rstrip().removesuffix(delimiter) + ";\n")
        else:
            lines.append(line)
    return "".join(lines)


def _migrate(cursor: Cursor, path: Path) -> None:
    """Run one migration, which must record its own version."""
    try:
        run_script(cursor, path.read_text(encoding="utf-8"))
    except pymysql.MySQLError as error:
        raise errors.Refused(
            _(
                "{path} failed ({cause}). Its changes so far stay, because MariaDB cannot roll back a change of a table. "
                "Restore the backup, or correct the cause and run the rest of the file by hand."
            ),
            path=path,
            cause=error.args[-1],
        ) from error
    if store.connection.schema_version(cursor) != number_of(path):
        raise errors.Refused(_("{path} does not record its version in schema_version."), path=path)


def migrations_after(version: int) -> list[Path]:
    """The files of the migrations that lead to later versions, in their order."""
    paths = sorted((share.folder("sql") / "migrations").glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [path for path in paths if number_of(path) > version]


def number_of(path: Path) -> int:
    """The version that a migration leads to.

    >>> number_of(Path("sql/migrations/0012_partner_email.sql"))
    12
    """
    return int(path.name[:4])


def database_name(office: Office) -> str:
    """The name of the one database that all accounts use."""
    groups = [group for group in (*GROUPS.values(), *DAEMONS.values(), ENFORCE) if office.settings(group)]
    names = {office.settings(group).get("database", "prepaid") for group in groups} or {"prepaid"}
    if len(names) > 1:
        raise errors.WrongUsage(
            _(
                "The groups [prepaid-admin] and [prepaid-radius] of {config} name two databases, {names}, but must share one."
            ),
            config=office.config_path,
            names=", ".join(sorted(names)),
        )
    return names.pop()


def hosts_of(settings: dict[str, str]) -> list[str]:
    """The hosts from which an account may connect: this machine, or any if the server is another machine.

    >>> hosts_of({"unix_socket": "/run/mysqld/mysqld.sock"}), hosts_of({"host": "127.0.0.1"})
    (['localhost'], ['localhost', '127.0.0.1'])
    >>> hosts_of({"host": "db.example.net"}), hosts_of({"hosts": "127.0.0.1:3306, 127.0.0.1:3307"})
    (['%'], ['localhost', '127.0.0.1'])
    """
    if settings.get("hosts"):
        sources = {source for host, _port in nodes_of(settings["hosts"]) for source in hosts_of({"host": host})}
        return ["%"] if "%" in sources else sorted(sources, reverse=True)
    host = settings.get("host")
    if settings.get("unix_socket") or settings.get("socket") or host in (None, "localhost"):
        return ["localhost"]
    return ["localhost", host] if host in ("127.0.0.1", "::1") else ["%"]
