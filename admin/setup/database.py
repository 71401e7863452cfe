"""The database with its accounts, and the key file."""

from functools import partial
from pathlib import Path

from .. import db, store
from ..shell import errors
from ..shell.text import _
from ..store.rows import Connection
from . import saved
from .machine import Machine
from .option_files import ACCOUNTS
from .saved import Saved
from .steps import Step

# What an account that logs in by a password has.
PASSWORD_PLUGINS = ("", "mysql_native_password")


class Database(Step):
    """The database, its tables, and the accounts of the option files."""

    def __init__(self, machine: Machine):
        super().__init__(
            _("Make the database {database} with its tables and accounts").format(database=machine.answers.database)
        )
        self.machine = machine

    def is_done(self) -> bool:
        if not self.machine.config.exists():
            return False
        try:
            for group in _groups(self.machine):
                self.machine.office.connect(group).close()
            self.machine.office.connection  # noqa: B018  connects, and checks the schema's version
        except (errors.NotReachable, errors.NoSchema):
            return False
        return True

    def do(self) -> None:
        office = self.machine.office
        name = db.database_name(office)
        with self.machine.owner_connection() as connection, connection.cursor() as cursor:
            before = store.setup.accounts(cursor)
            definition = store.setup.definition(cursor, name)
            if not store.setup.tables(cursor, name):
                self.undo_by(partial(self._drop_database, name, definition))
            self.undo_by(partial(self._drop_accounts, before))
            db.make_schema(office, connection, db.owner_of(office, self.machine.answers.admin_user, None))
            db.make_accounts(office, connection)
            self._set_passwords(connection, before)
        for group in _groups(self.machine):
            office.connect(group).close()

    def _set_passwords(self, connection: Connection, before: dict[tuple[str, str], tuple[str, str]]) -> None:
        """Accounts that existed have the password of an option file that is gone; they get that of the new one."""
        for group in _groups(self.machine):
            settings = self.machine.office.settings(group)
            wanted = store.schema.password_hash(settings.get("password", ""))
            for host in db.hosts_of(settings):
                user = settings["user"]
                plugin, found = before.get((user, host), ("", wanted))
                if found == wanted or not settings.get("password") or plugin not in PASSWORD_PLUGINS:
                    continue
                self.undo_by(partial(self._set_password, user, host, found))
                with connection.cursor() as cursor:
                    store.setup.set_password_hash(cursor, user, host, wanted)

    def _set_password(self, user: str, host: str, password_hash: str) -> None:
        with self.machine.owner_connection() as connection, connection.cursor() as cursor:
            store.setup.set_password_hash(cursor, user, host, password_hash)

    def _drop_accounts(self, before: dict[tuple[str, str], tuple[str, str]]) -> None:
        """Drop the accounts and roles of this database that this run made."""
        own = {self.machine.office.settings(group).get("user") for group in _groups(self.machine)}
        roles = f"{db.database_name(self.machine.office)}:"
        with self.machine.owner_connection() as connection, connection.cursor() as cursor:
            for user, host in store.setup.accounts(cursor).keys() - before.keys():
                if user in own or (not host and user.startswith(roles)):
                    store.setup.drop_account(cursor, user, host)

    def _drop_database(self, name: str, definition: str | None) -> None:
        """Drop the database that this run made; one that was there empty is made again.  Sold cards are never dropped."""
        # An open transaction of ours would block the statement.
        self.machine.office.close()
        with self.machine.owner_connection() as connection, connection.cursor() as cursor:
            if store.setup.has_cards(cursor, name):
                raise errors.Refused(_("The database {database} has cards, so it stays."), database=name)
            store.setup.drop_database(cursor, name)
            if definition:
                store.setup.run_definition(cursor, definition)


class Key(Step):
    """The key file that seals PINs and NAS secrets, for root and FreeRADIUS only."""

    def __init__(self, machine: Machine):
        self.machine = machine
        super().__init__(
            _("Make the key file {path} (mode 0640), without which no card can log in").format(path=machine.key_file)
        )

    def is_done(self) -> bool:
        if not self.machine.config.exists() or not self.machine.key_file.exists():
            return False
        try:
            keys = self.machine.office.keyring
            with self.machine.office.reading() as cursor:
                known = store.connection.key_fingerprints(cursor)
        except (errors.NotReachable, errors.NoSchema):
            return False
        return set(keys.numbers) <= set(known)

    def do(self) -> None:
        office, path = self.machine.office, Path(self.machine.office.key_file)
        with office.reading() as cursor:
            known = store.connection.key_fingerprints(cursor)
        self.undo_by(Saved(path).restore)
        self.undo_by(partial(self._forget, known))
        with self.machine.owner_connection() as connection, connection.cursor() as cursor:
            store.schema.use(cursor, db.database_name(office))
            db.make_key(office, connection)
        saved.give(path, self.machine.key_owner, 0o640)

    def _forget(self, known: dict[int, str]) -> None:
        """Remove the fingerprints that this run recorded; the keys that sealed something stay, with their file."""
        with self.machine.owner_connection() as connection, connection.cursor() as cursor:
            store.schema.use(cursor, db.database_name(self.machine.office))
            used = store.key.sealed_by_key(cursor)
            for number in store.connection.key_fingerprints(cursor).keys() - known.keys():
                if number in used:
                    self._undoings.clear()
                    raise errors.Refused(
                        _("Key {number} has sealed PINs or secrets, so {path} stays."),
                        number=number,
                        path=self.machine.key_file,
                    )
                store.setup.forget_key(cursor, number)
            connection.commit()


def steps(machine: Machine) -> list[Step]:
    return [Database(machine), Key(machine)]


def _groups(machine: Machine) -> list[str]:
    """The groups of the option file with an account; one that was made by hand may lack the daemons' own."""
    required = list(db.GROUPS.values())
    return [each.group for each in ACCOUNTS if each.group in required or machine.office.settings(each.group)]
