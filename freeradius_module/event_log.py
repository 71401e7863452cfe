"""The log: one line for each event, as a sentence or, with `log = json`, as JSON with the same fields everywhere.

FreeRADIUS, the engine, the charger and the enforcer write their events this way.  No event holds a PIN or a password.
"""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from .printable import one_line

JSON = "json"
LOG_FORMATS = ("text", JSON)
# How often a line says at most that something is still away.
OUTAGE_SECONDS = 1.0


def line(log_format: str, program: str, event: str, text: str, **fields: str | int | None) -> str:
    """The line for an event.  *fields* are serial, reason, nas, session and count, as far as the event has them.

    >>> line("text", "engine", "database_away", "The database is away: timed out")
    'The database is away: timed out'
    >>> fields = json.loads(line("json", "freeradius", "login_refused", "login of 4000: expired", serial="4000", nas=None))
    >>> sorted(fields), fields["event"], fields["serial"]
    (['at', 'event', 'program', 'serial', 'text'], 'login_refused', '4000')
    """
    if log_format != JSON:
        return one_line(text)
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"at": at, "program": program, "event": event, **given, "text": one_line(text)})


class Outage:
    """Something that many requests need is away: one line a second with a count says so, and one that it is back.

    >>> now = 0.0
    >>> outage = Outage(lambda: now)
    >>> outage.lost(), outage.lost(), outage.lost()
    (1, 0, 0)
    >>> now = 1.5
    >>> outage.lost(), outage.is_on
    (3, True)
    >>> outage.ended(), outage.ended(), outage.is_on
    (4, 0, False)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        # Read without the lock before every `ended`, so that a request in good times costs nothing.
        self.is_on = False
        self._clock = clock
        self._guard = threading.Lock()
        self._total = self._unsaid = 0
        self._next_at = 0.0

    def lost(self) -> int:
        """Count a request that got no answer.  Returns how many no line has told yet if it is time for one, else 0."""
        with self._guard:
            if not self.is_on:
                self.is_on, self._total, self._unsaid, self._next_at = True, 0, 0, self._clock()
            self._total += 1
            self._unsaid += 1
            if self._clock() < self._next_at:
                return 0
            count, self._unsaid = self._unsaid, 0
            self._next_at = self._clock() + OUTAGE_SECONDS
            return count

    def ended(self) -> int:
        """It is back.  Returns how many requests got no answer, once; 0 if it was not away."""
        with self._guard:
            if not self.is_on:
                return 0
            self.is_on = False
            return self._total
