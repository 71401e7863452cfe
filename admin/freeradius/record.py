"""The file `prepaid.installed` in FreeRADIUS' directory: the choices of the installation, and a checksum of every file as it was
written.  So the next install makes the same choices, and does not overwrite a file that was edited since."""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ..shell import errors
from ..shell.text import _
from .files import Choice
from .raddb_directory import CERTIFICATES, content, write

RECORD = "prepaid.installed"


class Record(TypedDict):
    """The content of prepaid.installed: the options of the install, and the SHA-256 of each file by its path."""

    choice: dict[str, Any]
    files: dict[str, str]
    # What else the install has made, so that `remove` knows it: links, certificates with their checksums, and the line feed
    # that it added to the local dictionary.
    links: NotRequired[list[str]]
    certificates: NotRequired[dict[str, str]]
    dictionary_line_feed: NotRequired[bool]


def read_record(directory: Path) -> Record:
    """The record of the last installation; an empty one if there was none."""
    try:
        record: Record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        return record
    except FileNotFoundError:
        return {"choice": {}, "files": {}}
    except (OSError, ValueError) as error:
        raise errors.Refused(
            _("{path} cannot be read ({cause}). Restore it, or remove it and install with --force."),
            path=directory / RECORD,
            cause=error,
        ) from None


def write_record(
    directory: Path, choice: Choice, wanted_instances: int | None, files: dict[str, str], **made: Any
) -> None:
    """Write the record; `files` are the checksums of the files by their paths."""
    record = {
        "about": "Written by 'prepaid raddb install', so that it knows later what it wrote and what was edited since.",
        "version": metadata.version("prepaid-cards"),
        "choice": {
            "serve": choice.serve,
            "addresses": list(choice.addresses),
            "auth_port": choice.auth_port,
            "acct_port": choice.acct_port,
            "wanted_instances": wanted_instances,
            "into": choice.into or None,
            "forms": list(choice.forms),
            "tls": choice.tls and choice.tls._asdict(),
        },
        "files": files,
        **made,
    }
    write(directory, directory / RECORD, json.dumps(record, indent=1) + "\n")


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def certificate_checksums(directory: Path) -> dict[str, str]:
    folder = directory / CERTIFICATES
    return {path.name: checksum(content(path) or "") for path in sorted(folder.iterdir()) if path.is_file()}
