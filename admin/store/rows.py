"""How rows, cursors and connections are typed, once for every file that reads or writes the database.

For instance `def find(cursor: Cursor, name: str) -> Row | None`.
"""

from typing import TYPE_CHECKING, Any

import pymysql.connections
import pymysql.cursors

# A row: its values by the names of its columns.
Row = dict[str, Any]
# The values of a statement's parameters, by name.
Parameters = dict[str, Any]
# The cursor of a command: its rows are of type Row.
Cursor = pymysql.cursors.DictCursor
# Fetches rows of type Row one by one, for any number of rows.
StreamCursor = pymysql.cursors.SSDictCursor
# Its rows are tuples: for hundreds of thousands of rows, where dictionaries would cost time.
TupleCursor = pymysql.cursors.Cursor
TupleRow = tuple[Any, ...]

if TYPE_CHECKING:
    Connection = pymysql.connections.Connection[Cursor]
else:
    # PyMySQL's own class has no type parameters; only its stubs do.
    Connection = pymysql.connections.Connection


def only_row(cursor: Cursor) -> Row:
    """The row of a statement that always returns one, such as SELECT COUNT(*)."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("A statement that always returns a row returned none.")
    return row


def only_tuple(cursor: TupleCursor) -> TupleRow:
    """The same, of a cursor whose rows are tuples."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("A statement that always returns a row returned none.")
    return row
