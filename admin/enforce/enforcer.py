"""What has to be off is cut: look, decide, claim, send, record.

The database says what has to be off (session.due_at); the NAS says what it did about it; and only the session's
own packets, or their absence, say that it is off.  Any number of enforcers may work at once: each claims an attempt
by writing its row (disconnect_attempt) before it sends, and the row can be written once.
"""

import ipaddress
from typing import NamedTuple

from freeradius_module.rules import hours
from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS, RESERVATION_SECONDS, TIMEOUT_GRACE_SECONDS
from freeradius_module.rules.vendors import SessionIdentity, disconnect_attributes, speed_change_attributes
from freeradius_module.sealing import keyring, pin

from .. import store
from .requests import WINDOW, Answer, Exchange, Request

# An attempt that was begun and not finished by then belongs to a enforcer that died.
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
EXPIRED_AT_ONCE = 500

NOT_FOUND = "503"
# Sessions of these causes came without a decision, or came back: whether they may go on is decided first.
TO_BE_JUDGED = ("revived", "unknown")


class Enforcer:
    def __init__(self, office):
        self.office = office
        self.exchange = Exchange()
        self._attempts: dict[tuple[str, int, int], dict] = {}

    def look(self) -> int:
        """Decide what is due and send what is to be sent; how many things there were to do."""
        done = 0
        with self._cursor() as cursor:
            rows = store.session.due(cursor, WINDOW)
            slow = store.session.slow_downs(cursor)
        to_cut = []
        for row in rows:
            match step(row):
                case "send":
                    to_cut.append(row)
                case "judge":
                    done += self._judge(row)
                case "wait":
                    pass
                case cause:
                    with self.office.transaction() as cursor:
                        done += store.session.close(cursor, row, cause)
        done += self.cut(to_cut)
        return done + self._try("slow_down", [(row, self._slow_down_request(row)) for row in slow])

    def cut(self, rows: list[dict]) -> int:
        """Ask the NAS to end these sessions; how many requests are ours to make."""
        return self._try("disconnect", [(row, self._disconnect_request(row)) for row in rows])

    def hear(self, seconds: float) -> int:
        """Record the answers that come within this time, as soon as there are some; how many."""
        answers = self.exchange.wait(seconds)
        if answers:
            with self.office.transaction() as cursor:
                for key, answer in answers:
                    self._record(cursor, key, self._attempts.pop(key), answer)
        return len(answers)

    def keep_house(self) -> int:
        """Say of some cards that their validity is over, and of sessions on cards that may not log in that they have to be
        off; how many: call again while there are more."""
        with self._cursor() as cursor:
            found = store.session.not_allowed(cursor, EXPIRED_AT_ONCE)
        with self.office.transaction() as cursor:
            ended = sum(store.session.end_not_allowed(cursor, session) for session in found)
        with self.office.transaction(reason="the validity is over") as cursor:
            store.session.forget_ended_slow_downs(cursor)
            cards = store.session.expired_cards(cursor, EXPIRED_AT_ONCE)
            return ended + (store.session.expire(cursor, cards) if cards else 0)

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
            ours = store.session.claim(cursor, action, [row for row, _ in chosen], CLAIM_SECONDS)
            for row, request in chosen:
                if (row["card_id"], row["login_number"]) not in ours:
                    continue
                key = action, row["card_id"], row["login_number"]
                attempt = {**row, "attempt": (row["attempt"] or 0) + 1}
                if isinstance(request, Answer):
                    self._record(cursor, key, attempt, request)
                else:
                    self._attempts[key] = attempt
                    self.exchange.send(key, request)
        return len(ours)

    def _record(self, cursor, key: tuple[str, int, int], attempt: dict, answer: Answer) -> None:
        action, card_id, login_number = key
        store.session.record_outcome(
            cursor,
            {
                "card_id": card_id,
                "login_number": login_number,
                "action": action,
                "attempt": attempt["attempt"],
                "outcome": answer.outcome,
                "error_cause": answer.error_cause,
                "pause_seconds": pause_seconds(
                    answer, attempt["attempt"], float(attempt["silent_seconds"] or 0), attempt["interim_seconds"]
                ),
            },
        )
        if action == "slow_down" and answer.outcome == "ack":
            store.session.slow_down_is_done(cursor, card_id, login_number)

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
            user_name=row["serial"],
            acct_session_id=row["acct_session_id"],
            nas_ip_address=None if row["outcome"] == "nak" else address,
            framed_ip_address=row["framed_ipv4"],
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
            card = store.session.lock_card_for_judgement(cursor, row["card_id"])
            sessions = store.session.open_sessions_of_card(cursor, row["card_id"], row["login_number"])
            if not any(
                one["login_number"] == row["login_number"] and one["due_cause"] in TO_BE_JUDGED for one in sessions
            ):
                return 0  # Another enforcer was quicker, or it has ended.
            verdicts = judged(card, sessions, row["login_number"])
            for verdict in verdicts:
                store.session.set_due(cursor, row["card_id"], *verdict)
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
    """What to do about a session that is due: send, judge, wait, or the cause to close it with.

    >>> session = {"acct_session_id": "80a1", "due_cause": "blocked", "silent_seconds": 20.0, "interim_seconds": 300,
    ...            "attempt": None, "outcome": None, "error_cause": None, "heard_after_seconds": None}
    >>> step(session)
    'send'
    >>> step({**session, "due_cause": "revived"})
    'judge'

    An ACK is believed once an interim is missing; a report after it shows that the customer is still on:

    >>> acked = {**session, "attempt": 1, "outcome": "ack", "heard_after_seconds": -20.0}
    >>> step({**acked, "silent_seconds": 361.0}), step({**acked, "silent_seconds": 40.0, "heard_after_seconds": 270.0})
    ('cut', 'send')

    So is a NAS that says it knows no such session: its own Stop may be on the way, or it may be wrong.

    >>> step({**acked, "outcome": "nak", "error_cause": "503 Session-Context-Not-Found", "silent_seconds": 361.0})
    'gone'

    A NAS that does not answer is asked again, until the session is silent for so long that nobody counts it:

    >>> step({**acked, "outcome": "no_answer", "silent_seconds": 361.0})
    'send'
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
    if (
        is_told_off
        and silent_seconds > row["interim_seconds"] + GRACE_SECONDS
        and (heard_after is None or heard_after <= ON_ITS_WAY_SECONDS)
    ):
        return "cut" if answer.outcome == "ack" else "gone"
    if answer is not None and silent_seconds > MISSED_INTERIMS * row["interim_seconds"] + GRACE_SECONDS:
        return "stale"
    return "send"


def is_unknown_there(answer: Answer) -> bool:
    """Whether the NAS says that it has no such session."""
    return answer.outcome == "nak" and (answer.error_cause or "").startswith(NOT_FOUND)


def pause_seconds(answer: Answer, attempt: int, silent_seconds: float, interim_seconds: int) -> int:
    """How long an attempt has to show what it did before the next.

    Until an interim is missing, where the NAS says that the session is off:

    >>> pause_seconds(Answer("ack"), 1, silent_seconds=100, interim_seconds=300)
    260

    A NAK may be of our own making, so the same is said at once in fewer words; a dead NAS is asked less and less:

    >>> pause_seconds(Answer("nak", "503 Session-Context-Not-Found"), 1, 100, 300)
    1
    >>> [pause_seconds(Answer("no_answer"), attempt, 100, 300) for attempt in (1, 2, 3, 9)]
    [5, 10, 20, 300]
    """
    if answer.outcome == "nak" and attempt == 1:
        return NAK_PAUSE_SECONDS
    if answer.outcome == "ack" or is_unknown_there(answer):
        return max(STOP_SECONDS, int(interim_seconds + GRACE_SECONDS - silent_seconds))
    return min(FIRST_PAUSE_SECONDS * 2 ** min(attempt - 1, 10), LONGEST_PAUSE_SECONDS)


def nas_address(row: dict) -> str | None:
    """Where a session's NAS is: where its packets came from, or what its row says, if that is one address.

    >>> nas_address({"nas_address": "", "nas_network": "10.1.2.3/32"})
    '10.1.2.3'
    >>> nas_address({"nas_address": "10.1.2.7", "nas_network": "10.1.2.0/24"})
    '10.1.2.7'
    >>> nas_address({"nas_address": "", "nas_network": "10.1.2.0/24"}) is None
    True
    """
    if row["nas_address"]:
        return str(ipaddress.ip_address(row["nas_address"]))
    if not row["nas_network"]:
        return None
    network = ipaddress.ip_network(row["nas_network"])
    return str(network.network_address) if network.num_addresses == 1 else None


def judged(card: dict, sessions: list[dict], login_number: int) -> list[Verdict]:
    """Until when a session may go on for which nobody has decided it; and who has to go instead, if anybody.

    `sessions` are the card's open ones in the order of their logins, this one among them.

    >>> card = {"status": "in_use", "expires_in_seconds": 7200, "allowed_hours": None, "timezone": "UTC",
    ...         "max_sessions": 1, "replace_oldest": False, "now": None}
    >>> back = {"login_number": 1, "due_cause": "revived", "is_due": 1, "granted_left_seconds": 600,
    ...         "is_over": 0}
    >>> judged(card, [back], 1)
    [Verdict(login_number=1, cause='time', in_seconds=615)]
    >>> judged({**card, "status": "blocked"}, [back], 1)
    [Verdict(login_number=1, cause='blocked', in_seconds=0)]

    Two are on where one may be: the one that has used up what it was granted goes, else the newest, or the oldest where the
    product says so.

    >>> [verdict for verdict in judged(card, [{**back, "is_over": 1}, {**back, "login_number": 2, "is_due": 0}], 1)]
    [Verdict(login_number=1, cause='granted', in_seconds=0)]

    >>> later = {**back, "login_number": 2, "due_cause": "time", "is_due": 0}
    >>> [(verdict.login_number, verdict.cause) for verdict in judged(card, [back, later], 1) if not verdict.in_seconds]
    [(2, 'too_many')]
    >>> judged({**card, "replace_oldest": True}, [back, later], 1)
    [Verdict(login_number=1, cause='replaced', in_seconds=0)]
    """
    refusal = _refusal(card)
    if refusal:
        return [Verdict(login_number, refusal, 0)]
    counted = [one for one in sessions if not one["is_due"] or one["login_number"] == login_number]
    excess = max(len(counted) - card["max_sessions"], 0)
    in_order = counted if card["replace_oldest"] else counted[::-1]
    going = sorted(in_order, key=lambda one: not one["is_over"])[:excess]
    cause = "replaced" if card["replace_oldest"] else "too_many"
    verdicts = [Verdict(one["login_number"], "granted" if one["is_over"] else cause, 0) for one in going]
    if login_number not in [one["login_number"] for one in going]:
        own = next(
            (one for one in sessions if one["login_number"] == login_number),
            {"granted_left_seconds": None, "is_over": 0},
        )
        verdicts.append(
            Verdict(login_number, "granted", 0)
            if own["is_over"]
            else Verdict(login_number, *_limit(card, own["granted_left_seconds"]))
        )
    return verdicts


def _refusal(card: dict) -> str | None:
    """Why nobody may be on with this card now.  A card that was never used has a session that FreeRADIUS never saw."""
    if card["status"] not in ("delivered", "in_use"):
        return card["status"]
    if card["expires_in_seconds"] is not None and card["expires_in_seconds"] <= 0:
        return "validity"
    if _hours_left(card) == 0:
        return "hours"
    return None


def _limit(card: dict, granted_left_seconds: int | None) -> tuple[str, int]:
    limits = [("longest", LONGEST_SESSION_SECONDS)]
    if granted_left_seconds is not None:
        limits.append(("time", max(granted_left_seconds, 0) + TIMEOUT_GRACE_SECONDS))
    if card["expires_in_seconds"] is not None:
        limits.append(("validity", card["expires_in_seconds"]))
    if _hours_left(card) is not None:
        limits.append(("hours", _hours_left(card)))
    return min(limits, key=lambda limit: limit[1])


def _hours_left(card: dict) -> int | None:
    if not card["allowed_hours"]:
        return None
    return hours.seconds_left(hours.parse(card["allowed_hours"]), card["now"], card["timezone"])
