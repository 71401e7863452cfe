"""The office's day in both languages, on a terminal of 80 and of 120 columns: each screen is as it was approved.

OFFICE_DAY=write writes the screens anew; read them before you commit them.
"""

import difflib
import os
import re
from pathlib import Path

import pytest

from admin.cli import cli
from tests.cli.test_dry_run import commands
from tests.office_day.day import DAY, ELSEWHERE, Type
from tests.office_day.player import Player
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK

APPROVED = Path(__file__).with_name("approved")
BETWEEN = "\n" + "-" * 40 + "\n"
# What must stay in one piece: a serial, a date, an amount of money, a MAC address.
WHOLE = re.compile(r"\d{9}|#{10,}|(?:R\$ ?)?\d+[.,]\d\d|(?:[0-9A-F]{2}-){5}[0-9A-F]{2}")


@pytest.fixture
def new_stack(installed, open_folder):
    """A stack on which nothing was ever sold, so that the numbers of cards and batches are those of the day."""
    stacks = []

    def start(language: str) -> Stack:
        auth_port, acct_port = free_ports(2)
        stack = Stack(
            open_folder / "stack",
            auth_port=auth_port,
            acct_port=acct_port,
            durability=QUICK,
            freeradius_options={"reject_delay": "0"},
            settings={
                "lang": language,
                "queue": str(open_folder / "queue"),
                "provider": "Provedor do Litoral Ltda",
                "provider_document": "12.345.678/0001-95",
                "helpline": "(11) 4000-1000",
            },
            dies_with_parent=True,
        )
        stacks.append(stack)
        stack.up()
        return stack

    yield start
    for stack in stacks:
        stack.down()


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("language", ["en", "pt_BR"])
def test_each_screen_of_the_day_is_as_it_was_approved(new_stack, tmp_path, language, columns):
    player = Player(new_stack(language), tmp_path, language, columns)
    played = list(player.screens())
    screens = [screen.strip("\n") for _step, _status, screen in played]
    if os.environ.get("OFFICE_DAY") == "write":
        APPROVED.joinpath(f"{language}-{columns}.txt").write_text(BETWEEN.join(screens) + "\n", encoding="utf-8")
    wrong = [f"{step.line}: {status}\n{screen}" for step, status, screen in played if status != step.status]
    assert not wrong, "commands ended with another status:\n" + "\n".join(wrong)
    path = APPROVED / f"{language}-{columns}.txt"
    approved = path.read_text(encoding="utf-8").rstrip("\n").split(BETWEEN)
    different = [
        "\n".join(difflib.unified_diff(was.splitlines(), now.splitlines(), "approved", "now", lineterm=""))
        for was, now in zip(approved, screens, strict=False)
        if was != now
    ]
    assert not different, f"{len(different)} screens differ:\n" + "\n\n".join(different[:20])
    assert len(approved) == len(screens)


def test_every_command_is_in_the_day_or_shown_elsewhere():
    typed = {step.line for step in DAY if isinstance(step, Type)}
    everything = {name for name, _command in commands(cli)}
    shown = {name for name in everything if any(line == name or line.startswith(f"{name} ") for line in typed)}
    assert everything - shown == set(ELSEWHERE)


@pytest.mark.parametrize("path", sorted(APPROVED.glob("*.txt")), ids=lambda path: path.stem)
def test_nothing_is_wider_than_the_terminal_or_broken_in_the_middle(path):
    columns = int(path.stem.rpartition("-")[2])
    for screen in path.read_text(encoding="utf-8").split(BETWEEN):
        lines = screen.splitlines()[1:]
        # JSON and lines for a pipe are for programs.
        if lines and not lines[0].startswith(("{", "[")):
            for line in lines:
                assert len(line) <= columns, f"{path.stem}: {line}"
            for upper, lower in zip(lines, lines[1:], strict=False):
                ends = upper.split(" ")[-1], lower.split(" ")[0]
                joined = "".join(ends) if len(upper) == columns and all(ends) else ""
                assert not WHOLE.fullmatch(joined), f"{path.stem}: {upper}\n{lower}"
