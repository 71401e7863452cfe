"""prepaid deliver, return, note: cards change hands, all of them or none, with a numbered note."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click
import pymysql

from freeradius_module.rules import hours

from . import store
from .report import note as note_paper
from .shell import errors, output, scanned, selection
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_batch, find_partner, find_product
from .shell.new_file import NewFile
from .shell.office import Office
from .shell.option_types import Word
from .shell.shared_options import dry_run_option, list_options, note_reason_option, require_yes, yes_option
from .shell.text import _, plural
from .store.rows import Cursor, Row

NOTE_LISTED = ("note", "kind", "partner", "count", "first_serial", "last_serial", "reason", "made_at", "operator")
# What a narrow terminal does not show, the first first.
NOTE_LEAST_IMPORTANT = ("operator", "reason", "last_serial", "first_serial")

partner_option = option("--partner", "partner_name", required=True, metavar="NAME", help="The partner.")


@cli.command()
@selection.serials_argument
@partner_option
@selection.batch_option
@selection.range_option
@option("--product", "product_name", metavar="NAME", help="The oldest cards of this product in stock; needs --count.")
@option("--count", type=click.IntRange(1), help="How many cards of --product: exactly this many, or none.")
@yes_option
@dry_run_option
@json_option
@pass_office
def deliver(
    office: Office,
    serials: tuple[str, ...],
    partner_name: str,
    batch_id: int | None,
    range_text: str | None,
    product_name: str | None,
    count: int | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deliver cards in stock to a partner.  They work from this moment on.

    All of the cards or none.  The delivery note keeps the price and the commission of the day.

    With -, serials are read from standard input, one on each line, as a scanner types them.

    With --product and --count, the cards in stock that were made first are shown, and delivered after your confirmation.

    \b
    Example:
        prepaid deliver --partner "Banca do Norte" --batch 31
        prepaid deliver --partner "Banca do Norte" --range LIVRE000000016-LIVRE000010005
        prepaid deliver --partner "Banca do Norte" --product "10 hours" --count 100
        prepaid deliver --partner "Banca do Norte" - < scanned.txt
    """
    if (product_name is None) != (count is None):
        raise errors.WrongUsage(_("--product and --count belong together: --product NAME --count N."))
    wanted = scanned.given(serials)

    def choose(cursor: Cursor) -> tuple[Row, selection.Selection, Row]:
        receiver = find_partner(cursor, partner_name)
        if receiver["retired_at"] is not None:
            raise errors.Refused(_("Partner {name!r} is retired and receives no more cards."), name=partner_name)
        if product_name is None or count is None:
            chosen = selection.by_any(cursor, wanted, batch_id, range_text)
        elif batch_id is None and range_text is None and not serials:
            chosen = selection.oldest_in_stock(cursor, find_product(cursor, product_name), count)
        else:
            raise errors.WrongUsage(
                _("Name the cards in one way: serials, --batch, --range, or --product with --count.")
            )
        for number in chosen.batch_ids:
            require_on_sale(find_batch(cursor, number), store.connection.now(cursor))
        selection.require_lines(cursor, chosen, lambda card: selection.other_status(card, "created"))
        cards = selection.require_only(cursor, chosen, selection.counted(cursor, chosen), "created")
        _require_within_limit(cursor, receiver, chosen, cards["count"])
        return receiver, chosen, cards

    confirmed = _confirmed(office, choose) if product_name is not None and not (yes or dry_run) else None

    def hand_over(cursor: Cursor) -> tuple[int | None, selection.Selection, Row]:
        receiver, chosen, cards = choose(cursor)
        if confirmed is not None and chosen.ranges != confirmed.ranges:
            raise errors.Changed()
        if dry_run:
            return None, chosen, cards
        try:
            note_id = store.note.add(cursor, "delivery", receiver["id"])
            store.connection.set_reason(cursor, None, note_id)
            _require_count(store.card.deliver(cursor, chosen.choice, receiver["id"], note_id), cards["count"])
        except pymysql.MySQLError as error:
            if errors.broken_rule(error) == "credit_limit_is_kept":
                # Another delivery to this partner was committed after the limit was checked above.
                _require_within_limit(cursor, receiver, chosen, cards["count"])
            raise
        return note_id, chosen, cards

    note_id, chosen, cards = office.change(hand_over)
    if confirmed is None and chosen.ranges:
        selection.print_ranges(chosen)
    _tell(
        note_id,
        partner_name,
        cards,
        as_json,
        plural(
            "Note {note}: {count} card delivered to {partner}: {first}.",
            "Note {note}: {count} cards delivered to {partner}, {first} to {last}.",
            cards["count"],
        ),
        plural(
            "Would deliver {count} card to {partner}: {first}. Nothing was changed.",
            "Would deliver {count} cards to {partner}, {first} to {last}. Nothing was changed.",
            cards["count"],
        ),
        chosen.ranges,
    )


def _confirmed(office: Office, choose: Callable[[Cursor], tuple[Row, selection.Selection, Row]]) -> selection.Selection:
    """Show the cards that would be delivered and ask.

    The transaction ends before the question, so that no card is locked while a person thinks.
    """
    receiver, chosen, cards = office.change(choose)
    selection.print_ranges(chosen)
    question = plural("Deliver {count} card to {partner}?", "Deliver {count} cards to {partner}?", cards["count"])
    require_yes(question.format(count=cards["count"], partner=receiver["name"]))
    return chosen


@cli.command("return")
@selection.serials_argument
@partner_option
@selection.batch_option
@selection.range_option
@note_reason_option
@dry_run_option
@json_option
@pass_office
def return_(
    office: Office,
    serials: tuple[str, ...],
    partner_name: str,
    batch_id: int | None,
    range_text: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take unused cards back from a partner.  They stop working at once.

    All of the cards or none.  --batch means all cards of the batch that the partner has.

    With -, serials are read from standard input, one on each line, as a scanner types them.

    \b
    Example:
        prepaid return --partner "Banca do Norte" --range LIVRE000000016-LIVRE000000297
        prepaid return --partner "Banca do Norte" - < scanned.txt
    """
    wanted = scanned.given(serials)

    def take_back(cursor: Cursor) -> tuple[int | None, selection.Selection, Row]:
        giver = find_partner(cursor, partner_name)
        chosen = selection.by_any(cursor, wanted, batch_id, range_text)
        selection.require_lines(cursor, chosen, lambda card: _not_with(card, giver))
        held = chosen._replace(choice=store.card.with_partner(chosen.choice, giver["id"]))
        if batch_id is not None and not store.card.survey(cursor, held.choice):
            raise errors.Refused(_("{partner} has no cards of batch {batch}."), partner=partner_name, batch=batch_id)
        found = selection.counted(cursor, chosen)
        found_there = {row["status"]: row for row in store.card.survey(cursor, held.choice)}
        if batch_id is None:
            _require_all_there(partner_name, found, found_there)
        cards = selection.require_only(cursor, held, found_there, "delivered", giver["id"])
        note_id = None
        if not dry_run:
            note_id = store.note.add(cursor, "return", giver["id"], reason)
            store.connection.set_reason(cursor, reason, note_id)
            store.card.make_sessions_due(cursor, held.choice, "returned")
            _require_count(store.card.take_back(cursor, held.choice), cards["count"])
        return note_id, chosen, cards

    note_id, chosen, cards = office.change(take_back, reason)
    _tell(
        note_id,
        partner_name,
        cards,
        as_json,
        plural(
            "Note {note}: {count} card returned by {partner}: {first}.",
            "Note {note}: {count} cards returned by {partner}, {first} to {last}.",
            cards["count"],
        ),
        plural(
            "Would take {count} card back from {partner}: {first}. Nothing was changed.",
            "Would take {count} cards back from {partner}, {first} to {last}. Nothing was changed.",
            cards["count"],
        ),
        chosen.ranges,
    )


@cli.group()
def note() -> None:
    """Notes: deliveries, returns, and cards that were void at the print shop."""


@note.command("list")
@option("--partner", "partner_name", metavar="NAME", help="Only of this partner.")
@option("--kind", type=Word(["delivery", "return", "void"]), help="Only of this kind.")
@list_options
@pass_office
def list_(office: Office, partner_name: str | None, kind: str | None, as_json: bool) -> None:
    """List the notes, newest first.

    \b
    Example:
        prepaid note list --partner "Banca do Norte"
    """
    with office.reading() as cursor:
        if partner_name is not None:
            find_partner(cursor, partner_name)
        output.print_rows(store.note.listed(cursor, partner_name, kind), as_json, NOTE_LISTED, NOTE_LEAST_IMPORTANT)


@note.command()
@click.argument("number", type=click.IntRange(1))
@option("--format", "form", type=click.Choice(["pdf"]), help="Make a file: a delivery or return note to be signed.")
@option("--output", "path", type=click.Path(dir_okay=False), metavar="PATH", help="The file to make.")
@option("--force", is_flag=True, help="Replace the file if it exists.")
@json_option
@pass_office
def show(office: Office, number: int, form: str | None, path: str | None, force: bool, as_json: bool) -> None:
    """Show a note, with the price and the commission of its day.

    --format pdf makes a page for both parties to sign: the provider (settings provider and provider_document of the
    option file), the partner, the cards by range, amounts and commission.

    \b
    Example:
        prepaid note show 12
        prepaid note show 12 --format pdf --output note-12.pdf
    """
    if (form is None) != (path is None) or (form and as_json):
        raise errors.WrongUsage(_("A note on paper is a file: --format pdf --output PATH, without --json."))
    with office.reading() as cursor:
        row = store.note.find(cursor, number)
        if row is None:
            raise errors.UnknownNote(note=number)
        if path is not None:
            _write_pdf(office, cursor, row, path, force)
            return
        prices = store.note.prices(cursor, number)
    if as_json:
        output.print_record({**row, "prices": prices}, as_json)
    else:
        output.print_record(row)
        output.print_rows(prices)


def _write_pdf(office: Office, cursor: Cursor, row: Row, path: str, force: bool) -> None:
    if row["partner"] is None:
        raise errors.Refused(
            _("Note {note} is of void cards, and nobody signs it. Only delivery and return notes are made as a file."),
            note=row["note"],
        )
    provider = office.settings("prepaid").get("provider")
    if not provider:
        raise errors.WrongUsage(
            _(
                "The note needs the provider's name: add the settings provider and provider_document to the group "
                "[prepaid] of {config}."
            ),
            config=office.config_path,
        )
    partner = find_partner(cursor, row["partner"])
    with NewFile(path, force) as new:
        note_paper.write_pdf(
            new.file,
            note_paper.Paper(
                row,
                note_paper.Party(provider, office.settings("prepaid").get("provider_document")),
                note_paper.Party(partner["name"], partner["document"]),
                store.note.ranges(cursor, row["note"]),
                store.note.amounts(cursor, row["note"]),
                output.made_by(),
            ),
        )
        new.publish()
    output.print_text(_("File created: {path}").format(path=path))


def require_on_sale(batch_row: Row, now: datetime) -> None:
    """Refuse to deliver a product that is off sale, or past its last day of sale or of use (*now* is UTC)."""
    today = now.replace(tzinfo=UTC).astimezone(hours.zone(batch_row["timezone"])).date()
    if batch_row["retired_at"] is not None:
        raise errors.Refused(
            _("Product {product!r} of batch {batch} is off sale, so its cards cannot be delivered."),
            product=batch_row["product"],
            batch=batch_row["id"],
        )
    if batch_row["sell_by"] is not None and today > batch_row["sell_by"]:
        raise errors.Refused(
            _(
                "The last day of sale of {product!r} was {day}. Nothing was changed. Set a later one with 'prepaid product "
                "edit --sell-by'."
            ),
            product=batch_row["product"],
            day=output.formatted("sell_by", batch_row["sell_by"]),
        )
    if batch_row["valid_until_at"] is not None and now >= batch_row["valid_until_at"]:
        raise errors.Refused(
            _(
                "Cards of {product!r} were valid until {moment}. Nothing was changed. Set a later day with 'prepaid product "
                "edit --valid-until'."
            ),
            product=batch_row["product"],
            moment=output.formatted("valid_until_at", batch_row["valid_until_at"]),
        )


def _not_with(card: Row, partner: Row) -> str | None:
    """The objection to a scanned card that this partner cannot return."""
    if card["status"] == "delivered" and card["partner_id"] != partner["id"]:
        return _("card {serial} is not with {partner}.").format(serial=card["serial"], partner=partner["name"])
    return selection.other_status(card, "delivered")


def _require_within_limit(cursor: Cursor, receiver: Row, chosen: selection.Selection, count: int) -> None:
    """Refuse a delivery that would exceed the partner's credit limit.  A trigger checks the same for every writer."""
    if receiver["credit_limit_cents"] is None:
        return
    account = store.partner.account(cursor, receiver["id"])
    if account["credit_limit_cents"] is None:
        return
    delivery = store.partner.price_of_cards(cursor, receiver["id"], chosen.choice)
    outstanding = int(account["cards_cents"] - account["expired_cents"] - account["paid_cents"])
    room = account["credit_limit_cents"] - outstanding
    if delivery <= max(room, 0):
        return
    owed = store.report.owed_for_sales(cursor, receiver["id"], store.connection.now(cursor))
    owed -= int(account["paid_cents"])
    raise errors.Refused(
        _(
            "The credit limit of {partner} is {limit}. It owes {owed} and has unsold cards for {cards}. This delivery of "
            "{count} cards is {delivery}, but only {room} is left. Nothing was changed. Record a payment ('prepaid payment "
            "add'), deliver fewer cards, or raise the limit ('prepaid partner edit --credit-limit')."
        ),
        partner=receiver["name"],
        limit=output.money(account["credit_limit_cents"]),
        owed=output.money(owed),
        cards=output.money(outstanding - owed),
        count=count,
        delivery=output.money(delivery),
        room=output.money(max(room, 0)),
    )


def _require_all_there(partner_name: str, found: dict[str, Row], found_there: dict[str, Row]) -> None:
    total = sum(row["count"] for row in found.values())
    there = sum(row["count"] for row in found_there.values())
    if there != total:
        raise errors.Refused(
            _(
                "{partner} does not have {count} of these {total} cards. Nothing was changed. See who has them: "
                "'prepaid list --range FIRST-LAST'."
            ),
            count=total - there,
            total=total,
            partner=partner_name,
        )


def _require_count(changed: int, expected: int) -> None:
    # The batch is locked against other office commands, but a login may have used a card in the meantime.
    if changed != expected:
        raise errors.Busy()


def _tell(
    note_id: int | None, partner_name: str, cards: Row, as_json: bool, done: str, would: str, ranges: Sequence[Row] = ()
) -> None:
    facts: Row = {
        "note": note_id,
        "partner": partner_name,
        "count": cards["count"],
        "first_serial": cards["first_serial"],
        "last_serial": cards["last_serial"],
    }
    if ranges:
        facts["ranges"] = list(ranges)
    if note_id is None:
        facts["dry_run"] = True
    sentence = (would if note_id is None else done).format(
        note=note_id, count=cards["count"], partner=partner_name, first=cards["first_serial"], last=cards["last_serial"]
    )
    output.print_result(facts, sentence, as_json)
