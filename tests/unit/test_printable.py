"""Text of strangers on a screen, and in a log."""

import ast
import json
import unicodedata
from pathlib import Path

import pytest

from admin.files import csv
from admin.shell import output
from freeradius_module.printable import json_escaped, printable

ADMIN = Path(__file__).resolve().parents[2] / "admin"
EVERY_SIGN = "".join(chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000)


def test_no_sign_that_steers_a_terminal_is_left():
    left = {unicodedata.category(sign) for sign in printable(EVERY_SIGN)}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert (
        printable("Banca São João, 2 h\N{NO-BREAK SPACE}13 min 漢字 é")
        == "Banca São João, 2 h\N{NO-BREAK SPACE}13 min 漢字 é"
    )


@pytest.mark.parametrize(
    "sign",
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
def test_a_value_and_a_field_of_a_line(sign):
    assert sign not in output.shown("device", f"a{sign}b")
    assert sign not in output._field(f"a{sign}b")


def test_json_means_the_same_and_steers_nothing():
    text = json_escaped(json.dumps({"device": EVERY_SIGN}, ensure_ascii=False))
    assert json.loads(text) == {"device": EVERY_SIGN}
    assert printable(text) == text


def test_commands_print_by_way_of_output():
    """So that nobody has to remember."""
    elsewhere = []
    for path in sorted(ADMIN.rglob("*.py")):
        if path.name in (
            "output.py",
            "messages.py",
            "reference.py",
            "completion.py",
        ):  # The last three are for makers and shells.
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
    assert csv.defused_code(account) == written
