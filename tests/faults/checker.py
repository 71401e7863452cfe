"""The independent checker: compares what was acknowledged to the NAS with what the database has.

It shares no code with the product.  It reads the NAS' own record (one JSON line a session: serial, session_id, and the
counters sent and acknowledged), and the tables, by plain SQL.

    lost       a session has less than was acknowledged, or a card has used less than its sessions
    doubled    a session has more than was ever sent, or is there twice, or a card has used more than its sessions
    overrun    a card has used more seconds than it had, plus one for each session (whole seconds are rounded)
"""

import collections
import json
from pathlib import Path
from typing import NamedTuple

HELD = """
    SELECT card.serial, session.acct_session_id, COUNT(*),
           SUM(session.used_seconds), SUM(session.used_down_octets), SUM(session.used_up_octets)
      FROM session
      JOIN card ON card.id = session.card_id
     WHERE session.acct_session_id <> ''
     GROUP BY card.serial, session.acct_session_id
"""
# What was posted to the card, plus what its sessions have beyond that: this sum is charged to the card.
CHARGED = """
    SELECT card.serial,
           card.posted_seconds + COALESCE(SUM(session.used_seconds - session.posted_seconds), 0),
           card.posted_down_octets + COALESCE(SUM(session.used_down_octets - session.posted_down_octets), 0),
           card.posted_up_octets + COALESCE(SUM(session.used_up_octets - session.posted_up_octets), 0),
           product.credit_seconds + card.added_seconds
      FROM card
      JOIN product ON product.id = card.product_id
      LEFT JOIN session ON session.card_id = card.id
     GROUP BY card.id
"""


class Verdict(NamedTuple):
    sessions: int
    acknowledged: int
    lost: int
    doubled: int
    overrun: int
    words: list


def check(record: Path, connection) -> Verdict:
    """*connection*: to the database, with the right to read it."""
    known = [json.loads(line) for line in record.open()]
    with connection.cursor() as cursor:
        cursor.execute(HELD)
        held = {(serial, session_id): (count, tuple(map(int, used))) for serial, session_id, count, *used in cursor}
        cursor.execute(CHARGED)
        charged = {serial: (tuple(map(int, used)), credit) for serial, *used, credit in cursor}
    words, found = [], collections.Counter()

    def say(kind: str, sentence: str) -> None:
        found[kind] += 1
        words.append(f"{kind}: {sentence}")

    cards = collections.defaultdict(list)
    for one in known:
        cards[one["serial"]].append(one)
        count, used = held.get((one["serial"], one["session_id"]), (0, (0, 0, 0)))
        if any(have < acknowledged for have, acknowledged in zip(used, one["acknowledged"], strict=True)):
            say(
                "lost",
                f"session {one['session_id']} of {one['serial']}: {one['acknowledged']} acknowledged, {used} held",
            )
        if count > 1 or any(have > sent for have, sent in zip(used, one["sent"], strict=True)):
            say(
                "doubled",
                f"session {one['session_id']} of {one['serial']}: {one['sent']} sent, {used} held in {count} rows",
            )
    for serial, sessions in cards.items():
        used, credit_seconds = charged[serial]
        acknowledged = [sum(column) for column in zip(*(one["acknowledged"] for one in sessions), strict=True)]
        sent = [sum(column) for column in zip(*(one["sent"] for one in sessions), strict=True)]
        if any(have < least for have, least in zip(used, acknowledged, strict=True)):
            say("lost", f"card {serial}: {acknowledged} acknowledged, {used} charged")
        if any(have > most for have, most in zip(used, sent, strict=True)):
            say("doubled", f"card {serial}: {sent} sent, {used} charged")
        if credit_seconds is not None and used[0] > credit_seconds + len(sessions):
            say("overrun", f"card {serial}: {used[0]} s charged of {credit_seconds}")
    strangers = set(held) - {(one["serial"], one["session_id"]) for one in known}
    for serial, session_id in sorted(strangers):
        if serial in cards:
            say("doubled", f"session {session_id} of {serial} is held, and no NAS had it")
    packets = sum(one["packets"] for one in known)
    return Verdict(len(known), packets, found["lost"], found["doubled"], found["overrun"], words)
