"""The cards of the bench: serial and PIN follow from a card's number.

Nothing is random, so that a million cards need no memory and all sides have the same cards.  These PINs can be guessed;
the product does not make PINs this way.

>>> card(7)
Card(serial='900000000007', pin='0055427981', device='02-00-00-00-00-07', address='10.0.0.7')
"""

import random
from pathlib import Path
from typing import NamedTuple

FIRST_SERIAL = 900_000_000_000
PIN_STEP = 7_918_283  # prime to 10^10: no two of the first 10^10 cards share a PIN


class Card(NamedTuple):
    serial: str
    pin: str
    device: str
    address: str


def card(number: int) -> Card:
    """The card of that number, with its owner's device and address.

    Each card has one device, which may log in again while its session is open; so after an interrupted round the next
    round can use every card.
    """
    device = f"{number:08X}"
    return Card(
        serial=str(FIRST_SERIAL + number),
        pin=f"{number * PIN_STEP % 10**10:010d}",
        device="02-00-" + "-".join(device[place : place + 2] for place in range(0, 8, 2)),
        address=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
    )


class Deck:
    """All cards in a shuffled order, dealt round after round; the same seed gives every side the same cards.

    >>> deck = Deck(3, seed=1)
    >>> sorted(deck.deal(3)) == [0, 1, 2], len(set(deck.deal(2)))
    (True, 2)
    """

    def __init__(self, count: int, seed: int):
        self.order = list(range(count))
        random.Random(seed).shuffle(self.order)
        self.position = 0

    def deal(self, count: int) -> list[int]:
        """The next cards, all different."""
        if count > len(self.order):
            raise ValueError(f"A round needs {count} cards and there are {len(self.order)}: use --cards or --requests.")
        dealt = [self.order[(self.position + step) % len(self.order)] for step in range(count)]
        self.position += count
        return dealt


def write_csv(path: Path, count: int):
    """All cards as `serial,pin`, with a heading."""
    with open(path, "w", encoding="ascii") as file:
        file.write("serial,pin\n")
        for number in range(count):
            serial, pin, _, _ = card(number)
            file.write(f"{serial},{pin}\n")
