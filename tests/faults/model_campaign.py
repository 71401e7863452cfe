"""`python -m tests.faults.model_campaign`: random lives of cards on the real servers, compared with the model.

    --seeds N      how many (30)
    --first SEED   the first; a seed that failed is repeated with --first SEED --seeds 1 --verbose
    --packets N    in each (500)

Each seed has six cards and four NAS: one that echoes Class, one that does not, one whose counters wrap, one whose
counters reset; packets are lost, doubled, delayed and overtake each other; NAS reboot and use their identifiers again.
When all packets have arrived, the usage of each card in the database must equal that of the model, to the octet.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pyrad import packet as codec

from freeradius_module.sealing import keyring, pin
from tests.radius_client import SECRET, RadiusClient
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK

from .clock import FakeClock
from .model import Card, Connection
from .network import Customer, Nas, World
from .results import Row, record

NAS = (
    # name, address, counter rule, echoes Class
    ("echoing", "127.10.0.1", "gigawords", True),
    ("forgetful", "127.10.0.2", "gigawords", False),
    ("wrapping", "127.10.0.3", "wraps", True),
    ("resetting", "127.10.0.4", "resets", True),
)
CREDITS = (("10h", 36_000, None), ("2h", 7_200, None), (None, None, 20_000_000_000), ("100h", 360_000, None))


class Mismatch(Exception):
    """The database and the model differ."""


class Campaign:
    def __init__(self, folder: Path, verbose: bool):
        auth_port, acct_port = free_ports(2)
        self.clock = FakeClock(folder)
        self.stack = Stack(
            folder,
            auth_port=auth_port,
            acct_port=acct_port,
            durability=QUICK,
            freeradius_options={"reject_delay": "0"},
            dies_with_parent=True,
        )
        self.radius = RadiusClient(auth_port, acct_port)
        self.verbose = verbose
        self.packets = 0
        self.root = None
        self.stock: list[list[tuple[str, str]]] = []

    def prepare(self, seeds: int) -> None:
        self.stack.up()
        for name, address, rule, _ in NAS:
            self.stack.prepaid(
                "nas", "add", name, "--address", f"{address}/32", "--secret-file", "-", stdin=SECRET + "\n"
            )
            self.sql("UPDATE nas SET counter_rule = %s WHERE name = %s", (rule, name))
        self.stack.prepaid("partner", "add", "shop")
        for index, (duration, _, octets) in enumerate(CREDITS):
            credit = ["--time", duration] if duration else ["--traffic", str(octets)]
            product = f"product {index}"
            self.stack.prepaid("product", "add", product, "--kind", "internet", *credit)
            batch = self.stack.prepaid_json("generate", "--product", product, "--count", str(2 * seeds))["batch"]
            self.stack.prepaid("deliver", "--batch", str(batch), "--partner", "shop")
            self.stock.append(self.batch(batch))

    def batch(self, number: int) -> list[tuple[str, str]]:
        """Serials and PINs, opened with the key file as the module does."""
        keys = keyring.load(self.stack.key_file)
        rows = self.sql("SELECT serial, pin_sealed, key_number FROM card WHERE batch_id = %s ORDER BY id", (number,))
        return [(serial, pin.open_sealed(sealed, key, serial, keys)) for serial, sealed, key in rows]

    def play(self, seed: int, packets: int) -> None:
        cards = self.cards(6)
        nas = [Nas(name, address, rule, echoes) for name, address, rule, echoes in NAS]
        world = World(seed, cards, nas)
        # Identifiers of other seeds stay in the database; this seed's NAS count from their own number.
        for one in nas:
            one.next_id = seed * 100_000
        first_ids = {one.name: one.next_id for one in nas}
        while world.delivered < packets:
            self.step(world, first_ids)
        for one in nas:
            for customer in list(one.online):
                self.end(world, customer)
        self.advance(world, 1000)
        self.compare(seed, cards)
        self.packets += world.delivered

    def step(self, world: World, first_ids: dict) -> None:
        luck = world.random.random()
        if luck < 0.25:
            self.log_in(world)
        elif luck < 0.27:
            self.reboot(world, world.random.choice(world.nas), first_ids)
        else:
            self.advance(world, world.random.randint(1, 400))
        for nas in world.nas:
            for customer in list(nas.online):
                if world.now >= customer.ends_at or world.random.random() < 0.03:
                    self.end(world, customer)
                elif world.now - customer.last_report_at >= 300:
                    world.use(customer, 300)
                    world.report(customer, "Interim-Update")
        self.deliver(world)

    # --- Events ----------------------------------------------------------------------------------------

    def log_in(self, world: World) -> None:
        card = world.random.choice(world.cards)
        nas = world.random.choice(world.nas)
        device = f"02-00-00-00-00-{world.cards.index(card):02X}"
        busy = world.online_with(card)
        if busy and busy[0].nas is not nas:
            return  # The customer has one device, and it is at another place.
        for customer in busy:
            # The device connects again without an end of the old connection: its NAS sends no Stop for that.
            nas.online.remove(customer)
        reply = self.radius.login(card.serial, card.pin, nas_ip=nas.address, calling_station_id=device)
        if reply is None:
            raise Mismatch(f"no answer to a login of {card.serial}")
        if reply.is_reject:
            # Another connection may still count as open: its Stop is on the way or was lost.
            if not card.is_exhausted() and not self.has_other_open(card, nas, device):
                raise Mismatch(f"{card.serial} is refused ({reply['Reply-Message']}) with {card.left_seconds()} s left")
            return
        if card.is_exhausted():
            raise Mismatch(f"{card.serial} is let in with nothing left")
        granted = reply["Session-Timeout"]
        if card.left_seconds() is not None and granted != min(card.left_seconds(), 86_400):
            raise Mismatch(f"{card.serial} is granted {granted} s with {card.left_seconds()} s left")
        connection = Connection(card, nas.rule)
        card.connections.append(connection)
        session = self.radius.session(
            card.serial,
            reply,
            echo_class=nas.echoes_class,
            session_id=nas.new_id(),
            nas_ip=nas.address,
            calling_station_id=device,
        )
        ends_at = world.now + min(granted, world.random.choice((60, 600, 3600, 7200)))
        customer = Customer(nas, connection, session, world.now, ends_at, last_report_at=world.now)
        nas.online.append(customer)
        world.report(customer, "Start")
        # Wait for the second after which another session counts as a rival.
        self.advance(world, 2)

    def end(self, world: World, customer: Customer) -> None:
        world.use(customer, 60)
        world.report(customer, "Stop")
        customer.nas.online.remove(customer)

    def reboot(self, world: World, nas: Nas, first_ids: dict) -> None:
        """All its sessions end without a Stop; packets on the way still arrive; identifiers begin again."""
        nas.online.clear()
        self.advance(world, world.random.randint(1000, 2000))
        nas.next_id = first_ids[nas.name]
        self.radius.nas_restarted(nas.address)

    def deliver(self, world: World) -> None:
        for report in world.due():
            customer = report.customer
            attributes = {"Acct-Delay-Time": world.now - report.made_at}
            packet = self.radius.build_report(
                customer.session,
                report.kind,
                seconds=report.seconds,
                down_octets=report.octets["down"],
                up_octets=report.octets["up"],
                gigawords=customer.nas.rule == "gigawords",
                attributes=attributes,
            )
            assert packet.code == codec.AccountingRequest
            reply = self.radius.send(packet, nas_ip=customer.nas.address)
            if reply is None:
                raise Mismatch(f"no answer to a {report.kind} of {customer.session.user_name}")
            customer.connection.acknowledged(report.seconds, report.octets)
            world.delivered += 1
            if self.verbose:
                print(
                    f"  {world.now:>7} {customer.nas.name:<9} {customer.session.session_id} "
                    f"{customer.session.user_name} {report.kind} of {report.made_at}: {report.seconds} s {report.octets}"
                )

    def advance(self, world: World, seconds: int) -> None:
        world.now += seconds
        self.clock.advance(seconds)
        self.deliver(world)

    # --- Invariants ------------------------------------------------------------------------------------

    def has_other_open(self, card: Card, nas: Nas, device: str) -> bool:
        rows = self.sql(
            "SELECT COUNT(*) AS n FROM session JOIN card ON card.id = card_id JOIN nas ON nas.id = nas_id"
            " WHERE serial = %s AND due_at IS NOT NULL AND nas.name <> %s",
            (card.serial, nas.name),
        )
        return rows[0][0] > 0

    def compare(self, seed: int, cards: list[Card]) -> None:
        for card in cards:
            (row,) = self.sql(
                "SELECT used_seconds, used_octets, status FROM card_overview WHERE serial = %s", (card.serial,)
            )
            said = (int(row[0]), int(row[1]))
            meant = (card.used_seconds(), card.used_octets())
            if said != meant:
                raise Mismatch(
                    f"seed {seed}, card {card.serial}: the database says {said} (seconds, octets), the model {meant}"
                )
            if (row[2] == "exhausted") != card.is_exhausted() and card.connections:
                raise Mismatch(f"seed {seed}, card {card.serial}: it is {row[2]}, with {card.left_seconds()} s left")

    def cards(self, count: int) -> list[Card]:
        """Unused cards of all products."""
        return [
            Card(*self.stock[index % len(CREDITS)].pop(), *CREDITS[index % len(CREDITS)][1:]) for index in range(count)
        ]

    def sql(self, query: str, parameters=()):
        if self.root is None:
            self.root = self.stack.mariadb.connect("prepaid")
        with self.root.cursor() as cursor:
            cursor.execute(query, parameters)
            rows = cursor.fetchall()
        self.root.commit()
        return [tuple(row.values()) if isinstance(row, dict) else row for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--packets", type=int, default=500)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    failed = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prepaid-model-") as folder:
        campaign = Campaign(Path(folder), options.verbose)
        campaign.prepare(options.seeds)
        try:
            for seed in range(options.first, options.first + options.seeds):
                try:
                    campaign.play(seed, options.packets)
                except Mismatch as mismatch:
                    failed += 1
                    print(f"seed {seed} FAILED: {mismatch}")
        finally:
            campaign.stack.down()
    seconds = time.monotonic() - began
    print(f"model: {options.seeds} seeds, {campaign.packets} packets, {failed} failed, {seconds:.0f} s")
    record(Row("model", acknowledged=campaign.packets, failed=failed, seconds=seconds))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
