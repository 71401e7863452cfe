"""export as slips for a thermal printer: what is on the paper, and a printer as the place of the export."""

import contextlib
import os
import pty
import shutil
import socket
import subprocess
import threading
import tty

import pytest

from tests import slip_paper
from tests.cli.test_export_kinds import provider  # noqa: F401
from tests.slip_paper import Cut, Line, Picture
from tests.waiting import wait_until

PAPERS = {"58": (32, 384), "80": (48, 576)}


@pytest.fixture
def batch(provider) -> int:  # noqa: F811
    product = provider.product("--time", "10h", "--price", "10.00", "--valid-days", 30, kind="internet")
    return provider.json("generate", "--product", product, "--count", 2)["batch"]


def pins(office) -> dict[str, str]:
    """Each card's PIN by its serial, as the office reads them."""
    return {card["serial"]: office.json("show", card["serial"], "--pin")["pin"] for card in office.json("list")}


def events(office, batch: int) -> list[str]:
    return [event["what"] for event in office.json("batch", "show", batch)["events"]]


def slips(octets: bytes) -> list[list]:
    """The parts of each slip, without its cut."""
    found, slip = [], []
    for part in slip_paper.read(octets):
        if isinstance(part, Cut):
            found.append(slip)
            slip = []
        else:
            slip.append(part)
    assert slip == []
    return found


def words(slip: list) -> str:
    return "\n".join(part.text for part in slip if isinstance(part, Line))


@pytest.mark.parametrize("paper", PAPERS)
def test_a_slip_has_all_that_its_buyer_needs(provider, batch, tmp_path, paper):  # noqa: F811
    path = tmp_path / "cards.escpos"
    provider.must("--lang", "pt_BR", "export", "--batch", batch, "--paper", paper, "--output", path)
    found = slips(path.read_bytes())
    columns, dots = PAPERS[paper]
    assert len(found) == 2
    for slip, (serial, pin) in zip(found, sorted(pins(provider).items()), strict=True):
        text = words(slip)
        assert serial in text.replace(" ", "") and pin in text
        for wanted in ("Rede do Sol", "10 h", "R$ 10,00", "Validade: 30 dias", "0800 123 456", f"Lote {batch}"):
            assert wanted in text.replace("\n", " ")
        assert "2ª VIA" not in text
        for part in slip:
            if isinstance(part, Line):
                assert len(part.text) * part.width <= columns
            else:
                assert part.image.width <= dots


def test_a_telephone_reads_serial_and_pin_on_a_slip(provider, batch, tmp_path):  # noqa: F811
    if shutil.which("zbarimg") is None:
        pytest.skip("zbarimg is not installed")
    provider.must("export", "--batch", batch, "--output", tmp_path / "cards.escpos")
    found = [read_code(slip, tmp_path) for slip in slips((tmp_path / "cards.escpos").read_bytes())]
    assert found == [f"{serial} {pin}" for serial, pin in sorted(pins(provider).items())]


def read_code(slip: list, folder) -> str:
    """What a telephone reads in the slip's QR code."""
    (picture,) = (part for part in slip if isinstance(part, Picture))
    path = folder / "code.png"
    picture.image.convert("L").save(path)
    done = subprocess.run(["zbarimg", "--quiet", "--raw", path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_second_slip_of_a_card_says_so(provider, batch, tmp_path):  # noqa: F811
    first, second = (card["serial"] for card in provider.json("list"))
    provider.must("export", "--range", f"{first}-{first}", "--output", tmp_path / "a.escpos", "--reason", "Counter")
    provider.must("export", "--range", f"{first}-{first}", "--output", tmp_path / "b.escpos", "--reason", "Paper jam")
    provider.must("export", "--range", f"{second}-{second}", "--output", tmp_path / "c.escpos", "--reason", "Counter")
    is_second = ["SECOND COPY" in words(slips((tmp_path / f"{name}.escpos").read_bytes())[0]) for name in "abc"]
    assert is_second == [False, True, False]


def test_a_telephone_card_has_no_code_for_the_internet_and_one_code_stands_once(provider, tmp_path):  # noqa: F811
    product = provider.product("--money", "20.00", "--tariff-minute", "0.05", kind="telephony")
    batch = provider.json("generate", "--product", product, "--count", 1)["batch"]
    provider.must("export", "--batch", batch, "--output", tmp_path / "a.escpos")
    (slip,) = slips((tmp_path / "a.escpos").read_bytes())
    assert "Telephone card" in words(slip) and not any(isinstance(part, Picture) for part in slip)
    product = provider.product("--time", "10h", kind="internet")
    batch = provider.json("generate", "--product", product, "--count", 1, "--single-code")["batch"]
    provider.must("export", "--batch", batch, "--output", tmp_path / "b.escpos")
    (slip,) = slips((tmp_path / "b.escpos").read_bytes())
    assert "Code" in words(slip) and "PIN" not in words(slip) and "Serial" not in words(slip)


class NetworkPrinter:
    """Takes raw data at a port of its own, as printers do at 9100."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.place = f"tcp://127.0.0.1:{self.listening.getsockname()[1]}"
        self.received: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                caller, _ = self.listening.accept()
            except OSError:
                return
            with caller:
                octets = b""
                while part := caller.recv(65536):
                    octets += part
                self.received.append(octets)

    def switch_off(self):
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


@pytest.fixture
def printer():
    made = NetworkPrinter()
    yield made
    made.switch_off()


def test_a_network_printer_gets_the_slips_and_the_disk_nothing(provider, batch, printer, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = provider.json("export", "--batch", batch, "--output", printer.place)
    wait_until(lambda: printer.received)
    assert len(slips(printer.received[0])) == result["count"] == 2
    assert "manifest" not in result
    assert sorted(tmp_path.iterdir()) == before
    assert "exported" in events(provider, batch)


def test_a_device_gets_the_slips(provider, batch):  # noqa: F811
    master, slave = pty.openpty()
    tty.setraw(slave)
    octets = bytearray()

    def read():
        # The device is gone when nobody has it open any more.
        with contextlib.suppress(OSError):
            while part := os.read(master, 65536):
                octets.extend(part)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    provider.must("export", "--batch", batch, "--output", os.ttyname(slave))
    wait_until(lambda: octets.count(b"\x1dV") == 2)
    assert len(slips(bytes(octets))) == 2
    os.close(slave)


def test_a_printer_that_is_off_is_named_before_a_pin_is_read(provider, batch, printer):  # noqa: F811
    printer.switch_off()
    result = provider.run("export", "--batch", batch, "--output", printer.place)
    assert result.exit_status == 1 and printer.place in result.stderr and "Traceback" not in result.stderr
    assert events(provider, batch) == ["generated"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "csv", "--output", "tcp://127.0.0.1"], "takes only --format slip"),
        (["--output", "tcp://:9100"], "names no printer"),
        (["--output", "a.escpos", "--fields", "serial,number"], "A slip has no place for number"),
        (["--output", "a.csv", "--paper", "80"], "--paper is for --format slip"),
    ],
)
def test_what_cannot_be_is_refused(provider, batch, arguments, told):  # noqa: F811
    result = provider.run("export", "--batch", batch, *arguments)
    assert result.exit_status == 2 and told in result.stderr
