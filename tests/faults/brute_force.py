"""A million guesses at PINs of cards in use (short: 2,000): none is accepted, and the owners can log in all the time.

The guesses come from a thousand devices, each with another PIN.  The owners are the campaign's customers, and none of
their logins is refused.  Each session lasts some seconds, so a card has some hundred sessions at the end, as many as a
card that is used all day; without pauses it would have ten thousand.
"""

import os
import random
import select
import socket
import time

from tests.bench import packet
from tests.radius_client import SECRET

from .campaign import Campaign, run
from .results import Row

# Fewer than FreeRADIUS has threads (32): it prefers logins to accounting, so with more the owners' accounting would never
# be answered.
WINDOW = 24
SOURCES = 1000
OWNERS_PAUSE_SECONDS = 0.5
# If the owners log in less often than once in so many guesses, the attack blocked them.
GUESSES_A_LOGIN = 10_000
TOLD_EACH = 100_000
ANSWER_SECONDS = 0.5


def campaign(short: bool) -> Row:
    guesses = 2_000 if short else 1_000_000
    with Campaign("brute force", pause_seconds=OWNERS_PAUSE_SECONDS) as servers:
        attack = Attack(servers)
        before = servers.customers.logins
        attack.play(guesses)
        logins = servers.customers.logins - before
        if logins < guesses // GUESSES_A_LOGIN:
            servers.fail(f"the owners logged in no more than {logins} times")
        if attack.accepts:
            servers.fail(f"{attack.accepts} guesses were accepted")
        if servers.customers.refused:
            servers.fail(f"owners were refused {servers.customers.refused} times")
        row = servers.verdict(
            f"{attack.rejects} of {guesses} guesses rejected, {attack.silent} not answered in "
            f"time; the owners logged in {logins} times meanwhile"
        )
        return row._replace(acknowledged=attack.rejects)


class Attack:
    def __init__(self, servers: Campaign):
        self.random = random.Random(1)
        self.to = ("127.0.0.1", servers.stack.freeradius.auth_port)
        self.secret = packet.Secret(SECRET.encode())
        # A card with much credit, so that a guess is refused only because of its PIN.
        self.cards = [one.purse.cards[0] for one in servers.customers.customers if one.purse.credit_seconds is None]
        self.pins = {pin for _, pin in self.cards}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.open: dict[int, bytes] = {}
        self.accepts = self.rejects = self.silent = 0

    def play(self, guesses: int) -> None:
        began = time.monotonic()
        for number in range(guesses):
            if number and number % TOLD_EACH == 0:
                print(f"  {number} guesses after {time.monotonic() - began:.0f} s", flush=True)
            self._guess(number & 255)
            while len(self.open) >= WINDOW:
                if not self._read():
                    self.silent += len(self.open)
                    self.open.clear()
        while self.open and self._read():
            pass
        self.silent += len(self.open)

    def _guess(self, identifier: int) -> None:
        guess = f"{self.random.randrange(10**10):010d}"
        if guess in self.pins:
            return
        serial, _ = self.random.choice(self.cards)
        source = self._source()
        authenticator = os.urandom(16)
        attributes = (
            packet.text(packet.USER_NAME, serial)
            + packet.attribute(packet.NAS_IP_ADDRESS, bytes((127, 0, 0, 1)))
            + packet.text(packet.CALLING_STATION_ID, f"06-00-00-00-{source >> 8:02X}-{source & 255:02X}")
            + packet.attribute(packet.USER_PASSWORD, self.secret.hide(guess.encode(), authenticator))
        )
        request = self.secret.access_request(identifier, authenticator, attributes)
        # The identifier is used again, so the earlier guess with it was never answered.
        self.silent += identifier in self.open
        self.open[identifier] = request
        self.udp.sendto(request, self.to)

    def _source(self) -> int:
        """The device that makes this guess."""
        return self.random.randrange(SOURCES)

    def _read(self) -> bool:
        if not select.select([self.udp], (), (), ANSWER_SECONDS)[0]:
            return False
        answer = self.udp.recv(4096)
        request = self.open.get(answer[1])
        if request is not None and self.secret.is_answer(answer, request):
            del self.open[answer[1]]
            if answer[0] == packet.ACCESS_ACCEPT:
                self.accepts += 1
            else:
                self.rejects += 1
        return True


if __name__ == "__main__":
    run(campaign)
