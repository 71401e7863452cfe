"""The option file and the key file."""

import stat
from collections.abc import Iterator
from pathlib import Path

from freeradius_module.event_log import LOG_FORMATS

from .. import store
from ..shell.text import _
from .finding import Finding, Installation


def check_option_file(installation: Installation) -> Iterator[Finding]:
    """Nobody but its owner and its group may read an option file that holds passwords."""
    # Raises the sentence for a file that does not exist or cannot be read.
    options = installation.office.options
    secret = {options.places[group] for group, settings in options.groups.items() if settings.get("password")}
    is_open = [path for path in sorted(secret) if Path(path).stat().st_mode & stat.S_IRWXO]
    for path in is_open:
        yield Finding(
            "option_file",
            "fault",
            _("{path} holds passwords, and every account can read it.").format(path=path),
            f"chmod o= {path}",
        )
    log_format = installation.module_settings.log
    if log_format not in LOG_FORMATS:
        yield Finding(
            "option_file",
            "look",
            _("log = {value} in {path} is neither text nor json, and counts as text.").format(
                value=log_format, path=installation.office.config_path
            ),
            _("Set log = text or log = json."),
        )
    elif not is_open:
        yield Finding("option_file", "ok", installation.office.config_path)


def check_key_file(installation: Installation) -> Iterator[Finding]:
    """The key file belongs to this database and has every key that the database knows."""
    office = installation.office
    numbers = sorted(office.keyring.numbers)
    with office.reading() as cursor:
        known = store.connection.key_fingerprints(cursor)
    if missing := sorted(set(known) - set(numbers)):
        yield Finding(
            "key_file",
            "look",
            _("{path} lacks keys that were used earlier: {numbers}.").format(
                path=office.key_file, numbers=", ".join(map(str, missing))
            ),
            _("If they were not retired, restore the file from its backup."),
        )
    else:
        yield Finding(
            "key_file",
            "ok",
            _("{path}: keys {numbers}").format(path=office.key_file, numbers=", ".join(map(str, numbers))),
        )
