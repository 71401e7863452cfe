"""The statements about telephony cards and their credits on the way to the voice platform (VSC)."""


def card_to_redeem(cursor, serial: str) -> dict | None:
    """What proves the PIN, and nothing else.  That it is read is recorded, and committed, before."""
    cursor.execute("CALL read_pin_to_redeem(%(serial)s)", {"serial": serial})
    row = cursor.fetchone()
    cursor.nextset()
    return row


def redeem(cursor, card_id: int, account: str) -> int:
    """A credit for the voice platform; its number.  The database writes what the card is worth, and redeems the card."""
    cursor.execute(
        "INSERT INTO voice_credit (card_id, account) VALUES (%(card_id)s, %(account)s)",
        {"card_id": card_id, "account": account},
    )
    return cursor.lastrowid


def count_refusal(cursor, card_id: int, account: str, reason: str) -> None:
    """Count what was refused, as a login's refusal is counted."""
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


def of_card(cursor, card_id: int) -> dict | None:
    cursor.execute(f"{_SELECT} WHERE voice_credit.card_id = %(card_id)s", {"card_id": card_id})
    return cursor.fetchone()


def unconfirmed(cursor) -> list[dict]:
    """Credits that the platform has not confirmed, oldest first."""
    cursor.execute(f"{_SELECT} WHERE voice_credit.confirmed_at IS NULL ORDER BY voice_credit.id")
    return cursor.fetchall()


def of_export(cursor, number: int) -> list[dict]:
    """The credits of one export, always in the same order."""
    cursor.execute(
        f"{_SELECT} WHERE voice_credit.export_number = %(number)s ORDER BY voice_credit.id", {"number": number}
    )
    return cursor.fetchall()


def take_for_export(cursor) -> int | None:
    """Give all credits that are in no export yet the next export's number; None if there are none.

    They are locked first, so that two exports at once wait for each other: the second finds them taken.
    """
    cursor.execute("SELECT id FROM voice_credit WHERE export_number IS NULL ORDER BY id FOR UPDATE")
    ids = [row["id"] for row in cursor.fetchall()]
    if not ids:
        return None
    cursor.execute("SELECT COALESCE(MAX(export_number), 0) + 1 AS number FROM voice_credit")
    number = cursor.fetchone()["number"]
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


def lock(cursor, ids: list[int]) -> dict[int, dict]:
    """Credits by their numbers, so that nobody else confirms them meanwhile."""
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


def confirm(cursor, credit_id: int, reference: str | None) -> int:
    """Note that the platform has added a credit; each once."""
    return cursor.execute(
        """
        UPDATE voice_credit
           SET reference = %(reference)s, confirmed_at = UTC_TIMESTAMP(3)
         WHERE id = %(credit_id)s
           AND confirmed_at IS NULL
        """,
        {"credit_id": credit_id, "reference": reference},
    )
