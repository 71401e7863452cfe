"""Run the sides against each other in alternating rounds, print a table, write var/bench.json.

    python -m tests.bench                                   10,000 and 1,000,000 cards, 0 and 30 sessions each
    python -m tests.bench --short                           a minute or two, for every change
    python -m tests.bench --only peer,ours --cards 10000 --history 0

In each round every side does the same work, one after the other; the order rotates from round to round, so that other
load on the machine affects all sides.  The figures are medians of the rounds.

The closed loop gives the highest rate and the processor time a request.  The open loop gives the latencies, at 70 % of the
peer's highest rate for all sides: see load.py.
"""

import argparse
import contextlib
import functools
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import ceilings, load, measure, packet, peer, servers, table, traffic
from .cards import Deck
from .ours import Ours

SHARE_OF_HIGHEST_RATE = 0.7
WINDOW = 64
WARM_UP_SHARE = 0.25

SIDES = {
    "ours": functools.partial(Ours, "ours"),
    "ours_alone": functools.partial(Ours, "ours_alone"),
    "ours_queued": functools.partial(Ours, "ours_queued"),
    "peer": functools.partial(peer.Peer, site="stock"),
    "peer_lean": functools.partial(peer.Peer, site="lean"),
    "ceiling_files": ceilings.Files,
    "ceiling_python": ceilings.Python,
}

FULL = {"cards": [10_000, 1_000_000], "history": [0, 30], "rounds": 5, "requests": 20_000, "only": ",".join(SIDES)}
SHORT = {
    "cards": [4_000],
    "history": [0],
    "rounds": 3,
    "requests": 4_000,
    "only": "ours,ours_queued,peer,ceiling_files,ceiling_python",
}

# kind of row -> the side that is measured, the side it is measured against, the traffic of both
KINDS = {
    "login": ("ours", "peer", "login"),
    "accounting": ("ours", "peer", "accounting"),
    "accounting_queued": ("ours_queued", "peer", "accounting"),
    "mixed": ("ours", "peer", "mixed"),
    "ceiling_python": ("ceiling_python", "peer", "login"),
    "ceiling_files": ("ceiling_files", "peer", "login"),
}
# Only in the printed table: our side without an engine, and the lean peer.
BESIDE = [(side, kind) for side in ("ours_alone", "peer_lean") for kind in traffic.KINDS]


def main():
    options = parse()
    if options.merge:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, table.merged(read_json(options.output), read_json(options.merge)))
        return
    rows, rounds = [], []
    for cards in options.cards:
        for history in options.history:
            rounds_here = bench(options, cards, history)
            rows += table.rows(rounds_here, KINDS, about(cards, history))
            rounds += [{**about(cards, history), **asdict(one)} for one in rounds_here]
            print(table.text(rounds_here, KINDS, f"{cards:,} cards, {history} earlier sessions a card"), flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, table.merged(read_json(options.output), rows))
    write_json(options.output.with_name("bench-rounds.json"), rounds)
    print(f"Rows are in {options.output}, every single round in bench-rounds.json beside it.")


def parse():
    def numbers(told):
        return [int(one) for one in told.split(",")]

    var = Path(os.environ.get("VAR", "var")).resolve()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="one small size, three short rounds")
    parser.add_argument("--cards", type=numbers, help="how many cards: 10000,1000000")
    parser.add_argument("--history", type=numbers, help="earlier sessions a card: 0,30")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--requests", type=int, help="in one round")
    parser.add_argument("--window", type=int, default=WINDOW, help="open requests in the closed loop")
    parser.add_argument("--threads", type=int, default=64, help="of every radiusd")
    parser.add_argument("--only", metavar="SIDES", help="with commas: ours,peer")
    parser.add_argument("--folder", type=Path, default=var / "bench", help="of the private servers")
    parser.add_argument("--keep", action="store_true", help="use databases that are there, and leave them")
    parser.add_argument("--port", type=int, default=21812, help="the first of the private ports")
    parser.add_argument("--output", type=Path, default=var / "bench.json")
    parser.add_argument(
        "--merge", type=Path, metavar="FILE", help="measure nothing; take over another bench.json's rows"
    )
    options = parser.parse_args()
    for name, value in (SHORT if options.short else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.only = options.only.split(",")
    unknown = set(options.only) - set(SIDES)
    if unknown:
        parser.error(f"there is no side {', '.join(sorted(unknown))}; there are {', '.join(SIDES)}")
    return options


@dataclass
class Round:
    """One side's share of one round."""

    side: str
    traffic: str
    loop: str
    per_s: float
    radiusd_us: float  # processor time a request
    mariadbd_us: float
    other_us: float  # of what else a side runs, as a charger
    p50_ms: float
    p95_ms: float
    p99_ms: float
    lateness_p99_ms: float  # of the generator
    flush_ms: float  # of the disk, just before
    complaint: str


def bench(options, cards: int, history: int) -> list[Round]:
    """All rounds at one size."""
    with contextlib.ExitStack() as stack:
        sides = {}
        for place, name in enumerate(options.only):
            folder = options.folder / f"{name}-{cards}-{history}"
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            port = options.port + 2 * place
            endpoint = load.Endpoint(port, port + 1)
            side = SIDES[name](folder, endpoint, options.threads)
            stack.callback(side.stop)  # before its start: half a side is stopped, too
            tell(f"Starting {name} with {cards:,} cards and {history} earlier sessions a card")
            side.start(cards, history)
            sides[name] = Player(side, cards, options)
        plan = wanted(sides)
        for name, kind in plan:
            tell(f"Warming up {name}, {kind}")
            sides[name].play(kind, share=WARM_UP_SHARE, window=options.window)
        rounds = []
        for number in range(options.rounds):
            for name, kind in turned(plan, number):
                let_rest(sides)
                rounds.append(sides[name].play(kind, window=options.window))
                tell(f"Round {number + 1} of {options.rounds}, closed loop: {told(rounds[-1])}")
        highest = {kind: table.median_of(rounds, "peer", kind, "closed", "per_s") for kind in traffic.KINDS}
        for number in range(options.rounds):
            for name, kind in turned(plan, number):
                if highest[kind]:
                    let_rest(sides)
                    rounds.append(sides[name].play(kind, rate_per_s=SHARE_OF_HIGHEST_RATE * highest[kind]))
                    tell(f"Round {number + 1} of {options.rounds}, open loop: {told(rounds[-1])}")
        return rounds


def let_rest(sides) -> None:
    """Wait until all servers are idle, because one that still writes its pages to the disk slows another's commits."""
    measure.settle([pid for player in sides.values() for pids in player.side.pids().values() for pid in pids])


def wanted(sides) -> list[tuple[str, str]]:
    """Which side does which traffic, each once."""
    return list(
        dict.fromkeys((name, kind) for ours, other, kind in KINDS.values() for name in (ours, other) if name in sides)
    ) + [(name, kind) for name, kind in BESIDE if name in sides]


def turned(plan: list, number: int) -> list:
    """The plan, starting at another place each round.

    >>> turned(["a", "b", "c"], 4)
    ['b', 'c', 'a']
    """
    place = number % len(plan)
    return plan[place:] + plan[:place]


class Player:
    """Sends traffic to one side and measures its cost."""

    def __init__(self, side, cards: int, options):
        self.side = side
        self.deck = Deck(cards, seed=1)
        self.requests = options.requests
        self.secret = packet.Secret(side.endpoint.secret)
        self.plays = 0
        # Acct-Session-Id of this run never meets those of another, should the database be kept.
        self.run = f"{int(time.time()):08x}"

    def play(self, kind: str, share: float = 1.0, window=None, rate_per_s=None) -> Round:
        """One round of this traffic."""
        chain, before, measured = traffic.KINDS[kind]
        count = max(1, int(self.requests * share) // len(chain))
        self.plays += 1
        run = f"{self.run}{self.plays:04x}"
        sessions = traffic.sessions(kind, self.deck.deal(count), self.secret, run, time.time())
        order = traffic.interleave(count, measured)
        pids = self.side.pids()
        every_pid = [pid for group in pids.values() for pid in group]

        self._play_unmeasured(sessions, before)
        flush_ms = measure.flush_ms(self.side.folder)
        measure.settle(every_pid)
        used_before = {name: measure.cpu_s(group) for name, group in pids.items()}
        result = load.run(self.side.endpoint, sessions, order, window=window, rate_per_s=rate_per_s)
        drained_from = time.perf_counter()
        self.side.drain()
        # Accounting that is acknowledged and not yet charged is unfinished work, so the wait for it counts.
        elapsed_s = result.elapsed_s + time.perf_counter() - drained_from
        measure.settle(every_pid)
        used_us = {name: (measure.cpu_s(group) - used_before[name]) * 1e6 / len(order) for name, group in pids.items()}
        self._play_unmeasured(sessions, len(chain) - before - measured)

        p50, p95, p99 = (1000 * measure.percentile(result.latencies_s, rank) for rank in (50, 95, 99))
        return Round(
            side=self.side.name,
            traffic=kind,
            loop="closed" if window else "open",
            per_s=result.answered / elapsed_s,
            radiusd_us=used_us.pop("radiusd"),
            mariadbd_us=used_us.pop("mariadbd"),
            other_us=sum(used_us.values()),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            lateness_p99_ms=1000 * measure.percentile(result.lateness_s, 99),
            flush_ms=flush_ms,
            complaint=result.complaint,
        )

    def _play_unmeasured(self, sessions, steps: int):
        """The next steps of every session, which must all succeed, because the measured steps need them."""
        if not steps:
            return
        result = load.run(self.side.endpoint, sessions, traffic.interleave(len(sessions), steps), window=WINDOW)
        if result.accepts + result.responses != len(sessions) * steps:
            raise RuntimeError(
                f"{self.side.name} answered {result.accepts + result.responses} of {len(sessions) * steps} packets as "
                f"hoped ({result.complaint}), and what is measured rests on them. See the logs in the bench's folder."
            )


def about(cards: int, history: int) -> dict:
    """What every row says of where it was measured."""
    system = platform.freedesktop_os_release()
    return {
        "platform": f"{system['ID']} {system['VERSION_ID']}",
        "freeradius": servers.freeradius_version(),
        "cards": cards,
        "history": history,
    }


def told(one: Round) -> str:
    latency = f", p99 {one.p99_ms:.1f} ms" if one.loop == "open" else ""
    complaint = f" ({one.complaint})" if one.complaint else ""
    return f"{one.side} {one.traffic} {one.per_s:,.0f}/s{latency}{complaint}"


def tell(sentence: str):
    print(sentence, file=sys.stderr, flush=True)


def read_json(path: Path) -> list:
    return json.loads(path.read_text()) if path.exists() else []


def write_json(path: Path, rows: list):
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
