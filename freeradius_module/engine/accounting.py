"""Accounting, as many packets as wait at the same time: whose session each reports, one statement for all.

A packet that brings our Class back names its session by itself.  Others are matched with the card's sessions
(identity.py), and remembered, so that an interim costs one statement all the same.
"""

import contextlib
import math
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .. import attributes, store
from ..attributes import Report
from ..connection import Connection, DatabaseAway, RowLocked, TooLate
from ..rules.identity import Candidate, Claim, ReportedSession, fits, identify
from ..settings import Settings
from ..store import Charge
from .catalogue import UNLISTED, Catalogue
from .group_commit import Together, is_given_up, lane, leaving_out_locked

# Packets of one card for which somebody else made the row first: each round one of them gets its own.
ROUNDS = 8
# A session that began before its login is one that went on through a new authentication: what it used before is
# counted already, so the clocks of two servers and a rounded second are all that is overlooked.
LOGIN_TOLERANCE_SECONDS = 2
# Two starts of one Acct-Session-Id within this time are one.
SAME_START_SECONDS = 30
# Archived sessions, and their logins, are at least a day older than this (`prepaid db archive`): a Class that says so,
# and a packet of which only the memory knows whose it is, are trusted at once if they are younger, and so is an older
# session that was open when it was charged last, no longer ago than this.
ARCHIVE_SECONDS = 86_400
REMEMBERED_MOST = 100_000
# So many reports that only say how far a session is go along with others that say more: a second statement costs more.
TOGETHER_MOST = 40

Pairs = Sequence[tuple[str, str]]


class Packet(NamedTuple):
    """An accounting packet that is to be charged."""

    pairs: Pairs
    queued_seconds: float | None = None  # how long it waited in a queue; None: it did not
    until: float = math.inf  # when whoever asks gives up, by the monotonic clock


class NeverCharged(Exception):
    """The packet says nothing that can be charged, now or later."""


class Charges:
    def __init__(self, settings: Settings, catalogue: Catalogue, class_key: bytes):
        self._catalogue = catalogue
        self._class_key = class_key
        # What is remembered spares work and decides nothing: any server, and a restart, may forget it.
        self._sessions: dict[tuple[int, str | Claim, str], tuple[int, int, float]] = {}
        self._known: dict[tuple[int, int], tuple] = {}
        # When a session was last seen open, by the monotonic clock: it is not archived for days.
        self._open_at: dict[tuple[int, int], float] = {}
        self.together = Together(settings, self._run)
        self._lane = lane(settings, self._run)
        self._queue_connection = Connection(settings)

    def submit(self, packet: Packet) -> str | None:
        """Charge one packet, with whatever others wait; return a line for the log if there is something to say.

        Returns after the commit.  Raises NeverCharged, or DatabaseAway if it cannot be done now.
        """
        return self.together.submit(packet)

    def submit_all(self, packets: Sequence[Packet]) -> list[str | Exception | None]:
        """The same for many at once, in their order; RowLocked for one whose row somebody else has locked just now."""
        return self._lane(list(packets))

    def queued(self, packets: Sequence[tuple[Pairs, float]]) -> list[Exception | None]:
        """Charge packets that have waited in a queue: pairs, and for how many seconds they waited.

        In their order, hundreds in one statement and one commit, by the same rules as one alone.  The answer for each
        is None, or what forbids to charge it, or RowLocked.  Raises DatabaseAway if none is certain; then ask again with
        all of them.
        """
        results = self._lane([Packet(pairs, waited) for pairs, waited in packets])
        for result in results:
            if isinstance(result, DatabaseAway):
                raise result
        return [result if isinstance(result, Exception) else None for result in results]

    def record_queue(self, name: str, waiting_seconds: float) -> None:
        """Say how far a queue is charged; see store.record_queue.  Of no weight now if somebody else says so."""
        with contextlib.suppress(RowLocked):
            self._queue_connection.run(lambda cursor, _: store.record_queue(cursor, name, waiting_seconds), None)

    def needs_order(self, pairs: Pairs) -> bool:
        """Whether a packet means something else after a later one: it ends all sessions of its NAS, or that NAS'
        counters have to be followed.  All others may be charged in any order, because only the highest counts."""
        request = attributes.values(pairs)
        if request.get("Acct-Status-Type") in attributes.ON_OFF:
            return True
        return self._catalogue.counter_rule(self._nas(pairs).id) != "gigawords"

    def _nas(self, pairs: Pairs) -> store.Nas:
        return self._catalogue.nas(attributes.values(pairs).get(attributes.SOURCE_ADDRESS, "")) or UNLISTED

    def _report(self, packet: Packet) -> Report | Exception:
        if is_given_up(packet.until):
            return TooLate("the packet came too long ago")
        nas = self._nas(packet.pairs)
        try:
            return attributes.report(packet.pairs, nas.id, self._class_key, packet.queued_seconds)
        except attributes.AttributeFault as fault:
            return NeverCharged(f"accounting from {nas.name} that can never be charged: {fault}")
        except Exception as fault:
            return fault

    def _run(self, connection: Connection, packets: list[Packet], results: list) -> None:
        reports: dict[int, Report] = {}
        for index, packet in enumerate(packets):
            report = self._report(packet)
            if isinstance(report, Exception):
                results[index] = report
            elif report.kind in attributes.ON_OFF:
                # A NAS that restarts ends the sessions that were reported before, and none that is reported after.
                self._charge_reports(connection, reports, results)
                reports = {}
                try:
                    closed = connection.run(
                        lambda cursor, event: store.close_nas(
                            cursor, event.nas_id, event.nas_address, event.age_seconds, event.authenticator
                        ),
                        report,
                    )
                except RowLocked as locked:
                    results[index] = locked
                    continue
                results[index] = (
                    f"{report.kind} of NAS {report.nas_address}: {closed} sessions closed at their last report"
                )
            else:
                reports[index] = report
        self._charge_reports(connection, reports, results)

    def _charge_reports(self, connection: Connection, reports: dict[int, Report], results: list) -> None:
        trusts_claims = True
        for _ in range(ROUNDS):
            if not reports:
                return
            charges = self._assign(connection, reports, results, trusts_claims)
            charged = self._charge_all(connection, [charge for _, charge in charges])
            reports = {}
            mine: list[tuple[int, Charge, store.Charged]] = []
            for (index, charge), row in zip(charges, charged, strict=True):
                if isinstance(row, RowLocked):
                    results[index] = row
                elif row.acct_session_id != charge.report.acct_session_id:
                    # The row is another session's: the Class was used twice, or somebody was quicker.
                    reports[index] = charge.report
                else:
                    mine.append((index, charge, row))
            self._follow_up(connection, mine, results)
            trusts_claims = False
        fault = DatabaseAway("sessions of one card were made so fast that these packets found no row")
        for index in reports:
            results[index] = fault

    def _follow_up(self, connection: Connection, mine: list[tuple[int, Charge, store.Charged]], results: list) -> None:
        """What follows from packets that are charged.  A packet whose card is locked is not answered yet: charging it again
        changes nothing, and what follows is done then."""
        anomalies = []
        reached: dict[int, list[int]] = {}  # by card: packets after which its credit or its share may be used up
        slowed: dict[int, list[int]] = {}
        cards: dict[int, list[store.Charged]] = {}
        for index, charge, row in mine:
            results[index] = None
            if charge.report.kind == "Stop":
                self._forget(charge)
            # Where counters are followed, a fall is noted by the rule that read it, and is none for the total.
            if self._counter_rule(charge.report) == "gigawords" and (anomaly := _anomaly(charge.report, row)):
                anomalies.append((index, anomaly))
            if row.reached & store.REACHED_LIMIT or _is_late(charge.report, row):
                reached.setdefault(row.card_id, []).append(index)
                cards.setdefault(row.card_id, []).append(row)
            if row.reached or _is_late(charge.report, row):
                slowed.setdefault(row.card_id, []).append(index)
        if anomalies:
            recorded = leaving_out_locked(connection, _record_anomalies, [anomaly for _, anomaly in anomalies])
            for (index, _), locked in zip(anomalies, recorded, strict=True):
                results[index] = locked or results[index]
        for card_id, indexes in slowed.items():
            try:
                connection.run(store.slow_down, card_id)
            except RowLocked as locked:
                for index in indexes:
                    results[index] = locked
        if reached:
            statuses = leaving_out_locked(connection, _post, list(reached))
            for (card_id, indexes), status in zip(reached.items(), statuses, strict=True):
                outcome = status if isinstance(status, RowLocked) else self._limit(connection, status, cards[card_id])
                for index in indexes:
                    results[index] = outcome or results[index]

    def _limit(self, connection: Connection, status: str | None, rows: list[store.Charged]) -> Exception | None:
        """A card has sessions that used all that they were granted, or more than was known when others were granted the
        rest; *status* is the card's after what was used is posted.  What is in the way, if anything."""
        if status is None:
            # A Class of ours that names a card of which this database knows nothing, since it was restored for one.
            return NeverCharged(f"accounting of the card number {rows[0].card_id}, which does not exist here")
        if status != "in_use":
            return None
        try:
            for row in rows:
                if row.reached & store.REACHED_LIMIT:
                    connection.run(
                        lambda cursor, one: store.cut_beyond_grant(cursor, one.card_id, one.login_number), row
                    )
            connection.run(store.lower_grants, rows[0].card_id)
        except RowLocked as locked:
            return locked
        return None

    def _charge_all(self, connection: Connection, charges: list[Charge]) -> list[store.Charged | RowLocked]:
        """All that say who they are in one statement, all that only say how far they are in another, mostly the only one;
        those of a NAS whose counters need following each in a transaction of its own."""
        charged: dict[int, store.Charged | RowLocked] = {}
        plain, progress = [], []
        for index, charge in enumerate(charges):
            report = charge.report
            rule = self._counter_rule(report)
            if rule != "gigawords" or charge.is_archivable:
                try:
                    row = connection.run(lambda cursor, one: store.charge_alone(cursor, *one), (charge, rule))
                    charged[index] = row or RowLocked("the session is being archived just now")
                except RowLocked as locked:
                    charged[index] = locked
            elif report.kind == "Interim-Update" and self._known.get(charge[:2]) == _identity(report):
                progress.append(index)
            else:
                plain.append(index)
        if plain and len(progress) <= TOGETHER_MOST:
            plain, progress = sorted(plain + progress), []
        if progress:
            rows = leaving_out_locked(connection, store.progress, [charges[index] for index in progress])
            for index, row in zip(progress, rows, strict=True):
                if row is None:
                    plain.append(index)
                else:
                    charged[index] = row
        if plain:
            rows = leaving_out_locked(connection, store.charge, [charges[index] for index in plain])
            charged.update(zip(plain, rows, strict=True))
            for index in plain:
                self._remember_identity(charges[index], charged[index])
        self._remember_open(charged.values())
        return [charged[index] for index in range(len(charges))]

    def _counter_rule(self, report: Report) -> str:
        """How a falling counter is read; a NAS that sends Gigawords after all needs no rule."""
        return "gigawords" if report.has_gigawords else self._catalogue.counter_rule(report.nas_id)

    def _remember_identity(self, charge: Charge, row: store.Charged | RowLocked) -> None:
        if isinstance(row, RowLocked):
            return
        if row.acct_session_id == charge.report.acct_session_id:
            if len(self._known) >= REMEMBERED_MOST:
                self._known.clear()
            self._known[charge[:2]] = _identity(charge.report)

    def _remember_open(self, charged: Iterable[store.Charged | RowLocked]) -> None:
        if len(self._open_at) >= REMEMBERED_MOST:
            self._open_at.clear()
        now = time.monotonic()
        self._open_at.update({row[:2]: now for row in charged if not isinstance(row, RowLocked) and row.is_open})

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
        if unknown:
            found = _candidates(connection, list(unknown.values()))
            found |= self._look_behind_outer_identities(connection, unknown, found)
            new: dict[tuple[str, str], int] = {}
            for index, report in unknown.items():
                if report.serial not in found:
                    results[index] = NeverCharged(
                        f"accounting of {report.serial[:64]!a}: unknown_card, nothing to charge"
                    )
                    continue
                card_id, next_number, candidates = found[report.serial]
                sign = _sign(report, trusts_claims)
                number = identify(sign, candidates)
                if number is None:
                    taken = sum(serial == report.serial for serial, _ in new)
                    number = new.setdefault((report.serial, report.acct_session_id), next_number + taken)
                if not trusts_claims:
                    # The login that the Class names is not the one with that number here.
                    report = report._replace(claim=None)
                is_archivable = any(one.login_number == number and _is_archivable(one) for one in candidates)
                charges.append((index, Charge(card_id, number, report, is_archivable)))
                if not is_archivable:
                    # One that may be archived is looked for again by its next packet.
                    self._remember(reports[index], card_id, number, report.at - sign.start_age)
        return charges

    def _look_behind_outer_identities(self, connection: Connection, unknown: dict[int, Report], found: dict) -> dict:
        """With EAP, User-Name is what the customer calls himself: a Class that fits the packet says whose session it is.

        One that does not fit decides only where User-Name is no card's.
        """
        masked = {index: report for index, report in unknown.items() if report.claim and not report.claim.is_named}
        if not masked:
            return {}
        serials = connection.run(store.read_serials, [report.claim.card_id for report in masked.values()])
        named = {
            index: report._replace(serial=serial, claim=report.claim._replace(is_named=True))
            for index, report in masked.items()
            if (serial := serials.get(report.claim.card_id))
        }
        if not named:
            return {}
        behind = _candidates(connection, list(named.values()))
        for index, report in named.items():
            if masked[index].serial not in found or _fits(report, behind):
                unknown[index] = report
        return behind

    def _place_at_once(self, report: Report) -> tuple[int, int] | None:
        start_age = report.age_seconds + (report.seconds or 0)
        claim = report.claim
        if claim and claim.is_named:
            login_age = report.at - claim.login_epoch
            place = claim.card_id, claim.login_number
            if start_age <= login_age + LOGIN_TOLERANCE_SECONDS and self._is_not_archived(place, login_age):
                return place
        if report.kind == "Start":
            return None
        known = self._sessions.get(_remembered_as(report))
        if (
            known
            and abs(report.at - start_age - known[2]) <= SAME_START_SECONDS
            and self._is_not_archived(known[:2], start_age)
        ):
            return known[:2]
        return None

    def _is_not_archived(self, place: tuple[int, int], age: float) -> bool:
        """Whether a session of this age is certainly not in the archive."""
        if age < ARCHIVE_SECONDS:
            return True
        open_at = self._open_at.get(place)
        return open_at is not None and time.monotonic() - open_at < ARCHIVE_SECONDS

    def _forget(self, charge: Charge) -> None:
        """What has stopped reports no more, or is looked for once more: memory holds what is open."""
        self._known.pop(charge[:2], None)
        self._open_at.pop(charge[:2], None)
        report = charge.report
        self._sessions.pop(_remembered_as(report), None)

    def _remember(self, report: Report, card_id: int, login_number: int, started_at: float) -> None:
        if len(self._sessions) >= REMEMBERED_MOST:
            self._sessions.clear()
        self._sessions[_remembered_as(report)] = (card_id, login_number, started_at)


def _sign(report: Report, trusts_claims: bool = True) -> ReportedSession:
    return ReportedSession(
        report.acct_session_id,
        report.nas_id,
        report.device,
        report.kind,
        report.age_seconds,
        report.seconds,
        report.claim.login_number if report.claim and report.claim.is_named and trusts_claims else None,
    )


def _fits(report: Report, found: dict) -> bool:
    """Whether the session that the report's Class names is one of those found, and can be the report's."""
    if report.serial not in found:
        return False
    _, _, candidates = found[report.serial]
    return any(one.login_number == report.claim.login_number and fits(_sign(report), one) for one in candidates)


def _remembered_as(report: Report) -> tuple[int, str | Claim, str]:
    """By its Class where User-Name is not its card's: two that call themselves "anonymous" are two."""
    claim = report.claim
    return report.nas_id, report.serial if claim is None or claim.is_named else claim, report.acct_session_id


def _identity(report: Report) -> tuple:
    """All that a packet says of its session beside its counters.  A row's Acct-Session-Id never changes."""
    return (
        report.acct_session_id,
        report.nas_id,
        report.nas_address,
        report.device,
        report.framed_ipv4,
        report.framed_ipv6,
        report.delegated_prefix,
    )


def _is_late(report: Report, row: store.Charged) -> bool:
    """Whether a packet came for a session that had ended before: what it had left may be granted to others by now."""
    return not row.is_open and (report.kind != "Stop" or row.was_closed)


def _post(cursor, card_ids: list[int]) -> list[str | None]:
    """Post what the cards' sessions have used; the status of each card after that, None for one that does not exist."""
    statuses = store.post(cursor, card_ids)
    return [statuses.get(card_id) for card_id in card_ids]


def _record_anomalies(cursor, anomalies: list[store.Anomaly]) -> list[None]:
    store.record_anomalies(cursor, anomalies)
    return [None] * len(anomalies)


def _is_archivable(session: Candidate) -> bool:
    """Whether a session may be moved into the archive at any moment: it has ended, and began more than a day ago."""
    age = session.start_age if session.login_age is None else session.login_age
    return not session.is_open and (age is None or age > ARCHIVE_SECONDS)


def _anomaly(report: Report, row: store.Charged) -> store.Anomaly | None:
    """Time went on and octets fell: a wrap or a reset of the NAS' counters, recorded and not guessed."""
    if report.seconds is None or report.seconds < row.used.seconds:
        return None
    fallen = [
        f"{name} {reported} after {highest}"
        for name, reported, highest in (
            ("down", report.down_octets, row.used.down_octets),
            ("up", report.up_octets, row.used.up_octets),
        )
        if reported is not None and reported < highest
    ]
    if not fallen:
        return None
    return store.Anomaly(row.card_id, row.login_number, "octets_fell", f"at {report.seconds} s: {', '.join(fallen)}")


def _candidates(connection: Connection, reports: list[Report]) -> dict:
    """The cards' sessions that the packets may belong to.

    What a packet says of its age is the NAS' word, so the archive is asked whatever it says.  It is asked after the
    sessions: one that is moved there in between is found by the second question, and then both are asked again.
    """
    for _ in range(ROUNDS):
        found = connection.run(store.find_candidates, reports)
        archived = connection.run(store.find_archived, reports)
        if not archived:
            return found
        connection.run(store.unarchive, archived)
    raise DatabaseAway("sessions are archived as fast as they are brought back")
