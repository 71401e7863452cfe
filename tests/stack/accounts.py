"""A test that runs as root acts as another system account for a while."""

import contextlib
import os
import pwd
from pathlib import Path


@contextlib.contextmanager
def as_account(name: str):
    """Act as this account."""
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
    """Let every account pass through this folder and those above it; their files stay protected by their own modes."""
    for one in (folder, *folder.parents):
        if not one.stat().st_mode & 0o001:
            one.chmod(one.stat().st_mode | 0o011)
