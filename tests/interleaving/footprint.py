"""Which tables a statement reads and writes, so that orders that cannot differ are tried once.

Two statements may be exchanged if neither writes what the other reads or writes.  The answer is on the safe side: every
table that a statement names counts as read, and every table of an UPDATE as written.
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
# The tables that a table's triggers write.
TRIGGERS = {"card": {"card_event"}, "card_entry": {"card", "card_event"}, "card_block": {"card", "card_event"}}

_TEXT = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_WORD = re.compile(r"[a-z_]+")
_TARGET = re.compile(r"(?:INTO|FROM)\s+`?([a-z_]+)")


class Footprint(NamedTuple):
    """The tables that a statement reads, reads with a lock that lasts until the commit, and writes."""

    reads: frozenset = frozenset()
    locks: frozenset = frozenset()
    writes: frozenset = frozenset()

    def __bool__(self) -> bool:
        return bool(self.reads or self.locks or self.writes)

    def conflicts(self, other: "Footprint") -> bool:
        return bool(
            self.writes & (other.reads | other.locks | other.writes) or other.writes & (self.reads | self.locks)
        )


class Footprints:
    """Knows the tables and their foreign keys, and each connection's transaction and prepared statements."""

    def __init__(self, tables: set[str], parents: dict[str, set[str]]):
        self._tables = tables - CONSTANT
        # An INSERT locks the rows that its foreign keys point to.
        self._parents = parents

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
            return Footprint(locks=state.held.locks, writes=state.held.writes)
        if verb == "EXECUTE":
            return self._of_text(state, state.prepared.get(rest.split()[0], ""))
        return self._of_text(state, statement)

    def sent(self, connection, statement: str, footprint: Footprint) -> None:
        """Keep the locks of a statement that was executed until its transaction ends."""
        state = _state(connection)
        if statement.strip().upper().startswith(("COMMIT", "ROLLBACK")):
            state.held, state.is_open, state.is_snapshot = Footprint(), False, False
        elif state.is_open:
            state.held = Footprint(
                locks=state.held.locks | footprint.locks, writes=state.held.writes | footprint.writes
            )

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
        locks = set()
        if verb in ("INSERT", "REPLACE") or written - named:
            locks = {parent for table in written for parent in self._parents.get(table, ())} & self._tables
        return Footprint(frozenset(named - written), frozenset(locks - written), frozenset(written))


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
