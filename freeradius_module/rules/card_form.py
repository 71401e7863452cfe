"""The form of a card's serial: how far a name says by itself, without the database, that it is a card's.

A form is written as the serials look: # is a digit, and C at the end is the check digit.

>>> form = of_batch("LIVRE", 8)
>>> form
'LIVRE########C'
>>> fits("LIVRE000000424", form), fits("LIVRE000000425", form), fits("LIVRE00000424", form)
(True, False, False)

Serials of imported cards need not have a check digit; then every digit is one like the others.

>>> of_serial("AB12"), of_serial("5724"), of_serial("joão")
('AB##', '###C', 'joão')
"""

import re
import string
from collections.abc import Iterable

from ..sentence import Sentence
from . import serial as serial_number

CHECK = "C"
DIGIT = "#"


def of_batch(prefix: str, digits: int) -> str:
    """The form of generated serials."""
    return f"{prefix}{DIGIT * digits}{CHECK}"


def of_serial(serial: str) -> str:
    """The form of one serial."""
    head = serial.rstrip(string.digits)
    digits = len(serial) - len(head)
    if digits and serial_number.is_valid(serial):
        return f"{head}{DIGIT * (digits - 1)}{CHECK}"
    return f"{head}{DIGIT * digits}"


def fits(serial: str, form: str) -> bool:
    """Whether a name, in its compact form, has this form."""
    if len(serial) != len(form):
        return False
    head = form.rstrip(CHECK).rstrip(DIGIT) if form.rstrip(CHECK) != form else form.rstrip(DIGIT)
    rest = serial[len(head) :]
    if not serial.startswith(head) or (rest and not re.fullmatch("[0-9]+", rest)):
        return False
    return not form.endswith(DIGIT + CHECK) or serial_number.is_valid(serial)


def read(text: str) -> list[str]:
    """The forms in a setting, separated by commas or spaces; ValueError with a Sentence for one that is none.

    >>> read("LIVRE########C, ##########C")
    ['LIVRE########C', '##########C']
    >>> read("LIVRE")
    Traceback (most recent call last):
        ...
    ValueError: 'LIVRE' is not the form of a serial. Write a # for each digit, and C at the end for the check digit: LIVRE########C
    """
    forms = text.replace(",", " ").split()
    for form in forms:
        if not re.fullmatch(r"[A-Z0-9]{0,16}#{1,31}C?", form) or len(form) > serial_number.MAX_LENGTH:
            raise ValueError(
                Sentence(
                    "{form!r} is not the form of a serial. Write a # for each digit, and C at the end for the check digit: "
                    "LIVRE########C",
                    form=form,
                )
            )
    return forms


def narrowest(forms: Iterable[str]) -> list[str]:
    """Each form once, in order; without those that another one covers.

    >>> narrowest(["A1###C", "A####C", "A####C"])
    ['A####C']
    """
    wanted = sorted(set(forms))
    return [form for form in wanted if not any(other != form and _covers(other, form) for other in wanted)]


def _covers(wide: str, form: str) -> bool:
    return len(wide) == len(form) and all(
        left == right or (left == DIGIT and right.isdigit()) for left, right in zip(wide, form, strict=True)
    )
