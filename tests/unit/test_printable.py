"""Text that strangers sent, on a terminal and in a log."""

import ast
import json
import unicodedata
from pathlib import Path

import pytest

from admin.export import csv as export_csv
from admin.shell import output
from freeradius_module.printable import json_escaped, printable

ADMIN = Path(__file__).resolve().parents[2] / "admin"
EVERY_CHARACTER = "".join(chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000)


def test_no_character_that_controls_a_terminal_is_left():
    left = {unicodedata.category(character) for character in printable(EVERY_CHARACTER)}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert (
        printable("Banca São João, 2 h\N{NO-BREAK SPACE}13 min 漢字 é")
        == "Banca São João, 2 h\N{NO-BREAK SPACE}13 min 漢字 é"
    )


@pytest.mark.parametrize(
    "character",
    [
        "\u0085",
        "\u009b",
        "\u061c",
        "\u200e",
        "\u200f",
        *map(chr, range(0x202A, 0x202F)),
        *map(chr, range(0x2066, 0x206A)),
        "\x1b",
        "\u2028",
    ],
)
def test_a_value_and_a_field_of_a_line(character):
    assert character not in output.formatted("device", f"a{character}b")
    assert character not in output._field(f"a{character}b")


def test_json_means_the_same_and_controls_nothing():
    text = json_escaped(json.dumps({"device": EVERY_CHARACTER}, ensure_ascii=False))
    assert json.loads(text) == {"device": EVERY_CHARACTER}
    assert printable(text) == text


def test_commands_print_by_way_of_output():
    """output.py makes texts safe; a command that prints by itself would not."""
    elsewhere = []
    for path in sorted(ADMIN.rglob("*.py")):
        # A shell reads what completion.py prints.
        if path.name in ("output.py", "completion.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "click.echo",
                "print",
                "click.confirm",
                "Console",
            ):
                elsewhere.append(f"{path.name}:{node.lineno}")
    assert elsewhere == []


@pytest.mark.parametrize(
    ("account", "written"),
    [
        ("+5511", "+5511"),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("maria", "maria"),
        ("+55.11-a_b@c", "+55.11-a_b@c"),
    ],
)
def test_a_code_in_a_csv_file_is_altered_only_where_a_spreadsheet_would_run_it(account, written):
    assert export_csv.defused_code(account) == written
