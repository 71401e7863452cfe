"""The module's settings: group [prepaid] of the option file, with the connection in [prepaid-radius].

The file is the one that the office uses: $PREPAID_CONFIG, or /etc/prepaid-cards/prepaid.cnf.  It is an
ordinary MySQL option file, and may include others (option_file.py); PyMySQL reads the connection by itself.
"""

import contextlib
import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple

from . import option_file
from .rules.units import DEFAULT_CURRENCY
from .sentence import Sentence

DEFAULT_PATH = "/etc/prepaid-cards/prepaid.cnf"
RADIUS_GROUP = "prepaid-radius"


class Settings(NamedTuple):
    """Group [prepaid]; what is not said there has the value shown here."""

    path: str = DEFAULT_PATH
    # The connection to the database: its group, and the file that this group is in.
    group: str = RADIUS_GROUP
    connection_file: str = DEFAULT_PATH
    # Where the group is not to be found: files that are included and cannot be read.
    closed: tuple[str, ...] = ()
    # Of the connection, PyMySQL reads "socket" by itself; we take "unix_socket" too, as the office does.
    unix_socket: str | None = None
    # Nodes of a cluster in the order in which they are tried; none: what PyMySQL reads (unix_socket, or host and port).
    hosts: tuple[tuple[str, int], ...] = ()
    # The keys that open PINs; beside the option file, unless said otherwise.
    key_file: str = "/etc/prepaid-cards/key"
    # Language of the texts that the customer reads: en or pt_BR.
    lang: str = "pt_BR"
    currency: str = DEFAULT_CURRENCY
    # The longest session, where nothing else limits time; at most SESSION_SECONDS_MAX.
    longest_session_seconds: int = 86_400
    # Wrong PINs of one source for one card in a quarter of an hour, before that source is locked out of that card.
    wrong_pin_tries: int = 5
    # How long a database call may take before the packet is given up.
    database_timeout_seconds: int = 2
    # How many waiting packets share one statement at most.
    group_size: int = 64
    # Whether a packet is charged before it is answered (direct), or written to the queue and charged from there (queued).
    accounting: str = "direct"
    # The directory of the queue; with direct accounting it is used while the database is away.  None: there is no queue.
    queue: str | None = None
    # The socket of an engine that all FreeRADIUS processes of this machine share (`prepaid engine`).  None: each has its own.
    engine: str | None = None
    # The system accounts that the engine serves beside its own and root: FreeRADIUS', where the engine has one of its own.
    engine_callers: str = ""


# What `load` finds out by itself.
NOT_SET_BY_HAND = {"path", "group", "connection_file", "closed", "unix_socket", "hosts"}
MARIADB_PORT = 3306
# The guard in raddb-config/policy.d/prepaid rejects an Accept with a longer Session-Timeout.
SESSION_SECONDS_MAX = 31 * 86_400


class SettingsError(Exception):
    """The option file cannot be read."""


def load(path: str | None = None, group: str = RADIUS_GROUP) -> Settings:
    """Read the option file, or say which line of it is wrong.  `group` is the connection to the database."""
    path = path or os.environ.get("PREPAID_CONFIG") or DEFAULT_PATH
    if not Path(path).is_file():
        raise SettingsError(
            Sentence(
                "There is no option file {path}. Set PREPAID_CONFIG, or make one with 'prepaid db init'.", path=path
            )
        )
    try:
        options = option_file.read(path)
    except option_file.OptionFileError as error:
        raise SettingsError(*error.args) from None
    if group not in options.groups and RADIUS_GROUP in options.groups:
        group = RADIUS_GROUP
    connection, place = options.group(group), options.places.get(group, path)
    if group in options.groups and place in options.headed_by_include:
        raise SettingsError(
            Sentence(
                "{path} includes other files above its first group, so the driver cannot read its [{group}]. Move the line "
                "below [prepaid], or that group into a file of its own.",
                path=place,
                group=group,
            )
        )
    found: dict = {"path": path, "group": group, "connection_file": place}
    for name in ("socket", "unix_socket"):
        if name in connection:
            found["unix_socket"] = connection[name]
    if "hosts" in connection:
        found["hosts"] = hosts_of(connection["hosts"])
        if "unix_socket" in found:
            raise SettingsError(
                Sentence(
                    "[{group}] in {path} has both hosts and a socket; take one of the two away.",
                    group=group,
                    path=place,
                )
            )
    if group not in options.groups:
        found["closed"] = tuple(options.unread)
    own = options.group("prepaid")
    for name, default in Settings._field_defaults.items():
        if name in found or name in NOT_SET_BY_HAND or name not in own:
            continue
        value = own[name]
        if isinstance(default, int):
            if not value.isdigit() or int(value) == 0:
                raise SettingsError(
                    Sentence(
                        "{name} in {path} is '{value}'; it must be a number above 0.", name=name, path=path, value=value
                    )
                )
            value = int(value)
        found[name] = value
    if found.get("longest_session_seconds", 0) > SESSION_SECONDS_MAX:
        raise SettingsError(
            Sentence(
                "longest_session_seconds in {path} is {seconds}; it must be at most {most} (31 days), because FreeRADIUS' "
                "site rejects a login with a longer Session-Timeout.",
                path=path,
                seconds=found["longest_session_seconds"],
                most=SESSION_SECONDS_MAX,
            )
        )
    found.setdefault("key_file", str(Path(path).with_name("key")))
    return Settings(**found)


def hosts_of(text: str) -> tuple[tuple[str, int], ...]:
    """The nodes of a cluster as `hosts` names them, in the order in which they are tried.

    >>> hosts_of("192.0.2.1, 192.0.2.2:3307, [2001:db8::3]:3307, 2001:db8::4")
    (('192.0.2.1', 3306), ('192.0.2.2', 3307), ('2001:db8::3', 3307), ('2001:db8::4', 3306))
    """
    return tuple(_host(name.strip()) for name in text.split(",") if name.strip())


def _host(text: str) -> tuple[str, int]:
    with contextlib.suppress(ValueError):
        return str(ipaddress.IPv6Address(text)), MARIADB_PORT
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+))(?::([1-9][0-9]{0,4}))?", text)
    if not match:
        raise SettingsError(
            Sentence("'{text}' in hosts is no node; write ADDRESS or ADDRESS:PORT, with commas between.", text=text)
        )
    return match[1] or match[2], int(match[3] or MARIADB_PORT)
