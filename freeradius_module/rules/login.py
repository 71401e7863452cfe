"""The decision on a login: a pure function of what the database says, with its reason.

``decide`` is only asked after the PIN has been proved.  Two refusals come earlier, from the engine:
unknown_card and wrong_pin, which the person at the device cannot tell apart.

Refusals, in order of precedence, each with its word in the log, in ``prepaid track`` and in
``prepaid simulate``: see REFUSALS.
"""

from collections.abc import Iterable
from typing import NamedTuple

from . import hours
from .usage import Credit, Tariff, Usage, is_used_up, left, octets_for, seconds_for
from .vendors import Limits, Terms

REFUSALS = {
    "unknown_card": "There is no card with this serial number.",
    "wrong_pin": "The PIN is not this card's.",
    "locked_out": "Too many wrong PINs for this card came from this device, or from devices that never used it;"
    " they count again in the next quarter of an hour.",
    "not_delivered": "The card has not been delivered to a partner.",
    "blocked": "The office has blocked the card.",
    "wrong_kind": "It is a telephony card: its credit is added by the subscriber centre.",
    "expired": "The card's validity is over.",
    "exhausted": "The card's credit is used up.",
    "outside_hours": "The product does not allow logins at this hour.",
    "wrong_device": "The card belongs to another device.",
    "too_many_sessions": "As many sessions as the product allows are open.",
}

# A login whose first accounting packet has not come by then did not begin: its reservation is free again.
RESERVATION_SECONDS = 60
# Two logins of one device within this time are two that arrived together, not one that came back.
TOGETHER_SECONDS = 1.0
# What a session may be silent: three interims and a minute (design 7.5).
MISSED_INTERIMS = 3
GRACE_SECONDS = 60
# How many times as many wrong PINs are allowed where a stranger and the card's owner look alike.
SHARED_SOURCE_FACTOR = 20
# Session-Timeout ends a session by itself; only what is still on after that is disconnected.
TIMEOUT_GRACE_SECONDS = 15
# Of the wrong PINs that a card is allowed, one NAS may use one part in so many.
NAS_SHARE = 2
# So many sources of refused logins have rows of their own, for each card, reason and quarter of an hour.
SOURCES_MOST = 20
# 32 bits on the wire, and some NAS keep it signed.
SESSION_TIMEOUT_MAX = 2**31 - 1


class Product(NamedTuple):
    """The rules of a type of credit, as the module keeps them: loaded once, used for every login."""

    id: int
    revision: int
    name: str
    kind: str
    credit: Credit
    tariff: Tariff
    terms: Terms
    fup_terms: Terms | None
    fup_octets: int | None  # usage beyond which fup_terms apply
    hours: hours.Windows | None
    timezone: str
    max_sessions: int
    replace_oldest: bool
    bind_device: bool


class Session(NamedTuple):
    """One login of a card that is open: not stopped, not closed."""

    login_number: int
    nas_id: int
    device: str
    is_begun: bool  # an accounting packet has come
    silent_seconds: float  # since it was last heard of, or since the login
    interim_seconds: int
    granted_left: Credit  # granted and not used yet
    used: Usage = Usage()


class Card(NamedTuple):
    """What one read of the database says about a card."""

    id: int
    serial: str
    status: str
    version: int  # of what this decision depends on
    product_id: int
    product_revision: int
    expires_in_seconds: int | None
    device: str | None
    added: Credit  # sum of the compensating entries
    used: Usage  # by all its sessions, posted to its row or not
    last_login_number: int  # 0: it never logged in
    sessions: tuple[Session, ...]  # that are open
    unposted: int  # how many have ended and are not posted to its row
    pin_sealed: bytes
    key_number: int
    was_tried: int  # how often somebody sent a wrong PIN in this quarter of an hour


class Attempt(NamedTuple):
    """Who asks, from where."""

    serial: str
    nas_id: int
    device: str = ""
    asked_seconds_ago: float = 0.0
    is_locked_out: bool = False
    nas_address: str = ""
    at: float = 0.0  # seconds since 1970, UTC


class Standing(NamedTuple):
    """The wrong PINs of one card in this quarter of an hour, as they count against a source's next try."""

    of_source: int
    of_nas: int
    of_card: int
    source_count: int = 0
    is_known: bool = False  # the source's device has used the card before


class Refusal(NamedTuple):
    reason: str


class Accept(NamedTuple):
    """Everything that follows from a login that is let in."""

    login_number: int
    limits: Limits
    limited_by: str  # which limit ends the session: time, traffic, download, upload, money, validity, hours, longest
    volume_limited_by: str | None
    granted: Credit
    balance: Credit  # what is left on the card, for the message
    is_slowed_down: bool
    fup_left_octets: int | None  # until the speed drops; None: never, or it has
    closes: tuple[tuple[int, str], ...] = ()  # sessions that this login ends: (login number, cause)
    replaces: tuple[int, ...] = ()  # sessions that have to be disconnected for this one
    activates: bool = False
    binds_device: bool = False


def decide(
    card: Card,
    product: Product,
    attempt: Attempt,
    longest_session_seconds: int = 86_400,
    queue_lag_seconds: float = 0.0,
) -> Accept | Refusal:
    """Let a card in, or say why not.  The first reason that holds, in the order of REFUSALS, is the answer.

    *queue_lag_seconds* is how long accounting waits in a queue before it is charged: so much of a session's silence says
    nothing.
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
        # Of a newer schema, perhaps: no answer is better than a card let in by mistake.
        raise ValueError(f"no rule says whether a card that is {card.status} may log in")
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
    # Not closed: they stay on until their NAS has ended them, which `prepaid enforce` sees to.  One that came back may make
    # them more than the product allows.
    excess = max(len(others) - (product.max_sessions - 1), 0)
    replaces, others = others[:excess], others[excess:]
    granted = _share(balance, product, others)
    if is_used_up(granted):
        # All that is left is granted to sessions that are still open.
        return Refusal("too_many_sessions")

    seconds, limited_by = _smallest(
        ("time", granted.seconds),
        ("money", None if granted.millicents is None else seconds_for(granted.millicents, product.tariff)),
        ("validity", card.expires_in_seconds),
        ("hours", hours_left),
        ("longest", longest_session_seconds),
    )
    octets, volume_limited_by = _smallest(
        ("traffic", granted.octets),
        ("money", None if granted.millicents is None else octets_for(granted.millicents, product.tariff)),
    )
    fair_use = fair_use_octets(card.used, product)
    is_slowed_down = product.fup_octets is not None and fair_use >= product.fup_octets
    return Accept(
        # Whoever claims a number first has decided on the facts as they are.
        login_number=card.last_login_number + 1,
        limits=Limits(min(seconds, SESSION_TIMEOUT_MAX), octets, granted.down_octets, granted.up_octets),
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
    """Whether too many wrong PINs came for a card in this quarter of an hour for one more try of this source to count.

    One device has *wrong_pin_tries*.  A stranger changes his device's address at will, so all devices that never used
    the card have together no more than card_tries(), half of them at one NAS: a stranger at one NAS cannot keep a
    buyer's new device out at the others.

    A device that has used the card is its owner's, and what others have tried does not count against it.  A stranger
    may pretend to be that device, and where the NAS names no device all look alike: there the limit of the source is
    as high as the card's.

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
    """How many wrong PINs of a card count in a quarter of an hour, from all devices that never used it together.

    >>> card_tries(5)
    100
    """
    return wrong_pin_tries * SHARED_SOURCE_FACTOR


def source_of(nas_id: int, device: str) -> str:
    """Where a login comes from, as wrong PINs are counted."""
    return f"{nas_id}/{device}"


def counted_source(standing: Standing, nas_id: int, device: str, is_locked_out: bool) -> str:
    """The source under which one more try is counted.

    The first SOURCES_MOST devices of a card and quarter of an hour have rows of their own, further ones share one row
    for each NAS: who sends another address with each guess does not fill the table.

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
    """Devices of a NAS that are counted together."""
    return source_of(nas_id, "*")


def fair_use_octets(used: Usage, product: Product) -> int:
    """What counts towards the share of the traffic: both directions, or the download where that alone was bought."""
    return used.down_octets if product.credit.octets is None else used.octets


def _fup_left_octets(product: Product, used_octets: int) -> int | None:
    """What a session may use until the card's share has to be looked at; None: never.

    The share is the card's.  Where several sessions may use it up together, it is looked at with each report.
    """
    if product.fup_octets is None or used_octets >= product.fup_octets:
        return None
    return product.fup_octets - used_octets if product.max_sessions == 1 else 0


def credit_of(card: Card, product: Product) -> Credit:
    """What was bought: the product's credit and the entries made by hand since."""
    if not any(card.added):
        return product.credit
    return Credit(
        *(
            None if bought is None else max(bought + entered, 0)
            for bought, entered in zip(product.credit, card.added, strict=True)
        )
    )


def balance_of(card: Card, product: Product) -> Credit:
    return left(credit_of(card, product), card.used, product.tariff)


def is_stale(session: Session, queue_lag_seconds: float = 0.0) -> bool:
    """Whether an open session has been silent for so long that it no longer counts as open.

    Packets that wait in a queue may be its reports: silence is counted up to the packet that was charged last.

    >>> session = Session(1, 1, "", True, 1000.0, 300, Credit())
    >>> is_stale(session), is_stale(session, queue_lag_seconds=120.0)
    (True, False)
    """
    if not session.is_begun:
        # Or made in what is the future now, because the clock was put back: it would be in the way until then.
        return (
            session.silent_seconds - queue_lag_seconds > RESERVATION_SECONDS
            or session.silent_seconds < -RESERVATION_SECONDS
        )
    return session.silent_seconds - queue_lag_seconds > MISSED_INTERIMS * session.interim_seconds + GRACE_SECONDS


def _others(card: Card, attempt: Attempt, queue_lag_seconds: float) -> tuple[list[Session], list[tuple[int, str]]]:
    """The open sessions that this login has to reckon with, oldest first, and those that it ends.

    It ends what is stale, and takes over what is its own: the same device on the same NAS.  Where the
    NAS names no device, only a login that never began can be taken over.  Logins that arrive together
    are rivals, not one device that came back.
    """
    others, closes = [], []
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
    return session.silent_seconds - attempt.asked_seconds_ago >= TOGETHER_SECONDS


def _share(balance: Credit, product: Product, others: list[Session]) -> Credit:
    """What this login may have: what nobody else was granted, shared by the sessions that may still come.

    So all open sessions together never hold more than is left, and the first does not take it all.

    >>> product = Product(1, 1, "p", "internet", Credit(600), Tariff(), Terms(), None,
    ...                   None, None, "UTC", max_sessions=2, replace_oldest=False, bind_device=False)
    >>> _share(Credit(seconds=601), product, []).seconds
    301
    """
    free_places = product.max_sessions - len(others)
    if free_places == 1 and not others:
        return balance
    shares = []
    for index, amount in enumerate(balance):
        if amount is None:
            shares.append(None)
            continue
        for session in others:
            amount -= session.granted_left[index] or 0
        shares.append(max(-(-amount // free_places), 0))
    return Credit(*shares)


def taken_back(balance: Credit, sessions: Iterable[Session]) -> list[tuple[Session, Credit]]:
    """What open sessions hold beyond what is left on their card, taken from the newest first: by session how much, 0 of
    a credit that needs no change.

    >>> first = Session(1, 1, "", True, 0.0, 300, Credit(seconds=300))
    >>> second = Session(2, 1, "", True, 0.0, 300, Credit(seconds=200))
    >>> [(one.login_number, taken.seconds) for one, taken in taken_back(Credit(seconds=250), [first, second])]
    [(2, 200), (1, 50)]
    """
    excess = [
        None if left is None else sum(session.granted_left[index] or 0 for session in sessions) - left
        for index, left in enumerate(balance)
    ]
    found = []
    for session in sorted(sessions, reverse=True):
        taken = [min(max(over or 0, 0), session.granted_left[index] or 0) for index, over in enumerate(excess)]
        excess = [over and over - less for over, less in zip(excess, taken, strict=True)]
        if any(taken):
            found.append((session, Credit(*taken)))
    return found


def _smallest(*limits: tuple[str, int | None]) -> tuple[int | None, str | None]:
    """The smallest of the limits that there are, and its name; the earlier of two that are equal.

    >>> _smallest(("time", 600), ("validity", None), ("longest", 86400))
    (600, 'time')
    """
    smallest, name = None, None
    for limit_name, limit in limits:
        if limit is not None and (smallest is None or limit < smallest):
            smallest, name = limit, limit_name
    return smallest, name
