"""Whose usage a packet reports: what survives of a session's identity, and how it is read.

A session is one accepted login: a card and the number of that login.  The Access-Accept says so in
a Class attribute, which a NAS is to send back unchanged in accounting (RFC 2865, 5.25).  It holds

    prepaid:CARD:LOGIN:SECONDS:TOKEN:HASH:SERIAL

card id, login number, time of the login (seconds since 1970), a random number that is on the login's row too (after a
restore of the database the number of a login may be another login's), a keyed hash over these, so that a Class of another
installation is nobody's, and one over these and the serial: it tells whether the packet's User-Name is the card's.
With EAP it may not be: there it is the customer's own word ("anonymous", or another card's serial).  So a Class that fits
the packet decides, see ``fits``; only if it does not, as one that a NAS returns long after its session, a User-Name that is
another card's wins over it.

A packet without our Class is matched with the card's sessions by ``identify``.
"""

import functools
import hashlib
from typing import NamedTuple

PREFIX = b"prepaid:"
HASH_SIZE = 8

# A NAS counts whole seconds from a moment shortly after our Accept.
START_TOLERANCE_SECONDS = 10.0
# Two packets that put a session's start this close to each other speak of one session.
SAME_START_SECONDS = 30.0


class Claim(NamedTuple):
    """What a Class says, once its hash is proved."""

    card_id: int
    login_number: int
    login_epoch: int
    token: int = 0
    is_named: bool = True  # the packet's User-Name is the card's serial


class Candidate(NamedTuple):
    """A session of the card that a packet without Class may belong to.  Ages in seconds before now."""

    login_number: int
    nas_id: int
    acct_session_id: str  # '' is a login whose accounting has not begun
    device: str
    is_open: bool
    is_stopped: bool
    login_age: float | None
    start_age: float | None
    heard_age: float | None
    used_seconds: int


def make_class(claim: Claim, serial: str, key: bytes) -> str:
    """The Class attribute for an Accept, as FreeRADIUS takes octets.

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
    """Our claim among the Class attributes of a packet (there may be others')."""
    for value in values:
        if claim := _claim_of(value, serial, key):
            return claim
    return None


@functools.lru_cache(16_384)  # A Class is in each of its session's packets.
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


class Sign(NamedTuple):
    """What a packet says of its session."""

    acct_session_id: str
    nas_id: int
    device: str
    kind: str  # Start, Interim-Update, Stop
    age_seconds: float  # of the packet
    seconds: int | None  # Acct-Session-Time
    claimed: int | None = None  # the login that its Class names

    @property
    def start_age(self) -> float:
        """How long ago the session began."""
        return self.age_seconds + (self.seconds or 0)


def fits(sign: Sign, session: Candidate) -> bool:
    """Whether the login that a packet's Class names can be the packet's, although its User-Name is another's.

    It was on this NAS, with this device where both are known, and no other session of the NAS has come of it.

    >>> login = Candidate(3, 2, "", "02-00-5E-10-00-01", True, False, 60.0, None, None, 0)
    >>> packet = Sign("8001", 2, "02-00-5E-10-00-01", "Stop", 0.0, 55, 3)
    >>> fits(packet, login), fits(packet, login._replace(acct_session_id="8001"))
    (True, True)
    >>> fits(packet, login._replace(acct_session_id="7999")), fits(packet, login._replace(nas_id=3))
    (False, False)
    """
    return (
        session.nas_id == sign.nas_id
        and (not sign.device or not session.device or session.device == sign.device)
        and (
            session.acct_session_id == sign.acct_session_id
            or (session.acct_session_id == "" and _may_begin(sign, session))
        )
    )


def identify(sign: Sign, candidates: list[Candidate]) -> int | None:
    """Which of a card's sessions a packet belongs to, where its Class alone does not say; None: a new one.

    1. The login that its Class names; but if a session with this Acct-Session-Id began when the packet's did,
       before that login, it is that one: it went on through a new authentication.
    2. The newest session with this Acct-Session-Id on this NAS, unless the NAS has used the identifier again
       (RFC 2866, 5.5: it is unique only while the session lasts), see ``_is_used_again``.
    3. One of this device with this Acct-Session-Id on another NAS that began when the packet's did: a NAS whose address
       changed.  But not if a login on this NAS waits for its first packet that came just then.
    4. A login that waits for its first packet, of this device where both are known: on this NAS, the one that came
       when the packet's session began, else the newest; then on another.
    """
    known = sorted(one for one in candidates if one.acct_session_id == sign.acct_session_id)
    continued = [one for one in known if _began_together(sign, one) and _is_same_device(sign, one)]
    if sign.claimed is not None:
        earlier = [one for one in continued if one.login_number < sign.claimed]
        return earlier[-1].login_number if earlier else sign.claimed
    waiting = [
        one
        for one in sorted(candidates, key=lambda one: (_distance(sign, one), -one.login_number))
        if one.acct_session_id == "" and _may_begin(sign, one) and _is_same_device(sign, one)
    ]
    known_here = [one for one in known if one.nas_id == sign.nas_id]
    if known_here:
        for login in waiting:
            if login.nas_id == sign.nas_id and _is_used_again(sign, known_here[-1], login):
                return login.login_number
        return known_here[-1].login_number
    just_then = [
        one for one in waiting if one.nas_id == sign.nas_id and _distance(sign, one) <= START_TOLERANCE_SECONDS
    ]
    if continued and not just_then:
        return continued[-1].login_number
    waiting.sort(key=lambda login: (login.nas_id != sign.nas_id, not _could_have_begun(sign, login)))
    return waiting[0].login_number if waiting else None


def _may_begin(sign: Sign, login: Candidate) -> bool:
    """Whether a login waits for its first packet; one that took longer than a login waits is still the one that began then."""
    return login.is_open or _distance(sign, login) <= START_TOLERANCE_SECONDS


def _distance(sign: Sign, login: Candidate) -> float:
    """How far from this login the packet's session began, where it is near enough to say anything."""
    distance = abs(sign.start_age - login.login_age) if login.login_age is not None else START_TOLERANCE_SECONDS * 2
    return min(distance, START_TOLERANCE_SECONDS * 2)


def _could_have_begun(sign: Sign, login: Candidate) -> bool:
    """Whether the login came before the packet's session began: the better choice where several wait."""
    return login.login_age is not None and sign.start_age <= login.login_age + START_TOLERANCE_SECONDS


def _is_same_device(sign: Sign, candidate: Candidate) -> bool:
    """Whether both may be one device: they are not said to be two."""
    return not sign.device or not candidate.device or candidate.device == sign.device


def _began_together(sign: Sign, known: Candidate) -> bool:
    """Whether the packet's session began when this one did, as far as two clocks and whole seconds can tell."""
    return known.start_age is not None and abs(known.start_age - sign.start_age) <= SAME_START_SECONDS


def _is_used_again(sign: Sign, known: Candidate, login: Candidate) -> bool:
    """Whether a packet with a known session's identifier is the first of the session that a later login began.

    The login must have come after the known session was last heard of, and nearer to when the packet's session began: a Start
    that comes again is the known session's, whoever logs in meanwhile.  Then the packet tells: it is a Start; or
    its session began after the known one was last heard of; or it is a Stop, and the known one has had
    another.  Else it is a late packet of the known session, and adds nothing that was not used there.
    """
    if login.login_number < known.login_number or login.login_age is None:
        return False
    if known.heard_age is not None and login.login_age > known.heard_age:
        return False
    if known.start_age is not None and abs(sign.start_age - known.start_age) < abs(sign.start_age - login.login_age):
        return False
    return (
        sign.kind == "Start"
        or known.heard_age is None
        or sign.start_age <= min(login.login_age + START_TOLERANCE_SECONDS, known.heard_age)
        or (sign.kind == "Stop" and known.is_stopped and sign.seconds not in (None, known.used_seconds))
    )


def _hash(text: bytes, key: bytes) -> bytes:
    hashed = _keyed(key).copy()
    hashed.update(text)
    return hashed.hexdigest().encode()


@functools.lru_cache(8)  # A key is half the work, and always the same.
def _keyed(key: bytes) -> "hashlib._Hash":
    return hashlib.blake2b(key=key, digest_size=HASH_SIZE)
