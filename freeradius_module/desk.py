"""The desk: where packets, by now plain values, meet facts and judgement.

One desk serves all threads and all instances of the module in a radiusd.  It keeps no state of a card or
a session: everything that matters is in the database, so several servers and a restart change nothing.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from . import attributes, keyring, messages, pin, reply, store
from .attributes import Report
from .catalogue import UNLISTED, Catalogue
from .connection import Connection, DatabaseAway
from .group import Group
from .identity import Claim, Sign, identify, make_class
from .keyring import KeyFileError, Keyring
from .login import Accept, Attempt, Card, Product, Refusal, decide, is_locked_out, source_of
from .settings import Settings
from .store import Charge, RefusedLogin, Reservation
from .vendors import Attribute

# A card that was read for the PIN serves for the decision too, if that follows at once.
FRESH_SECONDS = 2.0
# Rivals for one card's next login number: each round one of them wins.
ROUNDS = 8
# Ended sessions of a card that are not posted yet; beyond this a login posts them.
UNSETTLED_MOST = 8
# Session-Timeout ends a session by itself; only what is still on after that is cut.
TIMEOUT_GRACE_SECONDS = 15
# A session that began before its login is one that went on through a new authentication: what it used before is
# counted already, so the clocks of two servers and a rounded second are all that is overlooked.
LOGIN_TOLERANCE_SECONDS = 2
# Two starts of one Acct-Session-Id within this time are one.
SAME_START_SECONDS = 30
# Archived sessions are at least this old; a packet of one is looked for there.
ARCHIVE_SECONDS = 7 * 86_400
REMEMBERED_MOST = 100_000


class Answer(NamedTuple):
    """What goes back to FreeRADIUS, and a line for its log."""

    is_accepted: bool
    reply: tuple[Attribute, ...]
    reason: str
    log: str


class NeverCharged(Exception):
    """The packet says nothing that can be charged, now or later."""


class Desk:
    def __init__(self, settings: Settings):
        self.settings = settings
        self.wrong_text = messages.refused("wrong_pin", settings.lang)
        self._take_keys(keyring.load(settings.key_file))
        # One that outlasts a change of keys, because running sessions bring their Class back after it.
        self._class_key = self.keys.lasting("class")
        self.catalogue = Catalogue(Connection(settings))
        self._fresh: dict[str, tuple[Card, float]] = {}
        self._sessions: dict[tuple[int, str, str], tuple[int, int, float]] = {}
        most = settings.group_size
        self._reads = _lane(settings, self._read, most)
        self._reserves = _lane(settings, self._reserve, most)
        self._refuses = _lane(settings, self._record_refusals, most)
        self._charges = _lane(settings, self._charge, most)
        self._charge_queue = _each_alone(settings, self._charge)

    def check(self) -> None:
        """Whether the database is the one that the key file belongs to; raises if it is not."""
        fingerprints = Connection(self.settings).run(lambda cursor, _: store.read_key_fingerprints(cursor), None)
        for number, fingerprint in fingerprints.items():
            if number in self.keys.numbers:
                self.keys.confirm(number, fingerprint)

    # Logins ---------------------------------------------------------------------------------------------

    def pin_for(self, request: Mapping[str, str]) -> str:
        """The PIN that the person has to prove; for a serial that is no card's, one that nobody can know.

        So an unknown serial goes the same way as a wrong PIN, and takes as long.
        """
        serial = attributes.serial_of(request)
        card = self._reads.submit(serial[: attributes.SERIAL_MAX])
        if card is None:
            return self._nobodys_pin()
        if len(self._fresh) > 4096:
            self._fresh.clear()
        self._fresh[serial] = (card, time.monotonic())
        return self._open(pin.open_sealed, card.pin_sealed, card.key_number, card.serial)

    def _nobodys_pin(self) -> str:
        """A PIN that nobody can know, made by the same work as a card's."""
        secret = secrets.token_urlsafe(12)
        number, sealed = self._decoy
        return secret + pin.open_sealed(sealed, number, "decoy", self.keys)

    def _open(self, open_sealed: Callable[[bytes, int, str, Keyring], str], sealed: bytes, number: int, owner: str) -> str:
        """Open what is sealed; with a key that has come into the key file since it was read, if need be."""
        try:
            return open_sealed(sealed, number, owner, self.keys)
        except KeyFileError:
            keys = keyring.refreshed(self.keys)
            if keys is self.keys:
                raise
            self._take_keys(keys)
            return open_sealed(sealed, number, owner, keys)

    def _take_keys(self, keys: Keyring) -> None:
        pin.prepare(keys)
        # What an unknown serial opens must open as long as these keys serve.
        self._decoy = pin.seal(secrets.token_urlsafe(8), "decoy", keys)
        self.keys = keys

    def admit(self, request: Mapping[str, str]) -> Answer:
        """Decide a login whose PIN is proved, and write what follows from it."""
        serial = attributes.serial_of(request)
        nas = self.nas(request)
        attempt = Attempt(
            serial=serial,
            nas_id=nas.id,
            device=attributes.device_of(request),
            nas_address=request.get(attributes.SOURCE_ADDRESS, "")[:45],
            asked_seconds_ago=max(time.time() - attributes.received_at(request), 0.0),
            at=attributes.received_at(request),
        )
        card = self._take_fresh(serial)
        for _ in range(ROUNDS):
            card = card or self._reads.submit(serial)
            if card is None:
                return self._refuse(attempt, "unknown_card")
            if card.was_tried:
                attempt = attempt._replace(is_locked_out=self._is_locked_out(card, attempt))
            product = self.catalogue.product(card.product_id, card.product_revision)
            decision = decide(card, product, attempt, self.settings.longest_session_seconds)
            if isinstance(decision, Refusal):
                if decision.reason == "expired" and card.status in ("delivered", "in_use"):
                    self._reserves.submit(("expire", card.id))
                if decision.reason == "exhausted" and card.status == "in_use":
                    # By an entry that took credit away, or by sessions none of which used all that it was granted.
                    self._charges.submit(("settle", card.id))
                return self._refuse(attempt, decision.reason)
            if self._reserves.submit(_reservation(card, product, attempt, decision)):
                return self._accept(card, product, attempt, nas.vendor, decision)
            card = None  # Another login of this card was decided meanwhile: decide again on the facts as they are now.
        raise DatabaseAway("so many logins of one card at once that this one could not be decided")

    def record_wrong_pin(self, request: Mapping[str, str]) -> str:
        """Count a wrong PIN; the line for the log says whether there is such a card."""
        serial = attributes.serial_of(request)
        card = self._take_fresh(serial) or self._reads.submit(serial[: attributes.SERIAL_MAX])
        reason = "wrong_pin" if card else "unknown_card"
        nas = self.nas(request)
        source = source_of(nas.id, attributes.device_of(request))
        self._refuses.submit(RefusedLogin(serial, source, reason, nas.id))
        return f"login of {_printable(serial)} on {nas.name}: {reason}"

    def _refuse(self, attempt: Attempt, reason: str) -> Answer:
        self._refuses.submit(
            RefusedLogin(attempt.serial, source_of(attempt.nas_id, attempt.device), reason, attempt.nas_id)
        )
        return Answer(
            False, reply.refused(reason, self.settings.lang), reason, f"login of {attempt.serial}: {reason}"
        )

    def _accept(self, card: Card, product: Product, attempt: Attempt, vendor: str, accept: Accept) -> Answer:
        if sum(not session.is_open for session in card.sessions) > UNSETTLED_MOST:
            self._charges.submit(("settle", card.id))
        claim = Claim(card.id, accept.login_number, int(attempt.at))
        answered = reply.accepted(
            self.catalogue.terms(product, vendor, accept.is_slowed_down),
            vendor,
            accept,
            card.expires_in_seconds,
            make_class(claim, card.serial, self._class_key),
            self.settings.lang,
            self.settings.currency,
        )
        limits = accept.limits
        log = f"login of {card.serial}: accepted, {limits.session_seconds} s by {accept.limited_by}"
        if limits.octets is not None:
            log += f", {limits.octets} octets by {accept.volume_limited_by}"
        return Answer(True, answered, accept.limited_by, log)

    def _take_fresh(self, serial: str) -> Card | None:
        card, read_at = self._fresh.pop(serial, (None, 0.0))
        return card if time.monotonic() - read_at <= FRESH_SECONDS else None

    def _is_locked_out(self, card: Card, attempt: Attempt) -> bool:
        source = source_of(attempt.nas_id, attempt.device)
        tries, is_known = self._refuses.submit(("tries", card.id, source, attempt.device))
        return is_locked_out(tries, self.settings.wrong_pin_tries, attempt.device, is_known)

    # Accounting -----------------------------------------------------------------------------------------

    def account(self, pairs: Sequence[tuple[str, str]]) -> str | None:
        """Charge what a packet reports; return a line for the log if there is something to say.

        Returns after the commit.  Raises DatabaseAway if that cannot be had now.
        """
        try:
            report, nas = self._report(pairs, 0.0)
            closed = self._charges.submit(report)
        except NeverCharged as fault:
            return str(fault)
        if report.kind in attributes.ON_OFF:
            return f"{report.kind} of {nas.name}: {closed} sessions closed at their last report"
        return None

    def account_queued(self, packets: Sequence[tuple[Sequence[tuple[str, str]], float]]) -> list[Exception | None]:
        """Charge packets that have waited in a queue: pairs, and for how many seconds they waited.

        In their order, hundreds in one statement and one commit, by the same rules as one alone.  The answer for each
        is None, or what forbids to charge it.  Raises DatabaseAway if none is certain; then ask again with all of them.
        """
        results: list[Exception | None] = [None] * len(packets)
        reports: dict[int, Report] = {}
        for index, (pairs, queued_seconds) in enumerate(packets):
            try:
                reports[index], _ = self._report(pairs, queued_seconds)
            except DatabaseAway:
                raise
            except Exception as fault:
                results[index] = fault
        for index, result in zip(reports, self._charge_queue(list(reports.values())), strict=True):
            results[index] = result if isinstance(result, Exception) else None
        return results

    def needs_order(self, pairs: Sequence[tuple[str, str]]) -> bool:
        """Whether a packet means something else after a later one: it ends all sessions of its NAS, or that NAS'
        counters have to be followed.  All others may be charged in any order, because only the highest counts."""
        request = attributes.values(pairs)
        if request.get("Acct-Status-Type") in attributes.ON_OFF:
            return True
        return self.catalogue.counter_rule(self.nas(request).id) != "gigawords"

    def _report(self, pairs: Sequence[tuple[str, str]], queued_seconds: float) -> tuple[Report, store.Nas]:
        nas = self.nas(attributes.values(pairs))
        try:
            return attributes.report(pairs, nas.id, self._class_key, queued_seconds), nas
        except attributes.AttributeFault as fault:
            raise NeverCharged(f"accounting from {nas.name} that can never be charged: {fault}") from fault

    def nas(self, request: Mapping[str, str]) -> store.Nas:
        return self.catalogue.nas(request.get(attributes.SOURCE_ADDRESS, "")) or UNLISTED

    def client(self, address: str) -> tuple[store.Nas, str] | None:
        """The NAS at an address and its secret, for FreeRADIUS' list of clients."""
        nas = self.catalogue.nas(address)
        if nas is None:
            return None
        return nas, self._open(pin.open_nas_secret, nas.secret_sealed, nas.key_number, nas.name)

    # What is done together ------------------------------------------------------------------------------

    def _read(self, connection: Connection, serials: list[str]) -> list[Card | None]:
        cards = connection.run(store.read_cards, list(set(serials)))
        return [cards.get(serial) for serial in serials]

    def _reserve(self, connection: Connection, requests: list) -> list[bool]:
        """Of several logins of one card only the first goes to the database: the others have lost already.

        Most change nothing but their own row, and share a statement.
        """
        chosen: dict[int, Reservation] = {}
        for request in requests:
            if isinstance(request, Reservation):
                chosen.setdefault(request.card_id, request)
            else:
                connection.run(store.expire, request[1])
        plain = [one for one in chosen.values() if not _changes_more(one)]
        won = connection.run(store.reserve, plain) if plain else set()
        tokens = {one.token for one in plain if (one.card_id, one.login_number) in won}
        for one in chosen.values():
            if _changes_more(one) and connection.run(store.reserve_with_changes, one):
                tokens.add(one.token)
        return [isinstance(request, Reservation) and request.token in tokens for request in requests]

    def _record_refusals(self, connection: Connection, requests: list) -> list:
        refusals = [request for request in requests if isinstance(request, RefusedLogin)]
        of_cards = [refusal for refusal in refusals if refusal.reason != "unknown_card"]
        of_none = [refusal for refusal in refusals if refusal.reason == "unknown_card"]
        if of_cards:
            connection.run(store.record_refusals, of_cards)
        if of_none:
            connection.run(store.record_unknown, of_none)
        return [
            None
            if isinstance(request, RefusedLogin)
            else connection.run(lambda cursor, wanted: store.wrong_pin_tries(cursor, *wanted[1:]), request)
            for request in requests
        ]

    def _charge(self, connection: Connection, requests: list) -> list:
        results: list[Any] = [None] * len(requests)
        reports: dict[int, Report] = {}
        for index, request in enumerate(requests):
            if isinstance(request, Report) and request.kind not in attributes.ON_OFF:
                reports[index] = request
                continue
            # A NAS that restarts ends the sessions that were reported before, and none that is reported after.
            self._charge_reports(connection, reports, results)
            reports = {}
            if isinstance(request, Report):
                results[index] = connection.run(
                    lambda cursor, event: store.close_nas(cursor, event.nas_id, event.age_seconds), request
                )
            else:
                connection.run(store.settle, [request[1]])
        self._charge_reports(connection, reports, results)
        return results

    def _charge_reports(self, connection: Connection, reports: dict[int, Report], results: list) -> None:
        trusts_claims = True
        for _ in range(ROUNDS):
            if not reports:
                return
            charges = self._assign(connection, reports, results, trusts_claims)
            charged = self._charge_all(connection, [charge for _, charge in charges])
            reports = {}
            reached = []
            for (index, charge), row in zip(charges, charged, strict=True):
                if row.acct_session_id != charge.report.acct_session_id:
                    # The row is another session's: the Class was used twice, or somebody was quicker.
                    reports[index] = charge.report
                    continue
                if row.reached & store.REACHED_LIMIT:
                    reached.append(row)
                if row.reached & store.REACHED_FUP:
                    connection.run(lambda cursor, row: store.slow_down(cursor, row.card_id, row.login_number), row)
                self._note_anomaly(connection, charge, row)
            if reached:
                self._settle(connection, reached)
            trusts_claims = False
        raise DatabaseAway("sessions of one card were made so fast that these packets found no row")

    def _settle(self, connection: Connection, reached: list[store.Charged]) -> None:
        """Sessions have used all that they were granted: their cards may be used up, or others hold the rest."""
        statuses = connection.run(store.settle, {row.card_id for row in reached})
        for row in reached:
            if statuses.get(row.card_id) == "in_use":
                connection.run(lambda cursor, one: store.cut_beyond_grant(cursor, one.card_id, one.login_number), row)

    def _charge_all(self, connection: Connection, charges: list[Charge]) -> list[store.Charged]:
        """All in one statement; those of a NAS whose counters need following each in a transaction of its own."""
        followed = {
            index: rule
            for index, charge in enumerate(charges)
            if not charge.report.has_gigawords and (rule := self.catalogue.counter_rule(charge.report.nas_id)) != "gigawords"
        }
        plain = [charge for index, charge in enumerate(charges) if index not in followed]
        charged = iter(connection.run(store.charge, plain) if plain else ())
        return [
            connection.run(lambda cursor, one: store.charge_following(cursor, *one), (charge, followed[index]))
            if index in followed
            else next(charged)
            for index, charge in enumerate(charges)
        ]

    def _assign(
        self, connection: Connection, reports: dict[int, Report], results: list, trusts_claims: bool
    ) -> list[tuple[int, Charge]]:
        """Find each report's session: by its Class, by memory, or by what the card's sessions are."""
        charges: list[tuple[int, Charge]] = []
        unknown: dict[int, Report] = {}
        for index, report in reports.items():
            place = self._place_at_once(report) if trusts_claims else None
            if place:
                charges.append((index, Charge(*place, report)))
            else:
                unknown[index] = report
        for report in unknown.values():
            if _is_old(report):
                connection.run(
                    lambda cursor, late: store.unarchive(cursor, late.serial, late.acct_session_id), report
                )
        if unknown:
            found = connection.run(store.find_candidates, list(unknown.values()))
            new: dict[tuple[str, str], int] = {}
            for index, report in unknown.items():
                if report.serial not in found:
                    results[index] = NeverCharged(
                        f"accounting of {_printable(report.serial)}: unknown_card, nothing to charge"
                    )
                    continue
                card_id, next_number, candidates = found[report.serial]
                sign = Sign(
                    report.acct_session_id,
                    report.nas_id,
                    report.device,
                    report.kind,
                    report.age_seconds,
                    report.seconds,
                    report.claim.login_number if report.claim and trusts_claims else None,
                )
                number = identify(sign, candidates)
                if number is None:
                    taken = sum(serial == report.serial for serial, _ in new)
                    number = new.setdefault((report.serial, report.acct_session_id), next_number + taken)
                charges.append((index, Charge(card_id, number, report)))
                self._remember(report, card_id, number, report.at - sign.start_age)
        return charges

    def _place_at_once(self, report: Report) -> tuple[int, int] | None:
        start_age = report.age_seconds + (report.seconds or 0)
        claim = report.claim
        if claim:
            login_age = report.at - claim.login_epoch
            if start_age <= login_age + LOGIN_TOLERANCE_SECONDS and login_age < ARCHIVE_SECONDS:
                return claim.card_id, claim.login_number
        if report.kind == "Start":
            return None
        known = self._sessions.get((report.nas_id, report.serial, report.acct_session_id))
        if known and abs(report.at - start_age - known[2]) <= SAME_START_SECONDS:
            return known[:2]
        return None

    def _remember(self, report: Report, card_id: int, login_number: int, started_at: float) -> None:
        if len(self._sessions) >= REMEMBERED_MOST:
            self._sessions.clear()
        self._sessions[report.nas_id, report.serial, report.acct_session_id] = (card_id, login_number, started_at)

    def _note_anomaly(self, connection: Connection, charge: Charge, row: store.Charged) -> None:
        """Time went on and octets fell: a wrap or a reset of the NAS' counters, recorded and not guessed."""
        report = charge.report
        if report.seconds is None or report.seconds < row.used.seconds:
            return
        fallen = [
            f"{name} {reported} after {highest}"
            for name, reported, highest in (
                ("down", report.down_octets, row.used.down_octets),
                ("up", report.up_octets, row.used.up_octets),
            )
            if reported is not None and reported < highest
        ]
        if fallen:
            connection.run(
                lambda cursor, detail: store.record_anomaly(
                    cursor, row.card_id, row.login_number, "octets_fell", detail
                ),
                f"at {report.seconds} s: {', '.join(fallen)}",
            )


def _lane(settings: Settings, work: Callable[[Connection, list], list], most: int) -> Group:
    """What waits at the same time is done together, on a connection of its own."""
    return Group(_each_alone(settings, work), most)


def _each_alone(settings: Settings, work: Callable[[Connection, list], list]) -> Callable[[list], list]:
    """Do work for many, in which a request that fails fails alone: halves are tried until it is found."""
    connection = Connection(settings)

    def run(requests: list) -> list:
        try:
            return work(connection, requests)
        except DatabaseAway:
            raise
        except Exception as fault:
            if len(requests) == 1:
                return [fault]
            half = len(requests) // 2
            return run(requests[:half]) + run(requests[half:])

    return run


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
        token=secrets.randbits(63),
    )


def _changes_more(reservation: Reservation) -> bool:
    return bool(
        reservation.activates or reservation.binds_device or reservation.closes or reservation.replaces is not None
    )


def _is_old(report: Report) -> bool:
    """Whether a packet's session may be in the archive already."""
    login_age = report.at - report.claim.login_epoch if report.claim else 0
    return max(login_age, report.age_seconds + (report.seconds or 0)) >= ARCHIVE_SECONDS


def _printable(text: str) -> str:
    """A stranger's text for the log: short, on one line."""
    return ascii(text[:64])
