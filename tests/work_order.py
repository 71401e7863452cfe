"""How pytest's workers share the tests: the longest first, so that no worker has a long file when the others are done.

A worker gets a whole file, because its tests may share servers.  The tests of a file in ALONE share nothing and wait for
time-outs, so each of them may run at another worker.
"""

from xdist.scheduler import LoadFileScheduling

ALONE = ("tests/acceptance/test_broken_logins.py", "tests/office_day/test_day.py")
# What takes longest, by the beginning of its path; the rest follows in the order in which pytest collects it.
FIRST = (*ALONE, "tests/acceptance/test_stack.py", "tests/acceptance/", "tests/cluster/", "tests/interleaving/")


def place(name: str) -> int:
    """Where a test is in the queue of the workers.

    >>> place("tests/acceptance/test_stack.py::test_a") < place("tests/cluster/test_b.py::test_b") < place("tests/unit/c.py::d")
    True
    """
    return next((number for number, begin in enumerate(FIRST) if name.startswith(begin)), len(FIRST))


class LongTestsFirst(LoadFileScheduling):
    """Hands the files out in the order of the collection; xdist's own begins with those that have the most tests."""

    def __init__(self, config, log=None):
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        """What one worker gets: a file or, of the files in ALONE, a test."""
        return nodeid if nodeid.startswith(ALONE) else super()._split_scope(nodeid)
