"""FreeRADIUS' dictionaries: whether it knows a reply attribute and can send this value.

FreeRADIUS drops what it does not know or cannot read from an answer, and the site's guard then turns the answer
into a Reject.  So a product's reply attributes are tried here, when the product is made, and not at its first login.

Read are the dictionaries that FreeRADIUS itself would read, the administrator's local one included, and the one that
`prepaid raddb install` puts beside it.
"""

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple

from ..shell import errors, share
from ..shell.text import _
from . import local_dictionary

# Debian's places; the option file may name others.
DICTIONARIES = "/usr/share/freeradius"
RADDB = "/etc/freeradius/3.0"

# These hold other attributes and have no value that could be written down.
GROUPS = frozenset({"tlv", "vsa", "extended", "long-extended", "evs"})
WHOLE_NUMBERS = {
    "byte": (0, 2**8 - 1),
    "short": (0, 2**16 - 1),
    "uint16": (0, 2**16 - 1),
    "integer": (0, 2**32 - 1),
    "uint32": (0, 2**32 - 1),
    "integer64": (0, 2**64 - 1),
    "signed": (-(2**31), 2**31 - 1),
}
# The type of an attribute takes one octet, its length another; a vendor's has six more.
TEXT_OCTETS = 253
VENDOR_TEXT_OCTETS = 247


class Attribute(NamedTuple):
    """What a dictionary says of one."""

    name: str
    type: str
    is_sent: bool  # in a packet; others are for FreeRADIUS itself, Auth-Type for one
    is_vendors: bool
    has_tag: bool


class Dictionary(NamedTuple):
    """Attributes, and the names of their values, by their names in small letters: FreeRADIUS takes any case."""

    attributes: dict[str, Attribute]
    values: dict[str, set[str]]


def check_replies(office, replies: list[tuple[str, str, str]]) -> None:
    """Refuse reply attributes that FreeRADIUS would drop."""
    if not replies:
        return
    folder = Path(office.settings("prepaid").get("dictionaries") or DICTIONARIES)
    local = Path(office.settings("prepaid").get("raddb") or RADDB) / local_dictionary.LOCAL
    known, unreadable = read([folder / "dictionary", local, share.folder("raddb-config") / local_dictionary.OURS])
    if folder / "dictionary" in unreadable:
        raise errors.Refused(
            _(
                "FreeRADIUS' dictionaries are not at {folder}, so the reply attribute {name} cannot be tried. Install them "
                "(apt-get install freeradius-common), or say in {config}, group [prepaid], where they are: dictionaries = …"
            ),
            folder=folder,
            name=replies[0][0],
            config=office.config_path,
        )
    for name, _operator, value in replies:
        try:
            check(known, name, value)
        except errors.NotFound as error:
            if not unreadable:
                raise
            raise errors.NotFound(
                _("{refusal} {path} may not be read by you, and could know it."), refusal=error, path=unreadable[0]
            ) from None


def check(known: Dictionary, name: str, value: str) -> None:
    """Refuse an attribute that FreeRADIUS would not send, with the reason.

    >>> known = Dictionary({}, {})
    >>> read_lines(["ATTRIBUTE Filter-Id 11 string", "ATTRIBUTE Auth-Type 1000 integer"], known)
    >>> check(known, "Filter-Id", "guests")
    >>> check(known, "Filter-ID", "guests")
    >>> check(known, "FilterId", "guests")
    Traceback (most recent call last):
    admin.shell.errors.NotFound: FreeRADIUS' dictionaries have no attribute FilterId. Did you mean 'Filter-Id'?
    >>> check(known, "Auth-Type", "Accept")
    Traceback (most recent call last):
    admin.shell.errors.WrongUsage: Auth-Type is FreeRADIUS' own and is in no answer to a NAS.
    """
    base, colon, _tag = name.partition(":")
    attribute = known.attributes.get(base.lower())
    if attribute is None:
        names = {found.name for found in known.attributes.values() if found.is_sent}
        raise errors.NotFound(
            _("FreeRADIUS' dictionaries have no attribute {name}.{hint}"),
            name=base,
            hint=errors.did_you_mean(base, names),
        )
    if not attribute.is_sent:
        raise errors.WrongUsage(_("{name} is FreeRADIUS' own and is in no answer to a NAS."), name=attribute.name)
    if attribute.type in GROUPS:
        raise errors.WrongUsage(
            _("{name} is a group of attributes; name the one in it that you mean."), name=attribute.name
        )
    if colon and not attribute.has_tag:
        raise errors.WrongUsage(_("{name} takes no tag; write it without the colon."), name=attribute.name)
    if not is_value(attribute, value, known.values.get(base.lower(), set())):
        raise errors.WrongUsage(
            _("{value!r} is no value of {name}, which is of FreeRADIUS' type {type}."),
            value=value,
            name=attribute.name,
            type=attribute.type,
        )


def is_value(attribute: Attribute, value: str, names: set[str]) -> bool:
    """Whether FreeRADIUS can read this as the attribute's value.  What it is lenient with, we are not.

    >>> number = Attribute("Service-Type", "integer", True, False, False)
    >>> [is_value(number, value, {"framed-user"}) for value in ("2", "Framed-User", "Framed", "4294967296", "-1")]
    [True, True, False, False, False]
    >>> address = Attribute("Framed-IP-Address", "ipaddr", True, False, False)
    >>> [is_value(address, value, set()) for value in ("10.0.0.1", "10.0.0", "pool.example", "::1")]
    [True, False, False, False]
    """
    kind = attribute.type
    if kind in WHOLE_NUMBERS:
        low, high = WHOLE_NUMBERS[kind]
        number = re.fullmatch(r"-?[0-9]{1,20}|0x[0-9a-fA-F]{1,16}", value)
        return (
            value.lower() in names or bool(number) and low <= int(value, 16 if value.startswith("0x") else 10) <= high
        )
    if kind in ("string", "octets", "abinary"):
        octets = len(value.encode())
        if kind == "octets" and value.startswith("0x"):
            if not re.fullmatch(r"0x(?:[0-9a-fA-F]{2})+", value):
                return False
            octets = len(value) // 2 - 1
        return 0 < octets <= (VENDOR_TEXT_OCTETS if attribute.is_vendors else TEXT_OCTETS)
    if kind == "ether":
        return re.fullmatch(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", value) is not None
    read_as = {
        "ipaddr": ipaddress.IPv4Address,
        "ipv6addr": ipaddress.IPv6Address,
        "combo-ip": ipaddress.ip_address,
        "ipv4prefix": ipaddress.IPv4Interface,
        "ipv6prefix": ipaddress.IPv6Interface,
    }.get(kind)
    try:
        return read_as is None or bool(read_as(value))
    except ValueError:
        return False


# --- Reading ----------------------------------------------------------------------------------------------


def read(paths: list[Path]) -> tuple[Dictionary, list[Path]]:
    """All that these files and those they include define; and which of these could not be read."""
    known, unreadable = Dictionary({}, {}), []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            # A local dictionary need not be there.
            if path.name != local_dictionary.LOCAL or path == paths[0]:
                unreadable.append(path)
            continue
        except OSError:
            unreadable.append(path)
            continue
        read_lines(lines, known, path.parent)
    return known, unreadable


def read_lines(lines: list[str], known: Dictionary, folder: Path | None = None) -> None:
    """Add what the lines of one file define, and what the files define that it includes."""
    vendor, groups = False, 0
    for line in lines:
        words = line.partition("#")[0].split()
        if not words:
            continue
        match words[0].upper(), words[1:]:
            case "ATTRIBUTE", [name, number, kind, *flags]:
                base = re.sub(r"\[.*", "", kind.lower())
                flag = {word for text in flags for word in text.split(",")}
                is_sent = vendor or groups > 0 or "." in number or int(number, 0) <= 255
                known.attributes[name.lower()] = Attribute(name, base, is_sent, vendor, "has_tag" in flag)
            case "VALUE", [name, value_name, *_number]:
                known.values.setdefault(name.lower(), set()).add(value_name.lower())
            case "BEGIN-VENDOR", _:
                vendor = True
            case "END-VENDOR", _:
                vendor = False
            case "BEGIN-TLV", _:
                groups += 1
            case "END-TLV", _:
                groups -= 1
            case (("$INCLUDE" | "$INCLUDE-"), [other, *_]) if folder is not None:
                path = folder / other
                try:
                    read_lines(path.read_text(encoding="utf-8", errors="replace").splitlines(), known, path.parent)
                except OSError:
                    # FreeRADIUS would not start without it; nor does it know what is in there.
                    continue
