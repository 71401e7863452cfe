"""How long things take, and how large they are: counts by size, for the engine's metrics.

Counting is always on, so it costs a few tenths of a microsecond and needs no library; `prepaid engine` publishes the counts
(admin/metrics/engine.py).  One thread counts in a histogram; others may read it at any time.
"""

from bisect import bisect_left
from collections.abc import Sequence

# Seconds of a statement: from a tenth of what a good disk needs for a commit to the longest time-out.
SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Requests of a group.
REQUESTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """Counts values by their upper bound.

    >>> sizes = Histogram(REQUESTS)
    >>> for size in (1, 3, 4, 1000):
    ...     sizes.observe(size)
    >>> sizes.counts, sizes.total
    ([1, 0, 2, 0, 0, 0, 0, 0, 0, 1], 1008.0)

    `cumulative` has the counts as Prometheus wants them, each with all smaller values:

    >>> sizes.cumulative()
    [('1.0', 1), ('2.0', 1), ('4.0', 3), ('8.0', 3), ('16.0', 3), ('32.0', 3), ('64.0', 3), ('128.0', 3), ('256.0', 3), ('+Inf', 4)]
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]):
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: "Histogram") -> None:
        """Add the counts of a histogram with the same bounds.

        >>> both, one = Histogram(SECONDS), Histogram(SECONDS)
        >>> one.observe(0.1)
        >>> both.add(one)
        >>> both.counts == one.counts, both.total
        (True, 0.1)
        """
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[str, int]]:
        found, sum_of_counts = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            sum_of_counts += count
            found.append((bound, sum_of_counts))
        return found
