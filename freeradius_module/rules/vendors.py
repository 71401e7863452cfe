"""The RADIUS attributes of each vendor for a speed, a volume and a session.

Four functions build attributes:

    terms_attributes         what the product fixes for each of its logins (built once, then kept)
    limit_attributes         what this one login may use (built at each login)
    speed_change_attributes  the new speed of a running session, for a CoA-Request
    disconnect_attributes    what names a session in a Disconnect-Request or CoA-Request

They read three tables, SPEED, VOLUME and IDENTITY, which are best compared with the vendor's manual.  docs/vendors.md
explains the same to the person who sets up the NAS, with the source of each line.

To add a vendor: a row in each table, its name in the column nas.vendor of sql/schema.sql, a section in docs/vendors.md.
Tests find what was forgotten; the command reads the names from here.

*Down* is towards the customer, *up* is from the customer.  A NAS sees it from its own side: its input, receive, rx, in and
ingress are the customer's up; its output, xmit, tx, out and egress are the customer's down.

An attribute is (name, operator, value), each exactly a str.  FreeRADIUS drops an attribute with another type, and wraps a
number beyond 32 bits, without an error.

>>> limit_attributes("mikrotik", Limits(session_seconds=3600, octets=5 * 2**30))
... # doctest: +NORMALIZE_WHITESPACE
(('Session-Timeout', ':=', '3600'),
 ('Mikrotik-Total-Limit', ':=', '1073741824'),
 ('Mikrotik-Total-Limit-Gigawords', ':=', '1'))
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from ..sentence import Sentence
from .units import Octets, Seconds
from .usage import WORD, WORD_MAX

Attribute = tuple[str, str, str]


class Limits(NamedTuple):
    """What one login is granted.  None: no limit.  0 is not allowed: a login with nothing left is refused."""

    session_seconds: Seconds
    octets: Octets | None = None
    down_octets: Octets | None = None
    up_octets: Octets | None = None


class Terms(NamedTuple):
    """What the product fixes for each of its logins.

    *extra* are the product's own reply attributes.  *reduced*: the speeds are those of a card beyond its fair use, so a
    speed among the extras (a burst, for example) is left out.
    """

    speed_down_kbit: int | None = None
    speed_up_kbit: int | None = None
    idle_seconds: int | None = None
    interim_seconds: int = 300
    extra: tuple[Attribute, ...] = ()
    reduced: bool = False


class SessionIdentity(NamedTuple):
    """How the NAS itself has named a session; None: the NAS did not send it."""

    user_name: str | None = None
    acct_session_id: str | None = None
    nas_ip_address: str | None = None
    framed_ip_address: str | None = None
    calling_station_id: str | None = None
    nas_port: int | str | None = None


def terms_attributes(vendor: str, terms: Terms) -> tuple[Attribute, ...]:
    """What every login of a product gets on this vendor's NAS, whatever is left on the card.

    >>> terms_attributes("mikrotik", Terms(speed_down_kbit=10240, speed_up_kbit=2048))
    (('Acct-Interim-Interval', ':=', '300'), ('Mikrotik-Rate-Limit', ':=', '2048k/10240k'))

    An extra that sets (:=) an attribute of ours replaces it, for example with a burst:

    >>> burst = ("Mikrotik-Rate-Limit", ":=", "2048k/10240k 4096k/20480k 1536k/7680k 16/16")
    >>> terms_attributes("mikrotik", Terms(10240, 2048, extra=(burst,)))[1:] == (burst,)
    True

    An extra cannot lengthen what a login was granted:

    >>> terms_attributes("generic", Terms(extra=(("Session-Timeout", ":=", "0"),)))
    Traceback (most recent call last):
    ValueError: Session-Timeout is set at each login and cannot be a reply attribute of a product.
    """
    for attribute in terms.extra:
        check_extra(attribute)
    extra = terms.extra
    if terms.reduced:
        extra = tuple(attribute for attribute in extra if not _is_speed(attribute))
    replaced = {_key(name) for name, operator, _ in extra if operator == ":="}

    ours = [("Acct-Interim-Interval", ":=", _word(terms.interim_seconds, "interim_seconds"))]
    if terms.idle_seconds is not None:
        ours.append(("Idle-Timeout", ":=", _word(terms.idle_seconds, "idle_seconds")))
    ours.extend(_speed_attributes(vendor, terms.speed_down_kbit, terms.speed_up_kbit))
    return tuple(attribute for attribute in ours if _key(attribute[0]) not in replaced) + extra


def limit_attributes(vendor: str, limits: Limits) -> tuple[Attribute, ...]:
    """What this login may use, in the attributes of this vendor's NAS.

    A NAS that cannot count a volume gets the time limit only; `prepaid enforce` disconnects the session at its volume.

    >>> limit_attributes("generic", Limits(3600, octets=10_000_000))
    (('Session-Timeout', ':=', '3600'),)

    ValueError if nothing is left, because such a login must have been refused before:

    >>> limit_attributes("mikrotik", Limits(3600, octets=0))
    Traceback (most recent call last):
    ValueError: octets is 0, but it must be a whole number from 1 on: many NAS read 0 as no limit.
    """
    attributes = [("Session-Timeout", ":=", _word(limits.session_seconds, "session_seconds"))]
    if limits.octets is None and limits.down_octets is None and limits.up_octets is None:
        return tuple(attributes)
    _require_positive(limits.octets, "octets")
    _require_positive(limits.down_octets, "down_octets")
    _require_positive(limits.up_octets, "up_octets")
    for low_name, high_name, measure in _of(VOLUME, vendor):
        amount = measure(limits)
        if amount is None:
            continue
        if high_name is None:
            attributes.append((low_name, ":=", one_word(amount)))
            continue
        low, high = two_words(amount)
        attributes.append((low_name, ":=", low))
        if high != "0":
            attributes.append((high_name, ":=", high))
    return tuple(attributes)


def speed_change_attributes(
    vendor: str, speed_down_kbit: int | None, speed_up_kbit: int | None
) -> tuple[Attribute, ...]:
    """The attributes of a CoA-Request that changes the speed of a running session; () if the NAS cannot change it.

    >>> speed_change_attributes("chilli", 512, None)
    (('WISPr-Bandwidth-Max-Down', ':=', '512000'), ('ChilliSpot-Bandwidth-Max-Down', ':=', '512'))
    >>> speed_change_attributes("pfsense", 512, 128)
    ()
    """
    if vendor in WITHOUT_SPEED_CHANGE:
        return ()
    return tuple(_speed_attributes(vendor, speed_down_kbit, speed_up_kbit))


def disconnect_attributes(vendor: str, session: SessionIdentity) -> tuple[Attribute, ...]:
    """The attributes that name a session to its NAS (RFC 5176, section 3).

    The NAS must match every attribute that it is given, so each vendor gets only what it needs.

    >>> session = SessionIdentity("1234567897", "80a00001", "192.0.2.1", "10.5.0.7", "AA-BB-CC-00-11-22", 7)
    >>> disconnect_attributes("juniper", session)
    (('User-Name', ':=', '1234567897'), ('Acct-Session-Id', ':=', '80a00001'))

    A card may have several sessions.  ValueError with a Sentence if the attributes would name all of them, or none:

    >>> disconnect_attributes("generic", SessionIdentity("1234567897"))
    Traceback (most recent call last):
    ValueError: A session of '1234567897' has no Acct-Session-Id, address or port, so nothing identifies it.
    """
    names = _of(IDENTITY, vendor)
    if session.acct_session_id is None:
        if session[3:] == (None, None, None):
            raise ValueError(
                Sentence(
                    "A session of {user_name!r} has no Acct-Session-Id, address or port, so nothing identifies it.",
                    user_name=session.user_name,
                )
            )
        names = _WITHOUT_SESSION_ID
    attributes = []
    for name in names:
        value = getattr(session, name.lower().replace("-", "_"))
        if value is None:
            continue
        if name == "NAS-IP-Address" and ":" in value:
            name = "NAS-IPv6-Address"
        attributes.append((name, ":=", str(value)))
    return tuple(attributes)


def check_extra(attribute: Attribute) -> None:
    """Refuse a product's reply attribute that would change what a login is granted: ValueError with a Sentence.

    Whether the name exists in FreeRADIUS' dictionaries is checked elsewhere, when the product is made.

    >>> check_extra(("Mikrotik-Group", ":=", "guests"))
    >>> check_extra(("Mikrotik-Group", "=", "guests"))
    Traceback (most recent call last):
    ValueError: Mikrotik-Group has the operator '='; a reply attribute is set with := or added with +=.
    """
    name, operator, value = attribute
    if not type(name) is type(operator) is type(value) is str:
        raise ValueError(
            Sentence("The reply attribute {attribute!r} has a part that is not a str.", attribute=attribute)
        )
    if operator not in (":=", "+="):
        raise ValueError(
            Sentence(
                "{name} has the operator {operator!r}; a reply attribute is set with := or added with +=.",
                name=name,
                operator=operator,
            )
        )
    if not _NAME.fullmatch(name):
        raise ValueError(Sentence("{name!r} is not the name of a reply attribute.", name=name))
    if _key(name) in RESERVED:
        raise ValueError(
            Sentence("{name} is set at each login and cannot be a reply attribute of a product.", name=name)
        )


# --- numbers -----------------------------------------------------------------------------------------


def two_words(octets: int) -> tuple[str, str]:
    """A volume as the low word and the gigawords of RFC 2869, where the low word is never 0.

    Some NAS read a low word of 0 as no limit, and an old NAS that does not know the gigawords reads the low word alone.  So
    a multiple of 4 GiB is sent as one octet less, which both read correctly.  That octet stays on the card.

    >>> two_words(5 * 2**30)
    ('1073741824', '1')
    >>> two_words(2**32)
    ('4294967295', '0')
    >>> two_words(2**33)
    ('4294967295', '1')
    """
    if octets % WORD == 0:
        octets -= 1
    octets = min(octets, WORD * WORD - 1)
    return str(octets % WORD), str(octets // WORD)


def one_word(amount: int) -> str:
    """A volume for a NAS that reads one word only.  For what is beyond it, the customer logs in again.

    The word with all bits set is not used, because Huawei reads it as no limit.

    >>> one_word(2_000_000), one_word(5 * 2**30)
    ('2000000', '4294967294')
    """
    return str(min(amount, WORD_MAX - 1))


def bits(kbit: int) -> str:
    """A speed in bit/s.  A speed beyond 32 bits (4.3 Gbit/s) becomes the largest 32-bit number.

    >>> bits(10_240), bits(10_000_000)
    ('10240000', '4294967295')
    """
    return str(min(kbit * 1000, WORD_MAX))


def rate_limit(down_kbit: int | None, up_kbit: int | None) -> str | None:
    """Mikrotik-Rate-Limit is rx/tx as the router sees it: the customer's upload comes first.

    One number alone would limit both directions, so a direction without a limit is written 0.

    >>> rate_limit(10240, 2048), rate_limit(10240, None)
    ('2048k/10240k', '0/10240k')
    """
    if down_kbit is None and up_kbit is None:
        return None
    return "/".join("0" if kbit is None else f"{kbit}k" for kbit in (up_kbit, down_kbit))


def either_way(limits: Limits) -> Octets | None:
    """The limit of the total, for a NAS that can only count both directions together.

    Limits on both directions limit the total by their sum.  A limit on one direction does not limit the total: sent as a
    total, it would disconnect a customer for traffic that the card does not count.

    >>> either_way(Limits(60, octets=700)), either_way(Limits(60, down_octets=500, up_octets=100))
    (700, 600)
    >>> either_way(Limits(60, down_octets=500))
    """
    both = None
    if limits.down_octets is not None and limits.up_octets is not None:
        both = Octets(limits.down_octets + limits.up_octets)
    if limits.octets is None or both is None:
        return both if limits.octets is None else limits.octets
    return min(limits.octets, both)


def either_way_kib(limits: Limits) -> int | None:
    """The same in KiB, rounded up, so that the last octets of a card do not become 0.

    >>> either_way_kib(Limits(60, octets=1)), either_way_kib(Limits(60, octets=2049))
    (1, 3)
    """
    octets = either_way(limits)
    return None if octets is None else -(-octets // 1024)


# --- the tables --------------------------------------------------------------------------------------


# Writes the value of an attribute from the speeds down and up in kbit/s, None where there is no limit.
_Speed = Callable[[int | None, int | None], str | None]
# The amount of an attribute, from the limits of a login.
_Volume = Callable[[Limits], int | None]


def _down(form: Callable[[int], str]) -> _Speed:
    return lambda down_kbit, up_kbit: None if down_kbit is None else form(down_kbit)


def _up(form: Callable[[int], str]) -> _Speed:
    return lambda down_kbit, up_kbit: None if up_kbit is None else form(up_kbit)


def _kbits(kbit: int) -> str:
    return str(min(kbit, WORD_MAX))


# WISPr 1.0 (Wi-Fi Alliance), appendix C: bit/s.
_WISPR = (("WISPr-Bandwidth-Max-Down", ":=", _down(bits)), ("WISPr-Bandwidth-Max-Up", ":=", _up(bits)))

# vendor: (attribute, operator, value made of the speeds)
SPEED: dict[str, tuple[tuple[str, str, _Speed], ...]] = {
    "generic": _WISPR,
    # MikroTik, Manual:RADIUS Client: "rx" is client upload; k is 1,000.  It takes precedence over WISPr.
    "mikrotik": (("Mikrotik-Rate-Limit", ":=", rate_limit),),
    # CoovaChilli, chilli-radius(5) and redir.c: kbit/s of 1,000.  chilli reads WISPr first, so these replace it.
    "chilli": (
        *_WISPR,
        ("ChilliSpot-Bandwidth-Max-Down", ":=", _down(_kbits)),
        ("ChilliSpot-Bandwidth-Max-Up", ":=", _up(_kbits)),
    ),
    # Cisco IOS, "Applying QoS Parameters Dynamically to Sessions": names of policy-maps on the router.
    "cisco": (
        ("Cisco-AVPair", "+=", _down("ip:sub-qos-policy-out=prepaid-down-{}k".format)),
        ("Cisco-AVPair", "+=", _up("ip:sub-qos-policy-in=prepaid-up-{}k".format)),
    ),
    # Huawei NetEngine, RADIUS+1.1 attributes 2 and 5: bit/s.
    "huawei": (("Huawei-Output-Average-Rate", ":=", _down(bits)), ("Huawei-Input-Average-Rate", ":=", _up(bits))),
    # Juniper, VSAs 26-11 and 26-10: names of policies (JunosE) or filters (Junos) on the router.
    "juniper": (
        ("ERX-Egress-Policy-Name", ":=", _down("prepaid-down-{}k".format)),
        ("ERX-Ingress-Policy-Name", ":=", _up("prepaid-up-{}k".format)),
    ),
    "ubiquiti": _WISPR,
    # pfSense, captiveportal.inc divides by 1,000 to get kbit/s: bit/s.
    "pfsense": (("pfSense-Bandwidth-Max-Down", ":=", _down(bits)), ("pfSense-Bandwidth-Max-Up", ":=", _up(bits))),
}

# The manuals of these vendors name no attribute that changes the speed of a running session.
WITHOUT_SPEED_CHANGE = frozenset({"ubiquiti", "pfsense"})

# vendor: (attribute of the low word, attribute of the gigawords or None, amount made of the limits)
VOLUME: dict[str, tuple[tuple[str, str | None, _Volume], ...]] = {
    "generic": (),
    # MikroTik, Manual:RADIUS Client: octets, total for the session; Recv is received from the customer.
    "mikrotik": (
        ("Mikrotik-Total-Limit", "Mikrotik-Total-Limit-Gigawords", lambda limits: limits.octets),
        ("Mikrotik-Xmit-Limit", "Mikrotik-Xmit-Limit-Gigawords", lambda limits: limits.down_octets),
        ("Mikrotik-Recv-Limit", "Mikrotik-Recv-Limit-Gigawords", lambda limits: limits.up_octets),
    ),
    # CoovaChilli, chilli-radius(5) and doc/dictionary.coovachilli: octets; Input is what the customer sends.
    # FreeRADIUS 3.2's dictionary lacks the gigawords; raddb-config/dictionary.prepaid adds them.
    "chilli": (
        ("ChilliSpot-Max-Total-Octets", "ChilliSpot-Max-Total-Gigawords", lambda limits: limits.octets),
        ("ChilliSpot-Max-Output-Octets", "ChilliSpot-Max-Output-Gigawords", lambda limits: limits.down_octets),
        ("ChilliSpot-Max-Input-Octets", "ChilliSpot-Max-Input-Gigawords", lambda limits: limits.up_octets),
    ),
    # IOS counts volume only with a prepaid server that speaks Cisco's own protocol.
    "cisco": (),
    # Huawei, Remanent-Volume: KB; 0 disconnects at once, all bits set is no limit.
    "huawei": (("Huawei-Remanent-Volume", None, either_way_kib),),
    # ERX-Service-Volume ends a service, not the session, which would continue without its speed limit.
    "juniper": (),
    "ubiquiti": (),
    # pfSense, captiveportal.inc: octets, input and output together; checked once a minute.
    "pfsense": (("pfSense-Max-Total-Octets", None, either_way),),
}

# vendor: the attributes that name a session, in this order
IDENTITY: dict[str, tuple[str, ...]] = {
    # hostapd, which many access points run, refuses (401) any attribute beyond its short list.
    "generic": ("User-Name", "Acct-Session-Id", "NAS-IP-Address"),
    # Some RouterOS hotspots find no session without its address (daloradius 465).
    "mikrotik": ("User-Name", "Acct-Session-Id", "Framed-IP-Address", "NAS-IP-Address"),
    # chilli.c: User-Name is required; Acct-Session-Id selects one session.
    "chilli": ("User-Name", "Acct-Session-Id"),
    # Cisco 10000 guide, "RADIUS Packet of Disconnect": all three are required and must match.
    "cisco": ("User-Name", "Framed-IP-Address", "Acct-Session-Id", "NAS-IP-Address"),
    "huawei": ("User-Name", "Acct-Session-Id", "Framed-IP-Address", "NAS-IP-Address"),
    # JunosE Broadband Access guide, "Qualifications for Disconnect": a session id, and the name if present.
    "juniper": ("User-Name", "Acct-Session-Id"),
    "ubiquiti": ("User-Name", "Acct-Session-Id", "NAS-IP-Address"),
    "pfsense": ("User-Name", "Acct-Session-Id", "NAS-IP-Address"),
}

VENDORS: tuple[str, ...] = tuple(SPEED)

# Without a session id, the other attributes that the NAS has sent tell the card's sessions from each other.
_WITHOUT_SESSION_ID = ("User-Name", "Framed-IP-Address", "Calling-Station-Id", "NAS-Port", "NAS-IP-Address")

# Attributes that only a login may set.  As a product's own attribute they would change a limit, or hide which session it is.
RESERVED = frozenset({"session-timeout", "termination-action", "class", "user-name"}) | {
    name.lower() for rows in VOLUME.values() for low, high, _ in rows for name in (low, high) if name
}

_SPEED_NAMES = {name.lower() for rows in SPEED.values() for name, _, _ in rows}

# A name and perhaps its tag.  FreeRADIUS would also accept a list ("reply:") and "&" before it, which we do not.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*(:[0-9]{1,2})?")


# --- helpers -----------------------------------------------------------------------------------------


_Row = TypeVar("_Row")


def _speed_attributes(vendor: str, down_kbit: int | None, up_kbit: int | None) -> Iterator[Attribute]:
    rows = _of(SPEED, vendor)
    _require_positive(down_kbit, "speed_down_kbit")
    _require_positive(up_kbit, "speed_up_kbit")
    for name, operator, write in rows:
        value = write(down_kbit, up_kbit)
        if value is not None:
            yield name, operator, value


def _is_speed(attribute: Attribute) -> bool:
    """Whether an attribute sets a speed.  Cisco has one attribute for everything; there the value decides."""
    key, value = _key(attribute[0]), attribute[2]
    if key == "cisco-avpair":
        return value.lower().startswith(("ip:sub-qos-policy-", "ip:sub-policy-"))
    return key in _SPEED_NAMES


def _key(name: str) -> str:
    """A name for comparison: FreeRADIUS accepts names in any case, and with a tag after them."""
    return name.partition(":")[0].lower()


def _of(table: Mapping[str, _Row], vendor: str) -> _Row:
    try:
        return table[vendor]
    except KeyError:
        raise ValueError(
            Sentence(
                "There is no vendor {vendor!r}; the vendors are {vendors}.", vendor=vendor, vendors=", ".join(VENDORS)
            )
        ) from None


def _word(amount: int | None, what: str) -> str:
    """A limit as text, from 1 to 4294967295."""
    _require_positive(amount, what)
    if amount is None or amount > WORD_MAX:
        raise ValueError(
            Sentence("{what} is {amount}, but it must be from 1 to {most}.", what=what, amount=amount, most=WORD_MAX)
        )
    return str(amount)


def _require_positive(amount: int | None, what: str) -> None:
    if amount is not None and (type(amount) is not int or amount < 1):
        raise ValueError(
            Sentence(
                "{what} is {amount!r}, but it must be a whole number from 1 on: many NAS read 0 as no limit.",
                what=what,
                amount=amount,
            )
        )
