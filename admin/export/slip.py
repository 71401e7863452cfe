"""The cards as slips for a thermal printer of 58 or 80 mm, in the printer's own language (ESC/POS)."""

import textwrap
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from escpos.printer import Dummy
from PIL import Image

from freeradius_module.rules import serial

from ..files import Target
from ..shell import errors, output
from ..shell.text import _
from .fields import Cards, Fields, credit_in_words, filled_in
from .qr import QrCodes

# Every such printer has this code page; it holds the letters of Portuguese, Spanish and English.
CODE_PAGE = "CP850"
# White modules around a QR code, as ISO/IEC 18004 asks for.
QUIET_MODULES = 4


class Paper(NamedTuple):
    """What fits on a line: characters of the printer's font A, and dots."""

    columns: int
    dots: int


PAPERS = {"58": Paper(32, 384), "80": Paper(48, 576)}
DEFAULT_PAPER = "58"

# What a slip shows, from top to bottom.  --fields chooses among these.
FIELDS = ("provider", "product", "credit", "face_value", "serial", "pin", "validity", "helpline", "batch")


def write(file: Target, fields: Fields, _count: int, chunks: Iterable[Cards], *, paper: str) -> None:
    """Write a slip for each card, each ending with a cut."""
    slips = _Slips(fields, PAPERS[paper])
    for cards in chunks:
        for card in zip(cards.serials, cards.pins or [""] * len(cards.serials), strict=True):
            file.write(slips.slip(*card))


class _Slips:
    def __init__(self, fields: Fields, paper: Paper):
        self.names = set(fields.names)
        self.paper = paper
        self.shared = _for_people(fields)
        self.login_url = fields.login_url
        self.is_telephony = fields.batch["kind"] == "telephony"
        self.has_one_code = bool(fields.batch["single_code"])
        # A buyer who gets the same card twice must see it.
        self.is_second = bool(fields.batch.get("was_exported"))
        self.codes = QrCodes()
        known = Dummy(profile="default").profile.profile_data
        self.profile_data = {**known, "media": {"width": {"pixels": paper.dots}}}

    def slip(self, serial_number: str, secret: str) -> bytes:
        """The octets for one card."""
        printer = Dummy(profile="default")
        # Without a width the library prints a remark for each picture.
        printer.profile.profile_data = self.profile_data
        printer.hw("INIT")
        printer.charcode(CODE_PAGE)
        printer.set(align="center", bold=True, double_height=True, double_width=False)
        self._line(printer, self._value("provider"))
        printer.set(align="center", bold=True, normal_textsize=True)
        self._line(printer, self._value("product"))
        printer.set(align="center", bold=False, normal_textsize=True)
        self._line(printer, _("Telephone card") if self.is_telephony else None)
        self._line(printer, self._value("credit"))
        self._line(printer, self._value("face_value"))
        self._line(printer, _("SECOND COPY") if self.is_second else None)
        printer.text("-" * self.paper.columns + "\n")
        has_pin = "pin" in self.names and not self.has_one_code
        if "serial" in self.names:
            self._label(printer, _("Code") if self.has_one_code else _("Serial number"))
            self._code(printer, serial.format(serial_number))
        if has_pin:
            self._label(printer, "PIN")
            self._code(printer, secret)
        if {"serial", "pin"} <= self.names and not self.is_telephony:
            self._qr(printer, serial_number, secret)
        printer.set(align="center", bold=False, normal_textsize=True)
        printer.text("-" * self.paper.columns + "\n")
        validity, helpline, batch = map(self._value, ("validity", "helpline", "batch"))
        self._line(printer, validity and _("Validity: {validity}").format(validity=validity))
        self._line(printer, helpline and _("Help: {helpline}").format(helpline=helpline))
        self._line(printer, batch and _("Batch {batch}").format(batch=batch))
        printer.cut()
        octets: bytes = printer.output
        return octets

    def _value(self, name: str) -> str | None:
        value = self.shared.get(name)
        return str(value) if name in self.names and value not in (None, "") else None

    def _line(self, printer: Dummy, words: str | None) -> None:
        # A space that must not break is a box on some printers.
        for line in textwrap.wrap((words or "").replace("\N{NO-BREAK SPACE}", " "), self.paper.columns):
            printer.text(f"{line}\n")

    def _label(self, printer: Dummy, words: str) -> None:
        printer.set(align="center", bold=False, normal_textsize=True)
        self._line(printer, words)

    def _code(self, printer: Dummy, words: str) -> None:
        """A serial or PIN, large where it fits on a line.  It is never broken."""
        try:
            words.encode(CODE_PAGE)
        except UnicodeEncodeError:
            raise errors.Refused(
                _("A slip cannot show {code!r}: a thermal printer has no such characters. Use --format pdf."),
                code=words,
            ) from None
        is_wide = 2 * len(words) <= self.paper.columns
        printer.set(align="center", bold=True, double_width=is_wide, double_height=True)
        printer.text(f"{words}\n")

    def _qr(self, printer: Dummy, serial_number: str, secret: str) -> None:
        if self.login_url is not None:
            content = filled_in(self.login_url, serial_number, secret)
        else:
            content = serial_number if serial_number == secret else f"{serial_number} {secret}"
        printer.set(align="center", normal_textsize=True)
        printer.image(self._picture(content), impl="bitImageRaster")

    def _picture(self, content: str) -> Image.Image:
        """The code as a picture: printers differ in the QR codes that they can draw by themselves, but all print pictures."""
        code = self.codes.draw(content)
        side = code.modules + 2 * QUIET_MODULES
        # Half of the paper's width or a little more, so that a telephone reads it and the paper is not wasted.
        scale = max(self.paper.dots * 5 // 8 // side, 3)
        drawn = Image.frombytes("1", (code.modules, code.modules), bytes(octet ^ 0xFF for octet in code.octets))
        picture = Image.new("1", (side, side), 1)
        picture.paste(drawn, (QUIET_MODULES, QUIET_MODULES))
        return picture.resize((side * scale, side * scale), Image.Resampling.NEAREST)


def _for_people(fields: Fields) -> dict[str, Any]:
    """What all cards share, as people read it: R$ 10,00 and not 10.00."""
    shown: dict[str, Any] = dict(fields.shared)
    for name in ("face_value", "money"):
        if isinstance(amount := shown[name], Decimal):
            shown[name] = output.money(int(amount.scaleb(2)))
    shown["credit"] = credit_in_words(shown)
    return shown
