"""The statements about blocks: a card is blocked while one of its blocks is open.

Triggers change the cards' status and write the history: see the table card_block.
"""

from typing import NamedTuple

from .card import Choice
from .rows import Cursor, Parameters, Row, only_row

# With a thousand values or more in a list, the server makes a table of them instead of using the index.
BLOCKS_A_STATEMENT = 500


class Match(NamedTuple):
    """Which of the open blocks are meant: those of these scopes and, if it is given, with exactly this reason."""

    scopes: tuple[str, ...]
    reason: str | None = None

    def includes(self, block: Row) -> bool:
        return block["scope"] in self.scopes and self.reason in (None, block["reason"])


_MATCHES = "(card_block.scope IN %(scopes)s AND (%(of_reason)s IS NULL OR card_block.reason = %(of_reason)s))"
# Both conditions on the status use the index of a batch, so unblocked cards of a large batch are not read.
_OPEN = "card.status = 'blocked' AND card_block.lifted_at IS NULL"


def cards_without(cursor: Cursor, choice: Choice, scope: str, reason: str) -> list[Row]:
    """Those of the chosen cards that have no such open block yet, with their status."""
    cursor.execute(
        f"""
        SELECT card.id, card.status
          FROM card
         WHERE {choice.where}
           AND card.status NOT IN ('redeemed', 'deleted')
           AND NOT EXISTS (SELECT 1
                             FROM card_block
                            WHERE card_block.card_id = card.id
                              AND card_block.lifted_at IS NULL
                              AND card_block.scope = %(scope)s
                              AND card_block.reason = %(reason)s)
         ORDER BY card.id
        """,
        {**choice.values, "scope": scope, "reason": reason},
    )
    return list(cursor.fetchall())


def add(cursor: Cursor, card_ids: list[int], scope: str, reason: str) -> None:
    """Block these cards.  A statement that reads the table card cannot do it, because a trigger changes that table."""
    cursor.executemany(
        "INSERT INTO card_block (card_id, scope, reason) VALUES (%s, %s, %s)",
        [(card_id, scope, reason) for card_id in card_ids],
    )


def kinds(cursor: Cursor, choice: Choice) -> list[Row]:
    """The open blocks of the chosen cards by scope and reason: how many, and the first card."""
    cursor.execute(
        f"""
        SELECT card_block.scope, card_block.reason, COUNT(*) AS count, MIN(card.serial) AS first_serial
          FROM card
          JOIN card_block ON card_block.card_id = card.id
         WHERE {choice.where}
           AND {_OPEN}
         GROUP BY card_block.scope, card_block.reason
         ORDER BY MIN(card_block.id)
        """,
        choice.values,
    )
    return list(cursor.fetchall())


def matching(cursor: Cursor, choice: Choice, match: Match) -> list[int]:
    """The ids of the open blocks that are meant."""
    cursor.execute(
        f"""
        SELECT card_block.id
          FROM card
          JOIN card_block ON card_block.card_id = card.id
         WHERE {choice.where}
           AND {_OPEN}
           AND {_MATCHES}
         ORDER BY card_block.card_id, card_block.id
        """,
        {**choice.values, **_values(match)},
    )
    return [row["id"] for row in cursor.fetchall()]


def outcome(cursor: Cursor, choice: Choice, match: Match) -> tuple[int, int]:
    """Of the blocked cards that are chosen, how many would be unblocked, and how many would stay blocked."""
    cursor.execute(
        f"""
        SELECT COALESCE(SUM(others = 0), 0) AS freed, COALESCE(SUM(others > 0), 0) AS staying
          FROM (SELECT SUM(NOT {_MATCHES}) AS others
                  FROM card
                  JOIN card_block ON card_block.card_id = card.id
                 WHERE {choice.where}
                   AND {_OPEN}
                 GROUP BY card.id) AS one
        """,
        {**choice.values, **_values(match)},
    )
    row = only_row(cursor)
    return int(row["freed"]), int(row["staying"])


def lift(cursor: Cursor, block_ids: list[int], reason: str | None) -> int:
    """Lift these blocks; return how many.  A card whose last block is lifted returns to its status before."""
    return sum(
        cursor.execute(
            """
            UPDATE card_block
               SET lifted_at = UTC_TIMESTAMP(3), lift_reason = %(reason)s
             WHERE id IN %(ids)s
               AND lifted_at IS NULL
            """,
            {"reason": reason, "ids": block_ids[at : at + BLOCKS_A_STATEMENT]},
        )
        for at in range(0, len(block_ids), BLOCKS_A_STATEMENT)
    )


def open_blocks(cursor: Cursor, card_id: int) -> list[Row]:
    """The open blocks of a card, oldest first."""
    cursor.execute(
        """
        SELECT reason, scope, made_at, operator
          FROM card_block
         WHERE card_id = %(card_id)s
           AND lifted_at IS NULL
         ORDER BY id
        """,
        {"card_id": card_id},
    )
    return list(cursor.fetchall())


def _values(match: Match) -> Parameters:
    return {"scopes": match.scopes, "of_reason": match.reason}
