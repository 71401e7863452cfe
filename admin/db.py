"""prepaid db init, upgrade, version: the schema, the two accounts, the key file.

Making tables and accounts needs more rights than the office has.  So init and upgrade connect as an owner: the
group [prepaid-owner] of the option file if there is one, or else the account of the database that is called like
the system account and proved by the socket (on Debian, root is root).
"""

import getpass
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
from pymysql.constants import CLIENT

from freeradius_module import SCHEMA_VERSION
from freeradius_module.sealing import keyring
from freeradius_module.settings import hosts_of as nodes_of

from . import store
from .shell import errors, output, share
from .shell.command import cli, json_option, option, pass_office
from .shell.text import _

GROUPS = {"radius": "prepaid-radius", "admin": "prepaid-admin"}


@cli.group()
def db():
    """The database: make it, bring it up to date, ask its version."""


def owner_options(command):
    """Whose connection makes tables and accounts."""
    for decorate in (
        option(
            "--root-user", metavar="USER", help="An account that may make tables and accounts.  [the system account]"
        ),
        option("--root-socket", metavar="PATH", help="The server's Unix socket.  [that of [prepaid-admin]]"),
    ):
        command = decorate(command)
    return command


@db.command()
@owner_options
@json_option
@pass_office
def init(office, root_user, root_socket, as_json):
    """Make the database, its two accounts and the key file; what is there already stays as it is.

    Run it as root, or with --root-user, or give the option file a group [prepaid-owner].

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
    output.print_result(
        {"made": made, "version": SCHEMA_VERSION},
        _("Made: {things}.").format(things=", ".join(made))
        if made
        else _("Nothing to do: database {database} has schema version {version}, its accounts and its key.").format(
            database=database_name(office), version=SCHEMA_VERSION
        ),
        as_json,
    )


@db.command()
@owner_options
@json_option
@pass_office
def upgrade(office, root_user, root_socket, as_json):
    """Bring the schema up to this program's version.  There is no way back: keep a backup.

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
                if store.connection.schema_version(cursor) != number_of(path):
                    raise errors.Refused(_("{path} does not note its version in schema_version."), path=path)
            after = store.connection.schema_version(cursor)
        if after == SCHEMA_VERSION:
            give_room(office, connection, owner_of(office, root_user, root_socket))
        make_accounts(office, connection)
    if after > SCHEMA_VERSION:
        raise errors.OtherSchema(found=after, expected=SCHEMA_VERSION, remedy=_("Install the newer program."))
    output.print_result(
        {"before": before, "after": after},
        _("Schema version {before} is now {after}.").format(before=before, after=after)
        if after != before
        else _("Nothing to do: the schema has version {version}.").format(version=after),
        as_json,
    )


@db.command()
@json_option
@pass_office
def version(office, as_json):
    """The version of the schema in the database, and the one that this program works with.

    \b
    Example:
        prepaid db version
    """
    with closing(office.connect()) as connection, connection.cursor() as cursor:
        output.print_record({"database": store.connection.schema_version(cursor), "program": SCHEMA_VERSION}, as_json)


# --- What init makes --------------------------------------------------------------------------------------


@contextmanager
def owner_connection(office, root_user: str | None = None, root_socket: str | None = None):
    """A connection that may make tables and accounts, one such at a time."""
    changes = owner_of(office, root_user, root_socket)
    try:
        connection = office.connect("prepaid-owner", **changes)
    except errors.NotReachable as error:
        raise errors.NotReachable(
            _(
                "The database cannot be reached as {user!r}, who would make tables and accounts ({cause}). Start it, run "
                "this as root, or say who may with --root-user or a group [prepaid-owner] in {config}."
            ),
            user=changes["user"],
            cause=error.cause,
            config=office.config_path,
        ) from error
    with closing(connection), connection.cursor() as cursor:
        if not store.schema.take_lock(cursor):
            raise errors.Busy()
        yield connection


def owner_of(office, root_user: str | None, root_socket: str | None) -> dict:
    """Where the owner's connections go, and as whom."""
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


def make_schema(office, connection, owner: dict) -> list[str]:
    """*owner*: of that connection, for those to the other nodes of a cluster."""
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
                        "Database {database} holds a schema that was begun and not finished, so nobody has used it. "
                        "Say 'DROP DATABASE {database}' in the mysql shell and run this again."
                    ),
                    database=database,
                )
            if found != SCHEMA_VERSION:
                raise errors.OtherSchema(
                    found=found,
                    expected=SCHEMA_VERSION,
                    remedy=_("Run 'prepaid db upgrade'.")
                    if found < SCHEMA_VERSION
                    else _("Install the newer program."),
                )
            # It may have come out of a dump, into new files.
            give_room(office, connection, owner)
            return made
        if tables:
            raise errors.Refused(
                _(
                    "Database {database} has other tables, {table} for one. Give prepaid cards a database of their own: "
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


def give_room(office, connection, owner: dict) -> None:
    """On each node of a cluster: what makes a file larger is rolled back, and that no other node sees."""
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
                "On {served} of {size} nodes only, small tables were given the room that keeps them whole on a full disk. Run "
                "this again when all nodes serve and the group [prepaid-owner] of {config} names them in 'hosts'."
            ).format(served=served, size=size, config=office.config_path)
        )


def make_accounts(office, connection) -> list[str]:
    """The accounts of the option file, with the rights of grants.sql, and the roles of roles.sql."""
    database = database_name(office)
    made = []
    grants = (share.folder("sql") / "grants.sql").read_text(encoding="utf-8")
    roles_script = (share.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    names = {role: store.schema.quoted(store.roles.in_database(database, role)) for role in store.roles.ROLES}
    with connection.cursor() as cursor:
        # Once for each host that an account comes from: nearly always once.
        sides = {role: hosts_of(office.settings(group)) for role, group in GROUPS.items()}
        for role, group in GROUPS.items():
            settings = office.settings(group)
            if not settings.get("user"):
                raise errors.WrongUsage(
                    _("{config} has no user in its group [{group}]."), config=office.config_path, group=group
                )
            for host in sides[role]:
                if store.schema.create_account(cursor, settings["user"], host, settings.get("password", "")):
                    made.append(f"account {settings['user']}@{host}")
        for turn in range(max(map(len, sides.values()))):
            accounts = {
                role: store.schema.account(connection, office.settings(group)["user"], hosts[min(turn, len(hosts) - 1)])
                for (role, group), hosts in zip(GROUPS.items(), sides.values(), strict=True)
            }
            accounts |= {
                f"{role}_name": connection.escape(office.settings(group)["user"]) for role, group in GROUPS.items()
            }
            run_script(cursor, store.schema.filled_grants(grants, database, accounts))
        run_script(cursor, store.schema.filled_grants(roles_script, database, names))
    return made


def make_key(office, connection) -> list[str]:
    """The key file, if this database has never had one, and its fingerprint in the table site."""
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


def check_accounts(office) -> None:
    """Both accounts can log in with the option file's passwords: an older account may have another one."""
    for group in GROUPS.values():
        try:
            office.connect(group).close()
        except errors.NotReachable as error:
            raise errors.NotReachable(
                _(
                    "The account {user!r} is there, but cannot connect as [{group}] of {config} says ({cause}). Set its "
                    "password in the mysql shell with ALTER USER, or correct the option file."
                ),
                user=office.settings(group)["user"],
                group=group,
                config=office.config_path,
                cause=error.cause,
            ) from error


# --- Small questions --------------------------------------------------------------------------------------


def run_script(cursor, script: str) -> None:
    """Run a file of statements; the first that fails raises."""
    cursor.execute(without_delimiters(script))
    while cursor.nextset():
        pass


def without_delimiters(script: str) -> str:
    """A script for the server alone: DELIMITER is a word of the mysql shell, and the server sees where a body ends.

    >>> without_delimiters("DELIMITER //\\nCREATE PROCEDURE p()\\nBEGIN\\n    DO 1;\\nEND//\\nDELIMITER ;\\nDO 2;\\n")
    'CREATE PROCEDURE p()\\nBEGIN\\n    DO 1;\\nEND;\\nDO 2;\\n'
    """
    lines, delimiter = [], ";"
    for line in script.splitlines(keepends=True):
        if line.startswith("DELIMITER "):
            delimiter = line.split()[1]
        elif delimiter != ";" and line.rstrip().endswith(delimiter):
            lines.append(line.rstrip().removesuffix(delimiter) + ";\n")
        else:
            lines.append(line)
    return "".join(lines)


def _migrate(cursor, path: Path) -> None:
    try:
        run_script(cursor, path.read_text(encoding="utf-8"))
    except pymysql.MySQLError as error:
        raise errors.Refused(
            _(
                "{path} failed ({cause}). What it did so far stays, because MariaDB does not take back a change of a "
                "table. Restore the backup, or correct the cause and run the rest of the file by hand."
            ),
            path=path,
            cause=error.args[-1],
        ) from error


def migrations_after(version: int) -> list[Path]:
    paths = sorted((share.folder("sql") / "migrations").glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [path for path in paths if number_of(path) > version]


def number_of(path: Path) -> int:
    """The version that a migration leads to.

    >>> number_of(Path("sql/migrations/0012_partner_email.sql"))
    12
    """
    return int(path.name[:4])


def database_name(office) -> str:
    """The one database that both accounts work in."""
    names = {office.settings(group).get("database", "prepaid") for group in GROUPS.values()}
    if len(names) > 1:
        raise errors.WrongUsage(
            _(
                "The groups [prepaid-admin] and [prepaid-radius] of {config} name two databases: {names}. They share one."
            ),
            config=office.config_path,
            names=", ".join(sorted(names)),
        )
    return names.pop()


def hosts_of(settings: dict[str, str]) -> list[str]:
    """Where an account may come from: this machine, unless the option file names another one's server.

    >>> hosts_of({"unix_socket": "/run/mysqld/mysqld.sock"}), hosts_of({"host": "127.0.0.1"})
    (['localhost'], ['localhost', '127.0.0.1'])
    >>> hosts_of({"host": "db.example.net"}), hosts_of({"hosts": "127.0.0.1:3306, 127.0.0.1:3307"})
    (['%'], ['localhost', '127.0.0.1'])
    """
    if settings.get("hosts"):
        sides = {side for host, _port in nodes_of(settings["hosts"]) for side in hosts_of({"host": host})}
        return ["%"] if "%" in sides else sorted(sides, reverse=True)
    host = settings.get("host")
    if settings.get("unix_socket") or settings.get("socket") or host in (None, "localhost"):
        return ["localhost"]
    return ["localhost", host] if host in ("127.0.0.1", "::1") else ["%"]
