"""The statements about telephony cards and their credits for the voice platform (VSC)."""

from .rows import Cursor, Row, only_row


def card_to_redeem(cursor: Cursor, serial: str) -> Row | None:
    """What is needed to check the PIN, and nothing else.  The procedure records and commits the reading first."""
    cursor.execute("CALL read_pin_to_redeem(%(serial)s)", {"serial": serial})
    row = cursor.fetchone()
    cursor.nextset()
    return row


def redeem(cursor: Cursor, card_id: int, account: str) -> int:
    """Insert a credit for the voice platform; return its number.  A trigger sets its value and redeems the card."""
    cursor.execute(
        "INSERT INTO voice_credit (card_id, account) VALUES (%(card_id)s, %(account)s)",
        {"card_id": card_id, "account": account},
    )
    return cursor.lastrowid


def count_refusal(cursor: Cursor, card_id: int, account: str, reason: str) -> None:
    """Count a refusal in the same way as that of a login."""
    cursor.execute(
        "CALL count_office_refusal(%(card_id)s, %(account)s, %(reason)s)",
        {"card_id": card_id, "account": account, "reason": reason},
    )


_SELECT = """
        SELECT voice_credit.id AS credit, voice_credit.account, card.serial, voice_credit.credit_cents,
               voice_credit.credit_seconds, voice_credit.redeemed_at, voice_credit.operator,
               voice_credit.export_number AS export, voice_credit.exported_at, voice_credit.reference,
               voice_credit.confirmed_at
          FROM voice_credit
          JOIN card ON card.id = voice_credit.card_id"""


def of_card(cursor: Cursor, card_id: int) -> Row | None:
    cursor.execute(f"{_SELECT} WHERE voice_credit.card_id = %(card_id)s", {"card_id": card_id})
    return cursor.fetchone()


def unconfirmed(cursor: Cursor) -> list[Row]:
    """Credits that are not confirmed, oldest first."""
    cursor.execute(f"{_SELECT} WHERE voice_credit.confirmed_at IS NULL ORDER BY voice_credit.id")
    return list(cursor.fetchall())


def of_export(cursor: Cursor, number: int) -> list[Row]:
    """The credits of one export, always in the same order."""
    cursor.execute(
        f"{_SELECT} WHERE voice_credit.export_number = %(number)s ORDER BY voice_credit.id", {"number": number}
    )
    return list(cursor.fetchall())


def take_for_export(cursor: Cursor) -> int | None:
    """Put all credits that are in no export into a new one; return its number, or None if there are none.

    They are locked first: a second export at the same time waits, and then finds them taken.
    """
    cursor.execute("SELECT id FROM voice_credit WHERE export_number IS NULL ORDER BY id FOR UPDATE")
    ids = [row["id"] for row in cursor.fetchall()]
    if not ids:
        return None
    cursor.execute("SELECT COALESCE(MAX(export_number), 0) + 1 AS number FROM voice_credit")
    number = int(only_row(cursor)["number"])
    cursor.execute(
        """
        UPDATE voice_credit
           SET export_number = %(number)s, exported_at = UTC_TIMESTAMP(3)
         WHERE id IN %(ids)s
           AND export_number IS NULL
        """,
        {"number": number, "ids": ids},
    )
    return number


def lock(cursor: Cursor, ids: list[int]) -> dict[int, Row]:
    """Lock credits until the transaction ends; return them by number."""
    cursor.execute(
        """
        SELECT id, export_number, reference, confirmed_at
          FROM voice_credit
         WHERE id IN %(ids)s
         ORDER BY id
           FOR UPDATE
        """,
        {"ids": ids},
    )
    return {row["id"]: row for row in cursor.fetchall()}


def confirm(cursor: Cursor, credit_id: int, reference: str | None) -> int:
    """Record that the platform has added a credit; return 0 if that was recorded before."""
    return cursor.execute(
        """
        UPDATE voice_credit
           SET reference = %(reference)s, confirmed_at = UTC_TIMESTAMP(3)
         WHERE id = %(credit_id)s
           AND confirmed_at IS NULL
        """,
        {"credit_id": credit_id, "reference": reference},
    )
