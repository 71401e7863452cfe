"""Makes the rows of bench.json and the printed table from the rounds."""

from . import measure

KEYS = ("platform", "freeradius", "cards", "history", "kind")


def rows(rounds: list, kinds: dict, about: dict) -> list[dict]:
    """One row a kind: medians, and the ratio of the two rates.

    In a row of a ceiling, `ours_*` is the ceiling.  What was not measured is null.
    """
    made = []
    for kind, (ours, peer, traffic) in kinds.items():
        if median_of(rounds, ours, traffic, "closed", "per_s") is None:
            continue
        row = {**about, "kind": kind}
        for prefix, side in (("ours", ours), ("peer", peer)):
            row[f"{prefix}_per_s"] = rounded(median_of(rounds, side, traffic, "closed", "per_s"), 0)
        row["ratio"] = ratio(row["ours_per_s"], row["peer_per_s"])
        for prefix, side in (("ours", ours), ("peer", peer)):
            row[f"{prefix}_p99_ms"] = rounded(median_of(rounds, side, traffic, "open", "p99_ms"), 2)
        for prefix, side in (("ours", ours), ("peer", peer)):
            row[f"{prefix}_cpu_us"] = rounded(cpu_us(rounds, side, traffic), 1)
        made.append(row)
    return made


def merged(old: list[dict], new: list[dict]) -> list[dict]:
    """The old rows and the new ones; a new row replaces one of the same platform, version, size and kind.

    >>> base = {"platform": "debian 12", "freeradius": "3.2.1", "cards": 1, "history": 0}
    >>> merged([{**base, "kind": "login", "ratio": 1}, {**base, "kind": "mixed", "ratio": 1}],
    ...        [{**base, "kind": "login", "ratio": 2}]) == [
    ...        {**base, "kind": "mixed", "ratio": 1}, {**base, "kind": "login", "ratio": 2}]
    True
    """
    again = {tuple(row[key] for key in KEYS) for row in new}
    return [row for row in old if tuple(row[key] for key in KEYS) not in again] + new


def text(rounds: list, kinds: dict, title: str) -> str:
    """The table of one size: rates, latencies and processor time of every side."""
    lines = [
        "",
        f"{title}; a flush of the disk took {flush_told(rounds)}",
        f"{'traffic':<12}{'side':<16}{'per s: median':>14}{'lowest':>9}{'highest':>9}{'ratio':>7}"
        f"{'p50 ms':>9}{'p95':>9}{'p99':>9}{'radiusd µs':>12}{'mariadbd µs':>13}{'other µs':>10}",
    ]
    complaints = []
    for traffic in dict.fromkeys(one[2] for one in kinds.values()):
        for side in dict.fromkeys(one.side for one in rounds if one.traffic == traffic):
            middle, lowest, highest = measure.summary(values(rounds, side, traffic, "closed", "per_s"))
            against = ratio(middle, median_of(rounds, "peer", traffic, "closed", "per_s"))
            cells = [
                f"{traffic:<12}{side:<16}{middle:>14,.0f}{lowest:>9,.0f}{highest:>9,.0f}",
                f"{against:>7.2f}" if against and side != "peer" else " " * 7,
            ]
            for name in ("p50_ms", "p95_ms", "p99_ms"):
                latency = median_of(rounds, side, traffic, "open", name)
                cells.append(f"{latency:>9.2f}" if latency is not None else f"{'-':>9}")
            for name, width in (("radiusd_us", 12), ("mariadbd_us", 13), ("other_us", 10)):
                cells.append(f"{median_of(rounds, side, traffic, 'closed', name):>{width}.0f}")
            lines.append("".join(cells))
            complaints += [
                f"  {side}, {traffic}, {one.loop} loop: {one.complaint}"
                for one in rounds
                if one.side == side and one.traffic == traffic and one.complaint
            ]
    if complaints:
        lines += ["Unexpected answers:", *complaints]
    return "\n".join(lines) + "\n"


def flush_told(rounds: list) -> str:
    if not rounds:
        return "an unknown time"
    middle, lowest, highest = measure.summary([one.flush_ms for one in rounds])
    return f"{middle:.2f} ms ({lowest:.2f} to {highest:.2f})"


def values(rounds: list, side: str, traffic: str, loop: str, name: str) -> list:
    return [getattr(one, name) for one in rounds if (one.side, one.traffic, one.loop) == (side, traffic, loop)]


def median_of(rounds: list, side: str, traffic: str, loop: str, name: str):
    found = values(rounds, side, traffic, loop, name)
    return measure.median(found) if found else None


def cpu_us(rounds: list, side: str, traffic: str):
    """The processor time of all servers of a side."""
    parts = [values(rounds, side, traffic, "closed", name) for name in ("radiusd_us", "mariadbd_us", "other_us")]
    return measure.median([sum(one) for one in zip(*parts, strict=True)]) if parts[0] else None


def rounded(value, digits: int):
    return None if value is None else round(value, digits or None)


def ratio(ours, peer):
    """
    >>> ratio(30, 20), ratio(30, None)
    (1.5, None)
    """
    return round(ours / peer, 2) if ours and peer else None
