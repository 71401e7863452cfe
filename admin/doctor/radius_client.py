"""A small RADIUS client for `prepaid doctor`: one login, and one report of accounting (RFC 2865, RFC 2866)."""

import secrets
import socket
import time
from typing import Any, NamedTuple

from pyrad import packet as codec

from ..freeradius.radius_dictionary import dictionary

# FreeRADIUS delays a refusal by a second.
TIMEOUT_SECONDS = 5.0
DEVICE = "02-00-00-00-00-00"
# Acct-Status-Type (RFC 2866, section 5.1).
STOP = 2


class Answer(NamedTuple):
    """The answer to a login.  `seconds` is how long it took; `session_timeout` is 0 if the answer has none."""

    is_accept: bool
    words: str
    session_timeout: int
    class_values: list[bytes]
    seconds: float


class Client:
    """A NAS that knows FreeRADIUS at this address by this secret."""

    def __init__(self, host: str, auth_port: int, acct_port: int, secret: bytes, needs_signature: bool = True):
        self.host = host
        self.auth_port = auth_port
        self.acct_port = acct_port
        self._secret = secret
        self._needs_signature = needs_signature

    def log_in(self, serial: str, pin: str) -> Answer | None:
        """Log in by PAP.  Returns None if there is no answer that a NAS would accept."""
        request = codec.AuthPacket(**self._header(codec.AccessRequest))
        request.authenticator = request.CreateAuthenticator()
        request["User-Name"] = serial
        request["User-Password"] = request.PwCrypt(pin)
        self._add_nas(request)
        request.add_message_authenticator()
        began = time.monotonic()
        reply = self._exchange(request, self.auth_port)
        if reply is None:
            return None
        return Answer(
            is_accept=reply.code == codec.AccessAccept,
            words=" ".join(_all(reply, "Reply-Message")),
            session_timeout=sum(_all(reply, "Session-Timeout")),
            class_values=_all(reply, "Class"),
            seconds=time.monotonic() - began,
        )

    def report_unused_session(self, serial: str, answer: Answer) -> bool:
        """Send the Stop of a session that used nothing, and return whether it was acknowledged."""
        request = codec.AcctPacket(**self._header(codec.AccountingRequest))
        request["User-Name"] = serial
        request["Acct-Status-Type"] = STOP
        request["Acct-Session-Id"] = secrets.token_hex(8)
        request["Acct-Session-Time"] = 0
        for value in answer.class_values:
            request.AddAttribute("Class", value)
        self._add_nas(request)
        return self._exchange(request, self.acct_port) is not None

    def _header(self, code: int) -> dict[str, Any]:
        return {"code": code, "secret": self._secret, "dict": dictionary(), "id": secrets.randbelow(256)}

    @staticmethod
    def _add_nas(request: codec.Packet) -> None:
        request["NAS-Identifier"] = "prepaid-doctor"
        request["NAS-Port"] = 1
        request["Calling-Station-Id"] = DEVICE

    def _exchange(self, request: codec.Packet, port: int) -> codec.Packet | None:
        data = request.RequestPacket()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.settimeout(TIMEOUT_SECONDS)
            try:
                udp.connect((self.host, port))
                udp.send(data)
                answer = udp.recv(4096)
            except OSError:
                # Nothing listens there, or nothing answered in time.
                return None
        reply = request.CreateReply(packet=answer)
        # Only answers to logins carry a Message-Authenticator.
        is_signed = request.code == codec.AccessRequest and self._needs_signature
        return reply if request.VerifyReply(reply, answer, enforce_ma=is_signed) else None


def unknown_serial() -> str:
    """A serial that does not exist: cards' serials have no lower-case letters."""
    return f"doctor-{secrets.token_hex(8)}"


def random_pin() -> str:
    return secrets.token_hex(6)


def _all(reply: codec.Packet, name: str) -> list[Any]:
    return list(reply[name]) if name in reply.keys() else []
