"""Every SQL statement of the module.  One function, one statement or one transaction.

Logins are read, and reports are written, as lists: whoever waits at the same time shares a statement.
All times are the database's own (UTC_TIMESTAMP), so that several FreeRADIUS servers need not agree on
the clock; what comes back are ages and distances in seconds.

Facts come as one JSON array a row, not as thirty columns: the driver is Python and takes each column of each row
by hand, the array in one call.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..attributes import Report
from ..rules import hours
from ..rules.identity import Candidate
from ..rules.login import TIMEOUT_GRACE_SECONDS, Card, Product, Session, Standing, balance_of, taken_back
from ..rules.usage import Credit, Tariff, Usage, cost_millicents, followed
from ..rules.vendors import Terms

# A quarter of an hour, in which wrong PINs are counted.
WINDOW_SECONDS = 900
WINDOW = f"FROM_UNIXTIME(UNIX_TIMESTAMP() DIV {WINDOW_SECONDS} * {WINDOW_SECONDS})"

# The end of the validity that a first login starts now: so many days, or the product's last day if that is sooner.
STARTING_VALIDITY = """LEAST(
    COALESCE(UTC_TIMESTAMP(3) + INTERVAL product.valid_days DAY, product.valid_until_at),
    COALESCE(product.valid_until_at, UTC_TIMESTAMP(3) + INTERVAL product.valid_days DAY))"""
# What the first login sets.  The product is read in a subquery: a join would lock its row for all other cards.
ACTIVATION = f"""status = 'in_use',
                   first_login_at = UTC_TIMESTAMP(3),
                   expires_at = COALESCE(
                       expires_at, (SELECT {STARTING_VALIDITY} FROM product WHERE product.id = card.product_id)),"""
# What must still be true of a session that a login ends, beside that it has not ended: by the cause that is recorded.
CLOSES_IF = {
    "superseded": "TRUE",
    "not_begun": "acct_session_id = ''",
    "stale": "(heard_at IS NULL OR heard_at <= UTC_TIMESTAMP(3) - INTERVAL interim_seconds SECOND)",
}


# Logins -------------------------------------------------------------------------------------------------


# A decoy row: parsing it takes as long as parsing a real card, so timing does not reveal that a serial does not exist.
DECOY = json.dumps([1, "delivered", 1, 1, 1, 2_592_000, None, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])

OPEN = """(session.due_at > UTC_TIMESTAMP(3)
           OR (session.due_at IS NOT NULL AND session.due_cause IN ('unknown', 'revived')))"""
_facts = json.JSONDecoder().raw_decode
# Cards are read by eights: a statement is prepared for each count of them.
CARDS_STEP = 8


def read_cards(cursor, serials: Sequence[str], with_pins: bool = True) -> dict[str, Card]:
    """All that a decision needs to know, of all cards that are asked for, in one statement."""
    # Of a few sizes, so that it is prepared; who is asked for twice is found once.
    wanted = [*serials, *serials[-1:] * ((-len(serials) % CARDS_STEP) if len(serials) > 1 else 0)]
    name = f"cards_{len(wanted)}_{'with' if with_pins else 'without'}_pins"
    _execute_prepared(cursor, name, lambda: _cards_statement(len(wanted), with_pins), wanted)
    cards = {
        serial: _card(serial, pin_sealed, sessions and _facts(sessions)[0], *_facts(facts)[0])
        for serial, pin_sealed, facts, sessions in cursor.fetchall()
    }
    for _ in range(len(serials) - len(cards)):
        _card("", b"", None, *_facts(DECOY)[0])
    return cards


def _cards_statement(count: int, with_pins: bool) -> str:
    """A card is one row, whatever it was used for: of its sessions that are open, not yet posted, or newer than the last
    posting, it has the sums, and beside them those that are open.

    The order of the join and the key are given: a few products and a plan through all their cards looks cheap to an
    optimizer that has no statistics yet.
    """
    return f"""
        SELECT STRAIGHT_JOIN
               card.serial,
               {"card.pin_sealed" if with_pins else "NULL"},
               JSON_ARRAY(
                   card.id, card.status, card.version, card.product_id, product.revision,
                   TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), COALESCE(
                       card.expires_at, IF(card.first_login_at IS NULL, {STARTING_VALIDITY}, product.valid_until_at))),
                   card.device, card.posted_login_number, card.key_number,
                   (SELECT COALESCE(SUM(login_refusal.tries), 0)
                      FROM login_refusal
                     WHERE login_refusal.card_id = card.id
                       AND login_refusal.reason = 'wrong_pin'
                       AND login_refusal.window_at = {WINDOW}),
                   card.added_seconds, card.added_octets, card.added_down_octets, card.added_up_octets,
                   card.added_cents * 1000,
                   card.posted_seconds, card.posted_down_octets, card.posted_up_octets),
               (SELECT CONCAT_WS('',
                           '[', MAX(session.login_number),
                           ',', COUNT(IF({OPEN}, NULL, 1)),
                           ',', SUM(session.used_seconds) - SUM(session.posted_seconds),
                           ',', SUM(session.used_down_octets) - SUM(session.posted_down_octets),
                           ',', SUM(session.used_up_octets) - SUM(session.posted_up_octets),
                           ',', COUNT(IF({OPEN}, 1, NULL)),
                           ',[', GROUP_CONCAT(IF({OPEN}, JSON_ARRAY(
                               session.login_number, session.nas_id, session.device, session.acct_session_id <> '',
                               TIMESTAMPDIFF(
                                   MICROSECOND, COALESCE(session.heard_at, session.login_at), UTC_TIMESTAMP(3)),
                               session.interim_seconds,
                               session.used_seconds, session.used_down_octets, session.used_up_octets,
                               session.granted_seconds, session.granted_octets, session.granted_down_octets,
                               session.granted_up_octets, session.granted_millicents,
                               session.tariff_minute_millicents, session.tariff_mb_millicents), NULL)), ']]')
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


def _card(
    serial, pin_sealed, of_sessions, card_id, status, version, product_id, revision, expires_in_seconds, device,
    posted_login_number, key_number, was_tried, added_seconds, added_octets, added_down, added_up, added_millicents,
    seconds, down_octets, up_octets,
) -> Card:  # fmt: skip
    last_login_number, unposted, sessions = posted_login_number, 0, ()
    if of_sessions:
        number, unposted, unposted_seconds, unposted_down, unposted_up, open_count, found = of_sessions
        if len(found) != open_count:
            # GROUP_CONCAT cuts what is too long for it, and a session that is overlooked would be free.
            raise ValueError(f"card {card_id} has {open_count} open sessions, and only {len(found)} were read")
        last_login_number = max(last_login_number, number)
        seconds += unposted_seconds
        down_octets += unposted_down
        up_octets += unposted_up
        sessions = tuple(_session(*facts) for facts in found)
    return Card(
        id=card_id,
        serial=serial,
        status=status,
        version=version,
        product_id=product_id,
        product_revision=revision,
        expires_in_seconds=expires_in_seconds,
        device=device,
        added=Credit(added_seconds, added_octets, added_down, added_up, added_millicents),
        used=Usage(seconds, down_octets, up_octets),
        last_login_number=last_login_number,
        sessions=sessions,
        unposted=unposted,
        pin_sealed=pin_sealed,
        key_number=key_number,
        was_tried=int(was_tried),
    )


def _session(
    number, nas_id, device, is_begun, silent_us, interim_seconds, used_seconds, used_down, used_up,
    granted_seconds, granted_octets, granted_down, granted_up, granted_millicents, minute_millicents, mb_millicents,
) -> Session:  # fmt: skip
    used = Usage(used_seconds, used_down, used_up)
    tariff = Tariff(minute_millicents, mb_millicents)
    return Session(
        login_number=number,
        nas_id=nas_id,
        device=device,
        is_begun=bool(is_begun),
        silent_seconds=(silent_us or 0) / 1_000_000,
        interim_seconds=interim_seconds,
        granted_left=Credit(
            None if granted_seconds is None else max(granted_seconds - used_seconds, 0),
            None if granted_octets is None else max(granted_octets - used_down - used_up, 0),
            None if granted_down is None else max(granted_down - used_down, 0),
            None if granted_up is None else max(granted_up - used_up, 0),
            None if granted_millicents is None else max(granted_millicents - cost_millicents(used, tariff), 0),
        ),
        used=used,
    )


class Reservation(NamedTuple):
    """What an accepted login writes."""

    card_id: int
    card_version: int  # what was decided on: the card as it was, and its product
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


RESERVATION_COLUMNS = (
    "card_id", "login_number", "nas_id", "nas_address", "device", "login_at", "due_at", "due_cause", "granted_seconds",
    "granted_octets", "granted_down_octets", "granted_up_octets", "granted_millicents", "tariff_minute_millicents",
    "tariff_mb_millicents", "fup_octets", "interim_seconds", "login_token",
)  # fmt: skip


def reserve(cursor, reservations: Sequence[Reservation], skips_locked: bool = True) -> set[tuple[int, int]]:
    """Write accepted logins in one statement; return the keys of those that were written.

    A login is written only if what it was decided on still holds: the card is the version that was read, its product
    the revision that was read, and its number is free, so no other login of the card was decided meanwhile.  The cards
    are locked until the commit, so whoever blocks a card afterwards finds the session.  A card that somebody else has
    locked is left out.  Who is not in the answer has to read and decide again.

    IGNORE, because a number that is taken must not undo the others; the tokens tell which were in time.
    *skips_locked* False: within a transaction of several statements, where MariaDB (10.11) answers a row that it leaves
    out with error 1180.
    """
    columns, first, rows = _factored(
        ("card_version", *RESERVATION_COLUMNS),
        [(str(one.card_version), *_reservation_values(cursor, one)) for one in reservations],
    )
    names = [name for name, value in first.items() if value is None]
    values = ", ".join(
        f"one.{name}" if value is None else value for name, value in first.items() if name != "card_version"
    )
    version = first["card_version"] or "one.card_version"
    revisions = {(one.product_id, one.product_revision) for one in reservations}
    has_changed = " OR ".join(
        f"(id = {product_id:d} AND revision <> {revision:d})" for product_id, revision in revisions
    )
    written = cursor.execute(
        f"INSERT IGNORE INTO session ({', '.join(RESERVATION_COLUMNS)})"
        f" WITH one ({', '.join(names)}) AS (VALUES {', '.join(rows)})"
        f" SELECT STRAIGHT_JOIN {values}"
        f" FROM one JOIN card ON card.id = one.card_id AND card.version = {version}"
        f" WHERE NOT EXISTS (SELECT 1 FROM product WHERE {has_changed})"
        f" LOCK IN SHARE MODE {'SKIP LOCKED' if skips_locked else ''}"
    )
    if written == len(reservations):
        return {_key(one) for one in reservations}
    return _written(cursor, reservations)


def _factored(
    names: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], dict[str, str | None], list[str]]:
    """Values that are the same in all rows are stated once: a server copies each value of each row several times.

    Returns the names, for each the common value or None, and the rows without the common values.  The key stays in the
    rows.

    >>> _factored(("id", "kind"), [("1", "'a'"), ("2", "'a'")])[1:]
    ({'id': None, 'kind': "'a'"}, ['(1)', '(2)'])
    """
    common = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        is_common = name not in ("id", "card_id") and len(set(values)) == 1
        common[name] = values[0] if is_common else None
    kept = [index for index, name in enumerate(names) if common[name] is None]
    return names, common, [f"({', '.join([row[index] for index in kept])})" for row in rows]


def _reservation_values(cursor, one: Reservation) -> tuple[str, ...]:
    """As text, and not as parameters: to escape each number takes the driver longer than all else of the row."""
    text = cursor.connection.escape
    return (
        str(one.card_id),
        str(one.login_number),
        str(one.nas_id),
        text(one.nas_address),
        text(one.device),
        "UTC_TIMESTAMP(3)",
        f"UTC_TIMESTAMP(3) + INTERVAL {one.due_in_seconds:d} SECOND",
        text(one.due_cause),
        *map(_number, (*one.granted, *one.tariff, one.fup_octets, one.interim_seconds, one.token)),
    )


def reserve_with_changes(cursor, reservation: Reservation) -> bool:
    """A login that changes more than its own row: all of it or nothing; whether it was in time.

    A first login turns the card to in_use; a later one may end the sessions that it takes over or replaces.
    """
    cursor.execute("BEGIN")
    is_in_time = _change_card(cursor, reservation)
    if is_in_time:
        # What is changed here is a new version, and locked by us.
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
        _disconnect_session(cursor, reservation.card_id, login_number, "replaced")
    cursor.execute("COMMIT")
    return True


def _number(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"


def _key(reservation: Reservation) -> tuple[int, int]:
    return reservation.card_id, reservation.login_number


def _written(cursor, reservations: Sequence[Reservation]) -> set[tuple[int, int]]:
    """Where the row that is there is this very login's: just written, or before, by a commit whose answer got lost."""
    # Not one IN of triples, which MariaDB looks for in the whole table.
    this_one = "(card_id = %s AND login_number = %s AND login_token = %s)"
    cursor.execute(
        f"SELECT card_id, login_number FROM session WHERE {' OR '.join([this_one] * len(reservations))}",
        [value for one in reservations for value in (*_key(one), one.token)],
    )
    return set(cursor.fetchall())


def _change_card(cursor, reservation: Reservation) -> bool:
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


def _activate(cursor, card_id: int) -> bool:
    """A card that was never used is used: its validity runs from now."""
    return bool(
        cursor.execute(
            f"UPDATE card SET {ACTIVATION} device = device WHERE id = %s AND status = 'delivered'", (card_id,)
        )
    )


def _close_session(cursor, card_id: int, login_number: int, cause: str, used: Usage) -> bool:
    """End a session for a login that takes its place; False if it is not any more what the login found: what it has used
    meanwhile was granted to the login.

    A session that the same device takes over ends now: what it reports later was sent before that, or it goes on after
    all.  One that is silent ended when it was last heard of.
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


def _disconnect_session(cursor, card_id: int, login_number: int, cause: str) -> None:
    """Say that a session has to be off now; `prepaid enforce` disconnects it.  It counts no more as open."""
    cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = %s
         WHERE card_id = %s
           AND login_number = %s
           AND due_at IS NOT NULL
        """,
        (cause, card_id, login_number),
    )


def expire(cursor, card_id: int) -> None:
    """Record that a card's validity is over, the first time that somebody finds it so."""
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


class RefusedLogin(NamedTuple):
    card_id: int  # of no meaning where the serial is no card's
    source: str
    reason: str
    nas_id: int


def record_refusals(cursor, refusals: Sequence[RefusedLogin]) -> None:
    """Count refused logins by card, source and quarter of an hour."""
    cursor.execute(
        f"""
        INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, first_at, last_at)
        VALUES {", ".join([f"(%s, %s, %s, {WINDOW}, %s, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"] * len(refusals))}
            ON DUPLICATE KEY UPDATE tries = tries + 1, last_at = VALUES(last_at)
        """,
        [value for refusal in refusals for value in refusal],
    )


def record_unknown(cursor, refusals: Sequence[RefusedLogin]) -> None:
    """Count logins with serials that are no card's, by source: the same work as for one that is."""
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


def read_standings(cursor, tries: Sequence[Try]) -> list[tuple[int | None, Standing]]:
    """For each try: the card's number, if there is such a card, and what was counted in this quarter of an hour before it.

    An unknown serial has no card; what is counted for it are the tries of its NAS with serials that do not exist.  Both
    are asked for in either case, so that the statement does the same work for both.
    """
    values = ", ".join(["%s"] * 5)
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
    standings: list = [None] * len(tries)
    for number, card_id, of_card, of_unknown, is_known in cursor.fetchall():
        counted = _facts(of_unknown if card_id is None else of_card)[0]
        standings[number] = card_id, Standing(*map(int, counted), bool(is_known))
    return standings


def refused_sources(cursor, refusals: Sequence[RefusedLogin]) -> dict[tuple[int, str], set[str]]:
    """The sources that have a row of their own in this quarter of an hour, by card and reason."""
    keys = sorted({(refusal.card_id, refusal.reason) for refusal in refusals})
    # Not one IN of pairs, which MariaDB looks for in the whole table.
    this_one = f"(card_id = %s AND reason = %s AND window_at = {WINDOW})"
    cursor.execute(
        f"SELECT card_id, reason, source FROM login_refusal WHERE {' OR '.join([this_one] * len(keys))}",
        [value for key in keys for value in key],
    )
    found: dict[tuple[int, str], set[str]] = {key: set() for key in keys}
    for card_id, reason, source in cursor.fetchall():
        found[card_id, reason].add(source)
    return found


# Accounting ---------------------------------------------------------------------------------------------


class Charge(NamedTuple):
    """A report whose session is known: what the one statement of accounting writes."""

    card_id: int
    login_number: int
    report: Report
    # The session ended so long ago that it may be moved into the archive while this is charged.
    is_archivable: bool = False


class Charged(NamedTuple):
    """What became of a charge: the session's row as it is now."""

    card_id: int
    login_number: int
    acct_session_id: str
    used: Usage
    reached: int  # bits of REACHED_…
    is_open: bool  # not stopped, not closed
    was_closed: bool  # ended before, without a Stop
    has_login: bool  # a login of ours began it


REACHED_LIMIT = 1
REACHED_FUP = 2

CHARGE_COLUMNS = (
    "card_id, login_number, login_token, nas_id, nas_address, acct_session_id, device, started_at, heard_at, stopped_at,"
    " stop_cause, due_at, due_cause, used_seconds, used_down_octets, used_up_octets, framed_ipv4, framed_ipv6, delegated_prefix"
)
# As text, and not as parameters: see _reservation_values.
CHARGE_ROW = (
    "({:d}, {:d}, {}, {:d}, {}, {}, {}, UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND, UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND,"
    " {}, {}, IF(stopped_at IS NULL, UTC_TIMESTAMP(3), NULL), 'unknown', {:d}, {:d}, {:d}, {}, {}, {})"
)
# A session that no login of ours began (unknown), or that goes on after we had closed it (revived), is due at once:
# `prepaid enforce` judges whether it may go on.  Until then it counts as open.
# A row belongs to this Acct-Session-Id, or to none yet: then its login must be the one that the Class names, if there is a
# Class.  Assignments are made from left to right, so whatever
# looks at the old counters or the old identifier stands before the line that changes them.
# A closed session goes on if it used more and said so in a packet that was sent after its end.
IS_OURS = """(session.acct_session_id = VALUES(acct_session_id)
           OR (session.acct_session_id = '' AND COALESCE(session.login_token = VALUES(login_token), TRUE)))"""
CHARGE_UPDATE = f"""
    nas_id = IF({IS_OURS}, VALUES(nas_id), nas_id),
    nas_address = IF({IS_OURS}, VALUES(nas_address), nas_address),
    device = IF({IS_OURS} AND device = '', VALUES(device), device),
    started_at = IF({IS_OURS}, LEAST(COALESCE(started_at, VALUES(started_at)), VALUES(started_at)), started_at),
    heard_at = IF({IS_OURS}, GREATEST(COALESCE(heard_at, VALUES(heard_at)), VALUES(heard_at)), heard_at),
    stop_cause = IF({IS_OURS}, COALESCE(stop_cause, VALUES(stop_cause)), stop_cause),
    stopped_at = IF({IS_OURS}, COALESCE(stopped_at, VALUES(stopped_at)), stopped_at),
    closed_at = IF({IS_OURS} AND stopped_at IS NULL AND VALUES(heard_at) > COALESCE(reopens_after_at, closed_at) AND (
                       acct_session_id = ''
                       OR VALUES(used_seconds) > used_seconds
                       OR VALUES(used_down_octets) > used_down_octets
                       OR VALUES(used_up_octets) > used_up_octets), NULL, closed_at),
    close_cause = IF(closed_at IS NULL, NULL, close_cause),
    due_cause = IF({IS_OURS} AND due_at IS NULL AND stopped_at IS NULL AND closed_at IS NULL, 'revived', due_cause),
    due_at = CASE WHEN NOT {IS_OURS} THEN due_at
                  WHEN stopped_at IS NOT NULL OR closed_at IS NOT NULL THEN NULL
                  ELSE COALESCE(due_at, UTC_TIMESTAMP(3)) END,
    used_seconds = IF({IS_OURS}, GREATEST(used_seconds, VALUES(used_seconds)), used_seconds),
    used_down_octets = IF({IS_OURS}, GREATEST(used_down_octets, VALUES(used_down_octets)), used_down_octets),
    used_up_octets = IF({IS_OURS}, GREATEST(used_up_octets, VALUES(used_up_octets)), used_up_octets),
    framed_ipv4 = IF({IS_OURS}, COALESCE(VALUES(framed_ipv4), framed_ipv4), framed_ipv4),
    framed_ipv6 = IF({IS_OURS}, COALESCE(VALUES(framed_ipv6), framed_ipv6), framed_ipv6),
    delegated_prefix = IF({IS_OURS}, COALESCE(VALUES(delegated_prefix), delegated_prefix), delegated_prefix),
    acct_session_id = IF({IS_OURS}, VALUES(acct_session_id), acct_session_id)"""
# All of one of the credits that a session was granted.
GRANT_IS_USED = """(
    COALESCE(used_seconds >= granted_seconds, FALSE)
    OR COALESCE(used_down_octets + used_up_octets >= granted_octets, FALSE)
    OR COALESCE(used_down_octets >= granted_down_octets, FALSE)
    OR COALESCE(used_up_octets >= granted_up_octets, FALSE)
    OR COALESCE(used_seconds / 60e0 * tariff_minute_millicents
                + (used_down_octets + used_up_octets) / 1e6 * tariff_mb_millicents >= granted_millicents, FALSE))"""
# A session without a login was granted nothing: whether its card is used up is looked at each time.  What one that goes
# on had left may be granted to others by now.
REACHED = f"""
    (login_at IS NULL OR due_cause <=> 'revived' OR {GRANT_IS_USED}) * {REACHED_LIMIT}
    + COALESCE(used_down_octets + used_up_octets >= fup_octets, FALSE) * {REACHED_FUP}"""


# When a session has used the time that it was granted, if it uses it without a pause.
GRANT_ENDS_AT = f"(COALESCE(started_at, login_at) + INTERVAL (granted_seconds + {TIMEOUT_GRACE_SECONDS}) SECOND)"


def charge(cursor, charges: Sequence[Charge]) -> list[Charged]:
    """Raise sessions' counters to what was reported: one statement, one commit, whatever the number of packets.

    What counts is the highest value seen, so a repeated, late or reordered packet changes nothing, and running
    this twice is running it once.  Sessions are written in the order of their key, so that two servers which write
    the same ones wait for each other instead of deadlocking.
    """
    ordered = sorted(range(len(charges)), key=lambda index: charges[index][:2])
    text = cursor.connection.escape
    rows = []
    for index in ordered:
        card_id, login_number, report, _ = charges[index]
        seconds = report.seconds or 0
        age = report.age_seconds
        rows.append(
            CHARGE_ROW.format(
                card_id,
                login_number,
                _number(report.claim.token if report.claim else None),
                report.nas_id,
                text(report.nas_address),
                text(report.acct_session_id),
                text(report.device),
                age + seconds,
                age,
                f"UTC_TIMESTAMP(3) - INTERVAL {age:f} SECOND" if report.kind == "Stop" else "NULL",
                text(report.stop_cause),
                seconds,
                report.down_octets or 0,
                report.up_octets or 0,
                text(report.framed_ipv4),
                text(report.framed_ipv6),
                text(report.delegated_prefix),
            )
        )
    cursor.execute(
        f"INSERT INTO session ({CHARGE_COLUMNS})"
        f" VALUES {', '.join(rows)}"
        f" ON DUPLICATE KEY UPDATE {CHARGE_UPDATE}"
        " RETURNING JSON_ARRAY(card_id, login_number, acct_session_id, used_seconds, used_down_octets, used_up_octets,"
        f" {REACHED}, due_at IS NOT NULL, closed_at IS NOT NULL, login_at IS NOT NULL)"
    )
    charged: list[Any] = [None] * len(charges)
    for index, (facts,) in zip(ordered, cursor.fetchall(), strict=True):
        charged[index] = _charged(*_facts(facts)[0])
    return charged


def charge_alone(cursor, charge_: Charge, rule: str) -> Charged | None:
    """The same for a session whose row has to be read first, and is locked meanwhile.

    Of a NAS whose octet counters wrap or reset, by its counter rule: a packet that is not later than what was counted (by
    Acct-Session-Time) is an old one, and a fall in it no fall.  Of a session that may be moved into the archive just now:
    None if it was.  A row that is not there any more must not be made again: all that it says would be charged once more.
    """
    card_id, login_number, report, is_archivable = charge_
    cursor.execute("BEGIN")
    cursor.execute(
        """
        SELECT used_seconds, used_down_octets, used_up_octets, raw_down_octets, raw_up_octets
          FROM session
         WHERE card_id = %s
           AND login_number = %s
           AND acct_session_id IN ('', %s)
           FOR UPDATE
        """,
        (card_id, login_number, report.acct_session_id),
    )
    row = cursor.fetchone()
    if row is None and is_archivable and not _is_there(cursor, card_id, login_number):
        cursor.execute("ROLLBACK")
        return None
    if rule == "gigawords":
        (charged,) = charge(cursor, [charge_])
        cursor.execute("COMMIT")
        return charged
    seconds, *counted = row or (0, 0, 0, None, None)
    totals, raws, falls = [], [], []
    for name, total, last_raw, raw in zip(
        ("down", "up"), counted[:2], counted[2:], (report.down_octets, report.up_octets), strict=True
    ):
        is_fall = raw is not None and last_raw is not None and raw < last_raw
        is_old = report.seconds is not None and report.seconds < seconds
        if raw is None or is_old or (is_fall and (report.seconds or 0) <= seconds):
            totals.append(total)
            raws.append(last_raw)
            continue
        totals.append(followed(total, raw, last_raw, rule))
        raws.append(raw)
        if is_fall:
            falls.append(f"{name} {raw} after {last_raw}")
    (charged,) = charge(
        cursor, [Charge(card_id, login_number, report._replace(down_octets=totals[0], up_octets=totals[1]))]
    )
    cursor.execute(
        """
        UPDATE session
           SET raw_down_octets = %s,
               raw_up_octets = %s
         WHERE card_id = %s
           AND login_number = %s
           AND acct_session_id = %s
        """,
        (*raws, card_id, login_number, report.acct_session_id),
    )
    if falls:
        detail = f"at {report.seconds} s: {', '.join(falls)}"
        record_anomalies(cursor, [Anomaly(card_id, login_number, rule, detail)])
    cursor.execute("COMMIT")
    return charged


def _is_there(cursor, card_id: int, login_number: int) -> bool:
    cursor.execute("SELECT 1 FROM session WHERE card_id = %s AND login_number = %s", (card_id, login_number))
    return cursor.fetchone() is not None


# What the archive keeps of a session, and what comes back with it.
ARCHIVED_COLUMNS = (
    "card_id, login_number, nas_id, nas_address, acct_session_id, device, login_at, started_at, heard_at, stopped_at, "
    "stop_cause, closed_at, close_cause, reopens_after_at, granted_seconds, granted_octets, granted_down_octets, "
    "granted_up_octets, granted_millicents, tariff_minute_millicents, tariff_mb_millicents, fup_octets, "
    "interim_seconds, used_seconds, used_down_octets, used_up_octets, raw_down_octets, raw_up_octets, framed_ipv4, "
    "framed_ipv6, delegated_prefix"
)


def find_archived(cursor, reports: Sequence[Report]) -> list[tuple[int, int]]:
    """The keys of archived sessions that packets may belong to, which come after all."""
    serials = sorted({report.serial for report in reports})
    identifiers = sorted({report.acct_session_id for report in reports})
    # A login that was archived before its first packet came has no identifier yet.
    numbers = sorted({report.claim.login_number for report in reports if report.claim} or {0})
    cursor.execute(
        f"""
        SELECT STRAIGHT_JOIN old.card_id, old.login_number
          FROM card FORCE INDEX (serial_is_unique)
          JOIN session_archive AS old FORCE INDEX (PRIMARY) ON old.card_id = card.id
         WHERE card.serial IN ({_places(serials)})
           AND old.login_number > 0
           AND (old.acct_session_id IN ('', {_places(identifiers)}) OR old.login_number IN ({_places(numbers)}))
           AND NOT EXISTS (SELECT 1
                             FROM session
                            WHERE session.card_id = old.card_id
                              AND session.login_number = old.login_number)
        """,
        [*serials, *identifiers, *numbers],
    )
    return sorted(cursor.fetchall())


def unarchive(cursor, keys: Sequence[tuple[int, int]]) -> None:
    """Bring archived sessions back: what a packet adds is the rise over what was counted.

    All of the session comes back, so that the rules give the same answer as if it had never been archived.  The archive
    keeps its row; the session's row stands for it until it is archived again.
    """
    for card_id, login_number in keys:
        cursor.execute(
            f"""
            INSERT IGNORE INTO session (
                {ARCHIVED_COLUMNS}, posted_seconds, posted_down_octets, posted_up_octets)
            SELECT {ARCHIVED_COLUMNS}, used_seconds, used_down_octets, used_up_octets
              FROM session_archive
             WHERE card_id = %s
               AND login_number = %s
            """,
            (card_id, login_number),
        )


# See _reservation_values.
PROGRESS_ROW = "({:d}, {:d}, {:d}, {}, UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND, UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND, {:d}, {:d}, {:d})"
# The row is this session's, and open.  After a restore a login's number may be another login's by now.
GOES_ON = "due_at IS NOT NULL AND acct_session_id = VALUES(acct_session_id)"
PROGRESS_UPDATE = f"""
    started_at = IF({GOES_ON}, LEAST(started_at, VALUES(started_at)), started_at),
    heard_at = IF({GOES_ON}, GREATEST(heard_at, VALUES(heard_at)), heard_at),
    used_seconds = IF({GOES_ON}, GREATEST(used_seconds, VALUES(used_seconds)), used_seconds),
    used_down_octets = IF({GOES_ON}, GREATEST(used_down_octets, VALUES(used_down_octets)), used_down_octets),
    used_up_octets = IF({GOES_ON}, GREATEST(used_up_octets, VALUES(used_up_octets)), used_up_octets)"""


def progress(cursor, charges: Sequence[Charge]) -> list[Charged | None]:
    """The same as ``charge`` at half the price, for interims of sessions that have been charged before and say nothing
    new but their counters; None for one whose row is not open any more: that is for ``charge`` to judge."""
    ordered = sorted(range(len(charges)), key=lambda index: charges[index][:2])
    text = cursor.connection.escape
    rows = []
    for index in ordered:
        card_id, login_number, report, _ = charges[index]
        seconds, age = report.seconds or 0, report.age_seconds
        rows.append(
            PROGRESS_ROW.format(
                card_id,
                login_number,
                report.nas_id,
                text(report.acct_session_id),
                age + seconds,
                age,
                seconds,
                report.down_octets or 0,
                report.up_octets or 0,
            )
        )
    cursor.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, started_at, heard_at,"
        " used_seconds, used_down_octets, used_up_octets)"
        f" VALUES {', '.join(rows)}"
        f" ON DUPLICATE KEY UPDATE {PROGRESS_UPDATE}"
        " RETURNING JSON_ARRAY(card_id, login_number, acct_session_id, used_seconds, used_down_octets, used_up_octets,"
        f" {REACHED}, due_at IS NOT NULL, closed_at IS NOT NULL, login_at IS NOT NULL)"
    )
    charged: list[Charged | None] = [None] * len(charges)
    for index, (facts,) in zip(ordered, cursor.fetchall(), strict=True):
        row = _charged(*_facts(facts)[0])
        charged[index] = row if row.is_open else None
    return charged


def _charged(
    card_id, login_number, acct_session_id, seconds, down_octets, up_octets, reached, is_open, was_closed, has_login
) -> Charged:
    return Charged(
        card_id,
        login_number,
        acct_session_id,
        Usage(seconds, down_octets, up_octets),
        int(reached),
        bool(is_open),
        bool(was_closed),
        bool(has_login),
    )


def find_candidates(cursor, reports: Sequence[Report]) -> dict[str, tuple[int, int, list[Candidate]]]:
    """For packets without our Class: serial -> (card id, next free login number, sessions they may belong to)."""
    serials = sorted({report.serial for report in reports})
    identifiers = sorted({report.acct_session_id for report in reports})
    cursor.execute(
        f"""
        SELECT card.serial, card.id, card.posted_login_number,
               session.login_number, session.nas_id, session.acct_session_id, session.device,
               session.due_at IS NOT NULL, session.stopped_at IS NOT NULL,
               TIMESTAMPDIFF(MICROSECOND, session.login_at, UTC_TIMESTAMP(3)),
               TIMESTAMPDIFF(MICROSECOND, session.started_at, UTC_TIMESTAMP(3)),
               TIMESTAMPDIFF(MICROSECOND, session.heard_at, UTC_TIMESTAMP(3)),
               session.used_seconds
          FROM card FORCE INDEX (serial_is_unique)
          LEFT JOIN session
            ON session.card_id = card.id
           AND (session.acct_session_id IN ('', {_places(identifiers)})
                OR session.login_number > card.posted_login_number)
         WHERE card.serial IN ({_places(serials)})
           AND card.status <> 'deleted'
        """,
        [*identifiers, *serials],
    )
    found: dict[str, tuple[int, int, list[Candidate]]] = {}
    for serial, card_id, posted, number, nas_id, acct_id, device, is_open, is_stopped, *ages, used in cursor:
        _, next_number, candidates = found.get(serial, (card_id, posted + 1, []))
        if number is not None:
            candidates.append(
                Candidate(
                    number,
                    nas_id,
                    acct_id,
                    device,
                    bool(is_open),
                    bool(is_stopped),
                    *(None if age is None else age / 1_000_000 for age in ages),
                    used,
                )
            )
            next_number = max(next_number, number + 1)
        found[serial] = (card_id, next_number, candidates)
    return found


def read_serials(cursor, card_ids: Sequence[int]) -> dict[int, str]:
    cursor.execute(
        f"SELECT id, serial FROM card WHERE id IN ({_places(card_ids)}) AND status <> 'deleted'", list(card_ids)
    )
    return dict(cursor.fetchall())


def post(cursor, card_ids: Iterable[int]) -> dict[int, str]:
    """Post what the cards' sessions have used to the cards themselves; return the status of each.

    A card whose credit is used up becomes exhausted, and its open sessions are due to be disconnected.  The card is locked first,
    so that no login is written meanwhile; then its sessions, so that what is summed is what is posted: of a session that
    comes in between, nothing.
    """
    wanted = sorted(set(card_ids))
    cursor.execute("BEGIN")
    cursor.execute(f"SELECT id, status FROM card WHERE id IN ({_places(wanted)}) ORDER BY id FOR UPDATE", wanted)
    statuses = dict(cursor.fetchall())
    cursor.execute(
        f"""
        SELECT card_id,
               SUM(used_seconds - posted_seconds),
               SUM(used_down_octets - posted_down_octets),
               SUM(used_up_octets - posted_up_octets),
               MAX(login_number),
               GROUP_CONCAT(IF(used_seconds > posted_seconds
                               OR used_down_octets > posted_down_octets
                               OR used_up_octets > posted_up_octets, login_number, NULL))
          FROM session
         WHERE card_id IN ({_places(wanted)})
         GROUP BY card_id
           FOR UPDATE
        """,
        wanted,
    )
    for card_id, seconds, down_octets, up_octets, last_number, unposted_numbers in cursor.fetchall():
        if unposted_numbers:
            numbers = [int(number) for number in unposted_numbers.split(",")]
            cursor.execute(
                f"""
                UPDATE session
                   SET posted_seconds = used_seconds,
                       posted_down_octets = used_down_octets,
                       posted_up_octets = used_up_octets
                 WHERE card_id = %s
                   AND login_number IN ({_places(numbers)})
                """,
                (card_id, *numbers),
            )
        cursor.execute(
            """
            UPDATE card
               SET posted_seconds = posted_seconds + %s,
                   posted_down_octets = posted_down_octets + %s,
                   posted_up_octets = posted_up_octets + %s,
                   posted_login_number = GREATEST(posted_login_number, %s)
             WHERE id = %s
            """,
            (int(seconds), int(down_octets), int(up_octets), last_number, card_id),
        )
    for card_id, status in statuses.items():
        # A session that no login of ours began (seen in accounting only) has used the card all the same.
        if status == "delivered" and _activate(cursor, card_id):
            statuses[card_id] = "in_use"
    in_use = [card_id for card_id, status in statuses.items() if status == "in_use"]
    for card_id, limit in _used_up(cursor, in_use) if in_use else ():
        _exhaust(cursor, card_id, limit)
        statuses[card_id] = "exhausted"
    cursor.execute("COMMIT")
    return statuses


def _used_up(cursor, card_ids: Sequence[int]) -> Sequence[tuple[int, str]]:
    """Which of these cards, just posted, have no credit left, and which of it was first to end in the order of the
    login's limits: see usage.left and usage.is_used_up."""
    cursor.execute(
        f"""
        SELECT card.id,
               CASE WHEN card.posted_seconds >= CAST(product.credit_seconds AS SIGNED) + card.added_seconds
                    THEN 'time'
                    WHEN card.posted_down_octets + card.posted_up_octets
                         >= CAST(product.credit_octets AS SIGNED) + card.added_octets
                    THEN 'traffic'
                    WHEN card.posted_down_octets
                         >= CAST(product.credit_down_octets AS SIGNED) + card.added_down_octets
                    THEN 'download'
                    WHEN card.posted_up_octets >= CAST(product.credit_up_octets AS SIGNED) + card.added_up_octets
                    THEN 'upload'
                    WHEN CAST(card.posted_seconds AS DECIMAL(30)) * product.tariff_minute_millicents * 1000000
                         + CAST(card.posted_down_octets + card.posted_up_octets AS DECIMAL(30))
                           * product.tariff_mb_millicents * 60
                         >= CAST(CAST(product.credit_cents AS SIGNED) + card.added_cents AS DECIMAL(30)) * 60000000000
                    THEN 'money'
               END AS ended_by
          FROM card
          JOIN product ON product.id = card.product_id
         WHERE card.id IN ({_places(card_ids)})
        HAVING ended_by IS NOT NULL
        """,
        card_ids,
    )
    return cursor.fetchall()


def _exhaust(cursor, card_id: int, limit: str) -> None:
    """A card is used up; its history names the credit that ended."""
    cursor.execute("SET @prepaid_reason = %s", (limit,))
    try:
        cursor.execute("UPDATE card SET status = 'exhausted' WHERE id = %s AND status = 'in_use'", (card_id,))
    finally:
        # The connection serves other cards, and what it does to them has other reasons.
        cursor.execute("SET @prepaid_reason = NULL")
    cursor.execute(
        """
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = 'exhausted'
         WHERE card_id = %s
           AND due_at > UTC_TIMESTAMP(3)
        """,
        (card_id,),
    )


def disconnect_beyond_grant(cursor, card_id: int, login_number: int) -> None:
    """A session has used all that it was granted, and its card has more, granted to others: it is due to be disconnected."""
    cursor.execute(
        f"""
        UPDATE session
           SET due_at = UTC_TIMESTAMP(3),
               due_cause = 'granted'
         WHERE card_id = %s
           AND login_number = %s
           AND login_at IS NOT NULL
           AND due_at > UTC_TIMESTAMP(3)
           AND {GRANT_IS_USED}
        """,
        (card_id, login_number),
    )


def lower_grants(cursor, card_id: int) -> None:
    """Take back what open sessions were granted and the card has no longer, the newest first; and have a login decided again
    that was decided before.

    A session that has ended may report more than it was known to have used, when others hold what it had left; one that
    runs may use more than it was granted.  Together the open ones must hold no more than is left.
    """
    cursor.execute("BEGIN")
    cursor.execute("SELECT serial FROM card WHERE id = %s FOR UPDATE", (card_id,))
    (serial,) = cursor.fetchone() or (None,)
    cursor.execute("UPDATE card SET version = version + 1 WHERE id = %s", (card_id,))
    card = read_cards(cursor, [serial], with_pins=False).get(serial) if serial is not None else None
    if card is not None and card.sessions:
        balance = balance_of(card, read_product(cursor, card.product_id))
        for session, taken in taken_back(balance, card.sessions):
            cursor.execute(
                f"""
                UPDATE session
                   SET granted_seconds = granted_seconds - %(seconds)s,
                       granted_octets = granted_octets - %(octets)s,
                       granted_down_octets = granted_down_octets - %(down_octets)s,
                       granted_up_octets = granted_up_octets - %(up_octets)s,
                       granted_millicents = granted_millicents - %(millicents)s,
                       due_cause = IF(%(seconds)s > 0 AND {GRANT_ENDS_AT} < due_at, 'time', due_cause),
                       due_at = IF(%(seconds)s > 0 AND {GRANT_ENDS_AT} < due_at, {GRANT_ENDS_AT}, due_at)
                 WHERE card_id = %(card_id)s
                   AND login_number = %(login_number)s
                   AND due_at IS NOT NULL
                """,
                {"card_id": card_id, "login_number": session.login_number, **taken._asdict()},
            )
    cursor.execute("COMMIT")


def slow_down(cursor, card_id: int) -> None:
    """Note that a card has passed its fair-use share, once for each session that runs at full speed; `prepaid enforce`
    tells the NAS.

    The share is the card's: it is compared with what all its sessions together have used.  A card that bought download
    alone is compared by that alone (see login.fair_use_octets).
    """
    cursor.execute(
        """
        SELECT IF(product.credit_octets IS NOT NULL,
                  card.posted_down_octets + card.posted_up_octets + unposted.down_octets + unposted.up_octets,
                  card.posted_down_octets + unposted.down_octets)
               >= COALESCE(product.credit_octets, product.credit_down_octets) * product.fup_share_percent DIV 100
          FROM card
          JOIN product ON product.id = card.product_id
          JOIN (SELECT COALESCE(SUM(used_down_octets - posted_down_octets), 0) AS down_octets,
                       COALESCE(SUM(used_up_octets - posted_up_octets), 0) AS up_octets
                  FROM session
                 WHERE card_id = %s) AS unposted
         WHERE card.id = %s
        """,
        (card_id, card_id),
    )
    (is_passed,) = cursor.fetchone() or (0,)
    if not is_passed:
        return
    cursor.execute(
        """
        INSERT IGNORE INTO session_slow_down (card_id, login_number)
        SELECT card_id, login_number
          FROM session
         WHERE card_id = %s
           AND due_at IS NOT NULL
           AND fup_octets IS NOT NULL
        """,
        (card_id,),
    )
    cursor.execute("UPDATE session SET fup_octets = NULL WHERE card_id = %s AND fup_octets IS NOT NULL", (card_id,))


# Two Accounting-On that are the same to the octet are one that was sent again, if no more time than this is between them.
REPEATED_RESTART_SECONDS = 60


def close_nas(cursor, nas_id: int, nas_address: str, age_seconds: float, authenticator: str = "") -> int:
    """A NAS has started or stops (Accounting-On/Off): its sessions ended where they were last heard of.

    By address, because a row of the table nas may be a network of many NAS.

    Not at the reboot: what happened in between, nobody has reported.  A session that was heard of after the event
    is one that began after it; one of the same millisecond was on record already, so it came before.  A packet that is
    repeated, because its answer was lost, is the first one's event: what began in between goes on.
    """
    happened_at = _happened_at(cursor, nas_address, age_seconds, authenticator)
    return cursor.execute(
        """
        UPDATE session
           SET closed_at = COALESCE(heard_at, login_at),
               close_cause = 'nas_reboot',
               reopens_after_at = %s,
               due_at = NULL
         WHERE nas_id = %s
           AND nas_address = %s
           AND due_at IS NOT NULL
           AND COALESCE(heard_at, login_at) <= %s
        """,
        (happened_at, nas_id, nas_address, happened_at),
    )


def _happened_at(cursor, nas_address: str, age_seconds: float, authenticator: str) -> datetime:
    """When the event took place that a packet of this age reports, the first of equal packets."""
    if authenticator:
        # Assignments are made from left to right: the second reads what the first has set.
        cursor.execute(
            f"""
            INSERT INTO nas_restart (nas_address, authenticator, happened_at, repeated_at)
            VALUES (%(nas_address)s, %(authenticator)s, UTC_TIMESTAMP(3) - INTERVAL %(age_seconds)s SECOND,
                    UTC_TIMESTAMP(3) - INTERVAL %(age_seconds)s SECOND)
                ON DUPLICATE KEY UPDATE
                   happened_at = IF(
                       ABS(TIMESTAMPDIFF(SECOND, repeated_at, VALUES(happened_at))) < {REPEATED_RESTART_SECONDS},
                       LEAST(happened_at, VALUES(happened_at)), GREATEST(happened_at, VALUES(happened_at))),
                   repeated_at = GREATEST(repeated_at, VALUES(repeated_at))
            """,
            {"nas_address": nas_address, "authenticator": authenticator, "age_seconds": age_seconds},
        )
        cursor.execute(
            "SELECT happened_at FROM nas_restart WHERE nas_address = %s AND authenticator = %s",
            (nas_address, authenticator),
        )
    else:
        cursor.execute("SELECT UTC_TIMESTAMP(3) - INTERVAL %s SECOND", (age_seconds,))
    (happened_at,) = cursor.fetchone()
    return happened_at


class Anomaly(NamedTuple):
    card_id: int
    login_number: int
    what: str
    detail: str


def record_anomalies(cursor, anomalies: Sequence[Anomaly]) -> None:
    """Note what does not add up, once a session and kind; a NAS that never sends Gigawords says it at each interim."""
    cursor.execute(
        f"""
        INSERT INTO session_anomaly (card_id, login_number, what, detail)
        VALUES {", ".join(["(%s, %s, %s, %s)"] * len(anomalies))}
            ON DUPLICATE KEY UPDATE times = times + 1, last_at = UTC_TIMESTAMP(3)
        """,
        [value for anomaly in anomalies for value in (*anomaly[:3], anomaly.detail[:255])],
    )


# What is loaded once and kept ---------------------------------------------------------------------------


def read_product(cursor, product_id: int) -> Product:
    """A product's rules in the form in which a login uses them."""
    cursor.execute(
        """
        SELECT revision, name, kind,
               credit_seconds, credit_octets, credit_down_octets, credit_up_octets, credit_cents,
               tariff_minute_millicents, tariff_mb_millicents,
               speed_down_kbit, speed_up_kbit, idle_seconds, interim_seconds,
               fup_share_percent, fup_down_kbit, fup_up_kbit,
               allowed_hours, timezone, max_sessions, replace_oldest, bind_device
          FROM product
         WHERE id = %s
        """,
        (product_id,),
    )
    (revision, name, kind, seconds, octets, down, up, cents, minute, mb, speed_down, speed_up, idle, interim,
     fup_share, fup_down, fup_up, allowed_hours, timezone, max_sessions, replace_oldest, bind_device) = (
        cursor.fetchone()
    )  # fmt: skip
    cursor.execute(
        "SELECT attribute, operator, value FROM product_reply WHERE product_id = %s ORDER BY position", (product_id,)
    )
    extra = tuple(cursor.fetchall())
    traffic = octets if octets is not None else down
    return Product(
        id=product_id,
        revision=revision,
        name=name,
        kind=kind,
        credit=Credit(seconds, octets, down, up, None if cents is None else cents * 1000),
        tariff=Tariff(minute, mb),
        terms=Terms(speed_down, speed_up, idle, interim, extra),
        fup_terms=Terms(fup_down, fup_up, idle, interim, extra, reduced=True) if fup_share else None,
        fup_octets=traffic * fup_share // 100 if fup_share else None,
        hours=hours.parse(allowed_hours) if allowed_hours else None,
        timezone=timezone,
        max_sessions=max_sessions,
        replace_oldest=bool(replace_oldest),
        bind_device=bool(bind_device),
    )


class Nas(NamedTuple):
    id: int
    name: str
    address: str
    secret_sealed: bytes
    key_number: int
    vendor: str
    require_message_authenticator: bool
    counter_rule: str


def read_nas(cursor) -> list[Nas]:
    cursor.execute(
        """
        SELECT id, name, address, secret_sealed, key_number, vendor, require_message_authenticator, counter_rule
          FROM nas
         WHERE address <> ''
        """
    )
    return [Nas(*row) for row in cursor.fetchall()]


# How many seconds accounting waits before it is charged.
QUEUE_LAG = "(SELECT TIMESTAMPDIFF(MICROSECOND, charged_until_at, UTC_TIMESTAMP(3)) / 1e6 FROM accounting_state)"


def read_queue_lag(cursor) -> float:
    """How many seconds ago the packet arrived that is charged next, of the queue that is furthest behind."""
    cursor.execute(f"SELECT {QUEUE_LAG}")
    (seconds,) = cursor.fetchone()
    return float(seconds)


def record_queue(cursor, name: str, waiting_seconds: float) -> None:
    """Say how far a queue is charged: all that arrived more than so many seconds ago."""
    cursor.execute(
        """
        INSERT INTO accounting_queue (name, charged_until_at, recorded_at)
        VALUES (%s, UTC_TIMESTAMP(3) - INTERVAL %s SECOND, UTC_TIMESTAMP(3))
            ON DUPLICATE KEY UPDATE charged_until_at = VALUES(charged_until_at), recorded_at = VALUES(recorded_at)
        """,
        (name, waiting_seconds),
    )


def read_key_fingerprints(cursor) -> dict[int, str]:
    """The fingerprints of the keys that this database was sealed with, by key number."""
    cursor.execute("SELECT name, value FROM site WHERE name LIKE 'key\\_%\\_fingerprint'")
    return {int(name.split("_")[1]): fingerprint for name, fingerprint in cursor.fetchall()}


# What was prepared on a connection, by name: the text that the server knows under it.
_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def _execute_prepared(cursor, name: str, statement: Callable[[], str], texts: Sequence[str]) -> None:
    """Execute a statement that the server has parsed already on this connection: with a few rows that is half of its work.

    In SQL, because the driver knows no other way.
    """
    prepared = _prepared.setdefault(cursor.connection, set())
    if name not in prepared:
        cursor.execute(f"PREPARE {name} FROM {cursor.connection.escape(statement())}")
        prepared.add(name)
    values = ", ".join(map(cursor.connection.escape, texts))
    cursor.execute(f"EXECUTE {name} USING {values}")


def _places(values: Sequence) -> str:
    return ", ".join(["%s"] * len(values))
