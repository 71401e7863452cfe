"""prepaid batch list, show: which batches exist, and what became of their cards."""

import click

from . import store
from .shell import output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_batch, find_product
from .shell.office import Office
from .store.rows import Row


@cli.group()
def batch() -> None:
    """Batches: cards that were generated or imported together."""


@batch.command("list")
@option("--product", "product_name", metavar="NAME", help="Only of this product.")
@json_option
@pass_office
def list_(office: Office, product_name: str | None, as_json: bool) -> None:
    """List the batches, newest first.

    \b
    Example:
        prepaid batch list
    """
    with office.reading() as cursor:
        if product_name is not None:
            find_product(cursor, product_name)
        output.print_rows(store.batch.listed(cursor, product_name), as_json)


@batch.command()
@click.argument("number", type=click.IntRange(1))
@json_option
@pass_office
def show(office: Office, number: int, as_json: bool) -> None:
    """Show a batch: its serials, its cards by status, its history.

    \b
    Example:
        prepaid batch show 31
    """
    with office.reading() as cursor:
        row = find_batch(cursor, number)
        by_status = store.batch.count_by_status(cursor, number)
        events = store.batch.events(cursor, number)
    if as_json:
        output.print_record({**shown(row), "cards": by_status, "events": events}, as_json)
    else:
        output.print_record({**shown(row), **by_status})
        output.print_rows(events)


def shown(row: Row) -> Row:
    """What is shown of a batch itself."""
    return {
        "batch": row["id"],
        "product": row["product"],
        "count": row["card_count"],
        "first_serial": row["first_serial"],
        "last_serial": row["last_serial"],
        "single_code": bool(row["single_code"]),
        "origin": row["origin"],
        "made_at": row["made_at"],
        "operator": row["operator"],
    }
