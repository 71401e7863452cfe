"""What has to be off is cut: look, decide, claim, send, record.

The database says what has to be off (session.due_at); the NAS says what it did about it; and only the session's
own packets, or their absence, say that it is off.  Any number of cutters may work at once: each claims an attempt
by writing its row (session_cut) before it sends, and the row can be written once.
"""

import ipaddress
from typing import NamedTuple

from freeradius_module import hours, keyring, pin
from freeradius_module.login import GRACE_SECONDS, MISSED_INTERIMS, RESERVATION_SECONDS
from freeradius_module.vendors import SessionIdentity, disconnect_attributes, speed_change_attributes

from . import store, store_sessions
from .radius_disconnect import WINDOW, Answer, Exchange, Request

# An attempt that was begun and not finished by then belongs to a cutter that died.
CLAIM_SECONDS = 30
# The pause after the first attempt that did not help; each further one is twice as long.
FIRST_PAUSE_SECONDS = 5
LONGEST_PAUSE_SECONDS = 300
# After a NAK the same question in fewer words, at once.
NAK_PAUSE_SECONDS = 1
# A report of this little after the NAS' ACK was on its way already.
ON_ITS_WAY_SECONDS = 5
# How long a Stop may take after the ACK before its absence means anything.
STOP_SECONDS = 10
# The longest that a session goes on which nothing limits (settings.longest_session_seconds of the module).
LONGEST_SESSION_SECONDS = 86_400
# Session-Timeout ends a session by itself; only what is still on after that is cut.
TIMEOUT_GRACE_SECONDS = 15
EXPIRED_AT_ONCE = 500

NOT_FOUND = "503"
# Sessions of these causes came without a decision, or came back: whether they may go on is decided first.
TO_BE_JUDGED = ("revived", "unknown")


class Cutter:
    def __init__(self, office):
        self.office = office
        self.exchange = Exchange()
        self._attempts: dict[tuple[str, int, int], dict] = {}

    def look(self) -> int:
        """Decide what is due and send what is to be sent; how many things there were to do."""
        done = 0
        with self._cursor() as cursor:
            rows = store_sessions.due(cursor, WINDOW)
            slow = store_sessions.slow_downs(cursor)
        to_cut = []
        for row in rows:
            match step(row):
                case "cut":
                    to_cut.append(row)
                case "judge":
                    done += self._judge(row)
                case "wait":
                    pass
                case cause:
                    with self.office.transaction() as cursor:
                        done += store_sessions.close(cursor, row, cause)
        done += self.cut(to_cut)
        return done + self._try("slow_down", [(row, self._slow_down_request(row)) for row in slow])

    def cut(self, rows: list[dict]) -> int:
        """Ask the NAS to end these sessions; how many requests are ours to make."""
        return self._try("disconnect", [(row, self._disconnect_request(row)) for row in rows])

    def hear(self, seconds: float) -> int:
        """Record the answers that come within this time, as soon as there are some; how many."""
        answers = self.exchange.wait(seconds)
        for key, answer in answers:
            self._record(key, self._attempts.pop(key), answer)
        return len(answers)

    def keep_house(self) -> int:
        """Say of some cards that their validity is over; how many: call again while there are more."""
        with self.office.transaction(reason="the validity is over") as cursor:
            store_sessions.forget_ended_slow_downs(cursor)
            cards = store_sessions.expired_cards(cursor, EXPIRED_AT_ONCE)
            return store_sessions.expire(cursor, cards) if cards else 0

    @property
    def is_waiting(self) -> bool:
        return bool(self._attempts)

    def close(self) -> None:
        self.exchange.close()

    # --- One attempt -----------------------------------------------------------------------------------

    def _try(self, action: str, tries: list[tuple[dict, "Request | Answer | None"]]) -> int:
        """Claim, then send: what is written first can be lost, but never be done twice at the same time."""
        chosen: list[tuple[dict, Request | Answer]] = []
        planned: dict[tuple[str, int], int] = {}
        for row, request in tries:
            if request is None:
                continue
            if isinstance(request, Request):
                place = request.address, request.port
                planned[place] = planned.get(place, 0) + 1
                if planned[place] > self.exchange.room(*place):
                    continue
            chosen.append((row, request))
        with self._cursor() as cursor:
            ours = store_sessions.claim(cursor, action, [row for row, _ in chosen], CLAIM_SECONDS)
        for row, request in chosen:
            if (row["card_id"], row["login_number"]) not in ours:
                continue
            key = action, row["card_id"], row["login_number"]
            attempt = {**row, "action": action, "attempt": (row["attempt"] or 0) + 1}
            if isinstance(request, Answer):
                self._record(key, attempt, request)
            else:
                self._attempts[key] = attempt
                self.exchange.send(key, request)
        return len(ours)

    def _record(self, key: tuple[str, int, int], attempt: dict, answer: Answer) -> None:
        with self._cursor() as cursor:
            store_sessions.record_outcome(cursor, {
                "card_id": key[1], "login_number": key[2], "action": key[0], "attempt": attempt["attempt"],
                "outcome": answer.outcome, "error_cause": answer.error_cause,
                "pause_seconds": pause_seconds(
                    answer, attempt["attempt"], float(attempt["silent_seconds"] or 0), attempt["interim_seconds"]),
            })
            if key[0] == "slow_down" and answer.outcome == "ack":
                store_sessions.slow_down_is_done(cursor, key[1], key[2])

    def _disconnect_request(self, row: dict) -> Request | Answer:
        # A NAS has to match all that it is told (RFC 5176, section 3), and it may know itself by another address,
        # behind a NAT for one, or the customer by what he typed: after a NAK only the session is named.
        in_few_words = row["outcome"] == "nak" and row["vendor"] != "chilli"
        address = nas_address(row)
        identity = SessionIdentity(
            user_name=None if in_few_words else row["serial"],
            acct_session_id=row["acct_session_id"],
            nas_ip_address=None if in_few_words else address,
            framed_ip_address=row["framed_ipv4"],
        )
        return self._request("disconnect", row, address, disconnect_attributes(row["vendor"], identity))

    def _slow_down_request(self, row: dict) -> Request | Answer | None:
        speeds = speed_change_attributes(row["vendor"], row["fup_down_kbit"], row["fup_up_kbit"])
        if not speeds:
            return None
        address = nas_address(row)
        identity = SessionIdentity(
            user_name=row["serial"], acct_session_id=row["acct_session_id"],
            nas_ip_address=None if row["outcome"] == "nak" else address, framed_ip_address=row["framed_ipv4"],
        )
        return self._request("slow_down", row, address, disconnect_attributes(row["vendor"], identity) + speeds)

    def _request(self, action: str, row: dict, address: str | None, attributes) -> Request | Answer:
        if not row["secret_sealed"]:
            return Answer("not_sent", "no secret: the NAS is not in 'prepaid nas list'")
        if address is None:
            return Answer("not_sent", "no address: its NAS is a network")
        try:
            secret = pin.open_nas_secret(row["secret_sealed"], row["key_number"], row["nas"], self.office.keyring)
        except (pin.SealError, keyring.KeyFileError):
            return Answer("not_sent", "the NAS' secret cannot be opened: see 'prepaid doctor'")
        return Request(action, address, row["disconnect_port"], secret.encode(), attributes)

    # --- Whether a session may go on -------------------------------------------------------------------

    def _judge(self, row: dict) -> int:
        """Decide on a session that nobody has decided on: one that came back, or that came without a login."""
        with self.office.transaction() as cursor:
            card = store_sessions.lock_card_for_judgement(cursor, row["card_id"])
            sessions = store_sessions.open_sessions_of_card(cursor, row["card_id"])
            verdicts = judged(card, sessions, row["login_number"])
            for verdict in verdicts:
                store_sessions.set_due(cursor, row["card_id"], *verdict)
        return len(verdicts)

    def _cursor(self):
        """Each statement for itself: what is claimed or recorded must be seen at once."""
        return self.office.connection.cursor()


class Verdict(NamedTuple):
    """Until when a session may go on, and what ends it then."""

    login_number: int
    cause: str
    in_seconds: int


def step(row: dict) -> str:
    """What to do about a session that is due: cut, judge, wait, or the cause to close it with.

    >>> session = {"acct_session_id": "80a1", "due_cause": "blocked", "silent_seconds": 20.0, "interim_seconds": 300,
    ...            "attempt": None, "outcome": None, "error_cause": None, "heard_after_seconds": None}
    >>> step(session)
    'cut'
    >>> step({**session, "due_cause": "revived"})
    'judge'

    An ACK is believed once an interim is missing; a report after it shows that the customer is still on:

    >>> acked = {**session, "attempt": 1, "outcome": "ack", "heard_after_seconds": -20.0}
    >>> step({**acked, "silent_seconds": 361.0}), step({**acked, "silent_seconds": 40.0, "heard_after_seconds": 270.0})
    ('cut', 'cut')

    So is a NAS that says it knows no such session: its own Stop may be on the way, or it may be wrong.

    >>> step({**acked, "outcome": "nak", "error_cause": "503 Session-Context-Not-Found", "silent_seconds": 361.0})
    'gone'

    A NAS that does not answer is asked again, until the session is silent for so long that nobody counts it:

    >>> step({**acked, "outcome": "no_answer", "silent_seconds": 361.0})
    'cut'
    >>> step({**acked, "outcome": "no_answer", "silent_seconds": 961.0})
    'stale'

    A login that did not begin is cut when it does, and forgotten if it never does:

    >>> step({**session, "acct_session_id": "", "silent_seconds": 20.0})
    'wait'
    >>> step({**session, "acct_session_id": "", "silent_seconds": 61.0})
    'not_begun'
    """
    silent_seconds = float(row["silent_seconds"] or 0)
    if not row["acct_session_id"]:
        return "not_begun" if silent_seconds > RESERVATION_SECONDS else "wait"
    if row["due_cause"] in TO_BE_JUDGED:
        return "judge"
    answer = Answer(row["outcome"], row["error_cause"]) if row["attempt"] else None
    is_told_off = answer is not None and (answer.outcome == "ack" or is_unknown_there(answer))
    heard_after = row["heard_after_seconds"]
    if is_told_off and silent_seconds > row["interim_seconds"] + GRACE_SECONDS and (
            heard_after is None or heard_after <= ON_ITS_WAY_SECONDS):
        return CLOSED_AS_CUT if answer.outcome == "ack" else "gone"
    if answer is not None and silent_seconds > MISSED_INTERIMS * row["interim_seconds"] + GRACE_SECONDS:
        return "stale"
    return "cut"
