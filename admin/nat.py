"""prepaid nat import, list, purge: the log of a NAT (CGNAT), so that a public address and a port lead to a card.

`prepaid sessions --address --port --at` asks it.
"""

import ipaddress
import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO, cast

import click

from . import store
from .shell import errors, line_errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.line_errors import LineErrors
from .shell.office import Office
from .shell.option_types import DAY_OR_MOMENT, MOMENT
from .shell.shared_options import list_options, rehearsal_option
from .shell.text import _, plural, translated
from .shell.text_file import opened
from .store.nat import NatRecord
from .store.rows import Cursor

NEEDED = ("public_address", "first_port", "private_address", "begin_at", "end_at")
KNOWN = (*NEEDED, "last_port", "nas")
COLUMNS = ("import", "imported_at", "operator", "file", "records")
PORT_MOST = 65_535
RECORDS_A_STATEMENT = 5_000
# Each commit holds so many, so that a node of a cluster can send it.
RECORDS_A_COMMIT = 50_000
LONGEST_FILE_NAME = 255


@cli.group()
def nat() -> None:
    """The log of a NAT: which private address had a public one and its ports."""


@nat.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@rehearsal_option
@json_option
@pass_office
def import_(office: Office, path: str, as_json: bool) -> None:
    """Import a NAT log, for questions about a public address and a port.

    FILE is a CSV file whose first line names its columns: public_address, first_port, private_address, begin_at, end_at, and
    optionally last_port (a block of ports) and nas (the NAS whose private addresses these are). end_at is empty while the
    connection or block lasts. Times have their offset, or are in the office's time zone.

    All lines are checked first, and one that is wrong stops everything. The same file again changes nothing.

    \b
    Example:
        prepaid nat import nat-2026-03-02.csv
    """
    with office.reading() as cursor:
        numbers = {row["name"]: row["id"] for row in store.nas.listed(cursor)}
        now = store.connection.now(cursor)
    count = _check(path, numbers, now)
    imported, new = 0, 0
    with opened(path) as file, output.progress(count, _("Importing")) as advance:
        records = (record for _line, record in _records(file, LineErrors(path), numbers, now))
        import_id: int | None = None
        while some := list(itertools.islice(records, RECORDS_A_COMMIT)):

            def add(cursor: Cursor, some: list[NatRecord] = some, number: int | None = import_id) -> tuple[int, int]:
                number = number or store.nat.begin_import(cursor, Path(path).name[-LONGEST_FILE_NAME:])
                return number, sum(
                    store.nat.add(cursor, number, some[first : first + RECORDS_A_STATEMENT])
                    for first in range(0, len(some), RECORDS_A_STATEMENT)
                )

            number, added = office.change(add)
            import_id = None if office.dry_run else number
            imported, new = imported + len(some), new + added
            advance(len(some))
    output.print_result(
        {"import": import_id, "records": imported, "new": new},
        plural("{records} record read, {new} new.", "{records} records read, {new} of them new.", imported).format(
            records=imported, new=new
        ),
        as_json,
    )


@nat.command("list")
@list_options
@pass_office
def list_(office: Office, as_json: bool) -> None:
    """List the imports: which file, when, by whom, and how many records were new.

    \b
    Example:
        prepaid nat list
    """
    with office.reading() as cursor:
        output.print_rows(store.nat.imports(cursor), as_json, COLUMNS, ("operator",))


@nat.command()
@option(
    "--before",
    required=True,
    type=DAY_OR_MOMENT,
    metavar="DAY",
    help="Remove records of connections that ended before this day; those of the last year stay.",
)
@rehearsal_option
@json_option
@pass_office
def purge(office: Office, before: datetime, as_json: bool) -> None:
    """Remove old records. Those of the last year must be kept (Brazil, Lei 12.965/2014, art. 13), and stay.

    \b
    Example:
        prepaid nat purge --before 2025-03-02
    """
    removed = 0
    while some := office.change(lambda cursor: store.nat.purge(cursor, before, RECORDS_A_COMMIT)):
        removed += some
        if office.dry_run:
            break
    output.print_result(
        {"removed": removed},
        plural("{count} record removed.", "{count} records removed.", removed).format(count=removed),
        as_json,
    )


def _check(path: str, numbers: dict[str, int], now: datetime) -> int:
    """The number of records; raises Refused with the errors of many lines."""
    wrong = LineErrors(path)
    with opened(path) as file:
        count = sum(1 for _record in _records(file, wrong, numbers, now))
    wrong.raise_if_any()
    if not count:
        raise errors.Refused(_("{path} contains no records. Nothing was changed."), path=path)
    return count


def _records(
    file: TextIO, wrong: LineErrors, numbers: dict[str, int], now: datetime
) -> Iterator[tuple[int, NatRecord]]:
    """The records of a file with their lines; what is wrong with a line is added to `wrong`."""
    for line, values in line_errors.rows(file, wrong, NEEDED, KNOWN):
        try:
            yield line, _record(values, numbers, now)
        except ValueError as error:
            wrong.add(line, translated(error))
            if wrong.is_enough:
                return


def _record(values: dict[str, str], numbers: dict[str, int], now: datetime) -> NatRecord:
    """One line.  Raises ValueError with a sentence."""
    first = _port(values["first_port"])
    last = _port(values.get("last_port") or values["first_port"])
    begin, end = _time(values["begin_at"]), _time(values["end_at"]) if values["end_at"] else None
    if last < first:
        raise ValueError(_("last_port {last} is below first_port {first}.").format(last=last, first=first))
    if end is not None and end < begin:
        raise ValueError(_("it ends before it begins."))
    if max(begin, end or begin) > now:
        raise ValueError(_("it is in the future: does the time need its offset from UTC?"))
    nas = values.get("nas", "")
    if nas and nas not in numbers:
        raise ValueError(_("there is no NAS {name!r}.").format(name=nas[:64]))
    return NatRecord(
        _address(values["public_address"]),
        first,
        last,
        _address(values["private_address"]),
        begin,
        end,
        numbers.get(nas, 0),
    )


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(_("{value!r} is not an IPv4 address.").format(value=text[:64])) from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= PORT_MOST):
        raise ValueError(_("{value!r} is not a port, 0 to 65535.").format(value=text[:64]))
    return int(text)


def _time(text: str) -> datetime:
    return cast(datetime, MOMENT.parse(text))
