"""A desk for all FreeRADIUS processes of a machine: what waits at the same time is done together, whichever of them
it came to.

It has two windows, one for logins and one for accounting, so that neither waits for the other.  A window is a socket and a
thread: it takes every request that has come, has them done as one group, answers each, and takes what has come
meanwhile.  FreeRADIUS' threads wait in the kernel, not for Python's lock; and a FreeRADIUS that bears one Python instance
alone (3.2.1) gets its groups from several processes.

A line is a Unix socket that keeps messages apart (SOCK_SEQPACKET); for what goes over it see line.py.
"""

import contextlib
import os
import selectors
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import line
from .charges import NeverCharged, Pairs
from .connection import DatabaseAway, WrongSchema
from .desk import Desk, speakable
from .sentence import Sentence

ACCOUNT = "account"
# Far more than a RADIUS packet (4,096 octets, RFC 2865, 3) can become.
MESSAGE_OCTETS_MAX = 131_072
# How soon an end that was asked for is noticed while nobody asks for anything.
PAUSE_SECONDS = 0.5
BACKLOG = 256


class NoPlace(Exception):
    """The desk cannot open at this path."""


def accounting_path(path: Path) -> Path:
    """The window for accounting, beside that for logins."""
    return path.with_name(f"{path.name}-accounting")


class DeskService:
    def __init__(self, desk: Desk, path: Path):
        most = desk.settings.group_size
        self._logins = Window(path, lambda what, attributes: desk.ask(what, dict(attributes)), desk.logins.submit_all, most)
        self._accounting = Window(accounting_path(path), _pairs, desk.charges.submit_all, most)
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
        """Until `end`.  Raises NoPlace if another desk is open there, or nothing can be."""
        with listening(self._logins.path) as logins, listening(self._accounting.path) as accounting:
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
            # Half a desk is worse than none: FreeRADIUS would wait for it.
            self._fault = fault
            self._is_ended.set()


class Window:
    """Requests of one kind: `read(what, attributes)` makes one of a message, `work(requests)` has a result, or an exception,
    for each, in order."""

    def __init__(
        self, path: Path, read: Callable[[str, Iterable[tuple[str, str]]], Any], work: Callable[[list], Sequence], most: int
    ):
        self.path = path
        self.done = 0
        self._read = read
        self._work = work
        self._most = most

    def serve(self, listener: socket.socket, is_ended: threading.Event) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not is_ended.is_set():
                requests = list(self._received(selector, listener))
                for start in range(0, len(requests), self._most):
                    self._do(requests[start : start + self._most])

    def _received(self, selector: selectors.BaseSelector, listener: socket.socket) -> Iterator[tuple[socket.socket, Any]]:
        """What has come, and on which line; new lines are taken, and ended ones closed."""
        for key, _ in selector.select(PAUSE_SECONDS):
            caller = key.fileobj
            if caller is listener:
                with contextlib.suppress(OSError):
                    if accepted := _accepted(listener):
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
                yield caller, self._read(*line.read_request(message))
            except Exception as fault:
                _tell(caller, fault)

    def _do(self, requests: list[tuple[socket.socket, Any]]) -> None:
        """Answer each after the commit of all."""
        try:
            results = self._work([request for _, request in requests])
        except Exception as fault:
            results = [fault] * len(requests)
        for (caller, _), result in zip(requests, results, strict=True):
            _tell(caller, result)
            self.done += not isinstance(result, Exception)


def _pairs(what: str, attributes: Iterable[tuple[str, str]]) -> Pairs:
    if what != ACCOUNT:
        raise ValueError("accounting knows nothing else")
    return tuple(attributes)


@contextlib.contextmanager
def listening(path: Path):
    """A socket at a path, for this account alone; the path is gone afterwards."""
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as fault:
            raise NoPlace(Sentence("No desk can open at {path}: {cause}.", path=path, cause=fault.strerror)) from fault
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
    """Take away what a desk that was killed has left; a desk that is open stays, and so does every other file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise NoPlace(Sentence("{path} is there and is no socket; name another path for the desk.", path=path))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise NoPlace(Sentence("Another desk is open at {path}.", path=path))


def _accepted(listener: socket.socket) -> socket.socket | None:
    """A new line; None for a caller of another account: a login brings its PIN along, and the answer may be one."""
    caller, _ = listener.accept()
    _pid, user, _group = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if user in (0, os.geteuid()):
        # Nothing blocks the desk: each line has one answer under way, and room for it.
        caller.setblocking(False)
        return caller
    caller.close()
    return None


def _tell(caller: socket.socket, result: Any) -> None:
    try:
        answer = line.message(*_answer(result))
    except line.Unsayable as fault:
        answer = line.message(*_answer(fault))
    try:
        caller.send(answer)
    except OSError:
        pass  # Whoever asked is gone; the next look at the line says so.


def _answer(result: Any) -> Sequence[str]:
    if not isinstance(result, Exception):
        return (line.DONE, *line.result(result))
    if isinstance(result, NeverCharged):
        return (line.DONE, str(result))
    if isinstance(result, DatabaseAway):
        return ("away", str(result))
    if isinstance(result, WrongSchema):
        return ("schema", str(result))
    text = speakable(result)
    print(f"no answer: {text}", file=sys.stderr, flush=True)
    return ("fault", text)
