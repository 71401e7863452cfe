"""What the NAS report, as the sessions of the last days show it: Class, interims, Gigawords."""

from collections.abc import Iterator

from .. import store
from ..shell.text import _
from .finding import Finding, Installation

NAME = "nas_reports"
# Fewer sessions show nothing: a card may have been moved, a packet lost.
SESSIONS_LEAST = 3
# So many of a NAS' sessions have to show it.
SHARE = 0.1


def check_nas_reports(installation: Installation) -> Iterator[Finding]:
    with installation.office.reading() as cursor:
        rows = store.doctor.nas_habits(cursor)
        fallen = store.doctor.fallen_counters(cursor)
    findings = [finding for row in rows for finding in _of_nas(row)]
    for row in fallen:
        findings.append(
            Finding(
                NAME,
                "look",
                _(
                    "{nas}: octets fell while the time rose, in {count} sessions. It sends no Gigawords, or counts again."
                ).format(nas=row["name"], count=row["sessions"]),
                _("'prepaid nas edit {nas} --counter-rule wraps' if its counters pass 4 GiB, else resets.").format(
                    nas=row["name"]
                ),
            )
        )
    yield from findings or [Finding(NAME, "ok", _("Class, interims and counters are as they should be"))]


def _of_nas(row: store.rows.Row) -> Iterator[Finding]:
    sessions, without_login = int(row["sessions"]), int(row["without_login"])
    long_sessions, without_interim = int(row["long_sessions"]), int(row["without_interim"])
    if without_login >= max(SESSIONS_LEAST, sessions * SHARE):
        yield Finding(
            NAME,
            "look",
            _(
                "{nas}: no login is known of {count} of {sessions} sessions. It probably does not send Class back."
            ).format(nas=row["name"], count=without_login, sessions=sessions),
            _(
                "Have it return Class in accounting, with the same Calling-Station-Id as in the login; see docs/vendors.md."
            ),
        )
    if without_interim >= max(SESSIONS_LEAST, long_sessions * (1 - SHARE)) and row["is_alive"]:
        yield Finding(
            NAME,
            "look",
            _(
                "{nas}: {count} of {sessions} long sessions have sent no interim, so the traffic limit of a card is late."
            ).format(nas=row["name"], count=without_interim, sessions=long_sessions),
            _("Have it send interims (Acct-Interim-Interval); see docs/vendors.md."),
        )
