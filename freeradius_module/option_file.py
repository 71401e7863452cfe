"""MySQL option files: groups in brackets, `name = value`, and `!include FILE`.

The option file may hold everything, or include files that hold one group each, so that each program's password is in
a file that this program alone may read:

    !include radius.cnf
    !include admin.cnf

    [prepaid]
    lang = pt_BR

A file that this account may not read, or that is not on this machine, is passed over, and named where one of its
settings is needed.  What comes later wins.
"""

import configparser
import os
from pathlib import Path

from .sentence import Sentence

INCLUDE = "!include"
# An option file that includes itself must not be read for ever.
FILES_MOST = 32


class OptionFileError(Exception):
    """This is not an option file."""


class OptionFile:
    """What an option file says, with all that it includes."""

    def __init__(self, path: str):
        self.path = path
        self.groups: dict[str, dict[str, str]] = {}
        # The file that each group was read from: PyMySQL reads the connection from there once more.
        self.places: dict[str, str] = {}
        # All files that were read, and those that this account may not read, or that are not there.
        self.files: list[str] = []
        self.closed: list[str] = []
        self.missing: list[str] = []
        # Files whose first line of weight is an !include, which PyMySQL cannot read.
        self.headed_by_include: set[str] = set()

    def group(self, name: str) -> dict[str, str]:
        return self.groups.get(name, {})

    @property
    def unread(self) -> list[str]:
        return [*self.closed, *self.missing]


def read(path: str) -> OptionFile:
    """Raises OSError, UnicodeDecodeError or OptionFileError."""
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
    own = []
    for line in text.splitlines():
        word, _, included = line.strip().partition(" ")
        if word == INCLUDE:
            if not any(line.startswith("[") for line in own):
                found.headed_by_include.add(path)
            _add(found, os.path.join(os.path.dirname(path), included.strip()), is_included=True)
        # The number of a wrong line must stay right; !includedir is for the server's own files.
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
        # Its own text repeats the line, which may hold a password, and would go to FreeRADIUS' log.
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
    return error.errors[0][0] if getattr(error, "errors", None) else getattr(error, "lineno", 0)


def unquoted(value: str) -> str:
    """A value without the quotes that an option file may put around it.

    >>> unquoted('"a b"'), unquoted("'"), unquoted("it's")
    ('a b', "'", "it's")
    """
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
