"""prepaid list, show, edit: look at cards, and change the little that may be changed by hand."""

import sys
from array import array
from datetime import date, datetime, timedelta

import click

from freeradius_module.sealing import pin

from . import product, store
from .shell import errors, output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_partner, find_product
from .shell.option_types import CLEARED, DATE, DAY_OR_MOMENT, clearable
from .shell.text import _

# How often a card is set free from its device, unless the option file says otherwise: phones change their address.
UNBINDS_A_MONTH = 3
MONTH_DAYS = 30
LISTED = (
    "serial",
    "status",
    "product",
    "batch",
    "partner",
    "remaining_seconds",
    "remaining_octets",
    "remaining_cents",
    "first_login_at",
    "expires_at",
)
# From a thousand values on, the server makes a table of them instead of using the index.
CARDS_A_PAGE = 500


@cli.command("list")
@option(
    "--status",
    multiple=True,
    type=click.Choice(store.card.LISTED_STATUSES),
    help="In this status; can be given several times.",
)
@selection.batch_option
@option("--product", "product_name", metavar="NAME", help="Of this product.")
@option("--partner", "partner_name", metavar="NAME", help="With this partner.")
@selection.range_option
@option("--from", "made_from", type=DATE, metavar="DATE", help="Made on this day (UTC) or later.")
@option("--to", "made_to", type=DATE, metavar="DATE", help="Made on this day (UTC) or earlier.")
@option("--after", metavar="SERIAL", help="Go on after this card, the last one of the page before.")
@option("--limit", type=click.IntRange(1), help="At most so many cards.")
@json_option
@pass_office
def list_(office, status, batch_id, product_name, partner_name, range_text, made_from, made_to, after, limit, as_json):
    """Cards, in the order in which they were made.

    \b
    Example:
        prepaid list --status delivered --partner "Banca do Norte"
        prepaid list --batch 31 --limit 100 --after LIVRE000000016 --json
    """
    if limit is None and not as_json and sys.stdout.isatty():
        limit = output.TERMINAL_ROWS + 1
    wanted = {
        "status": list(status) or None,
        "batch_id": batch_id,
        "made_from": made_from,
        "made_to": made_to and product.end_of_day(made_to, "UTC"),
        "limit": limit,
    }
    with office.reading() as cursor:
        # A name that does not exist is an error, not an empty list.
        if batch_id is not None and store.batch.find(cursor, batch_id) is None:
            raise errors.UnknownBatch(batch=batch_id)
        if product_name is not None:
            wanted["product_id"] = find_product(cursor, product_name)["id"]
        if partner_name is not None:
            wanted["partner_id"] = find_partner(cursor, partner_name)["id"]
        if range_text is not None:
            ends = [selection.find(cursor, text)["serial"] for text in selection.split_range(range_text)]
            wanted["first_serial"], wanted["last_serial"] = ends
        if after is not None:
            wanted["after_id"] = selection.find(cursor, after)["id"]
        with office.stream() as stream:
            store.card.ids(stream, wanted)
            # Four octets a card: ten million of them still fit where ten million rows would not.
            card_ids = array("I", (row["id"] for row in stream))
        output.print_rows(map(public, in_pages(cursor, card_ids)), as_json, columns=LISTED)


def in_pages(cursor, card_ids):
    """The cards one by one, read some hundreds at a time, all as they were at one moment."""
    for at in range(0, len(card_ids), CARDS_A_PAGE):
        yield from store.card.overviews(cursor, list(card_ids[at : at + CARDS_A_PAGE]))


@cli.command()
@click.argument("serial")
@option(
    "--pin",
    "with_pin",
    is_flag=True,
    help="And its PIN: needs the role see_pin, and leaves a record in the card's history.",
)
@json_option
@pass_office
def show(office, serial, with_pin, as_json):
    """One card in full: status, credit, use, what is left, until when.

    \b
    Example:
        prepaid show LIVRE000000016
        prepaid show LIVRE000000016 --pin
    """
    if not with_pin:
        with office.reading() as cursor:
            output.print_record(_overview(cursor, serial), as_json)
        return
    keyring = office.keyring
    with office.transaction() as cursor:
        card = selection.find(cursor, serial)
        row = _overview(cursor, serial)
        sealed, key_number = store.card.read_pin(cursor, card["id"])
        code = pin.open_sealed(sealed, key_number, card["serial"], keyring)
    output.print_record({"serial": row["serial"], "pin": code, **row}, as_json)


@cli.command()
@click.argument("serial")
@option("--note", type=clearable(click.STRING), help='A note about the card; "none" removes it.')
@option(
    "--expires",
    type=DAY_OR_MOMENT,
    metavar="DATE",
    help="The last day of use, or a moment in UTC; a compensating entry.",
)
@option("--unbind", is_flag=True, help="Let the card's next device be its first; a compensating entry.")
@option("--reason", help="Why; needed with --expires and --unbind.")
@json_option
@pass_office
def edit(office, serial, note, expires, unbind, reason, as_json):
    """Note something on a card, move the end of its validity, or free it from its device.

    \b
    Example:
        prepaid edit LIVRE000000016 --expires 2026-12-31 --reason "Hotspot was down for a week"
    """
    if note is None and expires is None and not unbind:
        raise errors.WrongUsage(_("Say what to change: --note, --expires or --unbind."))
    if (expires is not None or unbind) and not (reason or "").strip():
        raise errors.WrongUsage(_("A compensating entry needs a reason: --reason TEXT."))
    with office.transaction(reason=reason) as cursor:
        card = selection.find(cursor, serial)
        # Locked before its status is looked at: it may be redeemed or deleted at the same moment.
        store.entry.lock(cursor, [card["id"]])
        card = selection.find(cursor, serial)
        if card["status"] in ("deleted", "redeemed"):
            raise errors.Refused(
                _("Card {serial} is {status}, so nothing of it is changed."),
                serial=card["serial"],
                status=output.formatted("status", card["status"]),
            )
        if note is not None:
            store.card.set_note(cursor, card["id"], None if note is CLEARED else note)
        if expires is not None:
            until = end_of(cursor, card, expires)
            store.entry.add(cursor, card["id"], "extended", reason, expires_at=until)
            store.card.end_sessions_by(cursor, card["id"], until)
            store.card.reopen_expired(cursor, card["id"])
        if unbind:
            _require_unbind_left(office, cursor, card)
            store.entry.add(cursor, card["id"], "unbound", reason)
        row = _overview(cursor, serial)
    output.print_result(row, _("Card {serial} is changed.").format(serial=card["serial"]), as_json)


def _require_unbind_left(office, cursor, card: dict) -> None:
    """A card that changes its device all the time is a card that is shared: so often a month and no more."""
    most = office.number("unbinds_a_month", UNBINDS_A_MONTH)
    # Two at once are counted one after the other.
    store.entry.lock(cursor, [card["id"]])
    freed = store.entry.unbound_since(cursor, card["id"], MONTH_DAYS)
    if len(freed) >= most:
        raise errors.Refused(
            _(
                "Card {serial} was set free from its device {count} times within {days} days, and no more than {most} are "
                "allowed (unbinds_a_month in {config}). The next one is possible on {day}. Nothing was changed."
            ),
            serial=card["serial"],
            count=len(freed),
            days=MONTH_DAYS,
            most=most,
            config=office.config_path,
            day=output.formatted("at", freed[-most] + timedelta(days=MONTH_DAYS)) if most else "-",
        )


def public(row: dict) -> dict:
    """A row of card_overview as it is printed, with the money that is left."""
    credit, used = row["credit_cents"], row["used_cents"]
    shown = {}
    for name, value in row.items():
        if name in ("id", "price_cents", "status_before_block"):
            continue
        shown[name] = value
        if name == "used_cents":
            shown["remaining_cents"] = None if credit is None else max(credit - used, 0)
    return shown


def _overview(cursor, text: str) -> dict:
    card = selection.find(cursor, text)
    row = store.card.overview(cursor, card["serial"])
    if row is None:
        raise errors.NotFound(
            _("Card {serial} is deleted. See when and by whom: 'prepaid track {serial}'."), serial=card["serial"]
        )
    return public(row)


def end_of(cursor, card: dict, expires: date | datetime) -> datetime:
    """The moment at which a card's validity ends; of a day it is the end, by the product's clock."""
    if isinstance(expires, datetime):
        return expires
    return product.end_of_day(expires, store.batch.find(cursor, card["batch_id"])["timezone"])
