"""A file that holds secrets: for its owner only, and there whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from pathlib import Path

from . import errors
from .text import _

# How a hidden name ends.
UNFINISHED = ".prepaid-unfinished"


class NewFile:
    """Write to `file`, then `publish`.  Before that, nobody sees anything under the file's name.

    The file has no name while it is written, so that even kill -9 leaves nothing behind; where the file system
    cannot do that, or where another file is replaced, it has a hidden one.  What a killed command left under such a
    name goes when the next file is made in that folder.
    """

    def __init__(self, path: str | os.PathLike, force: bool = False):
        self.path = Path(path)
        self.force = force
        self._hidden: Path | None = None
        self.require_free()
        with _sentences_for(self.path):
            if self.path.is_dir():
                raise errors.Refused(_("{path} is a folder. Name a file."), path=self.path)
            _remove_unfinished(self.path.parent)
            self.file = open(self._descriptor(), "w+b")

    def sha256(self) -> str:
        """The SHA-256 of what was written, once the disk has it."""
        with _sentences_for(self.path):
            self._store()
            self.file.seek(0)
            return hashlib.file_digest(self.file, "sha256").hexdigest()

    def require_free(self) -> None:
        """Refuse now what `publish` would have to refuse later."""
        if not self.force and os.path.lexists(self.path):
            raise _exists_already(self.path)

    def publish(self) -> None:
        """Give the file its name."""
        with _sentences_for(self.path):
            self._store()
            if self.force:
                if self._hidden is None:
                    hidden = self._beside()
                    self._link(hidden)
                    self._hidden = hidden
                os.replace(self._hidden, self.path)
                self._hidden = None
            else:
                # Unlike a rename, a link refuses to replace what somebody else made in the meantime.
                self._link(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _traceback):
        # A full disk refuses once more when the file is closed; the first refusal is the one to show.
        with contextlib.suppress(OSError):
            self.file.close()
        if self._hidden is not None:
            self._hidden.unlink(missing_ok=True)
        if isinstance(error, OSError):
            with _sentences_for(self.path):
                raise error

    def _store(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def _descriptor(self) -> int:
        """Locked as long as it is open: by that others know that somebody is still writing."""
        if os.path.isdir("/proc/self/fd"):
            try:
                descriptor = os.open(self.path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                    raise
            else:
                _lock(descriptor)
                return descriptor
        while True:
            self._hidden = self._beside()
            descriptor = os.open(self._hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            _lock(descriptor)
            # Somebody may have taken it for a left one before it was locked.
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)

    def _link(self, name: Path) -> None:
        if self._hidden is not None:
            self._rename(name)
            return
        # The descriptor of any folder: os.link follows the link in /proc only when it is given one.
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(f"/proc/self/fd/{self.file.fileno()}", name, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def _rename(self, name: Path) -> None:
        # The name is taken first, by an empty file, because a rename alone would replace what is there; a link would
        # not, but a memory stick knows no links.
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.replace(self._hidden, name)
        self._hidden = None

    def _beside(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}{UNFINISHED}")


def _lock(descriptor: int) -> None:
    # Where there are no locks, nobody gets one, and so nobody removes anything either.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove_unfinished(folder: Path) -> None:
    """What killed commands left behind: hidden files that nobody holds locked."""
    for path in folder.glob(f".*{UNFINISHED}"):
        # Another account's file, or one that is being written, is left alone; so is a link.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _exists_already(path: Path) -> errors.Refused:
    return errors.Refused(
        _("{path} exists already and is kept. Name another file, or replace it with --force."), path=path
    )


@contextlib.contextmanager
def _sentences_for(path: Path):
    """Say what the system's refusal means for the file."""
    try:
        yield
    except FileExistsError:
        raise _exists_already(path) from None
    except FileNotFoundError:
        raise errors.Refused(
            _("{path} cannot be written: there is no folder {folder}. Make it, or name another file."),
            path=path,
            folder=path.parent,
        ) from None
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}."), path=path, cause=error.strerror or error
        ) from None
