"""Calls that wait at the same time share one statement and one commit.

Every thread of FreeRADIUS puts its request on a list.  The first that finds no leader leads: it takes
all that wait, has them done together, wakes each with its own result, and hands the lead to one of those
that came meanwhile.  So a call waits for the group before its own and for its own, never longer; the
database works without a pause; and there is no thread beside FreeRADIUS' own.

One leader at a time, even where a commit is slow: two of them halve the groups, and each waits for the other's
flush besides its own.

Nobody is answered before the group's work is committed, because ``run`` returns only then.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any


class Group:
    """Runs requests together: ``run(requests)`` gives a result, or an exception, for each, in order."""

    def __init__(self, run: Callable[[list], Sequence], most: int = 64):
        self._run = run
        self._most = most
        self._waiting: list[_Call] = []
        self._has_leader = False
        self._guard = Lock()

    def submit(self, request: Any) -> Any:
        """Do one request, with whatever others wait; return its result or raise its exception."""
        call = _Call(request)
        with self._guard:
            self._waiting.append(call)
            leads = not self._has_leader
            self._has_leader = True
        if not leads:
            call.wake.acquire()
        if not call.is_done:
            self._lead()
        if isinstance(call.result, BaseException):
            raise call.result
        return call.result

    def _lead(self) -> None:
        with self._guard:
            calls = self._waiting[: self._most]
            del self._waiting[: self._most]
        results: Sequence = [RuntimeError("the thread that led this group was interrupted")] * len(calls)
        try:
            done = self._run([call.request for call in calls])
            if len(done) != len(calls):
                raise RuntimeError(f"{len(calls)} requests were given {len(done)} results")
            results = done
        except Exception as fault:
            results = [fault] * len(calls)
        finally:
            # Whatever happens, the next in line and all of this group must be woken: who is forgotten waits for ever.
            with self._guard:
                successor = self._waiting[0] if self._waiting else None
                self._has_leader = successor is not None
            if successor:
                successor.wake.release()
            for call, result in zip(calls, results, strict=True):
                call.result = result
                call.is_done = True
                call.wake.release()


class _Call:
    __slots__ = ("request", "result", "is_done", "wake")

    def __init__(self, request: Any):
        self.request = request
        self.result: Any = None
        self.is_done = False
        self.wake = Lock()
        self.wake.acquire()
