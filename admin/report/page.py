"""The reports as one page of HTML that needs no network and no script, and that prints on A4.

It shows what a table does not show: the cards by status, sales and usage by day, the partners and products that bring
them, and what each partner owes.  Here are the figures, their words and the geometry; page.html and page.css are the look.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from freeradius_module.rules import units

from ..files import Target
from ..shell import output, text
from ..shell.text import _, in_context, plural
from . import chart as report_chart
from . import files as report_files
from .chart import Chart
from .data import SALES, USAGE, Period, Report, summed

STATUS_COLORS = {
    "created": "#8fa3b8",
    "delivered": "#2f6fde",
    "in_use": "#0f9d76",
    "exhausted": "#5b6b7c",
    "expired": "#d98a14",
    "blocked": "#d0432f",
    "redeemed": "#7a5bd0",
}
SALES_COLOR, USAGE_COLOR, TIME_COLOR = "#2f6fde", "#0f9d76", "#7a5bd0"
# The most bars of a chart; the others are one sum.
BARS = 10

Shown = Callable[[float], str]


class Content(NamedTuple):
    stock: Report
    sales: Report
    usage: Report
    settlement: Report
    period: Period
    about: str
    made: str


class Tile(NamedTuple):
    name: str
    figure: str
    note: str


class Mark(NamedTuple):
    """An entry of a legend."""

    color: str
    name: str
    value: str


class Table(NamedTuple):
    """A row is a name and its cells."""

    heading: list[str]
    rows: list[tuple[str, list[str]]]
    sums: tuple[str, list[str]]


class Panel(NamedTuple):
    """A chart or a table under a heading; with neither it says that there is nothing."""

    heading: str
    note: str = ""
    chart: Chart | None = None
    legend: list[Mark] | None = None
    table: Table | None = None


def write(file: Target, content: Content) -> None:
    file.write(page(content).encode())


def write_statement(file: Target, statement: Report, title: str, period: Period, about: str, made: str) -> None:
    """A partner's statement as a page: the sums, and below them every line."""
    totals = statement.totals
    figures = [
        (_("Opening balance"), statement.rows[0]["balance_cents"], output.formatted("day", period.first)),
        (_("Sales"), totals["sold_cents"], _("at the price of the delivery")),
        (_("Commission"), totals["commission_cents"], _("of these sales")),
        (_("Paid"), totals["paid_cents"], _("less reversals")),
        (_("Closing balance"), totals["balance_cents"], output.formatted("day", period.last)),
    ]
    cards = sum(row["cards"] for row in statement.rows if row["what"] == "sales")
    sold = Tile(_("Sold"), _count(cards), _("first logins"))
    names = report_files.columns(statement)
    heading = [report_files.heading(name) for name in names]
    rows = [
        (output.formatted(names[0], row[names[0]]), [report_files.shown(name, row[name]) for name in names[1:]])
        for row in statement.rows
    ]
    sums = [report_files.shown(name, totals.get(name)) for name in names[1:]]
    words = {
        "title": title,
        "span": _span(period),
        "about": about,
        "made": made,
        "tiles": [Tile(name, _money(cents), note) for name, cents, note in figures] + [sold],
        "panels_by_row": [[Panel(title, table=Table(heading, rows, (_("All"), sums)))]],
    }
    file.write(_rendered(words).encode())


def page(content: Content) -> str:
    words = {
        "title": _("Prepaid cards"),
        "span": _span(content.period),
        "about": content.about,
        "made": content.made,
        "tiles": _tiles(content),
        "panels_by_row": [
            [_status(content.stock)],
            *_by_day(content),
            *_by_name(content),
            [_settlement(content.settlement)],
        ],
    }
    return _rendered(words)


def _rendered(words: dict[str, Any]) -> str:
    # From a folder and not from a package's name, so that it works under any name of the package.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(
        lang=text.language().replace("_", "-"), nothing=_("Nothing in this period."), **words
    )


def _tiles(content: Content) -> list[Tile]:
    stock, sales, usage = content.stock.totals, content.sales.totals, content.usage.totals
    days = max(len(content.period.days), 1)
    return [
        Tile(_("In stock"), _count(stock["created"]), _("at the office")),
        Tile(_("At partners"), _count(stock["delivered"]), _("not used yet")),
        Tile(_("Sold"), _count(sales["cards"]), _("{count} a day").format(count=_decimal(sales["cards"] / days))),
        Tile(
            _("Sales"),
            _rounded_money(sales["sold_cents"]),
            _("{amount} commission").format(amount=_rounded_money(sales["commission_cents"])),
        ),
        Tile(
            _("Online"),
            _hours(usage["used_seconds"] / 3600),
            plural("{count} session", "{count} sessions", usage["sessions"]).format(count=_count(usage["sessions"])),
        ),
        Tile(_("Traffic"), _size(_octets(usage)), _("{size} downloaded").format(size=_size(usage["used_down_octets"]))),
    ]


def _status(stock: Report) -> Panel:
    statuses = list(STATUS_COLORS)
    values = [stock.totals[status] for status in statuses]
    names = [in_context("word", status).replace("_", " ") for status in statuses]
    heading, total = _("Cards by status"), stock.totals["total"]
    return Panel(
        heading,
        plural("{count} card", "{count} cards", total).format(count=_count(total)),
        report_chart.shares(heading, names, values, _count, list(STATUS_COLORS.values())) if any(values) else None,
        [
            Mark(STATUS_COLORS[status], name, _count(value))
            for status, name, value in zip(statuses, names, values, strict=True)
            if value
        ],
    )


def _by_day(content: Content) -> list[list[Panel]]:
    days = content.period.days
    sales = {row["day"]: row for row in summed(content.sales.rows, ["day"], SALES)}
    usage = {row["day"]: row for row in summed(content.usage.rows, ["day"], USAGE)}
    sold = [sales[day]["sold_cents"] if day in sales else 0 for day in days]
    octets = [_octets(usage[day]) if day in usage else 0 for day in days]
    hours = [usage[day]["used_seconds"] / 3600 if day in usage else 0 for day in days]

    def panel(heading: str, values: Sequence[float], shown: Shown, on_axis: Shown, color: str, width: int) -> Panel:
        if not any(values):
            return Panel(heading)
        names = [_short(day) for day in days]
        chart = report_chart.columns(heading, names, values, on_axis, color, width=width)
        return Panel(heading, _best(days, values, shown), chart)

    half = report_chart.HALF
    return [
        [panel(_("Sales by day"), sold, _money, _short_money, SALES_COLOR, report_chart.WIDTH)],
        [
            panel(_("Traffic by day"), octets, _size, _size, USAGE_COLOR, half),
            panel(_("Time online by day"), hours, _hours, _hours, TIME_COLOR, half),
        ],
    ]


def _by_name(content: Content) -> list[list[Panel]]:
    def panel(heading: str, values: list[tuple[str | None, int]], shown: Shown, color: str) -> Panel:
        names, amounts, rest = _longest(values)
        return Panel(heading, chart=report_chart.bars(heading, names, amounts, shown, color, rest) if names else None)

    rows = []
    for key, of_sales, of_usage in (
        ("partner", _("Sales by partner"), _("Traffic by partner")),
        ("product", _("Sales by product"), _("Traffic by product")),
    ):
        sold = [(row[key], row["sold_cents"]) for row in summed(content.sales.rows, [key], SALES)]
        used = [(row[key], _octets(row)) for row in summed(content.usage.rows, [key], USAGE)]
        rows.append([panel(of_sales, sold, _money, SALES_COLOR), panel(of_usage, used, _size, USAGE_COLOR)])
    return rows


def _settlement(settlement: Report) -> Panel:
    heading = _("Settlement with partners")
    if not settlement.rows:
        return Panel(heading)
    names = list(settlement.totals)

    def cells(row: dict[str, Any]) -> list[str]:
        return [_money(row[name]) if name.endswith("_cents") else _count(row[name]) for name in names]

    return Panel(
        heading,
        _("“In stock” is now, the rest is of the period"),
        table=Table(
            [output.title(name.removesuffix("_cents")) for name in ("partner", *names)],
            [(row["partner"], cells(row)) for row in settlement.rows],
            (_("All"), cells(settlement.totals)),
        ),
    )


def _longest(values: Sequence[tuple[str | None, int]]) -> tuple[list[str], list[int], tuple[str, int] | None]:
    """The largest values by name, and the sum of the others.

    >>> _longest([("A", 1), (None, 5)])
    (['–', 'A'], [5, 1], None)
    """
    ordered = sorted(((name or "–", value) for name, value in values if value), key=lambda pair: (-pair[1], pair[0]))
    most = BARS if len(ordered) > BARS + 1 else len(ordered)
    others = [value for _name, value in ordered[most:]]
    rest = (_("{count} others").format(count=len(others)), sum(others)) if others else None
    return [name for name, _value in ordered[:most]], [value for _name, value in ordered[:most]], rest


def _best(days: Sequence[date], values: Sequence[float], shown: Shown) -> str:
    best = max(range(len(days)), key=lambda at: values[at])
    return _("most on {day}: {amount}").format(day=output.formatted("day", days[best]), amount=shown(values[best]))


def _octets(row: dict[str, Any]) -> int:
    octets: int = row["used_down_octets"] + row["used_up_octets"]
    return octets


def _span(period: Period) -> str:
    first, last = output.formatted("day", period.first), output.formatted("day", period.last)
    return first if first == last else f"{first} – {last}"


def _short(day: date) -> str:
    return day.strftime("%d/%m") if text.language() == "pt_BR" else day.strftime("%b %-d")


def _money(cents: float) -> str:
    return output.money(round(cents))


def _short_money(cents: float) -> str:
    """Without cents where there are none."""
    return _money(cents)[:-3] if round(cents) % 100 == 0 else _money(cents)


def _rounded_money(cents: float) -> str:
    """From a thousand on in whole units, so that it fits its tile."""
    return _short_money(round(cents, -2) if cents >= 100_000 else cents)


def _size(octets: float) -> str:
    return units.format_size(round(octets), text.language())


def _hours(hours: float) -> str:
    return f"{_decimal(hours)} h"


def _count(value: float) -> str:
    return units.format_count(round(value), text.language())


def _decimal(value: float) -> str:
    """A number with one decimal below ten.

    >>> _decimal(3.14), _decimal(31.4), _decimal(4.0)
    ('3.1', '31', '4')
    """
    if value >= 10 or value == int(value):
        return _count(value)
    return f"{value:.1f}".replace(".", "," if text.language() == "pt_BR" else ".")
