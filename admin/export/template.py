"""The template of a PDF export: a file that says how a card looks on paper, read and checked.

card.en.ini and card.pt_BR.ini beside this file are the templates that are used if none is given, and the manual.
"""

import configparser
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import EllipsisType
from typing import NamedTuple

from ..shell import errors, text
from ..shell.text import _
from .fields import NAMES

FOLDER = Path(__file__).parent
PAPERS = {"a4": (210.0, 297.0), "a3": (297.0, 420.0), "letter": (215.9, 279.4)}
# What the footer of a sheet can show.
SHEET_NAMES = ("sheet", "sheets", "batch", "product", "kind", "credit", "face_value")
MOST_MM = 2000.0


# The conditions of a text: on which cards it is printed.
CONDITIONS = ("internet", "telephony", "one code", "two codes", "no logo")


class Text(NamedTuple):
    text: str
    x: float
    y: float
    font: str
    size: float
    align: str
    # The text becomes smaller until it fits.
    width: float = math.inf
    # Printed only if all these fields are printed and have a value, and on cards of these kinds only.
    needs: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()

    @property
    def fields(self) -> list[str]:
        return placeholders(self.text)

    def is_printed(self, names: Iterable[str], empty: Iterable[str], kinds: Iterable[str]) -> bool:
        """Whether a card of these kinds has this text, if these fields were chosen and those of them have no value.

        >>> label = Text("PIN", 0, 0, "bold", 9, "left", needs=("pin",), only_for=("two codes",))
        >>> label.is_printed(["serial", "pin"], [], ["internet", "two codes"])
        True
        >>> label.is_printed(["serial"], [], ["two codes"]), label.is_printed(["pin"], [], ["one code"])
        (False, False)
        """
        return {*self.fields, *self.needs} <= set(names) - set(empty) and set(self.only_for) <= set(kinds)


class Line(NamedTuple):
    x: float
    y: float
    to_x: float
    to_y: float
    thickness: float


class Frame(NamedTuple):
    x: float
    y: float
    width: float
    height: float


class FieldList(NamedTuple):
    x: float
    y: float
    font: str
    size: float
    spacing: float


class Template(NamedTuple):
    """All measures are millimetres, from the upper left corner of the card."""

    path: str
    paper: tuple[float, float]
    columns: int
    rows: int
    gap: float
    cut_marks: float
    footer: str
    width: float
    height: float
    fonts: dict[str, str]
    texts: list[Text]
    lines: list[Line]
    logo: Frame | None
    qr: Frame | None
    field_list: FieldList | None

    @property
    def cards_a_sheet(self) -> int:
        return self.columns * self.rows

    @property
    def fields(self) -> list[str]:
        """The fields that the texts show, in the order of the texts."""
        return list(dict.fromkeys(name for shown in self.texts for name in shown.fields))


def default_path() -> Path:
    return FOLDER / f"card.{text.language()}.ini"


def load(path: str | Path | None = None) -> Template:
    """Read a template; a refusal names what is wrong in it.

    >>> template = load()
    >>> template.cards_a_sheet, template.paper
    (10, (210.0, 297.0))
    """
    path = Path(path or default_path())
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), comment_prefixes=("#",), default_section="\0"
    )
    try:
        parser.read_string(path.read_text("utf-8-sig"))
    except OSError as error:
        raise errors.Refused(
            _("The template {path} cannot be read: {cause}."), path=path, cause=error.strerror or error
        ) from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise errors.Refused(
            _("{path} is not a template: {cause}. Compare it with 'prepaid export --show-template'."),
            path=path,
            cause=" ".join(str(error).split()),
        ) from None
    return _Reader(path, parser).template()


def placeholders(words: str) -> list[str]:
    """The names in braces.

    >>> placeholders("{serial} / {pin}")
    ['serial', 'pin']
    """
    return re.findall(r"{(.*?)}", words)


def filled_in(words: str, values: Mapping[str, object]) -> str:
    """A text with its names replaced.  Not by str.format, which would give access to attributes of the values.

    >>> filled_in("{serial}: {product}", {"serial": "A17", "product": "{pin}"})
    'A17: {pin}'
    """
    return re.sub(r"{(.*?)}", lambda match: _shown(values[match[1]]), words)


def _shown(value: object) -> str:
    return "" if value is None else str(value)


class _Reader:
    """Takes the sections one by one; a section that is left over is a mistake."""

    def __init__(self, path: Path, parser: configparser.ConfigParser):
        self.path = path
        self.sections = {name: dict(parser.items(name)) for name in parser.sections()}

    def template(self) -> Template:
        fonts = self._fonts()
        sheet, card = self._required("sheet"), self._required("card")
        template = Template(
            path=str(self.path),
            paper=sheet.paper("paper"),
            columns=sheet.count("columns"),
            rows=sheet.count("rows"),
            gap=sheet.length("gap", 0.0),
            cut_marks=sheet.length("cut_marks", 0.0),
            footer=sheet.words("footer", SHEET_NAMES, ""),
            width=card.length("width"),
            height=card.length("height"),
            fonts=fonts,
            texts=[self._text(section, fonts) for section in self._named("text")],
            lines=[
                Line(
                    section.length("x"),
                    section.length("y"),
                    section.length("to_x"),
                    section.length("to_y"),
                    section.length("thickness", 0.2),
                )
                for section in self._named("line")
            ],
            logo=self._logo(),
            qr=self._qr(),
            field_list=self._field_list(fonts),
        )
        sheet.finish()
        card.finish()
        self._refuse_unknown()
        self._require_room(template)
        return template

    def _fonts(self) -> dict[str, str]:
        named = self.sections.pop("fonts", {})
        return {"regular": "Vera", "bold": "Vera-Bold", **named}

    def _text(self, section: "_Section", fonts: dict[str, str]) -> Text:
        shown = Text(
            section.words("text", NAMES),
            section.length("x"),
            section.length("y"),
            section.font(fonts),
            section.length("size", 9.0),
            section.one_of("align", ("left", "center", "right")),
            section.length("width", math.inf),
            section.listed("with", NAMES),
            section.listed("for", CONDITIONS),
        )
        section.finish()
        return shown

    def _logo(self) -> Frame | None:
        section = self._section("logo")
        if section is None:
            return None
        x, y, width, height = (section.length(name) for name in ("x", "y", "width", "height"))
        section.finish()
        return Frame(x, y, width, height)

    def _qr(self) -> Frame | None:
        section = self._section("qr")
        if section is None:
            return None
        x, y, size = (section.length(name) for name in ("x", "y", "size"))
        section.finish()
        return Frame(x, y, size, size)

    def _field_list(self, fonts: dict[str, str]) -> FieldList | None:
        section = self._section("fields")
        if section is None:
            return None
        found = FieldList(
            section.length("x"),
            section.length("y"),
            section.font(fonts),
            section.length("size", 6.0),
            section.length("spacing", 2.5),
        )
        section.finish()
        return found

    def _section(self, name: str) -> "_Section | None":
        values = self.sections.pop(name, None)
        return None if values is None else _Section(self.path, name, values)

    def _required(self, name: str) -> "_Section":
        section = self._section(name)
        if section is None:
            raise errors.Refused(
                _("The template {path} has no section [{section}]. Compare it with 'prepaid export --show-template'."),
                path=self.path,
                section=name,
            )
        return section

    def _named(self, word: str) -> list["_Section"]:
        names = [name for name in self.sections if name.split(" ")[0] == word]
        return [self._required(name) for name in names]

    def _refuse_unknown(self) -> None:
        for name in self.sections:
            raise errors.Refused(
                _(
                    "The template {path} has an unknown section [{section}]. The sections are sheet, card, fonts, "
                    "logo, qr, fields, and any number of 'text NAME' and 'line NAME'."
                ),
                path=self.path,
                section=name,
            )

    def _require_room(self, template: Template) -> None:
        for which, paper, count, size in (
            ("columns", template.paper[0], template.columns, template.width),
            ("rows", template.paper[1], template.rows, template.height),
        ):
            needed = count * size + (count - 1) * template.gap
            if needed > paper + 0.01:
                raise errors.Refused(
                    _(
                        "In the template {path}, {count} {which} of {size} mm need {needed:.1f} mm and the paper has "
                        "{paper:.1f}. Take fewer, make the card smaller, or use larger paper."
                    ),
                    path=self.path,
                    count=count,
                    which=which,
                    size=size,
                    needed=needed,
                    paper=paper,
                )


class _Section:
    def __init__(self, path: Path, name: str, values: dict[str, str]):
        self.path = path
        self.name = name
        self.values = values

    def length(self, key: str, default: float | EllipsisType = ...) -> float:
        value = self._take(key, default)
        if isinstance(value, float):
            return value
        try:
            number = float(value.replace(",", "."))
        except ValueError:
            number = -1.0
        if not 0 <= number <= MOST_MM:
            raise self._wrong(key, value, _("It is a number of millimetres, 12.5 for example."))
        return number

    def count(self, key: str) -> int:
        value = self._words(key)
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 100):
            raise self._wrong(key, value, _("It is a number from 1 to 100."))
        return int(value)

    def paper(self, key: str) -> tuple[float, float]:
        value = self._words(key, "A4")
        if value.lower() in PAPERS:
            return PAPERS[value.lower()]
        sides = re.fullmatch(r"(\d+(?:\.\d+)?) ?[xX×] ?(\d+(?:\.\d+)?)", value)
        if sides is None or not all(10 <= float(side) <= MOST_MM for side in sides.groups()):
            raise self._wrong(key, value, _("It is A4, A3, Letter, or width x height: 210 x 297."))
        return float(sides[1]), float(sides[2])

    def one_of(self, key: str, words: tuple[str, ...]) -> str:
        value = self._words(key, words[0])
        if value not in words:
            raise self._wrong(key, value, _("It is one of {words}.").format(words=", ".join(words)))
        return value

    def listed(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Words that are separated by commas."""
        value = self._words(key, "")
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        for word in words:
            if word not in known:
                raise self._wrong(key, value, _("It is a list of {words}.").format(words=", ".join(known)))
        return words

    def font(self, fonts: dict[str, str]) -> str:
        return self.one_of("font", tuple(fonts))

    def words(self, key: str, names: tuple[str, ...], default: str | EllipsisType = ...) -> str:
        value = self._words(key, default)
        for name in placeholders(value):
            if name not in names:
                raise self._wrong(
                    key,
                    value,
                    _("There is no field {{{name}}}.{hint} The fields are {fields}.").format(
                        name=name, hint=errors.did_you_mean(name, list(names)), fields=", ".join(names)
                    ),
                )
        return value

    def finish(self) -> None:
        for key, value in self.values.items():
            raise self._wrong(key, value, _("There is no such setting; remove it or correct its name."))

    def _words(self, key: str, default: str | EllipsisType = ...) -> str:
        return str(self._take(key, default))

    def _take(self, key: str, default: str | float | EllipsisType) -> str | float:
        """The value of a key, which is not read twice; an empty value is like none."""
        value = self.values.pop(key, "").strip()
        if value:
            return value
        if default is ...:
            raise errors.Refused(
                _("The template {path} has no {key} in [{section}]. Compare it with 'prepaid export --show-template'."),
                path=self.path,
                key=key,
                section=self.name,
            )
        return default

    def _wrong(self, key: str, value: str, remedy: str) -> errors.Refused:
        return errors.Refused(
            _("In the template {path}, [{section}] {key} = {value!r} is wrong.").format(
                path=self.path, section=self.name, key=key, value=value
            )
            + " "
            + remedy
        )
