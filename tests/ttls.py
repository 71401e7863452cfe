"""A hostile EAP-TTLS device: it sends attributes in its tunnel, or stops in the middle of a handshake.

    answer = ttls.log_in(radius, "7000000001", "0123456789", avps={"Calling-Station-Id": "02-00-00-00-00-01"})

EAP-TTLS is RFC 5281; the tunnel carries the password by PAP.
"""

import secrets
import ssl
import struct

from pyrad import packet as codec

from tests.radius_client import RadiusClient, Reply, dictionary

REQUEST, RESPONSE = 1, 2
IDENTITY, TTLS = 1, 21
LENGTH_INCLUDED, MORE, START = 0x80, 0x40, 0x20
MANDATORY = 0x40


def log_in(
    nas: RadiusClient, serial: str, pin: str, *, outer_name: str = "anonymous", avps: dict | None = None, **options
) -> Reply | None:
    """The server's last answer to a login by PAP in a tunnel; `avps` are added to name and password in the tunnel.

    Keys are names, or numbers if no dictionary has the attribute; values are text or octets.
    """
    password = pin.encode()
    inside = [(1, serial.encode()), (2, password + bytes(-len(password) % 16))]
    for name, value in (avps or {}).items():
        number = name if isinstance(name, int) else dictionary()[name].code
        inside.append((number, value if isinstance(value, bytes) else value.encode()))
    talk = Conversation(nas, outer_name, **options)
    talk.shake_hands()
    return talk.say(b"".join(_avp(number, value) for number, value in inside))


def begin(nas: RadiusClient, *, outer_name: str = "anonymous", **options) -> Reply | None:
    """A handshake that stops after the server has sent its certificate."""
    talk = Conversation(nas, outer_name, **options)
    talk.tls_step()
    return talk.exchange(talk.outgoing())


class Conversation:
    def __init__(
        self,
        nas: RadiusClient,
        outer_name: str,
        *,
        nas_ip: str = "127.0.0.1",
        calling_station_id: str | None = "02-00-00-00-00-01",
        timeout_seconds: float = 10,
    ):
        self._nas = nas
        self._nas_ip = nas_ip
        self._timeout_seconds = timeout_seconds
        self._outside = {"User-Name": outer_name, "NAS-IP-Address": nas_ip, "Calling-Station-Id": calling_station_id}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._state = None
        self.reply = self._send(RESPONSE, 0, bytes([IDENTITY]) + outer_name.encode())

    def shake_hands(self) -> None:
        while not self.tls_step():
            self.exchange(self.outgoing())
        # The device's first message of the login answers the server's last message of the handshake.

    def tls_step(self) -> bool:
        """One step of the handshake; returns whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def say(self, text: bytes) -> Reply | None:
        self._tls.write(text)
        return self.exchange(self.outgoing())

    def outgoing(self) -> bytes:
        return self._outgoing.read()

    def exchange(self, tls: bytes) -> Reply | None:
        """Send octets of TLS, and receive all fragments of the answer."""
        while True:
            message = b"".join(self.reply.attributes["EAP-Message"])
            data = bytes([LENGTH_INCLUDED]) + struct.pack("!I", len(tls)) + tls if tls else b"\0"
            self.reply = self._send(RESPONSE, message[1], bytes([TTLS]) + data)
            if self.reply is None or self.reply.code != codec.AccessChallenge:
                return self.reply
            message = b"".join(self.reply.attributes["EAP-Message"])
            flags, rest = message[5], message[6:]
            self._incoming.write(rest[4:] if flags & LENGTH_INCLUDED else rest)
            if not flags & MORE:
                return self.reply
            tls = b""

    def _send(self, code: int, identifier: int, data: bytes) -> Reply | None:
        message = struct.pack("!BBH", code, identifier, 4 + len(data)) + data
        request = self._nas._packet(codec.AuthPacket, codec.AccessRequest)
        request.authenticator = secrets.token_bytes(16)
        self._nas._set(
            request,
            self._outside
            | {
                "State": self._state,
                "EAP-Message": [message[start : start + 253] for start in range(0, len(message), 253)],
            },
        )
        request.add_message_authenticator()
        reply = self._nas._exchange(request, self._nas.auth_port, self._nas_ip, self._timeout_seconds)
        if reply and "State" in reply:
            self._state = bytes(reply["State"])
        return reply


def _avp(number: int, value: bytes) -> bytes:
    length = 8 + len(value)
    return struct.pack("!II", number, MANDATORY << 24 | length) + value + bytes(-length % 4)
