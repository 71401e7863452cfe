"""The shared engine as a FreeRADIUS process sees it; see server.py for the other side.

While the shared engine is away, the process decides by an engine of its own.  It is slower but equally correct: all state
is in the database.  A process that may read neither the database's password nor the key has no engine of its own (`own` is
None): for it a shared engine that is away is like a database that is away.
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
from .logins import ADMIT, AUTHORIZE, WRONG_PIN, Answer, AuthorizeResult
from .server import ACCOUNT, CLIENT, IS_CARD, MESSAGE_OCTETS_MAX, accounting_path

# An engine that is away is tried again after this time.  One that hangs is left alone for longer, because each call to it
# costs a time-out.
PAUSE_SECONDS = 1.0
HUNG_PAUSE_SECONDS = 10.0


class EngineAway(Exception):
    """No engine is open; no engine has seen the request."""


class EngineEnded(DatabaseAway):
    """The engine ended, or hangs, while it had this request: it is not known whether the request was done."""


class EngineFault(Exception):
    """The engine could not do the request, for a reason that it has logged."""


# What the engine answers instead of a result; any other word is an EngineFault.
FAULTS: dict[str, type[Exception]] = {"away": DatabaseAway, "schema": WrongSchema, "never": NeverCharged}


class EngineClient:
    """Has the methods of Engine that hooks.py calls."""

    def __init__(self, settings: Settings, own: Engine | None):
        self.wrong_text = messages.refused("wrong_pin", settings.lang)
        self._own_engine = own
        path, seconds = Path(str(settings.engine)), answer_seconds(settings)
        self._logins = ListenerClient(path, seconds)
        self._accounting = ListenerClient(accounting_path(path), seconds)

    @property
    def _own(self) -> Engine:
        """The engine that decides while the shared engine is away."""
        if self._own_engine is None:
            raise DatabaseAway("the shared engine is away")
        return self._own_engine

    def authorize(self, request: Mapping[str, str]) -> AuthorizeResult:
        """Raises EngineEnded where the login may have been accepted: the NAS asks again, and takes that login over."""
        try:
            return wire.read_authorize_result(self._logins.ask(AUTHORIZE, request.items()))
        except EngineAway:
            return self._own.authorize(request)

    def admit(self, request: Mapping[str, str]) -> Answer:
        try:
            return wire.read_answer(self._logins.ask(ADMIT, request.items()))
        except EngineAway:
            return self._own.admit(request)

    def record_wrong_pin(self, request: Mapping[str, str]) -> str:
        try:
            (line,) = self._logins.ask(WRONG_PIN, request.items())
            return line
        except EngineAway:
            return self._own.record_wrong_pin(request)

    def account(self, pairs: Pairs) -> str | None:
        try:
            return wire.read_text(self._accounting.ask(ACCOUNT, pairs))
        except (EngineAway, EngineEnded):
            # To charge it twice changes nothing: counters only rise to what was reported.
            return self._own.account(pairs)

    def set_serial(self, is_serial: bool) -> None:
        if self._own_engine is not None:
            self._own_engine.set_serial(is_serial)

    def client(self, address: str) -> Client | None:
        try:
            return wire.read_client(self._logins.ask(CLIENT, [(attributes.SOURCE_ADDRESS, address)]))
        except (EngineAway, EngineEnded):
            return self._own.client(address)

    def is_card(self, serial: str) -> bool:
        try:
            return wire.read_text(self._logins.ask(IS_CARD, [("User-Name", serial)])) is not None
        except (EngineAway, EngineEnded):
            return self._own.is_card(serial)

    def close(self) -> None:
        self._logins.close()
        self._accounting.close()
        if self._own_engine is not None:
            self._own_engine.close()


class ListenerClient:
    """Asks one listener of the engine; each of FreeRADIUS' threads has a connection of its own.

    The connections are kept by the thread's number.  `threading.local` would keep one for each thread *and instance*,
    because rlm_python3 gives each pair of them a Python thread state of its own: 64 threads with 192 instances would have
    12,288 connections.
    """

    def __init__(self, path: Path, timeout_seconds: int):
        self._path = str(path)
        self._seconds = timeout_seconds
        self._timeout = struct.pack("ll", timeout_seconds, 0)
        self._connections: dict[int, socket.socket] = {}
        self._not_before = 0.0

    def ask(self, what: str, attributes: Iterable[tuple[str, str]]) -> list[str]:
        """The words of the result.  Raises EngineAway, EngineEnded, or the exception that the engine answers with."""
        connection = self._sent(wire.request(what, time.monotonic() + self._seconds, attributes))
        try:
            received = connection.recv(MESSAGE_OCTETS_MAX)
        except BlockingIOError:
            self._leave(HUNG_PAUSE_SECONDS)
            raise EngineEnded("the shared engine does not answer") from None
        except ConnectionResetError:
            # Linux ends a connection in this way if it holds a message that the other side has not read.
            self._leave(PAUSE_SECONDS)
            raise EngineAway from None
        if not received:
            self._leave(PAUSE_SECONDS)
            raise EngineEnded("the shared engine ended while it had this packet")
        word, *result = wire.words(received)
        if word == wire.DONE:
            return result
        raise FAULTS.get(word, EngineFault)(*result)

    def close(self) -> None:
        """Close the connections of all threads."""
        while self._connections:
            self._connections.popitem()[1].close()

    def _sent(self, message: bytes) -> socket.socket:
        """The connection, after the message was sent on it.  A connection to an engine that has ended fails; then a new
        one is tried."""
        try:
            connection = self._own_connection()
            try:
                connection.send(message)
            except ConnectionError:
                self._close_own()
                connection = self._own_connection()
                connection.send(message)
        except OSError:
            self._leave(PAUSE_SECONDS)
            raise EngineAway from None
        return connection

    def _own_connection(self) -> socket.socket:
        """This thread's connection.  Raises EngineAway while the engine is left alone, or OSError if it is not there."""
        connection = self._connections.get(threading.get_ident())
        if connection is None:
            if time.monotonic() < self._not_before:
                raise EngineAway
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # The kernel's time-outs, because Python's own would cost another system call for each message.
            for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                connection.setsockopt(socket.SOL_SOCKET, direction, self._timeout)
            self._connections[threading.get_ident()] = connection
            connection.connect(self._path)
        return connection

    def _leave(self, seconds: float) -> None:
        """Close the connection, and leave the engine alone for so long."""
        self._close_own()
        self._not_before = time.monotonic() + seconds

    def _close_own(self) -> None:
        if connection := self._connections.pop(threading.get_ident(), None):
            connection.close()
