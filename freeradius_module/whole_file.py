"""A file that is complete under its name, or not there at all, even if the program is killed or the power fails.

The key file, FreeRADIUS' configuration, exports and reports are written this way.
"""

import contextlib
import errno
import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

# The end of a hidden name.
UNFINISHED = ".prepaid-unfinished"


class WholeFile:
    """Write to `file`, then `publish`.  Until then nobody sees anything under the file's name.

    The file has no name while it is written, so that even kill -9 leaves nothing behind.  It has a hidden name while it
    replaces another file, and on a file system that does not support files without a name.  The next WholeFile in the
    folder removes what a killed program left under such a name.

    `mode` is subject to the umask.  OSError passes through; FileExistsError means that the name is taken and `replace`
    is False.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cards.csv"
    >>> with WholeFile(path) as new:
    ...     written = new.file.write(b"serial,pin")
    ...     before = path.exists()
    ...     new.publish()
    >>> before, path.read_bytes()
    (False, b'serial,pin')
    """

    def __init__(self, path: str | os.PathLike[str], replace: bool = False, mode: int = 0o600):
        self.path = Path(path)
        self.replace = replace
        self._hidden: Path | None = None
        _remove_unfinished(self.path.parent)
        self.file = open(self._opened(mode), "w+b")

    def publish(self) -> None:
        """Give the file its name, once the disk has its content."""
        self.store()
        if self.replace:
            if self._hidden is None:
                hidden = self._hidden_name()
                self._link(hidden)
                self._hidden = hidden
            os.replace(self._hidden, self.path)
            self._hidden = None
        else:
            # Unlike a rename, a link refuses to replace a file that was made in the meantime.
            self._link(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def store(self) -> None:
        """Wait until the disk has what was written."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # On a full disk close() raises again; the first error is the one to show.
        with contextlib.suppress(OSError):
            self.file.close()
        if self._hidden is not None:
            self._hidden.unlink(missing_ok=True)

    def _opened(self, mode: int) -> int:
        """A descriptor that is locked while it is open: the lock shows that the file is still being written."""
        if os.path.isdir("/proc/self/fd"):
            try:
                descriptor = os.open(self.path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                    raise
            else:
                _lock(descriptor)
                return descriptor
        while True:
            self._hidden = self._hidden_name()
            descriptor = os.open(self._hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
            _lock(descriptor)
            # Another program may have removed it as unfinished before it was locked.
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)

    def _link(self, name: Path) -> None:
        if self._hidden is not None:
            _rename(self._hidden, name)
            self._hidden = None
            return
        # src_dir_fd may be any folder: os.link follows the link in /proc only when it is given one.
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(f"/proc/self/fd/{self.file.fileno()}", name, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def _hidden_name(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}{UNFINISHED}")


def _rename(hidden: Path, name: Path) -> None:
    # A rename alone would replace an existing file, and a memory stick has no links: an empty file takes the name first.
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    os.replace(hidden, name)


def _lock(descriptor: int) -> None:
    # Where the file system has no locks, nobody can lock a file, and so nobody removes one either.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove_unfinished(folder: Path) -> None:
    """Remove what killed programs left: hidden files that nobody holds locked."""
    for path in folder.glob(f".*{UNFINISHED}"):
        # Another account's file, a file that is being written and a symbolic link are left alone.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)
