"""Accounting: raises sessions' counters to what was reported, and finds the session that a report belongs to."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from pymysql.cursors import Cursor

from ..attributes import Report
from ..rules.identity import Candidate
from ..rules.usage import followed
from .sql import Column, columns, decode_json, maker, number, placeholders


class Charge(NamedTuple):
    """A report whose session is known."""

    card_id: int
    login_number: int
    report: Report
    # The session ended so long ago that it may be moved into the archive while this is charged.
    is_archivable: bool = False


REACHED_LIMIT = 1
REACHED_FUP = 2

# How a charge is written: each column and its value.  The values are text and no parameters, see sql.number.
CHARGE_COLUMNS = {
    "card_id": "{:d}",
    "login_number": "{:d}",
    "login_token": "{}",
    "nas_id": "{:d}",
    "nas_address": "{}",
    "acct_session_id": "{}",
    "device": "{}",
    "started_at": "UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND",
    "heard_at": "UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND",
    "stopped_at": "{}",
    "stop_cause": "{}",
    "due_at": "IF(stopped_at IS NULL, UTC_TIMESTAMP(3), NULL)",
    "due_cause": "'unknown'",
    "used_seconds": "{:d}",
    "used_down_octets": "{:d}",
    "used_up_octets": "{:d}",
    "framed_ipv4": "{}",
    "framed_ipv6": "{}",
    "delegated_prefix": "{}",
}
CHARGE_ROW = f"({', '.join(CHARGE_COLUMNS.values())})"
# A row belongs to this Acct-Session-Id; or it has none yet, and its login is the one that the Class names, if the packet
# has a Class.
IS_OURS = """(session.acct_session_id = VALUES(acct_session_id)
           OR (session.acct_session_id = '' AND COALESCE(session.login_token = VALUES(login_token), TRUE)))"""
# MariaDB makes the assignments from left to right, so whatever reads the old counters or the old identifier stands
# before the line that changes them.
#
# A closed session goes on if it used more and said so in a packet that was sent after its end.  A session that goes on
# (revived), or that no login of ours began (unknown), is due at once: `prepaid enforce` judges whether it may go on.
# Until then it counts as open.
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
# A session without a login was granted nothing, so its card is looked at each time.  So is the card of a session that
# goes on: what the session had left may be granted to others by now.
REACHED = f"""
    (login_at IS NULL OR due_cause <=> 'revived' OR {GRANT_IS_USED}) * {REACHED_LIMIT}
    + COALESCE(used_down_octets + used_up_octets >= fup_octets, FALSE) * {REACHED_FUP}"""


class Charged(NamedTuple):
    """A session's row after a charge."""

    card_id: int
    login_number: int
    acct_session_id: str
    used_seconds: int
    used_down_octets: int
    used_up_octets: int
    reached: Annotated[int, Column(REACHED)]  # bits: REACHED_LIMIT, REACHED_FUP
    is_open: Annotated[int, Column("due_at IS NOT NULL")]  # not stopped, not closed
    was_closed: Annotated[int, Column("closed_at IS NOT NULL")]  # ended before, without a Stop


RETURNING = f"RETURNING JSON_ARRAY({columns(Charged)})"
_charged = maker(Charged)


def charge(cursor: Cursor, charges: Sequence[Charge]) -> list[Charged]:
    """Raise sessions' counters to what was reported, in one statement; return the sessions' rows in the same order.

    What counts is the highest value seen, so a repeated, late or reordered packet changes nothing, and running this
    twice gives the same result as running it once.
    """
    text = cursor.connection.escape

    def row(card_id: int, login_number: int, report: Report) -> str:
        seconds, age = report.seconds or 0, report.age_seconds
        return CHARGE_ROW.format(
            card_id,
            login_number,
            number(report.claim.token if report.claim else None),
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

    return _raise_counters(cursor, charges, CHARGE_COLUMNS, row, CHARGE_UPDATE)


# How the progress of a session is written: each column and its value; see sql.number.
PROGRESS_COLUMNS = {
    "card_id": "{:d}",
    "login_number": "{:d}",
    "nas_id": "{:d}",
    "acct_session_id": "{}",
    "started_at": "UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND",
    "heard_at": "UTC_TIMESTAMP(3) - INTERVAL {:f} SECOND",
    "used_seconds": "{:d}",
    "used_down_octets": "{:d}",
    "used_up_octets": "{:d}",
}
PROGRESS_ROW = f"({', '.join(PROGRESS_COLUMNS.values())})"
# The row is this session's, and open.  After a restore another login may have the number by now.
GOES_ON = "due_at IS NOT NULL AND acct_session_id = VALUES(acct_session_id)"
PROGRESS_UPDATE = f"""
    started_at = IF({GOES_ON}, LEAST(started_at, VALUES(started_at)), started_at),
    heard_at = IF({GOES_ON}, GREATEST(heard_at, VALUES(heard_at)), heard_at),
    used_seconds = IF({GOES_ON}, GREATEST(used_seconds, VALUES(used_seconds)), used_seconds),
    used_down_octets = IF({GOES_ON}, GREATEST(used_down_octets, VALUES(used_down_octets)), used_down_octets),
    used_up_octets = IF({GOES_ON}, GREATEST(used_up_octets, VALUES(used_up_octets)), used_up_octets)"""


def progress(cursor: Cursor, charges: Sequence[Charge]) -> list[Charged | None]:
    """The same as `charge` at half the cost, for interims of sessions that were charged before and of which only the
    counters are new.  None for a session whose row is no longer open: `charge` has to judge it."""
    text = cursor.connection.escape

    def row(card_id: int, login_number: int, report: Report) -> str:
        seconds, age = report.seconds or 0, report.age_seconds
        return PROGRESS_ROW.format(
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

    charged = _raise_counters(cursor, charges, PROGRESS_COLUMNS, row, PROGRESS_UPDATE)
    return [one if one.is_open else None for one in charged]


def _raise_counters(
    cursor: Cursor, charges: Sequence[Charge], names: Iterable[str], row: Callable[[int, int, Report], str], update: str
) -> list[Charged]:
    """Sessions are written in the order of their key, so that two servers which write the same ones wait for each other
    instead of deadlocking."""
    ordered = sorted(range(len(charges)), key=lambda index: charges[index][:2])
    rows = [row(*charges[index][:3]) for index in ordered]
    cursor.execute(
        f"INSERT INTO session ({', '.join(names)})"
        f" VALUES {', '.join(rows)}"
        f" ON DUPLICATE KEY UPDATE {update}"
        f" {RETURNING}"
    )
    charged = {
        index: _charged(decode_json(facts)[0]) for index, (facts,) in zip(ordered, cursor.fetchall(), strict=True)
    }
    return [charged[index] for index in range(len(charges))]


def charge_alone(cursor: Cursor, charge_: Charge, rule: str) -> Charged | None:
    """The same as `charge` for one session whose row has to be read first and stays locked until the charge is written.

    This is needed for a NAS whose octet counters wrap or reset (*rule* is its counter rule): a packet that is not later
    than what was counted, by Acct-Session-Time, is an old one, and a lower counter in it is no fall.  It is needed, too,
    for a session that may be moved into the archive at this moment; None if it was.  Its row must not be made again: all
    that the report says would be charged once more.
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
    if row is None and is_archivable and not _exists(cursor, card_id, login_number):
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


def _exists(cursor: Cursor, card_id: int, login_number: int) -> bool:
    cursor.execute("SELECT 1 FROM session WHERE card_id = %s AND login_number = %s", (card_id, login_number))
    return cursor.fetchone() is not None


class CandidateRow(NamedTuple):
    """A session that a report may belong to; NULL where a card has none.  Ages in microseconds."""

    login_number: int | None
    nas_id: int
    acct_session_id: str
    device: str
    is_open: Annotated[int, Column("session.due_at IS NOT NULL")]
    is_stopped: Annotated[int, Column("session.stopped_at IS NOT NULL")]
    login_us: Annotated[int | None, Column("TIMESTAMPDIFF(MICROSECOND, session.login_at, UTC_TIMESTAMP(3))")]
    start_us: Annotated[int | None, Column("TIMESTAMPDIFF(MICROSECOND, session.started_at, UTC_TIMESTAMP(3))")]
    heard_us: Annotated[int | None, Column("TIMESTAMPDIFF(MICROSECOND, session.heard_at, UTC_TIMESTAMP(3))")]
    used_seconds: int


class Candidates(NamedTuple):
    """The sessions of a card that a report may belong to."""

    card_id: int
    next_number: int  # the next free login number
    sessions: list[Candidate]


def find_candidates(cursor: Cursor, reports: Sequence[Report]) -> dict[str, Candidates]:
    """For packets without our Class: by serial, the sessions that they may belong to."""
    serials = sorted({report.serial for report in reports})
    identifiers = sorted({report.acct_session_id for report in reports})
    cursor.execute(
        f"""
        SELECT card.serial, card.id, card.posted_login_number, {columns(CandidateRow, "session")}
          FROM card FORCE INDEX (serial_is_unique)
          LEFT JOIN session
            ON session.card_id = card.id
           AND (session.acct_session_id IN ('', {placeholders(identifiers)})
                OR session.login_number > card.posted_login_number)
         WHERE card.serial IN ({placeholders(serials)})
           AND card.status <> 'deleted'
        """,
        [*identifiers, *serials],
    )
    found: dict[str, Candidates] = {}
    for serial, card_id, posted_number, *facts in cursor.fetchall():
        row = CandidateRow._make(facts)
        of_card = found.get(serial) or Candidates(card_id, posted_number + 1, [])
        if row.login_number is not None:
            of_card.sessions.append(_candidate(row.login_number, row))
            of_card = of_card._replace(next_number=max(of_card.next_number, row.login_number + 1))
        found[serial] = of_card
    return found


def _candidate(login_number: int, row: CandidateRow) -> Candidate:
    return Candidate(
        login_number,
        row.nas_id,
        row.acct_session_id,
        row.device,
        bool(row.is_open),
        bool(row.is_stopped),
        _seconds(row.login_us),
        _seconds(row.start_us),
        _seconds(row.heard_us),
        row.used_seconds,
    )


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000


def read_serials(cursor: Cursor, card_ids: Sequence[int]) -> dict[int, str]:
    """The serials of these cards, by id; deleted cards are left out."""
    cursor.execute(
        f"SELECT id, serial FROM card WHERE id IN ({placeholders(card_ids)}) AND status <> 'deleted'", list(card_ids)
    )
    return dict(cursor.fetchall())


# What the archive keeps of a session.
ARCHIVED_COLUMNS = (
    "card_id, login_number, nas_id, nas_address, acct_session_id, device, login_at, started_at, heard_at, stopped_at, "
    "stop_cause, closed_at, close_cause, reopens_after_at, granted_seconds, granted_octets, granted_down_octets, "
    "granted_up_octets, granted_millicents, tariff_minute_millicents, tariff_mb_millicents, fup_octets, "
    "interim_seconds, used_seconds, used_down_octets, used_up_octets, raw_down_octets, raw_up_octets, framed_ipv4, "
    "framed_ipv6, delegated_prefix"
)


def find_archived(cursor: Cursor, reports: Sequence[Report]) -> list[tuple[int, int]]:
    """The keys (card id, login number) of archived sessions that these late packets may belong to."""
    serials = sorted({report.serial for report in reports})
    identifiers = sorted({report.acct_session_id for report in reports})
    # A login that was archived before its first packet came has no identifier yet.
    numbers = sorted({report.claim.login_number for report in reports if report.claim} or {0})
    cursor.execute(
        f"""
        SELECT STRAIGHT_JOIN old.card_id, old.login_number
          FROM card FORCE INDEX (serial_is_unique)
          JOIN session_archive AS old FORCE INDEX (PRIMARY) ON old.card_id = card.id
         WHERE card.serial IN ({placeholders(serials)})
           AND old.login_number > 0
           AND (old.acct_session_id IN ('', {placeholders(identifiers)}) OR old.login_number IN ({placeholders(numbers)}))
           AND NOT EXISTS (SELECT 1
                             FROM session
                            WHERE session.card_id = old.card_id
                              AND session.login_number = old.login_number)
        """,
        [*serials, *identifiers, *numbers],
    )
    return sorted((card_id, login_number) for card_id, login_number in cursor.fetchall())


def unarchive(cursor: Cursor, keys: Sequence[tuple[int, int]]) -> None:
    """Bring archived sessions back: what a packet adds is the rise over what was counted.

    All columns come back, so that the rules give the same answer as if the session had never been archived.  The archive
    keeps its row; the session's row replaces it until the session is archived again.
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


# Two Accounting-On that are the same octet by octet are one that was repeated, if no more time than this is between them.
REPEATED_RESTART_SECONDS = 60


def close_nas(cursor: Cursor, nas_id: int, nas_address: str, age_seconds: float, authenticator: str = "") -> int:
    """A NAS starts or stops (Accounting-On/Off, RFC 2866, 5.1): close its sessions at their last report; return how many.

    The sessions are found by address, because a row of the table nas may be a network of many NAS.

    They do not end at the reboot: nobody has reported what was used until then.  A session that was heard of after the
    event began after it; a session of the same millisecond was on record already, so it began before.  A packet that is
    repeated, because its answer was lost, reports the first one's event: what began in between goes on.
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


def _happened_at(cursor: Cursor, nas_address: str, age_seconds: float, authenticator: str) -> datetime:
    """When the event took place that a packet of this age reports: of equal packets, the first one's time."""
    if authenticator:
        # MariaDB makes the assignments from left to right: the second reads what the first has set.
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
    happened_at: datetime
    ((happened_at,),) = cursor.fetchall()
    return happened_at


class Anomaly(NamedTuple):
    card_id: int
    login_number: int
    what: str
    detail: str


def record_anomalies(cursor: Cursor, anomalies: Sequence[Anomaly]) -> None:
    """Record what does not add up: one row for each session and kind, however often a NAS repeats it."""
    cursor.execute(
        f"""
        INSERT INTO session_anomaly (card_id, login_number, what, detail)
        VALUES {", ".join(["(%s, %s, %s, %s)"] * len(anomalies))}
            ON DUPLICATE KEY UPDATE times = times + 1, last_at = UTC_TIMESTAMP(3)
        """,
        [value for anomaly in anomalies for value in (*anomaly[:3], anomaly.detail[:255])],
    )


# How many seconds the packet has waited that is charged next, of the queue that is furthest behind.
QUEUE_LAG = "(SELECT TIMESTAMPDIFF(MICROSECOND, charged_until_at, UTC_TIMESTAMP(3)) / 1e6 FROM accounting_state)"


def read_queue_lag(cursor: Cursor) -> float:
    """See QUEUE_LAG."""
    cursor.execute(f"SELECT {QUEUE_LAG}")
    ((seconds,),) = cursor.fetchall()
    return float(seconds)


def record_queue(cursor: Cursor, name: str, waiting_seconds: float) -> None:
    """Record how far a queue is charged: everything that arrived more than so many seconds ago."""
    cursor.execute(
        """
        INSERT INTO accounting_queue (name, charged_until_at, recorded_at)
        VALUES (%s, UTC_TIMESTAMP(3) - INTERVAL %s SECOND, UTC_TIMESTAMP(3))
            ON DUPLICATE KEY UPDATE charged_until_at = VALUES(charged_until_at), recorded_at = VALUES(recorded_at)
        """,
        (name, waiting_seconds),
    )
