"""prepaid export: the cards of a batch for the print shop, PINs included."""

import contextlib
import functools
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Keyring

from .. import store
from ..files import Target
from ..shell import errors, output, selection
from ..shell.command import cli, json_option, option, pass_office
from ..shell.find import find_batch
from ..shell.new_file import NewFile
from ..shell.office import Office
from ..shell.option_types import Amount
from ..shell.shared_options import rehearsal_option
from ..shell.text import _, plural
from ..store.batch import Span
from ..store.rows import Cursor
from . import fields as export_fields
from . import formats, printer
from . import manifest as export_manifest
from .formats import FORMATS, Format, Plan, format_options
from .printer import Printer

if TYPE_CHECKING:
    from .seal import Recipient

LONGEST_REASON = 255
IDS_A_BLOCK = 2000


def _recipient(text: str) -> "Recipient":
    # Imported here, because only sealed exports need the library.
    from .seal import recipient

    return recipient(text)


@cli.command()
@option("--batch", "batch_id", type=click.IntRange(1), help="Which batch; only its cards in stock.")
@option(
    "--range",
    "range_text",
    metavar="FIRST-LAST",
    help="Only the cards in stock of this range, instead of a batch; needs --reason.",
)
@option(
    "--sheet",
    type=click.IntRange(1),
    metavar="N",
    help="pdf: only sheet N of the batch's last PDF again, after a jam for example; needs --reason.",
)
@option(
    "--format",
    "format_name",
    type=click.Choice(list(FORMATS)),
    help="The file's format.  [by the ending of --output; csv if it has none]",
)
@option(
    "--fields",
    type=Amount("fields", export_fields.chosen),
    metavar="A,B,C",
    help="Which fields, in this order.  [serial,pin,product,face_value,batch; pdf: those of the template]",
)
@option(
    "--output",
    "path",
    required=True,
    type=click.Path(),
    help="The file to make, readable by you only; or for slips a printer: tcp://HOST[:9100], or a device such as "
    "/dev/usb/lp0.",
)
@format_options
@option(
    "--qr-url",
    type=Amount("url", export_fields.login_address),
    help="The hotspot's login address, for the QR code of a pdf and the field login_url; {serial} and {pin} are "
    "filled in.",
)
@option(
    "--seal",
    "recipients",
    multiple=True,
    type=Amount("key", _recipient),
    metavar="AGE1…",
    help="Encrypt with age for this public key; can be given several times.",
)
@option("--open", "open_it", is_flag=True, help="Open the file with the desktop's program.")
@option("--force", is_flag=True, help="Replace the file if it exists.")
@option("--again", is_flag=True, help="Export a batch that was exported before; needs --reason.")
@option("--reason", help="Why it is exported again, or only in part; kept in the history.")
@rehearsal_option
@json_option
@pass_office
def export(
    office: Office,
    /,
    batch_id: int | None,
    range_text: str | None,
    sheet: int | None,
    format_name: str | None,
    fields: list[str] | None,
    path: str,
    qr_url: str | None,
    recipients: tuple["Recipient", ...],
    open_it: bool,
    force: bool,
    again: bool,
    reason: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the cards of a batch that are in stock into a file, for the print shop.

    The file holds the PINs: whoever reads it can use the cards once they are delivered.  A manifest beside it says
    what it holds, with its SHA-256.

    \b
    Example:
        prepaid export --batch 31 --output batch-31.csv
        prepaid export --batch 31 --output excel.csv --excel-brazil
        prepaid export --batch 31 --logo logo.png --output cards.pdf
        prepaid export --batch 31 --seal age1… --output batch-31.xlsx.age
        prepaid export --batch 31 --fields serial,pin --output again.csv --again --reason "Printer jam"
        prepaid export --batch 31 --sheet 12 --output sheet-12.pdf --reason "Printer jam"
        prepaid export --range LIVRE000000016-LIVRE000000016 --output tcp://192.0.2.9 --reason "Counter"
        prepaid export --range LIVRE000000016-LIVRE000000297 --output part.csv --reason "Page lost"
    """
    chosen = formats.of_file(path, format_name, bool(recipients))
    in_part = range_text is not None or sheet is not None
    _check_usage(chosen, options, again, in_part, reason, bool(recipients), open_it)
    if (batch_id is None) == (range_text is None) or (sheet is not None and batch_id is None):
        raise errors.WrongUsage(_("Name the cards with --batch B, --range FIRST-LAST, or --batch B --sheet N."))
    if sheet is not None and chosen.name != "pdf":
        raise errors.WrongUsage(
            _("--{option} is for --format {formats}, and this is {format}."),
            option="sheet",
            formats="pdf",
            format=chosen.name,
        )
    plan = chosen.plan(fields, options)
    names, write = plan.fields, plan.write
    if "login_url" in names and qr_url is None:
        raise errors.WrongUsage(_("The field login_url needs the hotspot's address: --qr-url URL."))
    part = _part(office, batch_id, range_text, sheet, plan)
    batch_id, span = part.batch_id, part.span
    if office.dry_run:
        _tell_dry_run(office, path, force, part, again, names, as_json)
        return
    if part.sheet is not None:
        write = functools.partial(cast(Callable[..., None], write), first_sheet=part.sheet, sheets=part.sheets)
    keyring = office.keyring if export_fields.WITH_PIN & set(names) else None
    if keyring is not None:
        pin.prepare(keyring)
    with (
        printer.opened(path, force) as new,
        printer.opened_beside(path, export_manifest.path_of(path), force) as manifest,
    ):
        if keyring is not None:

            def open_pins(cursor: Cursor) -> None:
                _take(cursor, part, again)
                store.batch.open_pins(cursor, batch_id, reason, span)

            office.change(open_pins)

        def write_files(cursor: Cursor) -> tuple[dict[str, Any], dict[str, Any]]:
            for each in (new, manifest):
                each.begin_again()
            batch = _take(cursor, part, again)
            count = batch["in_stock"]
            with _sealed(new.file, recipients) as target, output.progress(count, _("Exporting")) as advance:
                stock = _stock(cursor, batch_id, keyring is not None, span)
                reader = _Reader(stock, keyring, advance, part.first_number)
                printed = export_fields.Fields(names, batch, qr_url, office.provider, office.helpline)
                write(target, printed, count, reader)
            if reader.count != count or part.cards not in (None, count):
                raise errors.Busy()
            facts: dict[str, Any] = {
                "file": os.path.basename(path),
                "batch": batch_id,
                "product": batch["product"],
                "count": count,
                "first_serial": reader.first_serial,
                "last_serial": reader.last_serial,
                "format": chosen.name,
                "fields": names,
                "sealed": bool(recipients),
                "sha256": new.sha256(),
                "made_at": output.json_value(store.connection.now(cursor)),
            }
            if sheet is not None:
                facts["sheet"] = sheet
            export_manifest.write(manifest.file, facts)
            manifest.sha256()
            recorded = ("format", "fields", "sha256", "sealed", "sheet")
            detail: dict[str, Any] = {name: facts[name] for name in recorded if name in facts}
            if plan.cards_a_sheet is not None:
                # By these a sheet is found again, and only if the batch is still the same.
                detail |= {"cards_a_sheet": plan.cards_a_sheet, "serials_sha256": reader.serials.hexdigest()}
            store.batch.record(cursor, batch_id, "exported", reason, json.dumps(detail), span)
            new.require_free()
            manifest.require_free()
            return batch, facts

        batch, facts = office.change(write_files)
        # The history is committed before the file gets its name, so that no PIN leaves without a record.  If the file
        # then cannot get its name, the history has an export too many, and --again makes the file.
        _publish(new, manifest, batch_id)
    if batch["left_out"]:
        output.print_notice(
            _("{count} of these cards are no longer in stock and were left out.").format(count=batch["left_out"])
        )
    if printer.is_printer(path):
        told = plural("{count} slip sent to {path}.", "{count} slips sent to {path}.", facts["count"]).format(
            count=facts["count"], path=path
        )
        output.print_result({**facts, "file": path}, told, as_json)
        return
    output.print_result(
        {**facts, "file": path, "manifest": export_manifest.path_of(path)},
        _("File created: {path}").format(path=path),
        as_json,
    )
    if open_it:
        _open(path)


class _Part(NamedTuple):
    """The cards of an export: a whole batch (span None), a range of it, or the cards of a sheet."""

    batch_id: int
    span: Span = None
    # Of a sheet: its number, how many sheets there are, the number of its first card, and how many cards it has.
    sheet: int | None = None
    sheets: int | None = None
    first_number: int = 1
    cards: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.span is None


def _part(office: Office, batch_id: int | None, range_text: str | None, sheet: int | None, plan: Plan) -> _Part:
    def find(cursor: Cursor) -> _Part:
        if range_text is not None:
            first, last = selection.find_ends(cursor, range_text)
            chosen = selection.by_batch_or_range(cursor, None, f"{first['serial']}-{last['serial']}")
            return _Part(chosen.batch_ids[0], (first["serial"], last["serial"]))
        if batch_id is None:
            raise AssertionError("the command has refused this")
        if sheet is None:
            return _Part(batch_id)
        find_batch(cursor, batch_id)
        store.batch.lock(cursor, [batch_id])
        return _sheet(cursor, batch_id, sheet, plan)

    return office.change(find)


def _sheet(cursor: Cursor, batch_id: int, number: int, plan: Plan) -> _Part:
    """The cards of a sheet of the batch's last PDF, if the cards in stock and their places are still the same."""
    printed = store.batch.last_sheets(cursor, batch_id)
    if printed is None:
        raise errors.Refused(_("Batch {batch} was not exported as a PDF yet, so it has no sheets."), batch=batch_id)
    detail = json.loads(printed["detail"])
    span = (printed["first_serial"], printed["last_serial"]) if printed["first_serial"] is not None else None
    serials: list[str] = []
    if store.batch.count_by_status(cursor, batch_id, span).get("created"):
        serials = [card[0] for block in _stock(cursor, batch_id, False, span) for card in block]
    size = detail["cards_a_sheet"]
    cards = serials[(number - 1) * size : number * size]
    sheets = -(-len(serials) // size)
    is_same = hashlib.sha256("".join(f"{one}\n" for one in serials).encode()).hexdigest() == detail["serials_sha256"]
    if not is_same or plan.cards_a_sheet != size or cards != sorted(cards):
        raise errors.Refused(
            _(
                "Sheet {sheet} of batch {batch} cannot be made again: since the PDF of {at} the cards in stock or the cards on "
                "a sheet of the template have changed. Nothing was exported. Give the serials, as they are on the cards of "
                "the sheets before and after it: --range FIRST-LAST."
            ),
            sheet=number,
            batch=batch_id,
            at=output.formatted("at", printed["at"]),
        )
    if not cards:
        raise errors.Refused(
            _("The PDF of batch {batch} has {sheets} sheets; there is no sheet {sheet}."),
            batch=batch_id,
            sheets=sheets,
            sheet=number,
        )
    return _Part(batch_id, (cards[0], cards[-1]), number, sheets, (number - 1) * size + 1, len(cards))


def _tell_dry_run(
    office: Office, path: str, force: bool, part: _Part, again: bool, names: list[str], as_json: bool
) -> None:
    """Check and count; no PIN is read, so nothing is recorded, and no file is made."""
    with printer.opened(path, force), printer.opened_beside(path, export_manifest.path_of(path), force):
        batch = office.change(lambda cursor: _take(cursor, part, again))
    output.print_result(
        {
            "file": path,
            "batch": part.batch_id,
            "product": batch["product"],
            "count": batch["in_stock"],
            "fields": names,
        },
        plural("{path} with {count} card.", "{path} with {count} cards.", batch["in_stock"]).format(
            path=path, count=batch["in_stock"]
        ),
        as_json,
    )


def _check_usage(
    chosen: Format, options: dict[str, Any], again: bool, in_part: bool, reason: str | None, sealed: bool, open_it: bool
) -> None:
    for name, value in options.items():
        if value and name not in chosen.options:
            raise errors.WrongUsage(
                _("--{option} is for --format {formats}, and this is {format}."),
                option=name.replace("_", "-"),
                formats=", ".join(each.name for each in FORMATS.values() if name in each.options),
                format=chosen.name,
            )
    if again and not (reason or "").strip():
        raise errors.WrongUsage(_("A second export needs a reason: --again --reason TEXT."))
    if in_part and not (reason or "").strip():
        raise errors.WrongUsage(_("An export of a range or a sheet needs a reason: --reason TEXT."))
    if len(reason or "") > LONGEST_REASON:
        raise errors.WrongUsage(_("A reason has at most {most} characters."), most=LONGEST_REASON)
    if sealed and open_it:
        raise errors.WrongUsage(_("A sealed file opens with a secret key only: leave --open out, or --seal."))


def _take(cursor: Cursor, part: _Part, again: bool) -> dict[str, Any]:
    """The batch, locked: nobody can deliver, delete or export its cards before this transaction ends.

    A range or a sheet may be exported again, because it has a reason in any case.
    """
    batch_id = part.batch_id
    batch = store.batch.find(cursor, batch_id)
    if batch is None:
        raise errors.UnknownBatch(batch=batch_id)
    store.batch.lock(cursor, [batch_id])
    before = store.batch.last_export(cursor, batch_id)
    if before is not None and part.is_whole and not again:
        raise errors.Refused(
            _(
                "Batch {batch} was already exported, on {at} by {operator}. To export it again, give the reason: "
                "--again --reason TEXT."
            ),
            batch=batch_id,
            at=output.formatted("at", before["at"]),
            operator=before["operator"],
        )
    by_status = store.batch.count_by_status(cursor, batch_id, part.span)
    by_status.pop("deleted", None)
    in_stock = by_status.pop("created", 0)
    if in_stock == 0 and not part.is_whole:
        raise errors.Refused(_("None of these cards is in stock, and only those are exported."))
    if in_stock == 0:
        raise errors.Refused(
            _("Batch {batch} has no cards in stock, and only those are exported. See 'prepaid batch show {batch}'."),
            batch=batch_id,
        )
    return {
        **batch,
        "in_stock": in_stock,
        "left_out": sum(by_status.values()),
        "was_exported": before is not None and store.batch.was_exported(cursor, batch_id, part.span),
    }


class _Reader:
    """The cards on their way to the writer; counts them and shows the progress."""

    def __init__(
        self,
        stock: Iterator[list[tuple[str, bytes, int]]],
        keyring: Keyring | None,
        advance: Callable[[int], None],
        first_number: int,
    ):
        self.count = 0
        # Of all serials, in the order of the file.
        self.serials = hashlib.sha256()
        self.first_serial: str | None = None
        self.last_serial: str | None = None
        self._chunks = export_fields.opened(stock, keyring, first_number)
        self._advance = advance

    def __iter__(self) -> Iterator[export_fields.Cards]:
        for cards in self._chunks:
            self.first_serial = self.first_serial or cards.serials[0]
            self.last_serial = cards.serials[-1]
            self.count += len(cards.serials)
            self.serials.update("".join(f"{one}\n" for one in cards.serials).encode())
            yield cards
            self._advance(len(cards.serials))


def _stock(cursor: Cursor, batch_id: int, with_pins: bool, span: Span) -> Iterator[list[tuple[str, bytes, int]]]:
    """The sealed cards in stock, a block at a time."""
    first, last = store.card.stock_ends(cursor, batch_id, span)
    for start in range(first, last + 1, IDS_A_BLOCK):
        block = store.card.sealed_stock(cursor, batch_id, start, start + IDS_A_BLOCK - 1, with_pins, span)
        if block:
            yield block


def _sealed(file: Target, recipients: tuple["Recipient", ...]) -> contextlib.AbstractContextManager[Target]:
    if not recipients:
        return contextlib.nullcontext(file)
    from .seal import sealing

    return sealing(file, recipients)


def _publish(new: NewFile | Printer, manifest: NewFile | Printer, batch_id: int) -> None:
    try:
        new.publish()
        manifest.publish()
    except errors.OfficeError as error:
        raise errors.Refused(
            _("{cause} The export of batch {batch} is in the history already: repeat it with --again."),
            cause=error,
            batch=batch_id,
        ) from error


def _open(path: str) -> None:
    """Open a file with the desktop's program.

    It is started without a shell and with an absolute path, so that no file name is taken for a command or an option.
    """
    try:
        subprocess.Popen(
            ["xdg-open", os.path.abspath(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        output.print_notice(_("The file was not opened, because xdg-open is not installed."))
