"""Accounting, as many packets as wait at the same time: finds the session of each, and charges all in one statement.

A packet that brings our Class back names its session by itself.  Other packets are matched with the card's sessions
(rules/identity.py).  The match is remembered, so that an interim needs one statement in either case.
"""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pymysql.cursors import Cursor

from .. import attributes, store
from ..attributes import Report
from ..connection import Connection, DatabaseAway, Nodes, RowLocked, TooLate
from ..histogram import Histogram
from ..rules.identity import Candidate, Claim, ReportedSession, fits, identify
from ..settings import Settings
from ..store.accounting import REACHED_LIMIT, Anomaly, Candidates, Charge, Charged
from ..store.catalogue import Nas
from .catalogue import UNLISTED, Catalogue, UnknownCertificate
from .group_commit import GroupCommit, Runner, is_given_up, leaving_out_locked, without_results

# Another server may make the row first that a packet of the same card needs: each round one of them gets its own.
ROUNDS = 8
# A session that began before its login went on through a new authentication: what it used before is counted already.
# This much is tolerated for the clocks of two servers and for rounded seconds.
LOGIN_TOLERANCE_SECONDS = 2
# Two starts of one Acct-Session-Id within this time are one.
SAME_START_SECONDS = 30
# Archived sessions are at least a day older than this (`prepaid db archive`), and so are their logins.  So a session that
# a Class or the memory names is certainly not in the archive if it is younger than this, or was open when it was charged
# last, no longer ago than this.
ARCHIVE_SECONDS = 86_400
REMEMBERED_MOST = 100_000
# Up to so many reports that only raise counters share the statement of the other reports: a second statement costs more.
SHARED_MOST = 40

Pairs = Sequence[tuple[str, str]]


class Packet(NamedTuple):
    """An accounting packet that is to be charged."""

    pairs: Pairs
    queued_seconds: float | None = None  # how long it waited in a queue; None: it did not
    until: float = math.inf  # when the caller gives up, by the monotonic clock


class NeverCharged(Exception):
    """The packet cannot be charged, now or later."""


class Remembered(NamedTuple):
    """The session that packets like this one belong to."""

    card_id: int
    login_number: int
    started_at: float  # seconds since 1970


class Charges:
    def __init__(self, settings: Settings, nodes: Nodes, catalogue: Catalogue, class_key: bytes):
        self._catalogue = catalogue
        self._class_key = class_key
        # What is remembered saves work and decides nothing: after a restart, or on another server, it may be missing.
        self._sessions: dict[tuple[int, str | Claim, str], Remembered] = {}
        self._known: dict[tuple[int, int], tuple[Any, ...]] = {}
        # When a session was last seen open, by the monotonic clock: it is not archived for days.
        self._open_at: dict[tuple[int, int], float] = {}
        # How many packets were done, by NAS, kind, whether they brought our Class back, and outcome ("charged", "never").
        self.counts: Counter[tuple[int, str, bool, str]] = Counter()
        self.group_commit = GroupCommit(settings, nodes, self._run)
        self._runner = Runner(Connection(settings, nodes), self._run)
        self._queue_connection = Connection(settings, nodes)

    def submit(self, packet: Packet) -> str | None:
        """Charge one packet together with those that wait; return a line for the log, or None.

        Returns after the commit.  Raises NeverCharged, or DatabaseAway if it cannot be done now.
        """
        line: str | None = self.group_commit.submit(packet)
        return line

    def submit_all(self, packets: Sequence[Packet]) -> list[str | Exception | None]:
        """The same for many at once, in their order; RowLocked for one whose row another transaction holds."""
        return self._runner.run(list(packets))

    def queued(self, packets: Sequence[tuple[Pairs, float]]) -> list[Exception | None]:
        """Charge packets that have waited in a queue: pairs, and for how many seconds they waited.

        They are charged in their order, hundreds in one statement and one commit, by the same rules as a single packet.
        The result for each is None, or the exception that prevents it (RowLocked among them).  Raises DatabaseAway if it
        is not certain what was charged; then the caller repeats all of them.
        """
        results = self._runner.run([Packet(pairs, waited) for pairs, waited in packets])
        for result in results:
            if isinstance(result, DatabaseAway):
                raise result
        return [result if isinstance(result, Exception) else None for result in results]

    def record_queue(self, name: str, waiting_seconds: float) -> None:
        """Record how far a queue is charged; see store.accounting.record_queue.  Skipped if another process does so now."""
        with contextlib.suppress(RowLocked):
            self._queue_connection.run(
                lambda cursor, _: store.accounting.record_queue(cursor, name, waiting_seconds), None
            )

    def needs_order(self, pairs: Pairs) -> bool:
        """Whether a packet must not be charged after a later one: it ends all sessions of its NAS, or the counters of its
        NAS have to be followed.  All others may be charged in any order, because only the highest value counts."""
        request = attributes.values(pairs)
        if request.get("Acct-Status-Type") in attributes.ON_OFF:
            return True
        return self._catalogue.counter_rule(self._nas(pairs).id) != "gigawords"

    @property
    def timings(self) -> dict[str, Histogram]:
        """How long each statement of `submit_all` and `queued` took."""
        return self._runner.timings

    def close(self) -> None:
        self.group_commit.close()
        self._runner.close()
        self._queue_connection.close()

    def _nas(self, pairs: Pairs) -> Nas:
        return self._catalogue.nas(_source(pairs)) or UNLISTED

    def _report(self, packet: Packet) -> Report | Exception:
        if is_given_up(packet.until):
            return TooLate("the packet came too long ago")
        try:
            nas = self._catalogue.nas_of(_source(packet.pairs))
        except UnknownCertificate as fault:
            return NeverCharged(str(fault))
        try:
            return attributes.report(packet.pairs, nas.id, self._class_key, packet.queued_seconds)
        except attributes.AttributeFault as fault:
            return NeverCharged(f"accounting from {nas.name} that can never be charged: {fault}")
        except Exception as fault:
            return fault

    def _run(self, connection: Connection, packets: list[Packet], results: list[Any]) -> None:
        reports: dict[int, Report] = {}
        for index, packet in enumerate(packets):
            report = self._report(packet)
            if isinstance(report, Exception):
                results[index] = report
                if isinstance(report, NeverCharged):
                    self.counts[self._nas(packet.pairs).id, "unreadable", False, "never"] += 1
            elif report.kind in attributes.ON_OFF:
                # A NAS that restarts ends the sessions that were reported before it, and none that is reported after.
                self._charge_reports(connection, reports, results)
                reports = {}
                try:
                    closed = connection.run(
                        lambda cursor, event: store.accounting.close_nas(
                            cursor, event.nas_id, event.nas_address, event.age_seconds, event.authenticator
                        ),
                        report,
                    )
                except RowLocked as locked:
                    results[index] = locked
                    continue
                self.counts[report.nas_id, report.kind, False, "charged"] += 1
                results[index] = (
                    f"{report.kind} of NAS {report.nas_address}: {closed} sessions closed at their last report"
                )
            else:
                reports[index] = report
        self._charge_reports(connection, reports, results)

    def _charge_reports(self, connection: Connection, reports: dict[int, Report], results: list[Any]) -> None:
        try:
            self._charge_in_rounds(connection, reports, results)
        finally:
            # What has a result is done, even where the others raise; a locked one comes again.
            for index, report in reports.items():
                if (result := results[index]) is None:
                    self.counts[report.nas_id, report.kind, report.claim is not None, "charged"] += 1
                elif isinstance(result, NeverCharged):
                    self.counts[report.nas_id, report.kind, report.claim is not None, "never"] += 1

    def _charge_in_rounds(self, connection: Connection, reports: dict[int, Report], results: list[Any]) -> None:
        trusts_claims = True
        for _ in range(ROUNDS):
            if not reports:
                return
            charges = self._assign(connection, reports, results, trusts_claims)
            charged = self._charge_all(connection, [charge for _, charge in charges])
            reports = {}
            mine: list[tuple[int, Charge, Charged]] = []
            for (index, charge), row in zip(charges, charged, strict=True):
                if isinstance(row, RowLocked):
                    results[index] = row
                elif row.acct_session_id != charge.report.acct_session_id:
                    # The row is another session's: the Class was used twice, or another server was quicker.
                    reports[index] = charge.report
                else:
                    mine.append((index, charge, row))
            self._follow_up(connection, mine, results)
            trusts_claims = False
        fault = DatabaseAway("sessions of one card were made so fast that these packets found no row")
        for index in reports:
            results[index] = fault

    def _follow_up(self, connection: Connection, mine: list[tuple[int, Charge, Charged]], results: list[Any]) -> None:
        """Do what follows from packets that are charged.  A packet whose card is locked gets RowLocked and is tried again:
        to charge it twice changes nothing, and what follows is done then."""
        anomalies = []
        reached: dict[int, list[int]] = {}  # by card: the packets after which its credit may be used up
        slowed: dict[int, list[int]] = {}  # by card: the packets after which its fair-use share may be used up
        cards: dict[int, list[Charged]] = {}
        for index, charge, row in mine:
            results[index] = None
            if charge.report.kind == "Stop":
                self._forget(charge)
            # Where counters are followed, the rule that reads a fall records it, and the total does not fall.
            if self._counter_rule(charge.report) == "gigawords" and (anomaly := _anomaly(charge.report, row)):
                anomalies.append((index, anomaly))
            if row.reached & REACHED_LIMIT or _is_late(charge.report, row):
                reached.setdefault(row.card_id, []).append(index)
                cards.setdefault(row.card_id, []).append(row)
            if row.reached or _is_late(charge.report, row):
                slowed.setdefault(row.card_id, []).append(index)
        if anomalies:
            recorded = leaving_out_locked(
                connection, without_results(store.accounting.record_anomalies), [anomaly for _, anomaly in anomalies]
            )
            for (index, _), locked in zip(anomalies, recorded, strict=True):
                results[index] = locked or results[index]
        if reached:
            statuses = leaving_out_locked(connection, _post, list(reached))
            for (card_id, indexes), status in zip(reached.items(), statuses, strict=True):
                outcome = status if isinstance(status, RowLocked) else self._limit(connection, status, cards[card_id])
                for index in indexes:
                    results[index] = outcome or results[index]
        # After the limits: a login that was decided without a late report is decided again, or its session is found here.
        for card_id, indexes in slowed.items():
            try:
                connection.run(store.posting.slow_down, card_id)
            except RowLocked as locked:
                for index in indexes:
                    results[index] = locked

    def _limit(self, connection: Connection, status: str | None, rows: list[Charged]) -> Exception | None:
        """Have a card's sessions disconnected that have used all that they were granted, and lower what the others were
        granted.  *status* is the card's after posting.  Returns the exception that prevents it, or None."""
        if status is None:
            # Our own Class names a card that this database does not have, because it was restored from a backup.
            return NeverCharged(f"accounting of the card number {rows[0].card_id}, which does not exist here")
        if status != "in_use":
            return None
        try:
            for row in rows:
                if row.reached & REACHED_LIMIT:
                    connection.run(
                        lambda cursor, one: store.posting.disconnect_beyond_grant(
                            cursor, one.card_id, one.login_number
                        ),
                        row,
                    )
            connection.run(store.posting.lower_grants, rows[0].card_id)
        except RowLocked as locked:
            return locked
        return None

    def _charge_all(self, connection: Connection, charges: list[Charge]) -> list[Charged | RowLocked]:
        """Charge reports that bring something new about their session in one statement, and those of which only the
        counters are new in another, which is mostly the only one.  A report of a NAS whose counters have to be followed
        gets a transaction of its own."""
        charged: dict[int, Charged | RowLocked] = {}
        plain, progress = [], []
        for index, charge in enumerate(charges):
            report = charge.report
            rule = self._counter_rule(report)
            if rule != "gigawords" or charge.is_archivable:
                try:
                    alone = connection.run(
                        lambda cursor, one: store.accounting.charge_alone(cursor, *one), (charge, rule)
                    )
                    charged[index] = alone or RowLocked("the session is being archived just now")
                except RowLocked as locked:
                    charged[index] = locked
            elif report.kind == "Interim-Update" and self._known.get(charge[:2]) == _identity(report):
                progress.append(index)
            else:
                plain.append(index)
        if plain and len(progress) <= SHARED_MOST:
            plain, progress = sorted(plain + progress), []
        if progress:
            going_on = leaving_out_locked(connection, store.accounting.progress, [charges[index] for index in progress])
            for index, row in zip(progress, going_on, strict=True):
                if row is None:
                    plain.append(index)
                else:
                    charged[index] = row
        if plain:
            rows = leaving_out_locked(connection, store.accounting.charge, [charges[index] for index in plain])
            charged.update(zip(plain, rows, strict=True))
            for index in plain:
                self._remember_identity(charges[index], charged[index])
        self._remember_open(charged.values())
        return [charged[index] for index in range(len(charges))]

    def _counter_rule(self, report: Report) -> str:
        """How a falling counter is read; a packet with Gigawords needs no rule."""
        return "gigawords" if report.has_gigawords else self._catalogue.counter_rule(report.nas_id)

    def _remember_identity(self, charge: Charge, row: Charged | RowLocked) -> None:
        if isinstance(row, RowLocked):
            return
        if row.acct_session_id == charge.report.acct_session_id:
            if len(self._known) >= REMEMBERED_MOST:
                self._known.clear()
            self._known[charge[:2]] = _identity(charge.report)

    def _remember_open(self, charged: Iterable[Charged | RowLocked]) -> None:
        if len(self._open_at) >= REMEMBERED_MOST:
            self._open_at.clear()
        now = time.monotonic()
        self._open_at.update({row[:2]: now for row in charged if not isinstance(row, RowLocked) and row.is_open})

    def _assign(
        self, connection: Connection, reports: dict[int, Report], results: list[Any], trusts_claims: bool
    ) -> list[tuple[int, Charge]]:
        """Find each report's session: by its Class, by memory, or among the card's sessions."""
        charges: list[tuple[int, Charge]] = []
        unknown: dict[int, Report] = {}
        for index, report in reports.items():
            key = self._trusted_key(report) if trusts_claims else None
            if key:
                charges.append((index, Charge(*key, report)))
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
                card_id, next_number, sessions = found[report.serial]
                sign = _sign(report, trusts_claims)
                number = identify(sign, sessions)
                if number is None:
                    taken = sum(serial == report.serial for serial, _ in new)
                    number = new.setdefault((report.serial, report.acct_session_id), next_number + taken)
                if not trusts_claims:
                    # The row with this number is not the login that the Class names.
                    report = report._replace(claim=None)
                is_archivable = any(one.login_number == number and _is_archivable(one) for one in sessions)
                charges.append((index, Charge(card_id, number, report, is_archivable)))
                if not is_archivable:
                    # The next packet of a session that may be archived has to look for it again.
                    self._remember(reports[index], card_id, number, report.at - sign.start_age)
        return charges

    def _look_behind_outer_identities(
        self, connection: Connection, unknown: dict[int, Report], found: dict[str, Candidates]
    ) -> dict[str, Candidates]:
        """With EAP, User-Name is any name that the customer chose: a Class that fits the packet tells whose session it is.

        A Class that does not fit decides only where User-Name is not the serial of a card.
        """
        masked = {
            index: (report, report.claim)
            for index, report in unknown.items()
            if report.claim and not report.claim.is_named
        }
        if not masked:
            return {}
        serials = connection.run(store.accounting.read_serials, [claim.card_id for _, claim in masked.values()])
        named = {
            index: report._replace(serial=serial, claim=claim._replace(is_named=True))
            for index, (report, claim) in masked.items()
            if (serial := serials.get(claim.card_id))
        }
        if not named:
            return {}
        behind = _candidates(connection, list(named.values()))
        for index, report in named.items():
            masked_report, claim = masked[index]
            if masked_report.serial not in found or _fits(report, claim, behind):
                unknown[index] = report
        return behind

    def _trusted_key(self, report: Report) -> tuple[int, int] | None:
        """The session that the report's Class or the memory names, if that is certain without reading the database."""
        start_age = report.age_seconds + (report.seconds or 0)
        claim = report.claim
        if claim and claim.is_named:
            login_age = report.at - claim.login_epoch
            key = claim.card_id, claim.login_number
            if start_age <= login_age + LOGIN_TOLERANCE_SECONDS and self._is_not_archived(key, login_age):
                return key
        if report.kind == "Start":
            return None
        known = self._sessions.get(_remembered_as(report))
        if (
            known
            and abs(report.at - start_age - known.started_at) <= SAME_START_SECONDS
            and self._is_not_archived(known[:2], start_age)
        ):
            return known[:2]
        return None

    def _is_not_archived(self, key: tuple[int, int], age: float) -> bool:
        """Whether a session of this age is certainly not in the archive."""
        if age < ARCHIVE_SECONDS:
            return True
        open_at = self._open_at.get(key)
        return open_at is not None and time.monotonic() - open_at < ARCHIVE_SECONDS

    def _forget(self, charge: Charge) -> None:
        """A session that has stopped sends no more reports, or the next one looks for it again."""
        self._known.pop(charge[:2], None)
        self._open_at.pop(charge[:2], None)
        report = charge.report
        self._sessions.pop(_remembered_as(report), None)

    def _remember(self, report: Report, card_id: int, login_number: int, started_at: float) -> None:
        if len(self._sessions) >= REMEMBERED_MOST:
            self._sessions.clear()
        self._sessions[_remembered_as(report)] = Remembered(card_id, login_number, started_at)


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


def _fits(report: Report, claim: Claim, found: dict[str, Candidates]) -> bool:
    """Whether the session that the report's Class names is one of those found, and can be the report's."""
    of_card = found.get(report.serial)
    return of_card is not None and any(
        one.login_number == claim.login_number and fits(_sign(report), one) for one in of_card.sessions
    )


def _remembered_as(report: Report) -> tuple[int, str | Claim, str]:
    """By its Class where User-Name is not its card's serial: two customers who are both "anonymous" are two."""
    claim = report.claim
    return report.nas_id, report.serial if claim is None or claim.is_named else claim, report.acct_session_id


def _identity(report: Report) -> tuple[Any, ...]:
    """All that a packet says about its session beside its counters.  A row's Acct-Session-Id never changes."""
    return (
        report.acct_session_id,
        report.nas_id,
        report.nas_address,
        report.device,
        report.framed_ipv4,
        report.framed_ipv6,
        report.delegated_prefix,
    )


def _is_late(report: Report, row: Charged) -> bool:
    """Whether a packet came after its session had ended: what the session had left may be granted to others by now."""
    return not row.is_open and (report.kind != "Stop" or bool(row.was_closed))


def _post(cursor: Cursor, card_ids: list[int]) -> list[str | None]:
    """Post what the cards' sessions have used; the status of each card after that, None for one that does not exist."""
    statuses = store.posting.post(cursor, card_ids)
    return [statuses.get(card_id) for card_id in card_ids]


def _is_archivable(session: Candidate) -> bool:
    """Whether a session may be moved into the archive at any moment: it has ended, and began more than a day ago."""
    age = session.start_age if session.login_age is None else session.login_age
    return not session.is_open and (age is None or age > ARCHIVE_SECONDS)


def _anomaly(report: Report, row: Charged) -> Anomaly | None:
    """The session's time rose and its octets fell: a wrap or a reset of the NAS' counters, recorded and not guessed."""
    if report.seconds is None or report.seconds < row.used_seconds:
        return None
    fallen = [
        f"{name} {reported} after {highest}"
        for name, reported, highest in (
            ("down", report.down_octets, row.used_down_octets),
            ("up", report.up_octets, row.used_up_octets),
        )
        if reported is not None and reported < highest
    ]
    if not fallen:
        return None
    return Anomaly(row.card_id, row.login_number, "octets_fell", f"at {report.seconds} s: {', '.join(fallen)}")


def _candidates(connection: Connection, reports: list[Report]) -> dict[str, Candidates]:
    """The cards' sessions that the packets may belong to.

    A packet's age is what the NAS says, so the archive is read whatever the age.  It is read after the sessions: a session
    that is moved there in between is found by the second statement, and then both are executed again.
    """
    for _ in range(ROUNDS):
        found: dict[str, Candidates] = connection.run(store.accounting.find_candidates, reports)
        archived = connection.run(store.accounting.find_archived, reports)
        if not archived:
            return found
        connection.run(store.accounting.unarchive, archived)
    raise DatabaseAway("sessions are archived as fast as they are brought back")


def _source(pairs: Pairs) -> str:
    """Where a packet came from: an address, or a certificate's name."""
    return attributes.values(pairs).get(attributes.SOURCE_ADDRESS, "")
