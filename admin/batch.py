"""prepaid batch list, show: which batches exist, and what became of their cards."""

import json

import click

from . import store
from .shell import output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_batch, find_product
from .shell.office import Office
from .shell.shared_options import list_options
from .shell.text import _
from .store.rows import Row

LISTED = ("batch", "product", "count", "first_serial", "last_serial", "single_code", "origin", "made_at", "operator")
# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("single_code", "origin", "operator", "last_serial", "made_at")
EVENT_COLUMNS = ("at", "what", "operator", "count", "reason", "detail")
EVENT_LEAST_IMPORTANT = ("operator", "count", "reason")
# So much of a file's checksum is enough to tell two files apart; JSON and the manifest have all of it.
SHA256_DIGITS = 12


@cli.group()
def batch() -> None:
    """Batches: cards that were generated or imported together."""


@batch.command("list")
@option("--product", "product_name", metavar="NAME", help="Only of this product.")
@list_options
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
        output.print_rows(store.batch.listed(cursor, product_name), as_json, LISTED, LEAST_IMPORTANT)


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
        if output.is_for_people():
            output.print_text("\n" + _("History:"))
            events = [{**event, "detail": _detail(event["detail"])} for event in events]
        output.print_rows(events, columns=EVENT_COLUMNS, least_important=EVENT_LEAST_IMPORTANT)


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


def _detail(detail: str | None) -> str | None:
    """The detail of an event for people; that of an export is an object with its format, fields and SHA-256."""
    if not detail or not detail.startswith("{"):
        return detail
    facts = json.loads(detail)
    said = [f"{facts['format']}: {', '.join(facts['fields'])}"]
    if facts.get("sealed"):
        said.append(_("encrypted"))
    if facts.get("sha256"):
        said.append(f"SHA-256 {facts['sha256'][:SHA256_DIGITS]}…")
    return "; ".join(said)
