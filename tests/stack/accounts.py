"""Another system account, taken on for a while by a test that runs as root."""

import contextlib
import os
import pwd
from pathlib import Path


@contextlib.contextmanager
def as_account(name: str):
    """Read files as this account would."""
    account = pwd.getpwnam(name)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def open_way(folder: Path) -> None:
    """Let every account walk through these folders; what is in them is protected by its own mode."""
    for one in (folder, *folder.parents):
        if not one.stat().st_mode & 0o001:
            one.chmod(one.stat().st_mode | 0o011)
