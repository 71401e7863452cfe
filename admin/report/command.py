"""prepaid report stock, sales, usage, settlement: sums for people, programs and paper."""

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import click

from ..files import Target
from ..shell import clock, errors, output, table
from ..shell.command import cli, option, pass_office
from ..shell.find import find_partner, find_product
from ..shell.new_file import NewFile
from ..shell.office import Office
from ..shell.option_types import DATE, Word
from ..shell.shared_options import list_options
from ..shell.table import Column
from ..shell.text import _
from ..store.rows import Cursor
from . import data
from . import files as report_files
from .data import Period, Report

FORMATS = ("table", "csv", "xlsx", "pdf", "html")
NEED_A_FILE = ("xlsx", "pdf", "html")
LONGEST_DAYS = 3660
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = (
    "redeemed",
    "expired",
    "exhausted",
    "blocked",
    "first_used",
    "returned",
    "used_up_octets",
    "used_down_octets",
    "in_use",
    "in_stock",
)
# A narrower terminal shows a statement with one amount instead of three.
WIDE = 110
Command = Callable[..., Any]


# Those on the page with charts.
REPORTS = ("stock", "sales", "usage", "settlement")


def _titles() -> dict[str, str]:
    return {
        "stock": _("Stock"),
        "sales": _("Sales"),
        "usage": _("Usage"),
        "settlement": _("Settlement with partners"),
        "statement": _("Statement"),
    }


@cli.group()
def report() -> None:
    """Reports: stock, sales, usage, settlement; as a table, a file, or a page with charts."""


def report_options(command: Command) -> Command:
    """The options of every report."""
    for decorate in reversed(
        (
            option("--partner", "partner_name", metavar="NAME", help="Of this partner only."),
            option("--product", "product_name", metavar="NAME", help="Of this product only."),
            form_options,
        )
    ):
        command = decorate(command)
    return command


def form_options(command: Command) -> Command:
    """The options of a report's form."""
    for decorate in reversed(
        (
            option(
                "--format",
                "form",
                type=click.Choice(FORMATS),
                default="table",
                help="The form of the report; html is one page with the charts of all reports, to look at or print.  [table]",
            ),
            option(
                "--output",
                "path",
                type=click.Path(dir_okay=False),
                metavar="PATH",
                help="The file to make; xlsx, pdf and html need one.  [stdout]",
            ),
            option("--force", is_flag=True, help="Replace the file if it exists."),
            list_options,
        )
    ):
        command = decorate(command)
    return command


def period_options(command: Command) -> Command:
    for decorate in reversed(
        (
            option("--from", "first", type=DATE, metavar="DATE", help="The first day.  [the first of this month]"),
            option("--to", "last", type=DATE, metavar="DATE", help="The last day.  [today]"),
        )
    ):
        command = decorate(command)
    return command


def by_option(command: Command) -> Command:
    decorate: Callable[[Command], Command] = option(
        "--by",
        multiple=True,
        type=Word(data.KEYS, "column"),
        help="A row for each of these; can be given several times.  [day, product and partner]",
    )
    return decorate(command)


@report.command()
@report_options
@pass_office
def stock(office: Office, /, **asked: Any) -> None:
    """Cards by product, partner and status, as they are now.

    \b
    Example:
        prepaid report stock
        prepaid report stock --format html --output cards.html
    """
    make(office, "stock", **asked)


@report.command()
@period_options
@by_option
@report_options
@pass_office
def sales(office: Office, /, **asked: Any) -> None:
    """Cards sold, on the day of their first login, at the price and commission of their delivery.

    \b
    Example:
        prepaid report sales --from 2026-03-01 --to 2026-03-31 --by day
        prepaid report sales --from 2026-01-01 --by month --by partner
        prepaid report sales --by partner --format csv --output sales.csv
    """
    make(office, "sales", **asked)


@report.command()
@period_options
@by_option
@report_options
@pass_office
def usage(office: Office, /, **asked: Any) -> None:
    """Time online and traffic, on the day of a session's last report.

    \b
    Example:
        prepaid report usage --by product
    """
    make(office, "usage", **asked)


@report.command()
@period_options
@report_options
@pass_office
def settlement(office: Office, /, **asked: Any) -> None:
    """Each partner's statement: delivered, returned, in stock, first used, sold, commission, owed.

    \b
    Example:
        prepaid report settlement --partner "Banca do Norte"
        prepaid report settlement --from 2026-03-01 --to 2026-03-31 --format pdf --output march.pdf
    """
    make(office, "settlement", **asked)


def make(
    office: Office,
    name: str,
    *,
    partner_name: str | None,
    product_name: str | None = None,
    form: str,
    path: str | None,
    force: bool,
    as_json: bool,
    first: date | None = None,
    last: date | None = None,
    by: Sequence[str] = (),
) -> None:
    if as_json and form != "table":
        raise errors.WrongUsage(_("--json is a form of its own: leave --format out."))
    if form in NEED_A_FILE and path is None:
        raise errors.WrongUsage(_("A report as {format} is a file: --output PATH."), format=form)
    if path is not None and form == "table":
        raise errors.WrongUsage(
            _("A table is for the terminal. Choose the format of the file: --format csv, xlsx, pdf or html.")
        )
    period = _period(first, last)
    with contextlib.nullcontext() if path is None else NewFile(path, force) as new:
        with office.reading() as cursor:
            wanted = _wanted(cursor, partner_name, product_name)
            document = find_partner(cursor, partner_name)["document"] if partner_name and name == "statement" else None
            found = {
                one: _read(cursor, one, wanted, period, by or data.USUAL_KEYS)
                for one in (REPORTS if form == "html" and name != "statement" else [name])
            }
        if as_json:
            output.print_rows(found[name].rows, as_json)
        elif form == "table":
            _table(found[name], _titles()[name])
        else:
            file = io.BytesIO()
            _write(file, form, found, name, period, ", ".join(filter(None, (partner_name, document, product_name))))
            if new is None:
                sys.stdout.flush()
                sys.stdout.buffer.write(file.getvalue())
            else:
                new.file.write(file.getvalue())
                new.publish()
                output.print_text(_("File created: {path}").format(path=path))


def _read(cursor: Cursor, name: str, wanted: dict[str, Any], period: Period, by: Sequence[str]) -> Report:
    match name:
        case "stock":
            return data.stock(cursor, wanted)
        case "sales":
            return data.sales(cursor, wanted, period, by)
        case "usage":
            return data.usage(cursor, wanted, period, by)
        case "statement":
            return data.statement(cursor, wanted, period)
    return data.settlement(cursor, wanted, period)


def _write(file: Target, form: str, found: dict[str, Report], name: str, period: Period, about: str) -> None:
    title = _titles()[name]
    made = output.made_by()
    if form == "csv":
        report_files.write_csv(file, found[name])
    elif form == "xlsx":
        report_files.write_xlsx(file, found[name], title)
    elif form == "pdf":
        days = (clock.today(),) if name == "stock" else (period.first, period.last)
        span = " – ".join(output.formatted("day", day) for day in days)
        report_files.write_pdf(file, found[name], title, ", ".join(filter(None, (span, about))), made)
    else:
        # Imported here, because only the page needs Jinja2.
        from . import page

        if name == "statement":
            page.write_statement(file, found[name], title, period, about, made)
        else:
            page.write(file, page.Content(**found, period=period, about=about, made=made))


def _table(found: Report, title: str) -> None:
    """Print a table with its sums; in a pipe, lines without them."""
    if not sys.stdout.isatty():
        output.print_rows(found.rows, columns=report_files.columns(found))
        return
    if not found.rows:
        output.print_notice(_("Nothing was found."))
        return
    if found.name == "statement" and table.terminal_size()[0] < WIDE:
        found = data.narrow(found)
    names = [
        name
        for name in report_files.columns(found)
        if name in found.keys or found.totals[name] or name in ("cards", "total", "balance_cents")
    ]
    output.print_table(
        [
            Column(
                name,
                report_files.heading(name),
                is_number=name not in found.keys,
                total=(_("All") if at == 0 else "")
                if name in found.keys
                else report_files.shown(name, found.totals[name]),
            )
            for at, name in enumerate(names)
        ],
        [
            [
                output.formatted(name, row[name]) if name in found.keys else report_files.shown(name, row[name])
                for name in names
            ]
            for row in found.rows[: output.TERMINAL_ROWS + 1]
        ],
        LEAST_IMPORTANT,
        heading=title,
    )


def _period(first: date | None, last: date | None) -> Period:
    last = last or clock.today()
    first = first or last.replace(day=1)
    if first > last:
        raise errors.WrongUsage(_("The period ends on {last}, before it begins on {first}."), first=first, last=last)
    if (last - first).days > LONGEST_DAYS:
        raise errors.WrongUsage(_("A report covers at most {days} days."), days=LONGEST_DAYS)
    return Period(first, last)


def _wanted(cursor: Cursor, partner_name: str | None, product_name: str | None) -> dict[str, Any]:
    return {
        "partner_id": partner_name and find_partner(cursor, partner_name)["id"],
        "product_id": product_name and find_product(cursor, product_name)["id"],
    }
