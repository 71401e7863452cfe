"""The tutorials: docs/tutorial.md and docs/pt/tutorial.md.  Each command of theirs runs, and prints what the page shows.

A command is an indented line that begins with `$ `; what it prints is below, up to the next command or the end of the
indented block.  Each command runs in a terminal of 110 columns, all of them in one folder.

What differs from one run to the next is compared by its form: days and times, packet numbers, ports and lengths, long
hexadecimal numbers (the page shortens them with "…").  PINs differ too.  A PIN of the page stands for the one that the
run printed in its place, and is replaced by it in later commands.

After a change of the product's output, TUTORIAL=write makes the test write what the commands print into the pages.
"""

import dataclasses
import fcntl
import os
import re
import struct
import subprocess
import termios
from pathlib import Path

from tests.demo import chunks_of
from tests.stack.stack import PREPAID, Stack

# The ports that the pages name: those of `make up`.
AUTH, ACCT = "127.0.0.1:11812", "127.0.0.1:11813"
SIZE = (60, 110)
TIMEOUT_SECONDS = 300

# A PIN, which has ten digits as the product makes it by default.
PIN = re.compile(r"(?<![\w.:-])\d{10}(?![\w.:-])")
FORMS = (
    (re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?|\d\d/\d\d/\d{4}(?: \d\d:\d\d(?::\d\d)?)?"), "DAY"),
    (re.compile(r"0x[0-9a-f]{6,}…?"), "HEXADECIMAL"),
    (re.compile(r"\bId \d+ from [\d.]+:\d+ to [\d.]+:\d+ length \d+"), "Id N"),
    # The time that is left since the first login of the page.
    (re.compile(r"\b29 (days|dias) 2[23] h"), r"29 \1 H h"),
)
SHOWN_HEXADECIMAL = 18


@dataclasses.dataclass
class Step:
    """A command of a page, and the numbers of its lines of output."""

    command: str
    first: int
    last: int


def steps_of(lines: list[str]) -> list[Step]:
    """The commands of a page; the lines of their output are lines[first:last].

    >>> steps_of(["Look:", "", "    $ echo a", "    a", "", "Text", "    $ true", "    $ echo b", "    b"])
    ... # doctest: +NORMALIZE_WHITESPACE
    [Step(command='echo a', first=3, last=4), Step(command='true', first=7, last=7),
     Step(command='echo b', first=8, last=9)]
    """
    steps = []
    for number, line in enumerate(lines):
        if line.startswith("    $ "):
            end = number + 1
            # As in Markdown, an empty line ends the block only if no indented line follows.
            for following in range(end, len(lines)):
                if lines[following].startswith("    $ ") or lines[following][:1].strip():
                    break
                if lines[following]:
                    end = following + 1
            steps.append(Step(line.removeprefix("    $ "), number + 1, end))
    return steps


def terminal_environment(stack: Stack, language: str) -> dict[str, str]:
    return os.environ | {
        "PREPAID_CONFIG": str(stack.option_file),
        "PATH": f"{PREPAID.parent}:{os.environ['PATH']}",
        "LANGUAGE": language,
        "LC_ALL": "C.UTF-8",
        "TZ": "America/Sao_Paulo",
        "PAGER": "cat",
    }


class Reader:
    """Somebody who types the commands of a page on a stack of their own."""

    def __init__(self, stack: Stack, folder: Path, language: str):
        self.stack = stack
        self.folder = folder
        # The page's PIN -> that of this run.
        self.pins: dict[str, str] = {}
        self.environment = terminal_environment(stack, language) | {"TERM": "dumb"}

    def type(self, command: str) -> list[str]:
        """Run a command of the page, and return the lines that it prints."""
        for pages, ours in self.pins.items():
            command = command.replace(pages, ours)
        command = command.replace(AUTH, f"127.0.0.1:{self.stack.freeradius.auth_port}")
        command = command.replace(ACCT, f"127.0.0.1:{self.stack.freeradius.acct_port}")
        printed = run_in_a_terminal(command, self.folder, self.environment)
        return [line.rstrip() for line in printed.replace("\t", "        ").strip("\n").rstrip().splitlines()]

    def learn(self, shown: list[str], printed: list[str]) -> None:
        """Pair the PINs of the page with those of this run."""
        for pages, ours in zip(PIN.findall("\n".join(shown)), PIN.findall("\n".join(printed)), strict=False):
            self.pins.setdefault(pages, ours)

    def as_on_the_page(self, printed: list[str]) -> list[str]:
        text = "\n".join(printed)
        for pages, ours in self.pins.items():
            text = text.replace(ours, pages)
        text = text.replace(f"127.0.0.1:{self.stack.freeradius.auth_port}", AUTH)
        return text.replace(f"127.0.0.1:{self.stack.freeradius.acct_port}", ACCT).splitlines()


def run_in_a_terminal(command: str, folder: Path, environment: dict[str, str], size: tuple[int, int] = SIZE) -> str:
    """All that a command prints on a terminal with so many lines and columns."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    # Of a dumb terminal, rich reads both or neither.
    environment = environment | {"LINES": str(size[0]), "COLUMNS": str(size[1])}
    with subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as process:
        os.close(its)
        with open(ours, "rb", buffering=0) as terminal:
            printed = b"".join(chunks_of(terminal)).decode().replace("\r\n", "\n")
        process.wait(TIMEOUT_SECONDS)
    return printed


def form(lines: list[str]) -> list[str]:
    """What can be compared of an output.

    >>> form(["Received Access-Accept Id 7 from 127.0.0.1:1812 to 127.0.0.1:5 length 20", "Class = 0x70726570"])
    ['Received Access-Accept Id N', 'Class = HEXADECIMAL']
    """
    text = "\n".join(line.rstrip() for line in lines)
    for pattern, name in FORMS:
        text = pattern.sub(name, text)
    return text.splitlines()


def shortened(lines: list[str]) -> list[str]:
    """The output as a page shows it."""
    return [re.sub(r"0x[0-9a-f]{6,}…?", lambda found: f"{found[0][:SHOWN_HEXADECIMAL]}…", line) for line in lines]
