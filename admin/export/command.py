"""prepaid export: the cards of a batch for the print shop, PINs included."""

import contextlib
import json
import os
import subprocess

import click

from freeradius_module.sealing import pin

from .. import store
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.new_file import NewFile
from ..shell.text import _
from . import csv as export_csv
from . import fields as export_fields
from . import manifest as export_manifest
from . import template as export_template

FORMATS = ("csv", "delimited", "xlsx", "pdf")
# What only some formats know.
BELONGS_TO = {
    "separator": ("csv",),
    "bom": ("csv", "delimited"),
    "delimiter": ("delimited",),
    "template": ("pdf",),
    "logo": ("pdf",),
}
LONGEST_REASON = 255
IDS_A_BLOCK = 2000


def _read_by(rule):
    """A value read by a pure rule, whose sentence is the error."""

    def convert(ctx, param, value):
        try:
            return value if value is None else rule(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


def _recipients(ctx, param, values):
    if not values:
        return []
    # Not at the top: the library is needed by those who seal only.
    from .seal import recipient

    return [_read_by(recipient)(ctx, param, value) for value in values]


def _show_template(ctx, param, value):
    if value and not ctx.resilient_parsing:
        output.print_text(export_template.default_path().read_text("utf-8").rstrip("\n"))
        ctx.exit()


@cli.command()
@option("--batch", "batch_id", required=True, type=click.IntRange(1), help="Which batch; its cards in stock only.")
@option("--format", "form", type=click.Choice(FORMATS), default="csv", help="The form of the file.  [csv]")
@option(
    "--fields",
    callback=_read_by(export_fields.chosen),
    metavar="A,B,C",
    help="Which fields, in this order.  [serial,pin,product,face_value,batch; pdf: those of the template]",
)
@option("--output", "path", required=True, type=click.Path(), help="The file to make, readable by you only.")
@option(
    "--separator",
    callback=_read_by(export_csv.one_sign),
    metavar="SIGN",
    help="csv: between the fields; Excel in Brazil wants ';'.  [,]",
)
@option(
    "--bom", is_flag=True, help="csv, delimited: begin with a byte order mark, so that Excel sees that it is UTF-8."
)
@option(
    "--delimiter",
    callback=_read_by(export_csv.one_sign),
    metavar="SIGN",
    help="delimited: between the fields; any sign, or the word tab or space.  [tab]",
)
@option(
    "--template",
    "template_path",
    type=click.Path(dir_okay=False),
    help="pdf: how a card looks.  [the one that --show-template prints]",
)
@option(
    "--show-template",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_template,
    help="Print the template for pdf, to be changed, and do nothing else.",
)
@option("--logo", "logo_path", type=click.Path(dir_okay=False), help="pdf: a PNG or JPEG for every card.")
@option(
    "--qr-url",
    callback=_read_by(export_fields.login_address),
    metavar="URL",
    help="The hotspot's login address, for the QR code of a pdf and the field login_url; {serial} and {pin} are "
    "filled in.",
)
@option(
    "--seal",
    "recipients",
    multiple=True,
    callback=_recipients,
    metavar="AGE1…",
    help="Encrypt with age for this public key; may be given several times.",
)
@option("--open", "open_it", is_flag=True, help="Open the file with the desktop's program.")
@option("--force", is_flag=True, help="Replace the file if it is there.")
@option("--again", is_flag=True, help="Export a batch that was exported before; needs --reason.")
@option("--reason", help="Why again, for the history.")
@json_option
@pass_office
def export(
    office,
    batch_id,
    form,
    fields,
    path,
    separator,
    bom,
    delimiter,
    template_path,
    logo_path,
    qr_url,
    recipients,
    open_it,
    force,
    again,
    reason,
    as_json,
):
    """Write the cards of a batch that are in stock into a file, for the print shop.

    The file holds the PINs: whoever reads it can use the cards once they are delivered.  Beside it a manifest says
    what is in it and its SHA-256.

    \b
    Example:
        prepaid export --batch 31 --format csv --output batch-31.csv
        prepaid export --batch 31 --format csv --separator ';' --bom --output excel.csv
        prepaid export --batch 31 --format pdf --logo logo.png --output cards.pdf
        prepaid export --batch 31 --format xlsx --seal age1… --output batch-31.xlsx.age
        prepaid export --batch 31 --fields serial,pin --output again.csv --again --reason "Printer jam"
    """
    _check_usage(
        form,
        {"separator": separator, "bom": bom, "delimiter": delimiter, "template": template_path, "logo": logo_path},
        again,
        reason,
        recipients,
        open_it,
    )
    names, write = _writer(office, form, fields, separator or delimiter, bom, template_path, logo_path)
    if "login_url" in names and qr_url is None:
        raise errors.WrongUsage(_("The field login_url needs the hotspot's address: --qr-url URL."))
    keyring = office.keyring if {"pin", "login_url"} & set(names) else None
    if keyring is not None:
        pin.prepare(keyring)
    with NewFile(path, force) as new, NewFile(export_manifest.path_of(path), force) as manifest:
        if keyring is not None:
            with office.transaction() as cursor:
                _take(cursor, batch_id, again)
                store.batch.open_pins(cursor, batch_id, reason)
        with office.transaction() as cursor:
            batch = _take(cursor, batch_id, again)
            count = batch["in_stock"]
            with _sealed(new.file, recipients) as target, output.progress(count, _("Exporting")) as advance:
                reader = _Reader(_stock(cursor, batch_id, with_pins=keyring is not None), keyring, advance)
                write(target, export_fields.Fields(names, batch, qr_url), count, reader)
            if reader.count != count:
                raise errors.Busy()
            facts = {
                "file": os.path.basename(path),
                "batch": batch_id,
                "product": batch["product"],
                "count": count,
                "first_serial": reader.first_serial,
                "last_serial": reader.last_serial,
                "format": form,
                "fields": names,
                "sealed": bool(recipients),
                "sha256": new.sha256(),
                "made_at": output.json_value(store.connection.now(cursor)),
            }
            export_manifest.write(manifest.file, facts)
            manifest.sha256()
            detail = {name: facts[name] for name in ("format", "fields", "sha256", "sealed")}
            store.batch.record(cursor, batch_id, "exported", reason, json.dumps(detail))
            new.require_free()
            manifest.require_free()
        # The record first: PINs never leave without one.  If the file then cannot get its name, the record says
        # so little too much, and --again is the way.
        _publish(new, manifest, batch_id)
    if batch["left_out"]:
        output.print_notice(
            _("{count} cards of the batch are not in stock any more and were left out.").format(count=batch["left_out"])
        )
    output.print_result(
        {**facts, "file": path, "manifest": export_manifest.path_of(path)},
        _("File created: {path}").format(path=path),
        as_json,
    )
    if open_it:
        _open(path)


def _check_usage(form: str, options: dict, again: bool, reason: str | None, recipients: list, open_it: bool) -> None:
    for name, value in options.items():
        if value and form not in BELONGS_TO[name]:
            raise errors.WrongUsage(
                _("--{option} is for --format {formats}, and this is {format}."),
                option=name,
                formats=" or ".join(BELONGS_TO[name]),
                format=form,
            )
    if again and not (reason or "").strip():
        raise errors.WrongUsage(_("A second export needs a reason: --again --reason TEXT."))
    if len(reason or "") > LONGEST_REASON:
        raise errors.WrongUsage(_("A reason has at most {most} letters."), most=LONGEST_REASON)
    if recipients and open_it:
        raise errors.WrongUsage(_("A sealed file opens with a secret key only: leave --open out, or --seal."))


def _writer(office, form: str, wanted: list[str] | None, delimiter: str | None, bom: bool, template_path, logo_path):
    """The fields to export, and what writes them: a function of a file, the fields, the count and the cards.

    The libraries are imported where they are needed: each takes longer to load than most commands run.
    """
    if form == "pdf":
        from . import pdf

        template = export_template.load(template_path)
        names, listed = pdf.fields_shown(template, wanted)
        logo = pdf.Logo(logo_path) if logo_path else None
        return names, lambda *cards: pdf.write(*cards, template, office.currency, listed, logo)
    names = wanted or list(export_fields.DEFAULT)
    if form == "xlsx":
        from . import xlsx

        return names, xlsx.write
    delimiter = delimiter or ("," if form == "csv" else "\t")
    return names, lambda *cards: export_csv.write(*cards, delimiter, bom)


def _take(cursor, batch_id: int, again: bool) -> dict:
    """The batch, locked: nobody delivers, deletes or exports its cards before we are done."""
    batch = store.batch.find(cursor, batch_id)
    if batch is None:
        raise errors.UnknownBatch(batch=batch_id)
    store.batch.lock(cursor, [batch_id])
    before = store.batch.last_export(cursor, batch_id)
    if before is not None and not again:
        raise errors.Refused(
            _(
                "Batch {batch} was exported already, on {at} by {operator}. If it has to be exported once more, say why: "
                "--again --reason TEXT."
            ),
            batch=batch_id,
            at=output.formatted("at", before["at"]),
            operator=before["operator"],
        )
    by_status = store.batch.count_by_status(cursor, batch_id)
    by_status.pop("deleted", None)
    in_stock = by_status.pop("created", 0)
    if in_stock == 0:
        raise errors.Refused(
            _("Batch {batch} has no cards in stock, and only those are exported. See 'prepaid batch show {batch}'."),
            batch=batch_id,
        )
    return {**batch, "in_stock": in_stock, "left_out": sum(by_status.values())}


class _Reader:
    """Reads the cards for what writes them, and notes how far it came."""

    def __init__(self, stock, keyring, advance):
        self.count = 0
        self.first_serial = self.last_serial = None
        self._chunks = export_fields.opened(stock, keyring)
        self._advance = advance

    def __iter__(self):
        for cards in self._chunks:
            self.first_serial = self.first_serial or cards.serials[0]
            self.last_serial = cards.serials[-1]
            self.count += len(cards.serials)
            yield cards
            self._advance(len(cards.serials))


def _stock(cursor, batch_id: int, with_pins: bool):
    """The sealed cards in stock, a block at a time."""
    first, last = store.card.stock_ends(cursor, batch_id)
    for start in range(first, last + 1, IDS_A_BLOCK):
        block = store.card.sealed_stock(cursor, batch_id, start, start + IDS_A_BLOCK - 1, with_pins)
        if block:
            yield block


def _sealed(file, recipients: list):
    if not recipients:
        return contextlib.nullcontext(file)
    from .seal import sealing

    return sealing(file, recipients)


def _publish(new: NewFile, manifest: NewFile, batch_id: int) -> None:
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
    """With the desktop's program.  A list and no shell, and a whole path, so that no name of a file is an option."""
    try:
        subprocess.Popen(
            ["xdg-open", os.path.abspath(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        output.print_notice(_("There is no xdg-open here, so the file was not opened."))
