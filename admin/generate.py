"""prepaid generate: a batch of new cards."""

import itertools
import secrets

import click

from freeradius_module.rules import serial
from freeradius_module.sealing import pin
from freeradius_module.sentence import Sentence

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_product
from .shell.text import _, translated

MOST_CARDS = 10_000_000
CARDS_A_STATEMENT = 2000
ALPHABETS = {"digits": pin.DIGITS, "safe": pin.SAFE_ALPHABET}


@cli.command()
@option("--product", "product_name", required=True, metavar="NAME", help="What the cards are worth.")
@option("--count", required=True, type=click.IntRange(1, MOST_CARDS), help="How many cards.")
@option("--prefix", default="", help="Capital letters and digits before the number.  [none]")
@option(
    "--serial-digits",
    type=click.IntRange(1, serial.MAX_DIGITS),
    default=8,
    help="Digits of the number; a check digit follows it.  [8]",
)
@option(
    "--pin-length",
    type=click.IntRange(1, pin.MAX_LENGTH),
    default=None,
    help="Signs of the PIN.  [10; 16 with --single-code]",
)
@option(
    "--pin-alphabet",
    default=None,
    metavar="SIGNS",
    help="'digits', 'safe' (letters and digits without look-alikes), or the signs themselves.  [digits]",
)
@option("--single-code", is_flag=True, help="Cards with one long code instead of serial and PIN.")
@json_option
@pass_office
def generate(office, product_name, count, prefix, serial_digits, pin_length, pin_alphabet, single_code, as_json):
    """Make a batch of cards.  They are in stock; nobody can log in with them before they are delivered.

    \b
    Example:
        prepaid generate --product "10 hours" --count 1000 --prefix LIVRE
    """
    length = pin_length or (pin.SINGLE_CODE_LENGTH if single_code else pin.DEFAULT_LENGTH)
    alphabet = ALPHABETS.get(pin_alphabet or ("safe" if single_code else "digits"), pin_alphabet)
    keyring = office.keyring
    with office.reading() as cursor:
        sold = find_product(cursor, product_name)
        live_cards = store.card.live_count(cursor) + count
    if sold["retired_at"] is not None:
        raise errors.Refused(
            _("Product {name!r} is off sale. Choose another one: 'prepaid product list'."), name=product_name
        )
    try:
        pin.check_shape(length, alphabet, live_cards, office.card_tries, single_code=single_code)
        if single_code:
            serials = new_codes(prefix, count, length, alphabet)
        else:
            # Tried before numbers are taken, so that a wrong prefix takes none.
            serial.build(prefix, 1, serial_digits)
            with office.transaction() as cursor:
                first_number = store.batch.take_numbers(cursor, prefix, serial_digits, count)
                serials = serial.build_all(prefix, first_number, count, serial_digits)
    except ValueError as error:
        raise errors.Refused(translated(error)) from None
    with office.transaction() as cursor, output.progress(count, _("Generating")) as advance:
        office.hold_key(cursor)
        batch_id, first, last = make_batch(
            cursor, sold["id"], count, serials, length, alphabet, keyring, single_code, advance
        )
    output.print_result(
        {"batch": batch_id, "product": product_name, "count": count, "first_serial": first, "last_serial": last},
        _("Batch {batch}: {count} cards of {product}, {first} to {last}.").format(
            batch=batch_id, count=count, product=product_name, first=first, last=last
        ),
        as_json,
    )


def make_batch(cursor, product_id, count, serials, pin_length, pin_alphabet, keyring, single_code, advance):
    """The batch and its cards, a few thousand in memory at a time; all of it within the caller's transaction."""
    first, serials = _peek(serials)
    batch_id = store.batch.add(cursor, {"product_id": product_id, "single_code": single_code, "origin": "generated"})
    pins = itertools.repeat(None) if single_code else pin.new_pins(count, pin_length, pin_alphabet)
    last = first
    while chunk := list(itertools.islice(serials, CARDS_A_STATEMENT)):
        cards = []
        # The chunk comes first in zip: it ends the loop before a PIN is drawn for nobody.
        for number, secret in zip(chunk, pins, strict=False):
            key_number, sealed = pin.seal(secret or number, number, keyring)
            cards.append(
                {
                    "serial": number,
                    "pin_sealed": sealed,
                    "key_number": key_number,
                    "batch_id": batch_id,
                    "product_id": product_id,
                }
            )
        store.card.add_many(cursor, cards)
        first, last = min(first, min(chunk)), max(last, max(chunk))
        advance(len(chunk))
    store.batch.record(cursor, batch_id, "generated")
    return batch_id, first, last


def new_codes(prefix: str, count: int, length: int, alphabet: str):
    """The codes of cards that have nothing else: drawn, not counted, with a check digit at the end."""
    serial.build(prefix, 0, 1)  # refuses a prefix that is none
    if len(prefix) + length + 1 > serial.MAX_LENGTH:
        raise ValueError(
            Sentence("A code has at most {most} signs, prefix and check digit included.", most=serial.MAX_LENGTH)
        )
    if not set(alphabet) <= set(pin.SAFE_ALPHABET + pin.DIGITS):
        raise ValueError(Sentence("The code of a card is made of capital letters and digits."))
    return (
        serial.complete(prefix + "".join(secrets.choice(alphabet) for _sign in range(length))) for _card in range(count)
    )


def _peek(items):
    items = iter(items)
    first = next(items)
    return first, itertools.chain([first], items)
