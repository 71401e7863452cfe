"""What commands print: JSON for programs, a table on a terminal, tab-separated lines in a pipe.

Rows are dictionaries.  The unit at the end of a name says how a value is shown to people: `used_seconds` is
a duration, `price_cents` is money, `expires_at` a moment.  Programs get the numbers, and moments as ISO 8601 in UTC.
The reader's language changes what a terminal shows; JSON is the same in every language.

Every command prints through this file, because values may come from strangers (a User-Name, a device's name) and could
otherwise control the terminal: see freeradius_module/printable.py.
"""

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from freeradius_module import event_log
from freeradius_module.printable import json_escaped, one_line, printable
from freeradius_module.rules import units

from . import text
from .text import _, in_context

if TYPE_CHECKING:
    # rich takes long to import, and most commands print no table.
    from rich.table import Table

# A terminal shows so many rows; a pipe and --json have no limit.
TERMINAL_ROWS = 1000

Record = Mapping[str, Any]


def print_rows(rows: Iterable[Record], as_json: bool = False, columns: Iterable[str] | None = None) -> int:
    """Print a list; return the number of printed rows.

    *columns* are those that a terminal and a pipe show; JSON has all.
    """
    if as_json:
        return _print_json(rows)
    names = None if columns is None else list(columns)
    if sys.stdout.isatty():
        return _print_for_people(rows, names)
    return _print_lines(rows, names)


def print_record(row: Record, as_json: bool = False) -> None:
    """Print one record: a JSON object, or a line for each value.  A terminal does not show values that are None."""
    if as_json:
        click.echo(as_json_text(row, indent=2))
    elif sys.stdout.isatty():
        row = {name: value for name, value in row.items() if value is not None}
        width = max(map(len, map(title, row)), default=0)
        for name, value in row.items():
            click.echo(f"{title(name):{width}}  {formatted(name, value)}")
    else:
        for name, value in row.items():
            click.echo(f"{name}\t{_field(value)}")


def print_result(result: Record, sentence: str, as_json: bool = False) -> None:
    """Print what a command did: *result* as JSON for a program, the sentence for people."""
    if as_json:
        click.echo(as_json_text(result))
    else:
        print_text(sentence)


def print_text(sentence: str) -> None:
    """Print a sentence, or several lines, on stdout."""
    click.echo(printable(sentence, keep="\n"))


def print_notice(sentence: str) -> None:
    """Print a sentence that is no part of the result, on stderr."""
    click.echo(printable(sentence, keep="\n"), err=True)


def print_event(log_format: str, program: str, event: str, sentence: str, **fields: str | int | None) -> None:
    """Print an event of a service on stderr, which the journal keeps: one line, as the setting `log` says."""
    click.echo(event_log.line(log_format, program, event, sentence, **fields), err=True)


def confirm(question: str) -> bool:
    """Ask a question on stderr; whether the answer is yes."""
    return click.confirm(printable(question, keep="\n"), err=True)


def print_table(table: "Table", rows: Iterable[Iterable[str]]) -> None:
    """Print a table with these rows."""
    from rich.console import Console
    from rich.text import Text

    for row in rows:
        # As Text, because rich would read brackets in a name as its markup.
        table.add_row(*map(Text, row))
    Console().print(table)


@contextlib.contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, if that is a terminal.  Yields a function that advances it by a number of steps."""
    if not sys.stderr.isatty() or total < 1:
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(label, total=total)
        yield lambda step: bar.advance(task, step)


def json_value(value: Any) -> Any:
    """A value as the JSON output has it.

    >>> json_value({"expires_at": datetime(2026, 3, 2, 20, 30), "sell_by": date(2026, 12, 31), "octets": Decimal("5")})
    {'expires_at': '2026-03-02T20:30:00.000Z', 'sell_by': '2026-12-31', 'octets': 5}
    """
    if isinstance(value, dict):
        return {name: json_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    return value


def as_json_text(value: Any, indent: int | None = None) -> str:
    """JSON without characters that could control a terminal."""
    return json_escaped(json.dumps(json_value(value), ensure_ascii=False, indent=indent))


def formatted(name: str, value: Any) -> str:
    """A value for people to read, by the unit in its name.

    >>> formatted("used_seconds", 7980), formatted("used_octets", 350_000_000), formatted("partner", None)
    ('2 h 13 min', '350 MB', '')
    >>> formatted("commission_basis_points", 1250)
    '12.5 %'
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    lang = text.language()
    match name.rpartition("_")[2], value:
        case "seconds", int() | Decimal():
            return units.format_duration(int(value))
        case "octets", int() | Decimal():
            return units.format_size(int(value), lang)
        case "cents", int() | Decimal():
            return money(int(value))
        case "millicents", int() | Decimal():
            return units.format_tariff(int(value), lang, currency())
        case "points", int():
            return units.format_percent(value, lang)
        case "kbit", int():
            return f"{value} kbit/s"
        case "status" | "kind" | "what" | "state" | "origin" | "action" | "reason", str():
            return one_line(in_context("word", value))
    if isinstance(value, datetime):
        local = value.replace(tzinfo=UTC).astimezone()
        return local.strftime("%d/%m/%Y %H:%M:%S" if lang == "pt_BR" else "%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.strftime("%d/%m/%Y" if lang == "pt_BR" else "%Y-%m-%d")
    if isinstance(value, list | tuple):
        return one_line(", ".join(map(str, value)))
    return one_line(str(value))


def money(cents: int) -> str:
    """Money in the reader's language and the provider's currency.

    >>> money(-5)
    '-R$ 0.05'
    """
    return units.format_money(cents, text.language(), currency())


def currency() -> str:
    """The sign before amounts of money: the setting `currency`."""
    context = click.get_current_context(silent=True)
    found = getattr(context.obj, "currency", None) if context is not None else None
    return units.DEFAULT_CURRENCY if found is None else str(found)


def title(name: str) -> str:
    """A column's heading in the reader's language."""
    return in_context("column", untranslated_title(name))


def untranslated_title(name: str) -> str:
    """A column's heading: its name without the unit, which the values show.

    >>> untranslated_title("used_seconds"), untranslated_title("first_login_at")
    ('used time', 'first login')
    >>> untranslated_title("commission_basis_points"), untranslated_title("at")
    ('commission', 'at')
    """
    for unit, without in _WITHOUT_UNIT.items():
        if name.endswith(unit):
            name = name.removesuffix(unit) + without
            break
    return name.replace("_", " ").strip()


_WITHOUT_UNIT = {
    "_basis_points": "",
    "_seconds": "_time",
    "_down_octets": "_download",
    "_up_octets": "_upload",
    "_octets": "_traffic",
    "_millicents": "",
    "_cents": "_money",
    "_at": "",
    "_kbit": "",
}


def _print_json(rows: Iterable[Record]) -> int:
    count = 0
    click.echo("[", nl=False)
    for row in rows:
        click.echo((",\n " if count else "\n ") + as_json_text(row), nl=False)
        count += 1
    click.echo("\n]" if count else "]")
    return count


def _print_lines(rows: Iterable[Record], columns: list[str] | None) -> int:
    """Print a line a row, without a heading, because another program reads the lines."""
    count = 0
    for row in rows:
        click.echo("\t".join(_field(row[name]) for name in columns or row))
        count += 1
    return count


def _print_for_people(rows: Iterable[Record], columns: list[str] | None) -> int:
    from rich.table import Table

    rows = list(itertools.islice(rows, TERMINAL_ROWS + 1))
    if not rows:
        print_notice(_("Nothing was found."))
        return 0
    # A column without any value would only make the others narrower.
    names = [name for name in columns or rows[0] if any(row[name] is not None for row in rows)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(title(name), justify="right" if _is_number(name) else "left", overflow="fold")
    print_table(table, ([formatted(name, row[name]) for name in names] for row in rows[:TERMINAL_ROWS]))
    if len(rows) > TERMINAL_ROWS:
        print_notice(
            _("Only the first {count} rows are shown. For all of them use --json, a pipe, or more filters.").format(
                count=TERMINAL_ROWS
            )
        )
    return min(len(rows), TERMINAL_ROWS)


def _field(value: Any) -> str:
    """One field of a line, without tabs and line breaks.

    >>> _field("a\\tb\\nc"), _field(None), _field(True)
    ('a b c', '', '1')
    """
    value = json_value(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | dict):
        return as_json_text(value)
    return one_line(str(value))


def _is_number(name: str) -> bool:
    return name.rpartition("_")[2] in {"seconds", "octets", "cents", "millicents", "points", "kbit", "count", "cards"}
