"""Logins, as many as wait at the same time: one read for all, the decisions, one write for all.

A login by PAP or CHAP proves its PIN in its first packet, so it is decided at once, in FreeRADIUS' section authorize.  If
the PIN is right, the login gets the answer; if it is wrong, nothing is decided, and FreeRADIUS' own modules find the PIN
wrong, too.  By the other methods (MS-CHAP, EAP) FreeRADIUS has to do the proof first, and asks again in post-auth.
Either way nothing about a card is revealed, reserved or written before its PIN is proved.
"""

import contextlib
import hashlib
import hmac
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pymysql.cursors import Cursor

from .. import store
from ..attributes import SERIAL_MAX
from ..connection import Connection, DatabaseAway, Nodes, RowLocked, TooLate
from ..histogram import Histogram
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
from ..store.guessing import RefusedLogin, Try
from ..store.logins import Reservation
from . import reply
from .catalogue import Catalogue
from .group_commit import GroupCommit, Runner, is_given_up, leaving_out_locked, without_results

# Several logins of one card want the same login number: each round one of them gets it.
ROUNDS = 64
# How many ended sessions of a card may be unposted; beyond this a login posts them.
UNPOSTED_MOST = 32

# Refusals before a PIN is proved; _unproved chooses under which source they are counted.
UNPROVED = ("unknown_card", "wrong_pin", "locked_out")

AUTHORIZE, ADMIT, WRONG_PIN = "authorize", "admit", "wrong_pin"


class LoginRequest(NamedTuple):
    """What FreeRADIUS wants for a login: its PIN, and the answer if the packet proves the PIN (authorize); the answer,
    because the PIN is proved (admit); or that a wrong PIN is counted (wrong_pin)."""

    what: str
    attempt: Attempt
    vendor: str
    proof: Callable[[str], bool] | None = None  # whether the packet proves this PIN; None: only FreeRADIUS can check
    until: float = math.inf  # when the caller gives up, by the monotonic clock
    outer_serial: str = ""  # User-Name outside the EAP tunnel, if it differs from the one inside


class Answer(NamedTuple):
    """The answer to a login, and a line for the log if it is a refusal.  An accepted login is recorded as a session, and
    in FreeRADIUS' log where `log { auth = yes }` is set."""

    is_accepted: bool
    reply: tuple[Attribute, ...]
    reason: str
    log: str = ""


class AuthorizeResult(NamedTuple):
    """The PIN for FreeRADIUS' own modules to check, and the answer if the packet has proved the PIN already."""

    pin: str
    answer: Answer | None = None

    def __repr__(self) -> str:
        return "<AuthorizeResult>"


# A login that is refused: how it is counted, and the result for whoever asked.
Refused = tuple[RefusedLogin, Answer | str]
# Sets the result of the request with this index.
SetResult = Callable[[int, Answer | str | Exception], None]


class Logins:
    def __init__(
        self,
        settings: Settings,
        nodes: Nodes,
        catalogue: Catalogue,
        open_pin: Callable[[Card | None], str],
        class_key: bytes,
    ):
        self._settings = settings
        self._catalogue = catalogue
        self._open_pin = open_pin
        self._class_key = class_key
        # How many were decided, by NAS, outcome ("accepted", "refused"), and the refusal or what limits the session.
        self.counts: Counter[tuple[int, str, str]] = Counter()
        self.group_commit = GroupCommit(settings, nodes, self._run)
        self._runner = Runner(Connection(settings, nodes), self._run)

    def submit(self, request: LoginRequest) -> Any:
        """An AuthorizeResult for authorize, an Answer for admit, a line for the log for wrong_pin."""
        return self.group_commit.submit(request)

    def submit_all(self, requests: list[LoginRequest]) -> list[AuthorizeResult | Answer | str | Exception]:
        """The same for many at once; RowLocked for one that needs a row which another transaction holds."""
        return self._runner.run(requests)

    @property
    def timings(self) -> dict[str, Histogram]:
        """How long each statement of `submit_all` took."""
        return self._runner.timings

    def close(self) -> None:
        self.group_commit.close()
        self._runner.close()

    def _run(self, connection: Connection, requests: list[LoginRequest], results: list[Any]) -> None:
        requests = list(requests)
        serials = {request.attempt.serial[:SERIAL_MAX] for request in requests if request.what != WRONG_PIN}
        # Whether an outer name is another card's serial is read along with the rest.
        serials |= {
            request.outer_serial[:SERIAL_MAX]
            for request in requests
            if request.outer_serial and request.what != WRONG_PIN
        }
        cards = connection.run(store.logins.read_cards, list(serials)) if serials else {}
        standings = self._standings(connection, requests, cards)
        undecided: dict[int, Card] = {}
        proved: dict[int, AuthorizeResult] = {}  # of authorize, where the packet proves the PIN
        refused: dict[int, Refused] = {}
        for index, request in enumerate(requests):
            card = cards.get(request.attempt.serial)
            if index in standings and is_locked_out(
                standings[index][1], self._settings.wrong_pin_tries, request.attempt.device
            ):
                request = requests[index] = request._replace(attempt=request.attempt._replace(is_locked_out=True))
            if request.what == WRONG_PIN:
                one = _unproved(request.attempt, *standings[index])
                refused[index] = one, _log_line(request.attempt, one.reason)
                continue
            if request.what == AUTHORIZE:
                # A source that is locked out has to prove a PIN that nobody knows, so that the right PIN fails as a wrong
                # one does: FreeRADIUS' own module refuses it, whatever the method, and the answer reveals nothing.
                is_provable = card is not None and not request.attempt.is_locked_out
                try:
                    result = AuthorizeResult(self._open_pin(card if is_provable else None))
                except Exception as fault:
                    results[index] = fault
                    continue
                if not (is_provable and request.proof and request.proof(result.pin)):
                    results[index] = result
                    continue
                proved[index] = result
            if card is None:
                refused[index] = self._refuse(request.attempt, "unknown_card", None)
            elif request.outer_serial in cards:
                refused[index] = self._refuse_outer_name(request, card)
            else:
                undecided[index] = card

        def set_result(index: int, result: Answer | str | Exception) -> None:
            """A result is set as soon as what it says is committed: a later failure does not change it."""
            if index in proved and isinstance(result, Answer):
                results[index] = AuthorizeResult(proved[index].pin, result)
            else:
                results[index] = result

        if undecided:
            self._decide(connection, requests, undecided, set_result, refused)
        for statement, is_unknown in ((store.guessing.record_refusals, False), (store.guessing.record_unknown, True)):
            chosen = {index: one for index, one in refused.items() if (one[0].reason == "unknown_card") is is_unknown}
            if chosen:
                counted = _in_few_rows(connection, [refusal for refusal, _ in chosen.values()])
                recorded = leaving_out_locked(connection, without_results(statement), counted)
                for (index, (refusal, answer)), locked in zip(chosen.items(), recorded, strict=True):
                    set_result(index, locked or answer)
                    if not locked:
                        self.counts[refusal.nas_id, "refused", refusal.reason] += 1

    def _decide(
        self,
        connection: Connection,
        requests: list[LoginRequest],
        undecided: dict[int, Card],
        set_result: SetResult,
        refused: dict[int, Refused],
    ) -> None:
        """Decide all, write those that are accepted, and decide those again whose facts have changed meanwhile."""
        for _ in range(ROUNDS):
            accepted: dict[int, tuple[Card, Product, Accept]] = {}
            reservations: dict[int, tuple[int, Reservation]] = {}
            tokens: dict[int, int] = {}
            for index, card in undecided.items():
                if is_given_up(requests[index].until):
                    # A login whose caller has given up would only use up what the next one needs.
                    set_result(index, TooLate("the login was asked for too long ago"))
                    continue
                attempt = requests[index].attempt
                if card.sessions:
                    # Anew for each decision: the cards were read just now, perhaps after a wait for a locked row.  A login
                    # that was asked for before another one was written must not look as if it came long after it.
                    seconds_ago = max(time.time() - attempt.at, attempt.asked_seconds_ago)
                    attempt = attempt._replace(asked_seconds_ago=seconds_ago)
                product = self._catalogue.product(card.product_id, card.product_revision)
                decision = decide(
                    card, product, attempt, self._settings.longest_session_seconds, self._catalogue.queue_lag_seconds()
                )
                if isinstance(decision, Refusal):
                    self._update_status(connection, card, decision.reason)
                    refused[index] = self._refuse(attempt, decision.reason, card.id)
                    continue
                accepted[index] = card, product, decision
                # Of several logins of one card only the first can get its number.
                if card.id not in reservations:
                    reservation = _reservation(card, product, attempt, decision)
                    reservations[card.id] = index, reservation
                    tokens[index] = reservation.token
            written = _reserve(connection, reservations)
            for index, is_written in written.items():
                card, product, accept = accepted.pop(index)
                if is_written is True:
                    set_result(index, self._accept(card, product, requests[index], accept, tokens[index]))
                    self.counts[requests[index].attempt.nas_id, "accepted", accept.limited_by] += 1
                    if card.unposted > UNPOSTED_MOST:
                        _post(connection, card.id)
                elif isinstance(is_written, RowLocked):
                    set_result(index, is_written)
                else:
                    accepted[index] = card, product, accept
            if not accepted:
                return
            cards = connection.run(
                store.logins.read_cards, list({requests[index].attempt.serial for index in accepted})
            )
            undecided = {}
            for index, (before, _product, _accept) in accepted.items():
                attempt = requests[index].attempt
                now = cards.get(attempt.serial)
                if now is None:
                    refused[index] = self._refuse(attempt, "unknown_card", None)
                elif index in written and _facts_of(now) == _facts_of(before):
                    # It was not written although nothing has changed: another transaction holds the card.
                    set_result(index, RowLocked(f"card {now.id} is locked"))
                else:
                    undecided[index] = now
        for index in undecided:
            set_result(index, DatabaseAway("so many logins of one card at once that this one could not be decided"))

    def _update_status(self, connection: Connection, card: Card, reason: str) -> None:
        """Write down on the card what this login has found."""
        if reason == "expired" and card.status in ("delivered", "in_use"):
            with contextlib.suppress(RowLocked):
                connection.run(store.logins.expire, card.id)
        if reason == "exhausted" and card.status == "in_use":
            # An entry took credit away, or sessions used the card up none of which used all that it was granted.
            _post(connection, card.id)

    def _standings(
        self, connection: Connection, requests: list[LoginRequest], cards: dict[str, Card]
    ) -> dict[int, tuple[int | None, Standing]]:
        """What was counted before, by the request's index: for every wrong PIN, and for every login of a card that was
        tried so often that one of its sources may be locked out."""
        fewest = self._settings.wrong_pin_tries
        wanted = [
            index
            for index, request in enumerate(requests)
            if request.what == WRONG_PIN or ((card := cards.get(request.attempt.serial)) and card.was_tried >= fewest)
        ]
        if not wanted:
            return {}
        found = connection.run(store.guessing.read_standings, [_try(requests[index].attempt) for index in wanted])
        return dict(zip(wanted, found, strict=True))

    def _refuse(self, attempt: Attempt, reason: str, card_id: int | None) -> tuple[RefusedLogin, Answer]:
        refused = RefusedLogin(card_id or 0, source_of(attempt.nas_id, attempt.device), reason, attempt.nas_id)
        return refused, Answer(False, reply.refused(reason, self._settings.lang), reason, _log_line(attempt, reason))

    def _refuse_outer_name(self, request: LoginRequest, card: Card) -> tuple[RefusedLogin, Answer]:
        """The name outside the tunnel is another card's serial: a NAS that reports under it would charge that card."""
        refused, answer = self._refuse(request.attempt, "wrong_pin", card.id)
        log = f"{answer.log}, because its outer name is another card's: {request.outer_serial}"
        return refused, answer._replace(log=log)

    def _accept(self, card: Card, product: Product, request: LoginRequest, accept: Accept, token: int) -> Answer:
        claim = Claim(card.id, accept.login_number, int(request.attempt.at), token)
        attributes = reply.accepted(
            self._catalogue.terms(product, request.vendor, accept.is_slowed_down),
            request.vendor,
            accept,
            card.serial,
            card.expires_in_seconds,
            make_class(claim, card.serial, self._class_key),
            self._settings.lang,
            self._settings.currency,
        )
        return Answer(True, attributes, accept.limited_by)


def proof_of(request: Mapping[str, str]) -> Callable[[str], bool] | None:
    """How a packet proves a PIN, where the packet alone is enough: PAP (RFC 2865, 5.2) and CHAP (RFC 2865, 5.3).

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
    """Write the logins, given by card; for each index whether it was written, or RowLocked.

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
                written[index] = connection.run(store.logins.reserve_with_changes, one)
            except RowLocked as locked:
                written[index] = locked
    return written


def _reserve_plain(cursor: Cursor, reservations: list[Reservation]) -> list[bool]:
    keys = store.logins.reserve(cursor, reservations)
    return [(one.card_id, one.login_number) in keys for one in reservations]


def _post(connection: Connection, card_id: int) -> None:
    """Post what a card's sessions have used, unless another transaction holds the card: then the next login does it."""
    with contextlib.suppress(RowLocked):
        connection.run(store.posting.post, [card_id])


def _facts_of(card: Card) -> tuple[int, int, int]:
    """What a login must find unchanged when it is written."""
    return card.version, card.last_login_number, card.product_revision


def _try(attempt: Attempt) -> Try:
    # A serial that is longer than any card's matches none, as in read_cards.
    serial = attempt.serial if len(attempt.serial) <= SERIAL_MAX else ""
    return Try(serial, source_of(attempt.nas_id, attempt.device), attempt.nas_id, attempt.device)


def _unproved(attempt: Attempt, card_id: int | None, standing: Standing) -> RefusedLogin:
    """How a login is counted whose PIN was not proved: it was wrong, or its source is locked out."""
    reason = "unknown_card" if card_id is None else "locked_out" if attempt.is_locked_out else "wrong_pin"
    source = counted_source(standing, attempt.nas_id, attempt.device, reason == "locked_out")
    return RefusedLogin(card_id or 0, source, reason, attempt.nas_id)


def _in_few_rows(connection: Connection, refused: list[RefusedLogin]) -> list[RefusedLogin]:
    """The same refusals; of those after a proved PIN, sources beyond a card's first SOURCES_MOST share a row."""
    decided = [refusal for refusal in refused if refusal.reason not in UNPROVED]
    if not decided:
        return refused
    known = connection.run(store.guessing.refused_sources, decided)
    counted = []
    for refusal in refused:
        sources = known.get((refusal.card_id, refusal.reason))
        if sources is not None:
            if refusal.source not in sources and len(sources) >= SOURCES_MOST:
                refusal = refusal._replace(source=shared_source_of(refusal.nas_id))
            sources.add(refusal.source)
        counted.append(refusal)
    return counted


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
        token=random.getrandbits(32),  # It identifies the login, and is no secret.
    )


def _changes_more(reservation: Reservation) -> bool:
    return bool(reservation.activates or reservation.binds_device or reservation.closes or reservation.replaces)


def _log_line(attempt: Attempt, reason: str) -> str:
    """A refusal for the log.  The serial of an unknown card is a stranger's text, so it is shortened and escaped."""
    serial = ascii(attempt.serial[:64]) if reason == "unknown_card" else attempt.serial
    return f"login of {serial}: {reason}"
