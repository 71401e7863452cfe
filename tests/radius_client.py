"""A NAS for tests: it sends what a NAS sends, and checks and reads the answer as a NAS does.

    accept = radius.login("7000000001", "0123456789")
    assert accept.is_accept and accept["Session-Timeout"] == 600
    session = radius.session("7000000001", accept)
    radius.start(session)
    radius.stop(session, seconds=120, down_octets=5 * 2**32, up_octets=1000)

An answer is a `Reply`; no answer within the time-out is None.  An answer that a NAS would discard (wrong authenticator,
no Message-Authenticator on an Accept or Reject) fails the test at once.
"""

import dataclasses
import hashlib
import logging
import secrets
import socket
import time
import uuid
from functools import cache
from pathlib import Path

from pyrad import packet as codec
from pyrad.dictionary import Dictionary

from tests import mschap

DICTIONARIES = Path("/usr/share/freeradius")
OUR_DICTIONARY = Path(__file__).resolve().parents[1] / "raddb-config" / "dictionary.prepaid"
DICTIONARIES_READ = [
    "rfc2865",
    "rfc2866",
    "rfc2868",
    "rfc2869",
    "rfc3162",
    "rfc4818",
    "rfc6911",
    "wispr",
    "chillispot",
    "mikrotik",
    "microsoft",
    "cisco",
    "huawei",
    "erx",
    "pfsense",
]

# The secret of the NAS 'loopback', which every stack has.
SECRET = "testing123"

# Long enough for a busy machine; a test that expects no answer passes less.
TIMEOUT_SECONDS = 10

OCTETS_OF_A_GIGAWORD = 2**32


@dataclasses.dataclass(frozen=True)
class Reply:
    code: int
    # Every attribute by its name (by its number if no dictionary has it), with all its values, in order.
    attributes: dict
    waited_seconds: float

    @property
    def is_accept(self) -> bool:
        return self.code == codec.AccessAccept

    @property
    def is_reject(self) -> bool:
        return self.code == codec.AccessReject

    @property
    def is_acknowledged(self) -> bool:
        return self.code == codec.AccountingResponse

    def __getitem__(self, name: str):
        """The value of an attribute that must not occur twice; None if it does not occur."""
        values = self.attributes.get(name, [])
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def __contains__(self, name: str) -> bool:
        return name in self.attributes


@dataclasses.dataclass
class Session:
    """A session as its NAS knows it."""

    user_name: str | bytes
    session_id: str
    nas_ip: str = "127.0.0.1"
    calling_station_id: str = "02-00-00-00-00-01"
    framed_ip: str | None = None
    # The values of Class that came with the Accept; empty for a NAS that does not echo them.
    class_values: list = dataclasses.field(default_factory=list)
    # Other attributes that this NAS adds to each report.
    attributes: dict = dataclasses.field(default_factory=dict)


class RadiusClient:
    def __init__(
        self,
        auth_port: int,
        acct_port: int,
        secret: str = SECRET,
        host: str = "127.0.0.1",
        needs_signature: bool = True,
    ):
        """`needs_signature`: an answer without Message-Authenticator is thrown away, as a careful NAS does."""
        self.needs_signature = needs_signature
        self.host = host
        self.auth_port = auth_port
        self.acct_port = acct_port
        self.secret = secret.encode()

    # --- Logins ----------------------------------------------------------------------------------------

    def login(
        self,
        user_name: str | bytes,
        password: str,
        *,
        method: str = "pap",
        nas_ip: str = "127.0.0.1",
        calling_station_id: str | None = "02-00-00-00-00-01",
        attributes: dict | None = None,
        message_authenticator: bool = True,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Reply | None:
        """Send a login; method is pap, chap, mschap (version 1) or mschap2.

        `nas_ip` is also the source address; all of 127.0.0.0/8 is this machine.
        """
        request = self._packet(codec.AuthPacket, codec.AccessRequest)
        request.authenticator = request.CreateAuthenticator()
        self._set(
            request,
            {"User-Name": user_name, "NAS-IP-Address": nas_ip, "NAS-Port": 1, "Calling-Station-Id": calling_station_id},
        )
        proof = {"pap": self._pap, "chap": self._chap, "mschap": self._mschap, "mschap2": self._mschap2}[method]
        check_reply = proof(request, user_name, password)
        self._set(request, attributes or {})
        if message_authenticator:
            request.add_message_authenticator()
        reply = self._exchange(request, self.auth_port, nas_ip, timeout_seconds)
        if reply and reply.is_accept and check_reply:
            check_reply(reply)
        return reply

    def _pap(self, request, user_name, password):
        request["User-Password"] = request.PwCrypt(password)

    def _chap(self, request, user_name, password):
        challenge, identifier = secrets.token_bytes(16), secrets.token_bytes(1)
        digest = hashlib.md5(identifier + password.encode() + challenge).digest()
        self._set(request, {"CHAP-Challenge": challenge, "CHAP-Password": identifier + digest})

    def _mschap(self, request, user_name, password):
        challenge = secrets.token_bytes(8)
        self._set(request, {"MS-CHAP-Challenge": challenge, "MS-CHAP-Response": mschap.response_1(password, challenge)})

    def _mschap2(self, request, user_name, password):
        name = user_name if isinstance(user_name, bytes) else user_name.encode()
        challenge, peer_challenge = secrets.token_bytes(16), secrets.token_bytes(16)
        self._set(
            request,
            {
                "MS-CHAP-Challenge": challenge,
                "MS-CHAP2-Response": mschap.response_2(name, password, challenge, peer_challenge),
            },
        )
        expected = mschap.authenticator_response(name, password, challenge, peer_challenge)

        def check(reply: Reply) -> None:
            # The server proves that it knows the password; a client refuses a server that cannot.
            assert bytes(reply["MS-CHAP2-Success"])[1:] == expected, "the server's own proof is wrong"

        return check

    # --- Accounting ------------------------------------------------------------------------------------

    def session(
        self,
        user_name: str | bytes,
        accept: Reply | None = None,
        *,
        echo_class: bool = True,
        session_id: str | None = None,
        **fields,
    ) -> Session:
        """A session, with the Class of `accept` if there is one."""
        class_values = list(accept.attributes.get("Class", [])) if accept and echo_class else []
        return Session(user_name, session_id or uuid.uuid4().hex[:16], class_values=class_values, **fields)

    def start(self, session: Session, **options) -> Reply | None:
        return self.report(session, "Start", **options)

    def interim(self, session: Session, seconds: int, **options) -> Reply | None:
        return self.report(session, "Interim-Update", seconds=seconds, **options)

    def stop(self, session: Session, seconds: int, **options) -> Reply | None:
        return self.report(session, "Stop", seconds=seconds, **options)

    def report(
        self, session: Session, status: str, *, timeout_seconds: float = TIMEOUT_SECONDS, **options
    ) -> Reply | None:
        request = self.build_report(session, status, **options)
        return self._exchange(request, self.acct_port, session.nas_ip, timeout_seconds)

    def build_report(
        self,
        session: Session,
        status: str,
        *,
        seconds: int | None = None,
        down_octets: int | None = None,
        up_octets: int | None = None,
        gigawords: bool = True,
        attributes: dict | None = None,
    ) -> codec.AcctPacket:
        """A report that is not sent yet: `send` it later, twice, or out of order.

        Octets are the customer's: down is what the customer received, which is the NAS' output.
        """
        request = self._packet(codec.AcctPacket, codec.AccountingRequest)
        self._set(
            request,
            {
                "User-Name": session.user_name,
                "Acct-Status-Type": status,
                "Acct-Session-Id": session.session_id,
                "NAS-IP-Address": session.nas_ip,
                "NAS-Port": 1,
                "Calling-Station-Id": session.calling_station_id,
                "Framed-IP-Address": session.framed_ip,
                "Class": session.class_values or None,
                "Acct-Session-Time": seconds,
                **_counter("Output", down_octets, gigawords),
                **_counter("Input", up_octets, gigawords),
                **session.attributes,
                **(attributes or {}),
            },
        )
        return request

    def nas_restarted(
        self, nas_ip: str = "127.0.0.1", status: str = "Accounting-On", timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Reply | None:
        """Send an Accounting-On (or -Off): the NAS lost, or will lose, all its sessions."""
        return self._exchange(self.build_nas_restart(nas_ip, status), self.acct_port, nas_ip, timeout_seconds)

    def build_nas_restart(
        self, nas_ip: str = "127.0.0.1", status: str = "Accounting-On", attributes: dict | None = None
    ) -> codec.AcctPacket:
        """An Accounting-On that is not sent yet: see `build_report`."""
        request = self._packet(codec.AcctPacket, codec.AccountingRequest)
        self._set(
            request,
            {
                "Acct-Status-Type": status,
                "NAS-IP-Address": nas_ip,
                "Acct-Session-Id": uuid.uuid4().hex[:16],
                **(attributes or {}),
            },
        )
        return request

    def send(
        self, report: codec.AcctPacket, *, nas_ip: str = "127.0.0.1", timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Reply | None:
        """Send a report of `build_report`; the bytes are the same each time, as in a retransmission."""
        return self._exchange(report, self.acct_port, nas_ip, timeout_seconds)

    def send_bytes(
        self, data: bytes, port: int, *, nas_ip: str = "127.0.0.1", timeout_seconds: float = TIMEOUT_SECONDS
    ) -> bytes | None:
        """Send arbitrary bytes, and do not wait for an answer."""
        with self._socket(nas_ip) as udp:
            udp.settimeout(timeout_seconds)
            udp.sendto(data, (self.host, port))
            try:
                return udp.recv(4096)
            except TimeoutError:
                return None

    # --- Packets and sockets ---------------------------------------------------------------------------

    def _packet(self, kind, code):
        return kind(code=code, secret=self.secret, dict=dictionary(), id=secrets.randbelow(256))

    @staticmethod
    def _set(request, attributes: dict) -> None:
        """Set attributes by name; None leaves one out, and a list makes several of one name."""
        for name, value in attributes.items():
            if value is None:
                continue
            for each in value if isinstance(value, list) else [value]:
                request.AddAttribute(name, each)

    def _exchange(self, request, port: int, source: str, timeout_seconds: float) -> Reply | None:
        data = request.RequestPacket()
        sent_at = time.monotonic()
        with self._socket(source) as udp:
            udp.settimeout(timeout_seconds)
            udp.sendto(data, (self.host, port))
            try:
                answer = udp.recv(4096)
            except TimeoutError:
                return None
        reply = request.CreateReply(packet=answer)
        must_be_signed = request.code == codec.AccessRequest and self.needs_signature
        assert request.VerifyReply(reply, answer, enforce_ma=must_be_signed), (
            "a NAS would throw this answer away: its authenticator or Message-Authenticator is missing or wrong"
        )
        # keys() decodes the names; iterating over the packet itself gives numbers.
        attributes = {name: reply[name] for name in reply.keys()}
        return Reply(reply.code, attributes, time.monotonic() - sent_at)

    @staticmethod
    def _socket(source: str) -> socket.socket:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((source, 0))
        return udp


def _counter(direction: str, octets: int | None, gigawords: bool) -> dict:
    """The one or two attributes of an octet counter.

    >>> _counter("Input", 2**32 + 5, gigawords=True)
    {'Acct-Input-Octets': 5, 'Acct-Input-Gigawords': 1}
    >>> _counter("Input", 2**32 + 5, gigawords=False)
    {'Acct-Input-Octets': 5}
    """
    if octets is None:
        return {}
    high, low = divmod(octets, OCTETS_OF_A_GIGAWORD)
    counter = {f"Acct-{direction}-Octets": low}
    if gigawords and high:
        counter[f"Acct-{direction}-Gigawords"] = high
    return counter


@cache
def dictionary() -> Dictionary:
    """FreeRADIUS' own dictionaries and ours; pyrad logs the few nested attributes that it leaves out."""
    logging.getLogger("pyrad").setLevel(logging.ERROR)
    names = [f"dictionary.{name}" for name in DICTIONARIES_READ]
    files = [*(DICTIONARIES / name for name in names), OUR_DICTIONARY]
    return Dictionary(*[str(path) for path in files if path.exists()])
