"""The load generator: a NAS with thousands of customers, in one thread of Python.

Closed loop (`window`): so many requests are always waiting for their answer; this finds the highest rate.  Open loop
(`rate_per_s`): requests are sent by the clock, and latency counts from the moment a request was due, so that a stall of
the server counts for every request behind it (no coordinated omission).

Like a NAS it repeats a request that is not answered, gives up after some tries, and sends the next report of a session
only after the answer to the last one.  It counts every request: requests = accepts + rejects + responses + lost, and
`unsent` counts the reports of sessions that were refused.
"""

import select
import socket
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import NamedTuple

from . import packet
from .traffic import Session

SOCKETS = 4  # the Identifier has 8 bits, so one socket carries at most 256 open requests
TIMEOUT_S = 3.0
TRIES = 4
RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024


class Endpoint(NamedTuple):
    """The ports of a side."""

    auth_port: int
    acct_port: int
    secret: bytes = b"testing123"
    host: str = "127.0.0.1"


@dataclass
class Result:
    """The result of one run."""

    requests: int = 0
    accepts: int = 0
    rejects: int = 0
    responses: int = 0
    lost: int = 0
    retransmits: int = 0
    strays: int = 0  # answers to nobody: late, repeated or not genuine
    unsent: int = 0
    elapsed_s: float = 0.0
    latencies_s: list = field(default_factory=list)
    lateness_s: list = field(default_factory=list)  # of the generator itself: sent minus due

    @property
    def answered(self) -> int:
        return self.accepts + self.rejects + self.responses

    @property
    def per_s(self) -> float:
        return self.answered / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def complaint(self) -> str:
        """What the table reports beside the rate; empty if every request got the expected answer."""
        told = {name: getattr(self, name) for name in ("rejects", "lost", "retransmits", "strays", "unsent")}
        return ", ".join(f"{count} {name}" for name, count in told.items() if count)


def run(
    endpoint: Endpoint,
    sessions: list[Session],
    order: list[int],
    *,
    window: int | None = None,
    rate_per_s: float | None = None,
) -> Result:
    """Send `order` (numbers of sessions) through `window` places, or at `rate_per_s`; returns the result."""
    if (window is None) == (rate_per_s is None):
        raise ValueError("Give either a window (closed loop) or a rate (open loop).")
    line = Line(endpoint)
    try:
        return _Run(line, sessions, order, window, rate_per_s).result()
    finally:
        line.close()


class Line:
    """Sockets to the server, and the free identifiers of each.

    A place is socket number * 256 + identifier.  Places are used in turn, so that the time between two uses of an
    identifier is as long as possible.
    """

    def __init__(self, endpoint: Endpoint):
        self.secret = packet.Secret(endpoint.secret)
        self.sockets = []
        self.count = SOCKETS
        for port in [endpoint.auth_port] * self.count + [endpoint.acct_port] * self.count:
            line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
            line.connect((endpoint.host, port))
            line.setblocking(False)
            self.sockets.append(line)
        turn = [number * 256 + identifier for identifier in range(256) for number in range(self.count)]
        self.free_login = deque(turn)
        self.free_accounting = deque(place + self.count * 256 for place in turn)

    def close(self):
        for line in self.sockets:
            line.close()


class _Run:
    """One run.  `_send` and `_receive` take most of the time, so they use local names and plain tuples."""

    def __init__(self, line, sessions, order, window, rate_per_s):
        self.line = line
        self.sessions = sessions
        self.order = order
        self.window = window
        self.rate_per_s = rate_per_s
        self.outcome = Result()
        # place -> (session, request, due, sent, tries), oldest first: a repeat goes to the end again.
        self.open = {}
        # Packets that are due while every identifier is in use.
        self.backlog = deque()

    def result(self) -> Result:
        started = perf_counter()
        if self.window is not None:
            last = self._closed_loop()
        else:
            last = self._open_loop(started)
        self.outcome.elapsed_s = last - started
        return self.outcome

    def _closed_loop(self) -> float:
        order, sessions, window, open_requests = self.order, self.sessions, self.window, self.open
        position, total, now = 0, len(order), perf_counter()
        while position < total or open_requests:
            while position < total and len(open_requests) < window:
                self._due(sessions[order[position]], now)
                position += 1
            now = self._receive(0.05)
        return now

    def _open_loop(self, started: float) -> float:
        order, sessions, rate, open_requests = self.order, self.sessions, self.rate_per_s, self.open
        position, total, now = 0, len(order), started
        while position < total or open_requests:
            due = started + position / rate
            while position < total and due <= now:
                self._due(sessions[order[position]], due)
                position += 1
                due = started + position / rate
            now = perf_counter()
            now = self._receive(min(max(due - now, 0.0), 0.05) if position < total else 0.05)
        return now

    def _due(self, session, due):
        """A packet of this session is due; it waits while the one before it has no answer."""
        if session.is_busy:
            session.waiting.append(due)
        elif session.is_refused:
            self.outcome.unsent += 1
        else:
            self._send(session, due)

    def _send(self, session, due):
        authenticator, attributes = session.steps[session.position]
        line = self.line
        free = line.free_login if authenticator else line.free_accounting
        session.is_busy = True
        if not free:
            self.backlog.append((session, due))
            return
        place = free.popleft()
        if authenticator:
            request = line.secret.access_request(place & 255, authenticator, attributes)
        else:
            request = line.secret.accounting_request(
                place & 255, attributes + session.clock(time()) + session.classes()
            )
        self.outcome.requests += 1
        sent = perf_counter()
        self.open[place] = (session, request, due, sent, 1)
        self.outcome.lateness_s.append(sent - due)
        self._transmit(place, request)

    def _transmit(self, place, request):
        try:
            self.line.sockets[place >> 8].send(request)
        except (BlockingIOError, ConnectionRefusedError):
            pass  # as good as lost on the way: the time-out repeats it and counts it

    def _receive(self, wait_s: float) -> float:
        """Wait for an answer and read all that are there; returns the time."""
        outcome, open_requests, line = self.outcome, self.open, self.line
        latencies, is_answer = outcome.latencies_s, line.secret.is_answer
        readable, _, _ = select.select(line.sockets, (), (), wait_s)
        for ready in readable:
            base = line.sockets.index(ready) << 8
            free = line.free_login if base < line.count << 8 else line.free_accounting
            while True:
                try:
                    answer = ready.recv(4096)
                except BlockingIOError:
                    break
                except ConnectionRefusedError:
                    continue
                entry = open_requests.get(base | answer[1])
                if entry is None or not is_answer(answer, entry[1]):
                    outcome.strays += 1
                    continue
                latencies.append(perf_counter() - entry[2])
                del open_requests[base | answer[1]]
                free.append(base | answer[1])
                code, session = answer[0], entry[0]
                if code == packet.ACCOUNTING_RESPONSE:
                    outcome.responses += 1
                elif code == packet.ACCESS_ACCEPT:
                    outcome.accepts += 1
                    session.began = time()
                    session.accept = answer
                else:
                    outcome.rejects += 1
                    session.is_refused = True
                self._advance(session)
        now = perf_counter()
        self._repeat_overdue(now)
        for _ in range(len(self.backlog)):
            self._send(*self.backlog.popleft())
        return now

    def _advance(self, session):
        """The session's last packet is finished; send the one that waits behind it."""
        session.position += 1
        session.is_busy = False
        if session.is_refused:
            self.outcome.unsent += len(session.waiting)
            session.waiting.clear()
        elif session.waiting:
            self._send(session, session.waiting.pop(0))

    def _repeat_overdue(self, now):
        open_requests, outcome = self.open, self.outcome
        while open_requests:
            place = next(iter(open_requests))
            session, request, due, sent, tries = open_requests[place]
            if sent + TIMEOUT_S > now:
                return
            del open_requests[place]
            if tries < TRIES:
                outcome.retransmits += 1
                open_requests[place] = (session, request, due, now, tries + 1)
                self._transmit(place, request)
            else:
                # The customer's next report carries the whole session so far: a NAS goes on with it.
                outcome.lost += 1
                outcome.latencies_s.append(now - due)
                session.is_refused = session.steps[session.position][0] is not None
                free = self.line.free_login if place < self.line.count << 8 else self.line.free_accounting
                free.append(place)
                self._advance(session)
