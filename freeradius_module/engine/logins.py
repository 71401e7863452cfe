"""Logins, as many as wait at the same time: one read for all, the decisions, one write for all.

A login by PAP or CHAP brings its proof along, so it is decided at once, in FreeRADIUS' section authorize: who has the
right PIN gets the answer, who has not gets nothing decided, and FreeRADIUS' own modules find out the same.
By the other methods (MS-CHAP, EAP) FreeRADIUS has to do the proof first; it comes back in post-auth.
Either way nothing about a card is revealed, reserved or written before its PIN is proved.
"""

import contextlib
import hashlib
import hmac
import math
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import store
from ..attributes import SERIAL_MAX
from ..connection import Connection, DatabaseAway, RowLocked, TooLate
from ..rules.identity import Claim, make_class
from ..rules.login import (
    SOURCES_MOST,
    TIMEOUT_GRACE_SECONDS,
    Accept,
    Attempt,
    Card,
    Product,
    Refusal,
    Standing,
    counted_source,
    decide,
    is_locked_out,
    shared_source_of,
    source_of,
)
from ..rules.vendors import Attribute
from ..settings import Settings
from ..store import RefusedLogin, Reservation, Try
from . import reply
from .catalogue import Catalogue
from .group_commit import Together, is_given_up, lane, leaving_out_locked

# Rivals for one card's next login number: each round one of them wins.
ROUNDS = 64
# Ended sessions of a card that are not posted yet; beyond this a login posts them.
UNPOSTED_MOST = 32

# Refusals before a PIN is proved; their sources are chosen by _unproved.
UNPROVED = ("unknown_card", "wrong_pin", "locked_out")

AUTHORIZE, ADMIT, WRONG_PIN = "authorize", "admit", "wrong_pin"


class Ask(NamedTuple):
    """What a login wants: the PIN, and the answer if it proves it at once (authorize); the answer, for it has proved it
    (admit); or that a try is counted (wrong_pin)."""

    what: str
    attempt: Attempt
    vendor: str
    proof: Callable[[str], bool] | None = None  # whether a PIN is the one that the packet proves; None: cannot tell
    until: float = math.inf  # when whoever asks gives up, by the monotonic clock
    outer_serial: str = ""  # outside the EAP tunnel, if it is another than inside


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
    def __init__(
        self, settings: Settings, catalogue: Catalogue, open_pin: Callable[[Card | None], str], class_key: bytes
    ):
        self._settings = settings
        self._catalogue = catalogue
        self._open_pin = open_pin
        self._class_key = class_key
        self.together = Together(settings, self._run)
        self._lane = lane(settings, self._run)

    def submit(self, ask: Ask) -> Handout | Answer | str:
        """A Handout for authorize, an Answer for admit, the line for the log for a wrong PIN."""
        return self.together.submit(ask)

    def submit_all(self, asks: list[Ask]) -> list[Handout | Answer | str | Exception]:
        """The same for many at once; RowLocked for one that needs a row which somebody else has locked just now."""
        return self._lane(asks)

    def _run(self, connection: Connection, asks: list[Ask], results: list) -> None:
        asks = list(asks)
        full = {ask.attempt.serial[:SERIAL_MAX] for ask in asks if ask.what != WRONG_PIN}
        # Whether an outer name is a card's is asked along with the rest.
        full |= {ask.outer_serial[:SERIAL_MAX] for ask in asks if ask.outer_serial and ask.what != WRONG_PIN}
        cards = connection.run(store.read_cards, list(full)) if full else {}
        standings = self._standings(connection, asks, cards)
        undecided: dict[int, Card] = {}
        handouts: dict[int, Handout] = {}
        refused: dict[int, tuple[RefusedLogin, Answer | str]] = {}
        for index, ask in enumerate(asks):
            card = cards.get(ask.attempt.serial)
            card_id, standing = standings.get(index, (None, None))
            if standing and is_locked_out(standing, self._settings.wrong_pin_tries, ask.attempt.device):
                ask = asks[index] = ask._replace(attempt=ask.attempt._replace(is_locked_out=True))
            if ask.what == WRONG_PIN:
                one = _unproved(ask.attempt, card_id, standing)
                refused[index] = one, _line(ask.attempt, one.reason)
            elif ask.what == AUTHORIZE:
                # Who is locked out has to prove a PIN that nobody knows, so that the right one fails as a wrong one does:
                # by whichever method, FreeRADIUS' own module refuses it, and the answer does not tell.
                is_provable = card is not None and not ask.attempt.is_locked_out
                try:
                    handout = Handout(self._open_pin(card if is_provable else None))
                except Exception as fault:
                    results[index] = fault
                    continue
                if is_provable and ask.proof and ask.proof(handout.pin):
                    handouts[index] = handout
                    if ask.outer_serial in cards:
                        refused[index] = self._refuse_outer_name(ask, card)
                    else:
                        undecided[index] = card
                else:
                    results[index] = handout
            elif card is None:
                refused[index] = _refusal(ask.attempt, "unknown_card", None), self._refuse(ask.attempt, "unknown_card")
            elif ask.outer_serial in cards:
                refused[index] = self._refuse_outer_name(ask, card)
            else:
                undecided[index] = card

        def answer(index: int, result: Answer | str | Exception) -> None:
            """A result is given as soon as what it says is committed; what fails later does not take it back."""
            is_handout = index in handouts and isinstance(result, Answer)
            results[index] = handouts[index]._replace(answer=result) if is_handout else result

        if undecided:
            self._decide(connection, asks, undecided, answer, refused)
        for statement, is_unknown in ((store.record_refusals, False), (store.record_unknown, True)):
            chosen = {index: one for index, one in refused.items() if (one[0].reason == "unknown_card") is is_unknown}
            if chosen:
                counted = _in_few_rows(connection, [refusal for refusal, _ in chosen.values()])
                recorded = leaving_out_locked(connection, _with_results(statement), counted)
                for (index, (_, result)), locked in zip(chosen.items(), recorded, strict=True):
                    answer(index, locked or result)

    def _decide(
        self, connection: Connection, asks: list[Ask], undecided: dict[int, Card], answer: Callable, refused: dict
    ) -> None:
        """Decide all, write those that are let in, and decide again those whose facts have changed meanwhile."""
        for _ in range(ROUNDS):
            accepted: dict[int, tuple[Card, Product, Accept]] = {}
            reservations: dict[int, tuple[int, Reservation]] = {}
            tokens: dict[int, int] = {}
            for index, card in undecided.items():
                if is_given_up(asks[index].until):
                    # Whoever asked has given up.  A login that nobody hears of would only be in the way.
                    answer(index, TooLate("the login was asked for too long ago"))
                    continue
                attempt = asks[index].attempt
                product = self._catalogue.product(card.product_id, card.product_revision)
                decision = decide(
                    card, product, attempt, self._settings.longest_session_seconds, self._catalogue.queue_lag_seconds()
                )
                if isinstance(decision, Refusal):
                    self._bring_up_to_date(connection, card, decision.reason)
                    refused[index] = _refusal(attempt, decision.reason, card.id), self._refuse(attempt, decision.reason)
                    continue
                accepted[index] = card, product, decision
                # Of several logins of one card only the first can win its number.
                if card.id not in reservations:
                    reservation = _reservation(card, product, attempt, decision)
                    reservations[card.id] = index, reservation
                    tokens[index] = reservation.token
            written = _reserve(connection, reservations)
            for index, is_written in written.items():
                card, product, accept = accepted.pop(index)
                if is_written is True:
                    answer(index, self._accept(card, product, asks[index], accept, tokens[index]))
                    if card.unposted > UNPOSTED_MOST:
                        _post(connection, card.id)
                elif isinstance(is_written, RowLocked):
                    answer(index, is_written)
                else:
                    accepted[index] = card, product, accept
            if not accepted:
                return
            cards = connection.run(store.read_cards, list({asks[index].attempt.serial for index in accepted}))
            undecided = {}
            for index, (before, _, _) in accepted.items():
                card = cards.get(asks[index].attempt.serial)
                if card is None:
                    refused[index] = (
                        _refusal(asks[index].attempt, "unknown_card", None), self._refuse(asks[index].attempt, "unknown_card")
                    )  # fmt: skip
                elif index in written and _facts_of(card) == _facts_of(before):
                    # It was not written although nothing has changed: somebody has locked the card.
                    answer(index, RowLocked(f"card {card.id} is locked"))
                else:
                    undecided[index] = card
        for index in undecided:
            answer(index, DatabaseAway("so many logins of one card at once that this one could not be decided"))

    def _bring_up_to_date(self, connection: Connection, card: Card, reason: str) -> None:
        """The card's status says, from now on, what this login has found."""
        if reason == "expired" and card.status in ("delivered", "in_use"):
            with contextlib.suppress(RowLocked):
                connection.run(store.expire, card.id)
        if reason == "exhausted" and card.status == "in_use":
            # By an entry that took credit away, or by sessions none of which used all that it was granted.
            _post(connection, card.id)

    def _standings(
        self, connection: Connection, asks: list[Ask], cards: dict[str, Card]
    ) -> dict[int, tuple[int | None, Standing]]:
        """What was counted before, by the index of the ask: of every wrong PIN, and of every login of a card that was
        tried so often that a source of it may be locked out."""
        fewest = self._settings.wrong_pin_tries
        wanted = [
            index
            for index, ask in enumerate(asks)
            if ask.what == WRONG_PIN or ((card := cards.get(ask.attempt.serial)) and card.was_tried >= fewest)
        ]
        if not wanted:
            return {}
        found = connection.run(store.read_standings, [_try(asks[index].attempt) for index in wanted])
        return dict(zip(wanted, found, strict=True))

    def _refuse(self, attempt: Attempt, reason: str) -> Answer:
        return Answer(False, reply.refused(reason, self._settings.lang), reason, _line(attempt, reason))

    def _refuse_outer_name(self, ask: Ask, card: Card) -> tuple[RefusedLogin, Answer]:
        """The name outside the tunnel is another card's: a NAS that reports by it would charge that card."""
        answer = self._refuse(ask.attempt, "wrong_pin")
        log = f"{answer.log}, because its outer name is another card's: {ask.outer_serial}"
        return _refusal(ask.attempt, "wrong_pin", card.id), answer._replace(log=log)

    def _accept(self, card: Card, product: Product, ask: Ask, accept: Accept, token: int) -> Answer:
        claim = Claim(card.id, accept.login_number, int(ask.attempt.at), token)
        answered = reply.accepted(
            self._catalogue.terms(product, ask.vendor, accept.is_slowed_down),
            ask.vendor,
            accept,
            card.serial,
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


def _reserve(connection: Connection, reservations: dict[int, tuple[int, Reservation]]) -> dict[int, bool | RowLocked]:
    """Write the logins, given by card; for each index whether it was written, or what was in the way.

    Most change nothing but their own row, and share a statement.
    """
    written: dict[int, bool | RowLocked] = {}
    plain = [(index, one) for index, one in reservations.values() if not _changes_more(one)]
    if plain:
        results = leaving_out_locked(connection, _reserve_plain, [one for _, one in plain])
        written.update(zip([index for index, _ in plain], results, strict=True))
    for index, one in reservations.values():
        if _changes_more(one):
            try:
                written[index] = connection.run(store.reserve_with_changes, one)
            except RowLocked as locked:
                written[index] = locked
    return written


def _reserve_plain(cursor, reservations: list[Reservation]) -> list[bool]:
    keys = store.reserve(cursor, reservations)
    return [(one.card_id, one.login_number) in keys for one in reservations]


def _with_results(statement: Callable) -> Callable[[Any, list], list[None]]:
    """A statement for many that has nothing to say of each."""

    def run(cursor, items: list) -> list[None]:
        statement(cursor, items)
        return [None] * len(items)

    return run


def _post(connection: Connection, card_id: int) -> None:
    """Post what a card's sessions have used, unless somebody works on the card just now: the next login does it then."""
    with contextlib.suppress(RowLocked):
        connection.run(store.post, [card_id])


def _facts_of(card: Card) -> tuple[int, int, int]:
    """What a login must find unchanged when it is written."""
    return card.version, card.last_login_number, card.product_revision


def _try(attempt: Attempt) -> Try:
    # A serial that is too long for any card finds none, as in read_cards.
    serial = attempt.serial if len(attempt.serial) <= SERIAL_MAX else ""
    return Try(serial, source_of(attempt.nas_id, attempt.device), attempt.nas_id, attempt.device)


def _unproved(attempt: Attempt, card_id: int | None, standing: Standing) -> RefusedLogin:
    """A try whose PIN was not proved: it was wrong, or its source is locked out."""
    reason = "unknown_card" if card_id is None else "locked_out" if attempt.is_locked_out else "wrong_pin"
    source = counted_source(standing, attempt.nas_id, attempt.device, reason == "locked_out")
    return RefusedLogin(card_id or 0, source, reason, attempt.nas_id)


def _in_few_rows(connection: Connection, refused: list[RefusedLogin]) -> list[RefusedLogin]:
    """The same refusals; of those that were decided, devices beyond the first SOURCES_MOST share a row."""
    decided = [refusal for refusal in refused if refusal.reason not in UNPROVED]
    if not decided:
        return refused
    known = connection.run(store.refused_sources, decided)
    counted = []
    for refusal in refused:
        sources = known.get((refusal.card_id, refusal.reason))
        if sources is not None:
            if refusal.source not in sources and len(sources) >= SOURCES_MOST:
                refusal = refusal._replace(source=shared_source_of(refusal.nas_id))
            sources.add(refusal.source)
        counted.append(refusal)
    return counted


def _refusal(attempt: Attempt, reason: str, card_id: int | None) -> RefusedLogin:
    return RefusedLogin(card_id or 0, source_of(attempt.nas_id, attempt.device), reason, attempt.nas_id)


def _reservation(card: Card, product: Product, attempt: Attempt, accept: Accept) -> Reservation:
    grace = 0 if accept.limited_by in ("validity", "hours") else TIMEOUT_GRACE_SECONDS
    used = {session.login_number: session.used for session in card.sessions}
    return Reservation(
        card_id=card.id,
        card_version=card.version,
        product_id=product.id,
        product_revision=product.revision,
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
        closes=tuple((number, cause, used[number]) for number, cause in accept.closes),
        replaces=accept.replaces,
        activates=accept.activates,
        binds_device=accept.binds_device,
        token=random.getrandbits(32),  # A name, and no secret.
    )


def _changes_more(reservation: Reservation) -> bool:
    return bool(reservation.activates or reservation.binds_device or reservation.closes or reservation.replaces)


def _line(attempt: Attempt, reason: str) -> str:
    """A refusal for the log; the serial of an unknown card is a stranger's text, so short, and on one line."""
    serial = ascii(attempt.serial[:64]) if reason == "unknown_card" else attempt.serial
    return f"login of {serial}: {reason}"
