"""Sessions that must be off are disconnected: look, decide, claim, send, record.

The database says which sessions must be off (session.due_at).  The NAS answers what it did about a request.  But only the
session's own packets, or their absence, prove that it is off.  Any number of enforcers may work at the same time: each
claims an attempt by writing its row (disconnect_attempt) before it sends the request, and the row can be written only once.
"""

import functools
import ipaddress
from typing import Any, NamedTuple

from pymysql.cursors import DictCursor

from freeradius_module.attributes import BY_CERTIFICATE
from freeradius_module.rules import hours
from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS, RESERVATION_SECONDS, TIMEOUT_GRACE_SECONDS
from freeradius_module.rules.vendors import Attribute, SessionIdentity, disconnect_attributes, speed_change_attributes
from freeradius_module.sealing import keyring, pin
from freeradius_module.sentence import Sentence

from .. import store
from ..shell import output
from ..shell.module_settings import module_settings
from ..shell.office import Office
from ..shell.text import _
from .requests import WINDOW, Answer, Exchange, Request

# After this time an attempt without an outcome belongs to an enforcer that has ended, and may be made again.
CLAIM_SECONDS = 30
# The pause after the first attempt without success; each further pause is twice as long.
FIRST_PAUSE_SECONDS = 5
LONGEST_PAUSE_SECONDS = 300
# The pause after a NAK, before the request is repeated with fewer attributes.
NAK_PAUSE_SECONDS = 1
# A report that arrives so soon after the NAS' ACK was sent before it.
ON_ITS_WAY_SECONDS = 5
# A missing Stop means nothing until this long after the ACK.
STOP_SECONDS = 10
# How many cards are marked as expired in one transaction.
EXPIRED_AT_ONCE = 500

# Error-Cause 503, Session-Context-Not-Found (RFC 5176, section 3.6).
NOT_FOUND = "503"
# The due_cause of sessions that came back, or came without a login.  Whether they may go on is decided first.
TO_BE_JUDGED = ("revived", "unknown")


# A row of a query in admin/store/session.py.
Row = dict[str, Any]
# action, card id, login number
Key = tuple[str, int, int]


class Heard(NamedTuple):
    """The outcome of an attempt."""

    key: Key
    attempt: Row
    answer: Answer


class Enforcer:
    """Finds the sessions that must be off, and has their NAS disconnect them."""

    def __init__(self, office: Office, is_service: bool = False):
        self.office = office
        self._is_service = is_service
        self.exchange: Exchange[Key] = Exchange()
        settings = module_settings(office)
        self._longest_session_seconds = settings.longest_session_seconds
        self._log_format = settings.log
        self._attempts: dict[Key, Row] = {}

    def look(self) -> int:
        """Decide on the sessions that are due and send the requests.  Returns how many things there were to do."""
        done = 0
        with self._cursor() as cursor:
            rows = store.disconnect.due(cursor, WINDOW)
            slow = store.disconnect.slow_downs(cursor)
        to_disconnect = []
        for row in rows:
            match step(row):
                case "send":
                    to_disconnect.append(row)
                case "judge":
                    done += self._judge(row)
                case "wait":
                    pass
                case cause:
                    done += self.office.change(functools.partial(store.session.close, session=row, cause=cause))
        done += self.disconnect(to_disconnect)
        return done + self._try("slow_down", [(row, self._slow_down_request(row)) for row in slow])

    def disconnect(self, rows: list[Row]) -> int:
        """Ask the NAS to end these sessions.  Returns how many requests this enforcer made; others may make the rest."""
        return self._try("disconnect", [(row, self._disconnect_request(row)) for row in rows])

    def hear(self, seconds: float) -> int:
        """Wait up to `seconds` for answers, and record the first that arrive.  Returns how many."""
        heard = [Heard(key, self._attempts.pop(key), answer) for key, answer in self.exchange.wait(seconds)]
        self._record(heard)
        return len(heard)

    def keep_house(self) -> int:
        """Mark some cards whose validity is over as expired, and sessions on cards that may not log in as due.

        Returns how many.  Call it again until it returns 0.
        """
        with self._cursor() as cursor:
            found = store.session.not_allowed(cursor, EXPIRED_AT_ONCE)

        def end(cursor: DictCursor) -> int:
            return sum(store.session.end_not_allowed(cursor, session) for session in found)

        def expire(cursor: DictCursor) -> int:
            store.disconnect.forget_ended_slow_downs(cursor)
            cards = store.session.expired_cards(cursor, EXPIRED_AT_ONCE)
            return store.session.expire(cursor, cards) if cards else 0

        return self.office.change(end) + self.office.change(expire, reason="the validity is over")

    @property
    def is_waiting(self) -> bool:
        """Whether a request of this enforcer has no answer yet."""
        return bool(self._attempts)

    def close(self) -> None:
        self.exchange.close()

    # --- One attempt -----------------------------------------------------------------------------------

    def _try(self, action: str, tries: list[tuple[Row, Request | Answer | None]]) -> int:
        """Claim each attempt, then send its request, so that no two enforcers send it at the same time.

        An Answer in the place of a request is recorded as it is: the request cannot be made.  Returns how many were claimed.
        """
        chosen: list[tuple[Row, Request | Answer]] = []
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
        if not chosen:
            return 0
        # Committed before a request is sent, because other enforcers must see a claim at once.
        ours = self.office.change(
            lambda cursor: store.disconnect.claim(cursor, action, [row for row, _request in chosen], CLAIM_SECONDS)
        )
        impossible = []
        for row, request in chosen:
            if (row["card_id"], row["login_number"]) not in ours:
                continue
            key = action, row["card_id"], row["login_number"]
            attempt = {**row, "attempt": (row["attempt"] or 0) + 1}
            if isinstance(request, Answer):
                impossible.append(Heard(key, attempt, request))
            else:
                self._attempts[key] = attempt
                self.exchange.send(key, request)
        self._record(impossible)
        return len(ours)

    def _record(self, heard: list[Heard]) -> None:
        """Record the outcomes of attempts, and log them if this is the service."""
        if not heard:
            return

        def record(cursor: DictCursor) -> None:
            for one in heard:
                _record_outcome(cursor, *one)

        self.office.change(record)
        if self._is_service:
            for (action, _card_id, _login_number), attempt, answer in heard:
                self._log(action, attempt, answer)

    def _log(self, action: str, attempt: Row, answer: Answer) -> None:
        """Each request and its answer, in the service's journal."""
        said = f"{answer.outcome} {answer.error_cause or ''}".strip()
        output.print_event(
            self._log_format,
            "enforcer",
            action,
            _("{action} of {serial} on {nas}, session {session}, attempt {attempt}, because of {cause}: {said}").format(
                action=action,
                serial=attempt["serial"],
                nas=attempt["nas"],
                session=attempt["acct_session_id"],
                attempt=attempt["attempt"],
                cause=attempt.get("due_cause") or "slow_down",
                said=said,
            ),
            serial=attempt["serial"],
            nas=attempt["nas"],
            session=attempt["acct_session_id"],
            reason=attempt.get("due_cause"),
            outcome=said,
        )

    def _disconnect_request(self, row: Row) -> Request | Answer:
        # A NAS must match every attribute of the request (RFC 5176, section 3).  It may know itself by another address, for
        # example behind a NAT, and the customer by the name that was typed.  So after a NAK only the session is named.
        names_session_only = row["outcome"] == "nak" and row["vendor"] != "chilli"
        address = nas_address(row)
        identity = SessionIdentity(
            user_name=None if names_session_only else row["serial"],
            acct_session_id=row["acct_session_id"],
            nas_ip_address=None if names_session_only else address,
            framed_ip_address=row["framed_ipv4"],
        )
        return self._request("disconnect", row, address, disconnect_attributes(row["vendor"], identity))

    def _slow_down_request(self, row: Row) -> Request | Answer | None:
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

    def _request(
        self, action: str, row: Row, address: str | None, attributes: tuple[Attribute, ...]
    ) -> Request | Answer:
        if not row["secret_sealed"]:
            return Answer("not_sent", Sentence("no secret: the NAS is not in 'prepaid nas list'"))
        if row["nas_network"].startswith(BY_CERTIFICATE):
            return Answer("not_sent", Sentence("no address: its NAS is known by its certificate"))
        if address is None:
            return Answer("not_sent", Sentence("no address: its NAS is a network"))
        try:
            secret = pin.open_nas_secret(row["secret_sealed"], row["key_number"], row["nas"], self.office.keyring)
        except (pin.SealError, keyring.KeyFileError):
            return Answer("not_sent", Sentence("the NAS' secret cannot be opened: see 'prepaid doctor'"))
        return Request(action, address, row["disconnect_port"], secret.encode(), attributes)

    # --- Whether a session may go on -------------------------------------------------------------------

    def _judge(self, row: Row) -> int:
        """Decide whether a session may go on that came back, or that came without a login."""

        def judge(cursor: DictCursor) -> int:
            card = store.session.lock_card_for_judgement(cursor, row["card_id"])
            sessions = store.session.open_sessions_of_card(cursor, row["card_id"], row["login_number"])
            if not any(
                one["login_number"] == row["login_number"] and one["due_cause"] in TO_BE_JUDGED for one in sessions
            ):
                return 0  # Another enforcer has decided, or the session has ended.
            verdicts = judged(card, sessions, row["login_number"], self._longest_session_seconds)
            for verdict in verdicts:
                store.session.set_due(cursor, row["card_id"], *verdict)
            return len(verdicts)

        return self.office.change(judge)

    def _cursor(self) -> DictCursor:
        """A cursor to read with, outside a transaction."""
        return self.office.connection.cursor(DictCursor)


def _record_outcome(cursor: DictCursor, key: Key, attempt: Row, answer: Answer) -> None:
    action, card_id, login_number = key
    store.disconnect.record_outcome(
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
        store.disconnect.slow_down_is_done(cursor, card_id, login_number)


class Verdict(NamedTuple):
    """How long a session may go on, and the cause that ends it then."""

    login_number: int
    cause: str
    in_seconds: int


def step(row: Row) -> str:
    """What to do about a session that is due: "send", "judge", "wait", or the close_cause to close it with.

    >>> session = {"acct_session_id": "80a1", "due_cause": "blocked", "silent_seconds": 20.0, "interim_seconds": 300,
    ...            "attempt": None, "outcome": None, "error_cause": None, "heard_after_seconds": None}
    >>> step(session)
    'send'
    >>> step({**session, "due_cause": "revived"})
    'judge'

    An ACK is believed once an interim is missing; a report after it shows that the customer is still on:

    >>> acked = {**session, "attempt": 1, "outcome": "ack", "heard_after_seconds": -20.0}
    >>> step({**acked, "silent_seconds": 361.0}), step({**acked, "silent_seconds": 40.0, "heard_after_seconds": 270.0})
    ('disconnected', 'send')

    A NAS that knows no such session is believed in the same way: its Stop may be on the way, or it may be wrong.

    >>> step({**acked, "outcome": "nak", "error_cause": "503 Session-Context-Not-Found", "silent_seconds": 361.0})
    'gone'

    A NAS that does not answer is asked again, until the session is silent for so long that it no longer counts as open:

    >>> step({**acked, "outcome": "no_answer", "silent_seconds": 361.0})
    'send'
    >>> step({**acked, "outcome": "no_answer", "silent_seconds": 961.0})
    'stale'

    A login whose session has not begun is disconnected when it begins, and closed if it never does:

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
    heard_after = row["heard_after_seconds"]
    if (
        answer is not None
        and (answer.outcome == "ack" or is_unknown_there(answer))
        and silent_seconds > row["interim_seconds"] + GRACE_SECONDS
        and (heard_after is None or heard_after <= ON_ITS_WAY_SECONDS)
    ):
        return "disconnected" if answer.outcome == "ack" else "gone"
    if answer is not None and silent_seconds > MISSED_INTERIMS * row["interim_seconds"] + GRACE_SECONDS:
        return "stale"
    return "send"


def is_unknown_there(answer: Answer) -> bool:
    """Whether the NAS answered that it has no such session."""
    return answer.outcome == "nak" and (answer.error_cause or "").startswith(NOT_FOUND)


def pause_seconds(answer: Answer, attempt: int, silent_seconds: float, interim_seconds: int) -> int:
    """How many seconds to wait after an attempt before the next one.

    If the NAS answered that the session is off, until an interim is missing:

    >>> pause_seconds(Answer("ack"), 1, silent_seconds=100, interim_seconds=300)
    260

    A NAK may be due to the attributes, so the request is repeated at once with fewer.  A NAS that does not answer is asked
    less and less often:

    >>> pause_seconds(Answer("nak", "503 Session-Context-Not-Found"), 1, 100, 300)
    1
    >>> [pause_seconds(Answer("no_answer"), attempt, 100, 300) for attempt in (1, 2, 3, 9)]
    [5, 10, 20, 300]
    """
    if answer.outcome == "nak" and attempt == 1:
        return NAK_PAUSE_SECONDS
    if answer.outcome == "ack" or is_unknown_there(answer):
        return max(STOP_SECONDS, int(interim_seconds + GRACE_SECONDS - silent_seconds))
    return min(FIRST_PAUSE_SECONDS * (1 << min(attempt - 1, 10)), LONGEST_PAUSE_SECONDS)


def nas_address(row: Row) -> str | None:
    """The address of a session's NAS: where its packets came from, or the NAS' own row if that is a single address.

    >>> nas_address({"nas_address": "", "nas_network": "10.1.2.3/32"})
    '10.1.2.3'
    >>> nas_address({"nas_address": "10.1.2.7", "nas_network": "10.1.2.0/24"})
    '10.1.2.7'
    >>> nas_address({"nas_address": "", "nas_network": "10.1.2.0/24"}) is None
    True
    >>> nas_address({"nas_address": "tls:hotspot", "nas_network": "tls:hotspot"}) is None
    True
    """
    if row["nas_network"].startswith(BY_CERTIFICATE):
        return None
    if row["nas_address"]:
        return str(ipaddress.ip_address(row["nas_address"]))
    if not row["nas_network"]:
        return None
    network = ipaddress.ip_network(row["nas_network"])
    return str(network.network_address) if network.num_addresses == 1 else None


def judged(card: Row, sessions: list[Row], login_number: int, longest_session_seconds: int) -> list[Verdict]:
    """How long a session may go on that came back or came without a login; and which sessions must end instead, if any.

    `sessions` are the card's open sessions in the order of their logins, this one among them.

    >>> card = {"status": "in_use", "expires_in_seconds": 7200, "allowed_hours": None, "timezone": "UTC",
    ...         "max_sessions": 1, "replace_oldest": False, "now": None}
    >>> back = {"login_number": 1, "due_cause": "revived", "is_due": 1, "granted_left_seconds": 600,
    ...         "is_over": 0}
    >>> judged(card, [back], 1, 86_400)
    [Verdict(login_number=1, cause='time', in_seconds=615)]
    >>> judged({**card, "status": "blocked"}, [back], 1, 86_400)
    [Verdict(login_number=1, cause='blocked', in_seconds=0)]

    If two sessions are on where one is allowed, the one that has used up its grant must end; otherwise the newest, or the
    oldest if the product says so.

    >>> [verdict for verdict in judged(card, [{**back, "is_over": 1}, {**back, "login_number": 2, "is_due": 0}], 1, 86_400)]
    [Verdict(login_number=1, cause='granted', in_seconds=0)]

    >>> later = {**back, "login_number": 2, "due_cause": "time", "is_due": 0}
    >>> [(verdict.login_number, verdict.cause) for verdict in judged(card, [back, later], 1, 86_400) if not verdict.in_seconds]
    [(2, 'too_many')]
    >>> judged({**card, "replace_oldest": True}, [back, later], 1, 86_400)
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
            else Verdict(login_number, *_limit(card, own["granted_left_seconds"], longest_session_seconds))
        )
    return verdicts


def _refusal(card: Row) -> str | None:
    """Why no session of this card may be on now.

    A "delivered" card may have a session: one that came without a login.
    """
    if card["status"] not in ("delivered", "in_use"):
        return str(card["status"])
    if card["expires_in_seconds"] is not None and card["expires_in_seconds"] <= 0:
        return "validity"
    if _hours_left(card) == 0:
        return "hours"
    return None


def _limit(card: Row, granted_left_seconds: int | None, longest_session_seconds: int) -> tuple[str, int]:
    limits = [("longest", longest_session_seconds)]
    if granted_left_seconds is not None:
        limits.append(("time", max(granted_left_seconds, 0) + TIMEOUT_GRACE_SECONDS))
    if card["expires_in_seconds"] is not None:
        limits.append(("validity", card["expires_in_seconds"]))
    hours_left = _hours_left(card)
    if hours_left is not None:
        limits.append(("hours", hours_left))
    return min(limits, key=lambda limit: limit[1])


def _hours_left(card: Row) -> int | None:
    """How many seconds of the allowed hours are left; None if all hours are allowed."""
    if not card["allowed_hours"]:
        return None
    return hours.seconds_left(hours.parse(card["allowed_hours"]), card["now"], card["timezone"])
