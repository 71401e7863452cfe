"""The content of reports: rows of plain values, the same for a terminal, a file and a page.

Money is in cents.  Days begin and end in the office's time zone; the database counts by hours in UTC.
"""

import functools
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from .. import store
from ..shell import clock
from ..store.rows import Cursor

Row = dict[str, Any]
Wanted = dict[str, Any]

STATUSES = ("created", "delivered", "in_use", "exhausted", "expired", "blocked", "redeemed")
SALES = ("cards", "sold_cents", "commission_cents")
USAGE = ("sessions", "used_seconds", "used_down_octets", "used_up_octets")
SETTLEMENT = ("delivered", "returned", "in_stock", "first_used", "sold_cents", "commission_cents", "owed_cents")
STATEMENT = ("sold_cents", "commission_cents", "paid_cents", "balance_cents")
KEYS = ("month", "day", "product", "partner")
# Where nobody says what a row is for.
USUAL_KEYS = KEYS[1:]
_FIRST_HOUR = datetime(2000, 1, 1, tzinfo=UTC)


class Period(NamedTuple):
    """From the start of the first day to the end of the last."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def bounds(self) -> dict[str, datetime]:
        return {"begin": clock.begin_of(self.first), "end": clock.end_of(self.last)}


class Report(NamedTuple):
    """A table: its rows, the columns that identify a row, and the sums of the others."""

    name: str
    rows: list[Row]
    keys: tuple[str, ...]
    totals: dict[str, int]


def stock(cursor: Cursor, wanted: Wanted) -> Report:
    """Cards by product and partner, a column for each status.  The office's own stock has no partner."""
    lines: dict[tuple[str, str | None], Row] = {}
    for row in store.report.stock(cursor, wanted):
        key = row["product"], row["partner"]
        line = lines.setdefault(
            key, {"product": row["product"], "partner": row["partner"], **dict.fromkeys(STATUSES, 0), "total": 0}
        )
        line[row["status"]] += row["cards"]
        line["total"] += row["cards"]
    return _report("stock", lines.values(), ("product", "partner"), (*STATUSES, "total"))


def sales(cursor: Cursor, wanted: Wanted, period: Period, by: Iterable[str]) -> Report:
    return _grouped("sales", store.report.sales(cursor, {**wanted, **period.bounds}), by, SALES)


def usage(cursor: Cursor, wanted: Wanted, period: Period, by: Iterable[str]) -> Report:
    return _grouped("usage", store.report.usage(cursor, {**wanted, **period.bounds}), by, USAGE)


def settlement(cursor: Cursor, wanted: Wanted, period: Period) -> Report:
    """What each partner received, has, sold and owes."""
    wanted = {**wanted, **period.bounds}
    lines: dict[str, Row] = {}

    def line(partner: str) -> Row:
        return lines.setdefault(partner, {"partner": partner, **dict.fromkeys(SETTLEMENT, 0)})

    for row in store.report.custody(cursor, wanted):
        line(row["partner"])["delivered" if row["kind"] == "delivery" else "returned"] = int(row["cards"])
    for row in store.report.with_partners(cursor, wanted):
        line(row["partner"])["in_stock"] = int(row["cards"])
    for row in _grouped("sales", store.report.sales(cursor, wanted), ("partner",), SALES).rows:
        if row["partner"] is not None:
            one = line(row["partner"])
            one["first_used"] = row["cards"]
            one["sold_cents"], one["commission_cents"] = row["sold_cents"], row["commission_cents"]
            one["owed_cents"] = row["sold_cents"] - row["commission_cents"]
    return _report("settlement", lines.values(), ("partner",), SETTLEMENT)


def statement(cursor: Cursor, wanted: Wanted, period: Period) -> Report:
    """A partner's balance from day to day: what it owed at the start, its sales and payments, what it owes at the end.

    What it owes is what the settlement says: cards that were sold, less commission; and less its payments.  Delivery and
    return notes are listed and change no balance.
    """
    partner_id, bounds = wanted["partner_id"], period.bounds
    wanted = {**wanted, **bounds}
    lines = [
        _line(clock.local(row["made_at"]).date(), row["what"], row["number"], row["product"], int(row["cards"]))
        for row in store.report.notes(cursor, wanted)
    ]
    lines += [
        _line(row["day"], "sales", None, row["product"], row["cards"], row["sold_cents"], row["commission_cents"])
        for row in _grouped("sales", store.report.sales(cursor, wanted), ("day", "product"), SALES).rows
    ]
    lines += [
        _line(
            row["paid_on"],
            "payment" if row["reverses"] is None else "reversal",
            row["payment"],
            paid_cents=int(row["amount_cents"]),
        )
        for row in reversed(store.payment.listed(cursor, partner_id, period.first, period.last))
    ]
    balance = store.report.owed_for_sales(cursor, partner_id, bounds["begin"])
    balance -= store.payment.paid_before(cursor, partner_id, period.first)
    rows = [{**_line(period.first, "opening"), "balance_cents": balance}]
    # Lines of one day stay in the order above, because sorting is stable.
    for line in sorted(lines, key=lambda line: line["day"]):
        balance += _owed(line) or 0
        rows.append({**line, "balance_cents": balance})
    rows.append({**_line(period.last, "closing"), "balance_cents": balance})
    totals = {name: sum(line[name] or 0 for line in lines) for name in STATEMENT[:-1]}
    return Report("statement", rows, _STATEMENT_KEYS, {**totals, "balance_cents": balance})


def narrow(found: Report) -> Report:
    """A statement for a narrow screen: one amount instead of sold, commission and paid."""
    rows = [{**row, "amount_cents": _owed(row)} for row in found.rows]
    totals = {"amount_cents": _owed(found.totals) or 0, "balance_cents": found.totals["balance_cents"]}
    return Report(found.name, rows, found.keys, totals)


_STATEMENT_KEYS = ("day", "what", "number", "product", "cards")


def _line(
    day: date,
    what: str,
    number: int | None = None,
    product: str | None = None,
    cards: int | None = None,
    sold_cents: int | None = None,
    commission_cents: int | None = None,
    paid_cents: int | None = None,
) -> Row:
    return {
        "day": day,
        "what": what,
        "number": number,
        "product": product,
        "cards": cards,
        "sold_cents": sold_cents,
        "commission_cents": commission_cents,
        "paid_cents": paid_cents,
    }


def _owed(line: Row) -> int | None:
    """What a line adds to the balance; None if it changes no balance.

    >>> _owed({"sold_cents": 1000, "commission_cents": 125, "paid_cents": None})
    875
    """
    if line["sold_cents"] is None and line["paid_cents"] is None:
        return None
    return (line["sold_cents"] or 0) - (line["commission_cents"] or 0) - (line["paid_cents"] or 0)


@functools.cache
def day_of(hour: int, place: tzinfo) -> date:
    """The day in this time zone of an hour in UTC, which is counted from the year 2000."""
    return (_FIRST_HOUR + timedelta(hours=hour)).astimezone(place).date()


def month_of(day: date) -> str:
    """
    >>> month_of(date(2026, 3, 2))
    '2026-03'
    """
    return f"{day:%Y-%m}"


def summed(rows: Iterable[Row], keys: Iterable[str], values: Iterable[str]) -> list[Row]:
    """The sums of rows with the same keys, one row for each combination, in the order of the keys.

    >>> summed([{"day": 1, "n": 2, "shop": "A"}, {"day": 1, "n": 3, "shop": None}], ["day"], ["n"])
    [{'day': 1, 'n': 5}]
    """
    keys, values = list(keys), list(values)
    sums: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        line = sums.setdefault(key, {**dict(zip(keys, key, strict=True)), **dict.fromkeys(values, 0)})
        for name in values:
            line[name] += int(row[name])
    return [sums[key] for key in sorted(sums, key=lambda key: [(part is not None, part) for part in key])]


def _grouped(name: str, rows: Iterable[Row], by: Iterable[str], values: tuple[str, ...]) -> Report:
    keys = tuple(key for key in KEYS if key in by)
    place = clock.zone()
    dated = ({**row, "day": (day := day_of(row["hour"], place)), "month": month_of(day)} for row in rows)
    return _report(name, summed(dated, keys, values), keys, values)


def _report(name: str, rows: Iterable[Row], keys: tuple[str, ...], values: tuple[str, ...]) -> Report:
    ordered = sorted(rows, key=lambda row: [(row[key] is not None, row[key]) for key in keys])
    return Report(name, ordered, keys, {value: sum(row[value] for row in ordered) for value in values})
