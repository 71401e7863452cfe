"""A million hostile packets over UDP (short: 6,000): no crash, no Accept, memory flat, valid logins answered throughout.

Each packet is one of a NAS (logins by four methods with a wrong PIN, accounting of every kind) with a fault: bits,
lengths, attributes that are doubled, truncated, added, of wrong size, not UTF-8, or with NUL.  Two thirds are signed again
with the right secret, so that they reach the module; the rest have a wrong one and may get no answer.
"""

import random
import select
import socket

from tests.bench import packet
from tests.radius_client import SECRET, RadiusClient

from .campaign import Campaign, run
from .processes import held
from .results import Row

BURST = 25
MEMORY_GROWTH_KIB = 64 * 1024
WRONG_PIN = "not the PIN"
NASTY = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"Caf\xe9",
    b"%{User-Password}",
    b"'; DROP TABLE card; --",
    b"\n\tUser-Name = x",
    b"9" * 253,
    b"%n%s%s",
    b"${env:PATH}",
    "é".encode() * 100,
    b"-1",
    b"prepaid:1:1:1:0",
)
INTERESTING = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    25,
    26,
    27,
    31,
    40,
    41,
    42,
    43,
    44,
    46,
    52,
    53,
    55,
    60,
    79,
    80,
    103,
    169,
    241,
    255,
)


def campaign(short: bool) -> Row:
    count = 6_000 if short else 1_000_000
    with Campaign("fuzz of packets", customers=4) as servers:
        fuzz = Fuzz(servers, seed=1)
        fuzz.play(count // 10)
        pid = servers.stack.freeradius.daemon.pid()
        first = held(pid)
        fuzz.play(count - count // 10)
        last = held(pid)
        if servers.stack.freeradius.daemon.pid() != pid:
            servers.fail("radiusd has ended")
        if last.memory_kib > first.memory_kib + MEMORY_GROWTH_KIB:
            servers.fail(f"radiusd held {first} at first and {last} at last")
        row = servers.verdict(
            f"{count} packets, {fuzz.answers} answers, {fuzz.probes} valid logins among them; "
            f"radiusd held {first} at first, {last} at last"
        )
        return row._replace(acknowledged=count)


class Fuzz:
    def __init__(self, servers: Campaign, seed: int):
        self.servers = servers
        self.random = random.Random(seed)
        self.ports = servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port
        self.radius = RadiusClient(*self.ports)
        self.secret = packet.Secret(SECRET.encode())
        self.wrong = packet.Secret(b"another secret")
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setblocking(False)
        self.answers = self.probes = 0
        (self.card,) = servers.shop.sell(1, credit_octets=2**40, max_sessions=250)
        (self.owner,) = servers.shop.sell(1, credit_octets=2**40, max_sessions=250)
        self.requests = self._requests()

    def play(self, count: int) -> None:
        for sent in range(0, count, BURST):
            for _ in range(min(BURST, count - sent)):
                is_login, octets = self._hostile()
                self.udp.sendto(octets, ("127.0.0.1", self.ports[0 if is_login else 1]))
            self._read_answers()
            if sent % (BURST * 20) == 0:
                self._probe()

    def _probe(self) -> None:
        """The server has finished what was sent before, and accepts a login with the right PIN."""
        for _ in range(10):
            reply = self.radius.login(self.owner.serial, self.owner.pin, timeout_seconds=3)
            if reply is not None:
                break
        if reply is None or not reply.is_accept:
            self.servers.fail(f"a valid login was answered {reply and reply.code} after {self.probes} others")
        self.probes += 1

    def _read_answers(self) -> None:
        while select.select([self.udp], (), (), 0)[0]:
            answer = self.udp.recv(4096)
            self.answers += 1
            if answer[0] == packet.ACCESS_ACCEPT:
                self.servers.fail(f"an Accept for a packet of no card's PIN: {answer.hex()}")

    # --- Packets ---------------------------------------------------------------------------------------

    def _requests(self) -> list[tuple[bool, list[tuple[int, bytes]]]]:
        """Valid packets, as lists of attributes; the first of the pair says whether it is a login."""
        made = []
        for method in ("pap", "chap", "mschap", "mschap2"):
            made.append((True, self._captured_login(method)))
        session = self.radius.session(self.card.serial, self.radius.login(self.card.serial, self.card.pin))
        for status in ("Start", "Interim-Update", "Stop"):
            report = self.radius.build_report(session, status, seconds=1, down_octets=2**33, up_octets=5)
            made.append((False, attributes_of(report.RequestPacket())))
        return made

    def _captured_login(self, method: str) -> list[tuple[int, bytes]]:
        caught = []

        class Caught(Exception):
            pass

        def exchange(request, *_):
            caught.append(request.RequestPacket())
            raise Caught

        client = RadiusClient(*self.ports)
        client._exchange = exchange
        try:
            client.login(self.card.serial, WRONG_PIN, method=method)
        except Caught:
            return [pair for pair in attributes_of(caught[0]) if pair[0] != packet.MESSAGE_AUTHENTICATOR]

    def _hostile(self) -> tuple[bool, bytes]:
        chance = self.random
        is_login, attributes = chance.choice(self.requests)
        attributes = list(attributes)
        for _ in range(chance.choice((0, 1, 1, 2, 5))):
            self._spoil(attributes)
        chosen = b"".join(bytes((number, len(value) + 2)) + value for number, value in attributes)[:3900]
        if chance.random() < 0.1:
            # Wrong lengths.
            chosen = self._flip(chosen)
        secret = self.secret if chance.random() < 0.67 else self.wrong
        identifier = chance.randrange(256)
        if is_login:
            octets = secret.access_request(identifier, chance.randbytes(16), chosen)
        else:
            octets = secret.accounting_request(identifier, chosen)
        if chance.random() < 0.05:
            octets = self._flip(octets)[: chance.randrange(len(octets) + 1)]
        return is_login, octets

    def _spoil(self, attributes: list) -> None:
        chance = self.random
        at = chance.randrange(len(attributes)) if attributes else 0
        what = chance.randrange(6)
        if what == 0 or not attributes:
            attributes.insert(at, (chance.choice(INTERESTING), chance.choice(NASTY)[:253]))
        elif what == 1:
            del attributes[at]
        elif what == 2:
            attributes.insert(at, attributes[at])
        elif what == 3:
            attributes[at] = (attributes[at][0], chance.choice(NASTY)[:253])
        elif what == 4:
            attributes[at] = (attributes[at][0], chance.randbytes(chance.randrange(254)))
        else:
            attributes[at] = (chance.choice(INTERESTING), attributes[at][1])

    def _flip(self, octets: bytes) -> bytes:
        changed = bytearray(octets)
        for _ in range(self.random.randrange(1, 4)):
            if changed:
                changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        return bytes(changed)


def attributes_of(request: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 20
    while position < len(request):
        length = request[position + 1]
        found.append((request[position], request[position + 2 : position + length]))
        position += length
    return found


if __name__ == "__main__":
    run(campaign)
