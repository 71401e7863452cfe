"""The module's settings: group [prepaid] of the option file; [prepaid-radius] is its connection to the database.

The office uses the same file: $PREPAID_CONFIG, or /etc/prepaid-cards/prepaid.cnf.  docs/configuration.md explains every
setting.
"""

import contextlib
import ipaddress
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from . import option_file
from .option_file import MARIADB_PORT
from .rules.login import LONGEST_SESSION_SECONDS
from .rules.units import DEFAULT_CURRENCY
from .sentence import Sentence

DEFAULT_PATH = "/etc/prepaid-cards/prepaid.cnf"
RADIUS_GROUP = "prepaid-radius"


class Settings(NamedTuple):
    """The settings of group [prepaid], with their defaults, and where the connection is described."""

    path: str = DEFAULT_PATH
    # The group that describes the connection to the database, and the file in which it stands.
    group: str = RADIUS_GROUP
    connection_file: str = DEFAULT_PATH
    # If the group was not found: the included files that could not be read, one of which may contain it.
    closed: tuple[str, ...] = ()
    # PyMySQL reads "socket" by itself; "unix_socket" is another name for it, which the office accepts, too.
    unix_socket: str | None = None
    # The nodes of a cluster in the order in which they are tried.  Empty: PyMySQL reads unix_socket, or host and port.
    hosts: tuple[tuple[str, int], ...] = ()
    # The keys that open PINs.  `load` looks beside the option file if the setting is missing.
    key_file: str = "/etc/prepaid-cards/key"
    # Language of the texts that the customer reads: en or pt_BR.
    lang: str = "pt_BR"
    currency: str = DEFAULT_CURRENCY
    # The longest session, where nothing else limits time; at most SESSION_SECONDS_MAX.
    longest_session_seconds: int = LONGEST_SESSION_SECONDS
    # How many wrong PINs one source may send for one card in a quarter of an hour before it is locked out of that card.
    wrong_pin_tries: int = 5
    # How long a database call may take before the packet is left unanswered.
    database_timeout_seconds: int = 2
    # How many waiting packets share one statement at most.
    group_size: int = 64
    # direct: a packet is charged before it is answered.  queued: it is written to the queue and charged from there.
    accounting: str = "direct"
    # The directory of the queue.  With direct accounting it is used while the database is away.  None: there is no queue.
    queue: str | None = None
    # The socket of the engine that all FreeRADIUS processes of this machine share (`prepaid engine`).  None: each process
    # has an engine of its own.
    engine: str | None = None
    # The system accounts that the shared engine serves beside root and its own account: FreeRADIUS', if it has another one.
    engine_callers: str = ""
    # How events are written to the log: text, or json (event_log.py).
    log: str = "text"
    # Where `prepaid engine` serves its metrics: ADDRESS:PORT on loopback, or the path of a socket.  None: nowhere.
    metrics: str | None = None


# The fields that `load` fills in from elsewhere than group [prepaid].
NOT_SET_BY_HAND = {"path", "group", "connection_file", "closed", "unix_socket", "hosts"}
# The guard in raddb-config/policy.d/prepaid rejects an Accept with a longer Session-Timeout.
SESSION_SECONDS_MAX = 31 * 86_400


class SettingsError(Exception):
    """The option file cannot be used.  Its only argument is a Sentence."""


def load(path: str | None = None, group: str = RADIUS_GROUP) -> Settings:
    """Read the option file.  `group` describes the connection to the database.

    A daemon names a group of its own; if the file has none, it uses [prepaid-radius].  SettingsError says what is wrong.
    """
    path = path or os.environ.get("PREPAID_CONFIG") or DEFAULT_PATH
    if not Path(path).is_file():
        raise SettingsError(
            Sentence(
                "There is no option file {path}. Set PREPAID_CONFIG, or make one with 'prepaid db init'.", path=path
            )
        )
    try:
        return _loaded(option_file.read(path), path, group)
    except option_file.OptionFileError as error:
        raise SettingsError(*error.args) from None


def _loaded(options: option_file.OptionFile, path: str, group: str) -> Settings:
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
    # PyMySQL reads the port by itself, and fails without a sentence if it is not a number.
    options.port(group)
    found: dict[str, Any] = {"path": path, "group": group, "connection_file": place}
    for name in ("socket", "unix_socket"):
        if name in connection:
            found["unix_socket"] = connection[name]
    if "hosts" in connection:
        found["hosts"] = hosts_of(connection["hosts"])
        if "unix_socket" in found:
            raise SettingsError(
                Sentence(
                    "[{group}] in {path} has both hosts and a socket; remove one of the two.", group=group, path=place
                )
            )
    if group not in options.groups:
        found["closed"] = tuple(options.unread)
    own = options.group("prepaid")
    for name, default in Settings._field_defaults.items():
        if name in found or name in NOT_SET_BY_HAND or name not in own:
            continue
        found[name] = options.number("prepaid", name, default) if isinstance(default, int) else own[name]
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
    """The nodes of a cluster in a setting `hosts`: (address, port), in the order in which they are tried.

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
            Sentence("{text!r} in hosts is not a node; write ADDRESS or ADDRESS:PORT, separated by commas.", text=text)
        )
    return match[1] or match[2], int(match[3] or MARIADB_PORT)
