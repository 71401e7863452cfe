"""How fast a stranger can guess one card's PIN by sending another device address with each guess (20 s; short: 5).

A guess counts if its PIN was compared with the card's.  The output has the answered guesses a second, those that counted,
and the time to try half of the PINs at that rate: as measured, if a new device had no limit, and with the limit of a card.
"""

import select
import time

from .brute_force import ANSWER_SECONDS, WINDOW, Attack
from .campaign import Campaign, run
from .results import Row

SECONDS_A_DAY = 86_400
SECONDS_A_WINDOW = 900
PINS = 10**10
CARD_LIMIT, NAS_LIMIT = 100, 50
# Packets in one group pass the limit together: as many as FreeRADIUS has threads.
IN_FLIGHT = 32


def campaign(short: bool) -> Row:
    seconds = 5 if short else 20
    with Campaign("guess rate", customers=1, pause_seconds=1.0) as servers:
        (card,) = servers.shop.sell(1)
        attack = OneCard(servers, card)
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            attack.guess()
        rate = attack.rejects / (time.monotonic() - began)
        counted = servers.shop.refusals(card).get("wrong_pin", 0)
        windows = 1 + (int(time.time()) // SECONDS_A_WINDOW != int(time.time() - seconds) // SECONDS_A_WINDOW)
        if counted > windows * (NAS_LIMIT + IN_FLIGHT):
            servers.fail(f"{counted} guesses counted in {windows} quarters of an hour")
        if attack.accepts:
            servers.fail(f"{attack.accepts} guesses were accepted")
        row = servers.verdict(
            f"{rate:.0f} guesses a second answered, {counted} of {attack.rejects} counted; half of 10^10 PINs takes "
            f"{days(rate):.0f} days if all count, {days(NAS_LIMIT / SECONDS_A_WINDOW):,.0f} from one NAS, "
            f"{days(CARD_LIMIT / SECONDS_A_WINDOW):,.0f} from several"
        )
        return row._replace(acknowledged=attack.rejects)


def days(guesses_a_second: float) -> float:
    """The time until half of the PINs are tried."""
    return PINS / 2 / guesses_a_second / SECONDS_A_DAY


class OneCard(Attack):
    """All guesses at one card, each from another device."""

    def __init__(self, servers: Campaign, card):
        super().__init__(servers)
        self.cards = [(card.serial, card.pin)]
        self.pins = {card.pin}
        self.number = 0

    def guess(self) -> None:
        self._guess(self.number & 255)
        self.number += 1
        while len(self.open) >= WINDOW and select.select([self.udp], (), (), ANSWER_SECONDS)[0]:
            self._read()

    def _source(self) -> int:
        return self.number & 65535


if __name__ == "__main__":
    run(campaign)
