"""Logins, as many as wait at the same time: one read for all, the decisions, one write for all.

A login by PAP or CHAP brings its proof along, so it is decided at once, in FreeRADIUS' section authorize: who has the
right PIN gets the answer, who has not gets nothing decided, and FreeRADIUS' own modules find out the same.
By the other methods (MS-CHAP, EAP) FreeRADIUS has to do the proof first; it comes back in post-auth.
Either way nothing about a card is revealed, reserved or written before its PIN is proved.
"""

import hashlib
import hmac
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from . import reply, store
from .attributes import SERIAL_MAX
from .catalogue import Catalogue
from .connection import Connection, DatabaseAway
from .identity import Claim, make_class
from .lane import group, lane
from .login import Accept, Attempt, Card, Product, Refusal, decide, is_locked_out, source_of
from .settings import Settings
from .store import RefusedLogin, Reservation
from .vendors import Attribute

# Rivals for one card's next login number: each round one of them wins.
ROUNDS = 64
# Ended sessions of a card that are not posted yet; beyond this a login posts them.
UNPOSTED_MOST = 32
# Session-Timeout ends a session by itself; only what is still on after that is cut.
TIMEOUT_GRACE_SECONDS = 15

AUTHORIZE, ADMIT, WRONG_PIN = "authorize", "admit", "wrong_pin"


class Ask(NamedTuple):
    """What a login wants: the PIN, and the answer if it proves it at once (authorize); the answer, for it has proved it
    (admit); or that a try is counted (wrong_pin)."""

    what: str
    attempt: Attempt
    vendor: str
    proof: Callable[[str], bool] | None = None  # whether a PIN is the one that the packet proves; None: cannot tell


class Answer(NamedTuple):
    """What goes back to FreeRADIUS, and a line for its log: of refusals.  What was accepted is in the table of sessions,
    and in the log, too, where FreeRADIUS' own `log { auth = yes }` says so."""

    is_accepted: bool
    reply: tuple[Attribute, ...]
    reason: str
    log: str = ""


class Handout(NamedTuple):
    """The PIN for FreeRADIUS' own modules to check, and the answer if the packet has proved it already."""

    pin: str
    answer: Answer | None = None

    def __repr__(self) -> str:
        return "<Handout>"


class Logins:
    def __init__(self, settings: Settings, catalogue: Catalogue, open_pin: Callable[[Card | None], str], class_key: bytes):
        self._settings = settings
        self._catalogue = catalogue
        self._open_pin = open_pin
        self._class_key = class_key
        self._group = group(settings, self._run)
        self._lane = lane(settings, self._run)

    def submit(self, ask: Ask) -> Handout | Answer | str:
        """A Handout for authorize, an Answer for admit, the line for the log for a wrong PIN."""
        return self._group.submit(ask)

    def submit_all(self, asks: list[Ask]) -> list[Handout | Answer | str | Exception]:
        """The same for many at once.  Raises DatabaseAway if none can be done now."""
        return self._lane(asks)

    def _run(self, connection: Connection, asks: list[Ask]) -> list:
        results: list = [None] * len(asks)
        # A wrong PIN asks for no more of its card than whether there is one, so that an unknown serial costs the same.
        full = list({ask.attempt.serial[:SERIAL_MAX] for ask in asks if ask.what != WRONG_PIN})
        brief = list({ask.attempt.serial[:SERIAL_MAX] for ask in asks if ask.what == WRONG_PIN})
        cards = connection.run(store.read_cards, full) if full else {}
        card_ids = connection.run(store.find_cards, brief) if brief else {}
        undecided: dict[int, Card] = {}
        handouts: dict[int, Handout] = {}
        refused: list[RefusedLogin] = []
        for index, ask in enumerate(asks):
            card = cards.get(ask.attempt.serial)
            if ask.what == WRONG_PIN:
                card_id = card_ids.get(ask.attempt.serial)
                reason = "unknown_card" if card_id is None else "wrong_pin"
                refused.append(_refusal(ask.attempt, reason, card_id))
                results[index] = _line(ask.attempt, reason)
            elif ask.what == AUTHORIZE:
                try:
                    handout = Handout(self._open_pin(card))
                except Exception as fault:
                    results[index] = fault
                    continue
                handouts[index] = handout
                if card and ask.proof and ask.proof(handout.pin):
                    undecided[index] = card
            elif card is None:
                refused.append(_refusal(ask.attempt, "unknown_card", None))
                results[index] = self._refuse(ask.attempt, "unknown_card")
            else:
                undecided[index] = card
        if undecided:
            self._decide(connection, asks, undecided, results, refused)
        if refused:
            _record(connection, refused)
        for index, handout in handouts.items():
            if not isinstance(results[index], Exception):
                results[index] = handout._replace(answer=results[index])
        return results

    def _decide(
        self, connection: Connection, asks: list[Ask], undecided: dict[int, Card], results: list, refused: list
    ) -> None:
        """Decide all, write those that are let in, and decide again those whose facts have changed meanwhile."""
        for _ in range(ROUNDS):
            accepted: dict[int, tuple[Card, Product, Accept]] = {}
            reservations: dict[int, tuple[int, Reservation]] = {}
            for index, card in undecided.items():
                attempt = asks[index].attempt
                if card.was_tried:
                    attempt = attempt._replace(is_locked_out=self._is_locked_out(connection, card, attempt))
                product = self._catalogue.product(card.product_id, card.product_revision)
                decision = decide(card, product, attempt, self._settings.longest_session_seconds)
                if isinstance(decision, Refusal):
                    self._bring_up_to_date(connection, card, decision.reason)
                    refused.append(_refusal(attempt, decision.reason, card.id))
                    results[index] = self._refuse(attempt, decision.reason)
                    continue
                accepted[index] = card, product, decision
                # Of several logins of one card only the first can win its number.
                reservations.setdefault(card.id, (index, _reservation(card, product, attempt, decision)))
            winners = _reserve(connection, reservations)
            for index in winners:
                card, product, accept = accepted.pop(index)
                if card.unposted > UNPOSTED_MOST:
                    connection.run(store.settle, [card.id])
                results[index] = self._accept(card, product, asks[index], accept)
            if not accepted:
                return
            cards = connection.run(store.read_cards, list({asks[index].attempt.serial for index in accepted}))
            undecided = {}
            for index in accepted:
                if card := cards.get(asks[index].attempt.serial):
                    undecided[index] = card
                else:
                    results[index] = self._refuse(asks[index].attempt, "unknown_card")
        for index in undecided:
            results[index] = DatabaseAway("so many logins of one card at once that this one could not be decided")

    def _bring_up_to_date(self, connection: Connection, card: Card, reason: str) -> None:
        """The card's status says, from now on, what this login has found."""
        if reason == "expired" and card.status in ("delivered", "in_use"):
            connection.run(store.expire, card.id)
        if reason == "exhausted" and card.status == "in_use":
            # By an entry that took credit away, or by sessions none of which used all that it was granted.
            connection.run(store.settle, [card.id])

    def _is_locked_out(self, connection: Connection, card: Card, attempt: Attempt) -> bool:
        tries, is_known = connection.run(
            lambda cursor, one: store.wrong_pin_tries(cursor, card.id, source_of(one.nas_id, one.device), one.device),
            attempt,
        )
        return is_locked_out(tries, self._settings.wrong_pin_tries, attempt.device, is_known)

    def _refuse(self, attempt: Attempt, reason: str) -> Answer:
        return Answer(
            False,
            reply.refused(reason, self._settings.lang),
            reason,
            _line(attempt, reason),
        )

    def _accept(self, card: Card, product: Product, ask: Ask, accept: Accept) -> Answer:
        claim = Claim(card.id, accept.login_number, int(ask.attempt.at))
        answered = reply.accepted(
            self._catalogue.terms(product, ask.vendor, accept.is_slowed_down),
            ask.vendor,
            accept,
            card.expires_in_seconds,
            make_class(claim, card.serial, self._class_key),
            self._settings.lang,
            self._settings.currency,
        )
        return Answer(True, answered, accept.limited_by)


def proof_of(request: Mapping[str, str]) -> Callable[[str], bool] | None:
    """How a packet proves a PIN, where it can be told from the packet alone: PAP (RFC 2865, 5.2) and CHAP (5.3).

    >>> proof_of({"User-Password": "0123456789"})("0123456789")
    True
    >>> proof_of({"MS-CHAP-Challenge": "0x00"}) is None
    True
    """
    password = request.get("User-Password")
    if password is not None:
        return lambda known: hmac.compare_digest(known.encode(), password.encode("utf-8", "surrogateescape"))
    chap, challenge = request.get("CHAP-Password", ""), request.get("CHAP-Challenge", "")
    if chap.startswith("0x") and challenge.startswith("0x"):
        try:
            response, challenge_octets = bytes.fromhex(chap[2:]), bytes.fromhex(challenge[2:])
        except ValueError:
            return None
        return lambda known: hmac.compare_digest(
            hashlib.md5(response[:1] + known.encode() + challenge_octets, usedforsecurity=False).digest(), response[1:]
        )
    return None


def _reserve(connection: Connection, reservations: dict[int, tuple[int, Reservation]]) -> list[int]:
    """Write the logins, by card; return which were in time.  Most change nothing but their own row, and share a
    statement."""
    plain = [one for _, one in reservations.values() if not _changes_more(one)]
    won = connection.run(store.reserve, plain) if plain else set()
    return [
        index
        for index, one in reservations.values()
        if (
            connection.run(store.reserve_with_changes, one)
            if _changes_more(one)
            else (one.card_id, one.login_number) in won
        )
    ]


def _record(connection: Connection, refused: list[RefusedLogin]) -> None:
    of_cards = [refusal for refusal in refused if refusal.reason != "unknown_card"]
    of_none = [refusal for refusal in refused if refusal.reason == "unknown_card"]
    if of_cards:
        connection.run(store.record_refusals, of_cards)
    if of_none:
        connection.run(store.record_unknown, of_none)


def _refusal(attempt: Attempt, reason: str, card_id: int | None) -> RefusedLogin:
    return RefusedLogin(card_id or 0, source_of(attempt.nas_id, attempt.device), reason, attempt.nas_id)


def _reservation(card: Card, product: Product, attempt: Attempt, accept: Accept) -> Reservation:
    grace = 0 if accept.limited_by in ("validity", "hours") else TIMEOUT_GRACE_SECONDS
    return Reservation(
        card_id=card.id,
        login_number=accept.login_number,
        nas_id=attempt.nas_id,
        nas_address=attempt.nas_address,
        device=attempt.device,
        due_in_seconds=accept.limits.session_seconds + grace,
        due_cause=accept.limited_by,
        granted=accept.granted,
        tariff=product.tariff,
        fup_octets=accept.fup_left_octets,
        interim_seconds=product.terms.interim_seconds,
        closes=accept.closes,
        replaces=accept.replaces,
        activates=accept.activates,
        binds_device=accept.binds_device,
        token=random.getrandbits(63),  # A name, and no secret.
    )


def _changes_more(reservation: Reservation) -> bool:
    return bool(
        reservation.activates or reservation.binds_device or reservation.closes or reservation.replaces is not None
    )


def _line(attempt: Attempt, reason: str) -> str:
    """A refusal for the log; the serial of an unknown card is a stranger's text, so short, and on one line."""
    serial = ascii(attempt.serial[:64]) if reason == "unknown_card" else attempt.serial
    return f"login of {serial}: {reason}"
