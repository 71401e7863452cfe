"""The office in tests: runs `prepaid`, in this process or as a program, and reads its output.

office.json("product", "add", "Hour", "--kind", "internet", "--time", "1h")
result = office.run("delete", "7000000001", "--yes", "--reason", "Misprinted")
assert result.exit_status == 1 and "delivered" in result.stderr
card, = office.sell(1, "--time", "10m")
"""

import csv
import dataclasses
import itertools
import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.stack.stack import PREPAID

# A command may take this long on a busy machine.
TIMEOUT_SECONDS = 300

_number = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Result:
    exit_status: int
    stdout: str
    stderr: str

    def json(self):
        return json.loads(self.stdout)


@dataclasses.dataclass(frozen=True)
class Card:
    serial: str
    pin: str
    batch: int
    product: str


class Office:
    def __init__(self, option_file: Path):
        self.option_file = option_file

    def run(self, *arguments, stdin: str | None = None, env: dict | None = None) -> Result:
        """Run the command in this process: fast, from the checkout, and without a terminal."""
        from click.testing import CliRunner

        from admin.cli import cli

        result = CliRunner().invoke(
            cli, self._command_line(arguments), input=stdin, env=_environment(env), catch_exceptions=False
        )
        return Result(result.exit_code, result.stdout, result.stderr)

    def program(self, *arguments, stdin: str | None = None, env: dict | None = None) -> Result:
        """Run the installed command as a user does; this takes a second more than `run`."""
        done = subprocess.run(
            [str(PREPAID), *self._command_line(arguments)],
            input=stdin or "",
            capture_output=True,
            text=True,
            env=os.environ | _environment(env),
            timeout=TIMEOUT_SECONDS,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def spawn(self, *arguments, env: dict | None = None, stdin=subprocess.DEVNULL, **options) -> subprocess.Popen:
        """Start the installed command and return at once, so that a test can do something meanwhile or interrupt it."""
        return subprocess.Popen(
            [str(PREPAID), *self._command_line(arguments)],
            stdin=stdin,
            text=True,
            env=os.environ | _environment(env),
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )

    def json(self, *arguments, stdin: str | None = None):
        """Run a command with --json; it must succeed.  Returns its data."""
        result = self.run(*arguments, "--json", stdin=stdin)
        assert result.exit_status == 0, f"prepaid {' '.join(map(str, arguments))}: {result.stderr}"
        return result.json()

    def must(self, *arguments, stdin: str | None = None) -> Result:
        """Run a command that must succeed."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_status == 0, f"prepaid {' '.join(map(str, arguments))}: {result.stderr}"
        return result

    def show(self, card: Card | str) -> dict:
        return self.json("show", card.serial if isinstance(card, Card) else card)

    def track(self, card: Card | str) -> list[dict]:
        return self.json("track", card.serial if isinstance(card, Card) else card)

    # --- Cards in the state that a test needs ----------------------------------------------------------

    def product(self, *options: str, kind: str = "internet") -> str:
        """A new product; returns its unique name."""
        name = f"Product {next(_number)}"
        self.must("product", "add", name, "--kind", kind, *options)
        return name

    def partner(self) -> str:
        name = f"Partner {next(_number)}"
        self.must("partner", "add", name)
        return name

    def stock(self, count: int, *product_options: str, product: str | None = None) -> list[Card]:
        """Cards that were generated and exported, still in stock."""
        product = product or self.product(*product_options)
        batch = self.json("generate", "--product", product, "--count", count)["batch"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cards.csv"
            self.must("export", "--batch", batch, "--format", "csv", "--fields", "serial,pin", "--output", path)
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        return [Card(row["serial"], row["pin"], batch, product) for row in rows]

    def sell(
        self, count: int, *product_options: str, product: str | None = None, partner: str | None = None
    ) -> list[Card]:
        """Cards that were delivered to a partner: they work."""
        cards = self.stock(count, *product_options, product=product)
        self.must("deliver", "--batch", cards[0].batch, "--partner", partner or self.partner())
        return cards

    def _command_line(self, arguments) -> list[str]:
        return ["--config", str(self.option_file), *map(str, arguments)]


def _environment(env: dict | None) -> dict:
    """English, whatever the machine's language is, unless the test sets another one."""
    return {"LC_ALL": "C.UTF-8", "LANGUAGE": "", "LANG": "C.UTF-8"} | (env or {})
