"""Time, traffic and money as people write and read them.

Inside the product they are whole numbers: seconds, octets, cents; tariffs are millicents (1/1000 cent) and shares are
basis points (1/100 per cent).  Nothing here passes through a binary fraction.  What is displayed is rounded down, so that
nobody is promised more than is left.

>>> parse_duration("2h30m"), parse_size("500MB"), parse_money("20,00"), parse_tariff("0.05")
(9000, 500000000, 2000, 5000)
>>> format_duration(8039), format_size(350_999_999), format_money(420, "pt_BR")
('2 h 13 min', '350 MB', 'R$ 4,20')
"""

import re
from decimal import Decimal
from typing import NewType

from ..sentence import Sentence

# What a number counts.  A type checker then refuses seconds where octets are wanted; at run time they are plain int.
Seconds = NewType("Seconds", int)
Octets = NewType("Octets", int)
Cents = NewType("Cents", int)
Millicents = NewType("Millicents", int)
BasisPoints = NewType("BasisPoints", int)

# The sign before amounts of money where the option file names none (setting `currency`).
DEFAULT_CURRENCY = "R$"

DAY_SECONDS = 86_400
MAX_SECONDS = 100 * 366 * DAY_SECONDS
MAX_OCTETS = 10**15  # A petabyte.
MAX_CENTS = 10**11
MAX_TARIFF_MILLICENTS = 2**32 - 1


def parse_duration(text: str) -> Seconds:
    """A time with its unit, in seconds.  ValueError with a Sentence if it is something else or too much.

    >>> parse_duration("90m"), parse_duration("10h"), parse_duration("3600s"), parse_duration("1d")
    (5400, 36000, 3600, 86400)
    >>> parse_duration("2 h 13 min")
    7980
    >>> parse_duration("90")
    Traceback (most recent call last):
        ...
    ValueError: '90' has no unit: is it 90s, 90m, 90h or 90d?
    """
    bare = text.strip()
    match = _DURATION.fullmatch(bare)
    if _NUMBER.fullmatch(bare):
        raise ValueError(Sentence("{text!r} has no unit: is it {text}s, {text}m, {text}h or {text}d?", text=bare))
    if match is None or not any(match.groups()):
        raise ValueError(Sentence("{text!r} is not a duration. Write it like 90m, 10h, 3600s, 2h30m or 1d.", text=text))
    days, hours, minutes, seconds = (int(count or 0) for count in match.groups())
    return Seconds(_at_most(MAX_SECONDS, days * 86400 + hours * 3600 + minutes * 60 + seconds, text, "100 years"))


def parse_size(text: str) -> Octets:
    """An amount of traffic in octets; ValueError with a Sentence.

    kB, MB, GB and TB are powers of 1000; KiB, MiB, GiB and TiB are powers of 1024.

    >>> parse_size("500MB"), parse_size("1GiB"), parse_size("1,5 GB"), parse_size("1048576")
    (500000000, 1073741824, 1500000000, 1048576)
    >>> parse_size("1.500MB")
    Traceback (most recent call last):
        ...
    ValueError: '1.500MB' could be 1.5 or 1500. Write at most two decimals and no thousands separator.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            Sentence(
                "{text!r} is not an amount of traffic. Write it like 500MB, 1.5GB, 1GiB, or as plain octets.", text=text
            )
        )
    factor = _OCTETS_BY_UNIT[match["unit"].lower()]
    octets = _decimal(match["number"], 2, text) * factor
    if octets != int(octets):
        raise ValueError(Sentence("{text!r} is not a whole number of octets. Write it like 500MB or 1.5GB.", text=text))
    return Octets(_at_most(MAX_OCTETS, int(octets), text, "1000 TB"))


def parse_money(text: str) -> Cents:
    """An amount of money in cents; ValueError with a Sentence.

    >>> parse_money("20.00"), parse_money("20,5"), parse_money("20")
    (2000, 2050, 2000)
    >>> parse_money("1.234")
    Traceback (most recent call last):
        ...
    ValueError: '1.234' could be 1.23 or 1234. Write at most two decimals and no thousands separator.
    """
    number = _decimal_of(text, Sentence("an amount of money"), "20.00")
    return Cents(_at_most(MAX_CENTS, int(_decimal(number, 2, text) * 100), text, "1000000000.00"))


def parse_tariff(text: str) -> Millicents:
    """An amount of money with up to five decimals, in millicents; ValueError with a Sentence.

    >>> parse_tariff("0.05"), parse_tariff("0,00125")
    (5000, 125)
    >>> parse_tariff("0.000001")
    Traceback (most recent call last):
        ...
    ValueError: '0.000001' has more than five decimals. The smallest tariff is 0.00001.
    """
    number = _decimal_of(text, Sentence("a tariff"), "0.05")
    tariff = Decimal(number) * 100_000
    if tariff != int(tariff):
        raise ValueError(Sentence("{text!r} has more than five decimals. The smallest tariff is 0.00001.", text=text))
    return Millicents(_at_most(MAX_TARIFF_MILLICENTS, int(tariff), text, "42949.67295"))


def parse_percent(text: str) -> BasisPoints:
    """A percentage up to 100, in basis points; ValueError with a Sentence.

    >>> parse_percent("12.5"), parse_percent("80 %"), parse_percent("100")
    (1250, 8000, 10000)
    >>> parse_percent("125")
    Traceback (most recent call last):
        ...
    ValueError: '125' is too much: the most is 100.
    """
    number = _decimal_of(text.strip().removesuffix("%"), Sentence("a percentage"), "12.5")
    return BasisPoints(_at_most(10_000, int(_decimal(number, 2, text) * 100), text, "100"))


def parse_credit(text: str) -> tuple[str, int]:
    """What is to be added to a card, as its kind and amount.  The unit says whether it is time, traffic or money.

    >>> parse_credit("10m"), parse_credit("500MB"), parse_credit("5.00")
    (('seconds', 600), ('octets', 500000000), ('cents', 500))
    >>> parse_credit("ten")
    Traceback (most recent call last):
        ...
    ValueError: 'ten' is neither time (10m), nor traffic (500MB), nor money (5.00).
    """
    bare = text.strip()
    if _DECIMAL.fullmatch(bare):
        return "cents", parse_money(bare)
    if _SIZE.fullmatch(bare):
        return "octets", parse_size(bare)
    if _DURATION.fullmatch(bare) and bare:
        return "seconds", parse_duration(bare)
    raise ValueError(Sentence("{text!r} is neither time (10m), nor traffic (500MB), nor money (5.00).", text=text))


def format_duration(seconds: int) -> str:
    """Hours and minutes; seconds only below a minute.

    >>> format_duration(7980), format_duration(7200), format_duration(779), format_duration(45)
    ('2 h 13 min', '2 h', '12 min', '45 s')
    >>> format_duration(100 * 3600), format_duration(-90), format_duration(0)
    ('100 h', '-1 min', '0 s')
    """
    sign, seconds = _sign(seconds)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if seconds < 60:
        return f"{sign}{seconds} s"
    if hours == 0:
        return f"{sign}{minutes} min"
    return f"{sign}{hours} h {minutes} min" if minutes else f"{sign}{hours} h"


def format_validity(seconds: int, lang: str = "en") -> str:
    """Days and hours from two days on; below, as a duration.

    >>> format_validity(30 * 86_400), format_validity(30 * 86_400 - 60), format_validity(2 * 86_400 - 1)
    ('30 days', '29 days 23 h', '47 h 59 min')
    >>> format_validity(5 * 86_400, "pt_BR")
    '5 dias'
    """
    days, hours = seconds // DAY_SECONDS, seconds % DAY_SECONDS // 3600
    if days < 2:
        return format_duration(seconds)
    shown = f"{days} {'dias' if lang.startswith('pt') else 'days'}"
    return f"{shown} {hours} h" if hours else shown


def format_size(octets: int, lang: str = "en") -> str:
    """The largest decimal unit that fits, with two decimals from a gigabyte on.

    >>> format_size(999), format_size(350_999_999), format_size(1_000_000_000)
    ('999 B', '350 MB', '1 GB')
    >>> format_size(1_539_999_999), format_size(1_500_000_000, "pt_BR")
    ('1.53 GB', '1,5 GB')
    """
    sign, octets = _sign(octets)
    for unit, factor in (("TB", 10**12), ("GB", 10**9)):
        if octets >= factor:
            hundredths = octets * 100 // factor
            number = f"{hundredths // 100}.{hundredths % 100:02}".rstrip("0").rstrip(".")
            return f"{sign}{_in_language(number, lang)} {unit}"
    for unit, factor in (("MB", 10**6), ("kB", 10**3)):
        if octets >= factor:
            return f"{sign}{octets // factor} {unit}"
    return f"{sign}{octets} B"


def format_money(cents: int, lang: str = "en", currency: str = DEFAULT_CURRENCY) -> str:
    """Money as the language writes it.

    >>> format_money(420, "pt_BR"), format_money(420, "en"), format_money(123456789, "pt_BR")
    ('R$ 4,20', 'R$ 4.20', 'R$ 1.234.567,89')
    >>> format_money(-5, "en", "€")
    '-€ 0.05'
    """
    sign, cents = _sign(cents)
    number = _in_language(f"{cents // 100:,}.{cents % 100:02}", lang)
    return f"{sign}{currency} {number}" if currency else f"{sign}{number}"


def format_tariff(millicents: int, lang: str = "en", currency: str = DEFAULT_CURRENCY) -> str:
    """A tariff in millicents, with two to five decimals.

    >>> format_tariff(5000), format_tariff(125, "pt_BR")
    ('R$ 0.05', 'R$ 0,00125')
    """
    whole, fraction = divmod(millicents, 100_000)
    decimals = f"{fraction:05}"
    decimals = decimals[:2] + decimals[2:].rstrip("0")
    number = _in_language(f"{whole:,}.{decimals}", lang)
    return f"{currency} {number}" if currency else number


def format_count(count: int, lang: str = "en") -> str:
    """A count with its thousands separated.

    >>> format_count(1234567), format_count(1234567, "pt_BR")
    ('1,234,567', '1.234.567')
    """
    return _in_language(f"{count:,}", lang)


def format_percent(basis_points: int, lang: str = "en") -> str:
    """A share in basis points as a percentage.

    >>> format_percent(1250, "pt_BR"), format_percent(8000)
    ('12,5 %', '80 %')
    """
    number = f"{basis_points // 100}.{basis_points % 100:02}".rstrip("0").rstrip(".")
    return f"{_in_language(number, lang)} %"


def plain_money(cents: int) -> str:
    """Money for other programs: a point and two decimals, no currency.

    >>> plain_money(123456), plain_money(-5)
    ('1234.56', '-0.05')
    """
    sign, cents = _sign(cents)
    return f"{sign}{cents // 100}.{cents % 100:02}"


def _decimal_of(text: str, what: Sentence, example: str) -> str:
    """The number in a text, with a decimal point."""
    bare = text.strip()
    if not _DECIMAL.fullmatch(bare):
        raise ValueError(
            Sentence(
                "{text!r} is not {what}. Write it like {example}, without a currency or a thousands separator.",
                text=text,
                what=what,
                example=example,
            )
        )
    return bare.replace(",", ".")


def _decimal(number: str, most_decimals: int, text: str) -> Decimal:
    number = number.replace(",", ".")
    whole, _, decimals = number.partition(".")
    if len(decimals) > most_decimals:
        raise ValueError(
            Sentence(
                "{text!r} could be {whole}.{cents} or {whole}{decimals}. Write at most two decimals and no "
                "thousands separator.",
                text=text,
                whole=whole,
                cents=decimals.rstrip("0")[:2] or "00",
                decimals=decimals,
            )
        )
    return Decimal(number)


def _at_most(most: int, amount: int, text: str, most_text: str) -> int:
    if amount > most:
        raise ValueError(Sentence("{text!r} is too much: the most is {most}.", text=text, most=most_text))
    return amount


def _sign(amount: int) -> tuple[str, int]:
    return ("-", -amount) if amount < 0 else ("", amount)


def _in_language(number: str, lang: str) -> str:
    """The number with the language's thousands and decimal separators."""
    return number.translate(_EXCHANGED) if lang.startswith("pt") else number


# [0-9], because \d matches the digits of every script.  The length is bounded, so that a text cannot cost much time.
_NUMBER = re.compile("[0-9]{1,18}")
_DECIMAL = re.compile("[0-9]{1,18}(?:[.,][0-9]{1,18})?")
_DURATION = re.compile(
    r"(?:([0-9]{1,12})\s*d)?\s*(?:([0-9]{1,12})\s*h)?\s*(?:([0-9]{1,12})\s*m(?:in)?)?\s*(?:([0-9]{1,12})\s*s)?",
    re.IGNORECASE,
)
_SIZE = re.compile(r"(?P<number>[0-9]{1,18}(?:[.,][0-9]{1,18})?)\s*(?P<unit>B|[KMGT]i?B|)", re.IGNORECASE)
_OCTETS_BY_UNIT = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_EXCHANGED = str.maketrans(".,", ",.")
