"""Calls that wait at the same time share one run: each gets its own result, and none waits forever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from freeradius_module.engine.group import Group

# A thread that hangs must fail its test, not the whole run.
PATIENCE_SECONDS = 30


def run_together(group: Group, requests: list) -> list:
    """Submit from one thread each, all at once; the results, or exceptions, in order."""
    barrier = threading.Barrier(len(requests))

    def submit(request):
        barrier.wait(PATIENCE_SECONDS)
        try:
            return group.submit(request)
        except Exception as fault:
            return fault

    pool = ThreadPoolExecutor(len(requests))
    try:
        return [one.result(PATIENCE_SECONDS) for one in [pool.submit(submit, request) for request in requests]]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class FirstHeldBack:
    """A run whose first group is held until `release`, so that all others wait at the same time."""

    def __init__(self, work=lambda requests: [request * 2 for request in requests]):
        self.work = work
        self.is_running = threading.Event()
        self.release = threading.Event()
        self.groups: list[list] = []

    def __call__(self, requests):
        self.groups.append(list(requests))
        if not self.is_running.is_set():
            self.is_running.set()
            assert self.release.wait(PATIENCE_SECONDS)
        return self.work(requests)


def submit_behind_a_held_group(group: Group, run: FirstHeldBack, requests: list) -> list:
    """Results, or exceptions, of `requests`, all of which waited while the first group was held."""
    pool = ThreadPoolExecutor(len(requests) + 1)
    try:
        first = pool.submit(group.submit, 0)
        assert run.is_running.wait(PATIENCE_SECONDS)
        rest = []
        for count, request in enumerate(requests, start=1):
            rest.append(pool.submit(group.submit, request))
            while len(group._waiting) < count:  # so that they wait in this order
                threading.Event().wait(0.001)
        run.release.set()
        first.exception(PATIENCE_SECONDS)
        return [one.exception(PATIENCE_SECONDS) or one.result() for one in rest]
    finally:
        run.release.set()
        pool.shutdown(wait=False, cancel_futures=True)


def test_a_single_call_is_a_group_of_one():
    groups = []
    group = Group(lambda requests: groups.append(requests) or [7])
    assert group.submit("only") == 7
    assert groups == [["only"]]


def test_each_of_many_threads_gets_its_own_result():
    group = Group(lambda requests: [request * 2 for request in requests])
    for _ in range(50):
        assert run_together(group, list(range(32))) == [number * 2 for number in range(32)]


def test_calls_that_wait_at_the_same_time_share_one_run():
    run = FirstHeldBack()
    group = Group(run)
    assert submit_behind_a_held_group(group, run, list(range(1, 33))) == [number * 2 for number in range(1, 33)]
    assert run.groups == [[0], list(range(1, 33))]


def test_a_group_has_a_largest_size_and_the_lead_is_handed_on():
    run = FirstHeldBack()
    group = Group(run, most=10)
    assert submit_behind_a_held_group(group, run, list(range(1, 33))) == [number * 2 for number in range(1, 33)]
    assert [len(requests) for requests in run.groups] == [1, 10, 10, 10, 2]


def test_a_run_that_fails_fails_for_all_of_its_group_and_for_no_other():
    def work(requests):
        if 5 in requests:
            raise LookupError("the database is away")
        return requests

    run = FirstHeldBack(work)
    group = Group(run, most=8)
    results = submit_behind_a_held_group(group, run, list(range(1, 17)))
    assert all(isinstance(result, LookupError) for result in results[:8])
    assert results[8:] == list(range(9, 17))


def test_a_member_that_fails_fails_alone():
    def work(requests):
        return [ValueError(request) if request % 3 == 0 else request for request in requests]

    run = FirstHeldBack(work)
    results = submit_behind_a_held_group(Group(run), run, list(range(1, 33)))
    for number, result in enumerate(results, start=1):
        assert isinstance(result, ValueError) if number % 3 == 0 else result == number


@pytest.mark.parametrize("answer", [[], [1], None, "nothing to count"])
def test_a_run_with_too_few_results_leaves_no_call_waiting(answer):
    run = FirstHeldBack(lambda requests: answer)
    results = submit_behind_a_held_group(Group(run), run, [1, 2, 3])
    assert all(isinstance(result, Exception) for result in results)


def test_a_group_works_on_after_any_failure():
    faults = iter([KeyError("first"), OSError("second")])

    def work(requests):
        fault = next(faults, None)
        if fault:
            raise fault
        return requests

    group = Group(work)
    for expected in (KeyError, OSError):
        with pytest.raises(expected):
            group.submit(1)
    assert group.submit(1) == 1


def test_the_end_of_the_leaders_thread_does_not_block_its_followers():
    """SystemExit is not an Exception: the leader's thread ends by it, and the others get an error."""

    def work(requests):
        if 1 in requests:
            raise SystemExit
        return requests

    run = FirstHeldBack(work)
    group = Group(run, most=3)
    faults = [type(result) for result in submit_behind_a_held_group(group, run, [1, 2, 3, 4])]
    assert faults == [SystemExit, RuntimeError, RuntimeError, int]
    assert group.submit(5) == 5
