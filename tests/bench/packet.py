"""RADIUS packets as bytes: what a NAS sends, and how it checks an answer.

Written for speed, not for completeness: a packet is joined from attributes that were made before, and signed in about
one microsecond.  The tests compare it with pyrad.

>>> attribute(USER_NAME, b"1001").hex()
'010631303031'
>>> find_attributes(bytes(20) + attribute(CLASS, b"one") + attribute(USER_NAME, b"x") + attribute(CLASS, b"two"), CLASS)
[b'one', b'two']
"""

import hashlib
import struct

ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT = 1, 2, 3
ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 4, 5

USER_NAME, USER_PASSWORD, NAS_IP_ADDRESS, NAS_PORT = 1, 2, 4, 5
SERVICE_TYPE, FRAMED_PROTOCOL, FRAMED_IP_ADDRESS, CLASS = 6, 7, 8, 25
CALLED_STATION_ID, CALLING_STATION_ID, NAS_IDENTIFIER = 30, 31, 32
ACCT_STATUS_TYPE, ACCT_DELAY_TIME, ACCT_INPUT_OCTETS, ACCT_OUTPUT_OCTETS = 40, 41, 42, 43
ACCT_SESSION_ID, ACCT_AUTHENTIC, ACCT_SESSION_TIME = 44, 45, 46
ACCT_TERMINATE_CAUSE, ACCT_INPUT_GIGAWORDS, ACCT_OUTPUT_GIGAWORDS = 49, 52, 53
EVENT_TIMESTAMP, NAS_PORT_TYPE, MESSAGE_AUTHENTICATOR = 55, 61, 80

START, STOP, INTERIM = 1, 2, 3

NO_AUTHENTICATOR = bytes(16)
EMPTY_MESSAGE_AUTHENTICATOR = bytes([MESSAGE_AUTHENTICATOR, 18]) + bytes(16)


def attribute(number: int, value: bytes) -> bytes:
    """One attribute: number, length, value."""
    if len(value) > 253:
        raise ValueError(f"Attribute {number} has {len(value)} bytes; RADIUS carries at most 253.")
    return bytes((number, len(value) + 2)) + value


def text(number: int, value: str) -> bytes:
    return attribute(number, value.encode())


def integer(number: int, value: int) -> bytes:
    return attribute(number, struct.pack("!I", value))


def counter(octets_number: int, gigawords_number: int, octets: int) -> bytes:
    """A counter of octets as a NAS sends it: the low 32 bits, and how often they wrapped.

    >>> counter(ACCT_INPUT_OCTETS, ACCT_INPUT_GIGAWORDS, 2**32 + 5).hex()
    '2a0600000005340600000001'
    """
    return integer(octets_number, octets & 0xFFFFFFFF) + integer(gigawords_number, octets >> 32)


def find_attributes(packet: bytes, number: int) -> list[bytes]:
    """The values of every attribute of that number, in order."""
    found = []
    position = 20
    while position < len(packet):
        if packet[position] == number:
            found.append(packet[position + 2 : position + packet[position + 1]])
        position += packet[position + 1]
    return found


class Secret:
    """The secret that a NAS and the server share, and everything that is computed with it."""

    def __init__(self, secret: bytes):
        self.secret = secret
        # HMAC-MD5 (RFC 2104) with both key blocks digested once: half the time of hmac.digest().
        key = secret.ljust(64, b"\0") if len(secret) <= 64 else hashlib.md5(secret).digest().ljust(64, b"\0")
        self._inner = hashlib.md5(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.md5(bytes(byte ^ 0x5C for byte in key))

    def hide(self, password: bytes, authenticator: bytes) -> bytes:
        """A User-Password as it is sent (RFC 2865 5.2).

        >>> Secret(b"testing123").hide(b"0123456789", bytes(16)).hex()
        '8d265cae92606462934fd4ea6abdefd7'
        """
        padded = password.ljust(-(-max(len(password), 1) // 16) * 16, b"\0")
        hidden, previous = b"", authenticator
        for start in range(0, len(padded), 16):
            key = hashlib.md5(self.secret + previous).digest()
            previous = bytes(a ^ b for a, b in zip(padded[start : start + 16], key, strict=True))
            hidden += previous
        return hidden

    def access_request(self, identifier: int, authenticator: bytes, attributes: bytes) -> bytes:
        """An Access-Request with its Message-Authenticator in first place."""
        head = struct.pack("!BBH", ACCESS_REQUEST, identifier, 38 + len(attributes)) + authenticator
        inner = self._inner.copy()
        inner.update(head + EMPTY_MESSAGE_AUTHENTICATOR + attributes)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return head + b"\x50\x12" + outer.digest() + attributes

    def accounting_request(self, identifier: int, attributes: bytes) -> bytes:
        """An Accounting-Request; its authenticator is a digest of the packet (RFC 2866 3)."""
        head = struct.pack("!BBH", ACCOUNTING_REQUEST, identifier, 20 + len(attributes))
        digest = hashlib.md5(head + NO_AUTHENTICATOR + attributes + self.secret).digest()
        return head + digest + attributes

    def is_answer(self, answer: bytes, request: bytes) -> bool:
        """Whether this answer belongs to that request and was made with the secret."""
        return hashlib.md5(answer[:4] + request[4:20] + answer[20:] + self.secret).digest() == answer[4:20]
