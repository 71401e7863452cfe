"""A second implementation of the rules of charging: small enough to read, and without any code of the module.

The simulation tells it what the module does not know: to which connection a packet belongs, and when it was sent.  (A
connection is what the customer really had; a session is what the database has of it.)  From the logins and the
acknowledged packets it calculates what each card must have used, what each login must get, and which connections are
open.

    1. A connection has used the highest value of each counter that reached the server.
    2. If the counters of a NAS wrap at 2^32 (and it sends no Gigawords), each fall of a counter while the session time
       rises adds 2^32; if they reset, each fall adds the value before it.
    3. A card has used the sum of its connections.  When its credit is used up, it is exhausted.
    4. A login is granted what is left, minus the unused grants of other connections, divided by the free places.  It is
       refused if nothing is left, no place is free, or everything is granted.
    5. A login closes connections of its own device on the same NAS, and those that were silent for too long: a minute
       before the first packet, three interims and a minute after it.  Silence is measured by the time at which packets
       were sent, and only up to the moment up to which the queue is charged.
    6. A Stop ends a connection for good.  A connection that was closed without a Stop continues if a packet brings more
       usage and was sent after its end: the takeover, the start of its NAS, or, if it was silent, its last packet.  All
       usage that a packet brings is charged.
    7. A NAS that starts closes its connections whose last packet was before that.  A repetition of this packet does
       nothing.  Open connections together hold no more than is left: the newest loses what a late packet uses.
    8. A connection is due when its time is over, when it has used its grant, and when its card is exhausted.  From then
       on logins ignore it.
    9. When a card has used the fair share of its traffic, each of its connections is slowed down.
   10. Archiving a connection changes none of this.
"""

from dataclasses import dataclass, field

WORD = 2**32
INTERIM_SECONDS = 300
RESERVATION_SECONDS = 60
LONGEST_SECONDS = 86_400
# Session-Timeout has ended a connection by itself; only what is on after that has to be disconnected.
TIMEOUT_GRACE_SECONDS = 15


@dataclass
class Product:
    """The credit of a card; None if it has no such credit."""

    seconds: int | None = None
    octets: int | None = None
    down_octets: int | None = None
    millicents: int | None = None
    minute_millicents: int = 0
    mb_millicents: int = 0
    fair_percent: int | None = None
    max_sessions: int = 1
    replaces_oldest: bool = False

    @property
    def fair_octets(self) -> int | None:
        bought = self.octets if self.octets is not None else self.down_octets
        return None if self.fair_percent is None else bought * self.fair_percent // 100

    def cost(self, seconds: int, octets: int) -> int:
        """In millicents, rounded down."""
        return (seconds * self.minute_millicents * 1_000_000 + octets * self.mb_millicents * 60) // 60_000_000


@dataclass
class Grant:
    seconds: int | None
    octets: int | None
    down_octets: int | None
    millicents: int | None

    def is_nothing(self) -> bool:
        return any(amount is not None and amount <= 0 for amount in self.__dict__.values())


@dataclass
class Connection:
    """A customer's connection, and what of it was acknowledged."""

    card: "Card"
    rule: str  # gigawords, wraps, resets: how its NAS counts
    seconds: int = 0
    counters: dict = field(default_factory=lambda: {"down": 0, "up": 0})
    last: dict = field(default_factory=dict)
    # Whose it is, and what its login was told.
    nas: str = ""
    device: str = ""
    number: int = 0
    login_at: float = 0.0
    granted: Grant | None = None
    began_slowly: bool = False
    # What became of it.
    is_begun: bool = False
    heard_at: float = 0.0
    is_stopped: bool = False
    close_cause: str | None = None
    reopens_after: float = 0.0
    # Until when it may be on; None while nobody has decided that, because it came back.
    due_at: float | None = 0.0
    # It has reported since its card had used its fair share.
    is_to_be_slow: bool = False

    @property
    def octets(self) -> int:
        return sum(self.counters.values())

    @property
    def is_open(self) -> bool:
        return not self.is_stopped and self.close_cause is None

    def acknowledged(self, seconds: int | None, octets: dict) -> bool:
        """One packet was acknowledged; *octets* as they stood in it, None for what it did not carry.  Whether it brought
        more use."""
        before = self.seconds, self.octets
        is_later = seconds is not None and seconds > self.seconds
        for name, reported in octets.items():
            if reported is None:
                continue
            if self.rule == "gigawords":
                self.counters[name] = max(self.counters[name], reported)
                continue
            if seconds is not None and seconds < self.seconds:
                continue  # From before what is counted already.
            last = self.last.get(name)
            if last is None:
                self.counters[name] = max(self.counters[name], reported)
            elif reported >= last:
                self.counters[name] += reported - last
            elif is_later:
                self.counters[name] += reported + (WORD - last if self.rule == "wraps" else 0)
            else:
                continue  # An old packet: nothing fell, it was late.
            self.last[name] = reported
        self.seconds = max(self.seconds, seconds or 0)
        return (self.seconds, self.octets) != before

    def has_used_its_grant(self) -> bool:
        granted = self.granted
        return (
            (granted.seconds is not None and self.seconds >= granted.seconds)
            or (granted.octets is not None and self.octets >= granted.octets)
            or (granted.down_octets is not None and self.counters["down"] >= granted.down_octets)
            or (granted.millicents is not None and self.cost() >= granted.millicents)
        )

    def is_beyond_its_time(self, now: float) -> bool:
        """Whether a session that lasts since its login has used its time by now, whatever it has reported."""
        return self.granted.seconds is not None and now >= self.login_at + self.granted.seconds + TIMEOUT_GRACE_SECONDS

    def cost(self) -> int:
        return self.card.product.cost(self.seconds, self.octets)

    def granted_left(self) -> Grant:
        """The unused part of its grant."""
        used = {
            "seconds": self.seconds,
            "octets": self.octets,
            "down_octets": self.counters["down"],
            "millicents": self.cost(),
        }
        return Grant(
            **{
                name: None if amount is None else max(amount - used[name], 0)
                for name, amount in self.granted.__dict__.items()
            }
        )

    def is_silent(self, charged_until: float) -> bool:
        """Whether it was silent for so long that it counts as closed."""
        silent_seconds = charged_until - self.heard_at
        return silent_seconds > (3 * INTERIM_SECONDS + 60 if self.is_begun else RESERVATION_SECONDS)

    def counts(self, now: float) -> bool:
        """Whether a login must take it into account."""
        return self.is_open and (self.due_at is None or self.due_at > now)

    def close(self, cause: str, reopens_after: float) -> None:
        self.close_cause, self.reopens_after = cause, reopens_after


@dataclass
class Card:
    serial: str
    pin: str
    credit_seconds: int | None = None
    credit_octets: int | None = None
    connections: list = field(default_factory=list)
    product: Product | None = None
    is_known_to_be_exhausted: bool = False

    def __post_init__(self):
        if self.product is None:
            self.product = Product(seconds=self.credit_seconds, octets=self.credit_octets)

    def used_seconds(self) -> int:
        return sum(connection.seconds for connection in self.connections)

    def used_octets(self) -> int:
        return sum(connection.octets for connection in self.connections)

    def used_down_octets(self) -> int:
        return sum(connection.counters["down"] for connection in self.connections)

    def left_seconds(self) -> int | None:
        return self.left().seconds

    def left(self) -> Grant:
        product = self.product
        used = {
            "seconds": self.used_seconds(),
            "octets": self.used_octets(),
            "down_octets": self.used_down_octets(),
            "millicents": product.cost(self.used_seconds(), self.used_octets()),
        }
        return Grant(
            **{
                name: None if getattr(product, name) is None else max(getattr(product, name) - amount, 0)
                for name, amount in used.items()
            }
        )

    def is_exhausted(self) -> bool:
        return self.left().is_nothing()

    def is_beyond_fair_use(self) -> bool:
        fair = self.product.fair_octets
        used = self.used_octets() if self.product.octets is not None else self.used_down_octets()
        return fair is not None and used >= fair

    # --- What happens --------------------------------------------------------------------------------------

    def log_in(self, now: float, charged_until: float, nas: str, device: str, rule: str) -> "Connection | str":
        """A login with the right PIN: the connection that it makes, or why it is refused."""
        if self.is_exhausted():
            self.end_all(now)
            return "exhausted"
        product = self.product
        others, closes = [], []
        for one in self.connections:
            if not one.counts(now):
                continue
            if one.is_silent(charged_until):
                closes.append((one, "stale" if one.is_begun else "not_begun"))
            elif (one.nas, one.device) == (nas, device):
                closes.append((one, "superseded"))
            else:
                others.append(one)
        replaced = []
        if len(others) >= product.max_sessions:
            if not product.replaces_oldest:
                return "too_many_sessions"
            excess = len(others) - product.max_sessions + 1
            replaced, others = others[:excess], others[excess:]
        granted = self._share(others)
        if granted.is_nothing():
            return "too_many_sessions"
        for one, cause in closes:
            one.close(cause, now if cause == "superseded" else one.heard_at)
        for one in replaced:
            one.due_at = now
        connection = Connection(
            self,
            rule,
            nas=nas,
            device=device,
            login_at=now,
            heard_at=now,
            granted=granted,
            began_slowly=self.is_beyond_fair_use(),
        )
        connection.due_at = now + self.timeout(granted) + TIMEOUT_GRACE_SECONDS
        self.connections.append(connection)
        return connection

    def timeout(self, granted: Grant) -> int:
        limits = [LONGEST_SECONDS]
        if granted.seconds is not None:
            limits.append(granted.seconds)
        if granted.millicents is not None and self.product.minute_millicents:
            limits.append(-(-granted.millicents * 60 // self.product.minute_millicents))
        return min(limits)

    def _share(self, others: list[Connection]) -> Grant:
        left = self.left()
        places = self.product.max_sessions - len(others)
        shares = {}
        for name, amount in left.__dict__.items():
            if amount is not None:
                held = sum(getattr(one.granted_left(), name) for one in others)
                amount = -(-max(amount - held, 0) // places)
            shares[name] = amount
        return Grant(**shares)

    def report(self, connection: Connection, kind: str, sent_at: float, seconds: int | None, octets: dict) -> bool:
        """A packet of one of its connections was acknowledged; whether `limit` has to follow."""
        was_begun, was_open = connection.is_begun, connection.is_open
        was_closed = connection.close_cause is not None
        connection.is_begun = True
        brings_more = connection.acknowledged(seconds, octets)
        connection.heard_at = max(connection.heard_at, sent_at) if was_begun else sent_at
        if kind == "Stop":
            connection.is_stopped = True
        if was_closed and (brings_more or not was_begun) and sent_at > connection.reopens_after:
            connection.close_cause = connection.due_at = None
        if connection.is_open and self.is_beyond_fair_use():
            connection.is_to_be_slow = True
        is_late = not connection.is_open and (kind != "Stop" or was_closed)
        came_back = connection.due_at is None
        return connection.has_used_its_grant() or came_back or (is_late and not was_open)

    def limit(self, connections: list[Connection], now: float) -> None:
        """Apply the card's limits, after connections have used their grants, have continued, or have used more than was
        known when others got their grants."""
        if self.is_exhausted():
            self.end_all(now)
            return
        for connection in connections:
            if connection.has_used_its_grant():
                self._end(connection, now)
        left = self.left()
        counted = [one for one in self.connections if one.counts(now)]
        for name, amount in left.__dict__.items():
            if amount is None:
                continue
            excess = sum(getattr(one.granted_left(), name) for one in counted) - amount
            for one in reversed(counted):
                taken = min(max(excess, 0), getattr(one.granted_left(), name))
                excess -= taken
                setattr(one.granted, name, getattr(one.granted, name) - taken)
                if name == "seconds" and taken:
                    self.end_with_its_grant(one)

    @staticmethod
    def end_with_its_grant(connection: Connection) -> None:
        """Its grant is less time than its NAS was told."""
        if connection.due_at is not None:
            ends_at = connection.login_at + connection.granted.seconds + TIMEOUT_GRACE_SECONDS
            connection.due_at = min(connection.due_at, ends_at)

    def end_all(self, now: float) -> None:
        """The card is exhausted."""
        self.is_known_to_be_exhausted = True
        for one in self.connections:
            self._end(one, now)

    @staticmethod
    def _end(connection: Connection, now: float) -> None:
        """It is due now; for a connection that continues after its end, the enforcer decides that."""
        if connection.due_at is not None:
            connection.due_at = min(connection.due_at, now)


def restart(connections: list[Connection], sent_at: float) -> None:
    """A NAS has started; these are all its connections."""
    for one in connections:
        if one.is_open and one.heard_at <= sent_at:
            one.close("nas_reboot", sent_at)
