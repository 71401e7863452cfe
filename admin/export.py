"""prepaid export: the cards of a batch for the print shop, PINs included."""

import json

import click

from freeradius_module import pin, units

from . import errors, export_csv, output, store_batch, store_card
from .command import cli, json_option, option, pass_office
from .new_file import NewFile
from .text import _

# A format is a function that writes rows, one at a time, into an open binary file.
FORMATS = {"csv": export_csv.write}

DEFAULT_FIELDS = ("serial", "pin", "product", "face_value", "batch")
FIELDS = (*DEFAULT_FIELDS, "kind", "time", "traffic", "money", "valid_days", "sell_by", "valid_until")


def _fields(ctx, param, value):
    fields = [field.strip() for field in value.split(",")]
    unknown = [field for field in fields if field not in FIELDS]
    if unknown:
        raise click.BadParameter(
            _("there is no field {unknown!r}. The fields are {fields}.").format(
                unknown=unknown[0], fields=", ".join(FIELDS)))
    if len(set(fields)) < len(fields):
        raise click.BadParameter(_("a field is named twice."))
    return fields


@cli.command()
@option("--batch", "batch_id", required=True, type=click.IntRange(1), help="Which batch; its cards in stock only.")
@option("--format", "format_name", type=click.Choice(list(FORMATS)), default="csv", help="The form of the file.  [csv]")
@option("--fields", callback=_fields, default=",".join(DEFAULT_FIELDS), metavar="A,B,C",
        help="Which fields, in this order.  [serial,pin,product,face_value,batch]")
@option("--output", "path", required=True, type=click.Path(), help="The file to make, readable by you only.")
@option("--force", is_flag=True, help="Replace the file if it is there.")
@option("--again", is_flag=True, help="Export a batch that was exported before; needs --reason.")
@option("--reason", help="Why again.")
@json_option
@pass_office
def export(office, batch_id, format_name, fields, path, force, again, reason, as_json):
    """Write the cards of a batch that are in stock into a file, for the print shop.

    The file holds the PINs: whoever reads it can use the cards once they are delivered.

    \b
    Example:
        prepaid export --batch 31 --format csv --output batch-31.csv
        prepaid export --batch 31 --fields serial,pin --output again.csv --again --reason "Printer jam"
    """
    if again and not (reason or "").strip():
        raise errors.WrongUsage(_("A second export needs a reason: --again --reason TEXT."))
    keyring = office.keyring if "pin" in fields else None
    with NewFile(path, force) as new, office.transaction() as cursor:
        batch = store_batch.find(cursor, batch_id)
        if batch is None:
            raise errors.UnknownBatch(batch=batch_id)
        # From here on nobody delivers, deletes or exports these cards before we are done.
        store_batch.lock(cursor, [batch_id])
        _require_first(cursor, batch_id, again)
        by_status = store_batch.count_by_status(cursor, batch_id)
        count = by_status.get("created", 0)
        if count == 0:
            raise errors.Refused(_("Batch {batch} has no cards in stock, and only those are exported. See "
                                   "'prepaid batch show {batch}'."), batch=batch_id)
        with office.stream() as stream, output.progress(count, _("Exporting")) as advance:
            store_card.in_stock(stream, batch_id)
            FORMATS[format_name](new.file, fields, _printed(stream, batch, fields, keyring, advance))
        digest = new.sha256()
        detail = json.dumps({"format": format_name, "fields": fields, "sha256": digest})
        store_batch.record(cursor, batch_id, "exported", count, reason, detail)
        # The record first: PINs never leave without one.  If the file then cannot get its name, the record says
        # so little too much, and --again is the way.
        office.connection.commit()
        new.publish()
    left_out = sum(by_status.values()) - count - by_status.get("deleted", 0)
    if left_out:
        output.hint(_("{count} cards of the batch are not in stock any more and were left out.").format(count=left_out))
    output.tell_done({"file": path, "format": format_name, "batch": batch_id, "count": count, "fields": fields,
                      "sha256": digest}, _("File created: {path}").format(path=path), as_json)


def _require_first(cursor, batch_id: int, again: bool) -> None:
    before = store_batch.last_export(cursor, batch_id)
    if before is not None and not again:
        raise errors.Refused(
            _("Batch {batch} was exported already, on {at} by {operator}. If it has to be exported once more, say why: "
              "--again --reason TEXT."), batch=batch_id, at=output.shown("at", before["at"]), operator=before["operator"])


def _printed(cards, batch: dict, fields: list[str], keyring, advance):
    """The cards with the fields as they are printed; what all cards share is made once."""
    shared = {
        "product": batch["product"], "face_value": units.plain_money(batch["price_cents"]), "batch": batch["id"],
        "kind": batch["kind"], "valid_days": batch["valid_days"], "sell_by": batch["sell_by"],
        "valid_until": output.plain(batch["valid_until_at"]),
        "time": _or_nothing(units.format_duration, batch["credit_seconds"]),
        "traffic": _or_nothing(units.format_size, batch["credit_octets"]),
        "money": _or_nothing(units.plain_money, batch["credit_cents"]),
    }
    for card in cards:
        row = {**shared, "serial": card["serial"]}
        if keyring is not None:
            row["pin"] = pin.open_sealed(card["pin_sealed"], card["key_number"], card["serial"], keyring)
        advance(1)
        yield row


def _or_nothing(form, value):
    return None if value is None else form(value)
