"""Whose is a User-Name, in a site that also serves other customers: a card's, or another customer's?

The database says it.  While the database is away, the form of the name says it, and what the database has said before.  A
card keeps its serial for ever, so a name that was a card's stays one.  A name that was another customer's may become a
card's later; it is only remembered for the time when the database is away.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from ..rules import card_form
from ..rules import serial as serial_number

# How many names of each kind are remembered: some 100 octets each.
NAMES_MOST = 100_000
# Cards with one random code have as many forms as cards; more forms than this say nothing.
FORMS_MOST = 256


class Whose(Enum):
    """CARD: it is decided here, or not answered.  OTHER: the site decides.  PERHAPS: the site decides, and if it refuses,
    there is no answer, because this may be a card."""

    CARD = "a card's"
    OTHER = "another customer's"
    PERHAPS = "perhaps a card's"


class Names:
    """What is known about names; one for each FreeRADIUS process."""

    def __init__(self, forms: Iterable[str] = ()):
        self._forms = set(forms)
        # Dictionaries, because they keep the order in which names came.
        self._cards: dict[str, None] = {}
        self._others: dict[str, None] = {}

    def whose(self, serial: str, is_card: Callable[[str], bool]) -> Whose:
        """`is_card` asks the database; an exception means that it cannot say.

        >>> def away(serial):
        ...     raise ConnectionError
        >>> names = Names(["LIVRE####C"])
        >>> [names.whose(name, away).name for name in ("LIVRE00426", "LIVRE00425", "5724", "BOB")]
        ['CARD', 'OTHER', 'PERHAPS', 'OTHER']
        >>> names.whose("LIVRE00426", lambda serial: False).name, names.whose("LIVRE00426", away).name
        ('OTHER', 'PERHAPS')
        >>> names.whose("BOB", lambda serial: True).name, names.whose("BOB", away).name
        ('CARD', 'CARD')
        """
        if not 1 <= len(serial) <= serial_number.MAX_LENGTH:
            return Whose.OTHER
        if serial in self._cards:
            return Whose.CARD
        try:
            is_a_card = is_card(serial)
        except Exception:
            return self._by_form(serial)
        if is_a_card:
            self._others.pop(serial, None)
            if len(self._forms) < FORMS_MOST:
                self._forms.add(card_form.of_serial(serial))
        _remember(self._cards if is_a_card else self._others, serial)
        return Whose.CARD if is_a_card else Whose.OTHER

    def _by_form(self, serial: str) -> Whose:
        is_known_form = card_form.of_serial(serial) in self._forms or any(
            card_form.fits(serial, form) for form in list(self._forms)
        )
        if is_known_form and serial not in self._others:
            return Whose.CARD
        # A valid check digit may be an accident, or a batch that this process has not heard of.
        return Whose.PERHAPS if is_known_form or serial_number.is_valid(serial) else Whose.OTHER


def _remember(names: dict[str, None], name: str) -> None:
    """The one that came first is forgotten, if there are too many."""
    names[name] = None
    if len(names) > NAMES_MOST:
        names.pop(next(iter(names)), None)
