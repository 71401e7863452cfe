"""The office: its option file, its connection, its transactions.

The option file is a MySQL option file, which may include others.  [prepaid-admin] is our connection, [prepaid-radius] the
module's, [prepaid-enforce], [prepaid-charge] and [prepaid-archive] those of the daemons, [prepaid] the rest:

    [prepaid-admin]
    user = prepaid_admin
    password = …
    unix_socket = /run/mysqld/mysqld.sock     (or host and port; or hosts, the nodes of a cluster)
    database = prepaid

    [prepaid]
    key_file = /etc/prepaid-cards/key
"""

import contextlib
from functools import cached_property
from typing import NoReturn

import pymysql
import pymysql.cursors

from freeradius_module import SCHEMA_VERSION, option_file
from freeradius_module.rules.login import card_tries
from freeradius_module.rules.units import DEFAULT_CURRENCY
from freeradius_module.sealing import keyring
from freeradius_module.settings import DEFAULT_PATH, Settings, SettingsError, hosts_of

from .. import store
from . import errors
from .text import _, told

CONNECT_TIMEOUT_SECONDS = 5
# Long work (a million cards) is one statement after the other, none of which takes minutes.
ANSWER_TIMEOUT_SECONDS = 600


ADMIN_GROUP = "prepaid-admin"


class Office:
    """What a command works with.  Nothing is opened before it is needed, so that help needs nothing."""

    def __init__(self, config_path: str = DEFAULT_PATH):
        self.config_path = config_path
        # The group of the option file that says who we are to the database.
        self.group = ADMIN_GROUP

    def work_as(self, group: str) -> None:
        """Work with a daemon's own account from now on, if the option file has one."""
        if group in self.options.groups:
            self.group = group

    @contextlib.contextmanager
    def transaction(self, reason: str | None = None, note: int | None = None):
        """One business act: all of it or nothing.  The history takes the reason and the note from here."""
        with self._cursor() as cursor:
            cursor.execute("START TRANSACTION")
            store.connection.say_why(cursor, reason, note)
            try:
                yield cursor
                self.connection.commit()
            except BaseException:
                self._roll_back()
                raise
            finally:
                if self.connection.open:
                    store.connection.say_why(cursor, None, None)

    @contextlib.contextmanager
    def reading(self):
        """Several reads that see one moment, whatever others change meanwhile."""
        with self._cursor() as cursor:
            store.connection.begin_snapshot(cursor)
            try:
                yield cursor
            finally:
                self._roll_back()

    @contextlib.contextmanager
    def streaming(self):
        """Like `reading`, for any number of rows: they are fetched one by one and never held together."""
        with self._cursor() as cursor:
            store.connection.begin_snapshot(cursor)
            try:
                with self.stream() as stream:
                    yield stream
            finally:
                self._roll_back()

    @contextlib.contextmanager
    def stream(self, kind: type = pymysql.cursors.SSDictCursor):
        """A cursor for any number of rows, within the transaction that is open; no other may speak meanwhile."""
        stream = self.connection.cursor(kind)
        try:
            yield stream
        finally:
            # Closing fetches what was not read; a lost connection has nothing left to fetch.
            with contextlib.suppress(pymysql.MySQLError):
                stream.close()

    @cached_property
    def connection(self) -> pymysql.Connection:
        """The connection as `group` says, once it is certain that the schema is ours."""
        connection = self.connect()
        with connection.cursor() as cursor:
            _check_version(store.connection.schema_version(cursor))
        return connection

    @cached_property
    def keyring(self) -> keyring.Keyring:
        """The keys that seal PINs, once it is certain that they are this database's."""
        keys = keyring.load(self.key_file)
        # Without a transaction of its own: a command may ask within one.
        with self._cursor() as cursor:
            known = store.connection.key_fingerprints(cursor)
        for number in keys.numbers:
            if number in known:
                keys.confirm(number, known[number])
        if known and not set(known) & set(keys.numbers):
            keys.key(max(known))
        return keys

    def hold_key(self, cursor) -> None:
        """Within a transaction that seals: let nobody retire the key before it ends."""
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
                _("The group [prepaid] of {config} has no key_file, so no PIN can be sealed. Add one."),
                config=self.config_path,
            )
        return path

    @property
    def currency(self) -> str:
        return self.settings("prepaid").get("currency", DEFAULT_CURRENCY)

    @property
    def card_tries(self) -> int:
        """How many wrong PINs of a card count in a quarter of an hour."""
        return card_tries(self.number("wrong_pin_tries", Settings().wrong_pin_tries, least=1))

    def number(self, name: str, default: int, least: int = 0) -> int:
        """A whole number of the group [prepaid]."""
        try:
            return self.options.number("prepaid", name, default, least)
        except option_file.OptionFileError as error:
            raise errors.WrongUsage(told(error)) from None

    def settings(self, group: str) -> dict[str, str]:
        """One group of the option file; empty if it is not there."""
        return self.options.group(group)

    def connect(self, group: str | None = None, **changes) -> pymysql.Connection:
        """A connection as this group of the option file says; `changes` go over it."""
        group = group or self.group
        settings = self.settings(group)
        if not settings and not changes:
            self.refuse_lacking(group)
        arguments = self._arguments(group, changes)
        nodes = self.nodes(group)
        for node in nodes[:-1]:
            with contextlib.suppress(errors.NotReachable):
                return self._connect_to_node(group, arguments | node)
        return self._connect_to_node(group, arguments | nodes[-1]) if nodes else self._connect(group, arguments)

    def refuse_lacking(self, group: str) -> NoReturn:
        """Say that the option file has no such group, or that it may be in a file that cannot be read."""
        if self.options.unread:
            raise errors.WrongUsage(
                _(
                    "{config} has no group [{group}] that you may read; of the files that it includes, {files} cannot be read. "
                    "Name an option file of your own with --config FILE or $PREPAID_CONFIG."
                ),
                config=self.config_path,
                group=group,
                files=", ".join(self.options.unread),
            )
        raise errors.WrongUsage(
            _("{config} has no group [{group}]. It says user, password, unix_socket or host, and database."),
            config=self.config_path,
            group=group,
        )

    def connect_to_each(self, group: str, **changes):
        """One after the other, a connection to each node that this group names and that serves."""
        arguments = self._arguments(group, changes) | {"unix_socket": None}
        for node in self.nodes(group):
            with contextlib.suppress(errors.NotReachable):
                with contextlib.closing(self._connect_to_node(group, arguments | node)) as connection:
                    yield connection

    def _arguments(self, group: str, changes: dict) -> dict:
        settings = self.settings(group)
        try:
            port = self.options.port(group)
        except option_file.OptionFileError as error:
            raise errors.WrongUsage(told(error)) from None
        return {
            "user": settings.get("user"),
            "password": settings.get("password", ""),
            "database": settings.get("database", "prepaid"),
            "unix_socket": settings.get("unix_socket") or settings.get("socket"),
            "host": settings.get("host"),
            "port": port,
        } | changes

    def nodes(self, group: str) -> list[dict]:
        """The nodes of a cluster that this group names, in the order in which they are tried."""
        try:
            return [{"host": host, "port": port} for host, port in hosts_of(self.settings(group).get("hosts", ""))]
        except SettingsError as error:
            raise errors.WrongUsage(told(error)) from error

    def _connect_to_node(self, group: str, arguments: dict) -> pymysql.Connection:
        """To a node that is in the part of the cluster that may decide; others take connections, too."""
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

    def _connect(self, group: str, arguments: dict) -> pymysql.Connection:
        try:
            connection = pymysql.connect(
                **arguments,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=ANSWER_TIMEOUT_SECONDS,
                write_timeout=ANSWER_TIMEOUT_SECONDS,
                cursorclass=pymysql.cursors.DictCursor,
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
            raise errors.WrongUsage(told(error)) from None

    @contextlib.contextmanager
    def _cursor(self):
        with self.connection.cursor() as cursor:
            yield cursor

    def _roll_back(self) -> None:
        # A lost connection has rolled back already; what broke it is the error to show.
        with contextlib.suppress(pymysql.MySQLError):
            self.connection.rollback()


def _check_version(found: int) -> None:
    if found == SCHEMA_VERSION:
        return
    raise errors.OtherSchema(
        found=found,
        expected=SCHEMA_VERSION,
        remedy=_("Run 'prepaid db upgrade'.") if found < SCHEMA_VERSION else _("Install the newer program."),
    )
