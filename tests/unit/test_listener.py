"""A listener of the shared engine: a request that nobody waits for is not done, and a locked row keeps no other waiting."""

import os
import socket
import threading
import time
from typing import NamedTuple

import pytest

from freeradius_module.connection import RowLocked
from freeradius_module.engine import wire
from freeradius_module.engine.engine import answer_seconds
from freeradius_module.engine.server import Listener, open_socket
from freeradius_module.settings import Settings

SETTINGS = Settings(database_timeout_seconds=1)
ANSWER_SECONDS = answer_seconds(SETTINGS)


class Asked(NamedTuple):
    what: str
    until: float


class Open:
    """A listener at work; what was done is in `done`, and what is in `locked` cannot be done."""

    def __init__(self, path):
        self.path = path
        self.done: list[str] = []
        self.tried: list[str] = []
        self.locked: set[str] = set()
        self.callers: list[socket.socket] = []
        self._is_ended = threading.Event()
        self._listener = Listener(
            path, lambda what, until, _: Asked(what, until), self._work, SETTINGS, frozenset({os.geteuid()})
        )
        self._listening = open_socket(path, 0o600)
        self._thread = threading.Thread(target=self._listener.serve, args=(self._listening.__enter__(), self._is_ended))

    def _work(self, requests):
        self.tried += [request.what for request in requests]
        self.done += [request.what for request in requests if request.what not in self.locked]
        return [RowLocked("held") if request.what in self.locked else request.what for request in requests]

    def ask(self, what, asked_seconds_ago=0.0) -> socket.socket:
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        caller.connect(str(self.path))
        caller.settimeout(5)
        caller.send(wire.request(what, time.monotonic() + ANSWER_SECONDS - asked_seconds_ago, ()))
        self.callers.append(caller)
        return caller

    def begin(self) -> None:
        """As a process that hung goes on: all that was asked meanwhile is there."""
        self._thread.start()

    def end(self) -> None:
        self._is_ended.set()
        if self._thread.ident:
            self._thread.join()
        for caller in self.callers:
            caller.close()
        self._listening.__exit__(None, None, None)


@pytest.fixture
def listener(tmp_path):
    listener = Open(tmp_path / "engine")
    yield listener
    listener.end()


def answer(caller) -> list[str]:
    return wire.words(caller.recv(1000))


def test_what_is_older_than_its_answer_is_of_use_is_not_done(listener):
    listener.ask("old", ANSWER_SECONDS + 0.1)
    young = listener.ask("young", 1)
    listener.begin()
    assert answer(young) == ["done", "young"]
    assert answer(listener.ask("last")) == ["done", "last"]
    assert listener.tried == ["young", "last"]


def test_what_its_caller_has_given_up_is_not_done(listener):
    listener.ask("given up", 1).close()
    waiting = listener.ask("waited for", 1)
    listener.begin()
    assert answer(waiting) == ["done", "waited for"]
    assert answer(listener.ask("last")) == ["done", "last"]
    assert listener.tried == ["waited for", "last"]


def test_what_needs_a_locked_row_keeps_no_other_waiting(listener):
    listener.locked.add("locked")
    locked = listener.ask("locked")
    listener.begin()
    for number in range(20):
        began = time.monotonic()
        assert answer(listener.ask(f"other {number}")) == ["done", f"other {number}"]
        assert time.monotonic() - began < 0.5
    listener.locked.clear()
    assert answer(locked) == ["done", "locked"]
    assert listener.done.count("locked") == 1


def test_what_needs_a_locked_row_is_given_up_in_time(listener):
    listener.locked.add("locked")
    locked = listener.ask("locked", ANSWER_SECONDS - 0.3)
    listener.begin()
    locked.settimeout(0.8)
    with pytest.raises(TimeoutError):
        locked.recv(1000)
    listener.locked.clear()
    assert answer(listener.ask("last")) == ["done", "last"]
    assert listener.done == ["last"]
