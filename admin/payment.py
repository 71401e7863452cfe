"""prepaid payment add, list, reverse: what partners paid; a wrong payment is reversed and never edited."""

from datetime import date

import click

from freeradius_module.rules import units

from . import store
from .shell import clock, complete_names, errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_partner
from .shell.office import Office
from .shell.option_types import DATE, MONEY
from .shell.shared_options import list_options, rehearsal_option
from .shell.text import _
from .store.rows import Cursor, Row

# The columns of the list for people; the note of a reversal is its reason.
LISTED = ("payment", "paid_on", "partner", "amount_cents", "key", "reverses", "note")


def _stripped(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter(_("it is empty."))
    return value and value.strip()


@cli.group()
def payment() -> None:
    """Payments of partners."""


@payment.command()
@click.argument("partner", shell_complete=complete_names.partner)
@click.argument("amount", type=MONEY)
@option(
    "--key",
    required=True,
    metavar="KEY",
    callback=_stripped,
    help="A key for this payment, such as the bank's number of it: repeating the command with the same key changes nothing.",
)
@option("--date", "paid_on", type=DATE, metavar="DATE", help="The day on which the partner paid.  [today]")
@option("--note", callback=_stripped, help="A remark on the payment.")
@rehearsal_option
@json_option
@pass_office
def add(
    office: Office, partner: str, amount: units.Cents, key: str, paid_on: date | None, note: str | None, as_json: bool
) -> None:
    """Record a payment of a partner.

    \b
    Example:
        prepaid payment add "Banca do Norte" 350.00 --key pix-8812 --date 2026-03-02
    """
    if amount <= 0:
        raise errors.WrongUsage(_("A payment of zero changes nothing. Give an amount."))
    _require_past(paid_on)

    def record(cursor: Cursor) -> tuple[Row, bool]:
        payer = find_partner(cursor, partner)
        before = store.payment.made_with_key(cursor, key)
        if before is None:
            number = store.payment.add(cursor, payer["id"], amount, paid_on or clock.today(), key, note)
        else:
            _require_same(before, payer["name"], amount, paid_on)
            number = before["payment"]
        return _found(store.payment.find(cursor, number), number), before is not None

    row, repeated = office.change(record)
    sentence = (
        _("Payment {payment} was recorded before with this key. Nothing was changed.")
        if repeated
        else _("Payment {payment}: {amount} of {partner}, on {day}.")
    )
    output.print_result(
        {**row, "repeated": repeated},
        sentence.format(
            payment=row["payment"],
            amount=output.money(amount),
            partner=row["partner"],
            day=output.formatted("paid_on", row["paid_on"]),
        ),
        as_json,
    )


@payment.command("list")
@option("--partner", "partner_name", metavar="NAME", help="Only of this partner.")
@option("--from", "first", type=DATE, metavar="DATE", help="The first day.")
@option("--to", "last", type=DATE, metavar="DATE", help="The last day.")
@list_options
@pass_office
def list_(office: Office, partner_name: str | None, first: date | None, last: date | None, as_json: bool) -> None:
    """List payments and reversals, newest first.

    \b
    Example:
        prepaid payment list --partner "Banca do Norte" --from 2026-03-01
    """
    with office.reading() as cursor:
        partner_id = None if partner_name is None else find_partner(cursor, partner_name)["id"]
        rows = store.payment.listed(cursor, partner_id, first, last)
    if not as_json:
        rows = [{**row, "note": row["note"] or row["reason"]} for row in rows]
    output.print_rows(rows, as_json, LISTED)


@payment.command()
@click.argument("number", type=click.IntRange(1))
@option("--reason", required=True, callback=_stripped, help="The reason, for the history.")
@rehearsal_option
@json_option
@pass_office
def reverse(office: Office, number: int, reason: str, as_json: bool) -> None:
    """Reverse a payment that was recorded by mistake: a new row with the opposite amount, dated today.

    A payment is reversed once; repeating the command changes nothing.  A reversal cannot be reversed: record the payment
    again with another key.

    \b
    Example:
        prepaid payment reverse 17 --reason "Recorded for the wrong partner"
    """

    def take_back(cursor: Cursor) -> tuple[Row, bool]:
        wrong = _found(store.payment.find(cursor, number), number)
        if wrong["reverses"] is not None:
            raise errors.Refused(
                _("Payment {payment} is itself the reversal of payment {other}. Record the payment again instead."),
                payment=number,
                other=wrong["reverses"],
            )
        reversal = wrong["reversed_by"] or store.payment.reverse(cursor, number, clock.today(), reason)
        return _found(store.payment.find(cursor, reversal), reversal), wrong["reversed_by"] is not None

    row, repeated = office.change(take_back)
    sentence = (
        _("Payment {payment} was already reversed, by {reversal}. Nothing was changed.")
        if repeated
        else _("Payment {payment} of {partner} was reversed: {reversal}, {amount}.")
    )
    output.print_result(
        {**row, "repeated": repeated},
        sentence.format(
            payment=number, reversal=row["payment"], partner=row["partner"], amount=output.money(row["amount_cents"])
        ),
        as_json,
    )


def _found(row: Row | None, number: int) -> Row:
    if row is None:
        raise errors.UnknownPayment(payment=number)
    return row


def _require_past(paid_on: date | None) -> None:
    if paid_on is not None and paid_on > clock.today():
        raise errors.WrongUsage(
            _("{day} is in the future. Record the payment on its day."), day=output.formatted("paid_on", paid_on)
        )


def _require_same(before: Row, partner: str, amount: int, paid_on: date | None) -> None:
    """Refuse a key that another payment has: another amount, partner or day is another payment, or a mistake."""
    if (before["partner"], before["amount_cents"]) != (partner, amount) or paid_on not in (None, before["paid_on"]):
        raise errors.Refused(
            _(
                "The key {key!r} was used for payment {payment}: {amount} of {partner}, on {day}. Nothing was changed. Use "
                "another key."
            ),
            key=before["key"],
            payment=before["payment"],
            amount=output.money(before["amount_cents"]),
            partner=before["partner"],
            day=output.formatted("paid_on", before["paid_on"]),
        )
