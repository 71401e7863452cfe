"""Calls that wait at the same time share one statement and one commit.

Every thread of FreeRADIUS puts its request on a list.  One that finds nobody leading leads: it takes
all that wait, has them done together, wakes each with its own result, and hands the lead to one of those
that came meanwhile.  So a call waits for the group before its own and for its own, never longer; the
database works without a pause; and there is no thread beside FreeRADIUS' own.

Where a commit is slow (a disk that is asked for durability by others, too), so many may gather behind a
leader that a second one is worth it; the database then commits both at once.

Nobody is answered before the group's work is committed, because a lane returns only then.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

# So many wait behind a leader before another leads beside it.
ENOUGH_FOR_ANOTHER = 12

# A lane does requests together: it gives a result, or an exception, for each, in order.
Lane = Callable[[list], Sequence]


class Group:
    """Runs requests together on whichever of its lanes is free.

    >>> double = Group([lambda requests: [2 * request for request in requests]])
    >>> double.submit(21)
    42
    """

    def __init__(self, lanes: Sequence[Lane], most: int = 64):
        self._free = list(lanes)
        self._lane_count = len(self._free)
        self._most = most
        self._waiting: list[_Call] = []
        self._guard = Lock()

    def submit(self, request: Any) -> Any:
        """Do one request, with whatever others wait; return its result or raise its exception."""
        call = _Call(request)
        with self._guard:
            is_worth_it = len(self._free) == self._lane_count or len(self._waiting) + 1 >= ENOUGH_FOR_ANOTHER
            lane = self._free.pop() if self._free and is_worth_it else None
            if lane is None:
                self._waiting.append(call)
        if lane is None:
            call.wake.acquire()
            lane = call.lane
        # Woken with a lane to lead on, or with a result.
        if lane is not None:
            self._lead(lane, call)
        if isinstance(call.result, BaseException):
            raise call.result
        return call.result

    def _lead(self, lane: Lane, own: "_Call") -> None:
        with self._guard:
            calls = [own, *self._waiting[: self._most - 1]]
            del self._waiting[: self._most - 1]
        results: Sequence = [RuntimeError("the thread that led this group was interrupted")] * len(calls)
        try:
            done = lane([call.request for call in calls])
            if len(done) != len(calls):
                raise RuntimeError(f"{len(calls)} requests were given {len(done)} results")
            results = done
        except Exception as fault:
            results = [fault] * len(calls)
        finally:
            # Whatever happens, the lane goes on to the next in line, and all of this group are woken: who is
            # forgotten waits for ever.
            with self._guard:
                successor = self._waiting.pop(0) if self._waiting else None
                if successor is None:
                    self._free.append(lane)
            if successor is not None:
                successor.lane = lane
                successor.wake.release()
            for call, result in zip(calls, results, strict=True):
                call.result = result
                if call is not own:
                    call.wake.release()


class _Call:
    __slots__ = ("request", "result", "lane", "wake")

    def __init__(self, request: Any):
        self.request = request
        self.result: Any = None
        self.lane: Lane | None = None
        self.wake = Lock()
        self.wake.acquire()
