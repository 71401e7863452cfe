"""Customers who use their cards all the time, and a NAS that repeats each packet until it gets an answer.

    customers = Customers(auth_port, acct_port, purses)
    customers.start()
    ...                         # make a fault
    customers.stop()            # every session ends, and its Stop is acknowledged
    customers.write(path)       # the NAS' record, which checker.py reads

One thread serves them all.  A report without an answer is sent again each second, unchanged, until it gets one.  A login
is given up after some tries, and the customer sends a new packet, because FreeRADIUS ignores repetitions of a packet that
it did not answer for up to 30 seconds.  This file does not use the database.
"""

import dataclasses
import itertools
import json
import os
import random
import selectors
import socket
import threading
import time
from pathlib import Path

from tests.bench import packet
from tests.radius_client import SECRET

REPEAT_SECONDS = 1.0
LOGIN_REPEATS = 2
INTERIMS_MOST = 10
# A login may be refused for this long: if the answer to an accepted login was lost, its reservation still counts.
REFUSALS_MOST = 12
REFUSED_PAUSE_SECONDS = 0.7
RECEIVE_BUFFER_OCTETS = 4096
SESSION_TIMEOUT = 27


@dataclasses.dataclass
class Purse:
    """Cards of one customer, used one after the other; with `credit_seconds` None they are never used up."""

    cards: list  # of (serial, PIN)
    credit_seconds: int | None = None
    pause_seconds: float = 0.0  # between two packets of a session


@dataclasses.dataclass
class Used:
    """A NAS' record of one session: seconds, octets down and up, as sent and as acknowledged."""

    serial: str
    session_id: str
    sent: list = dataclasses.field(default_factory=lambda: [0, 0, 0])
    acknowledged: list = dataclasses.field(default_factory=lambda: [0, 0, 0])
    granted_seconds: int = 0
    packets: int = 0


class Customer:
    """One device.  Its `stage` is login, Start, Interim-Update or Stop."""

    _numbers = itertools.count(1)

    def __init__(self, purse: Purse, seed: int):
        self.number = next(self._numbers)
        self.purse = purse
        self.random = random.Random(seed)
        self.device = "02-00-00-" + "-".join(f"{self.number >> shift & 255:02X}" for shift in (16, 8, 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.identifier = self.number & 255
        self.request: bytes | None = None  # what waits for its answer
        self.request_at = 0.0
        self.repeats = 0
        self.first_sent_at = 0.0
        self.to = ("127.0.0.1", 0)
        self.not_before = 0.0
        self.stage = "login"
        self.refusals = 0
        self.session: Used | None = None
        self.class_values = b""
        self.began_at = 0.0
        self.interims_left = 0
        self.is_done = False


class Customers:
    def __init__(self, auth_port: int, acct_port: int, purses: list[Purse], *, seed: int = 1):
        self.auth = ("127.0.0.1", auth_port)
        self.acct = ("127.0.0.1", acct_port)
        self.secret = packet.Secret(SECRET.encode())
        self.customers = [Customer(purse, seed * 1000 + index) for index, purse in enumerate(purses)]
        self.sessions: list[Used] = []
        self.acknowledged = 0
        self.logins = 0
        self.refused = 0  # refused although there was credit, and let in later
        self.failures: list[str] = []
        self.longest_wait_seconds = 0.0
        self._run = f"{os.getpid():x}-{seed}-"
        self._numbers = itertools.count(1)
        self._is_ending = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_seconds: float = 120) -> None:
        """Let every session end and its Stop be acknowledged."""
        self._is_ending = True
        self._thread.join(patience_seconds)
        if self._thread.is_alive():
            waiting = [one for one in self.customers if not one.is_done]
            self.failures.append(
                f"{len(waiting)} customers still wait for an answer, one of them to a {waiting[0].stage}"
            )

    def write(self, path: Path) -> None:
        """One line a session."""
        with path.open("w") as file:
            for one in self.sessions:
                file.write(json.dumps(dataclasses.asdict(one)) + "\n")

    # --- The loop --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        selector = selectors.DefaultSelector()
        for one in self.customers:
            selector.register(one.udp, selectors.EVENT_READ, one)
        while not all(one.is_done for one in self.customers):
            for key, _ in selector.select(0.05):
                self._receive(key.data)
            now = time.monotonic()
            for one in self.customers:
                if one.is_done:
                    continue
                if one.request is None:
                    if now >= one.not_before:
                        self._next(one, now)
                elif now - one.request_at >= REPEAT_SECONDS:
                    self._repeat(one, now)
        selector.close()

    def _repeat(self, one: Customer, now: float) -> None:
        one.request_at = now
        one.repeats += 1
        if one.stage == "login" and one.repeats > LOGIN_REPEATS:
            one.repeats = 0
            one.request = self._login(one)
        one.udp.sendto(one.request, one.to)

    def _receive(self, one: Customer) -> None:
        try:
            answer = one.udp.recv(RECEIVE_BUFFER_OCTETS)
        except BlockingIOError:
            return
        # A second answer to a repeated packet is ignored.
        if one.request is None or answer[1] != one.request[1] or not self.secret.is_answer(answer, one.request):
            return
        now = time.monotonic()
        self.longest_wait_seconds = max(self.longest_wait_seconds, now - one.first_sent_at)
        one.request = None
        one.not_before = now + one.purse.pause_seconds
        if answer[0] == packet.ACCOUNTING_RESPONSE:
            self._acknowledged(one)
        elif answer[0] == packet.ACCESS_ACCEPT:
            self._accepted(one, answer, now)
        else:
            self._refused(one, now)
        if one.not_before <= now and not one.is_done:
            self._next(one, now)

    def _acknowledged(self, one: Customer) -> None:
        self.acknowledged += 1
        one.session.acknowledged = list(one.session.sent)
        one.session.packets += 1
        one.stage = {"Start": "Interim-Update", "Interim-Update": "Interim-Update", "Stop": "login"}[one.stage]

    def _accepted(self, one: Customer, answer: bytes, now: float) -> None:
        self.logins += 1
        one.refusals = 0
        one.class_values = b"".join(
            packet.attribute(packet.CLASS, value) for value in packet.find_attributes(answer, packet.CLASS)
        )
        timeout = int.from_bytes(packet.find_attributes(answer, SESSION_TIMEOUT)[0], "big")
        one.session = Used(one.purse.cards[0][0], f"{self._run}{next(self._numbers)}", granted_seconds=timeout)
        self.sessions.append(one.session)
        one.began_at = now
        one.interims_left = one.random.randrange(INTERIMS_MOST + 1)
        one.stage = "Start"

    def _refused(self, one: Customer, now: float) -> None:
        serial = one.purse.cards[0][0]
        spent = one.purse.credit_seconds is not None and one.purse.credit_seconds <= sum(
            used.acknowledged[0] for used in self.sessions if used.serial == serial
        )
        if spent:
            one.purse.cards.pop(0)
            one.is_done = not one.purse.cards
            return
        self.refused += 1
        one.refusals += 1
        one.not_before = now + REFUSED_PAUSE_SECONDS
        if one.refusals > REFUSALS_MOST:
            self.failures.append(f"card {serial} is refused again and again although it has credit")
            one.is_done = True

    # --- Packets ---------------------------------------------------------------------------------------

    def _next(self, one: Customer, now: float) -> None:
        if one.stage == "login":
            if self._is_ending:
                one.is_done = True
                return
            self._send(one, self._login(one), self.auth, now)
            return
        if one.stage == "Interim-Update":
            is_over = now - one.began_at >= one.session.granted_seconds
            if self._is_ending or is_over or one.interims_left == 0:
                one.stage = "Stop"
            one.interims_left -= 1
        self._send(one, self._report(one, now), self.acct, now)

    def _send(self, one: Customer, request: bytes, to, now: float) -> None:
        one.request, one.to, one.request_at, one.first_sent_at = request, to, now, now
        one.repeats = 0
        one.udp.sendto(request, to)

    def _login(self, one: Customer) -> bytes:
        serial, pin = one.purse.cards[0]
        authenticator = os.urandom(16)
        attributes = self._place(one, serial) + packet.attribute(
            packet.USER_PASSWORD, self.secret.hide(pin.encode(), authenticator)
        )
        return self.secret.access_request(self._identifier(one), authenticator, attributes)

    def _report(self, one: Customer, now: float) -> bytes:
        used = one.session
        if one.stage != "Start":
            # The NAS obeys Session-Timeout.
            used.sent[0] = min(int(now - one.began_at), used.granted_seconds)
            # Some sessions exceed 2^32 at once, so that they use Gigawords.
            used.sent[1] += one.random.choice((0, 1, 1500, 40_000_000, 3_000_000_000))
            used.sent[2] += one.random.choice((0, 1, 900, 5_000_000))
        status = {"Start": packet.START, "Interim-Update": packet.INTERIM, "Stop": packet.STOP}[one.stage]
        attributes = (
            self._place(one, used.serial)
            + packet.text(packet.ACCT_SESSION_ID, used.session_id)
            + packet.integer(packet.ACCT_STATUS_TYPE, status)
            + one.class_values
        )
        if one.stage != "Start":
            attributes += (
                packet.integer(packet.ACCT_SESSION_TIME, used.sent[0])
                + packet.counter(packet.ACCT_OUTPUT_OCTETS, packet.ACCT_OUTPUT_GIGAWORDS, used.sent[1])
                + packet.counter(packet.ACCT_INPUT_OCTETS, packet.ACCT_INPUT_GIGAWORDS, used.sent[2])
            )
        if one.stage == "Stop":
            attributes += packet.integer(packet.ACCT_TERMINATE_CAUSE, 1)
        return self.secret.accounting_request(self._identifier(one), attributes)

    @staticmethod
    def _place(one: Customer, serial: str) -> bytes:
        return (
            packet.text(packet.USER_NAME, serial)
            + packet.attribute(packet.NAS_IP_ADDRESS, bytes((127, 0, 0, 1)))
            + packet.integer(packet.NAS_PORT, one.number)
            + packet.text(packet.CALLING_STATION_ID, one.device)
        )

    @staticmethod
    def _identifier(one: Customer) -> int:
        one.identifier = (one.identifier + 1) & 255
        return one.identifier
