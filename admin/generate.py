"""prepaid generate: a batch of new cards."""

import functools
import itertools
import secrets
from collections.abc import Callable, Iterator

import click

from freeradius_module.rules import serial
from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Keyring
from freeradius_module.sentence import Sentence

from . import store
from .shell import errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_product
from .shell.office import Office
from .shell.shared_options import rehearsal_option
from .shell.text import _, plural, translated
from .store.rows import Cursor

MOST_CARDS = 10_000_000
CARDS_A_STATEMENT = 2000
ALPHABETS = {"digits": pin.DIGITS, "safe": pin.SAFE_ALPHABET}


@cli.command()
@option("--product", "product_name", required=True, metavar="NAME", help="The product of the cards.")
@option("--count", required=True, type=click.IntRange(1, MOST_CARDS), help="How many cards.")
@option("--prefix", default="", help="Capital letters and digits before the number.  [none]")
@option(
    "--serial-digits",
    type=click.IntRange(1, serial.MAX_DIGITS),
    default=8,
    help="How many digits the number has; a check digit follows.  [8]",
)
@option(
    "--pin-length",
    type=click.IntRange(1, pin.MAX_LENGTH),
    default=None,
    help="How many characters the PIN has.  [10; 16 with --single-code]",
)
@option(
    "--pin-alphabet",
    default=None,
    metavar="CHARACTERS",
    help="'digits', 'safe' (letters and digits without look-alikes), or the characters themselves.  [digits; safe with "
    "--single-code]",
)
@option("--single-code", is_flag=True, help="Cards with one long code instead of a serial and a PIN.")
@rehearsal_option
@json_option
@pass_office
def generate(
    office: Office,
    product_name: str,
    count: int,
    prefix: str,
    serial_digits: int,
    pin_length: int | None,
    pin_alphabet: str | None,
    single_code: bool,
    as_json: bool,
) -> None:
    """Generate a batch of cards.  They are in stock, and do not work before they are delivered.

    \b
    Example:
        prepaid generate --product "10 hours" --count 1000 --prefix LIVRE
    """
    length = pin_length or (pin.SINGLE_CODE_LENGTH if single_code else pin.DEFAULT_LENGTH)
    alphabet_name = pin_alphabet or ("safe" if single_code else "digits")
    alphabet = ALPHABETS.get(alphabet_name, alphabet_name)
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
            serials = functools.partial(new_codes, prefix, count, length, alphabet)
        else:
            first_number = _take_numbers(office, prefix, serial_digits, count)
            serials = functools.partial(serial.build_all, prefix, first_number, count, serial_digits)
        pins = functools.partial(pin.new_pins, count, length, alphabet)
        # Each refuses what cannot be made.
        serials(), pins()
    except ValueError as error:
        raise errors.Refused(translated(error)) from None
    if office.dry_run:
        # No card is made, because even a batch that is rolled back would use up its number.
        ends = (
            None if single_code else [serial.build(prefix, first_number + at, serial_digits) for at in (0, count - 1)]
        )
        _tell(None, product_name, count, ends, as_json)
        return

    def make(cursor: Cursor) -> tuple[int, str, str]:
        with output.progress(count, _("Generating")) as advance:
            office.hold_key(cursor)
            return make_batch(cursor, sold["id"], serials(), None if single_code else pins(), keyring, advance)

    batch_id, first, last = office.change(make)
    _tell(batch_id, product_name, count, [first, last], as_json)


def _tell(batch_id: int | None, product_name: str, count: int, ends: list[str] | None, as_json: bool) -> None:
    """Print what was generated.  After a dry run there is no batch, and single codes are not known yet."""
    first, last = ends or (None, None)
    if batch_id is not None:
        sentence = plural(
            "Batch {batch}: {count} card of {product}: {first}.",
            "Batch {batch}: {count} cards of {product}, {first} to {last}.",
            count,
        )
    elif ends:
        sentence = plural(
            "a batch of {count} card of {product}: {first}.",
            "a batch of {count} cards of {product}, {first} to {last}.",
            count,
        )
    else:
        sentence = plural("a batch of {count} card of {product}.", "a batch of {count} cards of {product}.", count)
    output.print_result(
        {"batch": batch_id, "product": product_name, "count": count, "first_serial": first, "last_serial": last},
        sentence.format(batch=batch_id, count=count, product=product_name, first=first, last=last),
        as_json,
    )


def make_batch(
    cursor: Cursor,
    product_id: int,
    serials: Iterator[str],
    pins: Iterator[str] | None,
    keyring: Keyring,
    advance: Callable[[int], None],
) -> tuple[int, str, str]:
    """Write a batch and its cards within the caller's transaction, with a few thousand cards in memory at a time.

    Without *pins* the cards have a single code: each serial is also its PIN.  *advance* is called with the number of
    cards of each step.  Returns the batch's number, and the lowest and the highest serial.
    """
    origin = {"product_id": product_id, "single_code": pins is None, "origin": "generated"}
    batch_id = store.batch.add(cursor, origin)
    first = last = ""
    while chunk := list(itertools.islice(serials, CARDS_A_STATEMENT)):
        cards = []
        # One PIN for each serial: the chunk comes first, so that zip ends before it draws a PIN for nobody.
        for number, secret in zip(chunk, chunk if pins is None else pins, strict=False):
            key_number, sealed = pin.seal(secret, number, keyring)
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
        # Single codes come in no order.
        first, last = min(first or chunk[0], *chunk), max(last, *chunk)
        advance(len(chunk))
    store.batch.record(cursor, batch_id, "generated")
    return batch_id, first, last


def _take_numbers(office: Office, prefix: str, digits: int, count: int) -> int:
    """The first of the next numbers of a prefix; other commands cannot take the same numbers from now on."""
    # Check the shape before numbers are taken, so that a wrong prefix takes none.
    serial.build(prefix, 1, digits)
    return office.change(lambda cursor: store.batch.take_numbers(cursor, prefix, digits, count))


def new_codes(prefix: str, count: int, length: int, alphabet: str) -> Iterator[str]:
    """The codes of single-code cards: random, with a check digit at the end.  Raises ValueError for a wrong shape."""
    serial.build(prefix, 0, 1)  # Refuses a wrong prefix.
    if len(prefix) + length + 1 > serial.MAX_LENGTH:
        raise ValueError(
            Sentence("A code has at most {most} characters, prefix and check digit included.", most=serial.MAX_LENGTH)
        )
    if not set(alphabet) <= set(pin.SAFE_ALPHABET + pin.DIGITS):
        raise ValueError(Sentence("A code consists of capital letters and digits."))
    return (
        serial.complete(prefix + "".join(secrets.choice(alphabet) for _character in range(length)))
        for _card in range(count)
    )
