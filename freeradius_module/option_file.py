"""The parser of MySQL option files: groups in brackets, `name = value`, and `!include FILE`.

One file may hold everything.  Or it includes files that hold one group each, so that only the program that needs a
password may read the file that holds it:

    !include radius.cnf
    !include admin.cnf

    [prepaid]
    lang = pt_BR

An included file that does not exist, or that this account may not read, is skipped; it is named when a setting is
missing.  A later setting replaces an earlier one.

PyMySQL reads the connection to the database from the same files by itself, see connection.py.
"""

import configparser
import os
from pathlib import Path

from .sentence import Sentence

INCLUDE = "!include"
# A file that includes itself would be read for ever.
FILES_MOST = 32
MARIADB_PORT = 3306


class OptionFileError(Exception):
    """The file is not an option file, or one of its values is wrong.  Its only argument is a Sentence."""


class OptionFile:
    """The settings of an option file and of all files that it includes."""

    def __init__(self, path: str):
        self.path = path
        # By group and name; in a name, "-" is written "_".
        self.groups: dict[str, dict[str, str]] = {}
        # By group, the file that it was last read from.
        self.places: dict[str, str] = {}
        self.files: list[str] = []  # that were read
        self.closed: list[str] = []  # that this account may not read
        self.missing: list[str] = []  # that do not exist
        # Files with an !include above their first group, which PyMySQL cannot read.
        self.headed_by_include: set[str] = set()

    def group(self, name: str) -> dict[str, str]:
        """The settings of one group; empty if there is no such group."""
        return self.groups.get(name, {})

    def number(self, group: str, name: str, default: int, least: int = 1, most: int = 2**32 - 1) -> int:
        """A whole number from `least` to `most`; OptionFileError if the setting is something else."""
        text = self.group(group).get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise OptionFileError(
                Sentence(
                    "{name} in {path} is {value!r}; it must be a whole number from {least} to {most}.",
                    name=name,
                    path=self.places.get(group, self.path),
                    value=text,
                    least=least,
                    most=most,
                )
            )
        return int(text)

    def port(self, group: str) -> int:
        """The TCP port of the database server that a group names, MariaDB's own if it names none."""
        return self.number(group, "port", MARIADB_PORT, most=65_535)

    @property
    def unread(self) -> list[str]:
        return [*self.closed, *self.missing]


def read(path: str) -> OptionFile:
    """Read an option file and what it includes.  Raises OSError, UnicodeDecodeError or OptionFileError."""
    found = OptionFile(path)
    _add(found, path, is_included=False)
    return found


def _add(found: OptionFile, path: str, is_included: bool) -> None:
    if len(found.files) >= FILES_MOST:
        raise OptionFileError(Sentence("{path} includes itself, or too many files.", path=found.path))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except PermissionError:
        if not is_included:
            raise
        found.closed.append(path)
        return
    except FileNotFoundError:
        if not is_included:
            raise
        found.missing.append(path)
        return
    found.files.append(path)
    own: list[str] = []
    for line in text.splitlines():
        word, _, included = line.strip().partition(" ")
        if word == INCLUDE:
            if not any(line.startswith("[") for line in own):
                found.headed_by_include.add(path)
            _add(found, os.path.join(os.path.dirname(path), included.strip()), is_included=True)
        # An empty line keeps the line numbers of errors right.  !includedir is for the server's own files.
        own.append("" if line.startswith("!") else line)
    for group, settings in _parsed("\n".join(own), path).items():
        found.groups.setdefault(group, {}).update(settings)
        found.places[group] = path


def _parsed(text: str, path: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, delimiters=("=",), inline_comment_prefixes=None
    )
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # The parser's message repeats the line.  The line may hold a password, and the message goes to FreeRADIUS' log.
        raise OptionFileError(
            Sentence(
                "{path} is not an option file: line {line} is neither a [group] nor a setting.",
                path=path,
                line=_line_of(error),
            )
        ) from None
    return {
        group: {name.replace("-", "_"): unquoted(value or "") for name, value in parser.items(group)}
        for group in parser.sections()
    }


def _line_of(error: configparser.Error) -> int:
    """The number of the wrong line; 0 if the parser names none."""
    errors = getattr(error, "errors", None)
    line: int = errors[0][0] if errors else getattr(error, "lineno", 0)
    return line


def unquoted(value: str) -> str:
    """A value without the quotes that may stand around it.

    >>> unquoted('"a b"'), unquoted("'"), unquoted("it's")
    ('a b', "'", "it's")
    """
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
