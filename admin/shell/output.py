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
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TextIO

import click

from freeradius_module import event_log
from freeradius_module.printable import json_escaped, one_line, printable
from freeradius_module.rules import hours, units

from . import clock, table, text
from .text import _, in_context

# A terminal shows so many rows; a pipe and --json have no limit.
TERMINAL_ROWS = 1000
# The options --header and --no-pager, and the pages to show, are in click's context under this name.
META = "prepaid.list"

Record = Mapping[str, Any]


def is_for_people() -> bool:
    """Whether a person reads stdout; else a pipe or a file gets it."""
    return sys.stdout.isatty()


def print_rows(
    rows: Iterable[Record],
    as_json: bool = False,
    columns: Iterable[str] | None = None,
    least_important: Sequence[str] = (),
) -> int:
    """Print a list; return the number of printed rows.

    *columns* are those that a terminal and a pipe show; JSON has all.  A terminal that is too narrow does not show
    *least_important*, of which the first goes first.
    """
    if as_json:
        return _print_json(rows)
    names = None if columns is None else list(columns)
    if is_for_people():
        return _print_for_people(rows, names, least_important)
    return _print_lines(rows, names)


def print_record(row: Record, as_json: bool = False) -> None:
    """Print one record: a JSON object, or a line for each value.  A terminal shows no empty values."""
    if as_json:
        click.echo(as_json_text(row, indent=2))
    elif is_for_people():
        click.echo("\n".join(_record_lines(row)))
    else:
        for name, value in row.items():
            click.echo(f"{name}\t{_field(value)}")


def print_attributes(attributes: Iterable[Mapping[str, str]]) -> None:
    """Print RADIUS attributes, a line for each; a terminal shows only the beginning of octets that no person reads."""
    lines = [(f"{one['attribute']} {one['operator']}", one["value"]) for one in attributes]
    if not is_for_people():
        for attribute, value in lines:
            print_text(f"{attribute} {value}")
        return
    width, _lines = table.terminal_size()
    room = width - max((table.cells(attribute) for attribute, _value in lines), default=0) - table.GAP
    shown = [
        (attribute, f"{value[: room - 1]}…" if value.startswith("0x") and len(value) > room else value)
        for attribute, value in lines
    ]
    print_text("\n".join(table.record_lines(shown, width)))


def print_result(result: Record, sentence: str, as_json: bool = False) -> None:
    """Print what a command did, or would do: *result* as JSON for a program, the sentence for people."""
    context = click.get_current_context(silent=True)
    if context is not None and getattr(context.obj, "dry_run", False):
        result = {**result, "dry_run": True}
        sentence = _("Dry run, nothing was changed. Without --dry-run: {sentence}").format(sentence=sentence)
    if as_json:
        click.echo(as_json_text(result))
    else:
        print_text(sentence)


def print_text(sentence: str) -> None:
    """Print a sentence, or several lines, on stdout."""
    click.echo(fitting(printable(sentence, keep="\n"), sys.stdout))


def print_notice(sentence: str) -> None:
    """Print a sentence that is no part of the result, on stderr."""
    click.echo(fitting(_plain(sentence), sys.stderr), err=True)


def fitting(sentence: str, stream: TextIO) -> str:
    """The lines of a sentence broken between words, where a terminal shows them; a pipe gets them as they are.

    A word that is longer than a line stays in one piece, because it may be a path to copy.
    """
    if not stream.isatty():
        return sentence
    width, _lines = table.terminal_size()
    lines: list[str] = []
    for part in sentence.split("\n"):
        indent = " " * (len(part) - len(part.lstrip(" ")))
        lines += textwrap.wrap(
            part, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)


def _plain(sentence: str) -> str:
    return printable(sentence, keep="\n")


def print_event(log_format: str, program: str, event: str, sentence: str, **fields: str | int | None) -> None:
    """Print an event of a service on stderr, which the journal keeps: one line, as the setting `log` says."""
    click.echo(event_log.line(log_format, program, event, sentence, **fields), err=True)


def confirm(question: str) -> bool:
    """Ask a question on stderr until the answer is yes or no; whether it is yes.  An empty answer means no.

    The answer may be in the reader's language or in English.
    """
    yes, no = _("y, yes"), _("n, no")
    asked = printable(question, keep="\n") + " [" + _("y/N") + "]"
    while True:
        answer = text.folded(click.prompt(asked, default="", show_default=False, err=True))
        if answer in _answers(yes, "y, yes"):
            return True
        if answer in _answers(no, "n, no", ""):
            return False
        print_notice(_("Please answer with one of these: {answers}.").format(answers=f"{yes}, {no}"))


def ask(question: str) -> str:
    """Ask for a text on stderr; the answer, which is not empty."""
    return str(click.prompt(printable(question), err=True))


def _answers(*lists: str) -> set[str]:
    return {text.folded(answer) for answers in lists for answer in answers.split(",")}


def print_table(
    columns: Sequence[table.Column],
    rows: Sequence[Sequence[str]],
    least_important: Sequence[str] = (),
    heading: str | None = None,
) -> None:
    """Print a table for people, as wide as the terminal; rows that do not fit become records.

    A table that is longer than the terminal is shown by `show_pages`.
    """
    width, lines = table.terminal_size()
    has_totals = any(column.total for column in columns)
    layout = table.laid_out(columns, rows, width, least_important, gap=3 if has_totals else table.GAP)
    notices = []
    if layout is None:
        shown = _as_records(columns, rows[:TERMINAL_ROWS], width)
    else:
        shown = _drawn(columns, rows[:TERMINAL_ROWS], layout, heading if has_totals else None, width)
        if layout.hidden:
            hint = _(
                "Not shown, because the terminal is too narrow: {columns}. A wider terminal shows more, --json all."
            )
            notices.append(hint.format(columns=", ".join(layout.hidden)))
    if len(rows) > TERMINAL_ROWS:
        notices.append(
            _("Only the first {count} rows are shown. For all of them use --json, a pipe, or more filters.").format(
                count=TERMINAL_ROWS
            )
        )
    notices = ["\n".join(table.wrapped(notice, width)) for notice in notices]
    if shown.count("\n") >= lines and _asked("no_pager") is False and sys.stdin.isatty():
        _meta().setdefault(f"{META}.pages", []).append("\n".join([shown.rstrip("\n"), *map(_plain, notices)]))
        return
    click.echo(shown, nl=False)
    for notice in notices:
        print_notice(notice)


def show_pages() -> None:
    """Show the long lists that were printed, page by page."""
    for page in _meta().pop(f"{META}.pages", []):
        click.echo_via_pager(page)


def _asked(name: str) -> bool | None:
    """Whether an option of a list was given; None if the command has no such option."""
    return _meta().get(f"{META}.{name}")


def _meta() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return {} if context is None else context.meta


def _as_records(columns: Sequence[table.Column], rows: Sequence[Sequence[str]], width: int) -> str:
    """Each row as lines of title and value, and the totals as the last record."""
    totals = [column.total for column in columns]
    titles = [column.heading for column in columns]
    records = [
        table.record_lines([pair for pair in zip(titles, row, strict=True) if pair[1]], width)
        for row in (*rows, *([totals] if any(totals) else []))
    ]
    return "\n".join("".join(f"{line}\n" for line in record) for record in records)


def _drawn(
    columns: Sequence[table.Column],
    rows: Sequence[Sequence[str]],
    layout: table.Layout,
    heading: str | None,
    width: int,
) -> str:
    # rich takes long to import, and most commands print no table.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    has_totals = any(column.total for column in columns)
    drawn = Table(
        title=heading,
        title_style="bold",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD if has_totals else None,
        show_edge=False,
        show_footer=has_totals,
        pad_edge=False,
    )
    for at, width_shown in layout.widths.items():
        drawn.add_column(
            columns[at].heading,
            justify="right" if columns[at].is_number else "left",
            overflow="fold",
            width=width_shown,
            footer=columns[at].total,
        )
    for row in rows:
        # As Text, because rich would read brackets in a name as its markup.
        drawn.add_row(*(Text(row[at]) for at in layout.widths))
    console = Console(width=width)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get()


def terminal_width() -> int:
    """How many characters a line of a table has."""
    from rich.console import Console

    return Console().width


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
        case "seconds", int() | float() | Decimal():
            return duration(int(value))
        case "month", str() if lang == "pt_BR":
            year, _dash, month = value.partition("-")
            return f"{month}/{year}"
        case "days", int():
            return _unit(value, "day")
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
        case "status" | "kind" | "what" | "state" | "origin" | "action" | "reason" | "by" | "outcome", str():
            return one_line(in_context("word", value))
        case "cause", str() if value:
            # The cause of an error is a sentence, or the NAS' own words.
            return one_line(_(value) if name == "error_cause" else in_context("word", value))
        case "check", str():
            return one_line(in_context("check", value))
        case "checks", list() | tuple():
            return one_line(", ".join(in_context("check", check) for check in value))
        case "detail", str() if value.startswith('{"'):
            # What an export was, as the history keeps it.
            return ", ".join(f"{title(part)}: {formatted(part, found)}" for part, found in json.loads(value).items())
        case "role", str():
            return one_line(in_context("role", value))
        case "roles", list() | tuple():
            return one_line(", ".join(in_context("role", role) for role in value))
        case "hours", str():
            return one_line(_DAY.sub(lambda found: in_context("word", found[0]), value))
    if isinstance(value, datetime):
        return clock.local(value).strftime("%d/%m/%Y %H:%M:%S" if lang == "pt_BR" else "%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.strftime("%d/%m/%Y" if lang == "pt_BR" else "%Y-%m-%d")
    if isinstance(value, list | tuple):
        return ", ".join(_formatted_part(part) for part in value)
    return one_line(str(value))


def _formatted_part(part: Any) -> str:
    """A part of a list; an object as its names and values."""
    if isinstance(part, Mapping):
        return " ".join(f"{title(name)} {formatted(name, value)}" for name, value in part.items())
    return one_line(str(part))


def duration(seconds: int) -> str:
    """A time; whole days are days.

    >>> duration(7980), duration(720 * 3600), duration(86400), duration(100 * 3600), duration(0)
    ('2 h 13 min', '30 days', '1 day', '100 h', '0 s')
    """
    days, rest = divmod(seconds, 86400)
    return units.format_duration(seconds) if rest or not days else _unit(days, "day")


def _unit(count: int, unit: str) -> str:
    # Babel takes long to import, and most commands show no such value.
    from babel.units import format_unit

    return str(format_unit(count, f"duration-{unit}", "long", locale=text.language()))


def money(cents: int) -> str:
    """Money in the reader's language and the provider's currency.

    >>> money(-5)
    '-R$ 0.05'
    """
    return units.format_money(cents, text.language(), currency())


def made_by() -> str:
    """The line at the foot of a document: which program made it, and when by the clock of this machine."""
    form = "%d/%m/%Y %H:%M" if text.language() == "pt_BR" else "%Y-%m-%d %H:%M"
    return _("Made by prepaid-cards on {moment}.").format(moment=datetime.now(clock.zone()).strftime(form))


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


_DAY = re.compile(rf"\b(?:{'|'.join(hours.DAYS)})\b")
_WITHOUT_UNIT = {
    "_basis_points": "",
    "_seconds": "_time",
    "_down_octets": "_download",
    "_up_octets": "_upload",
    "_octets": "_traffic",
    "_millicents": "",
    "amount_cents": "amount",
    "limit_cents": "limit",
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
    """Print a line a row.  Only --header adds a heading, because another program reads the lines."""
    count = 0
    if columns is not None:
        _print_header(columns)
    for row in rows:
        if columns is None:
            columns = list(row)
            _print_header(columns)
        click.echo("\t".join(_field(row[name]) for name in columns))
        count += 1
    return count


def _print_header(columns: list[str]) -> None:
    if _asked("header"):
        click.echo("\t".join(columns))


def _print_for_people(rows: Iterable[Record], columns: list[str] | None, least_important: Sequence[str]) -> int:
    rows = list(itertools.islice(rows, TERMINAL_ROWS + 1))
    if not rows:
        print_notice(_("Nothing was found."))
        return 0
    # A column without any value would only make the others narrower.
    names = [name for name in columns or rows[0] if any(row[name] is not None for row in rows)]
    print_table(
        [table.Column(name, title(name), _is_number(name)) for name in names],
        [[formatted(name, row[name]) for name in names] for row in rows],
        least_important,
    )
    return min(len(rows), TERMINAL_ROWS)


def _record_lines(row: Record) -> list[str]:
    width, _lines = table.terminal_size()
    return table.record_lines(
        [(title(name), formatted(name, value)) for name, value in row.items() if value not in (None, [])], width
    )


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
