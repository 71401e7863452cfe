"""Calls that wait at the same time share one statement and one commit.

Every thread of FreeRADIUS puts its request on a list.  The first thread that finds no leader becomes the leader: it takes
all requests that wait, has them done together, wakes each thread with its own result, and hands the lead to a thread
that came meanwhile.  So a call waits for at most two groups, the one before its own and its own; the database works
without a pause; and no thread is needed beside FreeRADIUS' own.

There is one leader at a time, even where a commit is slow: two leaders would halve the groups, and each would wait for
the other's flush besides its own.

No call is answered before its group is committed, because `run` returns only then.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Generic, TypeVar

Request = TypeVar("Request")


class Group(Generic[Request]):
    """Does requests together: `run(requests)` returns a result, or an exception, for each, in their order.

    `most` is how many requests one run takes.
    """

    def __init__(self, run: Callable[[list[Request]], Sequence[Any]], most: int = 64):
        self._run = run
        self._most = most
        self._waiting: list[_Call] = []
        self._has_leader = False
        self._guard = Lock()

    def submit(self, request: Request) -> Any:
        """Do one request together with those that wait; return its result or raise its exception."""
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
        interrupted = RuntimeError("the thread that led this group was interrupted")
        results: Sequence[Any] = [interrupted] * len(calls)
        try:
            done = self._run([call.request for call in calls])
            if len(done) != len(calls):
                raise RuntimeError(f"{len(calls)} requests were given {len(done)} results")
            results = done
        except Exception as fault:
            results = [fault] * len(calls)
        finally:
            # The next leader and all of this group must be woken: a caller that is not woken would block forever.
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
