"""FreeRADIUS' dictionaries: does FreeRADIUS know a reply attribute, and can it send this value?

FreeRADIUS drops an attribute from an answer if it does not know the name or cannot read the value, and the site's guard
then turns the answer into a Reject.  So a product's reply attributes are checked when the product is added, and not at the
first login.

The dictionaries are those that FreeRADIUS itself reads, the administrator's local one included, and the one that `prepaid
raddb install` puts beside it.
"""

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple

from ..shell import errors, share
from ..shell.office import Office
from ..shell.text import _
from . import local_dictionary
from .files import DEFAULT_DIR

# Debian's folder; the option file may name another one (`dictionaries`).
DICTIONARIES = "/usr/share/freeradius"

# Attributes of these types contain other attributes and have no value of their own.
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
# An attribute has 255 octets: one for its type, one for its length, and a vendor's attribute uses six more.
TEXT_OCTETS = 253
VENDOR_TEXT_OCTETS = 247


class Attribute(NamedTuple):
    """An attribute as a dictionary defines it."""

    name: str
    type: str
    is_sent: bool  # in a packet; others are internal to FreeRADIUS, for example Auth-Type
    is_vendors: bool
    has_tag: bool


class Dictionary(NamedTuple):
    """Attributes and the names of their values.  All keys are in lower case, because FreeRADIUS accepts any case."""

    attributes: dict[str, Attribute]
    values: dict[str, set[str]]


def check_replies(office: Office, replies: list[tuple[str, str, str]]) -> None:
    """Refuse reply attributes (name, operator, value) that FreeRADIUS would drop.

    Raises NotFound for an unknown name, WrongUsage for a value, Refused if there are no dictionaries.
    """
    if not replies:
        return
    folder = Path(office.settings("prepaid").get("dictionaries") or DICTIONARIES)
    local = Path(office.settings("prepaid").get("raddb") or DEFAULT_DIR) / local_dictionary.LOCAL
    known, unreadable = read([folder / "dictionary", local, share.folder("raddb-config") / local_dictionary.OURS])
    if folder / "dictionary" in unreadable:
        raise errors.Refused(
            _(
                "FreeRADIUS' dictionaries are not at {folder}, so the reply attribute {name} cannot be checked. Install "
                "them (apt-get install freeradius-common), or name their folder in {config}, group [prepaid]: dictionaries = …"
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
                _("{refusal} You may not read {path}, which could define it."), refusal=error, path=unreadable[0]
            ) from None


def check(known: Dictionary, name: str, value: str) -> None:
    """Refuse an attribute that FreeRADIUS would not send, and give the reason.

    >>> known = Dictionary({}, {})
    >>> read_lines(["ATTRIBUTE Filter-Id 11 string", "ATTRIBUTE Auth-Type 1000 integer"], known)
    >>> check(known, "Filter-Id", "guests")
    >>> check(known, "Filter-ID", "guests")
    >>> check(known, "FilterId", "guests")
    Traceback (most recent call last):
    admin.shell.errors.NotFound: FreeRADIUS' dictionaries have no attribute FilterId. Did you mean 'Filter-Id'?
    >>> check(known, "Auth-Type", "Accept")
    Traceback (most recent call last):
    admin.shell.errors.WrongUsage: Auth-Type is internal to FreeRADIUS and is never sent to a NAS.
    """
    base, colon, _tag = name.partition(":")
    attribute = known.attributes.get(base.lower())
    if attribute is None:
        names = [found.name for found in known.attributes.values() if found.is_sent]
        raise errors.NotFound(
            _("FreeRADIUS' dictionaries have no attribute {name}.{hint}"),
            name=base,
            hint=errors.did_you_mean(base, names),
        )
    if not attribute.is_sent:
        raise errors.WrongUsage(_("{name} is internal to FreeRADIUS and is never sent to a NAS."), name=attribute.name)
    if attribute.type in GROUPS:
        raise errors.WrongUsage(
            _("{name} is a group of attributes; give the attribute in it that you mean."), name=attribute.name
        )
    if colon and not attribute.has_tag:
        raise errors.WrongUsage(_("{name} has no tag; write it without the colon."), name=attribute.name)
    if not is_value(attribute, value, known.values.get(base.lower(), set())):
        raise errors.WrongUsage(
            _("{value!r} is not a value of {name}, whose type in FreeRADIUS is {type}."),
            value=value,
            name=attribute.name,
            type=attribute.type,
        )


def is_value(attribute: Attribute, value: str, names: set[str]) -> bool:
    """Whether FreeRADIUS can read this as the attribute's value.  This check is stricter than FreeRADIUS.

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
    """What these files define, with the files that they include; and those of `paths` that could not be read."""
    known, unreadable = Dictionary({}, {}), []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            # The local dictionary is optional.
            if path.name != local_dictionary.LOCAL or path == paths[0]:
                unreadable.append(path)
            continue
        except OSError:
            unreadable.append(path)
            continue
        read_lines(lines, known, path.parent)
    return known, unreadable


def read_lines(lines: list[str], known: Dictionary, folder: Path | None = None) -> None:
    """Add what these lines define, and the files that they include, to `known`.  Without `folder` nothing is included."""
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
                    # FreeRADIUS does not start without this file, so it cannot know what the file would define.
                    continue
