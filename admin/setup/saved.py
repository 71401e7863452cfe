"""The state of files before setup changes them, to restore it if a step fails; and the writing of whole files with their owners."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from freeradius_module.whole_file import WholeFile


class Owner(NamedTuple):
    """The numbers of an account and a group."""

    user: int
    group: int


class _State(NamedTuple):
    """What is under a name: a file, a folder or a link, with its owner and mode."""

    kind: int
    mode: int
    owner: Owner
    modified_ns: int
    # The content of a file, the target of a link; empty for a folder.
    content: bytes


class Saved:
    """A file, or a folder with everything below it, as it was when this object was made; `restore` makes it so again.

    What did not exist is removed.

    Only what differs is written, so a file that nobody changed keeps its inode and times.
    """

    def __init__(self, path: Path):
        self.path = path
        self.states = _states(path)

    def restore(self) -> None:
        now = _states(self.path)
        for path in sorted(now, reverse=True):
            if path not in self.states or now[path].kind != self.states[path].kind:
                _remove(path, now[path])
                del now[path]
        # A folder is restored after what it contains, because that changes its time.
        for path in sorted(self.states):
            if path not in now and stat.S_ISDIR(self.states[path].kind):
                path.mkdir()
        for path, state in sorted(self.states.items(), reverse=True):
            if now.get(path) != state:
                _put_back(path, state)


class SavedFolder:
    """A folder itself, without what it contains: whether it exists, its owner, mode and ACL."""

    def __init__(self, path: Path):
        self.path = path
        self.state = _state(path) if path.exists() else None
        self.attributes = set(os.listxattr(path)) if path.exists() else set()

    def restore(self) -> None:
        if self.state is None:
            if self.path.exists():
                # Fails if something is in it: that may be accounting which nobody has charged.
                self.path.rmdir()
            return
        for name in set(os.listxattr(self.path)) - self.attributes:
            os.removexattr(self.path, name)
        give(self.path, self.state.owner, self.state.mode)


def write(path: Path, content: bytes, owner: Owner, mode: int) -> None:
    """Write a file that is complete, with this owner and mode, or not there at all.  An existing file is replaced."""
    with WholeFile(path, replace=True) as new:
        new.file.write(content)
        os.fchown(new.file.fileno(), *owner)
        os.fchmod(new.file.fileno(), mode)
        new.publish()


def give(path: Path, owner: Owner, mode: int) -> None:
    """Set the owner and the mode of a file or folder."""
    os.chown(path, *owner)
    path.chmod(mode)


def has(path: Path, owner: Owner, mode: int) -> bool:
    """Whether the file or folder exists with this owner and exactly this mode."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return Owner(found.st_uid, found.st_gid) == owner and stat.S_IMODE(found.st_mode) == mode


def _states(path: Path) -> dict[Path, _State]:
    if not os.path.lexists(path):
        return {}
    return {each: _state(each) for each in (path, *path.rglob("*"))}


def _state(path: Path) -> _State:
    status = path.lstat()
    content = b""
    if stat.S_ISLNK(status.st_mode):
        content = os.fsencode(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    return _State(
        stat.S_IFMT(status.st_mode),
        stat.S_IMODE(status.st_mode),
        Owner(status.st_uid, status.st_gid),
        status.st_mtime_ns,
        content,
    )


def _remove(path: Path, state: _State) -> None:
    if stat.S_ISDIR(state.kind):
        path.rmdir()
    else:
        path.unlink()


def _put_back(path: Path, state: _State) -> None:
    if stat.S_ISLNK(state.kind):
        path.unlink(missing_ok=True)
        path.symlink_to(os.fsdecode(state.content))
        os.chown(path, *state.owner, follow_symlinks=False)
        return
    if stat.S_ISREG(state.kind):
        write(path, state.content, state.owner, state.mode)
    else:
        give(path, state.owner, state.mode)
    os.utime(path, ns=(state.modified_ns, state.modified_ns))
