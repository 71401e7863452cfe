"""The statements about cards: find them, choose many of them, change their status.

Triggers of the database refuse changes of status that are not allowed, and write each change into the history.
"""

from datetime import datetime
from typing import NamedTuple

from . import batch
from .rows import Cursor, Parameters, Row, StreamCursor, only_row

SERIALS_A_LIST = 500
# All but 'deleted': no list shows deleted cards.
LISTED_STATUSES = ("created", "delivered", "in_use", "exhausted", "expired", "blocked", "redeemed")


class Choice(NamedTuple):
    """Some cards, as a condition for the WHERE of the statements below, with the values of its parameters."""

    where: str
    values: Parameters


def of_batch(batch_id: int) -> Choice:
    return Choice("card.batch_id = %(batch_id)s AND card.status <> 'deleted'", {"batch_id": batch_id})


def of_range(batch_id: int, first_serial: str, last_serial: str) -> Choice:
    """The cards of a batch from the first serial to the last, both included.

    The serials of a batch have the same length, so their order as text is the order of their numbers.
    """
    return Choice(
        "card.batch_id = %(batch_id)s AND card.serial BETWEEN %(first_serial)s AND %(last_serial)s",
        {"batch_id": batch_id, "first_serial": first_serial, "last_serial": last_serial},
    )


def of_serials(serials: list[str]) -> Choice:
    """These cards.  A list of a thousand values or more would become a table that the server joins without the index."""
    parts = [serials[at : at + SERIALS_A_LIST] for at in range(0, len(serials), SERIALS_A_LIST)]
    return Choice(
        f"({' OR '.join(f'card.serial IN %(serials_{number})s' for number in range(len(parts)))})",
        {f"serials_{number}": part for number, part in enumerate(parts)},
    )


def oldest(product_id: int, last_id: int) -> Choice:
    """The cards of a product in stock up to this one, in the order in which they were made."""
    return Choice(
        "card.product_id = %(product_id)s AND card.status = 'created' AND card.id <= %(last_id)s",
        {"product_id": product_id, "last_id": last_id},
    )


def with_partner(choice: Choice, partner_id: int) -> Choice:
    """Those of the chosen cards that are with this partner."""
    return Choice(f"{choice.where} AND card.partner_id = %(partner_id)s", {**choice.values, "partner_id": partner_id})


# --- Find ------------------------------------------------------------------------------------------------


def find(cursor: Cursor, serials: list[str]) -> list[Row]:
    """The cards with these serials, deleted ones included."""
    cursor.execute(
        """
        SELECT id, serial, status, status_before_block, batch_id, product_id, partner_id, first_login_at, expires_at
          FROM card
         WHERE serial IN %(serials)s
         ORDER BY serial
        """,
        {"serials": serials},
    )
    return list(cursor.fetchall())


def overview(cursor: Cursor, serial: str) -> Row | None:
    """One card with its product, batch, partner, usage and balance."""
    cursor.execute("SELECT * FROM card_overview WHERE serial = %(serial)s", {"serial": serial})
    return cursor.fetchone()


def ids(cursor: Cursor | StreamCursor, wanted: Parameters) -> None:
    """Select the ids of the cards that pass these filters, in the order in which they were made.

    *wanted* has values for names of _FILTERS, and perhaps a limit.  The caller fetches the rows from the cursor.
    Only the table `card` is read, because its indexes serve every filter.  With joins the optimizer may begin at the
    product, and sort a million cards for a page of ten.
    """
    given = {name for name in _FILTERS if wanted.get(name) is not None}
    if (
        wanted.get("limit") is not None
        and given & {"status", "product_id"}
        and given <= {"status", "product_id", "after_id"}
    ):
        _page_by_status(cursor, wanted)
        return
    conditions = ["status <> 'deleted'", *(_FILTERS[name] for name in _FILTERS if name in given)]
    # Without these hints the optimizer may read all cards in the order of their ids until it finds those that are wanted.
    if "device" in given:
        key = "FORCE INDEX (card_by_device)"
    elif "note" in given:
        key = "FORCE INDEX (card_by_note)"
    elif "partner_id" in given and given <= {"partner_id", "status", "product_id", "after_id"}:
        key = "FORCE INDEX (card_by_partner)"
    else:
        key = ""
    limit = "LIMIT %(limit)s" if wanted.get("limit") is not None else ""
    cursor.execute(f"SELECT id FROM card {key} WHERE {' AND '.join(conditions)} ORDER BY id {limit}", wanted)


def ids_by_serial(cursor: Cursor, wanted: Parameters) -> None:
    """Like `ids`, but in the order of the serials: a page of those between the first and the last, after `after_serial`.

    The order of the ids would sort all cards between the two before the first page.
    """
    conditions = ["status <> 'deleted'", *(_FILTERS[name] for name in _FILTERS if wanted.get(name) is not None)]
    cursor.execute(
        f"""
        SELECT id
          FROM card FORCE INDEX (serial_is_unique)
         WHERE {" AND ".join(conditions)}
           AND serial > %(after_serial)s
         ORDER BY serial
         LIMIT %(limit)s
        """,
        wanted,
    )


def _page_by_status(cursor: Cursor | StreamCursor, wanted: Parameters) -> None:
    """Select a page from each status, and of these rows the first.

    Within one status the index has the cards in order, so any page reads some hundreds of rows.  One condition on all
    statuses would sort all matching cards, or read all cards up to the first match.
    """
    key, of_product = (
        ("card_by_status", "")
        if wanted.get("product_id") is None
        else ("card_by_product", "AND product_id = %(product_id)s")
    )
    after = "AND id > %(after_id)s" if wanted.get("after_id") is not None else ""
    pages = " UNION ALL ".join(
        f"(SELECT id FROM card FORCE INDEX ({key}) WHERE status = '{status}' {of_product} {after} ORDER BY id LIMIT %(limit)s)"
        for status in LISTED_STATUSES
        if status in (wanted.get("status") or LISTED_STATUSES)
    )
    cursor.execute(f"{pages} ORDER BY id LIMIT %(limit)s", wanted)


def overviews(cursor: Cursor, card_ids: list[int]) -> list[Row]:
    """Like `overview`, of several cards."""
    cursor.execute("SELECT * FROM card_overview WHERE id IN %(ids)s ORDER BY id", {"ids": card_ids})
    return list(cursor.fetchall())


_FILTERS = {
    "status": "status IN %(status)s",
    "batch_id": "batch_id = %(batch_id)s",
    "product_id": "product_id = %(product_id)s",
    "partner_id": "partner_id = %(partner_id)s",
    "first_serial": "serial BETWEEN %(first_serial)s AND %(last_serial)s",
    "made_from": "batch_id IN (SELECT id FROM batch WHERE made_at >= %(made_from)s)",
    "made_to": "batch_id IN (SELECT id FROM batch WHERE made_at < %(made_to)s)",
    # A part of the note, in capitals or not, with accents or without. Few cards have a note, so all notes are read.
    "note": "note IS NOT NULL AND note COLLATE utf8mb4_general_ci LIKE %(note)s",
    # The begin of the device that the card is bound to.
    "device": "device LIKE %(device)s",
    # A key instead of OFFSET, so that the hundredth page is as fast as the first.
    "after_id": "id > %(after_id)s",
}


def oldest_in_stock(cursor: Cursor, product_id: int, count: int) -> list[Row]:
    """The first *count* cards of a product in stock, in the order in which they were made; fewer if there are fewer."""
    cursor.execute(
        """
        SELECT id, serial, batch_id
          FROM card FORCE INDEX (card_by_product)
         WHERE product_id = %(product_id)s
           AND status = 'created'
         ORDER BY id
         LIMIT %(count)s
        """,
        {"product_id": product_id, "count": count},
    )
    return list(cursor.fetchall())


def stock_ends(cursor: Cursor, batch_id: int, span: batch.Span = None) -> tuple[int, int]:
    """The first and the last id among a batch's cards in stock, or those of a range of it; there must be one."""
    cursor.execute(
        f"""
        SELECT MIN(id) AS first, MAX(id) AS last
          FROM card
         WHERE batch_id = %(batch_id)s
           AND status = 'created'
           {batch.IN_SPAN if span else ""}
        """,
        {"batch_id": batch_id, **batch.ends(span)},
    )
    ends = only_row(cursor)
    return ends["first"], ends["last"]


def sealed_stock(
    cursor: Cursor, batch_id: int, first_id: int, last_id: int, with_pins: bool, span: batch.Span = None
) -> list[tuple[str, bytes, int]]:
    """Serial, sealed PIN and key number of the cards in stock among these ids, by serial.

    A procedure returns the PINs, and only after `store.batch.open_pins` for the same range: no role may select them.
    All cards come as one text, because the driver needs more time for a row than the server, the cipher and the file do.
    They are sorted here: the text is nearly in order, and sorting in the server would double the time of reading.
    """
    read = (
        "CALL read_pins(%(batch_id)s, %(first_id)s, %(last_id)s)"
        if with_pins
        else f"""
        SELECT GROUP_CONCAT(serial, '\n', '', '\n', key_number SEPARATOR '\n') AS cards
          FROM card FORCE INDEX (PRIMARY)
         WHERE id BETWEEN %(first_id)s AND %(last_id)s
           AND batch_id = %(batch_id)s
           AND status = 'created'
           {batch.IN_SPAN if span else ""}"""
    )
    cursor.execute(
        f"SET STATEMENT group_concat_max_len = 16777216 FOR {read}",
        {"batch_id": batch_id, "first_id": first_id, "last_id": last_id, **batch.ends(span)},
    )
    text = only_row(cursor)["cards"]
    cursor.nextset()
    values = text.split("\n") if text else []
    return sorted(zip(values[0::3], map(bytes.fromhex, values[1::3]), map(int, values[2::3]), strict=True))


def live_count(cursor: Cursor) -> int:
    """How many cards have a PIN that somebody could guess."""
    cursor.execute("SELECT COUNT(*) AS count FROM card WHERE status IN ('created', 'delivered', 'in_use')")
    return int(only_row(cursor)["count"])


def survey(cursor: Cursor, choice: Choice) -> list[Row]:
    """The chosen cards by status: how many, and the first and last serial."""
    cursor.execute(
        f"""
        SELECT card.status, COUNT(*) AS count, MIN(card.serial) AS first_serial, MAX(card.serial) AS last_serial
          FROM card
         WHERE {choice.where}
         GROUP BY card.status
         ORDER BY card.status
        """,
        choice.values,
    )
    return list(cursor.fetchall())


def batches(cursor: Cursor, choice: Choice) -> list[int]:
    """The batches that the chosen cards belong to."""
    cursor.execute(f"SELECT DISTINCT card.batch_id FROM card WHERE {choice.where}", choice.values)
    return [row["batch_id"] for row in cursor.fetchall()]


def runs(cursor: Cursor, batch_id: int, status: str, partner_id: int | None, limit: int) -> list[Row]:
    """The ranges of a batch whose cards all have this status and, if one is given, are with this partner."""
    cursor.execute(
        """
        SELECT MIN(serial) AS first_serial, MAX(serial) AS last_serial, COUNT(*) AS count
          FROM (SELECT serial, fits,
                       ROW_NUMBER() OVER (ORDER BY serial)
                       - ROW_NUMBER() OVER (PARTITION BY fits ORDER BY serial) AS run
                  FROM (SELECT serial, status = %(status)s AND (%(partner_id)s IS NULL OR partner_id <=> %(partner_id)s)
                               AS fits
                          FROM card
                         WHERE batch_id = %(batch_id)s) AS one) AS numbered
         WHERE fits
         GROUP BY run
         ORDER BY MIN(serial)
         LIMIT %(limit)s
        """,
        {"batch_id": batch_id, "status": status, "partner_id": partner_id, "limit": limit},
    )
    return list(cursor.fetchall())


# --- Make and change -------------------------------------------------------------------------------------


def add_many(cursor: Cursor, cards: list[Row]) -> None:
    """Insert cards in as few statements as the driver's longest statement allows."""
    cursor.executemany(
        """
        INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id)
        VALUES (%(serial)s, %(pin_sealed)s, %(key_number)s, %(batch_id)s, %(product_id)s)
        """,
        cards,
    )


def deliver(cursor: Cursor, choice: Choice, partner_id: int, note_id: int) -> int:
    """Hand cards in stock to a partner; return how many."""
    return cursor.execute(
        f"""
        UPDATE card
           SET status = 'delivered', partner_id = %(to_partner_id)s, delivery_note_id = %(note_id)s
         WHERE {choice.where}
           AND card.status = 'created'
        """,
        {**choice.values, "to_partner_id": partner_id, "note_id": note_id},
    )


def take_back(cursor: Cursor, choice: Choice) -> int:
    """Put unused cards back into stock; return how many."""
    return cursor.execute(
        f"""
        UPDATE card
           SET status = 'created'
         WHERE {choice.where}
           AND card.status = 'delivered'
           AND card.first_login_at IS NULL
        """,
        choice.values,
    )


def delete(cursor: Cursor, choice: Choice) -> int:
    """Delete cards in stock.  The rows stay without a PIN, because a serial is never used again."""
    return cursor.execute(
        f"UPDATE card SET status = 'deleted' WHERE {choice.where} AND card.status = 'created'", choice.values
    )


def read_pin(cursor: Cursor, card_id: int) -> tuple[bytes, int]:
    """A card's sealed PIN and the number of its key.  The procedure records and commits the reading first."""
    cursor.execute("CALL read_pin(%(card_id)s)", {"card_id": card_id})
    row = only_row(cursor)
    cursor.nextset()
    return row["pin_sealed"], row["key_number"]


def set_note(cursor: Cursor, card_id: int, note: str | None) -> int:
    return cursor.execute("UPDATE card SET note = %(note)s WHERE id = %(card_id)s", {"card_id": card_id, "note": note})


def reopen_expired(cursor: Cursor, card_id: int) -> int:
    """Return an expired card whose validity was extended to a status that may log in."""
    return cursor.execute(
        """
        UPDATE card
           SET status = IF(first_login_at IS NULL, 'delivered', 'in_use')
         WHERE id = %(card_id)s
           AND status = 'expired'
           AND COALESCE(expires_at, (SELECT valid_until_at FROM product WHERE product.id = card.product_id), '9999-12-31')
               > UTC_TIMESTAMP(3)
        """,
        {"card_id": card_id},
    )


def make_sessions_due(cursor: Cursor, choice: Choice, cause: str) -> int:
    """Make the open sessions of the chosen cards due, so that the enforcer disconnects them; return how many."""
    return cursor.execute(
        f"""
        UPDATE session
          JOIN card ON card.id = session.card_id
           SET session.due_at = UTC_TIMESTAMP(3), session.due_cause = %(cause)s
         WHERE {choice.where}
           AND session.due_at > UTC_TIMESTAMP(3)
        """,
        {**choice.values, "cause": cause},
    )


def end_sessions_by(cursor: Cursor, card_id: int, until: datetime) -> int:
    """Make a card's open sessions due at this moment (UTC) at the latest, because its validity was shortened."""
    return cursor.execute(
        """
        UPDATE session
           SET due_at = %(until)s, due_cause = 'validity'
         WHERE card_id = %(card_id)s
           AND due_at > %(until)s
        """,
        {"card_id": card_id, "until": until},
    )
