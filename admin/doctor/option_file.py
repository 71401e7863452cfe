"""The option file and the key file."""

import stat
from collections.abc import Iterator
from pathlib import Path

from freeradius_module.event_log import LOG_FORMATS

from .. import store
from ..shell.text import _
from .finding import Finding, Installation


def check_option_file(installation: Installation) -> Iterator[Finding]:
    """Nobody but its owner and its group may read the option file, which holds passwords."""
    path = Path(installation.office.config_path)
    # Raises the sentence for a file that does not exist or cannot be read.
    installation.office.settings("prepaid")
    if path.stat().st_mode & stat.S_IRWXO:
        yield Finding(
            "option_file",
            "fault",
            _("{path} holds passwords, and every account can read it.").format(path=path),
            f"chmod o= {path}",
        )
    elif (log_format := installation.module_settings.log) not in LOG_FORMATS:
        yield Finding(
            "option_file",
            "look",
            _("log = {value} in {path} is neither text nor json, and counts as text.").format(
                value=log_format, path=path
            ),
            _("Set log = text or log = json."),
        )
    else:
        yield Finding("option_file", "ok", str(path))


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
