"""`python -m tests.faults`: runs every campaign in a process of its own, and prints a table at the end.

    --short          some seconds for each instead of minutes
    --only a,b       only these
    --jobs N         so many at once (short: 2, otherwise 1, because the long forms shall load the machine)
    --merge FILE     run nothing, and add the rows of another faults.json, of another Debian

If one fails, the others still run.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .campaign import is_bad, row_line
from .results import Row, keep
from .results import path as results_path

CAMPAIGNS = (
    "kill_database",
    "kill_radiusd",
    "kill_engine",
    "pause_database",
    "restart_all",
    "queue",
    "deadlocks",
    "disk_full",
    "clock_steps",
    "schema_upgrade",
    "key_rotation",
    "overspend",
    "backup",
    "poison",
    "fuzz_module",
    "fuzz_packets",
    "brute_force",
    "guess_rate",
    "timing",
    "kill_office",
    "soak",
)
# Three nodes on one machine; each takes at least a minute.
ON_A_CLUSTER = ("galera_rejoin", "galera_blackout", "galera_pause", "galera_partition")
# With FreeRADIUS; and without it, by a simulated clock.
MODELS = {"model": "model_campaign", "model_in_process": "model_in_process"}
MODEL_SEEDS = (30, 1000)


def main() -> int:
    parser = argparse.ArgumentParser(description="Break things, and count what was lost, doubled or let in.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", help="campaigns by name, with commas; 'model' is one of them")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--merge", type=Path)
    options = parser.parse_args()
    if options.merge:
        keep(json.loads(options.merge.read_text()))
        return 0
    chosen = (
        options.only.split(",") if options.only else [*CAMPAIGNS, *([] if options.short else ON_A_CLUSTER), *MODELS]
    )
    path = results_path()
    began = time.time()
    with ThreadPoolExecutor(options.jobs or (2 if options.short else 1)) as jobs:
        is_well = dict(zip(chosen, jobs.map(lambda name: play(name, options.short), chosen), strict=True))
    ended_badly = [name for name in chosen if not is_well[name]]
    print()
    rows = json.loads(path.read_text()) if path.exists() and path.stat().st_mtime >= began else []
    for found in rows:
        row = Row(**{name: found[name] for name in Row._fields})
        print(f"{'BAD ' if is_bad(row) else '    '}{row_line(row)}")
    if ended_badly:
        print(f"\nNot as it should be: {', '.join(ended_badly)}.")
    return 1 if ended_badly else 0


def play(name: str, short: bool) -> bool:
    """Run one campaign and print its output when it has ended; returns whether it succeeded."""
    if name in MODELS:
        arguments = [f"tests.faults.{MODELS[name]}", "--seeds", str(MODEL_SEEDS[0 if short else 1])]
    else:
        arguments = [f"tests.faults.{name}", *(["--short"] if short else [])]
    done = subprocess.run(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(f"{name}:\n{done.stdout.rstrip()}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
