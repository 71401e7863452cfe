"""The decision on a login: a pure function of what the database says.

``decide`` is called only after the PIN was proved.  Two refusals come earlier, from the engine: unknown_card and
wrong_pin, which look the same to the person at the device.  All refusals, in their order: refusals.py.
"""

import operator
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ..sentence import Sentence
from . import hours
from .units import Octets, Seconds
from .usage import Credit, Tariff, Usage, is_used_up, left, octets_for, seconds_for
from .vendors import Limits, Terms

# A login reserves credit.  If its first accounting packet has not come after this time, the reservation ends.
RESERVATION_SECONDS = 60
# Two logins within this time arrived together; the later one is not the device coming back.  A device that the NAS names
# has one session there, so it may come again as soon as its first login was answered: after a double click, or when the
# answer was lost.  Without a name two devices look alike.
TOGETHER_SECONDS = 0.1
TOGETHER_WITHOUT_NAME_SECONDS = 1.0
# An open session may be silent for three interims and a minute.
MISSED_INTERIMS = 3
GRACE_SECONDS = 60
# Where a stranger cannot be told from the card's owner, this many times as many wrong PINs are allowed.
SHARED_SOURCE_FACTOR = 20
# The NAS ends a session by Session-Timeout.  A session that is still on this much later is disconnected.
TIMEOUT_GRACE_SECONDS = 15
# One NAS may use up this part (one half) of the wrong PINs that a card is allowed.
NAS_SHARE = 2
# For each card, reason and quarter of an hour, so many sources of refused logins are counted separately.
SOURCES_MOST = 20
# The longest session where nothing else limits time, unless the option file says otherwise.
LONGEST_SESSION_SECONDS = 86_400
# Session-Timeout has 32 bits, and some NAS read it as a signed number.
SESSION_TIMEOUT_MAX = 2**31 - 1

_Amount = TypeVar("_Amount", bound=int)


class Product(NamedTuple):
    """A type of credit, as the engine keeps it in memory for all logins."""

    id: int
    revision: int
    name: str
    kind: str
    credit: Credit
    tariff: Tariff
    terms: Terms
    fup_terms: Terms | None
    fup_octets: Octets | None  # from this usage on, fup_terms apply
    hours: hours.Windows | None
    timezone: str
    max_sessions: int
    replace_oldest: bool
    bind_device: bool


class Session(NamedTuple):
    """An open session of a card: neither stopped nor closed."""

    login_number: int
    nas_id: int
    device: str
    is_begun: bool  # an accounting packet has come
    silent_seconds: float  # since its last packet, or since the login; negative if the clock was put back
    interim_seconds: int
    granted_left: Credit  # granted and not yet used
    used: Usage = Usage()


class Card(NamedTuple):
    """A card, from one read of the database."""

    id: int
    serial: str
    status: str
    version: int  # grows with each change that a decision depends on
    product_id: int
    product_revision: int
    expires_in_seconds: int | None
    device: str | None
    added: Credit  # the sum of the compensating entries; may be negative
    used: Usage  # by all its sessions, whether posted to the card or not
    last_login_number: int  # 0: it never logged in
    sessions: tuple[Session, ...]  # the open ones
    unposted: int  # how many ended sessions are not posted to the card yet
    pin_sealed: bytes
    key_number: int
    was_tried: int  # how many wrong PINs were sent for it in this quarter of an hour


class Attempt(NamedTuple):
    """One login: for which card, from which NAS and device."""

    serial: str
    nas_id: int
    device: str = ""
    asked_seconds_ago: float = 0.0
    is_locked_out: bool = False
    nas_address: str = ""
    at: float = 0.0  # seconds since 1970, UTC


class Standing(NamedTuple):
    """How many wrong PINs of one card count against the next login from a source, in this quarter of an hour."""

    of_source: int
    of_nas: int
    of_card: int
    source_count: int = 0
    is_known: bool = False  # the source's device has used the card before


class Refusal(NamedTuple):
    reason: str  # a key of REFUSALS


class Accept(NamedTuple):
    """A login that is let in: its limits, and what has to be done."""

    login_number: int
    limits: Limits
    limited_by: str  # the limit that ends the session: time, money, validity, hours, longest
    volume_limited_by: str | None  # the limit of its octets: traffic, money; None: there is none
    granted: Credit
    balance: Credit  # what is left on the card, for the message
    is_slowed_down: bool
    fup_left_octets: Octets | None  # until the speed is reduced; None: never, or it is reduced already
    closes: tuple[tuple[int, str], ...] = ()  # sessions that this login closes: (login number, cause)
    replaces: tuple[int, ...] = ()  # sessions that have to be disconnected for this one
    activates: bool = False  # it is the card's first login
    binds_device: bool = False


def decide(
    card: Card,
    product: Product,
    attempt: Attempt,
    longest_session_seconds: int = LONGEST_SESSION_SECONDS,
    queue_lag_seconds: float = 0.0,
) -> Accept | Refusal:
    """Let a card in, or refuse it for the first reason that holds, in the order of REFUSALS.

    *queue_lag_seconds* is how long accounting packets wait in the queue before they are charged.  A session's silence of
    that length means nothing.

    Raises ValueError for a status that no rule covers.
    """
    if attempt.is_locked_out:
        return Refusal("locked_out")
    if card.status == "created":
        return Refusal("not_delivered")
    if card.status == "blocked":
        return Refusal("blocked")
    if product.kind != "internet" or card.status == "redeemed":
        return Refusal("wrong_kind")
    if card.status not in ("delivered", "in_use", "exhausted", "expired"):
        # Perhaps a status of a newer schema.  No answer is better than to let a card in by mistake.
        raise ValueError(Sentence("no rule says whether a card that is {status} may log in", status=card.status))
    if card.status == "expired" or (card.expires_in_seconds is not None and card.expires_in_seconds <= 0):
        return Refusal("expired")
    balance = balance_of(card, product)
    if card.status == "exhausted" or is_used_up(balance):
        return Refusal("exhausted")
    hours_left = None
    if product.hours:
        hours_left = hours.seconds_left(product.hours, attempt.at, product.timezone)
        if hours_left == 0:
            return Refusal("outside_hours")
    if product.bind_device and card.device and card.device != attempt.device:
        return Refusal("wrong_device")

    others, closes = _others(card, attempt, queue_lag_seconds)
    if len(others) >= product.max_sessions and not product.replace_oldest:
        return Refusal("too_many_sessions")
    # These sessions are not closed here: they are open until their NAS has ended them, which `prepaid enforce` takes care
    # of.  A session that was closed and came back may make them more than the product allows.
    excess = max(len(others) - (product.max_sessions - 1), 0)
    replaces, others = others[:excess], others[excess:]
    granted = _share(balance, product, others)
    if is_used_up(granted):
        # Everything that is left is granted to sessions that are still open.
        return Refusal("too_many_sessions")

    limits = _given(
        ("time", granted.seconds),
        ("money", None if granted.millicents is None else seconds_for(granted.millicents, product.tariff)),
        ("validity", card.expires_in_seconds),
        ("hours", hours_left),
        ("longest", longest_session_seconds),
    )
    limited_by, seconds = min(limits, key=_AMOUNT)
    volume_limits = _given(
        ("traffic", granted.octets),
        ("money", None if granted.millicents is None else octets_for(granted.millicents, product.tariff)),
    )
    volume_limited_by, octets = min(volume_limits, key=_AMOUNT, default=(None, None))
    fair_use = fair_use_octets(card.used, product)
    is_slowed_down = product.fup_octets is not None and fair_use >= product.fup_octets
    return Accept(
        # Of two logins at once, the first to store its number wins; the other is decided again.
        login_number=card.last_login_number + 1,
        limits=Limits(Seconds(min(seconds, SESSION_TIMEOUT_MAX)), octets, granted.down_octets, granted.up_octets),
        limited_by=limited_by,
        volume_limited_by=volume_limited_by,
        granted=granted,
        balance=balance,
        is_slowed_down=is_slowed_down,
        fup_left_octets=_fup_left_octets(product, fair_use),
        closes=tuple(closes),
        replaces=tuple(session.login_number for session in replaces),
        activates=card.status == "delivered",
        binds_device=product.bind_device and not card.device and bool(attempt.device),
    )


def is_locked_out(standing: Standing, wrong_pin_tries: int, device: str) -> bool:
    """Whether a source has to wait for the next quarter of an hour, because too many wrong PINs came for the card.

    One device has *wrong_pin_tries*.  But a stranger can change the address of his device at will.  So all devices that
    never used the card have card_tries() together, and half of them at one NAS: a stranger at one NAS cannot lock a
    buyer's new device out at the others.

    A device that has used the card belongs to its owner, and the wrong PINs of others do not count against it.  A stranger
    may pretend to be that device, and where the NAS names no device all devices look alike: there the limit of the source
    is as high as the card's.

    >>> is_locked_out(Standing(5, 5, 5), 5, "02-00-5E-10-00-01")
    True
    >>> is_locked_out(Standing(5, 50, 100, is_known=True), 5, "02-00-5E-10-00-01")
    False
    >>> is_locked_out(Standing(0, 50, 50), 5, "02-00-5E-10-00-01"), is_locked_out(Standing(0, 0, 99), 5, "02-00-5E-10-00-01")
    (True, False)
    """
    most = card_tries(wrong_pin_tries)
    if standing.is_known:
        return standing.of_source >= most
    return (
        standing.of_source >= (wrong_pin_tries if device else most)
        or standing.of_nas >= most // NAS_SHARE
        or standing.of_card >= most
    )


def card_tries(wrong_pin_tries: int) -> int:
    """How many wrong PINs all devices that never used a card may send for it together in a quarter of an hour.

    >>> card_tries(5)
    100
    """
    return wrong_pin_tries * SHARED_SOURCE_FACTOR


def source_of(nas_id: int, device: str) -> str:
    """The source of a login, under which its wrong PINs are counted."""
    return f"{nas_id}/{device}"


def counted_source(standing: Standing, nas_id: int, device: str, is_locked_out: bool) -> str:
    """The source under which one more wrong PIN is counted.

    In each quarter of an hour, the first SOURCES_MOST devices of a card have rows of their own; further devices share one
    row for each NAS.  So a stranger who sends another address with each guess cannot fill the table.

    >>> counted_source(Standing(0, 19, 19, 19), 3, "02-00-5E-10-00-01", False)
    '3/02-00-5E-10-00-01'
    >>> counted_source(Standing(0, 20, 20, 20), 3, "02-00-5E-10-00-01", False)
    '3/*'
    """
    has_own_row = standing.of_source > 0 or standing.is_known or not device
    if has_own_row or (standing.source_count < SOURCES_MOST and not is_locked_out):
        return source_of(nas_id, device)
    return shared_source_of(nas_id)


def shared_source_of(nas_id: int) -> str:
    """The source that stands for all further devices of a NAS."""
    return source_of(nas_id, "*")


def fair_use_octets(used: Usage, product: Product) -> Octets:
    """The usage that counts towards fair use: both directions, or the download if the product has a download alone."""
    return used.down_octets if product.credit.octets is None else used.octets


def _fup_left_octets(product: Product, used_octets: int) -> Octets | None:
    """How much a session may use before the card's fair use has to be checked again; None: never.

    Several sessions may use up the card's share together, so there it is checked with each report (0).
    """
    if product.fup_octets is None or used_octets >= product.fup_octets:
        return None
    return Octets(product.fup_octets - used_octets if product.max_sessions == 1 else 0)


def credit_of(card: Card, product: Product) -> Credit:
    """What was bought: the product's credit and the card's compensating entries."""
    if not any(card.added):
        return product.credit
    return Credit._make(
        [
            None if bought is None else max(bought + (entered or 0), 0)
            for bought, entered in zip(product.credit, card.added, strict=True)
        ]
    )


def balance_of(card: Card, product: Product) -> Credit:
    """What is left on a card."""
    return left(credit_of(card, product), card.used, product.tariff)


def is_stale(session: Session, queue_lag_seconds: float = 0.0) -> bool:
    """Whether an open session was silent for so long that it no longer counts as open.

    Its reports may wait in the queue, so the time that packets wait there is not counted.

    >>> session = Session(1, 1, "", True, 1000.0, 300, Credit())
    >>> is_stale(session), is_stale(session, queue_lag_seconds=120.0)
    (True, False)
    """
    if not session.is_begun:
        # A clock that was put back leaves logins in the future, which would otherwise count until then.
        return (
            session.silent_seconds - queue_lag_seconds > RESERVATION_SECONDS
            or session.silent_seconds < -RESERVATION_SECONDS
        )
    return session.silent_seconds - queue_lag_seconds > MISSED_INTERIMS * session.interim_seconds + GRACE_SECONDS


def _others(card: Card, attempt: Attempt, queue_lag_seconds: float) -> tuple[list[Session], list[tuple[int, str]]]:
    """The open sessions that stay beside this login, oldest first, and those that it closes: (login number, cause).

    It closes stale sessions, and takes over a session of the same device on the same NAS.  Where the NAS names no device,
    only a login that never began can be taken over.  Logins that arrive together are rivals, not one device coming back.
    """
    others: list[Session] = []
    closes: list[tuple[int, str]] = []
    for session in sorted(card.sessions):
        if is_stale(session, queue_lag_seconds):
            closes.append((session.login_number, "stale" if session.is_begun else "not_begun"))
        elif _is_own(session, attempt):
            closes.append((session.login_number, "superseded"))
        else:
            others.append(session)
    return others, closes


def _is_own(session: Session, attempt: Attempt) -> bool:
    if session.nas_id != attempt.nas_id or session.device != attempt.device:
        return False
    if session.is_begun:
        return bool(attempt.device)
    together_seconds = TOGETHER_SECONDS if attempt.device else TOGETHER_WITHOUT_NAME_SECONDS
    return session.silent_seconds - attempt.asked_seconds_ago >= together_seconds


def _share(balance: Credit, product: Product, others: Sequence[Session]) -> Credit:
    """The grant of a login: what the others were not granted, divided by the sessions that may still come.

    So all open sessions together never hold more than is left, and the first does not take everything.

    >>> product = Product(1, 1, "p", "internet", Credit(600), Tariff(), Terms(), None,
    ...                   None, None, "UTC", max_sessions=2, replace_oldest=False, bind_device=False)
    >>> _share(Credit(seconds=601), product, []).seconds
    301
    """
    free_places = product.max_sessions - len(others)
    if free_places == 1 and not others:
        return balance
    return Credit._make(
        [
            None if amount is None else max(-(-(amount - sum(filter(None, granted))) // free_places), 0)
            for amount, *granted in zip(balance, *[session.granted_left for session in others], strict=True)
        ]
    )


def taken_back(balance: Credit, sessions: Sequence[Session]) -> list[tuple[Session, Credit]]:
    """What open sessions hold beyond what is left on their card, taken from the newest first.

    Returns each session that has to give something back, and how much; 0 for a kind of credit that does not change.

    >>> first = Session(1, 1, "", True, 0.0, 300, Credit(seconds=300))
    >>> second = Session(2, 1, "", True, 0.0, 300, Credit(seconds=200))
    >>> [(one.login_number, taken.seconds) for one, taken in taken_back(Credit(seconds=250), [first, second])]
    [(2, 200), (1, 50)]
    """
    excess = [
        0 if remains is None else max(sum(filter(None, granted)) - remains, 0)
        for remains, *granted in zip(balance, *[session.granted_left for session in sessions], strict=True)
    ]
    found = []
    for session in sorted(sessions, reverse=True):
        taken = [min(over, granted or 0) for over, granted in zip(excess, session.granted_left, strict=True)]
        excess = [over - less for over, less in zip(excess, taken, strict=True)]
        if any(taken):
            found.append((session, Credit._make(taken)))
    return found


def _given(*limits: tuple[str, _Amount | None]) -> list[tuple[str, _Amount]]:
    """The limits that there are, by name.

    >>> min(_given(("time", 600), ("validity", None), ("longest", 600)), key=_AMOUNT)  # of equal limits, the first
    ('time', 600)
    """
    return [(name, limit) for name, limit in limits if limit is not None]


_AMOUNT = operator.itemgetter(1)
