"""The page with charts, in a real browser: it renders without errors or network, and prints."""

import html
import html.parser
import re
import shutil
import subprocess
from datetime import date, timedelta

import pdfplumber
import pytest
from PIL import Image

from tests.cli.test_report import MONTHS, TODAY, trade  # noqa: F401

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT_SECONDS = 120
# Straight from A4 in inches, with the rounding of points.
A4_POINTS = (595.3, 841.9)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: make system-test")


@pytest.fixture
def page(office, trade, tmp_path):  # noqa: F811
    path = tmp_path / "report.html"
    office.must("--lang", "pt_BR", "report", "sales", *MONTHS, "--format", "html", "--output", path)
    return path


@pytest.fixture
def chromium(tmp_path):
    """Run the browser on a page; return its output."""

    def run(*arguments) -> str:
        done = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--enable-logging=stderr",
                "--hide-scrollbars",
                f"--user-data-dir={tmp_path / 'profile'}",
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    return run


def test_the_page_is_one_file_and_well_formed(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)', text) and "@import" not in text and "url(" not in text
    assert "<script" not in text

    class Balance(html.parser.HTMLParser):
        opened: list[str] = []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "link"):
                self.opened.append(tag)

        def handle_endtag(self, tag):
            assert self.opened.pop() == tag

    parser = Balance()
    parser.feed(re.sub(r"<(rect|line|path)([^>]*)/>", r"<\1\2></\1>", text))
    assert parser.opened == []


def test_names_are_text_and_not_markup(office, database, tmp_path):
    evil = '<img src=x onerror="alert(1)">&amp;"'
    office.must("partner", "add", evil)
    office.sell(2, "--time", "10m", partner=evil)
    path = tmp_path / "evil.html"
    office.must("report", "stock", "--format", "html", "--output", path)
    text = path.read_text(encoding="utf-8")
    assert "<img" not in text and "&amp;amp;" in text and evil in html.unescape(text)


def test_the_page_is_in_the_readers_language_throughout(office, trade, page, tmp_path):  # noqa: F811
    words = page.read_text(encoding="utf-8")
    assert all(f"<th>{heading}</th>" in words for heading in ("entregues", "vendido", "comissão", "a pagar"))
    empty = tmp_path / "empty.html"
    past = ("--from", "2020-01-01", "--to", "2020-01-31")
    office.must("--lang", "pt_BR", "report", "sales", *past, "--format", "html", "--output", empty)
    assert "Nada neste período." in empty.read_text(encoding="utf-8")


@needs_chromium
def test_it_renders_and_the_console_stays_empty(page, chromium, tmp_path):
    dom = chromium("--dump-dom", page.as_uri())
    for words in ("Padaria São José", "R$ 62,22", "R$ 79,96"):
        assert words in dom, words
    chromium("--window-size=1120,2000", f"--screenshot={tmp_path / 'page.png'}", page.as_uri())
    colors = {color for _count, color in Image.open(tmp_path / "page.png").convert("RGB").getcolors(1 << 24)}
    # The colours of sales, traffic and time online.
    assert {(0x2F, 0x6F, 0xDE), (0x0F, 0x9D, 0x76), (0x7A, 0x5B, 0xD0)} <= colors


@needs_chromium
def test_the_pictures_fit_their_frames(page, chromium, tmp_path):
    """Nothing is wider than its panel, on a wide window and on a phone's."""
    probe = tmp_path / "probe.html"
    probe.write_text(
        page.read_text(encoding="utf-8").replace(
            "</body>",
            """<script>
        const wide = [...document.querySelectorAll('.panel, .tile')].filter(
            part => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX === 'visible');
        const cut = [...document.querySelectorAll('svg text')].filter(text => {
            const [one, all] = [text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect()];
            return one.left < all.left - 14 || one.right > all.right + 14;
        });
        document.title = `wide ${wide.length}, cut ${cut.length}, page ${
            document.documentElement.scrollWidth > document.documentElement.clientWidth}`;
    </script></body>""",
        ),
        encoding="utf-8",
    )
    for size in ("1120,2000", "500,2000"):
        assert "<title>wide 0, cut 0, page false</title>" in chromium(
            f"--window-size={size}", "--dump-dom", probe.as_uri()
        ), size


@needs_chromium
def test_it_prints_on_a4(page, chromium, tmp_path):
    chromium(f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer", page.as_uri())
    with pdfplumber.open(tmp_path / "page.pdf") as pdf:
        assert 1 <= len(pdf.pages) <= 2
        for sheet in pdf.pages:
            assert (float(sheet.width), float(sheet.height)) == pytest.approx(A4_POINTS, abs=1.5)
            assert all(0 <= char["x0"] and char["x1"] <= sheet.width for char in sheet.chars)
        assert "Padaria São José" in "".join(sheet.extract_text() for sheet in pdf.pages)


@pytest.mark.parametrize("days", [1, 31, 366])
def test_any_period_has_its_columns(office, trade, tmp_path, days):  # noqa: F811
    path = tmp_path / "report.html"
    office.must(
        "report",
        "usage",
        "--from",
        TODAY - timedelta(days=days - 1),
        "--to",
        TODAY,
        "--format",
        "html",
        "--output",
        path,
    )
    assert str(date.today()) in path.read_text(encoding="utf-8")
