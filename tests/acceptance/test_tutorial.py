"""Each command of the tutorials runs on a stack of its own, and prints what the page shows: see tests/tutorial.py."""

import os
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK
from tests.tutorial import Reader, form, shortened, steps_of

PAGES = {"en": "docs/tutorial.md", "pt_BR": "docs/pt/tutorial.md"}


@pytest.fixture
def new_stack(installed, open_folder):
    """A stack on which nothing was ever sold, so that the first card and the first batch have the numbers of the page."""
    stacks = []

    def start(language: str) -> Stack:
        auth_port, acct_port = free_ports(2)
        stack = Stack(
            open_folder / "stack",
            auth_port=auth_port,
            acct_port=acct_port,
            durability=QUICK,
            freeradius_options={"reject_delay": "0"},
            settings={"lang": language},
            dies_with_parent=True,
        )
        stacks.append(stack)
        stack.up()
        return stack

    yield start
    for stack in stacks:
        stack.down()


@pytest.mark.parametrize("language", PAGES)
def test_each_command_of_the_tutorial_prints_what_it_shows(new_stack, tmp_path, language):
    page = CHECKOUT / PAGES[language]
    lines = page.read_text(encoding="utf-8").splitlines()
    reader = Reader(new_stack(language), tmp_path, language)
    written: list[str] = []
    copied = 0
    for step in steps_of(lines):
        shown = [line.removeprefix("    ") for line in lines[step.first : step.last]]
        printed = reader.type(step.command)
        reader.learn(shown, printed)
        if os.environ.get("TUTORIAL") == "write":
            written += lines[copied : step.first] + [
                f"    {line}" for line in shortened(reader.as_on_the_page(printed))
            ]
            copied = step.last
        else:
            assert form(reader.as_on_the_page(printed)) == form(shown), f"$ {step.command}"
    if written:
        write(page, written + lines[copied:])


def write(page: Path, lines: list[str]) -> None:
    page.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
