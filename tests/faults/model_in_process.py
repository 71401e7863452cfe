"""`python -m tests.faults.model_in_process`: random lives of cards, compared with the model, without FreeRADIUS.

    --seeds N      how many (100)
    --first SEED   the first; a seed that failed is repeated with --first SEED --seeds 1 --verbose
    --packets N    in each (200)

The module's engine, the enforcer and the archive run in this process on a private MariaDB, by a clock that only the
simulation moves: so a seed takes a second, and can be repeated exactly.  In addition to `model_campaign` (packets lost,
doubled, delayed; NAS that restart and use their identifiers again) there are several sessions on a card, sessions that
their own device takes over and that continue, fair use, money, accounting that waits in a queue, repeated Accounting-On,
disconnected sessions, and archive runs some days later.

Database and model must agree on each login's answer and grant, on the requests of the enforcer after each of its steps,
and at many moments on each card's usage and status, and on which sessions are open and which are due.
"""

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from admin.archive import Mover
from admin.enforce.enforcer import Enforcer
from admin.enforce.requests import Answer
from admin.shell.office import Office
from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from tests import engine_callers
from tests.database import Database
from tests.quiet_nas import QuietNas
from tests.shop import Shop
from tests.simulated_clock import SimulatedClock, server_follows
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE

from .model import INTERIM_SECONDS, Card, Connection, Product, restart
from .network import Customer, Nas, World
from .results import Row, record

DAY_SECONDS = 86_400
# Longer than a server trusts its copy of NAS and queues.
REFRESH_SECONDS = 6
MB, GB = 10**6, 10**9

PRODUCTS = (
    Product(seconds=36_000),
    Product(seconds=7_200, max_sessions=2),
    Product(seconds=30 * DAY_SECONDS, max_sessions=3),
    Product(seconds=20_000, max_sessions=2, replaces_oldest=True),
    Product(octets=20 * GB),
    Product(octets=30 * GB, max_sessions=2, fair_percent=80),
    Product(octets=20 * GB, max_sessions=1, fair_percent=50),
    Product(down_octets=10 * GB, max_sessions=3, fair_percent=60),
    Product(millicents=1_000_000, minute_millicents=6_000, max_sessions=2),
    Product(millicents=2_000_000, minute_millicents=3_000, mb_millicents=100, max_sessions=3),
    Product(millicents=3_000_000, mb_millicents=70, max_sessions=2),
    Product(seconds=100_000, octets=40 * GB, max_sessions=2),
)
NAS = (
    # name, counter rule, echoes Class, uses its identifiers again after it has started
    ("echoing", "gigawords", True, True),
    ("forgetful", "gigawords", False, False),
    ("wrapping", "wraps", True, True),
    ("resetting", "resets", True, False),
)


class Mismatch(Exception):
    """The database and the model differ."""


@dataclass
class Arrived:
    """A packet in the queue, or in FreeRADIUS."""

    pairs: list
    came_at: float
    report: object  # network.Report, or the NAS that has started


class Network(QuietNas):
    """The NAS as the enforcer sees them: some obey, some only say so, some do not answer."""

    def __init__(self):
        super().__init__()
        self.answers = []
        self.obey = lambda action, card_id, number: Answer("no_answer")

    def send(self, key, request) -> None:
        super().send(key, request)
        self.answers.append((key, self.obey(*key)))

    def wait(self, seconds: float) -> list:
        answers, self.answers = self.answers, []
        return answers


class Campaign:
    """The servers, for all seeds."""

    def __init__(self, folder: Path, data_folder: Path | None, verbose: bool):
        auth_port, acct_port = free_ports(2)
        self.stack = Stack(
            folder,
            auth_port=auth_port,
            acct_port=acct_port,
            durability=QUICK,
            data_folder=data_folder,
            dies_with_parent=True,
        )
        self.stack.start_database()
        self.database = Database(self.stack.mariadb, DATABASE)
        self.shop = Shop(self.database, self.stack.key_file)
        self.settings = settings.load(str(self.stack.option_file))
        self.connection = self.database.connect()
        self.nas = [self.shop.nas(counter_rule=rule) for _, rule, _, _ in NAS]
        self.clock = SimulatedClock()
        self.verbose = verbose
        self.packets = self.logins = self.compared = 0
        self.engines = [Engine(self.settings), Engine(self.settings)]
        self.office = Office(str(self.stack.option_file))

    def query(self, statement: str, arguments=()) -> list[dict]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            rows = list(cursor.fetchall())
        for row in rows:
            if row.get("due_at") is not None:
                row["due_at"] = float(row["due_at"])
        return rows

    def clean(self) -> None:
        """Remove what an earlier seed left."""
        for table in (
            "session",
            "session_archive",
            "session_slow_down",
            "disconnect_attempt",
            "session_anomaly",
            "login_refusal",
            "nas_restart",
            "accounting_queue",
            "usage_hour",
        ):
            self.query(f"DELETE FROM {table}")

    def play(self, seed: int, packets: int) -> None:
        self.clean()
        self.clock.begin_again()
        self.clock.advance(REFRESH_SECONDS)
        life = Life(self, seed)
        try:
            life.play(packets)
        finally:
            self.packets += life.world.delivered
            self.logins += life.logins
            self.compared += life.compared


class Life:
    """One seed."""

    def __init__(self, campaign: Campaign, seed: int):
        self.campaign = campaign
        self.clock = campaign.clock
        self.seed = seed
        self.random = random.Random(seed * 7 + 1)
        if self.random.random() < 0.2:
            campaign.engines = [Engine(campaign.settings), Engine(campaign.settings)]
        self.logins = self.compared = 0
        self.addresses = dict(zip((name for name, *_ in NAS), campaign.nas, strict=True))
        self.uses_again = {name: again for name, _, _, again in NAS}
        nas = [Nas(name, self.addresses[name], rule, echoes) for name, rule, echoes, _ in NAS]
        self.world = World(seed, [self.sell(product) for product in self.random.sample(PRODUCTS, 5)], nas)
        for one in nas:
            one.next_id = self.first_id(one)
        self.began_at = self.clock.now
        # Some installations charge at once, some by a queue whose charger lags.
        self.queue: list[Arrived] | None = [] if self.random.random() < 0.4 else None
        self.charged_until = self.clock.now
        self.charge_at = 0.0
        self.ids = {}
        self.network = Network()
        self.network.obey = self.obey
        self.enforcer = Enforcer(campaign.office)
        self.enforcer.exchange.close()
        self.enforcer.exchange = self.network

    def first_id(self, nas: Nas) -> int:
        """Some count from the same number, as boxes of one make do that were started together."""
        same = random.Random(self.seed).random() < 0.3
        return self.seed * 100_000 + (0 if same else 20_000 * list(self.addresses).index(nas.name))

    def sell(self, product: Product) -> Card:
        columns = {
            "credit_seconds": product.seconds,
            "credit_octets": product.octets,
            "credit_down_octets": product.down_octets,
            "credit_cents": product.millicents and product.millicents // 1000,
            "tariff_minute_millicents": product.minute_millicents,
            "tariff_mb_millicents": product.mb_millicents,
            "max_sessions": product.max_sessions,
            "replace_oldest": product.replaces_oldest,
            "interim_seconds": INTERIM_SECONDS,
        }
        if product.fair_percent:
            columns |= {"fup_share_percent": product.fair_percent, "fup_down_kbit": 100, "fup_up_kbit": 100}
        (sold,) = self.campaign.shop.sell(1, **{name: value for name, value in columns.items() if value is not None})
        return Card(sold.serial, sold.pin, product=product)

    def id(self, card: Card) -> int:
        if card.serial not in self.ids:
            (row,) = self.campaign.query("SELECT id FROM card WHERE serial = %s", [card.serial])
            self.ids[card.serial] = row["id"]
        return self.ids[card.serial]

    def say(self, *words) -> None:
        if self.campaign.verbose:
            print(f"  {self.clock.now - self.began_at:>8.0f}", *words)

    @property
    def lag_ends(self) -> float:
        """The moment up to which everything that arrived is charged."""
        return self.clock.now if self.queue is None else self.charged_until

    # --- Events ----------------------------------------------------------------------------------------

    def play(self, packets: int) -> None:
        world = self.world
        days = 0
        # When all cards are exhausted nobody is online any more.
        for _ in range(4 * packets):
            if world.delivered >= packets:
                break
            luck = self.random.random()
            if luck < 0.30:
                self.log_in()
            elif luck < 0.33:
                self.reboot(self.random.choice(world.nas))
            elif luck < 0.43:
                self.enforce()
            elif luck < 0.45 and days < 3:
                days += 1
                self.let_days_pass()
            else:
                self.advance(self.random.randint(1, 400))
            self.use()
            if self.random.random() < 0.1 or self.campaign.verbose:
                self.compare()
        for nas in world.nas:
            for customer in list(nas.online):
                self.end(customer)
        self.advance(1000)
        self.charge_queue()
        self.compare()
        self.enforce()
        self.let_days_pass()
        self.compare()

    def log_in(self) -> None:
        world, random = self.world, self.random
        card, nas = random.choice(world.cards), random.choice(world.nas)
        device = f"02-00-00-00-00-0{random.randint(1, 3)}"
        # Wait for the second after which another session counts as a rival, and until servers have read the state of the queue.
        self.advance(1)
        if self.queue is not None:
            self.clock.advance(REFRESH_SECONDS)
        self.adopt_grants(card)
        meant = card.log_in(self.clock.now, self.lag_ends, nas.name, device, nas.rule)
        engine = random.choice(self.campaign.engines)
        try:
            answer = engine_callers.log_in(engine, card, device, nas.address)
        except Exception as fault:
            raise Mismatch(f"a login of {card.serial} {card.product} gets no answer: {fault!r}") from fault
        self.logins += 1
        self.say(
            "login", card.serial, nas.name, device, meant if isinstance(meant, str) else f"granted {meant.granted}"
        )
        if isinstance(meant, str) or not answer.is_accepted:
            if answer.reason != meant or answer.is_accepted:
                said = "accepted" if answer.is_accepted else answer.reason
                mine = meant if isinstance(meant, str) else f"accepted, with {meant.granted}"
                raise Mismatch(
                    f"a login of {card.serial} {card.product}: the engine says {said}, the model {mine}; "
                    + self.grants(card, meant)
                )
            return
        self.check_grant(card, meant, answer)
        self.leave(card, nas, device)
        session_id = nas.new_id()
        ignores_timeout = random.random() < 0.15
        ends_in = random.choice((60, 600, 3600, 7200, 10 * DAY_SECONDS))
        if not ignores_timeout:
            ends_in = min(ends_in, engine_callers.session_timeout(answer))
        classes = engine_callers.class_of(answer) if nas.echoes_class else []
        customer = Customer(
            nas,
            meant,
            (session_id, classes),
            int(self.clock.now),
            int(self.clock.now + ends_in),
            last_report_at=int(self.clock.now),
        )
        world.now = int(self.clock.now)
        nas.online.append(customer)
        world.report(customer, "Start")
        self.deliver()

    def check_grant(self, card: Card, meant: Connection, answer) -> None:
        number = int(bytes.fromhex(engine_callers.class_of(answer)[0][2:]).split(b":")[2])
        meant.number = number
        (row,) = self.campaign.query(
            "SELECT granted_seconds, granted_octets, granted_down_octets, granted_millicents,"
            " UNIX_TIMESTAMP(due_at) AS due_at FROM session WHERE card_id = %s AND login_number = %s",
            [self.id(card), number],
        )
        for name in ("seconds", "octets", "down_octets", "millicents"):
            mine, theirs = getattr(meant.granted, name), row[f"granted_{name}"]
            if mine != theirs:
                raise Mismatch(
                    f"a login of {card.serial} {card.product} is granted {theirs} {name}, the model says {mine}; "
                    + self.grants(card, meant)
                )
        timeout, told = card.timeout(meant.granted), engine_callers.session_timeout(answer)
        if timeout != told:
            raise Mismatch(f"a login of {card.serial} {card.product} is told {told} s, the model says {timeout}")
        meant.due_at = float(row["due_at"])
        if abs(meant.due_at - self.clock.now - timeout - 15) > 1:
            raise Mismatch(
                f"a login of {card.serial} is due in {meant.due_at - self.clock.now} s, with {timeout} s granted"
            )
        is_slow = any(name == "WISPr-Bandwidth-Max-Down" and value == "100000" for name, _, value in answer.reply)
        if is_slow != meant.began_slowly:
            speed = "slowly" if is_slow else "at full speed"
            raise Mismatch(f"a login of {card.serial} begins {speed}; {card.used_octets()} octets used")

    def adopt_grants(self, card: Card) -> None:
        """Grants may be reduced at any time, if open connections together hold more than is left."""
        rows = {
            row["login_number"]: row
            for row in self.campaign.query(
                "SELECT login_number, granted_seconds, granted_octets, granted_down_octets, granted_millicents,"
                " UNIX_TIMESTAMP(due_at) AS due_at FROM session WHERE card_id = %s AND due_at IS NOT NULL",
                [self.id(card)],
            )
        }
        counted = [one for one in card.connections if one.counts(self.clock.now) and one.number in rows]
        for name, left in card.left().__dict__.items():
            if left is None:
                continue
            lower = [one for one in counted if getattr(one.granted, name) - rows[one.number][f"granted_{name}"] > 0]
            if not lower:
                continue
            held = sum(getattr(one.granted_left(), name) for one in counted)
            for one in lower:
                setattr(one.granted, name, rows[one.number][f"granted_{name}"])
                if name == "seconds":
                    card.end_with_its_grant(one)
            still_held = sum(getattr(one.granted_left(), name) for one in counted)
            if held <= left or still_held < left:
                raise Mismatch(
                    f"{card.serial}: of {held} {name} that are held {still_held} still are, with {left} left"
                )
        for one in counted:
            # Nothing is left for it: it is due at its next packet, even a repeated one.
            if one.due_at is not None and one.has_used_its_grant():
                one.due_at = min(one.due_at, rows[one.number]["due_at"])

    def grants(self, card: Card, but: Connection) -> str:
        rows = self.campaign.query(
            "SELECT login_number, granted_seconds, granted_octets, granted_down_octets, granted_millicents, used_seconds,"
            " used_down_octets, used_up_octets, UNIX_TIMESTAMP(due_at) - UNIX_TIMESTAMP() AS due_in, due_cause FROM session"
            " WHERE card_id = %s AND due_at IS NOT NULL",
            [self.id(card)],
        )
        return f"open: {[tuple(row.values()) for row in rows]}; the model: " + str(
            [
                (one.number, one.granted, one.seconds, one.counters, one.due_at and one.due_at - self.clock.now)
                for one in card.connections
                if one.is_open and one is not but
            ]
        )

    def leave(self, card: Card, nas: Nas, device: str) -> None:
        """The device has moved to another place.  Its NAS may not notice for a while, and continues to report."""
        for other in self.world.nas:
            for customer in list(other.online):
                if customer.connection.card is card and customer.connection.device == device:
                    if other is nas and self.random.random() < 0.5:
                        other.online.remove(customer)
                    else:
                        customer.ends_at = min(customer.ends_at, int(self.clock.now) + self.random.randint(30, 1500))

    def use(self) -> None:
        """The devices that are online use their cards, report, and leave."""
        world = self.world
        world.now = int(self.clock.now)
        for nas in world.nas:
            for customer in list(nas.online):
                if world.now >= customer.ends_at or world.random.random() < 0.02:
                    self.end(customer)
                elif world.now - customer.last_report_at >= INTERIM_SECONDS:
                    world.use(customer, INTERIM_SECONDS)
                    world.report(customer, "Interim-Update")
        self.deliver()

    def end(self, customer: Customer) -> None:
        self.world.now = int(self.clock.now)
        if customer in customer.nas.online:
            self.world.use(customer, 60)
            self.world.report(customer, "Stop")
            customer.nas.online.remove(customer)

    def reboot(self, nas: Nas) -> None:
        """Its sessions end without a Stop.  It sends Accounting-On, perhaps late, and again if the answer was lost."""
        self.say("reboot of", nas.name)
        nas.online.clear()
        self.advance(self.random.randint(1, 100))
        if self.uses_again[nas.name] and self.random.random() < 0.5:
            # Packets on the way from before the restart look like new ones if the NAS uses its identifiers again.
            self.advance(1000)
            self.charge_queue()
            nas.next_id = self.first_id(nas)
        authenticator = f"0x{self.random.getrandbits(128):032x}"
        started_at = self.clock.now
        late = self.random.choice((0, 0, 5, 30))
        for again in range(self.random.choice((1, 1, 2, 3))):
            self.advance(late if not again else self.random.randint(1, 25))
            if again:
                self.log_in()
            # The first packet contains its delay; a repetition is equal to the octet.
            pairs = [*engine_callers.nas_restart(nas=nas.address, delay=late or None), ("Tmp-String-2", authenticator)]
            self.take([Arrived(pairs, self.clock.now, (nas, started_at))])
        # Packets on the way from before arrive later than this.

    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.deliver()
        if self.queue is not None and self.clock.now >= self.charge_at:
            self.charge_queue()
            self.charge_at = self.clock.now + self.random.choice((0, 10, 60, 300, 1500))

    def deliver(self) -> None:
        """Process what has arrived at FreeRADIUS by now."""
        world = self.world
        world.now = int(self.clock.now)
        arrived = []
        for report in world.due():
            session_id, classes = report.customer.session
            connection = report.customer.connection
            pairs = engine_callers.report(
                connection.card,
                report.kind,
                report.seconds,
                classes,
                session_id=session_id,
                device=connection.device,
                nas=report.customer.nas.address,
                delay=world.now - report.made_at or None,
            )
            for name, octets in (("Output", report.octets["down"]), ("Input", report.octets["up"])):
                if octets is not None:
                    pairs.append((f"Acct-{name}-Octets", str(octets % 2**32)))
                    if report.customer.nas.rule == "gigawords":
                        pairs.append((f"Acct-{name}-Gigawords", str(octets // 2**32)))
            arrived.append(Arrived(pairs, self.clock.now, report))
        self.take(arrived)

    def take(self, arrived: list[Arrived]) -> None:
        if self.queue is not None:
            self.queue += arrived
            return
        while arrived:
            count = self.random.choice((1, 1, 1, 5))
            group, arrived = arrived[:count], arrived[count:]
            engine = self.random.choice(self.campaign.engines)
            if len(group) == 1:
                try:
                    engine.account(group[0].pairs)
                except Exception as fault:
                    raise Mismatch(f"no answer to {group[0].pairs}: {fault!r}") from fault
            else:
                self.charge(engine, group)
            self.acknowledged(group)

    def charge_queue(self) -> None:
        """One of the chargers charges in groups; if it is killed after a group, it charges that again."""
        if self.queue is None:
            return
        while self.queue:
            count = self.random.choice((1, 5, 50))
            group, self.queue = self.queue[:count], self.queue[count:]
            for _ in range(self.random.choice((1, 1, 1, 2))):
                self.charge(self.random.choice(self.campaign.engines), group)
            self.acknowledged(group)
        self.charged_until = self.clock.now
        self.campaign.engines[0].charges.record_queue("host:/queue", 0.0)

    def charge(self, engine: Engine, group: list[Arrived]) -> None:
        packets = [
            ([*one.pairs, ("Tmp-String-1", f"{int(one.came_at)}.0")], self.clock.now - one.came_at) for one in group
        ]
        try:
            results = engine.charges.queued(packets)
        except Exception as fault:
            raise Mismatch(f"{len(group)} packets cannot be charged: {fault!r}") from fault
        for one, fault in zip(group, results, strict=True):
            if fault is not None:
                raise Mismatch(f"{one.pairs} is not charged: {fault!r}")

    def acknowledged(self, group: list[Arrived]) -> None:
        """Pass packets on to the model; it applies the card's limits after each group."""
        limited = defaultdict(list)

        def limit():
            for connections in limited.values():
                connections[0].card.limit(connections, self.clock.now)
            limited.clear()

        for one in group:
            if isinstance(one.report, tuple):
                limit()
                nas, started_at = one.report
                self.say("Accounting-On of", nas.name, "which started at", started_at - self.began_at)
                restart(
                    [each for card in self.world.cards for each in card.connections if each.nas == nas.name], started_at
                )
                continue
            report = one.report
            connection = report.customer.connection
            card = connection.card
            self.say(
                f"{card.serial} {connection.number} {report.customer.nas.name} {report.customer.session[0]} {report.kind} "
                f"sent {report.made_at - self.began_at:.0f}: {report.seconds} s {report.octets}"
            )
            if card.report(connection, report.kind, report.made_at, report.seconds, report.octets):
                limited[card.serial].append(connection)
            self.world.delivered += 1
        limit()

    # --- Days later ------------------------------------------------------------------------------------

    def let_days_pass(self) -> None:
        """Some stay online, although their NAS sends nothing for days; some packets come again after that."""
        world = self.world
        for nas in world.nas:
            for customer in list(nas.online):
                if self.random.random() < 0.8:
                    self.end(customer)
        self.advance(self.random.choice((1, 1000)))
        if self.random.random() < 0.7:
            self.charge_queue()
        days = self.random.choice((2, 3, 5))
        for report in list(world.on_the_way):
            if self.random.random() < 0.5:
                report.arrives_at += days * DAY_SECONDS
        self.clock.advance(days * DAY_SECONDS + self.random.randint(1, 4000))
        with contextlib.closing(self.campaign.database.connect()) as connection:
            archived = Mover(connection).archive(2, self.random.choice((3, 200)))
        self.say("days pass,", archived, "archived")
        self.adopt_exhausted()
        self.compare()
        self.advance(1)

    def adopt_exhausted(self) -> None:
        """Archiving a card's sessions posts what they have used, and may find that nothing is left."""
        for card in self.world.cards:
            (row,) = self.campaign.query("SELECT status FROM card WHERE serial = %s", [card.serial])
            if row["status"] == "exhausted" and card.is_exhausted() and not card.is_known_to_be_exhausted:
                card.end_all(self.clock.now)

    # --- The enforcer ----------------------------------------------------------------------------------

    def obey(self, action: str, card_id: int, number: int) -> Answer:
        """A NAS is asked to end a session."""
        for nas in self.world.nas:
            for customer in list(nas.online):
                connection = customer.connection
                if (self.id(connection.card), connection.number) == (card_id, number):
                    luck = self.random.random()
                    if luck < 0.6 and action == "disconnect":
                        self.end(customer)
                    return Answer("ack") if luck < 0.8 else Answer("no_answer")
        return Answer("nak", "503 Session-Context-Not-Found")

    def enforce(self) -> None:
        now = self.clock.now
        for card in self.world.cards:
            self.adopt_grants(card)
        judged = {}
        for card in self.world.cards:
            for one in card.connections:
                if one.is_open and one.due_at is None:
                    judged[self.id(card), one.number] = one
        self.network.told.clear()
        for _ in range(2):
            self.enforcer.look()
            self.enforcer.hear(0)
        told = set(self.network.told)
        rows = {(row["card_id"], row["login_number"]): row for row in self.rows()}
        for card in self.world.cards:
            self.check_enforced(card, now, judged, told, rows)
        self.deliver()

    def check_enforced(self, card: Card, now: float, judged: dict, told: set, rows: dict) -> None:
        card_id = self.id(card)
        on = [
            one
            for one in card.connections
            if one.counts(now) and one.is_begun and (not one.is_silent(self.lag_ends) or one.due_at is None)
        ]
        over = [one for one in on if one.has_used_its_grant()]
        excess = max(len(on) - len(over) - card.product.max_sessions, 0)
        disconnected_for_others = 0
        for one in card.connections:
            key = card_id, one.number
            row = rows.get(key)
            if row is None:
                continue
            is_told = ("disconnect", *key) in told
            if (
                one.is_open
                and row["due_at"] is None
                and row["close_cause"] in ("disconnected", "gone", "stale", "not_begun")
            ):
                self.check_closed(card, one, row, now)
                continue
            if not one.is_open:
                if is_told:
                    raise Mismatch(f"{card.serial} {one.number} has ended and is told off")
                continue
            if one.due_at is not None and one.due_at <= now:
                continue
            has_to_go = card.is_known_to_be_exhausted or one.has_used_its_grant()
            is_due = row["due_at"] <= now
            if key in judged:
                if has_to_go and not is_due:
                    raise Mismatch(
                        f"{card.serial} {one.number} came back, has to go, and may go on ({row['due_cause']}); it was "
                        f"heard of {self.lag_ends - one.heard_at:.0f} s ago; " + self.grants(card, None)
                    )
                # When others took of its time, the end of its grant may have passed before it came back.
                if not has_to_go and is_due and not one.is_beyond_its_time(now):
                    disconnected_for_others += 1
            elif is_due and not has_to_go:
                disconnected_for_others += 1
            elif is_told and not is_due:
                raise Mismatch(f"{card.serial} {one.number} is told off and is not due")
            if is_due or key in judged:
                self.say("enforce:", card.serial, one.number, row["due_cause"], "due" if is_due else "may go on")
                one.due_at = row["due_at"]
        if disconnected_for_others > excess:
            raise Mismatch(
                f"{card.serial}: {disconnected_for_others} are disconnected though they may be on; "
                f"{len(on)} are on, {len(over)} beyond their grant, {card.product.max_sessions} may be"
            )

    def check_closed(self, card: Card, one: Connection, row: dict, now: float) -> None:
        """The enforcer closes it: it was due, and its NAS was silent."""
        silent_seconds = self.lag_ends - one.heard_at
        needed = 60 if row["close_cause"] == "not_begun" else 960 if row["close_cause"] == "stale" else 360
        # For a session that continued, this was just decided.
        may_be_on = one.due_at is not None and one.due_at > now
        if may_be_on or silent_seconds <= needed - 1:
            raise Mismatch(
                f"{card.serial} {one.number} is taken for {row['close_cause']} after {silent_seconds} s; "
                f"it may be on until {one.due_at}"
            )
        self.say("enforce:", card.serial, one.number, row["close_cause"])
        one.close(row["close_cause"], one.heard_at)

    # --- Invariants ------------------------------------------------------------------------------------

    def rows(self) -> list[dict]:
        """The cards' sessions, live and archived; of a session that is in both, the live row."""
        ids = [self.id(card) for card in self.world.cards]
        return self.campaign.query(
            "SELECT card_id, login_number, used_seconds, used_down_octets, used_up_octets, acct_session_id, close_cause,"
            " UNIX_TIMESTAMP(due_at) AS due_at, due_cause, stopped_at IS NOT NULL AS is_stopped"
            " FROM session WHERE card_id IN %(ids)s"
            " UNION ALL"
            " SELECT card_id, login_number, used_seconds, used_down_octets, used_up_octets, acct_session_id, close_cause,"
            " NULL, NULL, stopped_at IS NOT NULL"
            " FROM session_archive AS archived WHERE card_id IN %(ids)s"
            " AND NOT EXISTS (SELECT 1 FROM session WHERE session.card_id = archived.card_id"
            "                  AND session.login_number = archived.login_number)",
            {"ids": ids},
        )

    def compare(self) -> None:
        self.compared += 1
        now = self.clock.now
        for card in self.world.cards:
            self.adopt_grants(card)
        rows = {(row["card_id"], row["login_number"]): row for row in self.rows()}
        for card in self.world.cards:
            card_id = self.id(card)
            (row,) = self.campaign.query(
                "SELECT used_seconds, used_down_octets, used_up_octets, status FROM card_overview WHERE id = %s",
                [card_id],
            )
            said = tuple(int(row[name]) for name in ("used_seconds", "used_down_octets", "used_up_octets"))
            meant = (card.used_seconds(), card.used_down_octets(), card.used_octets() - card.used_down_octets())
            if said != meant:
                raise Mismatch(
                    f"{card.serial} has used {said} (seconds, down, up), the model says {meant}; "
                    + self.sessions(card, rows)
                )
            if row["status"] == "exhausted" and not card.is_exhausted():
                raise Mismatch(f"{card.serial} is exhausted with {card.left()} left")
            if card.is_known_to_be_exhausted and row["status"] != "exhausted":
                raise Mismatch(f"{card.serial} is {row['status']} with {card.left()} left")
            known = {one.number for one in card.connections}
            if stray := [number for one_id, number in rows if one_id == card_id and number not in known]:
                raise Mismatch(f"{card.serial} has sessions that nobody had: {stray}; " + self.sessions(card, rows))
            for one in card.connections:
                self.compare_session(card, one, rows.get((card_id, one.number)), now)
            self.compare_fair_use(card)

    def compare_session(self, card: Card, one: Connection, row: dict | None, now: float) -> None:
        if row is None:
            raise Mismatch(f"{card.serial} {one.number} is nowhere")
        said = row["used_seconds"], row["used_down_octets"], row["used_up_octets"]
        meant = one.seconds, one.counters["down"], one.counters["up"]
        if said != meant:
            raise Mismatch(f"{card.serial} {one.number} has used {said}, the model says {meant}")
        if (row["due_at"] is not None) != one.is_open:
            raise Mismatch(
                f"{card.serial} {one.number} is {'open' if row['due_at'] else 'ended'} ({row['close_cause']}), "
                f"the model says {'open' if one.is_open else 'ended'} ({one.close_cause})"
            )
        if (
            one.is_open
            and one.due_at is not None
            and abs(one.due_at - now) > 1
            and (row["due_at"] <= now) != (one.due_at <= now)
        ):
            raise Mismatch(
                f"{card.serial} {one.number} is due in {float(row['due_at']) - now} s ({row['due_cause']}), "
                f"the model says in {one.due_at - now}; {one.granted} {one.seconds} s {one.octets} octets"
            )

    def compare_fair_use(self, card: Card) -> None:
        if card.product.fair_percent is None:
            return
        slow = {
            row["login_number"]
            for row in self.campaign.query(
                "SELECT login_number FROM session_slow_down WHERE card_id = %s", [self.id(card)]
            )
        }
        if slow and not card.is_beyond_fair_use():
            raise Mismatch(
                f"{card.serial} is slowed down with {card.used_octets()} octets of {card.product.fair_octets}"
            )
        for one in card.connections:
            if one.began_slowly and one.number in slow:
                raise Mismatch(f"{card.serial} {one.number} began slowly and is slowed down")
            if one.is_to_be_slow and not one.began_slowly and one.number not in slow and one.is_open:
                raise Mismatch(
                    f"{card.serial} {one.number} is not slowed down: the card has used {card.used_octets()} "
                    f"({card.used_down_octets()} down) of {card.product.fair_octets}"
                )

    def sessions(self, card: Card, rows: dict) -> str:
        meant = {one.number: (one.seconds, *one.counters.values(), one.nas) for one in card.connections}
        said = {
            number: (row["used_seconds"], row["used_down_octets"], row["used_up_octets"], row["acct_session_id"])
            for (card_id, number), row in rows.items()
            if card_id == self.id(card)
        }
        return "; ".join(
            f"{number}: {said.get(number)} / {meant.get(number)}"
            for number in sorted({*said, *meant})
            if (said.get(number) or ())[:3] != (meant.get(number) or ())[:3]
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--packets", type=int, default=200)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    failed = []
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="prepaid-model-"))
    memory = Path(tempfile.mkdtemp(prefix="prepaid-model-", dir="/dev/shm")) if Path("/dev/shm").is_dir() else None
    campaign = None
    try:
        campaign = Campaign(folder, memory and memory / "mariadb", options.verbose)
        with server_follows(campaign.database), campaign.clock.running():
            for seed in range(options.first, options.first + options.seeds):
                try:
                    campaign.play(seed, options.packets)
                except Mismatch as mismatch:
                    failed.append(seed)
                    print(f"seed {seed} FAILED: {mismatch}", flush=True)
                if seed % 50 == 0:
                    print(
                        f"up to seed {seed}: {campaign.packets} packets, {len(failed)} failed",
                        file=sys.stderr,
                        flush=True,
                    )
    finally:
        if campaign:
            campaign.stack.down()
        shutil.rmtree(folder, ignore_errors=True)
        if memory:
            shutil.rmtree(memory, ignore_errors=True)
    seconds = time.monotonic() - began
    print(
        f"model_in_process: {options.seeds} seeds, {campaign.packets} packets, {campaign.logins} logins, "
        f"{campaign.compared} comparisons, {len(failed)} failed, {seconds:.0f} s"
    )
    record(Row("model_in_process", acknowledged=campaign.packets, failed=len(failed), seconds=seconds))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
