"""Make the pictures of the pages, docs/pictures/*.png, from the real commands: `make pictures`.

Each language has a shop of its own on a private MariaDB, with products, partners and a month of trade.  Commands and the
engine make it, on the clock of its days.  Then the installed command makes the papers, pages and screens.
"""

import asyncio
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pypdfium2
from PIL import Image
from rich.console import Console
from rich.text import Text

from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from freeradius_module.sealing import keyring, pin
from tests import slip_paper
from tests.database import Database
from tests.engine_callers import class_of, log_in, report
from tests.office import Card, Office
from tests.simulated_clock import SimulatedClock, server_follows
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE, Stack
from tests.tutorial import run_in_a_terminal, terminal_environment

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT_SECONDS = 300

# Yesterday, in the afternoon of São Paulo.
NOW = datetime.now(UTC).replace(hour=17, minute=20, second=0, microsecond=0) - timedelta(days=1)
ZONE = "America/Sao_Paulo"
MONTH = ("--from", (NOW - timedelta(days=30)).date().isoformat())
FORTNIGHT = ("--from", (NOW - timedelta(days=14)).date().isoformat())
# Of A4 paper: 96 dots an inch.
PAPER_SCALE = 96 / 72
TERMINAL_SIZE = (30, 104)
BROWSE_SIZE = (104, 26)
# A page's colours; antialiased letters need some greys.
COLOURS = 48

WORDS = {
    "en": {"hours": "10 hours", "gigabytes": "2 GB", "lost": "Reported lost"},
    "pt_BR": {"hours": "10 horas", "gigabytes": "2 GB", "lost": "Cartão perdido"},
}
NAS = "192.0.2.7"
SHOPS = ("Banca do Norte", "Padaria São José", "Lan House Central")


def main() -> int:
    if CHROMIUM is None:
        print(
            "Chromium is not installed, so the terminal, the screen and the report page are left out: make system-pictures."
        )
    for language in WORDS:
        for path in make(FOLDER, language):
            print(f"{path.relative_to(FOLDER.parents[1])}  {path.stat().st_size // 1000} kB")
    return 0


def make(folder: Path, language: str) -> list[Path]:
    """Make the pictures in a language; without Chromium only those of papers."""
    made = []
    with tempfile.TemporaryDirectory(prefix="prepaid-test-") as place, the_shop(Path(place), language) as shop:
        for name in ("cards", "slip", "note", "statement", *(("report", "terminal", "browse") if CHROMIUM else ())):
            made.append(folder / (f"{name}.png" if language == "en" else f"{name}.{language}.png"))
            save(getattr(shop, name)(), made[-1])
    return made


def save(picture: Image.Image, path: Path) -> None:
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


@contextlib.contextmanager
def the_shop(folder: Path, language: str):
    stack = Stack(
        folder,
        auth_port=0,
        acct_port=0,
        durability=QUICK,
        settings={
            "lang": language,
            "provider": "Rede Exemplo Ltda.",
            "provider_document": "11.222.333/0001-81",
            "helpline": "0800 555 0100",
            "timezone": ZONE,
        },
        dies_with_parent=True,
    )
    try:
        stack.start_database()
        database = Database(stack.mariadb, DATABASE)
        shop = Shop(stack, database, language)
        with server_follows(database), shop.clock.running():
            shop.trade()
        yield shop
    finally:
        stack.mariadb.stop()


class Shop:
    """A shop of a month, and the pictures of it."""

    def __init__(self, stack: Stack, database: Database, language: str):
        self.stack = stack
        self.folder = stack.folder
        self.database = database
        self.clock = SimulatedClock()
        self.language = language
        self.words = WORDS[language]
        self.office = Office(stack.option_file)
        self.keys = keyring.load(stack.key_file)
        self.engine = Engine(settings.load(str(stack.option_file)))

    # --- A month of trade ------------------------------------------------------------------------------

    def trade(self) -> None:
        hours, gigabytes = self.words["hours"], self.words["gigabytes"]
        self.on(30)
        self.do("product", "add", hours, "--time", "10h", "--valid-days", 30, "--price", "10.00")
        self.do("product", "add", gigabytes, "--traffic", "2GB", "--valid-days", 30, "--price", "15.00")
        self.do("nas", "add", "hotspot-centro", "--address", NAS, "--secret-file", "-", stdin="testing123\n")
        for name, document, commission in zip(
            SHOPS, ("12.345.678/0001-95", "11.444.777/0001-61", "45.997.418/0001-53"), ("12.5", "10", "15"), strict=True
        ):
            self.do("partner", "add", name, "--document", document, "--commission", commission)
        self.do("generate", "--product", hours, "--count", 200)
        self.do("generate", "--product", gigabytes, "--count", 100)
        self.do("export", "--batch", 1, "--output", self.folder / "first.csv")
        self.on(29)
        for name, count in zip(SHOPS, (60, 40, 30), strict=True):
            self.do("deliver", "--product", hours, "--count", count, "--partner", name, "--yes")
            self.do("deliver", "--product", gigabytes, "--count", count // 2, "--partner", name, "--yes")
        for day in range(28, -1, -1):
            self.on(day)
            self.sell(day)
            if day in (21, 14, 7):
                self.do("payment", "add", SHOPS[0], "35.00", "--key", f"pix-{8812 + day}", "--date", self.today())
        returned = [row["serial"] for row in self.with_status("delivered", SHOPS[0])][-4:]
        self.do("return", "--partner", SHOPS[0], *returned)
        self.clock.advance(60)
        self.do("block", self.with_status("in_use", SHOPS[0])[0]["serial"], "--reason", self.words["lost"], "--yes")

    def on(self, days_ago: int) -> None:
        self.clock.now = (NOW - timedelta(days=days_ago)).timestamp()

    def today(self) -> str:
        return datetime.fromtimestamp(self.clock.now, UTC).date().isoformat()

    def do(self, *arguments, stdin: str | None = None) -> None:
        self.office.must(*arguments, stdin=stdin)

    def with_status(self, status: str, partner: str) -> list[dict]:
        return self.office.json("list", "--status", status, "--partner", partner)

    def sell(self, day: int) -> None:
        """Some customers at each shop use their card for the first time on this day."""
        for shop, partner in enumerate(SHOPS):
            for number in range((day * 5 + shop * 3) % 4 if (day + shop) % 6 else 0):
                unused = self.with_status("delivered", partner)
                if len(unused) > 8:
                    self.use(
                        unused[number * 7 % len(unused)]["serial"],
                        1800 + 600 * number,
                        f"02-00-5E-10-{day:02X}-{number:02X}",
                    )

    def use(self, serial: str, seconds: int, device: str) -> None:
        card = Card(serial, self.pin(serial), 0, "")
        classes = class_of(log_in(self.engine, card, device, NAS))
        where = {"session_id": serial, "device": device, "nas": NAS}
        self.engine.account(report(card, "Start", None, classes, **where))
        self.clock.advance(seconds)
        stop = report(card, "Stop", seconds, classes, down=seconds * 90_000, up=seconds * 9_000, **where)
        self.engine.account([*stop, ("Acct-Terminate-Cause", "User-Request")])
        self.clock.advance(120)

    def pin(self, serial: str) -> str:
        (row,) = self.database.query("SELECT pin_sealed, key_number FROM card WHERE serial = %s", [serial])
        return pin.open_sealed(row["pin_sealed"], row["key_number"], serial, self.keys)

    # --- Pictures --------------------------------------------------------------------------------------

    def cards(self) -> Image.Image:
        return self.paper("export", "--batch", 2, "--qr-url", "https://wifi.example/login")

    def slip(self) -> Image.Image:
        """One card from a thermal printer, on paper of 58 mm."""
        path = self.folder / "slip.escpos"
        self.do("generate", "--product", WORDS[self.language]["hours"], "--count", 1)
        batch = self.database.value("SELECT MAX(id) FROM batch")
        self.program("export", "--batch", batch, "--output", path)
        return slip_paper.drawn(path.read_bytes(), 384, 32)

    def note(self) -> Image.Image:
        return self.paper("note", "show", 1, "--format", "pdf")

    def statement(self) -> Image.Image:
        return self.paper("partner", "statement", SHOPS[0], *FORTNIGHT, "--format", "pdf")

    def report(self) -> Image.Image:
        path = self.folder / "report.html"
        self.program("report", "sales", *MONTH, "--format", "html", "--output", path)
        # Down to the end of a row of panels.
        return self.browser(path, (1040, 1178))

    def terminal(self) -> Image.Image:
        """Some commands, as somebody types them."""
        serial = self.with_status("blocked", SHOPS[0])[0]["serial"]
        console = Console(record=True, file=io.StringIO(), width=TERMINAL_SIZE[1], force_terminal=True)
        for command in (
            f"prepaid track {serial}",
            f"prepaid list --partner {shlex.quote(SHOPS[0])} --limit 6",
            f"prepaid report settlement {shlex.join(MONTH)}",
        ):
            printed = run_in_a_terminal(command, self.folder, self.environment(), TERMINAL_SIZE)
            console.print(Text.from_ansi(f"$ {command}\n{printed.rstrip()}\n"))
        return self.svg(console.export_svg(title="prepaid"))

    def browse(self) -> Image.Image:
        from admin.browse.screen import BrowseApp
        from admin.shell.office import Office as Connected

        async def look(office: Connected) -> str:
            app = BrowseApp(office)
            async with app.run_test(size=BROWSE_SIZE) as pilot:
                while not app.screen.query_one("#table-cards").row_count:
                    await pilot.pause(0.1)
                return app.export_screenshot(title="prepaid browse")

        with (
            mock.patch.dict(os.environ, {"LANGUAGE": self.language, "TZ": ZONE}),
            contextlib.closing(Connected(str(self.stack.option_file))) as office,
        ):
            return self.svg(asyncio.run(look(office)))

    # --- How a picture is made -------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        return terminal_environment(self.stack, self.language) | {"TERM": "xterm-256color", "COLORTERM": ""}

    def program(self, *arguments) -> None:
        done = self.office.program(*arguments, env={"LANGUAGE": self.language})
        if done.exit_status != 0:
            raise SystemExit(f"make pictures: prepaid {shlex.join(map(str, arguments))}: {done.stderr}")

    def paper(self, *arguments) -> Image.Image:
        """The first page of the PDF that a command makes."""
        path = self.folder / "paper.pdf"
        path.unlink(missing_ok=True)
        self.program(*arguments, "--output", path)
        document = pypdfium2.PdfDocument(path)
        try:
            return without_margins(document[0].render(scale=PAPER_SCALE).to_pil())
        finally:
            document.close()

    def svg(self, drawn: str) -> Image.Image:
        """A drawing of a terminal, in a font of this machine instead of one from another host."""
        drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
        width, height = (round(float(size)) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0])
        path = self.folder / "terminal.html"
        path.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{drawn}", encoding="utf-8")
        return self.browser(path, (width, height))

    def browser(self, page: Path, size: tuple[int, int]) -> Image.Image:
        path = self.folder / "page.png"
        done = subprocess.run(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--hide-scrollbars",
                f"--user-data-dir={self.folder / 'profile'}",
                f"--window-size={size[0]},{size[1]}",
                f"--screenshot={path}",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise SystemExit(f"make pictures: chromium failed: {done.stderr}")
        return Image.open(path)


def without_margins(page: Image.Image) -> Image.Image:
    """The page down to the last line that is not white, and a thin margin."""
    bottom = page.convert("L").point(lambda grey: 255 if grey < 250 else 0).getbbox()[3]
    return page.crop((0, 0, page.width, min(page.height, bottom + 40)))


if __name__ == "__main__":
    sys.exit(main())
