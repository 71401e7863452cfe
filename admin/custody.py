"""prepaid deliver, return, note: cards change hands, all of them or none, with a numbered note."""

from datetime import UTC

import click

from freeradius_module.rules import hours

from . import store
from .shell import errors, output, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_partner
from .shell.text import _


def partner_option(command):
    return option("--partner", "partner_name", required=True, metavar="NAME", help="The shop.")(command)


dry_run_option = option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")


@cli.command()
@partner_option
@selection.batch_option
@selection.range_option
@dry_run_option
@json_option
@pass_office
def deliver(office, partner_name, batch_id, range_text, dry_run, as_json):
    """Hand cards in stock to a partner.  They work from this moment on.

    All of the cards or none.  Price and commission of the day are frozen on the delivery note.

    \b
    Example:
        prepaid deliver --partner "Banca do Norte" --batch 31
        prepaid deliver --partner "Banca do Norte" --range LIVRE000000016-LIVRE000010005
    """
    with office.transaction() as cursor:
        shop = find_partner(cursor, partner_name)
        if shop["retired_at"] is not None:
            raise errors.Refused(_("Partner {name!r} is retired, so nothing is delivered there."), name=partner_name)
        chosen = selection.by_batch_or_range(cursor, batch_id, range_text)
        batch = store.batch.find(cursor, chosen.batch_ids[0])
        require_on_sale(batch, store.connection.now(cursor))
        cards = selection.require_only(cursor, chosen, selection.counted(cursor, chosen), "created")
        note = None
        if not dry_run:
            note = store.note.add(cursor, "delivery", shop["id"])
            store.connection.set_reason(cursor, None, note)
            _require_count(store.card.deliver(cursor, chosen.choice, shop["id"], note), cards["count"])
    _tell(
        note,
        partner_name,
        cards,
        as_json,
        _("Note {note}: {count} cards delivered to {partner}, {first} to {last}."),
        _("Would deliver {count} cards to {partner}, {first} to {last}. Nothing was changed."),
    )


@cli.command("return")
@partner_option
@selection.batch_option
@selection.range_option
@option("--reason", help="Why, for the note and the history.")
@dry_run_option
@json_option
@pass_office
def return_(office, partner_name, batch_id, range_text, reason, dry_run, as_json):
    """Take unused cards back from a partner.  They stop working at this moment.

    All of the cards or none: with --batch, all cards of the batch that the partner has.

    \b
    Example:
        prepaid return --partner "Banca do Norte" --range LIVRE000000016-LIVRE000000297
    """
    with office.transaction(reason=reason) as cursor:
        shop = find_partner(cursor, partner_name)
        chosen = selection.by_batch_or_range(cursor, batch_id, range_text)
        held = chosen._replace(choice=store.card.with_partner(chosen.choice, shop["id"]))
        if range_text is None and not store.card.survey(cursor, held.choice):
            raise errors.Refused(_("{partner} has no cards of batch {batch}."), partner=partner_name, batch=batch_id)
        found = selection.counted(cursor, chosen)
        found_there = {row["status"]: row for row in store.card.survey(cursor, held.choice)}
        if range_text is not None:
            _require_there(partner_name, found, found_there)
        cards = selection.require_only(cursor, held, found_there, "delivered", shop["id"])
        note = None
        if not dry_run:
            note = store.note.add(cursor, "return", shop["id"], reason)
            store.connection.set_reason(cursor, reason, note)
            store.card.make_sessions_due(cursor, held.choice, "returned")
            _require_count(store.card.take_back(cursor, held.choice), cards["count"])
    _tell(
        note,
        partner_name,
        cards,
        as_json,
        _("Note {note}: {count} cards returned by {partner}, {first} to {last}."),
        _("Would take {count} cards back from {partner}, {first} to {last}. Nothing was changed."),
    )


@cli.group()
def note():
    """Delivery and return notes."""


@note.command("list")
@option("--partner", "partner_name", metavar="NAME", help="Of this partner only.")
@option("--kind", type=click.Choice(["delivery", "return", "void"]), help="Of this kind only.")
@json_option
@pass_office
def list_(office, partner_name, kind, as_json):
    """Notes, newest first.

    \b
    Example:
        prepaid note list --partner "Banca do Norte"
    """
    with office.reading() as cursor:
        if partner_name is not None:
            find_partner(cursor, partner_name)
        output.print_rows(store.note.listed(cursor, partner_name, kind), as_json)


@note.command()
@click.argument("number", type=click.IntRange(1))
@json_option
@pass_office
def show(office, number, as_json):
    """One note, with the price and commission of its day.

    \b
    Example:
        prepaid note show 12
    """
    with office.reading() as cursor:
        row = store.note.find(cursor, number)
        if row is None:
            raise errors.UnknownNote(note=number)
        prices = store.note.prices(cursor, number)
    if as_json:
        output.print_record({**row, "prices": prices}, as_json)
    else:
        output.print_record(row)
        output.print_rows(prices)


def require_on_sale(batch: dict, now) -> None:
    """A product off sale, past its last day of sale or of use is not handed to a shop any more."""
    today = now.replace(tzinfo=UTC).astimezone(hours.zone(batch["timezone"])).date()
    if batch["retired_at"] is not None:
        raise errors.Refused(
            _("Product {product!r} of batch {batch} is off sale, so it is not delivered any more."),
            product=batch["product"],
            batch=batch["id"],
        )
    if batch["sell_by"] is not None and today > batch["sell_by"]:
        raise errors.Refused(
            _(
                "The last day of sale of {product!r} was {day}. Nothing was changed. Extend it with 'prepaid product edit'."
            ),
            product=batch["product"],
            day=batch["sell_by"],
        )
    if batch["valid_until_at"] is not None and now >= batch["valid_until_at"]:
        raise errors.Refused(
            _(
                "Cards of {product!r} were valid until {moment}. Nothing was changed. Extend it with 'prepaid product edit'."
            ),
            product=batch["product"],
            moment=output.formatted("valid_until_at", batch["valid_until_at"]),
        )


def _require_there(partner_name: str, found: dict, found_there: dict) -> None:
    total = sum(row["count"] for row in found.values())
    there = sum(row["count"] for row in found_there.values())
    if there != total:
        raise errors.Refused(
            _(
                "{count} of these {total} cards are not with {partner}. Nothing was changed. See who has them: "
                "'prepaid list --range FIRST-LAST'."
            ),
            count=total - there,
            total=total,
            partner=partner_name,
        )


def _require_count(changed: int, expected: int) -> None:
    # Offices wait for each other at the batch; a login may still have been quicker.
    if changed != expected:
        raise errors.Busy()


def _tell(note: int | None, partner_name: str, cards: dict, as_json: bool, done: str, would: str) -> None:
    facts = {
        "note": note,
        "partner": partner_name,
        "count": cards["count"],
        "first_serial": cards["first_serial"],
        "last_serial": cards["last_serial"],
    }
    sentence = (would if note is None else done).format(
        note=note, count=cards["count"], partner=partner_name, first=cards["first_serial"], last=cards["last_serial"]
    )
    output.print_result(facts, sentence, as_json)
