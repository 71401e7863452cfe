"""The serial number of a card: prefix, number, check digit.

    LIVRE 00000042 4
    ----- -------- -
    |     |        one check digit over everything before it
    |     the number, decimal, padded with zeros to the batch's width
    the prefix: capital letters and digits, may be empty

The check digit is Damm's.  It catches every single wrong digit and every exchange of two neighbouring digits, so a typing
error is recognised without the database.  A letter of the prefix counts as two digits (A is 10, Z is 35), as in an IBAN.
One wrong letter is then caught nine times in ten, the best that one decimal digit can do against 36 characters.

>>> build("LIVRE", 42, digits=8)
'LIVRE000000424'
>>> validate("livre 0000-0042-4")
'LIVRE000000424'
>>> format("LIVRE000000424")
'LIVR E000 0004 24'
>>> validate("LIVRE000000442")
Traceback (most recent call last):
    ...
ValueError: Serial LIVRE000000442 has a wrong check digit: please compare it with the card.

A serial is stored, compared and sent as ASCII, byte by byte.  All serials of one batch have the same length, so their order
as text is their order as numbers, and ``BETWEEN first AND last`` selects a range.

Imported cards keep the serial that is printed on them, with or without a check digit.  So look a serial up as it was typed
before you call it invalid.
"""

import re
import string
from collections.abc import Iterable, Iterator

from ..sentence import Sentence

MAX_LENGTH = 32
MAX_PREFIX_LENGTH = 16
MAX_DIGITS = 18  # such a number fits a signed BIGINT


def validate(serial: str) -> str:
    """The serial in its compact form; ValueError with a Sentence if it is not valid.

    >>> validate("")
    Traceback (most recent call last):
        ...
    ValueError: A serial has 2 to 32 letters and digits; this one has 0.
    """
    compacted = compact(serial)
    if not 2 <= len(compacted) <= MAX_LENGTH:
        raise ValueError(
            Sentence(
                "A serial has 2 to {most} letters and digits; this one has {length}.",
                most=MAX_LENGTH,
                length=len(compacted),
            )
        )
    if not _WELL_FORMED.fullmatch(compacted):
        raise ValueError(
            Sentence(
                "Serial {serial!a} is not made of the letters A-Z and the digits 0-9, with a digit at its end.",
                serial=compacted,
            )
        )
    if _damm(_decimal(compacted)) != 0:
        raise ValueError(
            Sentence("Serial {serial} has a wrong check digit: please compare it with the card.", serial=compacted)
        )
    return compacted


def is_valid(serial: str) -> bool:
    """Whether `validate` would accept it.

    >>> is_valid("5724"), is_valid("5742"), is_valid("5734")
    (True, False, False)
    """
    try:
        validate(serial)
    except ValueError:
        return False
    return True


def compact(text: str) -> str:
    """A serial as people type or paste it, without spaces and hyphens, in capital letters.

    >>> compact(" ab-0001 2345\\n")
    'AB00012345'
    """
    return _SEPARATORS.sub("", text).translate(_CAPITALS)


def format(serial: str) -> str:
    """A serial in groups of four characters, easier to read.

    >>> format("00000000424")
    '0000 0000 424'
    """
    compacted = compact(serial)
    return " ".join(compacted[at : at + 4] for at in range(0, len(compacted), 4))


def build(prefix: str, number: int, digits: int) -> str:
    """The serial of one number; ValueError with a Sentence if prefix, number and digits do not fit.

    >>> build("", 572, digits=3)
    '5724'
    >>> build("LIVRE", 1000, digits=3)
    Traceback (most recent call last):
        ...
    ValueError: Number 1000 does not fit 3 digits: the last one is 999. Use more serial digits or another prefix.
    """
    _check_shape(prefix, digits)
    _check_number(number, digits)
    return complete(f"{prefix}{number:0{digits}}")


def build_all(prefix: str, first_number: int, count: int, digits: int) -> Iterator[str]:
    """The serials of `count` numbers in order: the same as `build` for each, but fast for millions.

    >>> list(build_all("A", 8, count=3, digits=2)) == [build("A", n, digits=2) for n in (8, 9, 10)]
    True
    """
    _check_shape(prefix, digits)
    if count < 1:
        raise ValueError(Sentence("A batch has at least one card, not {count}.", count=count))
    _check_number(first_number, digits)
    _check_number(first_number + count - 1, digits)
    return _build_all(prefix, first_number, first_number + count, digits)


def complete(body: str) -> str:
    """A serial made of its first characters and their check digit, for example of the random code of a card without PIN.

    >>> complete("572")
    '5724'
    """
    return body + check_digit(body)


def check_digit(body: str) -> str:
    """The check digit of the characters before it.

    >>> check_digit("572")
    '4'
    """
    if not _BODY.fullmatch(body):
        raise ValueError(Sentence("{body!a} is not made of the letters A-Z and the digits 0-9.", body=body))
    # In Damm's table, the digit of the state leads to 0, so the state that was reached is the check digit.
    return str(_damm(_decimal(body)))


def split_range(text: str) -> tuple[str, str]:
    """The two ends of FIRST-LAST.  Serials may be typed with hyphens of their own, so the middle hyphen separates them.

    The ends are as they were typed.  ValueError with a Sentence if the text is not a range.

    >>> split_range("A017-A025"), split_range("a0-17 - a0-25")
    (('A017', 'A025'), ('a0-17 ', ' a0-25'))
    >>> split_range("A017")
    Traceback (most recent call last):
        ...
    ValueError: 'A017' is not a range. Write it FIRST-LAST, like A017-A025.
    """
    parts = _HYPHEN.split(text)
    if len(parts) % 2 or not all(part.strip() for part in parts):
        raise ValueError(Sentence("{text!r} is not a range. Write it FIRST-LAST, like A017-A025.", text=text))
    middle = len(parts) // 2
    return "-".join(parts[:middle]), "-".join(parts[middle:])


def count_range(first: str, last: str) -> int:
    """How many serials a range has, both ends included; ValueError with a Sentence if they are not the ends of a range.

    This is arithmetic.  If the database has fewer cards, the range has a gap.

    >>> count_range("A008", "A024")
    3
    """
    first, last = validate(first), validate(last)
    first_head, first_number = _split(first)
    last_head, last_number = _split(last)
    if len(first) != len(last) or first_head != last_head:
        raise ValueError(
            Sentence(
                "Serials {first} and {last} are not of one batch: they differ in length or prefix.",
                first=first,
                last=last,
            )
        )
    if first_number > last_number:
        raise ValueError(Sentence("Range {first}-{last} runs backwards: write {last}-{first}.", first=first, last=last))
    return last_number - first_number + 1


def ranges(serials: Iterable[str]) -> list[tuple[str, str, int]]:
    """Serials in order as ranges: the first, the last and the count of each.  The serials may have no check digit.

    >>> ranges(["A008", "A019", "A024", "A043"])
    [('A008', 'A024', 3), ('A043', 'A043', 1)]
    >>> ranges(["X0019", "X0020"])
    [('X0019', 'X0020', 2)]
    """
    found: list[tuple[str, str, int]] = []
    for serial in serials:
        if found and _is_next(found[-1][1], serial):
            first, _last, count = found[-1]
            found[-1] = (first, serial, count + 1)
        else:
            found.append((serial, serial, 1))
    return found


def _is_next(before: str, serial: str) -> bool:
    if len(before) != len(serial):
        return False
    (head, number), (other_head, other_number) = _split(before), _split(serial)
    if head == other_head and other_number == number + 1 and is_valid(before) and is_valid(serial):
        return True
    # Without a check digit, the last digit belongs to the number.
    (head, number), (other_head, other_number) = _split(before + "0"), _split(serial + "0")
    return head == other_head and other_number == number + 1


def _split(serial: str) -> tuple[str, int]:
    """The characters up to the last letter, and the number after it, without the check digit.

    Digits at the end of the prefix become part of the number.  The difference of two serials of one batch stays the same.
    """
    head = serial[:-1].rstrip(string.digits)
    return head, int(serial[len(head) : -1] or 0)


def _build_all(prefix: str, first_number: int, end_number: int, digits: int) -> Iterator[str]:
    # The last three digits and the check digit depend only on the state before them.  There are ten states, so 10,000
    # endings are enough for any number of serials.
    if digits < 3:
        for number in range(first_number, end_number):
            yield complete(f"{prefix}{number:0{digits}}")
        return
    endings = [_endings(state) for state in range(10)]
    for thousand in range(first_number // 1000, (end_number - 1) // 1000 + 1):
        head = f"{prefix}{thousand:0{digits - 3}}" if digits > 3 else prefix
        start = max(first_number - 1000 * thousand, 0)
        end = min(end_number - 1000 * thousand, 1000)
        for ending in endings[_damm(_decimal(head))][start:end]:
            yield head + ending


def _endings(state: int) -> list[str]:
    return [f"{n:03}{_damm(f'{n:03}', state)}" for n in range(1000)]


def _damm(decimal: str, state: int = 0) -> int:
    for digit in decimal:
        state = _TABLE[state][int(digit)]
    return state


def _decimal(body: str) -> str:
    return body if body.isdigit() else "".join(str(int(character, 36)) for character in body)


def _check_shape(prefix: str, digits: int) -> None:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            Sentence(
                "Prefix {prefix!a} is not made of at most {most} capital letters A-Z and digits.",
                prefix=prefix,
                most=MAX_PREFIX_LENGTH,
            )
        )
    if not 1 <= digits <= MAX_DIGITS:
        raise ValueError(
            Sentence("A serial's number has 1 to {most} digits, not {digits}.", most=MAX_DIGITS, digits=digits)
        )
    if len(prefix) + digits + 1 > MAX_LENGTH:
        raise ValueError(
            Sentence(
                "Prefix {prefix}, {digits} digits and the check digit are more than {most} characters. Use fewer "
                "digits or a shorter prefix.",
                prefix=prefix,
                digits=digits,
                most=MAX_LENGTH,
            )
        )


def _check_number(number: int, digits: int) -> None:
    if number < 0:
        raise ValueError(Sentence("A serial's number is not negative: {number}.", number=number))
    if number >= 10**digits:
        raise ValueError(
            Sentence(
                "Number {number} does not fit {digits} digits: the last one is {last}. Use more serial digits or "
                "another prefix.",
                number=number,
                digits=digits,
                last=10**digits - 1,
            )
        )


# A totally anti-symmetric quasigroup of order 10 (H. M. Damm, 2004): no row or column repeats a digit, and (c*x)*y differs
# from (c*y)*x unless x is y.  The tests prove both.
_TABLE = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)

# The plain hyphen, and those that word processors and telephones write.
_HYPHEN = re.compile("[-\u2010-\u2015\u2212]")
_SEPARATORS = re.compile(r"[\s\u2010-\u2015\u2212-]")
# Only these 26 letters: str.upper() turns some other characters into ASCII letters, too.
_CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_BODY = re.compile("[A-Z0-9]+")
_WELL_FORMED = re.compile("[A-Z0-9]+[0-9]")
_PREFIX = re.compile(f"[A-Z0-9]{{0,{MAX_PREFIX_LENGTH}}}")
