"""export --format pdf: the sheets are read as a print shop, a reader and the camera of a telephone read them."""

import shutil
import subprocess
from pathlib import Path

import pdfplumber
import pypdf
import pypdfium2
import pytest
from PIL import Image

PRODUCT = 'Noite & "Dia" <Ação>'


@pytest.fixture
def batch(office):
    office.must("product", "add", PRODUCT, "--time", "10h", "--price", "12.50")
    return office.json("generate", "--product", PRODUCT, "--count", 13, "--prefix", "SOL")["batch"]


@pytest.fixture
def cards(office, batch, tmp_path):
    """Serial and PIN of each card, by a first export."""
    office.must(
        "export",
        "--batch",
        batch,
        "--format",
        "delimited",
        "--fields",
        "serial,pin",
        "--output",
        tmp_path / "first.txt",
    )
    return [line.split("\t") for line in (tmp_path / "first.txt").read_text().splitlines()[1:]]


def pdf(office, batch, path: Path, *options, lang: str = "en") -> Path:
    office.must(
        "--lang",
        lang,
        "export",
        "--batch",
        batch,
        "--format",
        "pdf",
        "--output",
        path,
        *options,
        "--again",
        "--reason",
        "test",
    )
    return path


def text_of(path: Path) -> str:
    with pdfplumber.open(path) as document:
        return "\n".join(page.extract_text() for page in document.pages)


def codes_on(path: Path, tmp_path: Path) -> set[str]:
    """What a camera reads on the sheets, printed at 200 dots an inch."""
    if shutil.which("zbarimg") is None:
        pytest.skip("zbarimg is not installed")
    found = set()
    for number, page in enumerate(pypdfium2.PdfDocument(path)):
        picture = tmp_path / f"page-{number}.png"
        page.render(scale=200 / 72).to_pil().save(picture)
        done = subprocess.run(["zbarimg", "--quiet", "--raw", picture], capture_output=True, text=True)
        found |= set(done.stdout.splitlines())
    return found


def test_every_card_is_on_a_sheet_with_its_serial_and_pin(office, batch, cards, tmp_path):
    path = pdf(office, batch, tmp_path / "cards.pdf")
    text = text_of(path)
    for serial, pin in cards:
        grouped = " ".join(serial[at : at + 4] for at in range(0, len(serial), 4))
        assert grouped in text and pin in text
    assert text.count(PRODUCT) == 13 + 2 and "sheet 2 of 2" in text and "R$ 12.50" in text
    reader = pypdf.PdfReader(path, strict=True)
    assert len(reader.pages) == 2
    assert [round(float(side)) for side in reader.pages[0].mediabox[2:]] == [595, 842]


def test_the_code_holds_serial_and_pin(office, batch, cards, tmp_path):
    path = pdf(office, batch, tmp_path / "cards.pdf")
    assert codes_on(path, tmp_path) == {f"{serial} {pin}" for serial, pin in cards}


@pytest.mark.parametrize(
    ("address", "filled"),
    [
        ("http://10.5.50.1/login", "http://10.5.50.1/login?username={}&password={}"),
        ("https://wifi.example/in?to=/a&u={serial}&p={pin}", "https://wifi.example/in?to=/a&u={}&p={}"),
    ],
)
def test_the_code_logs_in_by_camera(office, batch, cards, tmp_path, address, filled):
    path = pdf(office, batch, tmp_path / "cards.pdf", "--qr-url", address)
    assert codes_on(path, tmp_path) == {filled.format(*card) for card in cards}


def test_characters_that_mean_something_in_an_address_are_quoted(office, tmp_path):
    product = office.product("--time", "10m")
    batch = office.json(
        "generate",
        "--product",
        product,
        "--count",
        8,
        "--pin-alphabet",
        "&=%#? +/".replace(" ", ""),
        "--pin-length",
        20,
    )["batch"]
    path = pdf(office, batch, tmp_path / "cards.pdf", "--qr-url", "http://hs/login")
    for code in codes_on(path, tmp_path):
        query = code.split("?", 1)[1]
        assert query.count("=") == 2 and query.count("&") == 1 and "#" not in code
    assert len(codes_on(path, tmp_path)) == 8


@pytest.mark.parametrize(
    "wrong",
    [
        "ftp://hs/login",
        "javascript:alert(1)",
        "http://hs/{serial}",
        "http://{serial}/{pin}",
        "http://hs/{serial}/{pin}/{product}",
        "http:// hs/login",
    ],
)
def test_an_invalid_address_is_refused(office, batch, tmp_path, wrong):
    result = office.run(
        "export", "--batch", batch, "--format", "pdf", "--qr-url", wrong, "--output", tmp_path / "x.pdf"
    )
    assert result.exit_status == 2 and not (tmp_path / "x.pdf").exists()


def test_every_font_is_embedded(office, batch, tmp_path):
    reader = pypdf.PdfReader(pdf(office, batch, tmp_path / "cards.pdf"), strict=True)
    fonts = [font.get_object() for page in reader.pages for font in page["/Resources"]["/Font"].values()]
    assert fonts and all("/FontFile2" in font["/FontDescriptor"] for font in fonts)


def test_cut_marks_stand_outside_the_cards(office, batch, tmp_path):
    path = pdf(office, batch, tmp_path / "cards.pdf")
    dark = (
        pypdfium2.PdfDocument(path)[0]
        .render(scale=300 / 72)
        .to_pil()
        .convert("L")
        .point(lambda value: value < 128 and 255)
    )
    dots = 300 / 25.4
    left, top = (210 - 2 * 85.6) / 2, (297 - 5 * 54) / 2
    # A mark above each of the three vertical cuts and beside each of the six horizontal ones.
    for column in range(3):
        x = (left + column * 85.6) * dots
        assert dark.crop((int(x - 4), int((top - 5) * dots), int(x + 5), int((top - 2) * dots))).getbbox()
    for row in range(6):
        y = (top + row * 54) * dots
        assert dark.crop((int((left - 5) * dots), int(y - 4), int((left - 2) * dots), int(y + 5))).getbbox()
    # And none on the cuts themselves.
    x = (left + 85.6) * dots
    assert not dark.crop((int(x - 4), int((top + 0.5) * dots), int(x + 5), int((top + 5 * 54 - 0.5) * dots))).getbbox()


def test_chosen_fields_are_printed_and_others_left_out(office, batch, cards, tmp_path):
    text = text_of(pdf(office, batch, tmp_path / "cards.pdf", "--fields", "serial,number,credit"))
    assert "number: 13" in text and "credit: 10 h" in text and "R$" not in text
    assert not any(pin in text for _serial, pin in cards)


def test_without_the_pin_there_is_no_code_with_it(office, batch, tmp_path):
    assert codes_on(pdf(office, batch, tmp_path / "cards.pdf", "--fields", "serial"), tmp_path) == set()


def test_the_template_in_portuguese(office, batch, tmp_path):
    text = text_of(pdf(office, batch, tmp_path / "cards.pdf", lang="pt_BR"))
    assert "Número de série" in text and "R$ 12,50" in text and "folha 2 de 2" in text


def test_a_changed_template(office, batch, cards, tmp_path):
    template = office.must("export", "--show-template").stdout
    (tmp_path / "card.ini").write_text(
        template.replace("rows = 5", "rows = 2")
        .replace("paper = A4", "paper = 200 x 150")
        .replace("PIN (password)", "Geheim")
    )
    path = pdf(office, batch, tmp_path / "cards.pdf", "--template", tmp_path / "card.ini")
    assert len(pypdf.PdfReader(path).pages) == 4 and text_of(path).count("Geheim") == 13


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("columns = 2", "columns = 3"), ["columns", "210"]),
        (("text = {pin}", "text = {pim}"), ["{pim}", "'pin'"]),
        (("size = 13", "size = big"), ["text pin", "size", "big"]),
        (("size = 13", "size = 13\ncolour = red"), ["colour"]),
        (("[qr]", "[qrcode]"), ["[qrcode]"]),
        (("font = bold", "font = fat"), ["fat", "bold"]),
        (("bold = Vera-Bold", "bold = none.ttf"), ["none.ttf"]),
        (("[sheet]", "sheet"), ["--show-template"]),
        (("rows = 5", "rows = 5\nrows = 5"), ["--show-template"]),
        (("text = {pin}", "text = {pin.__class__}"), ["{pin.__class__}"]),
        (("width = 85.6", "width = nan"), ["width", "nan"]),
    ],
)
def test_a_mistake_in_a_template_is_named(office, batch, tmp_path, change, says):
    template = office.must("export", "--show-template").stdout
    assert change[0] in template
    (tmp_path / "card.ini").write_text(template.replace(*change, 1))
    result = office.run(
        "export",
        "--batch",
        batch,
        "--format",
        "pdf",
        "--template",
        tmp_path / "card.ini",
        "--output",
        tmp_path / "x.pdf",
    )
    assert result.exit_status == 1 and not (tmp_path / "x.pdf").exists()
    assert all(word in result.stderr for word in [str(tmp_path / "card.ini"), *says]), result.stderr


def test_a_logo_is_on_every_card(office, batch, tmp_path):
    Image.new("RGB", (300, 120), (250, 100, 0)).save(tmp_path / "logo.png")
    path = pdf(office, batch, tmp_path / "cards.pdf", "--logo", tmp_path / "logo.png")
    page = pypdfium2.PdfDocument(path)[0].render(scale=1).to_pil()
    left, top = (210 - 2 * 85.6) / 2, (297 - 5 * 54) / 2
    for row in range(5):
        for column in range(2):
            middle = (left + column * 85.6 + 20, top + row * 54 + 10)
            assert page.getpixel(tuple(int(side * 72 / 25.4) for side in middle))[:3] == (250, 100, 0)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_logo_that_is_not_a_picture_is_named(office, batch, tmp_path, content):
    (tmp_path / "logo.png").write_bytes(content)
    for logo in (tmp_path / "logo.png", tmp_path / "none.png", "http://127.0.0.1:9/logo.png"):
        result = office.run(
            "export", "--batch", batch, "--format", "pdf", "--logo", logo, "--output", tmp_path / "x.pdf"
        )
        assert result.exit_status == 1 and str(logo) in result.stderr and not (tmp_path / "x.pdf").exists()


def test_a_character_that_the_font_lacks_is_left_out_and_named(office, tmp_path):
    office.must("product", "add", "Festa 🎉", "--time", "10m")
    batch = office.json("generate", "--product", "Festa 🎉", "--count", 1)["batch"]
    result = office.must("export", "--batch", batch, "--format", "pdf", "--output", tmp_path / "x.pdf")
    assert "🎉" in result.stderr and "Festa" in text_of(tmp_path / "x.pdf")


def test_the_last_card_of_many_sheets_is_there(office, tmp_path):
    product = office.product("--time", "10m")
    printed = office.json("generate", "--product", product, "--count", 5021)
    path = tmp_path / "cards.pdf"
    office.must("export", "--batch", printed["batch"], "--format", "pdf", "--output", path)
    reader = pypdf.PdfReader(path, strict=True)
    assert len(reader.pages) == 503
    serial = printed["last_serial"]
    assert " ".join(serial[at : at + 4] for at in range(0, len(serial), 4)) in reader.pages[502].extract_text()
