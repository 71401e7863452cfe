"""The runs of the nightly work: archive, reconcile, audit."""

from .rows import Cursor, TupleCursor


def record(cursor: Cursor | TupleCursor, work: str, faults: int = 0) -> None:
    """Record that a run has ended now, and how much it found wrong."""
    cursor.execute(
        "INSERT INTO work_run (work, faults) VALUES (%(work)s, %(faults)s)",
        {"work": work, "faults": min(faults, 2**32 - 1)},
    )


def last_runs(cursor: Cursor) -> dict[str, tuple[float, int]]:
    """By work, the end of its last run (seconds since 1970) and what it found wrong; what never ran is missing."""
    cursor.execute(
        """
        SELECT work_run.work, UNIX_TIMESTAMP(work_run.ended_at) AS ended_at, work_run.faults
          FROM work_run
          JOIN (SELECT MAX(id) AS id FROM work_run GROUP BY work) AS last ON last.id = work_run.id
        """
    )
    return {row["work"]: (float(row["ended_at"]), int(row["faults"])) for row in cursor.fetchall()}
