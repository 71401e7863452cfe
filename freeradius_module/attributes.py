"""RADIUS attributes as FreeRADIUS passes them, turned into plain values; and the check of every reply.

rlm_python3 passes pairs of strings (octets as ``0x…``, named integers by their names) and accepts triples of strings.
It drops or wraps everything else: a value that is not exactly a str, an unknown name, a number beyond 32 bits.  **The
Accept is sent nevertheless**.  So every reply passes ``checked_reply``, which raises an exception in any doubt.
"""

import functools
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .rules import serial as serial_number
from .rules.identity import Claim, read_class
from .rules.units import Octets, Seconds
from .rules.usage import WORD_MAX, counted_octets
from .sentence import Sentence

SERIAL_MAX = serial_number.MAX_LENGTH
# A long record of the accounting queue holds no more of a name (raddb-config/policy.d/prepaid).  A packet must mean the
# same whether it is charged directly or from the queue.
USER_NAME_OCTETS_MAX = 64
DEVICE_OCTETS_MAX = 64
# Appended to a User-Name that is too long to be a serial: no serial contains dots.
TOO_LONG = "..."
# More than one session can transfer (9 PB), yet the sum over a card's sessions fits into 63 bits.  A NAS that reports an
# absurd counter must not make the other reports of its group fail, nor the card's next login.
OCTETS_MAX = 2**53
MAC = re.compile(r"(?:[0-9A-Fa-f]{2}[-:.]?){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}")
# Attributes that raddb-config/ adds to the request, because the packet does not contain them.
SOURCE_ADDRESS = "Tmp-String-0"
# What stands there for a NAS over TLS: this, and the name of its certificate.  It is also the address of its row in `nas`.
BY_CERTIFICATE = "tls:"
RECEIVED_AT = "Tmp-String-1"
AUTHENTICATOR = "Tmp-String-2"  # only of Accounting-On and Accounting-Off; a repeated packet has the same one
READ_MARK = "Tmp-String-3"  # what authorize returned for this request, see read_mark.py
OUTER_NAME = "Tmp-String-4"  # of a login in an EAP tunnel: the User-Name outside the tunnel
# The longest that a packet waits in FreeRADIUS.  A longer time means that the clock was put forward meanwhile.
WAIT_MOST_SECONDS = 60.0

ON_OFF = ("Accounting-On", "Accounting-Off")
KINDS = ("Start", "Interim-Update", "Stop", *ON_OFF)


class Report(NamedTuple):
    """One accounting packet.  A counter that the packet does not contain is None, which is not zero."""

    kind: str
    serial: str
    nas_id: int
    nas_address: str  # where the packet came from
    acct_session_id: str
    claim: Claim | None
    device: str
    age_seconds: float  # between the event and now: Acct-Delay-Time, and the time in a queue
    at: float  # now, by this server's clock: seconds since 1970
    seconds: Seconds | None
    down_octets: Octets | None
    up_octets: Octets | None
    has_gigawords: bool
    stop_cause: str | None
    framed_ipv4: str | None
    framed_ipv6: str | None
    delegated_prefix: str | None
    authenticator: str = ""  # of Accounting-On and -Off; a repeated packet has the same one


class AttributeFault(ValueError):
    """A packet cannot be used because of one of its attributes.  The only argument is a Sentence."""


def values(pairs: Sequence[tuple[str, str]] | None) -> dict[str, str]:
    """The packet's attributes by name, the first of each.

    >>> values([("Class", "0x01"), ("Class", "0x02")])
    {'Class': '0x01'}
    """
    # Reversed, because a dictionary keeps the last value.  This runs for each packet, so it avoids a loop in Python.
    return dict(reversed(pairs or ()))


def serial_of(request: Mapping[str, str]) -> str:
    """The serial number in User-Name; people type it with spaces and hyphens between the groups.

    >>> serial_of({"User-Name": " 4000-1234 "})
    '40001234'
    >>> serial_of({"User-Name": "4000-1234" + " " * 99 + "5"})
    '400012345...'
    """
    name = request.get("User-Name", "")
    serial = serial_number.compact(name)
    return f"{serial}{TOO_LONG}" if _octets_of(name) > USER_NAME_OCTETS_MAX else serial


def outer_serial_of(request: Mapping[str, str]) -> str:
    """The User-Name outside the EAP tunnel as a serial number; "" if it equals the one inside, or there is no tunnel.

    >>> outer_serial_of({"User-Name": "40001234", "Tmp-String-4": "4000 9999"})
    '40009999'
    >>> outer_serial_of({"User-Name": "40001234", "Tmp-String-4": "4000-1234"})
    ''
    """
    outer_name = request.get(OUTER_NAME)
    if outer_name is None:
        return ""
    outer_serial = serial_number.compact(outer_name)
    return "" if outer_serial == serial_of(request) else outer_serial


def device_of(request: Mapping[str, str]) -> str:
    """The device in Calling-Station-Id.  A MAC address gets one form, however the NAS writes it.

    >>> device_of({"Calling-Station-Id": "02:00:5e:10:00:01"})
    '02-00-5E-10-00-01'
    >>> device_of({"Calling-Station-Id": "pppoe ether1"})
    'pppoe ether1'
    >>> len(device_of({"Calling-Station-Id": " " + "é" * 40}))
    32
    """
    return _device(request.get("Calling-Station-Id", ""))


@functools.lru_cache(16_384)  # Each packet of a session names the same device.
def _device(text: str) -> str:
    name = text.strip(" ")
    if _octets_of(name) > DEVICE_OCTETS_MAX:
        # "ignore" drops a character that is cut in the middle.
        name = name.encode("utf-8", "surrogateescape")[:DEVICE_OCTETS_MAX].decode("utf-8", "ignore").rstrip(" ")
    if MAC.fullmatch(name):
        digits = re.sub(r"[^0-9A-Fa-f]", "", name).upper()
        return "-".join(digits[start : start + 2] for start in range(0, 12, 2))
    return name


def received_at(request: Mapping[str, str]) -> float:
    """When FreeRADIUS received the packet, in seconds since 1970; now, if the request does not contain it.

    raddb-config/ adds "seconds.microseconds", where the microseconds have no leading zeros.

    >>> received_at({"Tmp-String-1": "1770000000.90"})
    1770000000.00009
    """
    seconds, _, microseconds = request.get(RECEIVED_AT, "").partition(".")
    if not (seconds.isdigit() and microseconds.isdigit()):
        return time.time()
    return int(seconds) + int(microseconds) / 1_000_000


def report(
    pairs: Sequence[tuple[str, str]], nas_id: int, class_key: bytes, queued_seconds: float | None = None
) -> Report:
    """The report in an accounting packet (RFC 2866, RFC 2869).

    *queued_seconds* is how long the packet waited in the queue; None: it came from FreeRADIUS directly.

    Raises AttributeFault if the packet can never be charged.
    """
    request = values(pairs)
    kind = request.get("Acct-Status-Type", "")
    if kind not in KINDS:
        raise AttributeFault(Sentence("Acct-Status-Type is {kind}", kind=kind or "missing"))
    serial = serial_of(request)
    acct_session_id = request.get("Acct-Session-Id", "")[:253]
    if kind not in ON_OFF and not (serial and acct_session_id):
        raise AttributeFault(Sentence("User-Name or Acct-Session-Id is missing"))
    classes = [value for name, value in pairs if name == "Class"]
    seconds = _number(request, "Acct-Session-Time")
    now = time.time()
    arrived_at = received_at(request)
    if queued_seconds is None:
        queued_seconds = min(max(now - arrived_at, 0.0), WAIT_MOST_SECONDS)
    return Report(
        kind=kind,
        serial=serial,
        nas_id=nas_id,
        nas_address=request.get(SOURCE_ADDRESS, "")[:45],
        acct_session_id=acct_session_id,
        claim=read_class(classes, serial, class_key) if classes else None,
        device=device_of(request),
        age_seconds=(_number(request, "Acct-Delay-Time") or 0) + queued_seconds,
        at=arrived_at + queued_seconds,
        seconds=None if seconds is None else Seconds(seconds),
        # Output is what the NAS sent to the customer, so it is the download.
        down_octets=_octets(request, "Acct-Output-Octets", "Acct-Output-Gigawords"),
        up_octets=_octets(request, "Acct-Input-Octets", "Acct-Input-Gigawords"),
        has_gigawords="Acct-Output-Gigawords" in request or "Acct-Input-Gigawords" in request,
        stop_cause=request.get("Acct-Terminate-Cause", "unknown")[:32] if kind == "Stop" else None,
        framed_ipv4=_short(request.get("Framed-IP-Address"), 15),
        framed_ipv6=_short(request.get("Framed-IPv6-Address") or request.get("Framed-IPv6-Prefix"), 43),
        delegated_prefix=_short(request.get("Delegated-IPv6-Prefix"), 43),
        authenticator=request.get(AUTHENTICATOR, "")[:34],
    )


def checked_reply(attributes: Iterable[tuple[str, str, str]]) -> tuple[tuple[str, str, str], ...]:
    """The reply, if FreeRADIUS will send it exactly as it is; otherwise ValueError.

    >>> checked_reply([("Session-Timeout", ":=", "600")])
    (('Session-Timeout', ':=', '600'),)
    >>> checked_reply([("Session-Timeout", ":=", 600)])
    Traceback (most recent call last):
    ValueError: reply attribute Session-Timeout is not text but int
    """
    attributes = tuple(attributes)
    for attribute in attributes:
        if type(attribute) is not tuple or len(attribute) != 3:
            raise ValueError(Sentence("a reply attribute is not (name, operator, value)"))
        name, operator, value = attribute
        if not (type(name) is type(operator) is type(value) is str):
            kinds = ", ".join(sorted({type(part).__name__ for part in attribute if type(part) is not str}))
            raise ValueError(Sentence("reply attribute {name} is not text but {kinds}", name=name, kinds=kinds))
        if operator not in (":=", "+="):
            raise ValueError(
                Sentence("reply attribute {name} has the operator {operator}", name=name, operator=operator)
            )
        if "\0" in value or len(value.encode()) > 253 * (2 if value.startswith("0x") else 1):
            raise ValueError(Sentence("reply attribute {name} is too long or contains a NUL", name=name))
        if name == "Session-Timeout" and not (value.isascii() and value.isdigit() and 0 < int(value) <= WORD_MAX):
            raise ValueError(Sentence("Session-Timeout is {value}", value=value))
    return attributes


def _number(request: Mapping[str, str], name: str) -> int | None:
    """An unsigned 32-bit attribute; None if the packet does not contain it, or if it is not a number."""
    value = request.get(name)
    if value is None or not (value.isascii() and value.isdigit()):
        return None
    return min(int(value), WORD_MAX)


def _octets(request: Mapping[str, str], octets_name: str, gigawords_name: str) -> Octets | None:
    octets = _number(request, octets_name)
    gigawords = _number(request, gigawords_name)
    if octets is None and gigawords is None:
        return None
    return Octets(min(counted_octets(octets or 0, gigawords or 0), OCTETS_MAX))


def _octets_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _short(value: str | None, length: int) -> str | None:
    return value[:length] if value else None
