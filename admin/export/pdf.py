"""The cards as sheets, ready to be printed and cut.

What all cards have in common (lines, logo, the product's name) is drawn once, as a form that every card refers to;
a card adds its serial, its PIN and its QR code.
"""

import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas

from freeradius_module.rules import units

from ..files import Target
from ..files import pdf as pdf_file
from ..shell import errors, output
from ..shell.text import _
from . import template as card_template
from .fields import OWN, Cards, Fields, credit_in_words, filled_in
from .qr import QrCodes
from .template import FieldList, Frame, Template, Text

SMALLEST_TEXT_POINTS = 4
QUIET_MODULES = 4
MOST_LOGO_OCTETS = 20_000_000


def write(
    file: Target,
    fields: Fields,
    count: int,
    chunks: Iterable[Cards],
    *,
    template: Template,
    listed: Iterable[str] = (),
    logo: "Logo | None" = None,
    first_sheet: int = 1,
    sheets: int | None = None,
) -> None:
    """Write the cards, a sheet at a time; `listed` are the fields for the template's list.

    `first_sheet` is the number of the first of them, out of `sheets`, if a sheet is made again.

    ReportLab keeps all pages until the end: 20,000 cards take 6 s and 75 MB.  To write each page when it is full takes as
    long and 50 MB, but depends on ReportLab's private parts.
    """
    printer = _Printer(file, fields, count, template, list(listed), logo)
    printer.first_sheet, printer.sheets = first_sheet, sheets or printer.sheets
    for cards in chunks:
        for row in fields.own_rows(cards):
            printer.add(row)
    printer.finish()


def fields_shown(template: Template, wanted: list[str] | None) -> tuple[list[str], list[str]]:
    """The fields that a PDF is made of, and those of them that no text of the template shows.

    By default they are those that the template shows, and those that the QR code needs.
    """
    if wanted is None:
        code = ("serial", "pin") if template.qr else ()
        names = [*template.fields, *code, *(name for shown in template.texts for name in shown.needs)]
        return list(dict.fromkeys(names)), []
    if "serial" in wanted and "serial_grouped" in template.fields and "serial_grouped" not in wanted:
        # The template shows the serial in this form.
        wanted = [*wanted, "serial_grouped"]
    listed = [
        name
        for name in wanted
        if name not in template.fields and not (name == "serial" and "serial_grouped" in template.fields)
    ]
    if listed and template.field_list is None:
        raise errors.WrongUsage(
            _("The template {path} has no place for {fields}: give it a section [fields], or a text with it."),
            path=template.path,
            fields=", ".join(listed),
        )
    return wanted, listed


class Logo:
    """A picture for every card; it is read and checked before anything else is done."""

    def __init__(self, path: str):
        try:
            with open(path, "rb") as file:
                content = file.read(MOST_LOGO_OCTETS + 1)
            if len(content) > MOST_LOGO_OCTETS:
                raise errors.Refused(
                    _("The logo {path} is larger than {size}. Make it smaller: a card is a few centimetres wide."),
                    path=path,
                    size=units.format_size(MOST_LOGO_OCTETS),
                )
            # From memory, because ReportLab fetches a path that looks like an address from the network.
            self.image = ImageReader(io.BytesIO(content))
            self.image.getRGBData()  # type: ignore[no-untyped-call]
        except OSError as error:
            cause = error.strerror or _("it is not a PNG or JPEG picture")
            raise errors.Refused(_("The logo {path} cannot be used: {cause}."), path=path, cause=cause) from None
        except errors.OfficeError:
            raise
        except Exception as error:  # A broken picture can raise any error in the library that reads it.
            raise errors.Refused(
                _("The logo {path} cannot be used: {cause}."), path=path, cause=_("it is not a PNG or JPEG picture")
            ) from error


class _Printer:
    def __init__(
        self, file: Target, fields: Fields, count: int, template: Template, listed: list[str], logo: Logo | None
    ):
        self.template = template
        self.first_sheet = 1
        self.sheets = -(-count // template.cards_a_sheet)
        self.shared = _for_people(fields)
        self.fonts = {name: _font(wanted, template.path) for name, wanted in template.fonts.items()}
        # Without initialFontName ReportLab begins every page with Helvetica, which it does not embed.
        self.canvas = Canvas(
            cast(IO[bytes], file),
            pagesize=(template.paper[0] * mm, template.paper[1] * mm),
            pageCompression=1,
            initialFontName=self.fonts["regular"].fontName,  # type: ignore[arg-type]  # The stubs want a number.
        )
        self.canvas.setTitle(f"{self.shared['product']}, {self.shared['batch']}")
        self.canvas.setAuthor("prepaid-cards")
        self.codes = QrCodes()
        self.login_url = fields.login_url
        one_code = bool(fields.batch["single_code"])
        kinds = (str(fields.batch["kind"]), "one code" if one_code else "two codes", "" if logo else "no logo")
        empty = [name for name, value in self.shared.items() if value in (None, "")]
        texts = [shown for shown in template.texts if shown.is_printed(fields.names, empty, kinds)]
        texts += _as_lines(listed, template.field_list)
        self.own_texts = [shown for shown in texts if set(shown.fields) & set(OWN)]
        # The names of the values in a card's row; the first is always the serial.
        self.names = ["serial", *(name for name in fields.names if name in OWN)]
        # The code holds the PIN, so it is drawn only if the PIN was asked for.
        self.qr = template.qr if {"serial", "pin"} <= set(fields.names) else None
        self.left = (template.paper[0] - template.columns * template.width - (template.columns - 1) * template.gap) / 2
        self.top = (template.paper[1] + template.rows * template.height + (template.rows - 1) * template.gap) / 2
        self.printed = 0
        self._draw_common([shown for shown in texts if shown not in self.own_texts], logo)
        self._draw_cut_marks()

    def add(self, row: tuple[Any, ...]) -> None:
        """Draw one card, and end the sheet when it is full."""
        place = self.printed % self.template.cards_a_sheet
        if place == 0:
            self._begin_sheet()
        line, column = divmod(place, self.template.columns)
        x = self.left + column * (self.template.width + self.template.gap)
        y = self.top - (line + 1) * self.template.height - line * self.template.gap
        self._draw_card(x, y, dict(zip(self.names, row, strict=True)))
        self.printed += 1
        if self.printed % self.template.cards_a_sheet == 0:
            self.canvas.showPage()

    def finish(self) -> None:
        if self.printed % self.template.cards_a_sheet:
            self.canvas.showPage()
        self.canvas.save()

    def _begin_sheet(self) -> None:
        self.canvas.doForm("cut-marks")
        footer = card_template.filled_in(
            self.template.footer,
            {
                **self.shared,
                "sheet": self.printed // self.template.cards_a_sheet + self.first_sheet,
                "sheets": self.sheets,
            },
        )
        bottom = self.top - self.template.rows * self.template.height - (self.template.rows - 1) * self.template.gap
        if footer and bottom > 2:
            # Below the middle of a column, because between two columns is a cut mark.
            middle = self.left + self.template.width / 2
            self._write(
                Text(footer, middle, 0, "regular", 6, "center", self.template.width),
                footer,
                0,
                max(bottom - self.template.cut_marks - 3, 1.5),
            )

    def _draw_card(self, x: float, y: float, own: Mapping[str, Any]) -> None:
        canvas = self.canvas
        canvas.addLiteral(f"q 1 0 0 1 {x * mm:.3f} {y * mm:.3f} cm")
        canvas.doForm("card")
        for shown in self.own_texts:
            words = card_template.filled_in(shown.text, {**self.shared, **own})
            self._require_glyphs(shown, words, own["serial"])
            self._write(shown, words, 0, self.template.height)
        if self.qr is not None:
            self._draw_qr(self.qr, self._qr_text(own))
        canvas.addLiteral("Q")

    def _qr_text(self, own: Mapping[str, Any]) -> str:
        serial_number, secret = str(own["serial"]), str(own["pin"])
        if self.login_url is not None:
            return filled_in(self.login_url, serial_number, secret)
        # A card with only one code has it as serial and as PIN.
        return serial_number if serial_number == secret else f"{serial_number} {secret}"

    def _draw_qr(self, frame: Frame, content: str) -> None:
        """Draw the code as a stencil of one bit a module, which every printer prints with sharp edges."""
        code = self.codes.draw(content)
        module = frame.width * mm / (code.modules + 2 * QUIET_MODULES)
        side = module * code.modules
        x = frame.x * mm + QUIET_MODULES * module
        y = (self.template.height - frame.y) * mm - QUIET_MODULES * module - side
        self.canvas.addLiteral(
            f"q 0 g {side:.3f} 0 0 {side:.3f} {x:.3f} {y:.3f} cm BI /W {code.modules} /H {code.modules} /IM true "
            f"/D [1 0] /F /AHx ID {code.octets.hex()}> EI Q"
        )

    def _draw_common(self, texts: list[Text], logo: Logo | None) -> None:
        width, height = self.template.width * mm, self.template.height * mm
        self.canvas.beginForm("card", 0, 0, width, height)
        for line in self.template.lines:
            self.canvas.setLineWidth(line.thickness * mm)
            self.canvas.line(line.x * mm, height - line.y * mm, line.to_x * mm, height - line.to_y * mm)
        if logo is not None:
            if self.template.logo is None:
                raise errors.WrongUsage(
                    _("The template {path} has no place for a logo: give it a section [logo], or leave --logo out."),
                    path=self.template.path,
                )
            frame = self.template.logo
            self.canvas.drawImage(
                logo.image,
                frame.x * mm,
                height - (frame.y + frame.height) * mm,
                frame.width * mm,
                frame.height * mm,
                mask="auto",
                preserveAspectRatio=True,
                anchor="c",
            )
        for shown in texts:
            words = card_template.filled_in(shown.text, self.shared)
            missing = self._missing_glyphs(shown, words)
            if missing:
                output.print_notice(
                    _("The font {font} has no {characters}; they are left out of {words!r}.").format(
                        font=self.template.fonts[shown.font], characters=" ".join(missing), words=words
                    )
                )
                words = "".join(character for character in words if character not in missing)
            self._write(shown, self._shortened(shown, words), 0, self.template.height)
        self.canvas.endForm()

    def _draw_cut_marks(self) -> None:
        """Draw marks where to cut, outside the cards, so that no mark is left on a card."""
        template, canvas = self.template, self.canvas
        canvas.beginForm("cut-marks", 0, 0, template.paper[0] * mm, template.paper[1] * mm)
        canvas.setLineWidth(0.25)
        right = template.paper[0] - self.left
        bottom = template.paper[1] - self.top
        far, near = template.cut_marks + 1, 1
        if template.cut_marks:
            for column in range(template.columns):
                for x in _both_edges(self.left, column, template.width, template.gap):
                    canvas.line(x * mm, (self.top + near) * mm, x * mm, (self.top + far) * mm)
                    canvas.line(x * mm, (bottom - near) * mm, x * mm, (bottom - far) * mm)
            for row in range(template.rows):
                for y in _both_edges(bottom, row, template.height, template.gap):
                    canvas.line((self.left - near) * mm, y * mm, (self.left - far) * mm, y * mm)
                    canvas.line((right + near) * mm, y * mm, (right + far) * mm, y * mm)
        canvas.endForm()

    def _write(self, shown: Text, words: str, x: float, y: float) -> None:
        """Write words; x and y are the upper left corner from which the template measures."""
        font = self.fonts[shown.font].fontName
        size = shown.size
        needed = pdfmetrics.stringWidth(words, font, size)
        if needed > shown.width * mm:
            size = max(size * shown.width * mm / needed, SMALLEST_TEXT_POINTS)
        self.canvas.setFont(font, size)
        draw = {
            "left": self.canvas.drawString,
            "right": self.canvas.drawRightString,
            "center": self.canvas.drawCentredString,
        }[shown.align]
        draw((x + shown.x) * mm, (y - shown.y) * mm, words)

    def _shortened(self, shown: Text, words: str) -> str:
        """Words that fit at the smallest size.  Only shared texts are shortened, never a serial or PIN."""
        font, rest = self.fonts[shown.font].fontName, words
        while rest and pdfmetrics.stringWidth(words, font, SMALLEST_TEXT_POINTS) > shown.width * mm:
            rest = rest[:-1]
            words = rest.rstrip() + "…"
        return words

    def _missing_glyphs(self, shown: Text, words: str) -> list[str]:
        known: Mapping[int, int] = self.fonts[shown.font].face.charToGlyph
        return [character for character in dict.fromkeys(words) if ord(character) not in known]

    def _require_glyphs(self, shown: Text, words: str, serial_number: str) -> None:
        if words.isascii() and words.isprintable():
            return
        if self._missing_glyphs(shown, words):
            raise errors.Refused(
                _(
                    "The font {font} has no glyph for a character on card {serial}, so nobody could read that card. Name "
                    "another font in [fonts] of {path}."
                ),
                font=self.template.fonts[shown.font],
                serial=serial_number,
                path=self.template.path,
            )


def _for_people(fields: Fields) -> dict[str, object]:
    """What all cards share, as people read it: R$ 10,00 and not 10.00."""
    shown: dict[str, object] = dict(fields.shared)
    for name in ("face_value", "money"):
        amount = fields.shared[name]
        if amount is not None:
            shown[name] = output.money(int(Decimal(amount).scaleb(2)))
    shown["kind"] = output.formatted("kind", fields.shared["kind"])
    shown["credit"] = credit_in_words(shown)
    return shown


def _as_lines(names: list[str], place: FieldList | None) -> list[Text]:
    """Fields with their names, one below the other."""
    if place is None:
        return []
    return [
        Text(f"{output.title(name)}: {{{name}}}", place.x, place.y + at * place.spacing, place.font, place.size, "left")
        for at, name in enumerate(names)
    ]


def _font(wanted: str, template_path: str) -> TTFont:
    """The font of a template: one of those that come with ReportLab, or a file beside the template."""
    try:
        return pdf_file.font(wanted, Path(template_path).parent)
    except (TTFError, OSError) as error:
        raise errors.Refused(
            _(
                "The font {font} of the template {path} cannot be used: {cause}. Give Vera, Vera-Bold, Vera-Italic, or the "
                "path of a TrueType file (.ttf)."
            ),
            font=wanted,
            path=template_path,
            cause=" ".join(str(error).split()),
        ) from None


def _both_edges(start: float, number: int, size: float, gap: float) -> tuple[float, float]:
    """The begin and end of one of several cards in a row.

    >>> _both_edges(10, 1, 50, 2)
    (62, 112)
    """
    begin = start + number * (size + gap)
    return begin, begin + size
