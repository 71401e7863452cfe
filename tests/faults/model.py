"""The rules of charging, told a second time: small enough to read, and sharing no code with the module.

It knows what the module does not: which packet belongs to which connection.  From the packets that
were acknowledged it says what every card must have used.

    1. A connection has used the highest value of each counter that reached the server.
    2. A NAS whose counters wrap at 2^32 (and sends no Gigawords) has used 2^32 more each time that a
       counter fell while its session time rose; one whose counters reset, all that stood there before.
    3. A card has used the sum of its connections.  At the end of its credit it is exhausted.
    4. A login is granted what is left of the time, and refused when nothing is left, or while another
       connection of the card is open.
"""

from dataclasses import dataclass, field

WORD = 2**32


@dataclass
class Connection:
    """What a customer had, and what of it was acknowledged."""

    card: "Card"
    rule: str  # gigawords, wraps, resets: how its NAS counts
    seconds: int = 0
    counters: dict = field(default_factory=lambda: {"down": 0, "up": 0})
    last: dict = field(default_factory=dict)

    def acknowledged(self, seconds: int | None, octets: dict) -> None:
        """One packet was acknowledged; *octets* as they stood in it, None for what it did not carry."""
        is_later = seconds is not None and seconds > self.seconds
        for name, reported in octets.items():
            if reported is None:
                continue
            if self.rule == "gigawords":
                self.counters[name] = max(self.counters[name], reported)
                continue
            if seconds is not None and seconds < self.seconds:
                continue  # From before what is counted already.
            before = self.last.get(name)
            if before is None:
                self.counters[name] = max(self.counters[name], reported)
            elif reported >= before:
                self.counters[name] += reported - before
            elif is_later:
                self.counters[name] += reported + (WORD - before if self.rule == "wraps" else 0)
            else:
                continue  # An old packet: nothing fell, it was late.
            self.last[name] = reported
        self.seconds = max(self.seconds, seconds or 0)


@dataclass
class Card:
    serial: str
    pin: str
    credit_seconds: int | None = None
    credit_octets: int | None = None
    connections: list = field(default_factory=list)

    def used_seconds(self) -> int:
        return sum(connection.seconds for connection in self.connections)

    def used_octets(self) -> int:
        return sum(sum(connection.counters.values()) for connection in self.connections)

    def left_seconds(self) -> int | None:
        return None if self.credit_seconds is None else max(self.credit_seconds - self.used_seconds(), 0)

    def is_exhausted(self) -> bool:
        return self.left_seconds() == 0 or (
            self.credit_octets is not None and self.used_octets() >= self.credit_octets
        )
