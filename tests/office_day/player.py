"""Plays the day (day.py) on a new database, in a terminal, and returns each screen as the person sees it.

A screen is compared with the approved one in approved/LANGUAGE-COLUMNS.txt.  What differs from one run to the next gets a
sign of the same width, so that the columns of a table stay where they are: times, PINs, fingerprints, numbers of the machine.
"""

import os
import pty
import re
import select
import shlex
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

from admin.cli import cli
from freeradius_module.sealing import keyring, pin
from tests.office_day.day import DAY, Type, Use
from tests.radius_client import RadiusClient

LINES = 50
YES = {"en": "y", "pt_BR": "s"}
TIMEOUT_SECONDS = 60
# In this order; each is replaced by its sign, repeated to the same width.
MASKS = (
    (
        re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?|\d\d/\d\d/\d{4}(?: \d\d:\d\d(?::\d\d)?)?"),
        "#",
    ),
    (re.compile(r"(?<![\w.,])\d{10}(?!\w)"), "P"),
    (re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,64}\b"), "h"),
    (re.compile(r"0x[0-9a-f]+"), "h"),
    (re.compile(r"(?<=within )\d+(?= ms)|\d+(?= MB left)"), "n"),
)
LEFT = re.compile(r"\b(?:30|29) (days|dias)(?: 2[23] h)?(?=\.)")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")


class Player:
    """Somebody at a terminal of so many columns, whose language and time zone are these."""

    def __init__(self, stack, folder: Path, language: str, columns: int):
        self.stack = stack
        self.folder = folder
        self.language = language
        self.columns = columns
        self.words = self._files()
        self.radius = RadiusClient(stack.freeradius.auth_port, stack.freeradius.acct_port)
        self.number = 0

    def screens(self) -> Iterator[tuple[Type, int, str]]:
        """Play the whole day: each step that is typed, how it ended, and what it showed."""
        for step in DAY:
            if isinstance(step, Use):
                self._use(step)
                continue
            line = self._filled(step.line)
            status, shown = self.type(line, self._filled(step.keys))
            yield step, status, self.masked(f"$ prepaid {line}\n{shown}")
            self._learn()

    def _files(self) -> dict[str, str]:
        """Files that the day reads, and where it writes."""
        texts = {
            "secret": "segredo-do-roteador\n",
            "missing": "{12}\n",
            "old": "serial;pin;status;used_seconds;expires_at\n"
            "ANTIGO1;48215566;in_use;600;2099-12-31\nANTIGO2;73219054;created;;\n",
            "nat": "public_address,first_port,last_port,private_address,begin_at,end_at\n"
            "203.0.113.9,40000,40999,100.64.0.7,2026-03-02T17:00-03:00,2026-03-02T18:00-03:00\n",
        }
        self.texts = texts
        names = {"secret": "secret.txt", "missing": "missing.txt", "old": "old.csv", "nat": "nat.csv"}
        for name, text in texts.items():
            (self.folder / names[name]).write_text(text, encoding="utf-8")
        return names | {"yes": YES[self.language], "folder": ".", "raddb": str(self.stack.freeradius.raddb)}

    def _learn(self) -> None:
        """The serials and PINs that were generated, in the order of the batches; the day calls them {1}, {2} …"""
        with self.stack.mariadb.connect("prepaid") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT serial FROM card WHERE batch_id <= 3 ORDER BY id")
            for number, (serial,) in enumerate(cursor.fetchall(), start=1):
                self.words[str(number)] = serial
        if "12" in self.words:
            (self.folder / "missing.txt").write_text(self.words["12"] + "\n")

    def _filled(self, text: str) -> str:
        text = re.sub(r"\{pin (\d+)\}", lambda found: self._pin(found[1]), text)
        return re.sub(r"\{(\w+)\}", lambda found: self.words.get(found[1], found[0]), text)

    def _pin(self, number: str) -> str:
        keys = keyring.load(self.stack.key_file)
        with self.stack.mariadb.connect("prepaid") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pin_sealed, key_number FROM card WHERE serial = %s", [self.words[number]])
            ((sealed, key_number),) = cursor.fetchall()
        return pin.open_sealed(sealed, key_number, self.words[number], keys)

    def _use(self, use: Use) -> None:
        serial = self._filled(use.card)
        self.number += 1
        device = f"02-00-00-00-00-{self.number:02X}"
        accept = self.radius.login(serial, use.pin or self._pin(use.card.strip("{}")), calling_station_id=device)
        if use.pin:
            assert accept.is_reject
            return
        assert accept.is_accept, (use, accept)
        session = self.radius.session(
            serial,
            accept,
            session_id=f"sessao-{self.number}",
            framed_ip=f"10.5.0.{self.number}",
            calling_station_id=device,
        )
        assert self.radius.start(session).is_acknowledged
        report = self.radius.stop if use.ends else self.radius.interim
        assert report(session, seconds=use.seconds, down_octets=use.down_octets, up_octets=0).is_acknowledged

    # --- The terminal ----------------------------------------------------------------------------------

    def type(self, line: str, keys: str) -> tuple[int, str]:
        """Type a line and then the keys; return the exit status, and what the screen has shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            self._be_the_command(line)
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, self.columns, 0, 0))
        shown = b""
        to_type = keys.encode()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            ready, _w, _x = select.select([terminal], [], [], 1)
            if not ready:
                continue
            try:
                read = os.read(terminal, 65536)
            except OSError:
                break
            if not read:
                break
            shown += read
            if to_type and not shown.endswith(b"\n"):
                os.write(terminal, to_type)
                to_type = b""
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        _pid, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), as_seen(shown.decode(errors="replace"))

    def _be_the_command(self, line: str) -> None:
        """In the new process: what the program `prepaid` does, without the time that Python needs to start."""
        status = 1
        try:
            os.chdir(self.folder)
            os.environ |= {
                "PREPAID_CONFIG": str(self.stack.option_file),
                "TERM": "dumb",
                "TZ": "America/Sao_Paulo",
                "LC_ALL": "C.UTF-8",
                "PAGER": "cat",
                "COLUMNS": str(self.columns),
                "LINES": str(LINES),
                "LANGUAGE": self.language,
            }
            for name in ("NO_COLOR", "PREPAID_LANG"):
                os.environ.pop(name, None)
            time.tzset()
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, encoding="utf-8", closefd=False)
                                                 for number, mode in ((0, "r"), (1, "w"), (2, "w")))  # fmt: skip
            with suppress(SystemExit):
                try:
                    cli.main(args=["--lang", self.language, *shlex.split(line)], prog_name="prepaid")
                except SystemExit as ended:
                    status = ended.code if isinstance(ended.code, int) else 1
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def masked(self, text: str) -> str:
        for path, name in ((str(self.folder), "FOLDER"), (str(self.stack.folder.parent), "STACK")):
            text = text.replace(path, name)
        # Of digits alone, it looks like any other number.
        fingerprint = keyring.load(self.stack.key_file).fingerprint(1)
        text = text.replace(fingerprint, "h" * len(fingerprint))
        # The time that is left since the first login of the day; it ends its line.
        text = LEFT.sub(r"30 \1", text)
        for pattern, sign in MASKS:
            text = pattern.sub(lambda found, sign=sign: sign * len(found[0]), text)
        return text


def as_seen(text: str) -> str:
    """What stays on the screen: without colours, and of a line that was written over, the last text.

    >>> as_seen("\\x1b[1mA\\x1b[0m\\r\\nold\\rnew\\r\\n")
    'A\\nnew\\n'
    """
    lines = ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines)
