"""Disconnect-Requests and CoA-Requests (RFC 5176): many at the same time, to many NAS, in one thread.

    exchange = Exchange()
    exchange.send("session 1", Request("disconnect", "10.1.2.3", 3799, b"secret", attributes))
    while exchange.under_way:
        for key, answer in exchange.wait(seconds=1):
            print(key, answer.outcome)

Nothing waits for a single NAS: only the requests to a NAS that does not answer take longer.
"""

import ipaddress
import secrets
import select
import socket
import time
from collections import Counter
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from pyrad import packet as codec

from freeradius_module.rules.vendors import Attribute

from ..freeradius.radius_dictionary import dictionary

# The time-outs of a request and its two repetitions; after the last one it is given up.
RESEND_SECONDS = (1.0, 2.0, 3.0)
# The most requests to one NAS that have no answer yet; a small NAS drops what it cannot queue.
WINDOW = 32

CODES = {"disconnect": codec.DisconnectRequest, "slow_down": codec.CoARequest}
ACKS = (codec.DisconnectACK, codec.CoAACK)
NAKS = (codec.DisconnectNAK, codec.CoANAK)

# RFC 5176, section 3.6.
ERROR_CAUSES = {
    201: "Residual-Session-Context-Removed",
    202: "Invalid-EAP-Packet",
    401: "Unsupported-Attribute",
    402: "Missing-Attribute",
    403: "NAS-Identification-Mismatch",
    404: "Invalid-Request",
    405: "Unsupported-Service",
    406: "Unsupported-Extension",
    407: "Invalid-Attribute-Value",
    501: "Administratively-Prohibited",
    502: "Request-Not-Routable",
    503: "Session-Context-Not-Found",
    504: "Session-Context-Not-Removable",
    505: "Other-Proxy-Processing-Error",
    506: "Resources-Unavailable",
    507: "Request-Initiated",
    508: "Multiple-Session-Selection-Unsupported",
}


# What the caller knows a request by.
KeyT = TypeVar("KeyT", bound=Hashable)
# address, port, identifier of the packet
Place = tuple[str, int, int]


class Request(NamedTuple):
    """A request, and the NAS to send it to."""

    action: str  # disconnect, slow_down
    address: str
    port: int
    secret: bytes
    attributes: tuple[Attribute, ...]


class Answer(NamedTuple):
    """The outcome of a request.  `error_cause` is the NAS' Error-Cause, or why the request was not sent."""

    outcome: str  # ack, nak, no_answer, not_sent
    error_cause: str | None = None


class Exchange(Generic[KeyT]):
    """The requests that have no answer yet."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[Place, _Waiting[KeyT]] = {}
        self._load: Counter[tuple[str, int]] = Counter()
        self._answers: list[tuple[KeyT, Answer]] = []

    @property
    def under_way(self) -> int:
        """How many requests have an answer that `wait` has not returned, or none yet."""
        return len(self._waiting) + len(self._answers)

    def room(self, address: str, port: int) -> int:
        """How many more requests may be sent to this NAS now."""
        return WINDOW - self._load[address, port]

    def send(self, key: KeyT, request: Request) -> None:
        """Send a request.  `wait` returns its answer with this key."""
        packet = encoded(request)
        place = (request.address, request.port, self._free_identifier(request))
        packet.id = place[2]
        waiting = _Waiting(key, packet, packet.RequestPacket())
        self._waiting[place] = waiting
        self._load[place[:2]] += 1
        self._transmit(place, waiting)

    def wait(self, seconds: float) -> list[tuple[KeyT, Answer]]:
        """Return the answers as soon as there are any, or an empty list after `seconds`."""
        until = time.monotonic() + seconds
        while not self._answers:
            now = time.monotonic()
            for place, waiting in list(self._waiting.items()):
                if waiting.next_at <= now:
                    self._transmit(place, waiting)
            if self._answers or now >= until:
                break
            pause = min([until, *(waiting.next_at for waiting in self._waiting.values())]) - now
            readable, _, _ = select.select(list(self._sockets.values()), [], [], max(pause, 0))
            for each in readable:
                self._receive(each)
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()

    def _transmit(self, place: Place, waiting: "_Waiting[KeyT]") -> None:
        if waiting.sent == len(RESEND_SECONDS):
            self._finish(place, Answer("no_answer"))
            return
        try:
            self._socket(place[0]).sendto(waiting.data, place[:2])
        except BlockingIOError:
            pass  # The send buffer is full.  This is like a lost packet: it is sent again.
        except OSError as error:
            self._finish(place, Answer("not_sent", (error.strerror or str(error))[:64]))
            return
        waiting.next_at = time.monotonic() + RESEND_SECONDS[waiting.sent]
        waiting.sent += 1

    def _receive(self, each: socket.socket) -> None:
        while True:
            try:
                data, (host, port, *_) = each.recvfrom(4096)
            except BlockingIOError:
                return
            except OSError:
                continue  # An ICMP error of an earlier request, which will time out.
            if len(data) < 20:
                continue
            place = (str(ipaddress.ip_address(host)), port, data[1])
            waiting = self._waiting.get(place)
            answer = waiting and decoded(waiting.packet, data)
            if answer:
                self._finish(place, answer)

    def _finish(self, place: Place, answer: Answer) -> None:
        self._answers.append((self._waiting.pop(place).key, answer))
        self._load[place[:2]] -= 1

    def _free_identifier(self, request: Request) -> int:
        """A random unused identifier, so that a late answer to an older request does not match."""
        start = secrets.randbelow(256)
        for number in range(start, start + 256):
            if (request.address, request.port, number % 256) not in self._waiting:
                return number % 256
        raise ValueError(f"256 requests to {request.address} are under way; call `room` first.")

    def _socket(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if family not in self._sockets:
            self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
            self._sockets[family].setblocking(False)
        return self._sockets[family]


class _Waiting(Generic[KeyT]):
    """A request without an answer.  `sent` counts how often it was sent; `next_at` is when its time is out."""

    def __init__(self, key: KeyT, packet: codec.CoAPacket, data: bytes):
        self.key = key
        self.packet = packet
        self.data = data
        self.sent = 0
        self.next_at = 0.0


def encoded(request: Request) -> codec.CoAPacket:
    """The packet of a request, signed.  It has an Event-Timestamp, because a NAS may refuse requests older than 300 seconds.

    >>> packet = encoded(Request("disconnect", "192.0.2.1", 3799, b"secret", (("User-Name", ":=", "4000"),)))
    >>> packet.code, packet["User-Name"], len(packet["Event-Timestamp"])
    (40, ['4000'], 1)
    """
    packet = codec.CoAPacket(code=CODES[request.action], secret=request.secret, dict=dictionary())
    packet.add_message_authenticator()
    for name, _, value in request.attributes:
        packet.AddAttribute(name, int(value) if dictionary()[name].type == "integer" else value)
    packet.AddAttribute("Event-Timestamp", int(time.time()))
    return packet


def decoded(request: codec.CoAPacket, data: bytes) -> Answer | None:
    """The NAS' answer; None if these octets are not a genuine answer to this request."""
    try:
        reply = request.CreateReply(packet=data)
        if not request.VerifyReply(reply, data):
            return None
    except (codec.PacketError, ValueError):
        return None
    if reply.code in ACKS:
        return Answer("ack")
    if reply.code in NAKS:
        return Answer("nak", error_cause(reply.get("Error-Cause")))
    return None


def error_cause(values: list[int] | None) -> str | None:
    """The number and the name of an Error-Cause.

    >>> error_cause([503]), error_cause([599]), error_cause(None)
    ('503 Session-Context-Not-Found', '599', None)
    """
    if not values:
        return None
    return f"{values[0]} {ERROR_CAUSES.get(values[0], '')}".strip()
