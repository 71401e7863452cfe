"""Which session an accounting packet reports on.

A session is one accepted login: a card and the number of that login.  The Access-Accept names it in a Class attribute,
which a NAS should return unchanged in accounting (RFC 2865, 5.25):

    prepaid:CARD:LOGIN:SECONDS:TOKEN:HASH:NAMEHASH

CARD, LOGIN  card id and login number
SECONDS      time of the login, seconds since 1970
TOKEN        a random number that the login's row has, too.  After a restore of the database the same login number may
             belong to another login.
HASH         a keyed hash over these four, so that the Class of another installation is not accepted
NAMEHASH     a keyed hash over these four and the card's serial: it shows whether the packet's User-Name is the serial

With EAP the User-Name may be another one: it is the customer's own word ("anonymous", or the serial of another card).  So
a Class that fits the packet decides, see ``fits``.  If it does not fit (a NAS may return a Class long after its session),
a User-Name that is the serial of another card decides.

A packet without our Class is compared with the card's sessions, see ``identify``.
"""

import functools
import hashlib
from typing import NamedTuple

PREFIX = b"prepaid:"
HASH_SIZE = 8

# A NAS counts whole seconds, and begins shortly after our Accept.
START_TOLERANCE_SECONDS = 10.0
# Two packets whose sessions began this close to each other report on the same session.
SAME_START_SECONDS = 30.0


class Claim(NamedTuple):
    """The content of a Class whose hash is right."""

    card_id: int
    login_number: int
    login_epoch: int
    token: int = 0
    is_named: bool = True  # whether the packet's User-Name is the card's serial


class Candidate(NamedTuple):
    """A session of the card that a packet may belong to.  An age is in seconds before now."""

    login_number: int
    nas_id: int
    acct_session_id: str  # '': a login whose accounting has not begun
    device: str
    is_open: bool
    is_stopped: bool
    login_age: float | None
    start_age: float | None
    heard_age: float | None
    used_seconds: int


def make_class(claim: Claim, serial: str, key: bytes) -> str:
    """The value of Class for an Accept, in FreeRADIUS' notation for octets (0x…).

    >>> value = make_class(Claim(4711, 3, 1770000000, 99), "4000123", b"k" * 32)
    >>> read_class([value], "4000123", b"k" * 32)
    Claim(card_id=4711, login_number=3, login_epoch=1770000000, token=99, is_named=True)
    >>> read_class([value], "anonymous", b"k" * 32).is_named
    False
    >>> read_class([value], "4000123", b"another key".ljust(32)) is None
    True
    """
    body = b"%d:%d:%d:%d" % claim[:4]
    return "0x" + b":".join((PREFIX[:-1], body, _hash(body, key), _hash(body + serial.encode(), key))).hex()


def read_class(values: list[str], serial: str, key: bytes) -> Claim | None:
    """The claim of our Class among all Class attributes of a packet; None if none is ours.

    *serial* is the packet's User-Name, as a serial number.
    """
    for value in values:
        if claim := _claim_of(value, serial, key):
            return claim
    return None


@functools.lru_cache(16_384)  # Each packet of a session brings the same Class.
def _claim_of(value: str, serial: str, key: bytes) -> Claim | None:
    try:
        octets = bytes.fromhex(value[2:])
        if not octets.startswith(PREFIX):
            return None
        body, proof, name = octets[len(PREFIX) :].rsplit(b":", 2)
        if proof != _hash(body, key):
            return None
        card_id, login_number, login_epoch, token = map(int, body.split(b":"))
    except ValueError:
        return None
    is_named = name == _hash(body + serial.encode("utf-8", "surrogateescape"), key)
    return Claim(card_id, login_number, login_epoch, token, is_named)


class ReportedSession(NamedTuple):
    """A session as an accounting packet describes it."""

    acct_session_id: str
    nas_id: int
    device: str
    kind: str  # Start, Interim-Update, Stop
    age_seconds: float  # of the packet
    seconds: int | None  # Acct-Session-Time
    claimed: int | None = None  # the number of the login that its Class names

    @property
    def start_age(self) -> float:
        """How long ago the session began."""
        return self.age_seconds + (self.seconds or 0)


def fits(reported: ReportedSession, session: Candidate) -> bool:
    """Whether a packet can belong to the login that its Class names, although its User-Name is another card's.

    The login was on the same NAS, with the same device if both name one, and is not yet another session of the NAS.

    >>> login = Candidate(3, 2, "", "02-00-5E-10-00-01", True, False, 60.0, None, None, 0)
    >>> packet = ReportedSession("8001", 2, "02-00-5E-10-00-01", "Stop", 0.0, 55, 3)
    >>> fits(packet, login), fits(packet, login._replace(acct_session_id="8001"))
    (True, True)
    >>> fits(packet, login._replace(acct_session_id="7999")), fits(packet, login._replace(nas_id=3))
    (False, False)
    """
    return (
        session.nas_id == reported.nas_id
        and (not reported.device or not session.device or session.device == reported.device)
        and (
            session.acct_session_id == reported.acct_session_id
            or (session.acct_session_id == "" and _may_begin(reported, session))
        )
    )


def identify(reported: ReportedSession, candidates: list[Candidate]) -> int | None:
    """The login number of the session that a packet belongs to; None: a session that the card does not have yet.

    *candidates* are the card's sessions.  The first rule that finds one decides:

    1. The login that the Class names.  But if that login has no packet with this Acct-Session-Id yet, a session with it that
       began at the same time as the packet's, before that login, is the right one: it continued through a new
       authentication.  Not if it is on another NAS, and the login was here when the packet's session began.
    2. The newest session with this Acct-Session-Id on this NAS, unless the NAS has used the identifier again
       (RFC 2866, 5.5: it is unique only while the session lasts), see ``_is_used_again``.
    3. A session of this device with this Acct-Session-Id on another NAS, which began at the same time as the packet's: the
       address of the NAS changed.  But not if a login at that time on this NAS still waits for its first packet.
    4. A login that waits for its first packet, of the same device if both name one.  On this NAS: the login at the time when
       the packet's session began, else the newest.  Then on another NAS.
    """
    known = sorted(one for one in candidates if one.acct_session_id == reported.acct_session_id)
    continued = [one for one in known if _began_together(reported, one) and _is_same_device(reported, one)]
    waiting = [
        one
        for one in sorted(candidates, key=lambda one: (_distance(reported, one), -one.login_number))
        if one.acct_session_id == "" and _may_begin(reported, one) and _is_same_device(reported, one)
    ]
    just_then = [
        one for one in waiting if one.nas_id == reported.nas_id and _distance(reported, one) <= START_TOLERANCE_SECONDS
    ]
    if reported.claimed is not None:
        if any(one.login_number == reported.claimed for one in known):
            return reported.claimed
        began_here = any(one.login_number == reported.claimed for one in just_then)
        earlier = [
            one
            for one in continued
            if one.login_number < reported.claimed and not (began_here and one.nas_id != reported.nas_id)
        ]
        return earlier[-1].login_number if earlier else reported.claimed
    known_here = [one for one in known if one.nas_id == reported.nas_id]
    if known_here:
        for login in waiting:
            if login.nas_id == reported.nas_id and _is_used_again(reported, known_here[-1], login):
                return login.login_number
        return known_here[-1].login_number
    if continued and not just_then:
        return continued[-1].login_number
    waiting.sort(key=lambda login: (login.nas_id != reported.nas_id, not _could_have_begun(reported, login)))
    return waiting[0].login_number if waiting else None


def _may_begin(reported: ReportedSession, login: Candidate) -> bool:
    """Whether a packet can be the first of a login: the login is open, or came when the packet's session began."""
    return login.is_open or _distance(reported, login) <= START_TOLERANCE_SECONDS


def _distance(reported: ReportedSession, login: Candidate) -> float:
    """The seconds between a login and the start of the packet's session, up to the limit beyond which they mean nothing."""
    distance = abs(reported.start_age - login.login_age) if login.login_age is not None else START_TOLERANCE_SECONDS * 2
    return min(distance, START_TOLERANCE_SECONDS * 2)


def _could_have_begun(reported: ReportedSession, login: Candidate) -> bool:
    """Whether the login came before the packet's session began.  Of several logins that wait, such a one is preferred."""
    return login.login_age is not None and reported.start_age <= login.login_age + START_TOLERANCE_SECONDS


def _is_same_device(reported: ReportedSession, candidate: Candidate) -> bool:
    """Whether both may be one device: they do not name two different ones."""
    return not reported.device or not candidate.device or candidate.device == reported.device


def _began_together(reported: ReportedSession, known: Candidate) -> bool:
    """Whether both sessions began at the same time, within the precision of two clocks and whole seconds."""
    return known.start_age is not None and abs(known.start_age - reported.start_age) <= SAME_START_SECONDS


def _is_used_again(reported: ReportedSession, known: Candidate, login: Candidate) -> bool:
    """Whether a packet belongs to a later login, although a known session has the same identifier.

    The login must have come after the last packet of the known session, and be nearer to the start of the packet's session:
    a repeated Start belongs to the known session, whoever logs in meanwhile.  Then one of these must hold: the packet is a
    Start; its session began after the last packet of the known session; it is a Stop, and the known session had a different
    Stop.  Otherwise it is a late packet of the known session, and adds nothing that was not used there.
    """
    if login.login_number < known.login_number or login.login_age is None:
        return False
    if known.heard_age is not None and login.login_age > known.heard_age:
        return False
    if known.start_age is not None and abs(reported.start_age - known.start_age) < abs(
        reported.start_age - login.login_age
    ):
        return False
    return (
        reported.kind == "Start"
        or known.heard_age is None
        or reported.start_age <= min(login.login_age + START_TOLERANCE_SECONDS, known.heard_age)
        or (reported.kind == "Stop" and known.is_stopped and reported.seconds not in (None, known.used_seconds))
    )


def _hash(text: bytes, key: bytes) -> bytes:
    hashed = _keyed(key).copy()
    hashed.update(text)
    return hashed.hexdigest().encode()


@functools.lru_cache(8)  # Taking in the key is half the work of a hash, and the key is always the same.
def _keyed(key: bytes) -> "hashlib.blake2b":
    return hashlib.blake2b(key=key, digest_size=HASH_SIZE)
