"""The disconnect port of a NAS in tests: how it answers a request to end a session (RFC 5176).

    with DisconnectServer("127.0.0.9") as nas:
        nas.behaviour = nak(503)
        …
        assert nas.requests[0]["Acct-Session-Id"] == ["80a1"]

A request that a NAS would discard (wrong authenticator, old Event-Timestamp) fails the test when the server closes.
"""

import socket
import threading
import time

from pyrad import packet as codec

from admin.enforce.requests import dictionary

SECRET = b"testing123"


def ack(request) -> bytes | None:
    """Agree."""
    return _signed(request.CreateReply())


def nak(error_cause: int):
    """Refuse, with an Error-Cause."""

    def behaviour(request) -> bytes | None:
        reply = request.CreateReply()
        reply.code = codec.DisconnectNAK if request.code == codec.DisconnectRequest else codec.CoANAK
        reply.AddAttribute("Error-Cause", error_cause)
        return _signed(reply)

    return behaviour


def silence(request) -> bytes | None:
    """Do not answer."""
    return None


def in_turn(*behaviours):
    """One behaviour after the other; the last one for all later requests."""
    left = list(behaviours)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


def _signed(reply) -> bytes:
    reply.add_message_authenticator()
    return reply.ReplyPacket()


class DisconnectServer:
    """`on_request` is called after the answer was sent, for what the NAS does next, such as its Stop."""

    def __init__(self, address: str = "127.0.0.9", behaviour=ack, on_request=None):
        self.address = address
        self.behaviour = behaviour
        self.on_request = on_request
        self.requests: list[codec.CoAPacket] = []
        self.received_at: list[float] = []
        self.faults: list[str] = []
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, self.port))
        self._thread.join()
        self._socket.close()
        assert not self.faults, self.faults

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            try:
                self._answer(data, peer)
            except Exception as fault:  # Raised when the server closes, because here it would end only this thread.
                self.faults.append(repr(fault))

    def _answer(self, data: bytes, peer) -> None:
        request = codec.CoAPacket(packet=data, secret=SECRET, dict=dictionary())
        assert request.VerifyCoARequest(), "the Request Authenticator is wrong"
        assert request.message_authenticator and request.verify_message_authenticator(), "Message-Authenticator"
        assert abs(request["Event-Timestamp"][0] - time.time()) < 300, "Event-Timestamp"
        self.received_at.append(time.time())
        self.requests.append(request)
        answer = self.behaviour(request)
        if answer:
            self._socket.sendto(answer, peer)
        if self.on_request:
            self.on_request(request)
