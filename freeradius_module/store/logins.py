"""Logins: reads the cards that want to log in, and reserves what an accepted login may use."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pymysql.cursors import Cursor

from ..rules.login import Card, Session
from ..rules.units import Millicents, Octets, Seconds
from ..rules.usage import Credit, Tariff, Usage, cost_millicents
from .guessing import WINDOW
from .sql import Column, columns, decode_json, decoy, execute_prepared, maker, number

# The end of the validity that a first login starts now: so many days, or the product's last day if that is sooner.
STARTING_VALIDITY = """LEAST(
    COALESCE(UTC_TIMESTAMP(3) + INTERVAL product.valid_days DAY, product.valid_until_at),
    COALESCE(product.valid_until_at, UTC_TIMESTAMP(3) + INTERVAL product.valid_days DAY))"""
# What the first login sets.  The product is read in a subquery: a join would lock its row for all other cards.
ACTIVATION = f"""status = 'in_use',
                   first_login_at = UTC_TIMESTAMP(3),
                   expires_at = COALESCE(
                       expires_at, (SELECT {STARTING_VALIDITY} FROM product WHERE product.id = card.product_id)),"""
# A session counts as open.
IS_OPEN = """(session.due_at > UTC_TIMESTAMP(3)
           OR (session.due_at IS NOT NULL AND session.due_cause IN ('unknown', 'revived')))"""
EXPIRES_IN_SECONDS = f"""TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), COALESCE(
                       card.expires_at, IF(card.first_login_at IS NULL, {STARTING_VALIDITY}, product.valid_until_at)))"""
WRONG_PINS = f"""(SELECT COALESCE(SUM(login_refusal.tries), 0)
                      FROM login_refusal
                     WHERE login_refusal.card_id = card.id
                       AND login_refusal.reason = 'wrong_pin'
                       AND login_refusal.window_at = {WINDOW})"""
SILENT_US = """TIMESTAMPDIFF(
                                   MICROSECOND, COALESCE(session.heard_at, session.login_at), UTC_TIMESTAMP(3))"""
# What must still be true of a session when a login ends it, besides that it has not ended, by the cause that is recorded.
CLOSES_IF = {
    "superseded": "TRUE",
    "not_begun": "acct_session_id = ''",
    "stale": "(heard_at IS NULL OR heard_at <= UTC_TIMESTAMP(3) - INTERVAL interim_seconds SECOND)",
}
# Lists of cards are padded to a multiple of this: a statement is prepared for each length.
CARDS_STEP = 8


class CardRow(NamedTuple):
    """What is read of a card beside its serial and its PIN.  `posted_…` and `added_…` are sums over its life."""

    id: int
    status: Annotated[str, Column("card.status", "delivered")]
    version: int
    product_id: int
    product_revision: Annotated[int, Column("product.revision")]
    expires_in_seconds: Annotated[int | None, Column(EXPIRES_IN_SECONDS, 2_592_000)]
    device: Annotated[str | None, Column("card.device", None)]
    posted_login_number: int
    key_number: int
    was_tried: Annotated[int, Column(WRONG_PINS)]
    added_seconds: Seconds
    added_octets: Octets
    added_down_octets: Octets
    added_up_octets: Octets
    added_millicents: Annotated[Millicents, Column("card.added_cents * 1000")]
    posted_seconds: Seconds
    posted_down_octets: Octets
    posted_up_octets: Octets


class SessionRow(NamedTuple):
    """An open session of a card."""

    login_number: int
    nas_id: int
    device: str
    is_begun: Annotated[int, Column("session.acct_session_id <> ''")]
    silent_us: Annotated[int | None, Column(SILENT_US)]
    interim_seconds: int
    used_seconds: Seconds
    used_down_octets: Octets
    used_up_octets: Octets
    granted_seconds: Seconds | None
    granted_octets: Octets | None
    granted_down_octets: Octets | None
    granted_up_octets: Octets | None
    granted_millicents: Millicents | None
    tariff_minute_millicents: Millicents
    tariff_mb_millicents: Millicents


# A list of the open sessions; NULL if there is none, which CONCAT_WS leaves out.
OPEN_SESSIONS = f"GROUP_CONCAT(IF({IS_OPEN}, JSON_ARRAY({columns(SessionRow, 'session')}), NULL))"


class SessionsRow(NamedTuple):
    """The sessions of a card that its own row does not cover yet: open, not posted, or newer than the last posting."""

    last_login_number: Annotated[int, Column("MAX(session.login_number)")]
    ended_count: Annotated[int, Column(f"COUNT(IF({IS_OPEN}, NULL, 1))")]
    unposted_seconds: Annotated[Seconds, Column("SUM(session.used_seconds) - SUM(session.posted_seconds)")]
    unposted_down_octets: Annotated[Octets, Column("SUM(session.used_down_octets) - SUM(session.posted_down_octets)")]
    unposted_up_octets: Annotated[Octets, Column("SUM(session.used_up_octets) - SUM(session.posted_up_octets)")]
    open_count: Annotated[int, Column(f"COUNT(IF({IS_OPEN}, 1, NULL))")]
    open_sessions: Annotated[list[list[Any]], Column(f"CONCAT_WS('', '[', {OPEN_SESSIONS}, ']')")]


_card_row = maker(CardRow)
_session_row = maker(SessionRow)
_sessions_row = maker(SessionsRow)
# A decoy row: parsing it takes as long as parsing a real card, so timing does not reveal that a serial does not exist.
DECOY = json.dumps(decoy(CardRow))


def read_cards(cursor: Cursor, serials: Sequence[str], with_pins: bool = True) -> dict[str, Card]:
    """All that decisions need to know of these cards, by serial, in one statement.

    A serial that does not exist is left out.
    """
    # The list is padded, so that few statements are prepared.  Duplicates match one row.
    padding = -len(serials) % CARDS_STEP if len(serials) > 1 else 0
    wanted = [*serials, *[serials[-1]] * padding]
    name = f"cards_{len(wanted)}_{'with' if with_pins else 'without'}_pins"
    execute_prepared(cursor, name, lambda: _cards_statement(len(wanted), with_pins), wanted)
    cards = {
        serial: _card(serial, pin_sealed, facts, sessions) for serial, pin_sealed, facts, sessions in cursor.fetchall()
    }
    for _ in range(len(serials) - len(cards)):
        _card("", b"", DECOY, None)
    return cards


def is_card(cursor: Cursor, serial: str) -> bool:
    """Whether a card has this serial.  A deleted card is none."""
    return cursor.execute("SELECT 1 FROM card WHERE serial = %s AND status <> 'deleted'", [serial]) > 0


def _cards_statement(count: int, with_pins: bool) -> str:
    """One row for each card, however many sessions it had.

    The order of the join and the key are given: while the optimizer has no statistics yet, it may prefer to start with
    a few products and to go through all their cards.
    """
    return f"""
        SELECT STRAIGHT_JOIN
               card.serial,
               {"card.pin_sealed" if with_pins else "NULL"},
               JSON_ARRAY({columns(CardRow, "card")}),
               (SELECT CONCAT('[', CONCAT_WS(',', {columns(SessionsRow)}), ']')
                  FROM session
                 WHERE session.card_id = card.id
                   AND (session.login_number > card.posted_login_number
                        OR session.due_at IS NOT NULL
                        OR session.used_seconds > session.posted_seconds
                        OR session.used_down_octets > session.posted_down_octets
                        OR session.used_up_octets > session.posted_up_octets)
                HAVING COUNT(*) > 0)
          FROM card FORCE INDEX (serial_is_unique)
          JOIN product ON product.id = card.product_id
         WHERE card.serial IN ({", ".join("?" * count)})
           AND card.status <> 'deleted'
        """


def _card(serial: str, pin_sealed: bytes, facts: str, sessions_facts: str | None) -> Card:
    """Fields by position: this is done for each login, and by keyword it takes twice as long."""
    row = _card_row(decode_json(facts)[0])
    used = Usage(row.posted_seconds, row.posted_down_octets, row.posted_up_octets)
    last_login_number, ended_count = row.posted_login_number, 0
    sessions: tuple[Session, ...] = ()
    if sessions_facts:
        since = _sessions_row(decode_json(sessions_facts)[0])
        if len(since.open_sessions) != since.open_count:
            # GROUP_CONCAT truncates a list that is too long, and a session that is overlooked would be free.
            raise ValueError(
                f"card {row.id} has {since.open_count} open sessions, and only {len(since.open_sessions)} were read"
            )
        used = Usage(
            Seconds(row.posted_seconds + since.unposted_seconds),
            Octets(row.posted_down_octets + since.unposted_down_octets),
            Octets(row.posted_up_octets + since.unposted_up_octets),
        )
        last_login_number = max(last_login_number, since.last_login_number)
        ended_count = since.ended_count
        sessions = tuple([_session(_session_row(one)) for one in since.open_sessions])
    return Card(
        row.id,
        serial,
        row.status,
        row.version,
        row.product_id,
        row.product_revision,
        row.expires_in_seconds,
        row.device,
        Credit(row.added_seconds, row.added_octets, row.added_down_octets, row.added_up_octets, row.added_millicents),
        used,
        last_login_number,
        sessions,
        ended_count,
        pin_sealed,
        row.key_number,
        int(row.was_tried),
    )


def _session(row: SessionRow) -> Session:
    used = Usage(row.used_seconds, row.used_down_octets, row.used_up_octets)
    seconds, octets, down_octets = row.granted_seconds, row.granted_octets, row.granted_down_octets
    up_octets, millicents = row.granted_up_octets, row.granted_millicents
    return Session(
        row.login_number,
        row.nas_id,
        row.device,
        bool(row.is_begun),
        (row.silent_us or 0) / 1_000_000,
        row.interim_seconds,
        Credit(
            None if seconds is None else Seconds(max(seconds - used.seconds, 0)),
            None if octets is None else Octets(max(octets - used.down_octets - used.up_octets, 0)),
            None if down_octets is None else Octets(max(down_octets - used.down_octets, 0)),
            None if up_octets is None else Octets(max(up_octets - used.up_octets, 0)),
            None if millicents is None else Millicents(max(millicents - cost_millicents(used, _tariff(row)), 0)),
        ),
        used,
    )


def _tariff(row: SessionRow) -> Tariff:
    return Tariff(row.tariff_minute_millicents, row.tariff_mb_millicents)


class Reservation(NamedTuple):
    """What an accepted login writes."""

    card_id: int
    card_version: int  # the card and the product as they were when the login was decided
    product_id: int
    product_revision: int
    login_number: int
    nas_id: int
    nas_address: str
    device: str
    due_in_seconds: int
    due_cause: str
    granted: Credit
    tariff: Tariff
    fup_octets: int | None
    interim_seconds: int
    closes: tuple[tuple[int, str, Usage], ...]  # login number, cause, what it had used when this was decided
    replaces: tuple[int, ...]
    activates: bool
    binds_device: bool
    token: int


def reserve(cursor: Cursor, reservations: Sequence[Reservation], skips_locked: bool = True) -> set[tuple[int, int]]:
    """Write accepted logins in one statement; return the keys (card id, login number) of those that were written.

    A login is written only if the facts of its decision still hold: the card has the version that was read, its product
    has the revision that was read, and its login number is free, so no other login of the card was decided meanwhile.
    The cards are locked until the commit, so whoever blocks a card afterwards finds the session.  A card that another
    transaction has locked is left out.  A login whose key is not returned has to be read and decided again.

    IGNORE, because a number that is taken must not undo the others; the tokens tell which logins were in time.
    *skips_locked* is False within a transaction of several statements, where MariaDB (10.11) answers a row that it
    leaves out with error 1180.
    """
    rows = [_reservation_row(cursor, one) for one in reservations]
    common, own_rows = _factored(rows)
    own_names = [name for name, value in common.items() if value is None]
    values = {name: value or f"one.{name}" for name, value in common.items()}
    version = values.pop("card_version")
    revisions = {(one.product_id, one.product_revision) for one in reservations}
    has_changed = " OR ".join(
        f"(id = {product_id:d} AND revision <> {revision:d})" for product_id, revision in revisions
    )
    written = cursor.execute(
        f"INSERT IGNORE INTO session ({', '.join(values)})"
        f" WITH one ({', '.join(own_names)}) AS (VALUES {', '.join(own_rows)})"
        f" SELECT STRAIGHT_JOIN {', '.join(values.values())}"
        f" FROM one JOIN card ON card.id = one.card_id AND card.version = {version}"
        f" WHERE NOT EXISTS (SELECT 1 FROM product WHERE {has_changed})"
        f" LOCK IN SHARE MODE {'SKIP LOCKED' if skips_locked else ''}"
    )
    if written == len(reservations):
        return {_key(one) for one in reservations}
    return _written(cursor, reservations)


def _factored(rows: Sequence[dict[str, str]]) -> tuple[dict[str, str | None], list[str]]:
    """Take values that are the same in all rows out of the rows: the server copies each value of each row several times.

    Returns for each name the common value or None, and the rows without the common values.  The card's id stays in the
    rows.

    >>> _factored([{"card_id": "1", "kind": "'a'"}, {"card_id": "2", "kind": "'a'"}])
    ({'card_id': None, 'kind': "'a'"}, ['(1)', '(2)'])
    """
    common: dict[str, str | None] = {}
    kept = []
    for name, values in zip(rows[0], zip(*[row.values() for row in rows], strict=True), strict=True):
        if name == "card_id" or len(set(values)) > 1:
            common[name] = None
            kept.append(values)
        else:
            common[name] = values[0]
    return common, [f"({', '.join(values)})" for values in zip(*kept, strict=True)]


def _reservation_row(cursor: Cursor, one: Reservation) -> dict[str, str]:
    """The session's columns and their values as SQL (see sql.number for why they are no parameters), and card_version."""
    text = cursor.connection.escape
    return {
        "card_version": str(one.card_version),
        "card_id": str(one.card_id),
        "login_number": str(one.login_number),
        "nas_id": str(one.nas_id),
        "nas_address": text(one.nas_address),
        "device": text(one.device),
        "login_at": "UTC_TIMESTAMP(3)",
        "due_at": f"UTC_TIMESTAMP(3) + INTERVAL {one.due_in_seconds:d} SECOND",
        "due_cause": text(one.due_cause),
        "granted_seconds": number(one.granted.seconds),
        "granted_octets": number(one.granted.octets),
        "granted_down_octets": number(one.granted.down_octets),
        "granted_up_octets": number(one.granted.up_octets),
        "granted_millicents": number(one.granted.millicents),
        "tariff_minute_millicents": number(one.tariff.minute_millicents),
        "tariff_mb_millicents": number(one.tariff.mb_millicents),
        "fup_octets": number(one.fup_octets),
        "interim_seconds": number(one.interim_seconds),
        "login_token": number(one.token),
    }


def reserve_with_changes(cursor: Cursor, reservation: Reservation) -> bool:
    """Write a login that changes more than its own row: all of it or nothing; return whether it was in time.

    A first login turns the card to in_use; a later one may end the sessions that it takes over or replaces.
    """
    cursor.execute("BEGIN")
    is_in_time = _change_card(cursor, reservation)
    if is_in_time:
        # Our own change made a new version, and the row is ours until the commit.
        changed = reservation._replace(
            card_version=reservation.card_version + (reservation.activates or reservation.binds_device)
        )
        is_in_time = bool(reserve(cursor, [changed], skips_locked=False)) and all(
            _close_session(cursor, reservation.card_id, *one) for one in reservation.closes
        )
    if not is_in_time:
        cursor.execute("ROLLBACK")
        return bool(_written(cursor, [reservation]))
    for login_number in reservation.replaces:
        _replace_session(cursor, reservation.card_id, login_number)
    cursor.execute("COMMIT")
    return True


def _key(reservation: Reservation) -> tuple[int, int]:
    return reservation.card_id, reservation.login_number


def _written(cursor: Cursor, reservations: Sequence[Reservation]) -> set[tuple[int, int]]:
    """The keys whose row is this very login's: written just now, or before by a commit whose answer was lost."""
    # Not one IN of triples, for which MariaDB scans the whole table.
    this_one = "(card_id = %s AND login_number = %s AND login_token = %s)"
    cursor.execute(
        f"SELECT card_id, login_number FROM session WHERE {' OR '.join([this_one] * len(reservations))}",
        [value for one in reservations for value in (*_key(one), one.token)],
    )
    return {(card_id, login_number) for card_id, login_number in cursor.fetchall()}


def _change_card(cursor: Cursor, reservation: Reservation) -> bool:
    """What a login changes on the card itself, if the card is still as it was read: the first login turns it to in_use
    and begins its validity, and may bind it to the device."""
    if not (reservation.activates or reservation.binds_device):
        return True
    return bool(
        cursor.execute(
            f"""
            UPDATE card
               SET {ACTIVATION if reservation.activates else ""}
                   device = IF(%(binds_device)s, %(device)s, device)
             WHERE id = %(card_id)s
               AND version = %(card_version)s
            """,
            reservation._asdict(),
        )
    )


def activate(cursor: Cursor, card_id: int) -> bool:
    """Turn a card that was never used to in_use: its validity runs from now.  Returns whether it was changed."""
    return bool(
        cursor.execute(
            f"UPDATE card SET {ACTIVATION} version = version WHERE id = %s AND status = 'delivered'", (card_id,)
        )
    )


def _close_session(cursor: Cursor, card_id: int, login_number: int, cause: str, used: Usage) -> bool:
    """End a session for a login that takes its place.  False if it is no longer as the login found it: what it has used
    meanwhile was granted to the login.

    A session that the same device takes over ends now: what it reports later was sent before that, or it goes on after
    all.  A silent session ended when it was last heard of.
    """
    cursor.execute(
        f"""
        UPDATE session
           SET closed_at = {"UTC_TIMESTAMP(3)" if cause == "superseded" else "COALESCE(heard_at, login_at)"},
               close_cause = %s,
               due_at = NULL
         WHERE card_id = %s
           AND login_number = %s
           AND due_at IS NOT NULL
           AND used_seconds = %s
           AND used_down_octets = %s
           AND used_up_octets = %s
           AND {CLOSES_IF[cause]}
        """,
        (cause, card_id, login_number, *used),
    )
    if cursor.rowcount:
        return True
    cursor.execute(
        """
        SELECT due_at IS NULL AND used_seconds = %s AND used_down_octets = %s AND used_up_octets = %s
          FROM session
         WHERE card_id = %s
           AND login_number = %s
        """,
        (*used, card_id, login_number),
    )
    (has_ended,) = cursor.fetchone() or (True,)
    return bool(has_ended)


def _replace_session(cursor: Cursor, card_id: int, login_number: int) -> None:
    """A new login takes this session's place: `prepaid enforce` disconnects it.  It no longer counts as open."""
    cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = 'replaced'
         WHERE card_id = %s
           AND login_number = %s
           AND due_at IS NOT NULL
        """,
        (card_id, login_number),
    )


def expire(cursor: Cursor, card_id: int) -> None:
    """Set a card's status to expired if its validity is over."""
    cursor.execute(
        """
        UPDATE card
           SET status = 'expired'
         WHERE id = %s
           AND status IN ('delivered', 'in_use')
           AND COALESCE(expires_at, (SELECT valid_until_at FROM product WHERE product.id = card.product_id))
               <= UTC_TIMESTAMP(3)
        """,
        (card_id,),
    )
