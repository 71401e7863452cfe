"""The capacity of a machine, calculated from its measured rates: the formulas of docs/capacity.md.

python -m tests.bench.capacity                            from var/bench.json of this machine
python -m tests.bench.capacity --sessions 5000000         also the number of machines for so many sessions
"""

import argparse
import json
import math
import os
from pathlib import Path
from typing import NamedTuple

INTERIM_S = 300
SESSION_S = 3600  # a mean session; shorter ones cost more logins
# A fully loaded server answers later and later, so half of its capacity is left for bursts and for the office.
SHARE = 0.5


class Rates(NamedTuple):
    """The highest measured rates, per second."""

    logins: float
    accounting: float


def seconds_a_session(rates: Rates, interim_s: float = INTERIM_S, session_s: float = SESSION_S) -> float:
    """The share of a machine that one open session needs, for its interims, login, Start and Stop.

    >>> round(1 / seconds_a_session(Rates(logins=5_000, accounting=6_000)))
    1421053
    """
    return (1 / interim_s + 2 / session_s) / rates.accounting + 1 / session_s / rates.logins


def sessions_carried(rates: Rates, share: float = SHARE, **times) -> int:
    """How many sessions may be open at the same time.

    >>> sessions_carried(Rates(logins=5_000, accounting=6_000))
    710526
    """
    return int(share / seconds_a_session(rates, **times))


def all_back_s(sessions: int, rates: Rates) -> float:
    """The seconds until all sessions are open again after a power cut, with a login and a Start for each.

    >>> all_back_s(300_000, Rates(logins=5_000, accounting=6_000))
    110.0
    """
    return sessions * (1 / rates.logins + 1 / rates.accounting)


def machines(sessions: int, rates: Rates) -> int:
    """How many machines like this one are needed, each with its part of the cards.

    >>> machines(20_000_000, Rates(logins=5_000, accounting=6_000))
    29
    """
    return math.ceil(sessions / sessions_carried(rates))


def busy_instances(threads: int, instances: int) -> float:
    """How many instances are busy at a time if so many threads each choose one at random and wait if it is busy.

    In a closed network of N callers and M equal stations each station is busy N / (N + M - 1) of the time.

    >>> [round(busy_instances(64, instances), 1) for instances in (32, 64, 96, 192)]
    [21.6, 32.3, 38.6, 48.2]
    """
    return threads * instances / (threads + instances - 1)


def main():
    var = Path(os.environ.get("VAR", "var"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=Path, default=var / "bench.json")
    parser.add_argument("--sessions", type=int)
    options = parser.parse_args()
    rows = json.loads(options.rows.read_text())
    for place in dict.fromkeys((row["platform"], row["freeradius"], row["cards"], row["history"]) for row in rows):
        ours = {
            row["kind"]: row["ours_per_s"]
            for row in rows
            if (row["platform"], row["freeradius"], row["cards"], row["history"]) == place
        }
        for kind in ("accounting", "accounting_queued"):
            if "login" in ours and kind in ours:
                tell(
                    f"FreeRADIUS {place[1]}, {place[2]:,} cards with {place[3]} sessions, {kind}",
                    Rates(ours["login"], ours[kind]),
                    options.sessions,
                )


def tell(title: str, rates: Rates, wanted: int | None):
    carried = sessions_carried(rates)
    print(f"{title}: {rates.logins:,.0f} logins/s, {rates.accounting:,.0f} packets/s")
    print(f"  {carried:,} sessions at a time; all back after a power cut in {all_back_s(carried, rates):,.0f} s")
    if wanted:
        print(f"  {wanted:,} sessions: {machines(wanted, rates)} such machines")


if __name__ == "__main__":
    main()
