"""Packets that break other systems, live and through the queue: each is answered or not, but none blocks later ones.

Text that is not UTF-8, NUL, attributes that are too long, missing or doubled, wrong types, extreme numbers, a user that
does not exist.  A valid packet follows each and is charged exactly.
"""

from tests.radius_client import RadiusClient

from .campaign import Campaign, run
from .results import Row

WAIT_SECONDS = 2
POISON = {
    "not UTF-8": {"User-Name": b"caf\xe9"},
    "not UTF-8 elsewhere": {"Called-Station-Id": b"Caf\xe9 \xff"},
    "NUL": {"User-Name": b"a\0b"},
    "NUL elsewhere": {"Called-Station-Id": b"a\0b"},
    "the longest": {"Called-Station-Id": b"x" * 253, "User-Name": b"y" * 253},
    "multibyte": {"Called-Station-Id": "é".encode() * 126},
    "quotes and line ends": {
        "Called-Station-Id": b'"\n\tUser-Name = "x"\n\n1764000000\n\tPacket-Src-IP-Address = 1.1.1.1\n'
    },
    "an expansion": {"User-Name": b"%{User-Password}%{exec:/bin/true}"},
    "SQL": {"User-Name": b"'; DROP TABLE card; --"},
    "no status": {"Acct-Status-Type": None},
    "an unknown status": {"Acct-Status-Type": 250},
    "no session": {"Acct-Session-Id": None},
    "no user": {"User-Name": None},
    "an empty user": {"User-Name": b""},
    "the highest numbers": {
        "Acct-Session-Time": 2**32 - 1,
        "Acct-Output-Octets": 2**32 - 1,
        "Acct-Output-Gigawords": 2**32 - 1,
        "Acct-Delay-Time": 2**32 - 1,
    },
    "another's Class": {"Class": [b"prepaid:1:1:1:0", b"\0\1\2", b"x" * 253]},
}


def campaign(short: bool) -> Row:
    with Campaign("poison", customers=0, settings={"queue": ""}) as servers:
        live = Round(servers)
        live.play()
        # Direct accounting writes to the queue while the database is away.
        queued = Round(servers)
        servers.stack.mariadb.stop()
        queued.play()
        servers.stack.mariadb.start()
        servers.drain()
        live.compare("live")
        queued.compare("through the queue")
        quarantined = servers.stack.prepaid_json("queue", "quarantine")
        row = servers.verdict(
            f"{2 * len(POISON)} poisoned packets, {live.silent + queued.silent} without an answer, "
            f"{len(quarantined)} in the quarantine",
            is_quarantine_empty=False,
        )
        return row._replace(acknowledged=live.acknowledged + queued.acknowledged)


class Round:
    """One card, whose valid packets are sent between the poisoned ones."""

    def __init__(self, servers: Campaign):
        self.servers = servers
        self.radius = RadiusClient(servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port)
        self.card, self.victim = servers.shop.sell(2, credit_octets=2**60)
        login = self.radius.login(self.card.serial, self.card.pin)
        self.session = self.radius.session(self.card.serial, login)
        self.acknowledged = self.silent = self.octets = 0

    def play(self) -> None:
        for name, changes in POISON.items():
            self._poison(changes)
            self.octets += 1_000
            if self.radius.interim(self.session, 0, down_octets=self.octets, timeout_seconds=WAIT_SECONDS * 3):
                self.acknowledged += 1
            else:
                self.servers.fail(f"after '{name}' a true packet was not answered")

    def _poison(self, changes: dict) -> None:
        session = self.radius.session(self.victim.serial)
        request = self.radius.build_report(session, "Interim-Update", seconds=1, down_octets=1)
        for attribute, value in changes.items():
            if attribute in request:
                del request[attribute]
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    request.AddAttribute(attribute, each)
        if self.radius.send(request, timeout_seconds=WAIT_SECONDS):
            self.acknowledged += 1
        else:
            self.silent += 1

    def compare(self, how: str) -> None:
        used = self.servers.shop.used(self.card)
        if used != (0, self.octets, 0):
            self.servers.fail(f"{how}: {self.octets} octets were acknowledged, {used} are charged")


if __name__ == "__main__":
    run(campaign)
