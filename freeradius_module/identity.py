"""Whose usage a packet reports: what survives of a session's identity, and how it is read.

A session is one accepted login: a card and the number of that login.  The Access-Accept says so in
a Class attribute, which a NAS is to send back unchanged in accounting (RFC 2865, 5.25).  It holds

    prepaid:CARD:LOGIN:SECONDS:HASH

card id, login number, time of the login (seconds since 1970) and a keyed hash over these and the
serial, so that a Class of another installation, of a restored database or of another user is nobody's.

A packet without our Class is matched with the card's sessions by ``identify``.
"""

import hashlib
from typing import NamedTuple

PREFIX = b"prepaid:"
HASH_SIZE = 9

# A NAS counts whole seconds from a moment shortly after our Accept.
START_TOLERANCE_SECONDS = 10.0


class Claim(NamedTuple):
    """What a Class says, once its hash is proved."""

    card_id: int
    login_number: int
    login_epoch: int


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

    >>> value = make_class(Claim(4711, 3, 1770000000), "4000123", b"k" * 32)
    >>> read_class([value], "4000123", b"k" * 32)
    Claim(card_id=4711, login_number=3, login_epoch=1770000000)
    >>> read_class([value], "4000124", b"k" * 32) is None
    True
    """
    body = b"%d:%d:%d" % claim
    return "0x" + (PREFIX + body + b":" + _hash(body, serial, key)).hex()


def read_class(values: list[str], serial: str, key: bytes) -> Claim | None:
    """Our claim among the Class attributes of a packet (there may be others'), if it is true of this user."""
    for value in values:
        try:
            octets = bytes.fromhex(value[2:])
            if not octets.startswith(PREFIX):
                continue
            body, _, proof = octets[len(PREFIX) :].rpartition(b":")
            if proof == _hash(body, serial, key):
                return Claim(*map(int, body.split(b":")))
        except ValueError:
            continue
    return None


def identify(
    acct_session_id: str, nas_id: int, device: str, is_start: bool, start_age: float, candidates: list[Candidate]
) -> int | None:
    """Which of a card's sessions a packet without our Class belongs to; None: one that we have not seen.

    *start_age* is how long ago the session began, by the packet: its age plus its Acct-Session-Time.

    1. The newest session with this Acct-Session-Id is it, unless the NAS has used the identifier again
       (RFC 2866, 5.5: it is unique only while the session lasts).  It has, if a login is still waiting for its
       first packet that came after that session was last heard of, and the packet's session began
       with that login, not before it.  A late packet of the old session began before it.
    2. Otherwise a waiting login on this NAS, of this device where both are known, the newest first;
       then one on another NAS (a NAS that changed its address in between).
    """
    waiting = [
        candidate
        for candidate in sorted(candidates, reverse=True)
        if candidate.acct_session_id == ""
        and candidate.is_open
        and candidate.login_age is not None
        and start_age <= candidate.login_age + START_TOLERANCE_SECONDS
        and (not device or not candidate.device or candidate.device == device)
    ]
    known = [candidate for candidate in sorted(candidates) if candidate.acct_session_id == acct_session_id]
    if known:
        newest = known[-1]
        for login in waiting:
            came_after = newest.heard_age is None or login.login_age <= newest.heard_age
            if login.nas_id == nas_id and login.login_number > newest.login_number and came_after:
                if _is_new(is_start, start_age, newest):
                    return login.login_number
        return newest.login_number
    for login in sorted(waiting, key=lambda login: login.nas_id != nas_id):
        return login.login_number
    return None


def _is_new(is_start: bool, start_age: float, known: Candidate) -> bool:
    """Whether a packet's session began after the known one was last heard of, or says that it begins."""
    return is_start or known.heard_age is None or start_age <= known.heard_age + START_TOLERANCE_SECONDS


def _hash(body: bytes, serial: str, key: bytes) -> bytes:
    return (
        hashlib.blake2b(body + b"\0" + serial.encode("utf-8", "surrogateescape"), key=key, digest_size=HASH_SIZE)
        .hexdigest()
        .encode()
    )
