"""The formats of an export.  To add one: a file that writes the cards, and an entry in FORMATS here.

The command, its help and the tests of the documentation read this registry.  Libraries are imported where they are
needed, because each takes longer to load than most commands take to run.
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import click

from ..files import Target
from ..shell import errors, output
from ..shell.command import option
from ..shell.option_types import Amount
from ..shell.text import _
from . import csv, printer
from . import template as card_template
from .fields import DEFAULT, Cards, Fields

# Writes that many cards, chunk by chunk.
Write = Callable[[Target, Fields, int, Iterable[Cards]], None]
# The values of OPTIONS by name.
Chosen = Mapping[str, Any]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


# What a thermal printer understands.
SLIP = "slip"


class Plan(NamedTuple):
    """What is to be exported, and what writes it."""

    fields: list[str]
    write: Write
    # Of a PDF, by which a sheet is found again.
    cards_a_sheet: int | None = None


class Format(NamedTuple):
    name: str
    # What the names of such files end with.
    endings: tuple[str, ...]
    # Those of OPTIONS that it has.
    options: tuple[str, ...]
    # From the fields of --fields, if given, and its options.
    plan: Callable[[list[str] | None, Chosen], Plan]


def _csv(fields: list[str] | None, chosen: Chosen) -> Plan:
    brazil = chosen["excel_brazil"]
    return _as_text(fields, chosen["separator"] or (";" if brazil else ","), chosen["bom"] or brazil, brazil)


def _delimited(fields: list[str] | None, chosen: Chosen) -> Plan:
    return _as_text(fields, chosen["delimiter"] or "\t", chosen["bom"])


def _as_text(fields: list[str] | None, delimiter: str, bom: bool, excel_brazil: bool = False) -> Plan:
    write = functools.partial(csv.write, delimiter=delimiter, bom=bom, excel_brazil=excel_brazil)
    return Plan(fields or list(DEFAULT), write)


def _xlsx(fields: list[str] | None, chosen: Chosen) -> Plan:
    from . import xlsx

    return Plan(fields or list(DEFAULT), functools.partial(xlsx.write, excel_brazil=chosen["excel_brazil"]))


def _pdf(fields: list[str] | None, chosen: Chosen) -> Plan:
    from . import pdf

    template = card_template.load(chosen["template"])
    shown, listed = pdf.fields_shown(template, fields)
    logo = pdf.Logo(chosen["logo"]) if chosen["logo"] else None
    write = functools.partial(pdf.write, template=template, listed=listed, logo=logo)
    return Plan(shown, write, template.cards_a_sheet)


def _slip(fields: list[str] | None, chosen: Chosen) -> Plan:
    from . import slip

    names = fields or list(slip.FIELDS)
    unknown = [name for name in names if name not in slip.FIELDS]
    if unknown:
        raise errors.WrongUsage(
            _("A slip has no place for {fields}. Its fields are {known}."),
            fields=", ".join(unknown),
            known=", ".join(slip.FIELDS),
        )
    return Plan(names, functools.partial(slip.write, paper=chosen["paper"] or slip.DEFAULT_PAPER))


FORMATS = {
    each.name: each
    for each in (
        Format("csv", (".csv",), ("separator", "bom", "excel_brazil"), _csv),
        Format("delimited", (".txt", ".tsv"), ("delimiter", "bom"), _delimited),
        Format("xlsx", (".xlsx",), ("excel_brazil",), _xlsx),
        Format("pdf", (".pdf",), ("template", "logo"), _pdf),
        Format(SLIP, (".escpos",), ("paper",), _slip),
    )
}


TEXTS = {"csv", "delimited"}


def of_file(path: str, name: str | None, sealed: bool) -> Format:
    """The format with this name; without a name, the one that the file's ending names.  A contradiction is wrong usage.

    Any text can be in a file for text: the endings of csv and delimited contradict only the other formats.
    """
    if printer.is_printer(path):
        if name not in (None, SLIP) or sealed:
            raise errors.WrongUsage(
                _("{path} is a printer, and a printer takes only --format slip, not sealed."), path=path
            )
        return FORMATS[SLIP]
    inner = path.removesuffix(".age") if sealed else path
    ending = os.path.splitext(inner)[1].lower()
    by_ending = next((each for each in FORMATS.values() if ending in each.endings), None)
    if name is None:
        if by_ending is None and ending:
            raise errors.WrongUsage(
                _("The ending {ending} of {path} names no format. Say which: --format {formats}."),
                ending=ending,
                path=path,
                formats=", ".join(FORMATS),
            )
        return by_ending or FORMATS["csv"]
    chosen = FORMATS[name]
    if by_ending is not None and by_ending is not chosen and not {by_ending.name, name} <= TEXTS:
        raise errors.WrongUsage(
            _("{path} ends like a file of the format {found}, but --format is {format}. Change one of them."),
            path=path,
            found=by_ending.name,
            format=name,
        )
    return chosen


def _show_template(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.print_text(card_template.default_path().read_text("utf-8").rstrip("\n"))
        ctx.exit()


# Options that only some formats have; the help of each begins with their names.
OPTIONS: dict[str, Decorator] = {
    "separator": option(
        "--separator",
        type=Amount("character", csv.delimiter),
        help="csv: between the fields; Excel in Brazil expects ';'.  [,]",
    ),
    "bom": option(
        "--bom", is_flag=True, help="csv, delimited: begin with a byte order mark, by which Excel recognises UTF-8."
    ),
    "excel_brazil": option(
        "--excel-brazil",
        is_flag=True,
        help="csv, xlsx: for Excel in Brazil: headings in Portuguese, days like 31/12/2026; in csv also ';' between the "
        "fields, decimal commas and the byte order mark.",
    ),
    "delimiter": option(
        "--delimiter",
        type=Amount("character", csv.delimiter),
        help="delimited: between the fields; any character, or the word tab or space.  [tab]",
    ),
    "template": option(
        "--template",
        type=click.Path(dir_okay=False),
        help="pdf: how a card looks.  [the one that --show-template prints]",
    ),
    "show_template": option(
        "--show-template",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_template,
        help="Print the template for pdf, for you to change, and do nothing else.",
    ),
    "paper": option("--paper", type=click.Choice(["58", "80"]), help="slip: the width of the paper in mm.  [58]"),
    "logo": option("--logo", type=click.Path(dir_okay=False), help="pdf: a PNG or JPEG for every card."),
}


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of OPTIONS."""
    for decorate in reversed(OPTIONS.values()):
        command = decorate(command)
    return command
