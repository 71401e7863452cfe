"""The reports as one page of HTML that holds all it needs: no network, no script, and it prints on A4.

It shows what a table does not: how cards stand, how sales and usage go from day to day, which partners and products
carry them, and what each partner owes.
"""

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import NamedTuple

from freeradius_module.rules import units

from ..shell import output, text
from ..shell.text import _, in_context, plural
from . import chart as report_chart
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
# More than these, and the rest is one bar.
BARS = 10


class Content(NamedTuple):
    stock: Report
    sales: Report
    usage: Report
    settlement: Report
    period: Period
    about: str
    made: str


def write(file, content: Content, currency: str) -> None:
    file.write(page(content, currency).encode())


def page(content: Content, currency: str) -> str:
    lang = text.language()

    def money(cents: float) -> str:
        return units.format_money(round(cents), lang, currency)

    def money_of_axis(cents: float) -> str:
        shown = units.format_money(round(cents), lang, currency)
        return shown[:-3] if round(cents) % 100 == 0 else shown

    title = _("Prepaid cards")
    body = [
        _header(title, content),
        _tiles(content, lambda cents: money_of_axis(round(cents, -2) if cents >= 100_000 else cents)),
        _status(content.stock),
        _by_day(content, money, money_of_axis),
        _by_name(content, money),
        _settlement(content.settlement, money),
        f"<footer>{escape(content.made)}</footer>",
    ]
    return (
        f'<!doctype html>\n<html lang="{lang.replace("_", "-")}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)} – {escape(_span(content.period))}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def _header(title: str, content: Content) -> str:
    about = f'<span class="about">{escape(content.about)}</span>' if content.about else ""
    return (
        f"<header><div><h1>{escape(title)}</h1>{about}</div>"
        f'<p class="period">{escape(_span(content.period))}</p></header>'
    )


def _tiles(content: Content, money) -> str:
    stock, sales, usage = content.stock.totals, content.sales.totals, content.usage.totals
    octets = usage["used_down_octets"] + usage["used_up_octets"]
    lang = text.language()
    days = max(len(content.period.days), 1)
    tiles = [
        (_("In stock"), _count(stock["created"]), _("at the office")),
        (_("At partners"), _count(stock["delivered"]), _("not used yet")),
        (_("Sold"), _count(sales["cards"]), _("{count} a day").format(count=_decimal(sales["cards"] / days))),
        (
            _("Sales"),
            money(sales["sold_cents"]),
            _("{amount} commission").format(amount=money(sales["commission_cents"])),
        ),
        (
            _("Online"),
            f"{_decimal(usage['used_seconds'] / 3600)} h",
            plural("{count} session", "{count} sessions", usage["sessions"]).format(count=_count(usage["sessions"])),
        ),
        (
            _("Traffic"),
            units.format_size(octets, lang),
            _("{size} downloaded").format(size=units.format_size(usage["used_down_octets"], lang)),
        ),
    ]
    return (
        '<section class="tiles">'
        + "".join(
            f'<div class="tile"><h2>{escape(name)}</h2><p class="figure">{escape(figure)}</p><p class="note">{escape(note)}</p></div>'
            for name, figure, note in tiles
        )
        + "</section>"
    )


def _status(stock: Report) -> str:
    statuses = list(STATUS_COLORS)
    values = [stock.totals[status] for status in statuses]
    names = [in_context("word", status).replace("_", " ") for status in statuses]
    legend = "".join(
        f'<li><i style="background:{STATUS_COLORS[status]}"></i><span>{escape(name)}</span><b>{_count(value)}</b></li>'
        for status, name, value in zip(statuses, names, values, strict=True)
        if value
    )
    chart = report_chart.shares(_("Cards by status"), names, values, _count, list(STATUS_COLORS.values()))
    return _panel(
        _("Cards by status"),
        plural("{count} card", "{count} cards", stock.totals["total"]).format(count=_count(stock.totals["total"])),
        f'{chart}<ul class="legend">{legend}</ul>' if legend else _nothing(),
    )


def _by_day(content: Content, money, money_of_axis) -> str:
    days = content.period.days
    names = [_short(day) for day in days]
    lang = text.language()
    sales = {row["day"]: row for row in summed(content.sales.rows, ["day"], SALES)}
    usage = {row["day"]: row for row in summed(content.usage.rows, ["day"], USAGE)}
    sold = [sales.get(day, {}).get("sold_cents", 0) for day in days]
    octets = [
        usage.get(day, {}).get("used_down_octets", 0) + usage.get(day, {}).get("used_up_octets", 0) for day in days
    ]
    hours = [usage.get(day, {}).get("used_seconds", 0) / 3600 for day in days]

    def size(value: float) -> str:
        return units.format_size(round(value), lang)

    def online(value: float) -> str:
        return f"{_decimal(value)} h"

    return "".join(
        (
            _panel(
                _("Sales by day"),
                _best(days, sold, money),
                report_chart.columns(_("Sales by day"), names, sold, money_of_axis, SALES_COLOR)
                if any(sold)
                else _nothing(),
            ),
            '<div class="pair">',
            _panel(
                _("Traffic by day"),
                _best(days, octets, size),
                report_chart.columns(_("Traffic by day"), names, octets, size, USAGE_COLOR, width=report_chart.HALF)
                if any(octets)
                else _nothing(),
            ),
            _panel(
                _("Time online by day"),
                _best(days, hours, online),
                report_chart.columns(_("Time online by day"), names, hours, online, TIME_COLOR, width=report_chart.HALF)
                if any(hours)
                else _nothing(),
            ),
            "</div>",
        )
    )


def _by_name(content: Content, money) -> str:
    lang = text.language()
    parts = []
    for key, of_sales, of_usage in (
        ("partner", _("Sales by partner"), _("Traffic by partner")),
        ("product", _("Sales by product"), _("Traffic by product")),
    ):
        sold = [(row[key], row["sold_cents"]) for row in summed(content.sales.rows, [key], SALES)]
        used = [
            (row[key], row["used_down_octets"] + row["used_up_octets"])
            for row in summed(content.usage.rows, [key], USAGE)
        ]
        parts.append('<div class="pair">')
        for heading, values, shown, color in (
            (of_sales, sold, money, SALES_COLOR),
            (of_usage, used, lambda value: units.format_size(round(value), lang), USAGE_COLOR),
        ):
            names, amounts, rest = _longest(values)
            parts.append(
                _panel(
                    heading, "", report_chart.bars(heading, names, amounts, shown, color, rest) if names else _nothing()
                )
            )
        parts.append("</div>")
    return "".join(parts)


def _settlement(settlement: Report, money) -> str:
    names = ("delivered", "returned", "in_stock", "first_used", "sold_cents", "commission_cents", "owed_cents")

    def cells(row: dict) -> str:
        return "".join(
            f"<td>{escape(money(row[name]) if name.endswith('_cents') else _count(row[name]))}</td>" for name in names
        )

    if not settlement.rows:
        return _panel(_("Settlement with partners"), "", _nothing())
    heads = "".join(f"<th>{escape(output.title(name.removesuffix('_cents')))}</th>" for name in names)
    rows = "".join(f'<tr><th scope="row">{escape(row["partner"])}</th>{cells(row)}</tr>' for row in settlement.rows)
    foot = f'<tr><th scope="row">{escape(_("All"))}</th>{cells(settlement.totals)}</tr>'
    return _panel(
        _("Settlement with partners"),
        _("“In stock” is now, the rest is of the period"),
        f"<table><thead><tr><th>{escape(output.title('partner'))}</th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody><tfoot>{foot}</tfoot></table>",
        "table",
    )


def _panel(heading: str, note: str, inner: str, kind: str = "") -> str:
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section class="panel {kind}"><div class="head"><h2>{escape(heading)}</h2>{told}</div>{inner}</section>'


def _nothing() -> str:
    return f'<p class="nothing">{escape(_("Nothing in this period."))}</p>'


def _longest(values: Sequence[tuple]) -> tuple[list[str], list[float], tuple[str, float] | None]:
    """The largest values by name, and the sum of the others.

    >>> _longest([("A", 1), (None, 5)])
    (['–', 'A'], [5, 1], None)
    """
    ordered = sorted(((name or "–", value) for name, value in values if value), key=lambda pair: (-pair[1], pair[0]))
    most = BARS if len(ordered) > BARS + 1 else len(ordered)
    others = [value for _name, value in ordered[most:]]
    rest = (_("{count} others").format(count=len(others)), sum(others)) if others else None
    return [name for name, _value in ordered[:most]], [value for _name, value in ordered[:most]], rest


def _best(days: Sequence[date], values: Sequence[float], shown) -> str:
    if not any(values):
        return ""
    best = max(range(len(days)), key=lambda at: values[at])
    return _("most on {day}: {amount}").format(day=output.formatted("day", days[best]), amount=shown(values[best]))


def _span(period: Period) -> str:
    first, last = output.formatted("day", period.first), output.formatted("day", period.last)
    return first if first == last else f"{first} – {last}"


def _short(day: date) -> str:
    return day.strftime("%d/%m") if text.language() == "pt_BR" else day.strftime("%b %-d")


def _count(value: float) -> str:
    return f"{round(value):,}".replace(",", "." if text.language() == "pt_BR" else ",")


def _decimal(value: float) -> str:
    """A number with one decimal below ten.

    >>> _decimal(3.14), _decimal(31.4), _decimal(4.0)
    ('3.1', '31', '4')
    """
    if value >= 10 or value == int(value):
        return _count(value)
    return f"{value:.1f}".replace(".", "," if text.language() == "pt_BR" else ".")


STYLE = """
:root { --ink: #17212e; --soft: #66758a; --line: #e3e8ee; --paper: #ffffff; --ground: #f2f5f8; --accent: #2f6fde; }
* { box-sizing: border-box; margin: 0; }
body { background: var(--ground); color: var(--ink); font: 15px/1.45 "Inter", "Segoe UI", system-ui, -apple-system, "Noto Sans",
  "Liberation Sans", Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1060px; margin: 0 auto; padding: 36px 24px 28px; }
header { display: flex; justify-content: space-between; align-items: flex-end; gap: 24px; margin-bottom: 22px; }
h1 { font-size: 30px; line-height: 1.15; font-weight: 700; letter-spacing: -.02em; }
.about { color: var(--soft); }
.period { color: var(--soft); font-size: 16px; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 12px; margin-bottom: 14px; }
.tile, .panel { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  box-shadow: 0 1px 2px rgba(23, 33, 46, .04); }
.tile { padding: 13px 15px 12px; min-width: 0; }
.tile h2 { font-size: 12.5px; font-weight: 600; color: var(--soft); }
.figure { font-size: 22px; font-weight: 700; letter-spacing: -.02em; white-space: nowrap; margin: 2px 0; }
.note { color: var(--soft); font-size: 12.5px; }
.tile .note { overflow-wrap: anywhere; }
.panel { padding: 18px 20px; margin-bottom: 14px; min-width: 0; }
.head { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 2px 16px; margin-bottom: 14px; }
.panel h2 { font-size: 16px; font-weight: 650; letter-spacing: -.01em; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-family: inherit; fill: var(--ink); font-size: 13px; }
svg .axis { fill: var(--soft); font-size: 12.5px; }
svg .grid { stroke: var(--line); }
svg .base { stroke: #b9c4d0; }
svg .track { fill: #f0f3f7; }
svg .value { font-weight: 600; }
svg .share { fill: #fff; font-weight: 650; }
svg .bar { transition: opacity .12s; }
svg:hover .bar { opacity: .55; }
svg .bar:hover { opacity: 1; }
.legend { list-style: none; padding: 0; margin-top: 16px; display: flex; flex-wrap: wrap; gap: 8px 28px; }
.legend li { display: flex; align-items: center; gap: 8px; }
.legend i { width: 11px; height: 11px; border-radius: 3px; flex: none; }
.legend span { color: var(--soft); }
.nothing { color: var(--soft); padding: 18px 0; text-align: center; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { padding: 8px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 600; font-size: 12.5px; border-bottom-color: #b9c4d0; }
thead th::first-letter { text-transform: uppercase; }
tbody th { font-weight: 500; }
td:last-child { font-weight: 650; }
tfoot th, tfoot td { font-weight: 700; border-bottom: 0; border-top: 1.5px solid #b9c4d0; }
footer { color: var(--soft); font-size: 12.5px; padding: 8px 2px 0; }
@media screen and (max-width: 820px) {
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .pair { grid-template-columns: 1fr; gap: 0; }
  header { display: block; }
  .table { overflow-x: auto; }
}
@page { size: A4; margin: 12mm; }
@media print {
  html { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { background: none; font-size: 12px; }
  main { max-width: none; padding: 0; }
  .tiles { grid-template-columns: repeat(3, 1fr); gap: 8px; margin-bottom: 10px; }
  .pair { grid-template-columns: 1fr 1fr; gap: 10px; }
  .tile, .panel { box-shadow: none; break-inside: avoid; }
  .panel { padding: 12px 14px; margin-bottom: 10px; }
  .panel h2 { font-size: 13.5px; }
  .note { font-size: 10.5px; }
  .head { margin-bottom: 10px; }
  .legend { gap: 5px 18px; }
  .table { break-inside: auto; }
  tr { break-inside: avoid; }
  table { font-size: 10.5px; }
  th, td { padding: 4px 5px; }
  thead th { font-size: 10px; }
  tbody tr:last-child { break-after: avoid; }
  thead { display: table-header-group; }
  tfoot { display: table-row-group; }
}
"""
