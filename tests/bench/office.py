"""How long the office's reading commands take at N cards and N sessions.

    python -m tests.bench.office                      10,000,000 cards and as many sessions; takes an hour
    python -m tests.bench.office --cards 10000        a minute
    python -m tests.bench.office --folder F --keep    keep the database in F, and use it again

Prints the seconds of the whole command, with Python's start (the first line): the median of three, with warm caches.
`reconcile` and `audit verify` read everything and run once.
"""

import argparse
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.stack import Stack
from tests.stack.stack import DATABASE

from . import measure, office_data
from .bulk import command

DATABASE_OPTIONS = ["--innodb-buffer-pool-size=4G", "--innodb-log-file-size=2G", "--local-infile=1"]
ROUNDS = 3
PAGE = ("--limit", "100")


def main():
    options = parse()
    if not options.keep:
        shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    stack = Stack(options.folder, auth_port=0, acct_port=0, mariadb_options=DATABASE_OPTIONS, dies_with_parent=True)
    try:
        stack.start_database()
        if not (options.folder / "filled").exists():
            with stack.mariadb.connect(DATABASE) as connection:
                office_data.fill(connection, options.cards, lambda sentence: print(sentence, flush=True))
            (options.folder / "filled").touch()
        rows = list(measured(stack, options.cards, options.only))
    finally:
        stack.down()
    if not options.keep:
        shutil.rmtree(options.folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")


def parse():
    var = Path(os.environ.get("VAR", "var")).resolve()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.office", description=__doc__.partition("\n")[0])
    parser.add_argument("--cards", type=int, default=10_000_000, help="a multiple of a hundred")
    parser.add_argument("--only", default="", help="commands that contain this")
    parser.add_argument("--keep", action="store_true", help="leave the database, and use one that was left")
    parser.add_argument("--folder", type=Path, default=var / "bench-office", help="of the private database")
    parser.add_argument("--output", type=Path, default=var / "bench-office.json")
    return parser.parse_args()


def measured(stack: Stack, cards: int, only: str):
    """Each command with its median, printed at once: {cards, command, seconds}."""
    for name, arguments, rounds in commands(cards):
        if only not in name:
            continue
        seconds = [command(stack, *arguments)[0] for _round in range(rounds)]
        row = {"cards": cards, "command": name, "seconds": round(measure.median(seconds), 2)}
        print(f"{row['seconds']:>9.2f} s  {name}", flush=True)
        yield row


def commands(cards: int):
    """What is measured: a name, the arguments, how often."""
    size = cards // office_data.BATCHES
    serial = "B{:09}".format
    used = size * office_data.USED_BATCHES
    today = datetime.now(UTC).date()
    year = ("--from", str(today - timedelta(days=364)), "--to", str(today))
    month = ("--from", str(today - timedelta(days=29)), "--to", str(today))
    months_ago = [str(today - timedelta(days=12 * batches)) for batches in (60, 50)]
    middle = ("--after", serial(cards // 2))
    lists = {
        "list": (),
        "list, from the middle": middle,
        "list, last page": ("--after", serial(cards - 100)),
        "list --status created": ("--status", "created"),
        "list --status created, from 90 %": ("--status", "created", "--after", serial(cards * 9 // 10)),
        "list --status blocked": ("--status", "blocked"),
        "list --status blocked, from 30 %": ("--status", "blocked", "--after", serial(cards * 3 // 10)),
        "list --status exhausted (none)": ("--status", "exhausted"),
        "list of three statuses": ("--status", "blocked", "--status", "created", "--status", "expired"),
        "list --batch": ("--batch", "75"),
        "list --batch, from its middle": ("--batch", "75", "--after", serial(size * 149 // 2)),
        "list --product": ("--product", "Product 10"),
        "list --product, from the middle": ("--product", "Product 10", *middle),
        "list --product --status created": ("--product", "Product 10", "--status", "created"),
        "list --partner": ("--partner", "Partner 8"),
        "list --partner, from its middle": ("--partner", "Partner 8", "--after", serial(size * 57)),
        "list --partner of late cards": ("--partner", f"Partner {office_data.PARTNERS + 1}"),
        "list --partner --status delivered": ("--partner", "Partner 8", "--status", "delivered"),
        "list --range": ("--range", f"{serial(cards // 3)}-{serial(cards * 2 // 3)}"),
        "list --range, from its middle": ("--range", f"{serial(cards // 3)}-{serial(cards * 2 // 3)}", *middle),
        "list --from --to": ("--from", months_ago[0], "--to", months_ago[1]),
        "list --from --to --status blocked": ("--from", months_ago[0], "--to", months_ago[1], "--status", "blocked"),
        "list --to --status delivered": ("--to", months_ago[0], "--status", "delivered"),
    }
    yield "prepaid --version", ("--version",), ROUNDS
    for name, arguments in lists.items():
        yield name, ("list", *arguments, *PAGE, "--json"), ROUNDS
    yield "show", ("show", serial(used - 40), "--json"), ROUNDS
    yield "track", ("track", serial(used - 40), "--json"), ROUNDS
    yield "simulate", ("simulate", serial(used - 40), "--json"), ROUNDS
    yield "batch list", ("batch", "list", "--json"), ROUNDS
    yield "batch show", ("batch", "show", "75", "--json"), ROUNDS
    yield "note list", ("note", "list", "--json"), ROUNDS
    yield "sessions (all that are on)", ("sessions", "--json"), ROUNDS
    yield "sessions --serial", ("sessions", "--serial", serial(used - 40), "--json"), ROUNDS
    yield (
        "sessions --address --at",
        ("sessions", "--address", "10.1.7.9", "--at", f"{today - timedelta(days=100)}T12:00", "--json"),
        ROUNDS,
    )
    yield "report stock", ("report", "stock", "--json"), ROUNDS
    yield "report stock --partner", ("report", "stock", "--partner", "Partner 8", "--json"), ROUNDS
    for kind in ("sales", "usage", "settlement"):
        yield f"report {kind}, a month", ("report", kind, *month, "--json"), ROUNDS
        yield f"report {kind} --partner, a month", ("report", kind, *month, "--partner", "Partner 8", "--json"), ROUNDS
        yield f"report {kind}, a year", ("report", kind, *year, "--json"), ROUNDS
    yield "report sales --by product, a year", ("report", "sales", "--by", "product", *year, "--json"), ROUNDS
    yield "report usage --by product, a year", ("report", "usage", "--by", "product", *year, "--json"), ROUNDS
    yield "reconcile", ("reconcile", "--json"), 1
    yield "audit verify, the first", ("audit", "verify", "--json"), 1
    yield "audit verify", ("audit", "verify", "--json"), 1


if __name__ == "__main__":
    main()
