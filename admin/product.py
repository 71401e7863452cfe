"""prepaid product add, list, show, edit, retire: types of credit, what a card is worth."""

import re
from datetime import UTC, datetime, time, timedelta

import click

from freeradius_module.rules import hours, vendors
from freeradius_module.sentence import Sentence

from . import store
from .freeradius import dictionaries
from .shell import complete_names, errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_product
from .shell.option_types import (
    CLEARED,
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
    clearable,
)
from .shell.text import _

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


def _reply(text: str) -> tuple[str, str, str]:
    """One reply attribute: name, operator, value.

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


# Option, column, type, whether it may be absent (and so be emptied later), help.
OPTIONS = (
    ("--time", "credit_seconds", DURATION, True, "Online time: 90m, 10h."),
    ("--traffic", "credit_octets", SIZE, True, "Traffic in both directions together: 500MB (10^6), 1GiB (2^30)."),
    ("--traffic-down", "credit_down_octets", SIZE, True, "Traffic towards the customer."),
    ("--traffic-up", "credit_up_octets", SIZE, True, "Traffic from the customer."),
    ("--money", "credit_cents", MONEY, True, "Money, used up at the tariffs."),
    ("--tariff-minute", "tariff_minute_millicents", TARIFF, False, "Price of a minute online."),
    ("--tariff-mb", "tariff_mb_millicents", TARIFF, False, "Price of a MB (10^6 octets), both directions."),
    ("--valid-days", "valid_days", click.IntRange(1, 36500), True, "Days of use from the first login."),
    ("--sell-by", "sell_by", DATE, True, "Last day on which cards are delivered."),
    ("--valid-until", "valid_until_at", DATE, True, "Last day of use, whenever the card was sold."),
    ("--hours", "allowed_hours", HOURS, True, 'When it may be used: "Mo-Fr 08:00-18:00".'),
    ("--timezone", "timezone", TIMEZONE, False, "Whose clock the hours and days are meant by.  [UTC]"),
    ("--speed-down", "speed_down_kbit", KBIT, True, "Speed towards the customer, kbit/s."),
    ("--speed-up", "speed_up_kbit", KBIT, True, "Speed from the customer, kbit/s."),
    (
        "--fup-share",
        "fup_share_percent",
        click.IntRange(1, 99),
        True,
        "Per cent of the traffic after which the speed drops.",
    ),
    ("--fup-down", "fup_down_kbit", KBIT, True, "The reduced speed towards the customer."),
    ("--fup-up", "fup_up_kbit", KBIT, True, "The reduced speed from the customer."),
    ("--sessions", "max_sessions", click.IntRange(1, 255), False, "Sessions at the same time.  [1]"),
    (
        "--interim",
        "interim_seconds",
        click.IntRange(60, 65535),
        False,
        "Seconds between two reports of a session.  [300]",
    ),
    ("--idle-timeout", "idle_seconds", SECONDS, True, "Seconds without traffic that end a session."),
    ("--price", "price_cents", MONEY, False, "Face value."),
    ("--commission", "commission_basis_points", PERCENT, False, "Partner's share of the face value, in per cent."),
)


def product_options(edit: bool):
    def decorated(command):
        for decorate in reversed(
            (
                *(
                    option(name, column, type=clearable(kind) if edit and empty else kind, help=text)
                    for name, column, kind, empty, text in OPTIONS
                ),
                option(
                    "--replace-oldest/--refuse-newest",
                    "replace_oldest",
                    default=None,
                    help="What a session too many does: end the oldest, or be refused.  [--refuse-newest]",
                ),
                option(
                    "--bind-device/--any-device",
                    "bind_device",
                    default=None,
                    help="Whether a card works on its first device only.  [--any-device]",
                ),
                option(
                    "--reply",
                    "replies",
                    multiple=True,
                    type=Amount("attribute", _reply),
                    help='A free reply attribute: "Attribute := value"; can be given several times.',
                ),
            )
        ):
            command = decorate(command)
        return command

    return decorated


@cli.group()
def product():
    """Products: types of credit, what a card is worth."""


@product.command()
@click.argument("name")
@option("--kind", type=click.Choice(["internet", "telephony"]), default="internet", help="What for.  [internet]")
@product_options(edit=False)
@json_option
@pass_office
def add(office, name, replies, as_json, **values):
    """Make a type of credit.

    \b
    Example:
        prepaid product add "10 hours" --kind internet --time 10h --valid-days 30 --price 10.00
        prepaid product add "1 GB" --kind internet --traffic 1GB --speed-down 10000 --speed-up 2000
        prepaid product add "R$ 20" --kind internet --money 20.00 --tariff-minute 0.05
    """
    given = {column: value for column, value in values.items() if value is not None}
    given["name"] = _checked_name(name)
    _fix_last_day(given, given.get("timezone", "UTC"))
    dictionaries.check_replies(office, replies)
    with office.transaction() as cursor:
        product_id = store.product.add(cursor, given)
        if replies:
            store.product.add_replies(cursor, product_id, replies)
        row = _in_full(cursor, name)
    output.print_result(row, _("Product {name} is added.").format(name=name), as_json)


@product.command("list")
@option("--all", "retired_too", is_flag=True, help="Those off sale too.")
@json_option
@pass_office
def list_(office, retired_too, as_json):
    """All products on sale.

    \b
    Example:
        prepaid product list --json
    """
    with office.reading() as cursor:
        output.print_rows(map(_public, store.product.listed(cursor, retired_too)), as_json, columns=LISTED)


@product.command()
@click.argument("name", shell_complete=complete_names.product)
@json_option
@pass_office
def show(office, name, as_json):
    """One product in full.

    \b
    Example:
        prepaid product show "10 hours"
    """
    with office.reading() as cursor:
        output.print_record(_in_full(cursor, name), as_json)


@product.command()
@click.argument("name", shell_complete=complete_names.product)
@option("--rename", "new_name", metavar="NAME", help="Another name.")
@option("--no-reply", is_flag=True, help="Remove the free reply attributes.")
@product_options(edit=True)
@json_option
@pass_office
def edit(office, name, new_name, no_reply, replies, as_json, **values):
    """Change what is given and leave the rest; "none" empties a value.

    The credit and the tariffs are fixed once there are cards, because people bought them.

    \b
    Example:
        prepaid product edit "10 hours" --price 12.00 --sell-by none
    """
    changes = {column: None if value is CLEARED else value for column, value in values.items() if value is not None}
    if new_name is not None:
        changes["name"] = _checked_name(new_name)
    if not changes and not replies and not no_reply:
        raise errors.WrongUsage(_("Say what to change; see 'prepaid product edit --help'."))
    dictionaries.check_replies(office, replies)
    with office.transaction() as cursor:
        row = find_product(cursor, name)
        _fix_last_day(changes, changes.get("timezone", row["timezone"]))
        if changes:
            store.product.change(cursor, row["id"], changes)
        if no_reply or replies:
            store.product.remove_replies(cursor, row["id"])
        if replies:
            store.product.add_replies(cursor, row["id"], replies)
        row = _in_full(cursor, changes.get("name", name))
    output.print_result(row, _("Product {name} is changed.").format(name=row["name"]), as_json)


@product.command()
@click.argument("name", shell_complete=complete_names.product)
@json_option
@pass_office
def retire(office, name, as_json):
    """Take a product off sale.  Cards that were sold go on.

    \b
    Example:
        prepaid product retire "10 hours"
    """
    with office.transaction() as cursor:
        retired = store.product.retire(cursor, find_product(cursor, name)["id"])
        row = _in_full(cursor, name)
    sentence = _("Product {name} is off sale.") if retired else _("Product {name} was off sale before.")
    output.print_result(row, sentence.format(name=name), as_json)


def end_of_day(day, timezone: str) -> datetime:
    """The moment in UTC at which a day is over where the provider is.

    >>> from datetime import date
    >>> end_of_day(date(2026, 12, 31), "America/Sao_Paulo")
    datetime.datetime(2027, 1, 1, 3, 0)
    """
    midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=hours.zone(timezone))
    return midnight.astimezone(UTC).replace(tzinfo=None)


def _in_full(cursor, name: str) -> dict:
    """A product with its reply attributes, as `show` prints it."""
    row = find_product(cursor, name)
    reply = [
        f"{reply['attribute']} {reply['operator']} {reply['value']}"
        for reply in store.product.replies(cursor, row["id"])
    ]
    return {**_public(row), "reply": reply}


def _fix_last_day(values: dict, timezone: str) -> None:
    if values.get("valid_until_at") is not None:
        values["valid_until_at"] = end_of_day(values["valid_until_at"], timezone)


def _checked_name(name: str) -> str:
    if not 1 <= len(name.strip()) <= 64 or name != name.strip():
        raise errors.WrongUsage(_("A product's name has 1 to 64 signs, without blanks around it."))
    return name


def _public(row: dict) -> dict:
    return {column: value for column, value in row.items() if column != "id"}
