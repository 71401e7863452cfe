"""A NAS that sends over TLS (RFC 6614): the same methods as tests.radius_client, on one connection.

with RadSecNas(port, authority, "hotspot-centro") as nas:
    accept = nas.login(card.serial, card.pin)
"""

import contextlib
import socket
import ssl
import time

from pyrad import packet as codec

from tests.authority import Authority
from tests.radius_client import TIMEOUT_SECONDS, RadiusClient, Reply

SECRET = "radsec"
HEAD_OCTETS = 4


class Refused(Exception):
    """The server has ended the connection."""


class RadSecNas(RadiusClient):
    def __init__(
        self,
        port: int,
        authority: Authority | None,
        name: str,
        trusts: Authority | None = None,
        version: ssl.TLSVersion | None = None,
    ):
        """`authority` has issued the certificate `name`; None: the NAS shows none.  `trusts` has issued the server's."""
        super().__init__(port, port, SECRET)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str((trusts or authority).path))
        if authority:
            context.load_cert_chain(authority.folder / f"{name}.pem", authority.folder / f"{name}.key")
        if version:
            context.minimum_version = context.maximum_version = version
        self._context = context
        self._connection: ssl.SSLSocket | None = None

    def __enter__(self) -> "RadSecNas":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def status_server(self) -> Reply | None:
        """Ask whether the server lives (RFC 5997)."""
        request = self._packet(codec.AuthPacket, codec.StatusServer)
        request.authenticator = request.CreateAuthenticator()
        request.add_message_authenticator()
        return self._exchange(request, self.auth_port, self.host, TIMEOUT_SECONDS)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _exchange(self, request, port: int, source: str, timeout_seconds: float) -> Reply | None:
        """Raises Refused if the server does not accept the connection, or has ended it."""
        data = request.RequestPacket()
        sent_at = time.monotonic()
        try:
            answer = self._ask(data, port, timeout_seconds)
        except TimeoutError:
            return None
        except (ssl.SSLError, ConnectionError) as fault:
            self.close()
            raise Refused(str(fault)) from fault
        reply = request.CreateReply(packet=answer)
        assert request.VerifyReply(reply, answer), (reply.code, [(n, reply[n]) for n in reply.keys()], answer)
        return Reply(reply.code, {name: reply[name] for name in reply.keys()}, time.monotonic() - sent_at)

    def _ask(self, data: bytes, port: int, timeout_seconds: float) -> bytes:
        if self._connection is None:
            plain = socket.create_connection((self.host, port), timeout_seconds)
            with contextlib.ExitStack() as on_fault:
                on_fault.callback(plain.close)
                self._connection = self._context.wrap_socket(plain)
                on_fault.pop_all()
        self._connection.settimeout(timeout_seconds)
        self._connection.sendall(data)
        head = self._read(HEAD_OCTETS)
        return head + self._read(int.from_bytes(head[2:4], "big") - HEAD_OCTETS)

    def _read(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self._connection.recv(count - len(found))
            if not part:
                raise ConnectionResetError("the server has ended the connection")
            found += part
        return found
