"""prepaid import: cards that another system generated, with the usage recorded there; all of them or none."""

import itertools
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TextIO, cast

import click
import pymysql

from freeradius_module.rules import serial
from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Keyring
from freeradius_module.sentence import Sentence

from . import cards, store
from .shell import errors, line_errors, output
from .shell.command import cli, json_option, option, pass_office
from .shell.find import find_product
from .shell.line_errors import LineErrors
from .shell.office import Office
from .shell.option_types import DAY_OR_MOMENT, MOMENT, Amount
from .shell.text import _, fixed_word, in_context, plural, translated
from .shell.text_file import opened
from .store.rows import Cursor, Row

# Few enough that the driver puts them into one statement, which the database refuses as a whole.
CARDS_A_STATEMENT = 1000
STATUSES = ("created", "delivered", "in_use", "exhausted", "expired", "blocked")
NEEDED = ("serial", "pin")
KNOWN = (
    *NEEDED,
    "status",
    "used_seconds",
    "used_octets",
    "used_down_octets",
    "used_up_octets",
    "first_login_at",
    "expires_at",
    "note",
    "product",
)
PIN_OCTETS = 64
LONGEST_NOTE = 255
# The last moment that a column of the database can hold.
LAST_MOMENT = datetime(9999, 12, 31)
MOST_USED = {"used_seconds": 2**32 - 1, "used_octets": 2**53, "used_down_octets": 2**53, "used_up_octets": 2**53}


@cli.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@option("--product", "product_name", required=True, metavar="NAME", help="The product of the cards.")
@option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
@json_option
@pass_office
def import_(office: Office, path: str, product_name: str, dry_run: bool, as_json: bool) -> None:
    """Import cards that another system generated, as one batch: all of them or none.

    FILE is a CSV file, in UTF-8 or as Excel saves it (Windows-1252). Its first line names its columns: serial, pin, and
    optionally status (created, delivered, in_use, exhausted, expired or blocked), used_seconds, used_octets (or
    used_down_octets and used_up_octets), first_login_at, expires_at, note, product.  docs/migration.md has the SQL that
    makes such a file from the tables of daloRADIUS and RADIUSdesk.

    \b
    Example:
        prepaid import --product "10 hours" old-cards.csv --dry-run
        prepaid import --product "10 hours" old-cards.csv
    """
    keyring = office.keyring
    pin.prepare(keyring)
    office.dry_run = dry_run

    def load(cursor: Cursor) -> tuple[_Loader, int]:
        with opened(path) as file, output.progress(_count_lines(path), _("Importing")) as advance:
            office.hold_key(cursor)
            sold = find_product(cursor, product_name)
            loader = _Loader(cursor, sold, keyring, LineErrors(path), advance, office.card_tries)
            loader.load(file)
            return loader, store.card.live_count(cursor)

    loader, live_cards = office.change(load)
    for sentence in loader.pins.warnings(live_cards):
        output.print_notice(sentence)
    facts = {
        "batch": None if dry_run else loader.batch_id,
        "product": product_name,
        "count": loader.count,
        "first_serial": loader.first_serial,
        "last_serial": loader.last_serial,
        **loader.statuses,
        "weak_pins": loader.pins.weak(live_cards),
        "dry_run": dry_run,
    }
    sentence = (
        plural(
            "Would import {count} card of {product}: {first_serial}. Nothing was changed.",
            "Would import {count} cards of {product}, {first_serial} to {last_serial}. Nothing was changed.",
            loader.count,
        )
        if dry_run
        else plural(
            "Batch {batch}: {count} card of {product} imported: {first_serial}.",
            "Batch {batch}: {count} cards of {product} imported, {first_serial} to {last_serial}.",
            loader.count,
        )
    )
    output.print_result(facts, sentence.format(**facts), as_json)


class _Loader:
    """Reads a file and writes its cards within the caller's transaction, with a thousand of them in memory at a time."""

    def __init__(
        self,
        cursor: Cursor,
        sold: Row,
        keyring: Keyring,
        wrong: LineErrors,
        advance: Callable[[int], None],
        card_tries: int,
    ):
        self.count = 0
        self.first_serial: str | None = None
        self.last_serial: str | None = None
        self.statuses = dict.fromkeys(STATUSES, 0)
        self.pins = PinShapes(card_tries)
        self.batch_id = 0
        self._cursor, self._sold, self._keyring, self._wrong, self._advance = cursor, sold, keyring, wrong, advance
        self._now = store.connection.now(cursor)

    def load(self, file: TextIO) -> None:
        """Write all cards of the file; if any line is wrong, raise Refused with the errors of many lines."""
        self.batch_id = store.batch.add(
            self._cursor, {"product_id": self._sold["id"], "single_code": False, "origin": "imported"}
        )
        rows = line_errors.rows(file, self._wrong, NEEDED, KNOWN)
        while chunk := list(itertools.islice(rows, CARDS_A_STATEMENT)):
            self._load(chunk)
            self._advance(len(chunk))
            if self._wrong.is_enough:
                break
        self._wrong.raise_if_any()
        if not self.count:
            raise errors.Refused(_("{path} contains no cards. Nothing was changed."), path=self._wrong.path)
        store.batch.record(self._cursor, self.batch_id, "imported", detail=Path(self._wrong.path).name)

    def _load(self, chunk: list[tuple[int, dict[str, str]]]) -> None:
        cards: dict[str, tuple[int, Row]] = {}
        for line, row in chunk:
            try:
                card = card_of(row, self._sold, self._now)
            except ValueError as fault:
                self._wrong.add(line, translated(fault))
                continue
            if card["serial"] in cards:
                self._wrong.add(line, _repeated(card["serial"]))
                continue
            cards[card["serial"]] = line, card
        if not cards or self._wrong:
            # The file is refused already.  Go on to report the other errors, taken serials included.
            self._require_new(cards)
        self._write([self._sealed(card) for _line, card in cards.values()], cards)

    def _sealed(self, card: Row) -> Row:
        code = card.pop("pin")
        self.pins.add(code)
        self.statuses[card["status"]] += 1
        card["key_number"], card["pin_sealed"] = pin.seal(code, card["serial"], self._keyring)
        card["batch_id"], card["product_id"] = self.batch_id, self._sold["id"]
        return card

    def _write(self, cards: list[Row], lines: dict[str, tuple[int, Row]]) -> None:
        if not cards:
            return
        try:
            store.imported.add_many(self._cursor, cards)
        except pymysql.err.IntegrityError as error:
            if errors.broken_rule(error) != "serial_is_unique":
                raise
            self._require_new(lines)
            self._write([card for card in cards if card["serial"] in lines], lines)
            return
        serials = [card["serial"] for card in cards]
        self.first_serial = min(serials + [self.first_serial or serials[0]])
        self.last_serial = max(serials + [self.last_serial or serials[0]])
        self.count += len(cards)

    def _require_new(self, lines: dict[str, tuple[int, Row]]) -> None:
        """Report the serials that already exist, and remove them from *lines*."""
        for taken, batch_id in store.imported.batches_of(self._cursor, list(lines)).items():
            line, _card = lines.pop(taken)
            self._wrong.add(
                line,
                _repeated(taken)
                if batch_id == self.batch_id
                else _("card {serial} already exists, in batch {batch}.").format(serial=taken, batch=batch_id),
            )


class PinShapes:
    """Counts the PINs of a file by length and alphabet, to warn of weak ones; it keeps no PIN.

    >>> shapes = PinShapes()
    >>> for code in ("1234", "0000", "48305912746"): shapes.add(code)
    >>> shapes.weak(live_cards=1000)
    2
    """

    # An attacker would try the smallest alphabet that contains a PIN.
    _ALPHABETS = (
        (re.compile("[0-9]+"), pin.DIGITS),
        (re.compile("[0-9A-Z]+|[0-9a-z]+"), pin.DIGITS + string.ascii_uppercase),
    )
    _OTHERS = "".join(map(chr, range(33, 127)))

    def __init__(self, card_tries: int = pin.TRIES_PER_WINDOW):
        self._card_tries = card_tries
        self._counts: Counter[tuple[int, str]] = Counter()

    def add(self, code: str) -> None:
        alphabet = next((some for shape, some in self._ALPHABETS if shape.fullmatch(code)), self._OTHERS)
        self._counts[len(code), alphabet] += 1

    def weak(self, live_cards: int) -> int:
        """How many PINs are weak, with so many cards that could be guessed."""
        return sum(count for count, _why in self._weak(live_cards))

    def warnings(self, live_cards: int) -> list[str]:
        """A sentence for each weak shape.  These cards are imported all the same, because they have been sold."""
        return [_("{count} cards: {why}").format(count=count, why=why) for count, why in self._weak(live_cards)]

    def _weak(self, live_cards: int) -> Iterator[tuple[int, str]]:
        for (length, alphabet), count in sorted(self._counts.items()):
            try:
                pin.check_shape(length, alphabet, live_cards, self._card_tries)
            except ValueError as weakness:
                yield count, translated(weakness)


def card_of(row: dict[str, str], sold: Row, now: datetime | None) -> Row:
    """The card in a row of the file, with the columns of the table card and its PIN; ValueError says what is wrong.

    *sold* is the product, *now* (UTC) the first login of a used card for which the file says none.

    >>> sold = {"name": "10 hours", "valid_days": None, "valid_until_at": None, "credit_down_octets": None,
    ...         "credit_up_octets": None}
    >>> card = card_of({"serial": "ab-17", "pin": "4711", "status": "in_use", "used_seconds": "90"}, sold, None)
    >>> card["serial"], card["status"], card["posted_seconds"]
    ('AB17', 'in_use', 90)
    >>> card_of({"serial": "A17", "pin": "4711", "status": "sold"}, sold, None)
    Traceback (most recent call last):
        ...
    ValueError: 'sold' is not a status. Use one of: created, delivered, in_use, exhausted, expired, blocked.
    """
    used = {name: _used(row, name) for name in MOST_USED}
    first_login_at = _moment(row, "first_login_at", MOMENT)
    expires_at = _moment(row, "expires_at", DAY_OR_MOMENT)
    is_used = first_login_at is not None or any(used.values())
    status = _status(row)
    _check(row, sold, status, used, is_used)
    if status in ("in_use", "exhausted"):
        if first_login_at is None and expires_at is None and sold["valid_days"] is not None:
            raise ValueError(
                Sentence(
                    "its product is valid for {days} days from the first login: give first_login_at or expires_at.",
                    days=sold["valid_days"],
                )
            )
        first_login_at = first_login_at or now
    if expires_at is None and first_login_at is not None and sold["valid_days"] is not None:
        expires_at = min(first_login_at + timedelta(days=sold["valid_days"]), sold["valid_until_at"] or LAST_MOMENT)
    return {
        "serial": _serial(row["serial"]),
        "pin": _pin(row["pin"]),
        "status": status,
        "status_before_block": None if status != "blocked" else "in_use" if is_used else "delivered",
        "posted_seconds": used["used_seconds"],
        # A total counts as download: the product does not separate the directions.
        "posted_down_octets": used["used_octets"] + used["used_down_octets"],
        "posted_up_octets": used["used_up_octets"],
        "first_login_at": first_login_at,
        "expires_at": expires_at,
        "note": row.get("note") or None,
    }


def _status(row: dict[str, str]) -> str:
    """The status, which the file may have in the reader's language, as lists show it."""
    typed = row.get("status") or "created"
    status = fixed_word(typed, STATUSES)
    if status is None:
        known = ", ".join(in_context("word", word) for word in STATUSES)
        raise ValueError(Sentence("{status!r} is not a status. Use one of: {statuses}.", status=typed, statuses=known))
    return status


def _check(row: dict[str, str], sold: Row, status: str, used: dict[str, int], is_used: bool) -> None:
    """Refuse values that contradict each other or the product."""
    if status in ("created", "delivered") and is_used:
        raise ValueError(Sentence("the card is {status}, but it was used.", status=in_context("word", status)))
    if row.get("product") and row["product"] != sold["name"]:
        raise ValueError(
            Sentence("its product is {product!r}; import each product separately.", product=row["product"])
        )
    if used["used_octets"] and (used["used_down_octets"] or used["used_up_octets"]):
        raise ValueError(
            Sentence("it has used_octets and also used_down_octets or used_up_octets; give the total or the parts.")
        )
    if used["used_octets"] and (sold["credit_down_octets"] or sold["credit_up_octets"]):
        raise ValueError(
            Sentence("its product counts download and upload separately: give used_down_octets and used_up_octets.")
        )
    if len(row.get("note") or "") > LONGEST_NOTE:
        raise ValueError(Sentence("its note has more than {most} characters.", most=LONGEST_NOTE))


def _serial(text: str) -> str:
    compacted = serial.compact(text)
    if not 1 <= len(compacted) <= serial.MAX_LENGTH or not compacted.isprintable():
        raise ValueError(
            Sentence(
                "{serial} is not a serial, which has 1 to {most} characters.",
                serial=ascii(text[:64]),
                most=serial.MAX_LENGTH,
            )
        )
    return compacted


def _pin(text: str) -> str:
    """The PIN, checked.  The message of the error must not contain it."""
    if not text:
        raise ValueError(Sentence("it has no PIN."))
    if len(text.encode()) > PIN_OCTETS or not text.isprintable():
        raise ValueError(
            Sentence("its PIN has more than {most} octets, or characters that cannot be typed.", most=PIN_OCTETS)
        )
    return text


def _used(row: dict[str, str], name: str) -> int:
    text = row.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MOST_USED[name]):
        raise ValueError(Sentence("{name} is {text!r}; it must be a whole number.", name=name, text=text))
    return int(text)


def _moment(row: dict[str, str], name: str, kind: Amount) -> datetime | None:
    """The moment (UTC) in this field.  A day that ends a validity is the last day of use, as in --expires."""
    return cards.end_of(cast(date, kind.parse(row[name]))) if row.get(name) else None


def _repeated(taken: str) -> str:
    return _("card {serial} is in the file twice.").format(serial=taken)


def _count_lines(path: str) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
