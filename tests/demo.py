"""One card's life, from the print shop to the last second, on the running private stack: `make demo`.

Every line that starts with $ is a command that ran, and that you can run yourself; radclient is the NAS.  The demo
checks each answer, and fails if the product does something else than the text says.
"""

import json
import os
import re
import shlex
import subprocess
import sys

from tests.stack.__main__ import stack_of_environment
from tests.stack.stack import PREPAID, SECRET, Stack

PRODUCT = "10 minutes"
PARTNER = "Banca do Norte"


class Unexpected(Exception):
    """The product did something else than the demo says."""


def main(stack: Stack | None = None, stop_with: str = "make down") -> int:
    demo = Demo(stack or stack_of_environment(), stop_with)
    try:
        demo.play()
    except Unexpected as error:
        print(f"\nmake demo: {error}", file=sys.stderr)
        return 1
    return 0


class Demo:
    def __init__(self, stack: Stack, stop_with: str):
        self.stack = stack
        self.stop_with = stop_with
        self.steps = 0

    def play(self) -> None:
        say(
            "A prepaid card's life. Lines that start with $ are commands; you can type them too, after\n"
            f"    export PREPAID_CONFIG={self.stack.option_file} PATH={PREPAID.parent}:$PATH"
        )
        self.open_the_shop()
        card = self.make_cards()
        self.log_in_too_early(card)
        self.deliver()
        self.go_online(card)
        self.use_the_rest(card)
        self.look_back(card)
        say(
            "That was a card's life. The stack stays up: try your own products and logins.\n"
            f"'prepaid --help' lists the commands, '{self.stop_with}' stops everything."
        )

    def open_the_shop(self) -> None:
        self.step("The office says what it sells: ten minutes online, to be used in as many sessions as one likes.")
        if not self.has("product", PRODUCT):
            self.prepaid("product", "add", PRODUCT, "--kind", "internet", "--time", "10m", "--price", "2.00")
        self.prepaid("product", "list")

        self.step("A partner is who sells the cards over the counter.")
        if not self.has("partner", PARTNER):
            self.prepaid("partner", "add", PARTNER, "--commission", "12.5")
        self.prepaid("partner", "list")

    def make_cards(self) -> dict:
        self.step("Three cards are generated. They are in stock: status 'created', good for nothing yet.")
        self.prepaid("generate", "--product", PRODUCT, "--count", 3)
        self.batch = max(row["batch"] for row in self.quietly("list", "--product", PRODUCT))
        self.prepaid("list", "--batch", self.batch)

        self.step("The print shop gets a file with serials and PINs. Only here do the PINs leave the database.")
        folder = self.stack.folder / "demo"
        folder.mkdir(exist_ok=True)
        path = folder / f"batch-{self.batch}.csv"
        path.unlink(missing_ok=True)
        self.prepaid("export", "--batch", self.batch, "--format", "csv", "--fields", "serial,pin", "--output", path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        show(["cat", str(path)], "\n".join(lines))
        serial, pin = lines[1].split(",")
        return {"serial": serial, "pin": pin}

    def log_in_too_early(self, card: dict) -> None:
        self.step("Somebody who has seen the file tries a card before it was sold. The card is not delivered: refused.")
        self.expect("Access-Reject", self.log_in(card))

    def deliver(self) -> None:
        self.step("The cards are handed to the partner. From this moment on they work.")
        self.prepaid("deliver", "--batch", self.batch, "--partner", PARTNER)

    def go_online(self, card: dict) -> None:
        self.step("The customer logs in. He may stay for 600 seconds, and the NAS is told so: Session-Timeout.")
        answer = self.log_in(card)
        self.expect("Session-Timeout = 600", answer)

        self.step("The NAS reports: started, after two minutes, ended after four. Its counters are totals, not rises.")
        session = self.session(card, answer, "demo-1")
        self.report(session, "Start")
        self.report(session, "Interim-Update", seconds=120)
        self.report(session, "Stop", seconds=240)

        self.step("An answer got lost, so the NAS sends its last report again. Nothing is charged twice.")
        self.report(session, "Stop", seconds=240)
        self.expect_seconds(card, used=240, remaining=360)

    def use_the_rest(self, card: dict) -> None:
        self.step("The next login is for what is left: 360 seconds.")
        answer = self.log_in(card)
        self.expect("Session-Timeout = 360", answer)

        self.step("This time the customer stays to the end, and the card is exhausted.")
        session = self.session(card, answer, "demo-2")
        self.report(session, "Start")
        self.report(session, "Stop", seconds=360)
        self.expect_seconds(card, used=600, remaining=0)
        self.expect("Access-Reject", self.log_in(card))

    def look_back(self, card: dict) -> None:
        self.step("Why could this card not log in, and when was it used? Everything is in its history.")
        self.prepaid("track", card["serial"])
        # A narrow terminal wraps lines, so this checks the output without line breaks.
        history = json.dumps(self.quietly("track", card["serial"]))
        for word in ("not_delivered", "exhausted"):
            self.expect(word, history)

    # --- Acts ------------------------------------------------------------------------------------------

    def prepaid(self, *arguments) -> str:
        command = ["prepaid", *map(str, arguments)]
        done = run_on_a_terminal([str(PREPAID), "--config", str(self.stack.option_file), *command[1:]])
        show(command, done.stdout + done.stderr)
        if done.returncode != 0:
            raise Unexpected(f"'{shlex.join(command)}' ended with exit status {done.returncode}; see its output above.")
        return done.stdout

    def quietly(self, *arguments):
        """Run a command without showing it; returns its data."""
        done = run([str(PREPAID), "--config", str(self.stack.option_file), *arguments, "--json"])
        if done.returncode != 0:
            raise Unexpected(f"'prepaid {shlex.join(arguments)} --json' failed; its message: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def has(self, noun: str, name: str) -> bool:
        return any(row["name"] == name for row in self.quietly(noun, "list"))

    def log_in(self, card: dict) -> str:
        return self.radclient(
            "auth",
            self.stack.freeradius.auth_port,
            {
                "User-Name": quoted(card["serial"]),
                "User-Password": quoted(card["pin"]),
                "NAS-IP-Address": "127.0.0.1",
                "Message-Authenticator": "0x00",
            },
        )

    def session(self, card: dict, accept: str, name: str) -> dict:
        """The attributes that a NAS repeats in each report of a session, with the Class of the Accept."""
        session = {
            "User-Name": quoted(card["serial"]),
            "Acct-Session-Id": quoted(f"{name}-{self.batch}"),
            "NAS-IP-Address": "127.0.0.1",
        }
        found = re.search(r"Class = (0x[0-9a-f]+)", accept)
        return session | ({"Class": found[1]} if found else {})

    def report(self, session: dict, status: str, seconds: int | None = None) -> None:
        counters = {} if seconds is None else {"Acct-Session-Time": str(seconds)}
        answer = self.radclient(
            "acct", self.stack.freeradius.acct_port, {"Acct-Status-Type": status, **session, **counters}
        )
        self.expect("Accounting-Response", answer)

    def radclient(self, kind: str, port: int, attributes: dict) -> str:
        pairs = ", ".join(f"{name} = {value}" for name, value in attributes.items())
        command = ["radclient", "-x", "-t", "5", "-r", "3", f"127.0.0.1:{port}", kind, SECRET]
        done = run(command, stdin=pairs)
        received = done.stdout[done.stdout.find("Received ") :] if "Received " in done.stdout else "No answer.\n"
        print(f"    $ echo {shlex.quote(pairs)} | {shlex.join(command)}")
        print(indented(received))
        return received

    # --- What must be true -----------------------------------------------------------------------------

    def step(self, text: str) -> None:
        self.steps += 1
        print(f"\n{self.steps}. {text}\n")

    def expect(self, text: str, answer: str) -> None:
        if text not in answer:
            raise Unexpected(
                f"step {self.steps} should have shown '{text}'. The servers' own words are in "
                f"{self.stack.folder / 'log'}."
            )

    def expect_seconds(self, card: dict, used: int, remaining: int) -> None:
        self.prepaid("show", card["serial"])
        shown = self.quietly("show", card["serial"])
        if (shown["used_seconds"], shown["remaining_seconds"]) != (used, remaining):
            raise Unexpected(f"step {self.steps} should have left {remaining} seconds, {used} used.")


def run(command: list[str], stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=os.environ | {"COLUMNS": "110"})


def run_on_a_terminal(command: list[str]) -> subprocess.CompletedProcess:
    """The command's output as a person sees it: tables, where a program would get plain lines."""
    ours, its = os.openpty()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "110", "TERM": "dumb"},
    ) as process:
        os.close(its)
        with open(ours, "rb", buffering=0) as terminal:
            stdout = b"".join(chunks_of(terminal)).decode().replace("\r\n", "\n")
        stderr = process.stderr.read()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def chunks_of(terminal):
    """What is read from a terminal until its other end is closed, which Linux reports as an error."""
    try:
        while chunk := terminal.read(4096):
            yield chunk
    except OSError:
        return


def show(command: list[str], output: str) -> None:
    print(f"    $ {shlex.join(command)}")
    print(indented(output))


def indented(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.rstrip().splitlines())


def quoted(value: str) -> str:
    return f'"{value}"'


def say(text: str) -> None:
    print(f"\n{text}")


if __name__ == "__main__":
    sys.exit(main())
