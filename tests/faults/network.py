"""NAS, their customers and a bad network, all from one seed.

Time is simulated: libfaketime moves the servers' clocks forward by what has passed here.
"""

import random
from dataclasses import dataclass, field

from .model import WORD, Card, Connection

DAY = 86_400


@dataclass
class Nas:
    name: str
    address: str
    rule: str
    echoes_class: bool
    next_id: int = 1
    online: list = field(default_factory=list)

    def new_id(self) -> str:
        """Identifiers that begin at 1 after every reboot, as with many NAS, so they occur again."""
        self.next_id += 1
        return f"{self.next_id - 1:08x}"


@dataclass
class Customer:
    """A device that is online."""

    nas: Nas
    connection: Connection
    session: object  # radius_client.Session
    began_at: int
    ends_at: int
    down_octets: int = 0
    up_octets: int = 0
    raw: dict = field(default_factory=lambda: {"down": 0, "up": 0})
    last_report_at: int = 0


@dataclass
class Report:
    """A packet on its way."""

    customer: Customer
    kind: str
    made_at: int
    arrives_at: int
    seconds: int | None
    octets: dict


class World:
    """Everything that happens outside the servers."""

    def __init__(self, seed: int, cards: list[Card], nas: list[Nas]):
        self.random = random.Random(seed)
        self.cards = cards
        self.nas = nas
        self.now = 0
        self.on_the_way: list[Report] = []
        self.delivered = 0

    def online_with(self, card: Card) -> list[Customer]:
        return [customer for nas in self.nas for customer in nas.online if customer.connection.card is card]

    def use(self, customer: Customer, seconds: int) -> None:
        """The customer transfers some octets in this time; sometimes gigabytes."""
        for direction in ("down", "up"):
            most = self.random.choice((0, 10**5, 10**8, 2 * 10**9))
            octets = self.random.randint(0, most)
            setattr(customer, f"{direction}_octets", getattr(customer, f"{direction}_octets") + octets)
            customer.raw[direction] += octets
        if customer.nas.rule == "resets" and self.random.random() < 0.1:
            customer.raw = {"down": 0, "up": 0}

    def report(self, customer: Customer, kind: str) -> None:
        """The NAS sends a report; the network decides when it arrives, and how often."""
        seconds = self.now - customer.began_at
        if kind == "Start":
            seconds = None
        octets = {"down": None, "up": None}
        if kind != "Start" and self.random.random() < 0.95:  # Some NAS leave counters out now and then.
            octets = dict(customer.raw)
            if customer.nas.rule != "gigawords":
                octets = {name: value % WORD for name, value in octets.items()}
        customer.last_report_at = self.now
        for arrives_at in self._arrivals(kind):
            self.on_the_way.append(Report(customer, kind, self.now, arrives_at, seconds, octets))

    def _arrivals(self, kind: str) -> list[int]:
        luck = self.random.random()
        if luck < 0.10 and kind != "Start":
            return []  # Lost, with all its repetitions; only a later report brings its usage.
        if luck < 0.15:
            return []
        if luck < 0.30:
            return [self.now, self.now + self.random.randint(1, 30)]
        if luck < 0.45:
            return [self.now + self.random.randint(1, 900)]
        return [self.now]

    def due(self) -> list[Report]:
        """The packets that have arrived by now, in the order of arrival; those of equal time in random order."""
        arrived = [report for report in self.on_the_way if report.arrives_at <= self.now]
        self.on_the_way = [report for report in self.on_the_way if report.arrives_at > self.now]
        self.random.shuffle(arrived)
        return sorted(arrived, key=lambda report: report.arrives_at)
