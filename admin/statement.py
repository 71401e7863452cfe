"""prepaid partner statement: what a partner owed, sold and paid, line by line."""

from datetime import date

import click

from .partner import partner
from .report import command as report
from .shell import complete_names
from .shell.command import pass_office
from .shell.office import Office


@partner.command()
@click.argument("name", shell_complete=complete_names.partner)
@report.period_options
@report.form_options
@pass_office
def statement(
    office: Office,
    name: str,
    first: date | None,
    last: date | None,
    form: str,
    path: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """What a partner owes: balance, delivery and return notes, sales by product, commission, payments.

    A card is owed from its first login (telephony: its redemption) on, as in the settlement.  Notes are listed and change
    no balance.  The balance is what the partner owes; a negative one is the partner's.

    \b
    Example:
        prepaid partner statement "Banca do Norte" --from 2026-03-01 --to 2026-03-31
        prepaid partner statement "Banca do Norte" --format pdf --output statement.pdf
    """
    report.make(
        office,
        "statement",
        partner_name=name,
        form=form,
        path=path,
        force=force,
        as_json=as_json,
        first=first,
        last=last,
    )
