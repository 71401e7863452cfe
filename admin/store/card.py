"""The statements about cards: find them, choose many of them, change their status.

What a status may become, and that each change is in the history, is the database's own rule.
"""

from typing import NamedTuple

# All but the deleted, which no list shows.
LISTED_STATUSES = ("created", "delivered", "in_use", "exhausted", "expired", "blocked", "redeemed")


class Choice(NamedTuple):
    """Some cards, as a condition that the statements below put into their WHERE."""

    where: str
    values: dict


def of_batch(batch_id: int) -> Choice:
    return Choice("card.batch_id = %(batch_id)s AND card.status <> 'deleted'", {"batch_id": batch_id})


def of_range(batch_id: int, first_serial: str, last_serial: str) -> Choice:
    """Both ends included.  Serials of one batch have one length, so their order as text is that of their numbers."""
    return Choice(
        "card.batch_id = %(batch_id)s AND card.serial BETWEEN %(first_serial)s AND %(last_serial)s",
        {"batch_id": batch_id, "first_serial": first_serial, "last_serial": last_serial},
    )


def of_serials(serials: list[str]) -> Choice:
    return Choice("card.serial IN %(serials)s", {"serials": serials})


def with_partner(choice: Choice, partner_id: int) -> Choice:
    """Those of the chosen cards that a partner has."""
    return Choice(f"{choice.where} AND card.partner_id = %(partner_id)s", {**choice.values, "partner_id": partner_id})


# --- Find ------------------------------------------------------------------------------------------------


def find(cursor, serials: list[str]) -> list[dict]:
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
    return cursor.fetchall()


def overview(cursor, serial: str) -> dict | None:
    """One card as the office sees it."""
    cursor.execute("SELECT * FROM card_overview WHERE serial = %(serial)s", {"serial": serial})
    return cursor.fetchone()


def ids(cursor, wanted: dict) -> None:
    """Begin to read which cards a list has, in the order in which they were made; the rows are the cursor's to fetch.

    From the card's own table, whose indexes serve every filter: joined with the rest, the optimizer is apt to begin
    at the product and to sort a million cards for a page of ten.
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
    # A partner's cards may lie far down: its key alone finds them, where the optimizer is apt to read all cards up to there.
    key = (
        "FORCE INDEX (card_by_partner)"
        if given <= {"partner_id", "status", "product_id", "after_id"} and "partner_id" in given
        else ""
    )
    limit = "LIMIT %(limit)s" if wanted.get("limit") is not None else ""
    cursor.execute(f"SELECT id FROM card {key} WHERE {' AND '.join(conditions)} ORDER BY id {limit}", wanted)


def _page_by_status(cursor, wanted: dict) -> None:
    """A page from each status, and the first of them all: within one status the key has the cards in order.

    So a page costs some hundreds of rows wherever it lies.  As one condition it would be a sort of all that fit, or all
    cards read up to the first that fits.
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


def overviews(cursor, card_ids: list[int]) -> list[dict]:
    """Some cards as the office sees them."""
    cursor.execute("SELECT * FROM card_overview WHERE id IN %(ids)s ORDER BY id", {"ids": card_ids})
    return cursor.fetchall()


_FILTERS = {
    "status": "status IN %(status)s",
    "batch_id": "batch_id = %(batch_id)s",
    "product_id": "product_id = %(product_id)s",
    "partner_id": "partner_id = %(partner_id)s",
    "first_serial": "serial BETWEEN %(first_serial)s AND %(last_serial)s",
    "made_from": "batch_id IN (SELECT id FROM batch WHERE made_at >= %(made_from)s)",
    "made_to": "batch_id IN (SELECT id FROM batch WHERE made_at < %(made_to)s)",
    # By key, not by OFFSET: the hundredth page costs what the first one does.
    "after_id": "id > %(after_id)s",
}


def stock_ends(cursor, batch_id: int) -> tuple[int, int]:
    """The first and the last id among a batch's cards in stock; there must be one."""
    cursor.execute(
        "SELECT MIN(id) AS first, MAX(id) AS last FROM card WHERE batch_id = %(batch_id)s AND status = 'created'",
        {"batch_id": batch_id},
    )
    ends = cursor.fetchone()
    return ends["first"], ends["last"]


def sealed_stock(cursor, batch_id: int, first_id: int, last_id: int, with_pins: bool) -> list[tuple[str, bytes, int]]:
    """Serial, sealed PIN and key number of the cards in stock among these ids, by serial.

    PINs come from a procedure, after `store.batch.open_pins`: nothing else tells them to a role.
    They come as one long text: the driver takes longer over a row than the server, the cipher and the file together.
    They are put in order here, where they are in order already: the server would take as long again as for reading them.
    """
    read = (
        "CALL read_pins(%(batch_id)s, %(first_id)s, %(last_id)s)"
        if with_pins
        else """
        SELECT GROUP_CONCAT(serial, '\n', '', '\n', key_number SEPARATOR '\n') AS cards
          FROM card FORCE INDEX (PRIMARY)
         WHERE id BETWEEN %(first_id)s AND %(last_id)s
           AND batch_id = %(batch_id)s
           AND status = 'created'"""
    )
    cursor.execute(
        f"SET STATEMENT group_concat_max_len = 16777216 FOR {read}",
        {"batch_id": batch_id, "first_id": first_id, "last_id": last_id},
    )
    text = cursor.fetchone()["cards"]
    cursor.nextset()
    values = text.split("\n") if text else []
    return sorted(zip(values[0::3], map(bytes.fromhex, values[1::3]), map(int, values[2::3]), strict=True))


def live_count(cursor) -> int:
    """How many cards somebody could try to guess."""
    cursor.execute("SELECT COUNT(*) AS count FROM card WHERE status IN ('created', 'delivered', 'in_use')")
    return cursor.fetchone()["count"]


def survey(cursor, choice: Choice) -> list[dict]:
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
    return cursor.fetchall()


def batches(cursor, choice: Choice) -> list[int]:
    """The batches that the chosen cards belong to."""
    cursor.execute(f"SELECT DISTINCT card.batch_id FROM card WHERE {choice.where}", choice.values)
    return [row["batch_id"] for row in cursor.fetchall()]


def runs(cursor, batch_id: int, status: str, partner_id: int | None, limit: int) -> list[dict]:
    """The unbroken runs of cards in a status within a batch, and with a partner: the ranges that would work."""
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
    return cursor.fetchall()


# --- Make and change -------------------------------------------------------------------------------------


def add_many(cursor, cards: list[dict]) -> int:
    """New cards in one statement, as many as the driver's statement length holds."""
    return cursor.executemany(
        """
        INSERT INTO card (serial, pin_sealed, key_number, batch_id, product_id)
        VALUES (%(serial)s, %(pin_sealed)s, %(key_number)s, %(batch_id)s, %(product_id)s)
        """,
        cards,
    )


def deliver(cursor, choice: Choice, partner_id: int, note_id: int) -> int:
    """Hand cards in stock to a partner; how many changed hands."""
    return cursor.execute(
        f"""
        UPDATE card
           SET status = 'delivered', partner_id = %(to_partner_id)s, delivery_note_id = %(note_id)s
         WHERE {choice.where}
           AND card.status = 'created'
        """,
        {**choice.values, "to_partner_id": partner_id, "note_id": note_id},
    )


def take_back(cursor, choice: Choice) -> int:
    """Put unused cards back into stock; how many came back."""
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


def block(cursor, choice: Choice) -> int:
    return cursor.execute(
        f"UPDATE card SET status = 'blocked' WHERE {choice.where} AND card.status NOT IN ('blocked', 'redeemed', 'deleted')",
        choice.values,
    )


def unblock(cursor, choice: Choice) -> int:
    """Give blocked cards the status back that they had; how many had been blocked."""
    return cursor.execute(
        f"""
        UPDATE card
           SET status = CAST(status_before_block AS CHAR)
         WHERE {choice.where}
           AND card.status = 'blocked'
        """,
        choice.values,
    )


def delete(cursor, choice: Choice) -> int:
    """Delete cards in stock: the row stays, because a serial is used for ever; its PIN goes."""
    return cursor.execute(
        f"UPDATE card SET status = 'deleted' WHERE {choice.where} AND card.status = 'created'", choice.values
    )


def read_pin(cursor, card_id: int) -> tuple[bytes, int]:
    """A card's sealed PIN, and the number of its key.  That it is read is recorded, and committed, before."""
    cursor.execute("CALL read_pin(%(card_id)s)", {"card_id": card_id})
    row = cursor.fetchone()
    cursor.nextset()
    return row["pin_sealed"], row["key_number"]


def set_note(cursor, card_id: int, note: str | None) -> int:
    return cursor.execute("UPDATE card SET note = %(note)s WHERE id = %(card_id)s", {"card_id": card_id, "note": note})


def add_entry(cursor, card_id: int, what: str, reason: str, expires_at=None) -> int:
    """A compensating entry; its trigger brings the card up to date."""
    cursor.execute(
        """
        INSERT INTO card_entry (card_id, what, reason, expires_at)
        VALUES (%(card_id)s, %(what)s, %(reason)s, %(expires_at)s)
        """,
        {"card_id": card_id, "what": what, "reason": reason, "expires_at": expires_at},
    )
    return cursor.lastrowid


def reopen_expired(cursor, card_id: int) -> int:
    """Let an expired card whose validity was extended work again."""
    return cursor.execute(
        """
        UPDATE card
           SET status = IF(first_login_at IS NULL, 'delivered', 'in_use')
         WHERE id = %(card_id)s
           AND status = 'expired'
           AND expires_at > UTC_TIMESTAMP(3)
        """,
        {"card_id": card_id},
    )


def make_sessions_due(cursor, choice: Choice, cause: str) -> int:
    """Say that the chosen cards' open sessions have to be off now; what enforces limits reads it."""
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


def end_sessions_by(cursor, card_id: int, until) -> int:
    """Let no open session outlast a validity that was shortened."""
    return cursor.execute(
        """
        UPDATE session
           SET due_at = %(until)s, due_cause = 'validity'
         WHERE card_id = %(card_id)s
           AND due_at > %(until)s
        """,
        {"card_id": card_id, "until": until},
    )
