"""An engine for all FreeRADIUS processes of a machine: requests that wait at the same time are done together, whichever
process they come from.

It has two listeners, one for logins and one for accounting, so that neither waits for the other.  A listener is a socket
and a thread: it takes every request that has come, has them done as one group, answers each, and takes the requests that
came meanwhile.  FreeRADIUS' threads wait in the kernel, not for Python's lock; and a FreeRADIUS which supports only one
instance of a Python module (3.2.1) gets its groups from several processes.

A connection is a Unix socket that keeps messages apart (SOCK_SEQPACKET); wire.py has the format of the messages.
"""

import contextlib
import os
import pwd
import selectors
import socket
import stat
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import attributes
from ..connection import DatabaseAway, RowLocked, TooLate, WrongSchema
from ..event_log import Outage, line
from ..histogram import REQUESTS, SECONDS, Histogram
from ..printable import one_line
from ..sentence import Sentence
from ..settings import Settings
from . import wire
from .accounting import NeverCharged, Packet
from .catalogue import Client
from .engine import Engine, answer_seconds, safe_text
from .group_commit import LOCKED_PAUSE_SECONDS
from .logins import LoginRequest

ACCOUNT, CLIENT, IS_CARD = "account", "client", "is_card"
FAULT = "fault"
# Far more than a RADIUS packet (4,096 octets, RFC 2865, 3) can become.
MESSAGE_OCTETS_MAX = 131_072
# How soon `end` is noticed while no request comes.
PAUSE_SECONDS = 0.5
# The caller of a request that is older than this may have given up: then it has closed the connection.
MAY_BE_GONE_SECONDS = 0.5
BACKLOG = 256


class CannotListen(Exception):
    """The engine cannot open its sockets."""


def accounting_path(path: Path) -> Path:
    """The socket for accounting, beside the one for logins."""
    return path.with_name(f"{path.name}-accounting")


def nothing() -> None:
    """What is called if nobody wants to know."""


class Turns:
    """Calls `works` whenever each of several loops has come round: one that hangs is not hidden by the others."""

    def __init__(self, loops: int, works: Callable[[], None]):
        self._loops = loops
        self._works = works
        self._came_round: set[int] = set()
        self._lock = threading.Lock()

    def came_round(self) -> None:
        """The loop of this thread has come round."""
        with self._lock:
            self._came_round.add(threading.get_ident())
            if len(self._came_round) < self._loops:
                return
            self._came_round.clear()
        self._works()


class ClientRequest(NamedTuple):
    """Which NAS is at an address?"""

    address: str
    until: float


class IsCardRequest(NamedTuple):
    """Does a card have this serial?"""

    serial: str
    until: float


# What the listener for logins does beside logins.
Question = ClientRequest | IsCardRequest


class EngineServer:
    def __init__(self, engine: Engine, path: Path):
        self._engine = engine
        self._log_format = engine.settings.log
        self._outage = Outage()
        # The socket's mode and group decide who can connect; in addition each caller's account is checked.
        self._mode = 0o660 if engine.settings.engine_callers else 0o600
        served = callers(engine.settings)
        self.logins = Listener(path, self._login_or_question, self._answer_logins, engine.settings, served, self._seen)
        self.accounting = Listener(
            accounting_path(path), _packet, engine.charges.submit_all, engine.settings, served, self._seen
        )
        self._is_ended = threading.Event()
        self._fault: BaseException | None = None

    @property
    def decided(self) -> int:
        """How many logins were answered."""
        return self.logins.done

    @property
    def charged(self) -> int:
        """How many packets were charged."""
        return self.accounting.done

    def serve(self, is_open: Callable[[], None] = nothing, works: Callable[[], None] = nothing) -> None:
        """Serve until `end`.  Raises CannotListen, if another engine is open there for instance.

        `is_open` is called when both listeners accept connections, `works` whenever both have come round once more.
        """
        turns = Turns(2, works)
        with (
            open_socket(self.logins.path, self._mode) as logins,
            open_socket(self.accounting.path, self._mode) as accounting,
        ):
            beside = threading.Thread(target=self._serve_accounting, args=(accounting, turns))
            beside.start()
            try:
                is_open()
                self.logins.serve(logins, self._is_ended, turns.came_round)
            finally:
                self._is_ended.set()
                beside.join()
        if self._fault:
            raise self._fault

    def end(self) -> None:
        """Stop after the group that is being done.  A caller without an answer uses its own engine."""
        self._is_ended.set()

    def _serve_accounting(self, listening: socket.socket, turns: "Turns") -> None:
        try:
            self.accounting.serve(listening, self._is_ended, turns.came_round)
        except BaseException as fault:
            # Half an engine is worse than none, because FreeRADIUS would wait for the other half.
            self._fault = fault
            self._is_ended.set()

    def _seen(self, request: Any, result: Any) -> None:
        """Write to the log when the database goes away, when it is back, and every fault."""
        if isinstance(result, DatabaseAway):
            if not self._outage.is_on:
                _log(self._log_format, "database_away", f"The database is away: {safe_text(result)}")
            self._outage.lost()
        elif isinstance(result, Exception):
            if not isinstance(result, NeverCharged | WrongSchema):
                _log(self._log_format, "fault", f"no answer: {safe_text(result)}")
        elif self._outage.is_on and not isinstance(request, Question) and (count := self._outage.ended()):
            # A client is known from memory, too.
            text = f"The database is back; {count} requests got no answer while it was away"
            _log(self._log_format, "database_back", text, count=count)

    def _login_or_question(self, what: str, until: float, pairs: Iterable[tuple[str, str]]) -> LoginRequest | Question:
        request = dict(pairs)
        if what == CLIENT:
            return ClientRequest(request.get(attributes.SOURCE_ADDRESS, "")[:45], until)
        if what == IS_CARD:
            return IsCardRequest(request.get("User-Name", ""), until)
        return self._engine.login_request(what, request, until)

    def _answer_logins(self, requests: list[LoginRequest | Question]) -> Sequence[Any]:
        """Logins are done together, and questions one by one: FreeRADIUS asks for a NAS once a minute, and for a name until
        it is known as a card's."""
        logins = [request for request in requests if not isinstance(request, Question)]
        if len(logins) == len(requests):
            return self._engine.logins.submit_all(logins)
        answers = iter(self._engine.logins.submit_all(logins) if logins else ())
        return [self._answer(one) if isinstance(one, Question) else next(answers) for one in requests]

    def _answer(self, question: Question) -> Client | str | Exception | None:
        try:
            if isinstance(question, IsCardRequest):
                return "yes" if self._engine.is_card(question.serial) else None
            return self._engine.client(question.address)
        except Exception as fault:
            return fault


class PendingRequest(NamedTuple):
    """A request, and the connection on which its caller waits for the answer."""

    caller: socket.socket
    request: Any  # has `until`, when its caller gives up

    def is_given_up(self, answer_seconds: float) -> bool:
        """Whether the caller no longer waits for the answer: then the request is not done."""
        left_seconds = self.request.until - time.monotonic()
        if left_seconds <= 0:
            return True
        if answer_seconds - left_seconds < MAY_BE_GONE_SECONDS:
            return False
        try:
            return not self.caller.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Listener:
    """Serves requests of one kind.  `read(what, until, attributes)` makes a request of a message; `work(requests)` returns
    a result, or an exception, for each, in their order.

    A request that needs a row which another transaction holds is put aside and tried again beside the others.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[str, float, Iterable[tuple[str, str]]], Any],
        work: Callable[[list[Any]], Sequence[Any]],
        settings: Settings,
        served: frozenset[int],
        seen: Callable[[Any, Any], None] = lambda request, result: None,
    ):
        self.path = path
        self._seen = seen
        self._served = served
        self.done = 0
        # For the metrics: the requests of each group, how long a group took, and why requests got no answer.
        self.group_sizes = Histogram(REQUESTS)
        self.group_seconds = Histogram(SECONDS)
        self.unanswered: Counter[str] = Counter()
        self._read = read
        self._work = work
        self._most = settings.group_size
        self._answer_seconds = answer_seconds(settings)
        self._locked: list[PendingRequest] = []
        self._locked_until = 0.0

    def serve(
        self, listening: socket.socket, is_ended: threading.Event, came_round: Callable[[], None] = nothing
    ) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            while not is_ended.is_set():
                came_round()
                self._do_all(list(self._received(selector, listening)))
                if self._locked and time.monotonic() >= self._locked_until:
                    again, self._locked = self._locked, []
                    self._do_all(again)

    def _received(self, selector: selectors.BaseSelector, listening: socket.socket) -> Iterator[PendingRequest]:
        """The requests that have come.  New connections are accepted, and ended ones closed."""
        for key, _ in selector.select(LOCKED_PAUSE_SECONDS if self._locked else PAUSE_SECONDS):
            caller: Any = key.fileobj
            if caller is listening:
                with contextlib.suppress(OSError):
                    if accepted := _accepted(listening, self._served):
                        selector.register(accepted, selectors.EVENT_READ)
                continue
            try:
                message = caller.recv(MESSAGE_OCTETS_MAX)
            except OSError:
                message = b""
            if not message:
                selector.unregister(caller)
                caller.close()
                continue
            try:
                request = self._read(*wire.read_request(message))
            except Exception as fault:
                self._send_answer(caller, None, fault)
            else:
                yield PendingRequest(caller, request)

    def _do_all(self, pending: list[PendingRequest]) -> None:
        for start in range(0, len(pending), self._most):
            group = pending[start : start + self._most]
            wanted = [one for one in group if not one.is_given_up(self._answer_seconds)]
            if len(wanted) < len(group):
                self.unanswered["given_up"] += len(group) - len(wanted)
            self._do(wanted)

    def _do(self, pending: list[PendingRequest]) -> None:
        """Do the requests together, and answer each after the commit of all."""
        if not pending:
            return
        began = time.perf_counter()
        try:
            results = self._work([one.request for one in pending])
        except Exception as fault:
            results = [fault] * len(pending)
        self.group_seconds.observe(time.perf_counter() - began)
        self.group_sizes.observe(len(pending))
        for one, result in zip(pending, results, strict=True):
            if isinstance(result, RowLocked):
                self._locked.append(one)
                self._locked_until = time.monotonic() + LOCKED_PAUSE_SECONDS
            elif isinstance(result, TooLate):
                self.unanswered["given_up"] += 1
            else:
                # Counted before the answer: who has it finds it in the metrics.
                if not isinstance(result, Exception):
                    self.done += not isinstance(one.request, Question)
                elif not isinstance(result, NeverCharged):
                    self.unanswered[_answer_word(result)] += 1
                self._send_answer(one.caller, one.request, result)

    def _send_answer(self, caller: socket.socket, request: Any, result: Any) -> None:
        try:
            answer = wire.message(*_answer(result))
        except wire.NotEncodable as fault:
            result, answer = fault, wire.message(*_answer(fault))
        self._seen(request, result)
        try:
            caller.send(answer)
        except OSError:
            pass  # The caller is gone; the next read of its connection finds that out.


def _packet(what: str, until: float, attributes: Iterable[tuple[str, str]]) -> Packet:
    if what != ACCOUNT:
        raise ValueError(f"an accounting request is {ACCOUNT}")
    return Packet(tuple(attributes), until=until)


@contextlib.contextmanager
def open_socket(path: Path, mode: int) -> Iterator[socket.socket]:
    """A listening socket at a path with this mode; afterwards the path is removed."""
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            listening.bind(str(path))
        except OSError as fault:
            raise CannotListen(
                Sentence("No engine can open at {path}: {cause}.", path=path, cause=fault.strerror)
            ) from fault
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        yield listening
    finally:
        listening.close()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _clear(path: Path) -> None:
    """Remove the socket of an engine that was killed.  The socket of a running engine stays, and so does any other file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CannotListen(Sentence("{path} is not a socket. Name another path for the engine.", path=path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise CannotListen(Sentence("Another engine is open at {path}.", path=path))


def callers(settings: Settings) -> frozenset[int]:
    """The system accounts that are served: root, the engine's own, and those that `engine_callers` names."""
    found = {0, os.geteuid()}
    for name in settings.engine_callers.replace(",", " ").split():
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            raise CannotListen(
                Sentence(
                    "engine_callers in {path} names {name}, and there is no such system account.",
                    path=settings.path,
                    name=name,
                )
            ) from None
    return frozenset(found)


def _accepted(listening: socket.socket, served: frozenset[int]) -> socket.socket | None:
    """A new connection; None for a caller of another account: a login brings a PIN, and the answer may hold one."""
    caller, _ = listening.accept()
    _pid, user, _group = struct.unpack(
        "3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    if user in served:
        # No caller can block the engine: a connection has one answer under way at most, and room for it.
        caller.setblocking(False)
        return caller
    caller.close()
    return None


def _answer(result: Any) -> Sequence[str]:
    if not isinstance(result, Exception):
        return (wire.DONE, *wire.result(result))
    word = _answer_word(result)
    if word != FAULT:
        return (word, str(result))
    return (word, one_line(safe_text(result)))


def _answer_word(fault: Exception) -> str:
    """What the engine answers instead of a result; client.py knows these words."""
    if isinstance(fault, NeverCharged):
        return "never"
    if isinstance(fault, DatabaseAway):
        return "away"
    return "schema" if isinstance(fault, WrongSchema) else FAULT


def _log(log_format: str, event: str, text: str, **fields: int) -> None:
    print(line(log_format, "engine", event, text, **fields), file=sys.stderr, flush=True)
