"""FreeRADIUS' directory: its files as text, their owner, and the account that FreeRADIUS runs as."""

import os
import pwd
import re
from pathlib import Path

from freeradius_module.whole_file import WholeFile

from ..shell import errors
from ..shell.text import _

CERTIFICATES = Path("certs/prepaid")


def check_is_raddb(directory: Path) -> None:
    """Refuse a directory that is not FreeRADIUS'."""
    try:
        found = (directory / "radiusd.conf").exists()
    except PermissionError:
        raise errors.Refused(_("You may not read {directory}. Run this as root."), directory=directory) from None
    if not found:
        raise errors.Refused(
            _("{directory} is not FreeRADIUS' directory: it has no radiusd.conf. Name the right one with --dir."),
            directory=directory,
        )


def content(path: Path) -> str | None:
    """The text of a file; None if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return None


def write(directory: Path, path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by FreeRADIUS and nobody else."""
    try:
        with WholeFile(path, replace=True, mode=0o640) as new:
            new.file.write(text.encode())
            give(directory, new.file.fileno())
            new.publish()
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None


def give(directory: Path, file: Path | int) -> None:
    """Give a file, by its path or descriptor, to the owner of FreeRADIUS' own files."""
    if os.geteuid() == 0:
        owner = (directory / "radiusd.conf").stat()
        os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=isinstance(file, int))


def radiusd_user(directory: Path) -> str | None:
    """The account that FreeRADIUS runs as; None if radiusd.conf does not name an existing one."""
    found = re.search(r"(?m)^\s*user\s*=\s*(\S+)", content(directory / "radiusd.conf") or "")
    if not found:
        return None
    try:
        return pwd.getpwnam(found[1]).pw_name
    except KeyError:
        return None


def quarantine_in_log(directory: Path) -> Path:
    """The quarantine's path if the option file names no queue, as in mods-available/prepaid_queue."""
    found = re.search(r"(?m)^\s*logdir\s*=\s*\"?([^\s\"$]+)\"?\s*$", content(directory / "radiusd.conf") or "")
    return Path(found[1] if found else "/var/log/freeradius") / "prepaid-quarantine"


def may_read(user: str, path: Path) -> bool:
    """Whether the mode of a file lets this account read it."""
    return has_mode(user, path, 0o4)


def may_write(user: str, folder: Path) -> bool:
    """Whether the mode of a folder lets this account make files in it."""
    return has_mode(user, folder, 0o3)


def has_mode(user: str, path: Path, bits: int) -> bool:
    account = pwd.getpwnam(user)
    try:
        status = path.stat()
    except OSError:
        return False
    if account.pw_uid == 0:
        return True
    if account.pw_uid == status.st_uid:
        shift = 6
    else:
        shift = 3 if status.st_gid in os.getgrouplist(user, account.pw_gid) else 0
    return status.st_mode >> shift & bits == bits
