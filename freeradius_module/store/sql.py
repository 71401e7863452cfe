"""What the other modules of this package share: the columns of a row, prepared statements, values as SQL text.

A row that is read often comes as one JSON array and not as thirty columns: the driver is written in Python and
converts each column of each row by itself, and the array in one call.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from pymysql.connections import Connection
from pymysql.cursors import Cursor

# Returns a value and where its text ends.  json.loads() would look for spaces around the text, too.
decode_json = json.JSONDecoder().raw_decode

Row = type[tuple[Any, ...]]
SomeRow = TypeVar("SomeRow", bound=tuple[Any, ...])


class Column(NamedTuple):
    """Where a field of a row comes from, and what stands there in a decoy row.

    A row is a NamedTuple; the SELECT and the decoy are made from it, so that each column is named once.  A field without
    a Column is the table's column of that name.

    >>> from typing import Annotated
    >>> class Example(NamedTuple):
    ...     id: int
    ...     revision: Annotated[int, Column("product.revision", 1)]
    >>> columns(Example, "card"), decoy(Example)
    ('card.id, product.revision', [0, 1])
    """

    sql: str
    decoy: Any = 0


def columns(row: Row, table: str = "") -> str:
    """The SQL of a row's fields, in their order."""
    return ", ".join(column.sql for column in _columns(row, f"{table}." if table else ""))


def decoy(row: Row) -> list[Any]:
    """A row of no card, as JSON would bring it."""
    return [column.decoy for column in _columns(row)]


def maker(row: type[SomeRow]) -> Callable[[Sequence[Any]], SomeRow]:
    """Makes a row of a list that came by `columns(row)`, in less time than `row._make`, which counts the values."""
    return partial(tuple.__new__, row)


def _columns(row: Row, prefix: str = "") -> list[Column]:
    return [
        column if isinstance(column := getattr(kind, "__metadata__", (None,))[0], Column) else Column(prefix + name)
        for name, kind in row.__annotations__.items()
    ]


def placeholders(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def number(value: int | None) -> str:
    """As a literal, and not as a parameter: escaping each number takes the driver longer than everything else of a row."""
    return "NULL" if value is None else f"{value:d}"


# The statements that were prepared on a connection, by name.
_prepared: "WeakKeyDictionary[Connection[Any], set[str]]" = WeakKeyDictionary()


def execute_prepared(cursor: Cursor, name: str, statement: Callable[[], str], texts: Sequence[str]) -> None:
    """Execute a statement that the server parses once per connection: for a few rows parsing is half of its work.

    PREPARE and EXECUTE are sent as SQL, because the driver does not support the binary protocol.
    """
    prepared = _prepared.setdefault(cursor.connection, set())
    if name not in prepared:
        cursor.execute(f"PREPARE {name} FROM {cursor.connection.escape(statement())}")
        prepared.add(name)
    values = ", ".join(map(cursor.connection.escape, texts))
    cursor.execute(f"EXECUTE {name} USING {values}")
