"""What an installation chooses: by the command line, by the last installation, and by the option file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..shell import errors
from ..shell.office import Office
from ..shell.text import _
from . import files as raddb_files
from . import raddb_into
from .files import Choice
from .program import freeradius_version, python_path
from .record import Record


def chosen(office: Office, given: dict[str, Any]) -> Choice:
    """The choices of the command line or of the last installation (`given`), and those of the option file."""
    settings = office.settings("prepaid")
    accounting = settings.get("accounting") or "direct"
    if accounting not in ("direct", "queued"):
        raise errors.WrongUsage(
            _("accounting = {value} in {config} is neither direct nor queued."),
            value=accounting,
            config=office.config_path,
        )
    queue = settings.get("queue") or None
    if accounting == "queued" and not queue:
        raise errors.WrongUsage(
            _("accounting = queued in {config} needs a directory for the queue: queue = /var/spool/prepaid-cards"),
            config=office.config_path,
        )
    return Choice(
        python_path=raddb_files.checked_path(python_path()),
        option_file=raddb_files.checked_path(os.path.abspath(office.config_path)),
        accounting=accounting,
        queue=queue and raddb_files.checked_path(os.path.abspath(queue)),
        **{name: value for name, value in given.items() if value},
    )


def installed_choice(office: Office, directory: Path, record: Record) -> Choice:
    """The choices of the last installation, with the option file as it is now."""
    before = record["choice"]
    return chosen(
        office,
        {
            "serve": before.get("serve"),
            "addresses": tuple(before.get("addresses", ())),
            "auth_port": before.get("auth_port"),
            "acct_port": before.get("acct_port"),
            "instances": raddb_files.instances_for(freeradius_version(), before.get("wanted_instances")),
            "tls": before.get("tls") and raddb_files.Tls(**before["tls"]),
        }
        # A batch of a new form does not make an installation wrong: see engine/whose.py.
        | beside(directory, before.get("into"), lambda: tuple(before.get("forms", ()))),
    )


def beside(directory: Path, site: str | None, forms: Callable[[], tuple[str, ...]]) -> dict[str, Any]:
    """The choices for cards in a site of the administrator's; none without such a site."""
    return raddb_into.look_around(directory, site)._asdict() | {"forms": forms()} if site else {}
