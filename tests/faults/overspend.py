"""Several sessions use one card: how much more than its credit do they use together?

2, 5 and 10 devices at once use a card of time and a card of traffic, while the clock runs 100 times faster (libfaketime).
One kind of NAS keeps to the grant; another has no volume limit, and `prepaid enforce` disconnects its sessions (here at
the first interim after a session is due).  A disconnected device logs in again until the card is used up.  The bound is
the usage of one interim interval for each session, and nothing for a NAS that keeps to the grant.
"""

import random
import time

from pyrad import packet as codec

from tests.radius_client import RadiusClient

from .campaign import Campaign, run
from .clock import FakeClock
from .results import Row

INTERIM_SECONDS = 300
CREDIT_SECONDS = 12_345
CREDIT_OCTETS = 6_130_000_000
OCTETS_A_SECOND = 1_000_000
STEP_SECONDS = 100


class Device:
    def __init__(self, number: int):
        self.address = f"02-00-00-00-01-{number:02X}"
        self.session = None
        self.granted_seconds = self.granted_octets = 0
        self.began_at = self.reported_at = 0
        self.rate = 0


def campaign(short: bool) -> Row:
    clocks: list[FakeClock] = []
    worst: dict[str, str] = {}
    overrun = 0
    with Campaign(
        "overspend", customers=0, prepare=lambda campaign: clocks.append(FakeClock(campaign.folder))
    ) as servers:
        acknowledged = 0
        nas = mikrotik(servers)
        for count in (5,) if short else (2, 5, 10):
            for kind in ("time", "traffic obeyed", "traffic not obeyed"):
                over_most = 0
                for seed in range(1 if short else 10):
                    drain = Drain(servers, clocks[0], nas, kind, count, seed)
                    drain.play()
                    acknowledged += drain.acknowledged
                    over = drain.overspent()
                    over_most = max(over_most, over)
                    # Rounding costs one second or one packet a session.
                    interim = INTERIM_SECONDS * OCTETS_A_SECOND
                    bound = {"time": 0, "traffic obeyed": 0, "traffic not obeyed": count * interim}[kind]
                    overrun += over > bound
                unit = (
                    " s" if kind == "time" else f" MB ({over_most / (INTERIM_SECONDS * OCTETS_A_SECOND):.2f} interims)"
                )
                shown = over_most if kind == "time" else over_most // 1_000_000
                worst[f"{count} sessions, {kind}"] = f"{shown}{unit}"
        for what, amount in worst.items():
            print(f"  worst overspend, {what}: {amount}")
        row = servers.verdict()
        return row._replace(acknowledged=acknowledged, overrun=overrun)


def mikrotik(servers: Campaign) -> str:
    """The address of a NAS that has volume limits, once radiusd knows it."""
    address = servers.shop.nas("mikrotik")
    radius = RadiusClient(servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port)
    (probe,) = servers.shop.sell(1, credit_octets=10**9, max_sessions=255)
    while not (
        (reply := radius.login(probe.serial, probe.pin, nas_ip=address, timeout_seconds=2))
        and "Mikrotik-Total-Limit" in reply
    ):
        time.sleep(0.5)
    return address


class Drain:
    """One card, and `count` devices that use it until it is empty."""

    def __init__(self, servers: Campaign, clock: FakeClock, nas: str, kind: str, count: int, seed: int):
        self.servers, self.clock, self.kind = servers, clock, kind
        self.random = random.Random(f"{kind} {count} {seed}")
        self.radius = RadiusClient(servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port)
        credit = {"credit_seconds": CREDIT_SECONDS} if kind == "time" else {"credit_octets": CREDIT_OCTETS}
        (self.card,) = servers.shop.sell(1, max_sessions=count, interim_seconds=INTERIM_SECONDS, **credit)
        self.nas = nas
        self.devices = [Device(number) for number in range(count)]
        self.now = 0
        self.acknowledged = 0

    def play(self) -> None:
        while True:
            for device in self.devices:
                if device.session is None:
                    self.log_in(device)
            if not any(device.session for device in self.devices):
                if self.is_used_up():
                    return
            self.now += STEP_SECONDS
            self.clock.advance(STEP_SECONDS)
            for device in self.devices:
                if device.session:
                    self.go_on(device)

    def log_in(self, device: Device) -> None:
        reply = self.radius.login(self.card.serial, self.card.pin, nas_ip=self.nas, calling_station_id=device.address)
        if reply is None or not reply.is_accept:
            return
        device.session = self.radius.session(
            self.card.serial, reply, nas_ip=self.nas, calling_station_id=device.address
        )
        device.granted_seconds = reply["Session-Timeout"]
        device.granted_octets = None
        if "Mikrotik-Total-Limit" in reply:
            device.granted_octets = (reply["Mikrotik-Total-Limit-Gigawords"] or 0) * 2**32 + reply[
                "Mikrotik-Total-Limit"
            ]
        device.began_at = device.reported_at = self.now
        device.rate = OCTETS_A_SECOND * self.random.choice((0.1, 0.5, 1))
        self.send(device, "Start", 0, 0)

    def go_on(self, device: Device) -> None:
        seconds = self.now - device.began_at
        octets = int(seconds * device.rate) if self.kind != "time" else 0
        ends = seconds >= device.granted_seconds
        seconds = min(seconds, device.granted_seconds)
        if self.kind == "traffic obeyed" and octets >= device.granted_octets:
            octets, ends = device.granted_octets, True
        if ends:
            self.send(device, "Stop", seconds, octets)
            device.session = None
        elif self.now - device.reported_at >= INTERIM_SECONDS:
            device.reported_at = self.now
            self.send(device, "Interim-Update", seconds, octets)
            if self.is_due(device):
                # As `prepaid enforce` does within two seconds.
                self.send(device, "Stop", seconds, octets)
                device.session = None

    def send(self, device: Device, status: str, seconds: int, octets: int) -> None:
        counters = {} if status == "Start" else {"seconds": seconds, "down_octets": octets, "up_octets": 0}
        packet = self.radius.build_report(device.session, status, **counters)
        assert packet.code == codec.AccountingRequest
        while self.radius.send(packet, nas_ip=self.nas, timeout_seconds=2) is None:
            pass
        self.acknowledged += 1

    def is_due(self, device: Device) -> bool:
        return bool(
            self.servers.sql(
                "SELECT 1 FROM session JOIN card ON card.id = card_id WHERE serial = %s AND acct_session_id = %s"
                " AND due_at <= UTC_TIMESTAMP(3)",
                (self.card.serial, device.session.session_id),
            )
        )

    def is_used_up(self) -> bool:
        return self.used() >= (CREDIT_SECONDS if self.kind == "time" else CREDIT_OCTETS)

    def used(self) -> int:
        balance = self.servers.shop.balance(self.card)
        return int(balance["used_seconds"] if self.kind == "time" else balance["used_down_octets"])

    def overspent(self) -> int:
        return max(self.used() - (CREDIT_SECONDS if self.kind == "time" else CREDIT_OCTETS), 0)


if __name__ == "__main__":
    run(campaign)
