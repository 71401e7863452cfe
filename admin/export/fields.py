"""The fields of an export: what can be printed of a card.

What all cards of a batch share is computed once; a card adds its serial and its PIN.
"""

import itertools
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from freeradius_module.rules import hours, serial, units
from freeradius_module.sealing import pin
from freeradius_module.sealing.keyring import Keyring

from ..shell import errors, output
from ..shell.text import _, plural, word_in

# Fields of the card itself.  The others belong to the batch.
OWN = ("serial", "pin", "serial_grouped", "number", "login_url")
SHARED = (
    "product",
    "face_value",
    "batch",
    "kind",
    "credit",
    "time",
    "traffic",
    "money",
    "valid_days",
    "sell_by",
    "valid_until",
    "validity",
    "provider",
    "helpline",
)
NAMES = (*OWN, *SHARED)
DEFAULT = ("serial", "pin", "product", "face_value", "batch")
WITH_PIN = {"pin", "login_url"}


class Cards(NamedTuple):
    """Some cards of a batch, in the order in which they were made; `first_number` counts from 1."""

    first_number: int
    serials: list[str]
    pins: list[str]


class Fields:
    """The chosen fields of a batch, in the chosen order.  Money is Decimal, moments are ISO 8601 in UTC."""

    def __init__(
        self,
        names: Iterable[str],
        batch: Mapping[str, Any],
        login_url: str | None = None,
        provider: str | None = None,
        helpline: str | None = None,
    ):
        self.names = list(names)
        self.login_url = login_url
        self.batch = batch
        self.shared: dict[str, str | int | Decimal | None] = {
            "product": batch["product"],
            "face_value": _money(batch["price_cents"]),
            "batch": batch["id"],
            "kind": batch["kind"],
            "valid_days": batch["valid_days"],
            "sell_by": _moment(batch["sell_by"]),
            "valid_until": _moment(batch["valid_until_at"]),
            "money": _money(batch["credit_cents"]),
            "time": _or_none(output.duration, batch["credit_seconds"]),
            "traffic": _or_none(lambda octets: output.formatted("octets", octets), batch["credit_octets"]),
            "validity": validity_in_words(batch),
            "provider": provider,
            "helpline": helpline,
        }
        self.shared["credit"] = credit_in_words(self.shared)

    def in_brazil(self) -> dict[str, str | int | Decimal | None]:
        """What all cards share, as Excel in Brazil reads it: days like 31/12/2026, sizes like 1,5 GB."""
        shown = {
            **self.shared,
            "kind": word_in("pt_BR", self.batch["kind"]),
            "sell_by": _day_in_brazil(self.batch["sell_by"]),
            "valid_until": _day_in_brazil(last_day(self.batch)),
            "traffic": None
            if self.batch["credit_octets"] is None
            else units.format_size(self.batch["credit_octets"], "pt_BR"),
        }
        money = self.shared["money"]
        in_words = {**shown, "money": None if money is None else str(money).replace(".", ",")}
        return {**shown, "credit": credit_in_words(in_words)}

    def rows(self, cards: Cards, shared: Mapping[str, object] | None = None) -> Iterator[tuple[Any, ...]]:
        """A tuple for each card; `shared` may give the shared values in another form."""
        shared = shared or self.shared
        return zip(
            *(
                itertools.repeat(shared[name], len(cards.serials)) if name in shared else self._own(name, cards)
                for name in self.names
            ),
            strict=True,
        )

    def own_rows(self, cards: Cards) -> Iterator[tuple[Any, ...]]:
        """For each card its serial, and then those of the chosen fields that belong to the card itself."""
        own = [self._own(name, cards) for name in self.names if name in OWN]
        return zip(cards.serials, *own, strict=True)

    def _own(self, name: str, cards: Cards) -> Iterable[str | int]:
        match name:
            case "serial":
                return cards.serials
            case "pin":
                return cards.pins
            case "serial_grouped":
                return map(serial.format, cards.serials)
            case "number":
                return range(cards.first_number, cards.first_number + len(cards.serials))
            case "login_url" if self.login_url is not None:
                address = self.login_url
                return (filled_in(address, *card) for card in zip(cards.serials, cards.pins, strict=True))
        raise ValueError(name)


def validity_in_words(batch: Mapping[str, Any]) -> str | None:
    """How long a card can be used, in the reader's language: from its first use, and until a last day."""
    days, last = batch["valid_days"], last_day(batch)
    parts = []
    if days is not None:
        parts.append(plural("{days} day from the first use", "{days} days from the first use", days).format(days=days))
    if last is not None:
        parts.append(_("until {day}").format(day=output.formatted("valid_until", last)))
    return ", ".join(parts) or None


def last_day(batch: Mapping[str, Any]) -> date | None:
    """The last day on which the cards of a batch can be used, if their product has one, in the product's time zone.

    >>> last_day({"valid_until_at": datetime(2027, 1, 1, 3), "timezone": "America/Sao_Paulo"})
    datetime.date(2026, 12, 31)
    """
    if batch["valid_until_at"] is None:
        return None
    last_moment = batch["valid_until_at"].replace(tzinfo=UTC) - timedelta(seconds=1)
    day: date = last_moment.astimezone(hours.zone(batch["timezone"])).date()
    return day


def _day_in_brazil(day: date | None) -> str | None:
    return None if day is None else day.strftime("%d/%m/%Y")


def credit_in_words(shared: Mapping[str, object]) -> str:
    """All of a card's credit, from its parts.

    >>> credit_in_words({"time": "10 h", "traffic": None, "money": "R$ 5,00"})
    '10 h, R$ 5,00'
    """
    return ", ".join(str(shared[name]) for name in ("time", "traffic", "money") if shared[name] is not None)


def chosen(text: str) -> list[str]:
    """The names in a list like serial,pin,product.

    >>> chosen("pin, serial")
    ['pin', 'serial']
    """
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(
            _("there is no field {unknown!r}.{hint} The fields are {fields}.").format(
                unknown=unknown[0], hint=errors.did_you_mean(unknown[0], list(NAMES)), fields=", ".join(NAMES)
            )
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(_("the field {name!r} is named twice.").format(name=twice[0]))
    return names


def opened(
    chunks: Iterable[Sequence[tuple[str, bytes, int]]], keyring: Keyring | None, number: int = 1
) -> Iterator[Cards]:
    """Cards from chunks of (serial, sealed PIN, key number), counted from *number*; without a keyring they have no PINs."""
    for sealed in chunks:
        pins = pin.open_all(sealed, keyring) if keyring else []
        yield Cards(number, [card[0] for card in sealed], pins)
        number += len(sealed)


def login_address(text: str) -> str:
    """A hotspot's login address with the places of serial and PIN.

    >>> login_address("http://login.example/?user={serial}&pw={pin}")
    'http://login.example/?user={serial}&pw={pin}'
    >>> login_address("http://10.5.50.1/login")
    'http://10.5.50.1/login?username={serial}&password={pin}'
    """
    places = set(re.findall(r"{(.*?)}", text))
    if not places:
        text += ("&" if "?" in text else "?") + "username={serial}&password={pin}"
    elif places != {"serial", "pin"}:
        raise ValueError(_("an address has both {serial} and {pin}, or neither, and nothing else in braces."))
    parts = urllib.parse.urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "{" in parts.netloc
        or not text.isprintable()
        or " " in text
        or not text.isascii()
    ):
        raise ValueError(_("write an address like https://hotspot.example/login?username={serial}&password={pin}."))
    return text


def filled_in(address: str, serial_number: str, secret: str) -> str:
    """The login address of one card.  Characters that mean something in an address are quoted.

    >>> filled_in("http://hs/login?u={serial}&p={pin}", "A17", "a&b=c/ é")
    'http://hs/login?u=A17&p=a%26b%3Dc%2F%20%C3%A9'
    """
    return address.replace("{serial}", urllib.parse.quote(serial_number, safe="")).replace(
        "{pin}", urllib.parse.quote(secret, safe="")
    )


def _money(cents: int | None) -> Decimal | None:
    return None if cents is None else Decimal(cents).scaleb(-2)


def _moment(value: date | None) -> str | None:
    return None if value is None else value.isoformat() + ("Z" if isinstance(value, datetime) else "")


def _or_none(form: Callable[[int], str], value: int | None) -> str | None:
    return None if value is None else form(value)
