"""A desk for all FreeRADIUS processes of a machine: what waits at the same time is done together, whichever of them
it came to.

One thread, and no lock: it takes every request that has come, has the logins decided in one group and the packets
charged in another, answers each, and takes what has come meanwhile.  FreeRADIUS' threads wait in the kernel, not
for Python's lock; and a FreeRADIUS that bears one Python instance alone (3.2.1) gets its groups from several processes.

A line is a Unix socket that keeps messages apart (SOCK_SEQPACKET).  A request is the JSON of [what, attributes]: an object
for a login, pairs for accounting.  Its answer is ["done", result], or ["away" | "schema" | "fault", text].
"""

import contextlib
import json
import os
import selectors
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .charges import NeverCharged
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


class DeskService:
    """`decided` and `charged`: how many logins and packets were answered."""

    def __init__(self, desk: Desk, path: Path):
        self.decided = 0
        self.charged = 0
        self._desk = desk
        self._path = path
        self._most = desk.settings.group_size
        self._is_ended = False

    def serve(self) -> None:
        """Until `end`.  Raises NoPlace if another desk is open there, or nothing can be."""
        with listening(self._path) as listener, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while not self._is_ended:
                self._answer(list(self._received(selector, listener)))

    def end(self) -> None:
        """After what is being done.  Who is not answered then asks elsewhere."""
        self._is_ended = True

    def _received(self, selector: selectors.BaseSelector, listener: socket.socket) -> Iterator[tuple[socket.socket, bytes]]:
        for key, _ in selector.select(PAUSE_SECONDS):
            line = key.fileobj
            if line is listener:
                with contextlib.suppress(OSError):
                    if caller := _accepted(listener):
                        selector.register(caller, selectors.EVENT_READ)
                continue
            try:
                message = line.recv(MESSAGE_OCTETS_MAX)
            except OSError:
                message = b""
            if message:
                yield line, message
            else:
                selector.unregister(line)
                line.close()

    def _answer(self, received: list[tuple[socket.socket, bytes]]) -> None:
        asks, packets = [], []
        for line, message in received:
            try:
                what, attributes = json.loads(message)
                if what == ACCOUNT:
                    packets.append((line, [(name, value) for name, value in attributes]))
                else:
                    asks.append((line, self._desk.ask(what, attributes)))
            except Exception as fault:
                _tell(line, fault)
        for some in _parts(asks, self._most):
            self.decided += self._do(self._desk.logins.submit_all, some)
        for some in _parts(packets, self._most):
            self.charged += self._do(self._desk.charges.submit_all, some)

    def _do(self, work: Callable[[list], Sequence], some: list[tuple[socket.socket, Any]]) -> int:
        """Answer each after the commit of all."""
        try:
            results = work([request for _, request in some])
        except Exception as fault:
            results = [fault] * len(some)
        for (line, _), result in zip(some, results, strict=True):
            _tell(line, result)
        return sum(not isinstance(result, Exception) for result in results)


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


def _tell(line: socket.socket, result: Any) -> None:
    if isinstance(result, NeverCharged):
        answer = ("done", str(result))
    elif isinstance(result, DatabaseAway):
        answer = ("away", str(result))
    elif isinstance(result, WrongSchema):
        answer = ("schema", str(result))
    elif isinstance(result, Exception):
        answer = ("fault", speakable(result))
        print(f"no answer: {answer[1]}", file=sys.stderr, flush=True)
    else:
        answer = ("done", result)
    # Whoever asked may be gone; the next look at the line says so.
    with contextlib.suppress(OSError):
        line.send(json.dumps(answer).encode())


def _parts(some: list, size: int) -> Iterator[list]:
    for start in range(0, len(some), size):
        yield some[start : start + size]
