"""An engine for all FreeRADIUS processes of a machine: what waits at the same time is done together, whichever of them
it came to.

It has two windows, one for logins and one for accounting, so that neither waits for the other.  A window is a socket and a
thread: it takes every request that has come, has them done as one group, answers each, and takes what has come
meanwhile.  FreeRADIUS' threads wait in the kernel, not for Python's lock; and a FreeRADIUS that bears one Python instance
alone (3.2.1) gets its groups from several processes.

A line is a Unix socket that keeps messages apart (SOCK_SEQPACKET); for what goes over it see wire.py.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import attributes
from ..connection import DatabaseAway, RowLocked, TooLate, WrongSchema
from ..printable import one_line
from ..sentence import Sentence
from ..settings import Settings
from . import wire
from .accounting import NeverCharged, Packet
from .catalogue import Client
from .engine import Engine, answer_seconds, safe_text
from .group_commit import LOCKED_PAUSE_SECONDS
from .logins import Ask

ACCOUNT, CLIENT = "account", "client"
# Far more than a RADIUS packet (4,096 octets, RFC 2865, 3) can become.
MESSAGE_OCTETS_MAX = 131_072
# How soon an end that was asked for is noticed while nobody asks for anything.
PAUSE_SECONDS = 0.5
# A request that is older than this may have been given up: then its caller has closed the line.
MAY_BE_GONE_SECONDS = 0.5
BACKLOG = 256


class NoPlace(Exception):
    """The engine cannot open at this path."""


def accounting_path(path: Path) -> Path:
    """The window for accounting, beside that for logins."""
    return path.with_name(f"{path.name}-accounting")


class ClientAsk(NamedTuple):
    """Which NAS is at an address?"""

    address: str
    until: float


class EngineServer:
    def __init__(self, engine: Engine, path: Path):
        self._engine = engine
        # Who reaches the socket at all is said by its mode and group, and each caller is looked at besides.
        self._mode = 0o660 if engine.settings.engine_callers else 0o600
        served = callers(engine.settings)
        self._logins = Window(path, self._login_or_client, self._answer_logins, engine.settings, served)
        self._accounting = Window(accounting_path(path), _packet, engine.charges.submit_all, engine.settings, served)
        self._is_ended = threading.Event()
        self._fault: BaseException | None = None

    @property
    def decided(self) -> int:
        """How many logins were answered."""
        return self._logins.done

    @property
    def charged(self) -> int:
        return self._accounting.done

    def serve(self) -> None:
        """Until `end`.  Raises NoPlace if another engine is open there, or nothing can be."""
        with (
            listening(self._logins.path, self._mode) as logins,
            listening(self._accounting.path, self._mode) as accounting,
        ):
            beside = threading.Thread(target=self._serve_accounting, args=(accounting,))
            beside.start()
            try:
                self._logins.serve(logins, self._is_ended)
            finally:
                self._is_ended.set()
                beside.join()
        if self._fault:
            raise self._fault

    def end(self) -> None:
        """After what is being done.  Who is not answered then asks elsewhere."""
        self._is_ended.set()

    def _serve_accounting(self, listener: socket.socket) -> None:
        try:
            self._accounting.serve(listener, self._is_ended)
        except BaseException as fault:
            # Half an engine is worse than none: FreeRADIUS would wait for it.
            self._fault = fault
            self._is_ended.set()

    def _login_or_client(self, what: str, until: float, pairs: Iterable[tuple[str, str]]) -> Ask | ClientAsk:
        request = dict(pairs)
        if what == CLIENT:
            return ClientAsk(request.get(attributes.SOURCE_ADDRESS, "")[:45], until)
        return self._engine.ask(what, request, until)

    def _answer_logins(self, requests: list[Ask | ClientAsk]) -> Sequence:
        """FreeRADIUS asks for a client once a minute, so that these are done one by one, and logins together."""
        asks = [request for request in requests if not isinstance(request, ClientAsk)]
        if len(asks) == len(requests):
            return self._engine.logins.submit_all(asks)
        answers = iter(self._engine.logins.submit_all(asks) if asks else ())
        return [self._client(one) if isinstance(one, ClientAsk) else next(answers) for one in requests]

    def _client(self, request: ClientAsk) -> Client | Exception | None:
        try:
            return self._engine.client(request.address)
        except Exception as fault:
            return fault


class Waiting(NamedTuple):
    """A request, and who waits for its answer."""

    caller: socket.socket
    request: Any  # has `until`, when its caller gives up

    def is_given_up(self, answer_seconds: float) -> bool:
        """Whether nobody waits for the answer any more: what was asked for is not done then."""
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


class Window:
    """Requests of one kind: `read(what, until, attributes)` makes one of a message, `work(requests)` has a result, or an
    exception, for each, in order.

    A request that needs a row which somebody else has locked is put aside and tried again beside the others.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[str, float, Iterable[tuple[str, str]]], Any],
        work: Callable[[list], Sequence],
        settings: Settings,
        served: frozenset[int],
    ):
        self.path = path
        self._served = served
        self.done = 0
        self._read = read
        self._work = work
        self._most = settings.group_size
        self._answer_seconds = answer_seconds(settings)
        self._locked: list[Waiting] = []
        self._locked_until = 0.0

    def serve(self, listener: socket.socket, is_ended: threading.Event) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not is_ended.is_set():
                self._do_all(list(self._received(selector, listener)))
                if self._locked and time.monotonic() >= self._locked_until:
                    again, self._locked = self._locked, []
                    self._do_all(again)

    def _received(self, selector: selectors.BaseSelector, listener: socket.socket) -> Iterator[Waiting]:
        """What has come, and on which line; new lines are taken, and ended ones closed."""
        for key, _ in selector.select(LOCKED_PAUSE_SECONDS if self._locked else PAUSE_SECONDS):
            caller = key.fileobj
            if caller is listener:
                with contextlib.suppress(OSError):
                    if accepted := _accepted(listener, self._served):
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
                _tell(caller, fault)
            else:
                yield Waiting(caller, request)

    def _do_all(self, waiting: list[Waiting]) -> None:
        for start in range(0, len(waiting), self._most):
            self._do([one for one in waiting[start : start + self._most] if not one.is_given_up(self._answer_seconds)])

    def _do(self, waiting: list[Waiting]) -> None:
        """Answer each after the commit of all."""
        if not waiting:
            return
        try:
            results = self._work([one.request for one in waiting])
        except Exception as fault:
            results = [fault] * len(waiting)
        for one, result in zip(waiting, results, strict=True):
            if isinstance(result, RowLocked):
                self._locked.append(one)
                self._locked_until = time.monotonic() + LOCKED_PAUSE_SECONDS
            elif not isinstance(result, TooLate):
                _tell(one.caller, result)
                self.done += not isinstance(result, Exception) and not isinstance(one.request, ClientAsk)


def _packet(what: str, until: float, attributes: Iterable[tuple[str, str]]) -> Packet:
    if what != ACCOUNT:
        raise ValueError("accounting knows nothing else")
    return Packet(tuple(attributes), until=until)


@contextlib.contextmanager
def listening(path: Path, mode: int):
    """A socket at a path, for this account, and with 0660 for its group; the path is gone afterwards."""
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        before = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(path))
        except OSError as fault:
            raise NoPlace(
                Sentence("No engine can open at {path}: {cause}.", path=path, cause=fault.strerror)
            ) from fault
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _clear(path: Path) -> None:
    """Take away what an engine that was killed has left; an engine that is open stays, and so does every other file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise NoPlace(Sentence("{path} is there and is no socket; name another path for the engine.", path=path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise NoPlace(Sentence("Another engine is open at {path}.", path=path))


def callers(settings: Settings) -> frozenset[int]:
    """The system accounts that are served: root, the engine's own, and those that `engine_callers` names."""
    found = {0, os.geteuid()}
    for name in settings.engine_callers.replace(",", " ").split():
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            raise NoPlace(
                Sentence(
                    "engine_callers in {path} names {name}, and there is no such system account.",
                    path=settings.path,
                    name=name,
                )
            ) from None
    return frozenset(found)


def _accepted(listener: socket.socket, served: frozenset[int]) -> socket.socket | None:
    """A new line; None for a caller of another account: a login brings its PIN along, and the answer may be one."""
    caller, _ = listener.accept()
    _pid, user, _group = struct.unpack(
        "3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    if user in served:
        # Nothing blocks the engine: each line has one answer under way, and room for it.
        caller.setblocking(False)
        return caller
    caller.close()
    return None


def _tell(caller: socket.socket, result: Any) -> None:
    try:
        answer = wire.message(*_answer(result))
    except wire.NotEncodable as fault:
        answer = wire.message(*_answer(fault))
    try:
        caller.send(answer)
    except OSError:
        pass  # Whoever asked is gone; the next look at the line says so.


def _answer(result: Any) -> Sequence[str]:
    if not isinstance(result, Exception):
        return (wire.DONE, *wire.result(result))
    if isinstance(result, NeverCharged):
        return ("never", str(result))
    if isinstance(result, DatabaseAway):
        return ("away", str(result))
    if isinstance(result, WrongSchema):
        return ("schema", str(result))
    text = one_line(safe_text(result))
    print(f"no answer: {text}", file=sys.stderr, flush=True)
    return ("fault", text)
