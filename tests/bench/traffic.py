"""The customers' sessions, and the order in which their packets reach the server.

A session is a chain of packets: perhaps a login, a Start, ten interims and a Stop, as at a provider.  Many sessions are
open at once, each at another place of its chain.
"""

import os
import socket
import struct
from typing import NamedTuple

from . import packet
from .cards import card

INTERIMS = 10
DOWN_OCTETS_AN_INTERIM = 450_000_000  # a session passes 2^32, so Gigawords are in use
UP_OCTETS_AN_INTERIM = 30_000_000

LOGIN = "login"
LAST = INTERIMS + 1
CLOCK = struct.Struct("!BBIBBI")
FULL = [LOGIN, *range(LAST + 1)]  # a login, then the reports by their stage: 0 is the Start, LAST the Stop


class Kind(NamedTuple):
    """The measured part of a chain; the steps before and after it are sent too, without being measured."""

    chain: list
    before: int
    measured: int


KINDS = {
    # A Stop follows each login, so that no session is open in the next round.
    "login": Kind([LOGIN, LAST], before=0, measured=1),
    # A session logs in first, so that its reports carry the Class that the server gave it.
    "accounting": Kind(FULL, before=1, measured=LAST + 1),
    "mixed": Kind(FULL, before=0, measured=LAST + 2),
}


class Session:
    """One customer's session, and the position in its chain."""

    __slots__ = ("card_number", "steps", "began", "position", "is_busy", "waiting", "accept", "is_refused", "_classes")

    def __init__(self, card_number: int, steps: list, began: float):
        self.card_number = card_number
        self.began = began  # when it was let in, in seconds since 1970
        self.steps = steps  # (authenticator or None for accounting, attributes)
        self.position = 0
        self.is_busy = False  # its last packet has no answer yet
        self.waiting = []  # when the packets behind it were due
        self.accept = b""  # the answer to its login
        self.is_refused = False
        self._classes = None

    def classes(self) -> bytes:
        """The Class attributes of the Accept, to be returned as they came."""
        if self._classes is None:
            found = packet.find_attributes(self.accept, packet.CLASS)
            self._classes = b"".join(packet.attribute(packet.CLASS, value) for value in found)
        return self._classes

    def clock(self, now: float) -> bytes:
        """The times in a report: Event-Timestamp and Acct-Session-Time (RFC 2869, 5.3; RFC 2866, 5.7).

        A session of the bench lasts a second or two, and it reports that time: a report of more time than has passed
        since the login would belong to another session.
        """
        return CLOCK.pack(
            packet.EVENT_TIMESTAMP, 6, int(now), packet.ACCT_SESSION_TIME, 6, max(int(now - self.began), 0)
        )


def interleave(session_count: int, steps_each: int) -> list[int]:
    """The order in which sessions send their packets: one session number for each packet.

    Sessions begin one after the other, and each sends its next packet after some others have begun, so that all stages of
    a session are present at any time, except near the first and the last session.

    >>> interleave(4, 3)
    [0, 1, 0, 2, 1, 0, 3, 2, 1, 3, 2, 3]
    """
    gap = max(1, session_count // 48)
    return [
        number
        for _, _, number in sorted(
            (number + step * gap, step, number) for number in range(session_count) for step in range(steps_each)
        )
    ]


def sessions(kind: str, card_numbers: list[int], secret: packet.Secret, run: str, now: float) -> list[Session]:
    """Sessions of these cards, with every packet prepared as far as possible."""
    made = []
    for count, number in enumerate(card_numbers):
        session_id = f"{run}{count:06x}"
        steps = []
        for stage in KINDS[kind].chain:
            if stage == LOGIN:
                authenticator = os.urandom(16)
                steps.append((authenticator, login_attributes(number, session_id, authenticator, secret)))
            else:
                steps.append((None, accounting_attributes(number, session_id, stage)))
        made.append(Session(number, steps, now))
    return made


def login_attributes(number: int, session_id: str, authenticator: bytes, secret: packet.Secret) -> bytes:
    """The attributes that a hotspot's NAS sends for a login with PAP."""
    return place_attributes(number, session_id) + packet.attribute(
        packet.USER_PASSWORD, secret.hide(card(number).pin.encode(), authenticator)
    )


def accounting_attributes(number: int, session_id: str, stage: int) -> bytes:
    """The report of that stage without its times: 0 is the Start, LAST is the Stop, between them are interims."""
    status = {0: packet.START, LAST: packet.STOP}.get(stage, packet.INTERIM)
    made = place_attributes(number, session_id) + b"".join(
        (
            packet.integer(packet.ACCT_STATUS_TYPE, status),
            packet.integer(packet.ACCT_DELAY_TIME, 0),
            packet.integer(packet.ACCT_AUTHENTIC, 1),
            packet.attribute(packet.FRAMED_IP_ADDRESS, socket.inet_aton(card(number).address)),
        )
    )
    if status != packet.START:
        made += packet.counter(packet.ACCT_INPUT_OCTETS, packet.ACCT_INPUT_GIGAWORDS, stage * UP_OCTETS_AN_INTERIM)
        made += packet.counter(packet.ACCT_OUTPUT_OCTETS, packet.ACCT_OUTPUT_GIGAWORDS, stage * DOWN_OCTETS_AN_INTERIM)
    if status == packet.STOP:
        made += packet.integer(packet.ACCT_TERMINATE_CAUSE, 1)
    return made


def place_attributes(number: int, session_id: str) -> bytes:
    """The attributes of customer and NAS, which are the same in every packet of a session."""
    owner = card(number)
    return b"".join(
        (
            packet.text(packet.USER_NAME, owner.serial),
            packet.attribute(packet.NAS_IP_ADDRESS, bytes((127, 0, 0, 1))),
            packet.text(packet.NAS_IDENTIFIER, "bench"),
            packet.integer(packet.NAS_PORT, number),
            packet.integer(packet.NAS_PORT_TYPE, 19),
            packet.integer(packet.SERVICE_TYPE, 2),
            packet.integer(packet.FRAMED_PROTOCOL, 1),
            packet.text(packet.CALLED_STATION_ID, "hotspot1"),
            packet.text(packet.CALLING_STATION_ID, owner.device),
            packet.text(packet.ACCT_SESSION_ID, session_id),
        )
    )
