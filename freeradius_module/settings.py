"""The module's settings: group [prepaid] of the option file, with the connection in [prepaid-radius].

The file is the one that the office uses: $PREPAID_CONFIG, or /etc/prepaid-cards/prepaid.cnf.  It is an
ordinary MySQL option file; PyMySQL reads the connection from it by itself.
"""

import configparser
import contextlib
import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple

from pymysql.optionfile import Parser

from .sentence import Sentence

DEFAULT_PATH = "/etc/prepaid-cards/prepaid.cnf"
RADIUS_GROUP = "prepaid-radius"


class Settings(NamedTuple):
    """Group [prepaid]; what is not said there has the value shown here."""

    path: str = DEFAULT_PATH
    # Of the connection, PyMySQL reads "socket" by itself; we take "unix_socket" too, as the office does.
    unix_socket: str | None = None
    # Nodes of a cluster in the order in which they are tried; none: what PyMySQL reads (unix_socket, or host and port).
    hosts: tuple[tuple[str, int], ...] = ()
    # The keys that open PINs; beside the option file, unless said otherwise.
    key_file: str = "/etc/prepaid-cards/key"
    # Language of the texts that the customer reads: en or pt_BR.
    lang: str = "pt_BR"
    currency: str = "R$"
    # The longest session, where nothing else limits time.
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
    spool: str | None = None
    # The socket of a desk that all FreeRADIUS processes of this machine share (`prepaid desk`).  None: each has its own.
    desk: str | None = None


MARIADB_PORT = 3306


class SettingsError(Exception):
    """The option file cannot be read."""


def load(path: str | None = None) -> Settings:
    """Read the option file, or say which line of it is wrong."""
    path = path or os.environ.get("PREPAID_CONFIG") or DEFAULT_PATH
    if not Path(path).is_file():
        raise SettingsError(Sentence(
            "There is no option file {path}. Set PREPAID_CONFIG, or make one with 'prepaid db init'.", path=path))
    parser = Parser(interpolation=None, strict=False, allow_no_value=True)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except configparser.Error as error:
        # Its own text repeats the line, which may hold a password, and would go to FreeRADIUS' log.
        raise SettingsError(Sentence(
            "{path} is not an option file: line {line} is neither a [group] nor a setting.",
            path=path, line=error.errors[0][0] if hasattr(error, "errors") else getattr(error, "lineno", 0),
        )) from None
    found: dict = {"path": path}
    for name in ("socket", "unix_socket"):
        if parser.has_option(RADIUS_GROUP, name):
            found["unix_socket"] = parser.get(RADIUS_GROUP, name)
    if parser.has_option(RADIUS_GROUP, "hosts"):
        found["hosts"] = hosts_of(parser.get(RADIUS_GROUP, "hosts") or "")
        if "unix_socket" in found:
            raise SettingsError(Sentence(
                "[{group}] in {path} has both hosts and a socket; take one of the two away.", group=RADIUS_GROUP, path=path))
    for name, default in Settings._field_defaults.items():
        if name in found or not parser.has_option("prepaid", name):
            continue
        value = parser.get("prepaid", name)
        if isinstance(default, int):
            if not value.isdigit() or int(value) == 0:
                raise SettingsError(Sentence(
                    "{name} in {path} is '{value}'; it must be a number above 0.",
                    name=name, path=path, value=value,
                ))
            value = int(value)
        found[name] = value
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
        raise SettingsError(Sentence(
            "'{text}' in hosts is no node; write ADDRESS or ADDRESS:PORT, with commas between.", text=text))
    return match[1] or match[2], int(match[3] or MARIADB_PORT)
