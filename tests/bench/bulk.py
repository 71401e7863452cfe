"""A million cards generated and exported, compared with the database's own bulk statements on the same rows.

    python -m tests.bench.bulk                    1,000,000 cards, three rounds
    python -m tests.bench.bulk --cards 100000

`prepaid generate` draws and seals a PIN for each card; LOAD DATA reads sealed PINs from a file into an empty table with
the same indexes and without foreign keys.  `prepaid export` opens each PIN; SELECT INTO OUTFILE writes the same rows
sealed.  Both sides commit to the same server.  Memory is the highest of the command, from the kernel.

It also measures `prepaid import` and the other formats of `prepaid export`, without a comparison; a PDF has a tenth of the
cards, which is some ten thousand pages.
"""

import argparse
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.stack import Stack
from tests.stack.stack import DATABASE, PREPAID

from . import measure, servers

PRODUCT = "bench"
COLUMNS = "serial, pin_sealed, key_number, status, batch_id, product_id"
# The other export formats, each with one in so many of the cards.
FORMS = {"delimited": 1, "xlsx": 1, "pdf": 10}
PAIRS = (("generate", "load_data"), ("export", "into_outfile"))
ROWS_OUT = "SELECT {columns} FROM card WHERE batch_id = %s INTO OUTFILE %s"
EXPORT_OUT = """
    SELECT card.serial, card.pin_sealed, product.name, product.price_cents, card.batch_id
      FROM card
      JOIN product ON product.id = card.product_id
     WHERE card.batch_id = %s
       AND card.status = 'created'
      INTO OUTFILE %s
"""


def main():
    options = parse()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    stack = Stack(
        options.folder,
        auth_port=0,
        acct_port=0,
        mariadb_options=servers.database_options(options.folder),
        dies_with_parent=True,
    )
    try:
        stack.start_database()
        stack.prepaid("product", "add", PRODUCT, "--kind", "internet", "--time", "10h", "--price", "10.00")
        rounds = [one_round(stack, options.folder, options.cards) for _number in range(options.rounds)]
    finally:
        stack.down()
    shutil.rmtree(options.folder)
    row = medians(rounds, options.cards)
    tell(row)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps([row]) + "\n")


def parse():
    var = Path(os.environ.get("VAR", "var")).resolve()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bulk", description=__doc__.partition("\n")[0])
    parser.add_argument("--cards", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=var / "bench-bulk", help="of the private database")
    parser.add_argument("--output", type=Path, default=var / "bench-bulk.json")
    return parser.parse_args()


def one_round(stack: Stack, folder: Path, cards: int) -> dict:
    """The seconds of our commands and of the database's statements, in turn; and the memory of our commands."""
    generated_s, generate_octets, said = command(
        stack,
        "generate",
        "--product",
        PRODUCT,
        "--count",
        str(cards),
        "--serial-digits",
        "9",
        "--pin-length",
        "12",
        "--json",
    )
    batch = json.loads(said)["batch"]
    with stack.mariadb.connect(DATABASE, local_infile=True) as connection, connection.cursor() as cursor:
        rows = folder / f"rows-{batch}"
        cursor.execute(ROWS_OUT.format(columns=COLUMNS), [batch, str(rows)])
        cursor.execute("CREATE TABLE card_copy LIKE card")
        loaded_s = statement(cursor, f"LOAD DATA INFILE %s INTO TABLE card_copy ({COLUMNS})", [str(rows)])
        cursor.execute("DROP TABLE card_copy")
        out = folder / f"out-{batch}"
        written_s = statement(cursor, EXPORT_OUT, [batch, str(out)])
    exported_s, export_octets, _said = command(
        stack, "export", "--batch", str(batch), "--output", str(folder / f"cards-{batch}.csv")
    )
    imported_s, import_octets = imported(stack, folder / f"old-{batch}.csv", cards, batch)
    found = {
        "generate_s": generated_s,
        "load_data_s": loaded_s,
        "export_s": exported_s,
        "into_outfile_s": written_s,
        "generate_octets": generate_octets,
        "export_octets": export_octets,
        "import_s": imported_s,
        "import_octets": import_octets,
    }
    for form, share in FORMS.items():
        some = batch if share == 1 else part(stack, cards // share)
        found[f"{form}_s"], found[f"{form}_octets"], _said = command(
            stack,
            "export",
            "--batch",
            str(some),
            "--format",
            form,
            "--again",
            "--reason",
            "bench",
            "--output",
            str(folder / f"cards-{batch}.{form}"),
        )
    for file in folder.glob(f"*-{batch}*"):
        file.unlink()
    return found


def imported(stack: Stack, path: Path, cards: int, number: int) -> tuple[float, int]:
    with path.open("w", encoding="ascii") as file:
        file.write("serial,pin\n")
        file.writelines(f"K{number:03}{card:09},{card * 7_918_283 % 10**10:010}\n" for card in range(cards))
    seconds, octets, _said = command(stack, "import", str(path), "--product", PRODUCT, "--json")
    return seconds, octets


def part(stack: Stack, cards: int) -> int:
    """Generate a batch; returns its number."""
    return stack.prepaid_json(
        "generate", "--product", PRODUCT, "--count", str(cards), "--serial-digits", "9", "--pin-length", "12"
    )["batch"]


def command(stack: Stack, *arguments: str) -> tuple[float, int, str]:
    """Run the office's command; returns its seconds, the octets of its highest memory, and its output."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [str(PREPAID), "--config", str(stack.option_file), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    said = child.stdout.read()
    _pid, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(
            f"'prepaid {' '.join(arguments)}' failed with exit status {child.returncode}; see its output above."
        )
    return time.perf_counter() - began, used.ru_maxrss * 1024, said


def statement(cursor, sql: str, parameters: list) -> float:
    began = time.perf_counter()
    cursor.execute(sql, parameters)
    return time.perf_counter() - began


def medians(rounds: list[dict], cards: int) -> dict:
    """One row: medians of the seconds, the median of the rounds' ratios, and the highest memory.

    >>> medians([{"generate_s": 6, "load_data_s": 3, "export_s": 4, "into_outfile_s": 2,
    ...           "generate_octets": 50_000_000, "export_octets": 40_000_000}], 10)["generate_ratio"]
    2.0
    """
    row = {"cards": cards}
    for name in rounds[0]:
        if name.endswith("_s"):
            row[name] = round(measure.median([one[name] for one in rounds]), 1)
        else:
            row[name.replace("_octets", "_mb")] = round(max(one[name] for one in rounds) / 1e6)
    for ours, theirs in PAIRS:
        row[f"{ours}_ratio"] = round(measure.median([one[f"{ours}_s"] / one[f"{theirs}_s"] for one in rounds]), 2)
    return row


def tell(row: dict):
    print(f"{row['cards']:,} cards")
    for ours, theirs in PAIRS:
        print(
            f"  prepaid {ours:<9}{row[f'{ours}_s']:>7.1f} s, {row[f'{ours}_mb']} MB   "
            f"{theirs.replace('_', ' ').upper():<13}{row[f'{theirs}_s']:>7.1f} s   ratio {row[f'{ours}_ratio']}"
        )
    for name, share in {"import": 1, **FORMS}.items():
        some = row["cards"] // share
        print(
            f"  {name:<17}{row[f'{name}_s']:>7.1f} s, {row[f'{name}_mb']} MB   {some:,} cards, "
            f"{some / row[f'{name}_s']:,.0f} a second"
        )


if __name__ == "__main__":
    main()
