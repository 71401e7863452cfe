"""Refused logins: they are counted, and the counts decide when a source, a NAS or a card is locked out."""

from collections.abc import Sequence
from typing import NamedTuple

from pymysql.cursors import Cursor

from ..rules.login import Standing
from .sql import decode_json, placeholders

# Refusals are counted by quarters of an hour.
WINDOW_SECONDS = 900
WINDOW = f"FROM_UNIXTIME(UNIX_TIMESTAMP() DIV {WINDOW_SECONDS} * {WINDOW_SECONDS})"


class RefusedLogin(NamedTuple):
    card_id: int  # 0 where the serial does not exist
    source: str
    reason: str
    nas_id: int


def record_refusals(cursor: Cursor, refusals: Sequence[RefusedLogin]) -> None:
    """Count refused logins by card, source, reason and quarter of an hour."""
    cursor.execute(
        f"""
        INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, first_at, last_at)
        VALUES {", ".join([f"(%s, %s, %s, {WINDOW}, %s, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"] * len(refusals))}
            ON DUPLICATE KEY UPDATE tries = tries + 1, last_at = VALUES(last_at)
        """,
        [value for refusal in refusals for value in refusal],
    )


def record_unknown(cursor: Cursor, refusals: Sequence[RefusedLogin]) -> None:
    """Count logins with serials that do not exist, by source: as much work as `record_refusals`, so that timing does
    not reveal which serials exist."""
    cursor.execute(
        f"""
        INSERT INTO unknown_login (source, window_at, nas_id, first_at, last_at)
        VALUES {", ".join([f"(%s, {WINDOW}, %s, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"] * len(refusals))}
            ON DUPLICATE KEY UPDATE tries = tries + 1, last_at = VALUES(last_at)
        """,
        [value for refusal in refusals for value in (refusal.source, refusal.nas_id)],
    )


class Try(NamedTuple):
    """A login whose PIN is not proved."""

    serial: str
    source: str
    nas_id: int
    device: str


def read_standings(cursor: Cursor, tries: Sequence[Try]) -> list[tuple[int | None, Standing]]:
    """For each try: the card's id, or None if the serial does not exist, and what was counted in this quarter of an hour
    before the try.

    For an unknown serial it is the tries of its NAS with serials that do not exist.  The statement reads both counts
    in either case, so that it does the same work for both.
    """
    values = placeholders(("number", *Try._fields))
    rows = [f"SELECT {values}"] * len(tries)
    rows[0] = "SELECT %s AS number, %s AS serial, %s AS source, %s AS nas_id, %s AS device"
    cursor.execute(
        f"""
        SELECT tried.number, card.id,
               (SELECT JSON_ARRAY(COALESCE(SUM(IF(login_refusal.source = tried.source, tries, 0)), 0),
                                  COALESCE(SUM(IF(login_refusal.nas_id = tried.nas_id, tries, 0)), 0),
                                  COALESCE(SUM(tries), 0),
                                  COUNT(*))
                  FROM login_refusal
                 WHERE login_refusal.card_id = card.id
                   AND login_refusal.reason = 'wrong_pin'
                   AND login_refusal.window_at = {WINDOW}),
               (SELECT JSON_ARRAY(COALESCE(SUM(IF(unknown_login.source = tried.source, tries, 0)), 0),
                                  COALESCE(SUM(tries), 0),
                                  COALESCE(SUM(tries), 0),
                                  COUNT(*))
                  FROM unknown_login
                 WHERE unknown_login.window_at = {WINDOW}
                   AND unknown_login.nas_id = tried.nas_id),
               COALESCE(card.device = tried.device, FALSE)
               OR EXISTS (SELECT 1
                            FROM session
                           WHERE session.card_id = card.id
                             AND session.device = tried.device
                             AND session.login_at IS NOT NULL)
               OR EXISTS (SELECT 1
                            FROM session_archive
                           WHERE session_archive.card_id = card.id
                             AND session_archive.device = tried.device
                             AND session_archive.login_at IS NOT NULL)
          FROM ({" UNION ALL ".join(rows)}) AS tried
          LEFT JOIN card FORCE INDEX (serial_is_unique)
            ON card.serial = tried.serial
           AND card.status <> 'deleted'
        """,
        [value for number, one in enumerate(tries) for value in (number, *one)],
    )
    standings = {}
    for number, card_id, of_card, of_unknown, is_known in cursor.fetchall():
        of_source, of_nas, in_all, source_count = map(int, decode_json(of_unknown if card_id is None else of_card)[0])
        standings[number] = card_id, Standing(of_source, of_nas, in_all, source_count, bool(is_known))
    return [standings[number] for number in range(len(tries))]


def refused_sources(cursor: Cursor, refusals: Sequence[RefusedLogin]) -> dict[tuple[int, str], set[str]]:
    """The sources that have a row of their own in this quarter of an hour, by card and reason."""
    keys = sorted({(refusal.card_id, refusal.reason) for refusal in refusals})
    # Not one IN of pairs, for which MariaDB scans the whole table.
    this_one = f"(card_id = %s AND reason = %s AND window_at = {WINDOW})"
    cursor.execute(
        f"SELECT card_id, reason, source FROM login_refusal WHERE {' OR '.join([this_one] * len(keys))}",
        [value for key in keys for value in key],
    )
    found: dict[tuple[int, str], set[str]] = {key: set() for key in keys}
    for card_id, reason, source in cursor.fetchall():
        found[card_id, reason].add(source)
    return found
