"""prepaid product add, list, show, edit, retire: the types of credit, which say what a card is worth."""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import click

from freeradius_module.rules import hours, vendors
from freeradius_module.sentence import Sentence

from . import store
from .freeradius import dictionaries
from .shell import clock, complete_names, errors, output
from .shell.command import Decorated, cli, json_option, option, pass_office
from .shell.find import find_product
from .shell.office import Office
from .shell.option_types import (
    DATE,
    DURATION,
    HOURS,
    MONEY,
    PERCENT,
    SECONDS,
    SIZE,
    TARIFF,
    TIMEZONE,
    Amount,
    Word,
    clearable,
)
from .shell.shared_options import changes_of, list_options, name_type, rehearsal_option, together
from .shell.text import _
from .store.rows import Cursor, Row

NAME = name_type(64)
KBIT = click.IntRange(1, 100_000_000)
LISTED = (
    "name",
    "kind",
    "credit_seconds",
    "credit_octets",
    "credit_cents",
    "valid_days",
    "price_cents",
    "commission_basis_points",
    "retired_at",
)

# What a narrow terminal does not show, the first first.
LEAST_IMPORTANT = ("commission_basis_points", "valid_days", "retired_at", "kind")


def _reply(text: str) -> tuple[str, str, str]:
    """The name, operator and value of one reply attribute.

    >>> _reply('Mikrotik-Group := "guests"')
    ('Mikrotik-Group', ':=', 'guests')
    """
    match = re.fullmatch(r"\s*([\w-]+(?::[0-9]{1,2})?)\s*(:=|\+=)\s*(.*\S)\s*", text)
    if match is None:
        raise ValueError(Sentence("{text!r} is not a reply attribute. Write it like 'Attribute := value'.", text=text))
    name, operator, value = match.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    vendors.check_extra((name, operator, value))
    return name, operator, value


# The option, its column, its type, whether the column may be NULL (so that an edit can remove the value), its help.
OPTIONS: tuple[tuple[str, str, click.ParamType[Any], bool, str], ...] = (
    ("--time", "credit_seconds", DURATION, True, "Online time: 90m, 10h."),
    ("--traffic", "credit_octets", SIZE, True, "Traffic, download plus upload: 500MB (10^6), 1GiB (2^30)."),
    ("--traffic-down", "credit_down_octets", SIZE, True, "Download traffic (to the customer)."),
    ("--traffic-up", "credit_up_octets", SIZE, True, "Upload traffic (from the customer)."),
    ("--money", "credit_cents", MONEY, True, "Money; the tariffs say how it is used up."),
    ("--tariff-minute", "tariff_minute_millicents", TARIFF, False, "Price of one minute online."),
    ("--tariff-mb", "tariff_mb_millicents", TARIFF, False, "Price of one MB (10^6 octets), download plus upload."),
    ("--valid-days", "valid_days", click.IntRange(1, 36500), True, "Validity in days from the first login."),
    ("--sell-by", "sell_by", DATE, True, "Last day on which cards can be delivered to partners."),
    ("--valid-until", "valid_until_at", DATE, True, "Last day of use, whenever the card was sold."),
    ("--hours", "allowed_hours", HOURS, True, 'Hours of use: "Mo-Fr 08:00-18:00"; the days are Mo Tu We Th Fr Sa Su.'),
    (
        "--timezone",
        "timezone",
        TIMEZONE,
        False,
        "Time zone of the hours and days, such as America/Sao_Paulo.  [the office's]",
    ),
    ("--speed-down", "speed_down_kbit", KBIT, True, "Download speed in kbit/s."),
    ("--speed-up", "speed_up_kbit", KBIT, True, "Upload speed in kbit/s."),
    (
        "--fup-share",
        "fup_share_percent",
        click.IntRange(1, 99),
        True,
        "Percentage of the traffic after which the speed is reduced.",
    ),
    ("--fup-down", "fup_down_kbit", KBIT, True, "Reduced download speed in kbit/s."),
    ("--fup-up", "fup_up_kbit", KBIT, True, "Reduced upload speed in kbit/s."),
    (
        "--sessions",
        "max_sessions",
        click.IntRange(1, 255),
        False,
        "How many sessions may be open at the same time.  [1]",
    ),
    (
        "--interim",
        "interim_seconds",
        click.IntRange(60, 65535),
        False,
        "Seconds between two accounting reports of a session.  [300]",
    ),
    ("--idle-timeout", "idle_seconds", SECONDS, True, "Seconds without traffic after which the NAS ends a session."),
    ("--price", "price_cents", MONEY, False, "Face value: what the customer pays."),
    (
        "--commission",
        "commission_basis_points",
        PERCENT,
        False,
        "The partner's commission, in per cent of the face value.",
    ),
)


def product_options(is_new: bool) -> Callable[[Decorated], Decorated]:
    """The options of a product; in an edit, the word `none` removes a value."""
    return together(
        *(
            option(name, column, type=clearable(kind) if may_be_null and not is_new else kind, help=text)
            for name, column, kind, may_be_null, text in OPTIONS
        ),
        option(
            "--replace-oldest/--refuse-newest",
            "replace_oldest",
            default=None,
            help="When too many sessions are open: end the oldest one, or refuse the new login.  [--refuse-newest]",
        ),
        option(
            "--bind-device/--any-device",
            "bind_device",
            default=None,
            help="Whether a card works only on the device of its first login.  [--any-device]",
        ),
        option(
            "--reply",
            "replies",
            multiple=True,
            type=Amount("attribute", _reply),
            help='An additional reply attribute, "Attribute := value"; can be given several times.',
        ),
    )


@cli.group()
def product() -> None:
    """Products: the types of credit, which say what a card is worth."""


@product.command()
@click.argument("name", type=NAME)
@option(
    "--kind", type=Word(["internet", "telephony"]), default="internet", help="What the cards are used for.  [internet]"
)
@product_options(is_new=True)
@rehearsal_option
@json_option
@pass_office
def add(office: Office, /, name: str, replies: tuple[tuple[str, str, str], ...], as_json: bool, **values: Any) -> None:
    """Add a product, which is a type of credit.

    \b
    Example:
        prepaid product add "10 hours" --kind internet --time 10h --valid-days 30 --price 10.00
        prepaid product add "1 GB" --kind internet --traffic 1GB --speed-down 10000 --speed-up 2000
        prepaid product add "R$ 20" --kind internet --money 20.00 --tariff-minute 0.05
    """
    given = changes_of({**values, "name": name})
    given.setdefault("timezone", clock.zone_name())
    _fix_last_day(given, given["timezone"])
    dictionaries.check_replies(office, list(replies))

    def add_it(cursor: Cursor) -> Row:
        product_id = store.product.add(cursor, given)
        if replies:
            store.product.add_replies(cursor, product_id, replies)
        return _in_full(cursor, name)

    row = office.change(add_it)
    output.print_result(row, _("Product {name} was added.").format(name=name), as_json)


@product.command("list")
@option("--all", "retired_too", is_flag=True, help="Also list products that are off sale.")
@list_options
@pass_office
def list_(office: Office, retired_too: bool, as_json: bool) -> None:
    """List the products that are on sale.

    \b
    Example:
        prepaid product list --json
    """
    with office.reading() as cursor:
        output.print_rows(map(_public, store.product.listed(cursor, retired_too)), as_json, LISTED, LEAST_IMPORTANT)


@product.command()
@click.argument("name", shell_complete=complete_names.product)
@json_option
@pass_office
def show(office: Office, name: str, as_json: bool) -> None:
    """Show a product in full.

    \b
    Example:
        prepaid product show "10 hours"
    """
    with office.reading() as cursor:
        output.print_record(_in_full(cursor, name), as_json)


@product.command()
@click.argument("name", shell_complete=complete_names.product)
@option("--rename", "new_name", type=NAME, metavar="NAME", help="The new name.")
@option("--no-reply", is_flag=True, help="Remove the additional reply attributes.")
@product_options(is_new=False)
@rehearsal_option
@json_option
@pass_office
def edit(
    office: Office,
    /,
    name: str,
    new_name: str | None,
    no_reply: bool,
    replies: tuple[tuple[str, str, str], ...],
    as_json: bool,
    **values: Any,
) -> None:
    """Change the given values and keep the others; "none" removes a value.

    The credit and the tariffs cannot change once cards exist, because people have bought them.

    \b
    Example:
        prepaid product edit "10 hours" --price 12.00 --sell-by none
    """
    changes = changes_of({**values, "name": new_name})
    if not changes and not replies and not no_reply:
        raise errors.WrongUsage(_("Say what to change; see '{command} --help'."), command="prepaid product edit")
    dictionaries.check_replies(office, list(replies))

    def change(cursor: Cursor) -> Row:
        row = find_product(cursor, name)
        columns = dict(changes)
        _fix_last_day(columns, changes.get("timezone") or row["timezone"])
        if columns:
            store.product.change(cursor, row["id"], columns)
        if no_reply or replies:
            store.product.remove_replies(cursor, row["id"])
        if replies:
            store.product.add_replies(cursor, row["id"], replies)
        return _in_full(cursor, changes.get("name", name))

    row = office.change(change)
    output.print_result(row, _("Product {name} was changed.").format(name=row["name"]), as_json)


@product.command()
@click.argument("name", shell_complete=complete_names.product)
@rehearsal_option
@json_option
@pass_office
def retire(office: Office, name: str, as_json: bool) -> None:
    """Take a product off sale: no more cards are generated or delivered.  Delivered cards stay valid.

    \b
    Example:
        prepaid product retire "10 hours"
    """

    def take_off_sale(cursor: Cursor) -> tuple[int, Row]:
        return store.product.retire(cursor, find_product(cursor, name)["id"]), _in_full(cursor, name)

    retired, row = office.change(take_off_sale)
    sentence = _("Product {name} is now off sale.") if retired else _("Product {name} was already off sale.")
    output.print_result(row, sentence.format(name=name), as_json)


def end_of_day(day: date, timezone: str) -> datetime:
    """The moment in UTC at which a day ends in this time zone.

    >>> end_of_day(date(2026, 12, 31), "America/Sao_Paulo")
    datetime.datetime(2027, 1, 1, 3, 0)
    """
    return clock.end_of(day, hours.zone(timezone))


def _in_full(cursor: Cursor, name: str) -> Row:
    """A product with its additional reply attributes, as `show` prints it."""
    row = find_product(cursor, name)
    reply = [
        f"{reply['attribute']} {reply['operator']} {reply['value']}"
        for reply in store.product.replies(cursor, row["id"])
    ]
    return {**_public(row), "reply": reply}


def _fix_last_day(values: dict[str, Any], timezone: str) -> None:
    """Turn the last day of use into the moment (UTC) at which it ends."""
    if values.get("valid_until_at") is not None:
        values["valid_until_at"] = end_of_day(values["valid_until_at"], timezone)


def _public(row: Row) -> Row:
    return {column: value for column, value in row.items() if column != "id"}
