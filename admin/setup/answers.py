"""The questions of setup, and their answers: from options, from a file for Ansible, from the person at the terminal.

An answers file has lines `key = value`, empty lines, and comments that begin with #:

    freeradius = into
    nas_name = hotspot-1
    nas_address = 192.0.2.7
    nas_secret_file = hotspot-1.secret

The keys are the names of the options, with _ instead of -.  An option has precedence over the file, and the file over the
default.  Neither holds a password: passwords of the database are made by setup, and other secrets are in files that are named.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click

from freeradius_module.rules import vendors

from ..freeradius import files as raddb_files
from ..shell import errors
from ..shell.text import _

PORT = click.IntRange(1, 65535)
YES_NO = click.Choice(["yes", "no"])
PATH = click.Path()


class Question(NamedTuple):
    """One thing that setup has to know.  A person is asked for it if `asks`; otherwise it is an option only."""

    name: str
    type: click.ParamType[Any]
    default: Any
    help: str
    asks: bool = False


QUESTIONS = (
    Question("database", click.STRING, "prepaid", "The database, which is for prepaid cards alone."),
    Question("database_socket", PATH, "/run/mysqld/mysqld.sock", "MariaDB's Unix socket, if it runs on this machine."),
    Question("database_host", click.STRING, None, "MariaDB's host, if it is another machine; instead of the socket."),
    Question("database_port", PORT, 3306, "MariaDB's port on that host."),
    Question("admin_user", click.STRING, None, "The database account that may make databases and accounts."),
    Question(
        "admin_file",
        PATH,
        None,
        "MySQL option file whose group [client] has user and password of that account; not needed for the system's root.",
    ),
    Question(
        "freeradius",
        click.Choice(["into", "own"]),
        "into",
        "FreeRADIUS' side: into an existing site, which then serves cards and its other customers, or on ports of its own.",
        asks=True,
    ),
    Question("raddb", PATH, raddb_files.DEFAULT_DIR, "FreeRADIUS' directory, where radiusd.conf is."),
    Question("site", click.STRING, "default", "The existing site that cards are put into (into)."),
    Question("listen", click.STRING, None, "The address to listen on (own); all of them if it is not given."),
    Question("auth_port", PORT, 11812, "The port for logins (own)."),
    Question("acct_port", PORT, 11813, "The port for accounting (own)."),
    Question("lang", click.Choice(["en", "pt_BR"]), "pt_BR", "The language of the texts that the customer reads."),
    Question("currency", click.STRING, "R$", "The currency sign before amounts of money."),
    Question(
        "accounting",
        click.Choice(["direct", "queued"]),
        "direct",
        "direct: a packet is charged before it is answered; queued: it is queued first.",
    ),
    Question(
        "queue",
        PATH,
        raddb_files.QUEUE,
        "The queue's folder; with direct accounting the queue is used while the database is away.",
    ),
    Question("engine", YES_NO, "no", "Whether one process decides for all FreeRADIUS of this machine."),
    Question("units", YES_NO, "yes", "Whether systemd's units are installed and started."),
    Question("nas_name", click.STRING, None, "The name of the first NAS.", asks=True),
    Question("nas_address", click.STRING, None, "Its address, such as 192.0.2.7 or 192.0.2.0/24.", asks=True),
    Question("nas_vendor", click.Choice(vendors.VENDORS), "generic", "Its vendor.", asks=True),
    Question(
        "nas_secret_file",
        PATH,
        None,
        "File whose first line is its shared secret. If there is no such file, it is made with a new secret.",
        asks=True,
    ),
    Question("product_name", click.STRING, None, "The name of the first product.", asks=True),
    Question("product_time", click.STRING, None, "Its online time, such as 10h.", asks=True),
    Question("product_traffic", click.STRING, None, "Its traffic, such as 1GB.", asks=True),
    Question("product_price", click.STRING, None, "Its face value, such as 10.00.", asks=True),
    Question("product_valid_days", click.STRING, None, "Its validity in days from the first login.", asks=True),
)
BY_NAME = {question.name: question for question in QUESTIONS}


@dataclass(frozen=True)
class Answers:
    """The answers to QUESTIONS, by the same names."""

    database: str
    database_socket: str
    database_host: str | None
    database_port: int
    admin_user: str | None
    admin_file: str | None
    freeradius: str
    raddb: str
    site: str
    listen: str | None
    auth_port: int
    acct_port: int
    lang: str
    currency: str
    accounting: str
    queue: str
    engine: str
    units: str
    nas_name: str | None
    nas_address: str | None
    nas_vendor: str
    nas_secret_file: str | None
    product_name: str | None
    product_time: str | None
    product_traffic: str | None
    product_price: str | None
    product_valid_days: str | None

    @property
    def directory(self) -> Path:
        """FreeRADIUS' directory."""
        return Path(self.raddb)


def help_of(question: Question) -> str:
    """The help of the question's option, in English, with the default at the end."""
    return question.help if question.default is None else f"{question.help}  [{question.default}]"


def read_file(path: Path) -> dict[str, str]:
    """The answers in a file, by their keys, as text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.WrongUsage(
            _("The answers file {path} cannot be read: {cause}."),
            path=path,
            cause=getattr(error, "strerror", None) or error,
        ) from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or not key:
            raise errors.WrongUsage(
                _("Line {number} of {path} is not an answer. Write it like: key = value"), number=number, path=path
            )
        if key not in BY_NAME:
            raise errors.WrongUsage(
                _("Line {number} of {path}: there is no key {key!r}.{hint} See them with 'prepaid setup --help'."),
                number=number,
                path=path,
                key=key,
                hint=errors.did_you_mean(key, list(BY_NAME)),
            )
        if key in found:
            raise errors.WrongUsage(
                _("Line {number} of {path}: {key} is there twice."), number=number, path=path, key=key
            )
        found[key] = value
    return found


def collect(options: dict[str, Any], from_file: dict[str, str], *, ask: bool) -> Answers:
    """All answers.  `options` has those of the command line, None where it has none.  `ask`: ask for the other ones."""
    values: dict[str, Any] = {}
    for question in QUESTIONS:
        if options.get(question.name) is not None:
            values[question.name] = options[question.name]
        elif question.name in from_file:
            values[question.name] = _parsed(question, from_file[question.name])
        elif ask and question.asks and _is_of_interest(question.name, values):
            values[question.name] = _asked(question)
        else:
            values[question.name] = question.default
    for name, value in values.items():
        # Other programs with other folders use these paths.
        if value and BY_NAME[name].type is PATH:
            values[name] = os.path.abspath(value)
    # An empty text is no answer.
    values = {name: BY_NAME[name].default if value == "" else value for name, value in values.items()}
    return Answers(**values)


def _parsed(question: Question, text: str) -> Any:
    if text == "":
        return ""
    try:
        return question.type.convert(text, None, None)
    except click.BadParameter as error:
        raise errors.WrongUsage(
            _("{key} = {value} of the answers file is wrong: {cause}"),
            key=question.name,
            value=text,
            cause=error.message,
        ) from None


def _is_of_interest(name: str, values: dict[str, Any]) -> bool:
    """Whether a person who was asked the questions before would see a sense in this one."""
    if name.startswith(("nas_", "product_")) and not name.endswith("_name"):
        return bool(values.get(f"{name.partition('_')[0]}_name"))
    return True


def _asked(question: Question) -> Any:
    """Ask on stderr.  An empty answer means the default; where there is none, that there is none."""
    return click.prompt(
        _(help_of(question)).partition("  [")[0].removesuffix("."),
        default="" if question.default is None else question.default,
        show_default=question.default is not None,
        type=question.type,
        err=True,
    )
