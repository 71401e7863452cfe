"""The engine that the FreeRADIUS processes of a machine share."""

import pwd
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from freeradius_module.engine.server import accounting_path

from ..freeradius import raddb_directory
from ..shell.text import _
from .finding import Finding, Installation

NAME = "engine"


def check_engine(installation: Installation) -> Iterator[Finding]:
    """Both sockets of the engine accept connections, and the engine serves FreeRADIUS' account."""
    if not installation.module_settings.engine:
        return
    path = Path(installation.module_settings.engine)
    for listener in (path, accounting_path(path)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            try:
                connection.connect(str(listener))
            except OSError as fault:
                yield Finding(
                    NAME,
                    "fault",
                    _without_engine(installation).format(path=listener, cause=fault.strerror),
                    "systemctl enable --now prepaid-engine",
                )
                return
    user, owner = installation.radiusd_user, path.owner()
    if user and user not in (owner, "root") and not _is_open_to(user, path):
        yield Finding(
            NAME,
            "fault",
            _("The engine runs as {owner} and serves no other account; FreeRADIUS runs as {user}.").format(
                owner=owner, user=user
            ),
            _("Run 'prepaid engine --caller {user}', with {user}'s group.").format(user=user),
        )
        return
    yield Finding(NAME, "ok", str(path))


def _without_engine(installation: Installation) -> str:
    """FreeRADIUS decides by itself only if its account may read the key."""
    user, key = installation.radiusd_user, Path(installation.office.key_file)
    if user and not raddb_directory.has_mode(user, key, stat.S_IROTH):
        return _("No engine listens at {path} ({cause}): logins get no answer, and accounting waits.")
    return _("No engine listens at {path} ({cause}); each FreeRADIUS decides by itself, more slowly.")


def _is_open_to(user: str, path: Path) -> bool:
    """Whether the group of an account may open the socket: it may if the engine serves callers of another account."""
    found = path.stat()
    return bool(found.st_mode & stat.S_IWGRP) and found.st_gid == pwd.getpwnam(user).pw_gid
