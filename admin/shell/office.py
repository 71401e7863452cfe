"""What a command works with: the option file, the connection to the database, transactions, the keys.

The option file is a MySQL option file, which may include others.  [prepaid-admin] says how commands connect,
[prepaid-radius] how the FreeRADIUS module does, [prepaid-enforce], [prepaid-charge] and [prepaid-archive] how the
daemons do.  [prepaid] has the other settings:

    [prepaid-admin]
    user = prepaid_admin
    password = …
    unix_socket = /run/mysqld/mysqld.sock     (or host and port; or hosts, the nodes of a cluster)
    database = prepaid

    [prepaid]
    key_file = /etc/prepaid-cards/key
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import pymysql

from freeradius_module import SCHEMA_VERSION, option_file
from freeradius_module.rules import hours
from freeradius_module.rules.login import card_tries
from freeradius_module.rules.units import DEFAULT_CURRENCY
from freeradius_module.sealing import keyring
from freeradius_module.settings import DEFAULT_PATH, Settings, SettingsError, hosts_of

from .. import store
from ..store.rows import Connection, Cursor, StreamCursor, TupleCursor
from . import errors
from .text import _, translated

CONNECT_TIMEOUT_SECONDS = 5
# No statement takes minutes: work on a million cards is many statements.
ANSWER_TIMEOUT_SECONDS = 600


ADMIN_GROUP = "prepaid-admin"
# A change of many cards loses against a login of any of them on another node, so several tries are usual.
TRIES = 8

# What a change returns.
Outcome = TypeVar("Outcome")


class Office:
    """What a command works with.  Files and connections are opened when they are first needed, so help needs none."""

    def __init__(self, config_path: str = DEFAULT_PATH):
        self.config_path = config_path
        # The group of the option file that has the account of the database.
        self.group = ADMIN_GROUP
        # With --dry-run, transactions are rolled back: the database checks everything and changes nothing.
        self.dry_run = False

    def work_as(self, group: str) -> None:
        """From now on, use the account of this group, if the option file has the group: a daemon's own account."""
        if group in self.options.groups:
            self.group = group

    def work_without_admin_as(self, group: str) -> None:
        """Where [prepaid-admin] may not be read, use the account of this group: for checks that a unit runs."""
        if ADMIN_GROUP not in self.options.groups:
            self.work_as(group)

    def change(self, act: Callable[[Cursor], Outcome], reason: str | None = None) -> Outcome:
        """Do *act* in a transaction and return what it returns; see `until_accepted` for a refused commit.

        *act* reads all that it decides on with the cursor that it gets, and compares it with what an operator has
        confirmed.  It asks nobody and prints no result, because it may run several times.
        """

        def attempt() -> Outcome:
            with self.transaction(reason) as cursor:
                return act(cursor)

        return until_accepted(attempt)

    @contextlib.contextmanager
    def transaction(self, reason: str | None = None, note: int | None = None) -> Iterator[Cursor]:
        """A transaction, committed at the end of the block and rolled back after any exception, or with `dry_run`.

        What changes something is a `change`, which is repeated if the database refuses it.

        The triggers write *reason* and the number of the *note* into the history of each change.
        """
        with self._cursor() as cursor:
            cursor.execute("START TRANSACTION")
            store.connection.set_reason(cursor, reason, note)
            try:
                yield cursor
                if self.dry_run:
                    self._roll_back()
                else:
                    self.connection.commit()
            except BaseException:
                self._roll_back()
                raise
            finally:
                if self.connection.open:
                    store.connection.set_reason(cursor, None, None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Cursor]:
        """A read-only transaction whose statements all see the state of one moment."""
        with self._cursor() as cursor:
            store.connection.begin_snapshot(cursor)
            try:
                yield cursor
            finally:
                self._roll_back()

    @contextlib.contextmanager
    def streaming(self) -> Iterator[StreamCursor]:
        """Like `reading`, for any number of rows: they are fetched one by one."""
        with self._cursor() as cursor:
            store.connection.begin_snapshot(cursor)
            try:
                with self.stream() as stream:
                    yield stream
            finally:
                self._roll_back()

    @contextlib.contextmanager
    def stream(self) -> Iterator[StreamCursor]:
        """A cursor that fetches its rows one by one, within the open transaction.

        The connection can run no other statement until the block ends.
        """
        stream = self.connection.cursor(StreamCursor)
        try:
            yield stream
        finally:
            # Closing reads the remaining rows; it fails if the connection is lost, and then no rows remain.
            with contextlib.suppress(pymysql.MySQLError):
                stream.close()

    @contextlib.contextmanager
    def tuples(self) -> Iterator[TupleCursor]:
        """A cursor whose rows are tuples, within the open transaction."""
        with self.connection.cursor(TupleCursor) as cursor:
            yield cursor

    @cached_property
    def connection(self) -> Connection:
        """The connection with the account of `group`, after a check of the schema's version."""
        connection = self.connect()
        with connection.cursor() as cursor:
            check_version(store.connection.schema_version(cursor))
        return connection

    @cached_property
    def keyring(self) -> keyring.Keyring:
        """The keys that seal PINs, after a check that they belong to this database."""
        keys = keyring.load(self.key_file)
        # No transaction is begun here: that would end the one that the command may have open.
        with self._cursor() as cursor:
            known = store.connection.key_fingerprints(cursor)
        for number in keys.numbers:
            if number in known:
                keys.confirm(number, known[number])
        if known and not set(known) & set(keys.numbers):
            keys.key(max(known))
        return keys

    def hold_key(self, cursor: Cursor) -> None:
        """Prevent that the sealing key is retired before the transaction ends, in which something is sealed with it."""
        if not store.connection.hold_key(cursor, self.keyring.sealing_number):
            raise errors.Refused(
                _("Key {number} was retired while this command began. Nothing was changed; run it again."),
                number=self.keyring.sealing_number,
            )

    @property
    def key_file(self) -> str:
        path = self.settings("prepaid").get("key_file")
        if not path:
            raise errors.WrongUsage(
                _("The group [prepaid] of {config} has no key_file, so no PIN can be sealed. Add the setting."),
                config=self.config_path,
            )
        return path

    @property
    def currency(self) -> str:
        return self.settings("prepaid").get("currency", DEFAULT_CURRENCY)

    @property
    def timezone(self) -> str | None:
        """The office's time zone, a name that exists; None if the option file has no such setting."""
        name = self.settings("prepaid").get("timezone")
        try:
            if name is not None:
                hours.zone(name)
        except ValueError as error:
            raise errors.WrongUsage(
                _("The setting timezone in {config} is wrong: {cause}"),
                config=self.config_path,
                cause=translated(error),
            ) from None
        return name

    @property
    def provider(self) -> str | None:
        """The provider's name, for cards."""
        return self.settings("prepaid").get("provider") or None

    @property
    def helpline(self) -> str | None:
        """The provider's telephone number or address for customers, for cards."""
        return self.settings("prepaid").get("helpline") or None

    @property
    def card_tries(self) -> int:
        """So many wrong PINs of one card are counted in 15 minutes, from whatever source."""
        return card_tries(self.number("wrong_pin_tries", Settings().wrong_pin_tries, least=1))

    def number(self, name: str, default: int, least: int = 0) -> int:
        """A whole number of the group [prepaid]."""
        try:
            return self.options.number("prepaid", name, default, least)
        except option_file.OptionFileError as error:
            raise errors.WrongUsage(translated(error)) from None

    def settings(self, group: str) -> dict[str, str]:
        """One group of the option file; empty if the file has no such group."""
        return self.options.group(group)

    def connect(self, group: str | None = None, **changes: Any) -> Connection:
        """A new connection with the settings of this group; *changes* (of pymysql.connect) override them."""
        group = group or self.group
        settings = self.settings(group)
        if not settings and not changes:
            self.raise_no_group(group)
        arguments = self._arguments(group, changes)
        nodes = self.nodes(group)
        for node in nodes[:-1]:
            with contextlib.suppress(errors.NotReachable):
                return self._connect_to_node(group, arguments | node)
        return self._connect_to_node(group, arguments | nodes[-1]) if nodes else self._connect(group, arguments)

    def raise_no_group(self, group: str) -> NoReturn:
        """Raise WrongUsage: the option file has no such group, or the group may be in a file that cannot be read."""
        if self.options.unread:
            raise errors.WrongUsage(
                _(
                    "{config} has no group [{group}] that you can read; it includes {files}, which cannot be read. "
                    "Name an option file of your own with --config FILE or $PREPAID_CONFIG."
                ),
                config=self.config_path,
                group=group,
                files=", ".join(self.options.unread),
            )
        raise errors.WrongUsage(
            _("{config} has no group [{group}]. Add it, with user, password, unix_socket or host, and database."),
            config=self.config_path,
            group=group,
        )

    def connect_to_each(self, group: str, **changes: Any) -> Iterator[Connection]:
        """A connection to each node that this group names and that can be reached, one after the other."""
        arguments = self._arguments(group, changes) | {"unix_socket": None}
        for node in self.nodes(group):
            with contextlib.suppress(errors.NotReachable):
                with contextlib.closing(self._connect_to_node(group, arguments | node)) as connection:
                    yield connection

    def _arguments(self, group: str, changes: dict[str, Any]) -> dict[str, Any]:
        settings = self.settings(group)
        try:
            port = self.options.port(group)
        except option_file.OptionFileError as error:
            raise errors.WrongUsage(translated(error)) from None
        return {
            "user": settings.get("user"),
            "password": settings.get("password", ""),
            "database": settings.get("database", "prepaid"),
            "unix_socket": settings.get("unix_socket") or settings.get("socket"),
            "host": settings.get("host"),
            "port": port,
        } | changes

    def nodes(self, group: str) -> list[dict[str, Any]]:
        """The nodes of a cluster that this group names, in the order in which they are tried."""
        try:
            return [{"host": host, "port": port} for host, port in hosts_of(self.settings(group).get("hosts", ""))]
        except SettingsError as error:
            raise errors.WrongUsage(translated(error)) from error

    def _connect_to_node(self, group: str, arguments: dict[str, Any]) -> Connection:
        """A connection to a node in the primary component of the cluster; other nodes accept connections, too."""
        connection = self._connect(group, arguments)
        with connection.cursor() as cursor:
            if store.connection.is_node_ready(cursor):
                return connection
        connection.close()
        raise errors.NotReachable(
            cause=_("node {host} is not in the cluster").format(host=arguments["host"]),
            group=group,
            config=self.config_path,
        )

    def _connect(self, group: str, arguments: dict[str, Any]) -> Connection:
        try:
            connection = pymysql.connect(
                **arguments,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=ANSWER_TIMEOUT_SECONDS,
                write_timeout=ANSWER_TIMEOUT_SECONDS,
                cursorclass=Cursor,
            )
            with connection.cursor() as cursor:
                store.connection.set_up_connection(cursor)
        except pymysql.MySQLError as error:
            raise errors.of_database(error, self.config_path, group) from error
        except OSError as error:
            raise errors.NotReachable(cause=error.strerror or error, group=group, config=self.config_path) from error
        return connection

    def close(self) -> None:
        connection = self.__dict__.pop("connection", None)
        if connection is not None and connection.open:
            connection.close()

    @cached_property
    def options(self) -> option_file.OptionFile:
        """The option file, with what it includes."""
        try:
            return option_file.read(self.config_path)
        except FileNotFoundError:
            raise errors.WrongUsage(
                _("The option file {config} does not exist. Name yours with --config FILE or $PREPAID_CONFIG."),
                config=self.config_path,
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise errors.WrongUsage(
                _("The option file {config} cannot be read: {cause}."),
                config=self.config_path,
                cause=getattr(error, "strerror", None) or error,
            ) from None
        except option_file.OptionFileError as error:
            raise errors.WrongUsage(translated(error)) from None

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with self.connection.cursor() as cursor:
            yield cursor

    def _roll_back(self) -> None:
        # The server rolls back when a connection is lost; the error that is shown is the one that lost it.
        with contextlib.suppress(pymysql.MySQLError):
            self.connection.rollback()


def until_accepted(transaction: Callable[[], Outcome]) -> Outcome:
    """Run a whole transaction, from its first statement to its commit; again if the database refused it for another one.

    A node of a cluster learns at the commit that another node has changed the same rows, and a single server ends a
    deadlock in the same way.  Then everything was rolled back, so a repetition does nothing twice.  A commit whose outcome
    is unknown, because the connection was lost, is not repeated.
    """
    for tries in range(1, TRIES + 1):
        try:
            return transaction()
        except pymysql.MySQLError as error:
            if not errors.has_lost_race(error):
                raise
            if tries == TRIES:
                raise errors.LostRaces(tries=tries) from error
    raise AssertionError("the last try returns or raises")


def check_version(found: int) -> None:
    """Refuse a database whose schema has another version than this program needs."""
    if found == SCHEMA_VERSION:
        return
    raise errors.OtherSchema(
        found=found,
        expected=SCHEMA_VERSION,
        remedy=_("Run 'prepaid db upgrade'.") if found < SCHEMA_VERSION else _("Install the newer program."),
    )
