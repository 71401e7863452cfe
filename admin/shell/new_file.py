"""A file that a command makes: for its owner only, complete or not there at all; refusals name the file."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from freeradius_module.whole_file import WholeFile

from . import errors
from .text import _


class NewFile(WholeFile):
    """A WholeFile whose errors are sentences.  An existing file is kept unless `force` is set."""

    def __init__(self, path: str | os.PathLike[str], force: bool = False):
        self.path, self.replace = Path(path), force
        self.require_free()
        with _sentences_for(self.path):
            if self.path.is_dir():
                raise errors.Refused(_("{path} is a folder. Name a file."), path=self.path)
            super().__init__(path, replace=force)

    def require_free(self) -> None:
        """Refuse now what `publish` would have to refuse later."""
        if not self.replace and os.path.lexists(self.path):
            raise _exists_already(self.path)

    def begin_again(self) -> None:
        """Forget what was written."""
        self.file.seek(0)
        self.file.truncate()

    def sha256(self) -> str:
        """The SHA-256 of what was written, once the disk has it."""
        with _sentences_for(self.path):
            self.store()
            self.file.seek(0)
            return hashlib.file_digest(self.file, "sha256").hexdigest()

    def publish(self) -> None:
        with _sentences_for(self.path):
            super().publish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if isinstance(error, OSError):
            with _sentences_for(self.path):
                raise error


def _exists_already(path: Path) -> errors.Refused:
    return errors.Refused(
        _("{path} exists already and is kept. Name another file, or replace it with --force."), path=path
    )


@contextlib.contextmanager
def _sentences_for(path: Path) -> Iterator[None]:
    """Turn the system's error into a refusal that names the file and what to do."""
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
