"""The engine as a FreeRADIUS process sees it that shares one with others: see engine_server.py.

While nobody is there, it is its own engine: it is slower but equally correct, because all state is in the database.  A
process that may read neither the database's password nor the key has no engine of its own (`own` is None): then a shared
engine that is away is what a database is that is away.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from .. import attributes
from ..connection import DatabaseAway, WrongSchema
from ..rules import messages
from ..settings import Settings
from . import wire
from .accounting import NeverCharged, Pairs
from .catalogue import Client
from .engine import Engine, answer_seconds
from .logins import ADMIT, AUTHORIZE, WRONG_PIN, Answer, Handout
from .server import ACCOUNT, CLIENT, MESSAGE_OCTETS_MAX, accounting_path

# An engine that is not there is looked for again after this time; one that hangs costs each who asks it a time-out.
PAUSE_SECONDS = 1.0
HUNG_PAUSE_SECONDS = 10.0


class EngineAway(Exception):
    """No engine is open; nobody has seen the request."""


class EngineEnded(DatabaseAway):
    """The engine ended, or hangs, with this request: whether it was done is not known."""


class EngineFault(Exception):
    """The engine could not do it, for a reason that it has logged."""


class EngineClient:
    """See Engine, whose methods these are."""

    def __init__(self, settings: Settings, own: Engine | None):
        self.wrong_text = messages.refused("wrong_pin", settings.lang)
        self._own_engine = own
        path, seconds = Path(settings.engine), answer_seconds(settings)
        self._logins = Way(path, seconds)
        self._accounting = Way(accounting_path(path), seconds)

    @property
    def _own(self) -> Engine:
        """Who decides while nobody is at the shared engine."""
        if self._own_engine is None:
            raise DatabaseAway("nobody is at the shared engine")
        return self._own_engine

    def authorize(self, request: Mapping[str, str]) -> Handout:
        """Raises EngineEnded where it may have been let in: the NAS asks again, and takes that login over."""
        try:
            return wire.read_handout(self._logins.ask(AUTHORIZE, request.items()))
        except EngineAway:
            return self._own.authorize(request)

    def admit(self, request: Mapping[str, str]) -> Answer:
        try:
            return wire.read_answer(self._logins.ask(ADMIT, request.items()))
        except EngineAway:
            return self._own.admit(request)

    def record_wrong_pin(self, request: Mapping[str, str]) -> str:
        try:
            return wire.read_text(self._logins.ask(WRONG_PIN, request.items()))
        except EngineAway:
            return self._own.record_wrong_pin(request)

    def account(self, pairs: Pairs) -> str | None:
        try:
            return wire.read_text(self._accounting.ask(ACCOUNT, pairs))
        except (EngineAway, EngineEnded):
            # Twice is as good as once: counters only rise to what was reported.
            return self._own.account(pairs)

    def serve_alone(self, is_alone: bool) -> None:
        if self._own_engine is not None:
            self._own_engine.serve_alone(is_alone)

    def client(self, address: str) -> Client | None:
        try:
            return wire.read_client(self._logins.ask(CLIENT, [(attributes.SOURCE_ADDRESS, address)]))
        except (EngineAway, EngineEnded):
            return self._own.client(address)


class Way:
    """To one window of the engine; each of FreeRADIUS' threads has a line of its own.

    By the thread's own number: `threading.local` has one for each thread *and instance*, because rlm_python3 gives each
    pair a Python thread state of its own, and 64 threads with 192 instances would have 12,288 lines.
    """

    def __init__(self, path: Path, timeout_seconds: int):
        self._path = str(path)
        self._seconds = timeout_seconds
        self._timeout = struct.pack("ll", timeout_seconds, 0)
        self._lines: dict[int, socket.socket] = {}
        self._not_before = 0.0

    def ask(self, what: str, attributes: Iterable[tuple[str, str]]) -> list[str]:
        """The result's words.  Raises EngineAway, or EngineEnded, or what the engine says is in the way."""
        own = self._sent(wire.request(what, time.monotonic() + self._seconds, attributes))
        try:
            told = own.recv(MESSAGE_OCTETS_MAX)
        except BlockingIOError:
            self._leave(HUNG_PAUSE_SECONDS)
            raise EngineEnded("the shared engine does not answer") from None
        except ConnectionResetError:
            # How Linux ends a line that holds a message which nobody has read.
            self._leave(PAUSE_SECONDS)
            raise EngineAway from None
        if not told:
            self._leave(PAUSE_SECONDS)
            raise EngineEnded("the shared engine ended while it had this packet")
        word, *result = wire.words(told)
        if word == wire.DONE:
            return result
        raise {"away": DatabaseAway, "schema": WrongSchema, "never": NeverCharged}.get(word, EngineFault)(*result)

    def _sent(self, message: bytes) -> socket.socket:
        """The line, with the message on it.  A line of an engine that has ended takes none: then a new one is tried."""
        try:
            own = self._own_socket()
            try:
                own.send(message)
            except ConnectionError:
                self._hang_up()
                own = self._own_socket()
                own.send(message)
        except OSError:
            self._leave(PAUSE_SECONDS)
            raise EngineAway from None
        return own

    def _own_socket(self) -> socket.socket:
        """This thread's line.  Raises EngineAway, or OSError if it was tried in vain."""
        own = self._lines.get(threading.get_ident())
        if own is None:
            if time.monotonic() < self._not_before:
                raise EngineAway  # Missed a moment ago; to ask meanwhile does not make that moment longer.
            own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # The kernel's time-outs: Python's own would cost a system call more for each message.
            for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                own.setsockopt(socket.SOL_SOCKET, direction, self._timeout)
            self._lines[threading.get_ident()] = own
            own.connect(self._path)
        return own

    def _leave(self, seconds: float) -> None:
        self._hang_up()
        self._not_before = time.monotonic() + seconds

    def _hang_up(self) -> None:
        if own := self._lines.pop(threading.get_ident(), None):
            own.close()
