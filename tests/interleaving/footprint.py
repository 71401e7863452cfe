"""Which tables a statement reads, locks, writes and makes visible, so that orders that cannot differ are tried once.

All connections use READ COMMITTED.  So two statements may be exchanged unless

    one makes visible (a COMMIT, or a write outside a transaction) what the other reads, or
    both lock the same table, and not both for sharing, or
    one ends a transaction that has locked what the other locks, or
    both make the same table visible: on two nodes of a cluster, the second commit may be refused.

A read does not notice what an open transaction has written.  The answer is on the safe side: a table counts as one row,
every table that a statement names counts as read, and every table of an UPDATE as written.
"""

import re
from typing import NamedTuple

# Acts only read these tables, so reading them needs no step.
CONSTANT = {
    "product",
    "product_reply",
    "partner",
    "nas",
    "schema_version",
    "card_transition",
    "operator_role",
    "serial_counter",
    "accounting_queue",
}
VIEWS = {
    "card_overview": {"card", "session"},
    "card_balance": {"card", "session"},
    "session_overview": {"session", "session_archive"},
}
# The tables that a table's triggers write, and those that they read.
TRIGGERS = {
    "card": {"card_event"},
    "card_block": {"card", "card_event"},
    "card_entry": {"card", "card_event"},
    "voice_credit": {"card", "card_event"},
}
TRIGGERS_READ = {"card": {"card_block"}, "session": {"session_archive"}, "voice_credit": {"card"}}

_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_WORD = re.compile(r"[a-z_]+")
_TARGET = re.compile(r"(?:INTO|FROM)\s+`?([a-z_]+)")


class Footprint(NamedTuple):
    """The tables that a statement touches."""

    reads: frozenset = frozenset()
    locks: frozenset = frozenset()  # for sharing, until the transaction ends
    writes: frozenset = frozenset()  # or locks for a change, until the transaction ends
    shows: frozenset = frozenset()  # what others read afterwards
    frees_locks: frozenset = frozenset()
    frees_writes: frozenset = frozenset()

    def __bool__(self) -> bool:
        return any(self)

    def conflicts(self, other: "Footprint") -> bool:
        return "*" in self.writes | other.writes or self._hinders(other) or other._hinders(self)

    def overlaps(self, other: "Footprint") -> bool:
        """Whether one writes, now or in its transaction, a table that the other touches, too."""
        written = self.writes | self.shows | self.frees_writes
        others = other.writes | other.shows | other.frees_writes
        touched, others_touched = (
            self.reads | self.locks | self.frees_locks,
            other.reads | other.locks | other.frees_locks,
        )
        return "*" in written | others or bool(written & (others | others_touched) or others & touched)

    def _hinders(self, other: "Footprint") -> bool:
        return bool(
            self.shows & (other.reads | other.shows)
            or self.writes & (other.writes | other.locks | other.frees_writes | other.frees_locks)
            or self.locks & other.frees_writes
        )


class Footprints:
    """Knows the tables and their foreign keys, and each connection's transaction and prepared statements."""

    def __init__(self, tables: set[str], parents: dict[str, set[str]]):
        self._tables = tables - CONSTANT
        # An INSERT locks the rows that its foreign keys point to; a DELETE, those that point to its row.
        self._parents = parents
        self._children: dict[str, set[str]] = {}
        for child, its_parents in parents.items():
            for parent in its_parents:
                self._children.setdefault(parent, set()).add(child)

    @classmethod
    def of_database(cls, cursor) -> "Footprints":
        cursor.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        )
        tables = {name for (name,) in cursor.fetchall()}
        cursor.execute(
            "SELECT table_name, referenced_table_name FROM information_schema.referential_constraints"
            " WHERE constraint_schema = DATABASE()"
        )
        parents: dict[str, set[str]] = {}
        for child, parent in cursor.fetchall():
            parents.setdefault(child, set()).add(parent)
        return cls(tables, parents)

    def of(self, connection, statement: str) -> Footprint:
        """The footprint of this statement, if it is sent on this connection now."""
        verb, _, rest = statement.strip().partition(" ")
        verb = verb.strip().upper()
        state = _state(connection)
        if verb == "PREPARE":
            remember_prepared(connection, statement)
            return Footprint()
        if verb in ("SET", "SHOW", "DEALLOCATE", "USE") and not rest.lstrip().upper().startswith("STATEMENT"):
            return Footprint()
        if verb in ("BEGIN", "START"):
            state.held, state.is_open = Footprint(), True
            state.is_snapshot = "SNAPSHOT" in rest
            return Footprint(reads=frozenset(self._tables)) if state.is_snapshot else Footprint()
        if verb in ("COMMIT", "ROLLBACK"):
            shown = state.held.shows if verb == "COMMIT" else frozenset()
            return Footprint(shows=shown, frees_locks=state.held.locks, frees_writes=state.held.writes)
        text = state.prepared.get(rest.split()[0], "") if verb == "EXECUTE" else statement
        footprint = self._of_text(state, text)
        return footprint if state.is_open else footprint._replace(shows=footprint.writes)

    def sent(self, connection, statement: str, footprint: Footprint) -> Footprint:
        """Keep the locks of a statement that was executed until its transaction ends.  Returns its true footprint: an UPDATE
        that has changed nothing shows nothing."""
        state = _state(connection)
        if statement.strip().upper().startswith(("COMMIT", "ROLLBACK")):
            state.held, state.is_open, state.is_snapshot = Footprint(), False, False
            return footprint
        changes = footprint.writes
        if _has_changed_nothing(connection):
            footprint, changes = footprint._replace(shows=frozenset()), frozenset()
        if state.is_open:
            held = state.held
            state.held = Footprint(
                locks=held.locks | footprint.locks, writes=held.writes | footprint.writes, shows=held.shows | changes
            )
        return footprint

    def _of_text(self, state: "_State", text: str) -> Footprint:
        plain = _TEXT.sub("''", text)
        words = set(_WORD.findall(plain))
        named = {table for table in self._tables if table in words}
        for view, tables in VIEWS.items():
            if view in words:
                named |= tables
        verb = plain.strip().partition(" ")[0].strip().upper()
        if verb in ("SELECT", "WITH", "SET"):
            if "FOR UPDATE" in plain:
                return Footprint(writes=frozenset(named))
            if "LOCK IN SHARE MODE" in plain:
                return Footprint(locks=frozenset(named))
            return Footprint() if state.is_snapshot else Footprint(reads=frozenset(named))
        if verb in ("INSERT", "REPLACE", "DELETE"):
            target = _TARGET.search(plain)
            written = {target[1]} & self._tables if target else named
        else:
            written = set(named)
        for table in list(written):
            written |= TRIGGERS.get(table, set())
        locks = named - written if "LOCK IN SHARE MODE" in plain else set()
        if verb in ("INSERT", "REPLACE") or written - named:
            locks = locks | {parent for table in written for parent in self._parents.get(table, ())}
        if verb in ("DELETE", "REPLACE"):
            locks = locks | {child for table in written for child in self._children.get(table, ())}
        reads = (named - written).union(*(TRIGGERS_READ.get(table, ()) for table in written))
        return Footprint(frozenset(reads), frozenset((locks & self._tables) - written), frozenset(written))


def _has_changed_nothing(connection) -> bool:
    """The driver counts matched rows; the server's message tells how many were changed."""
    message = getattr(connection._result, "message", None) or b""
    if isinstance(message, bytes | bytearray):
        message = message.decode()
    return " Changed: 0 " in message


def remember_prepared(connection, statement: str) -> None:
    """Remember the text of PREPARE name FROM 'text', for the footprint of EXECUTE name."""
    name, _, text = statement.strip()[len("PREPARE") :].partition(" FROM ")
    _state(connection).prepared[name.strip()] = text.replace("\\'", "'").replace("\\n", "\n").strip("'")


def _state(connection) -> "_State":
    return connection.__dict__.setdefault("_footprint_state", _State())


class _State:
    """The state of one connection."""

    def __init__(self):
        self.prepared: dict[str, str] = {}
        self.held = Footprint()
        self.is_open = False
        self.is_snapshot = False
