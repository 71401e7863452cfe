"""An export for one reader only: encrypted with age (age-encryption.org) while it is written.

What is written here goes into the file encrypted, block by block; the clear text touches no disk.
"""

import contextlib
import queue
import threading
from collections.abc import Iterable

import pyrage

from ..shell.text import _

_BLOCKS_WAITING = 16


def recipient(text: str):
    """A reader's public key: age1…, or an SSH key (ssh-ed25519 …, ssh-rsa …).

    No message repeats the key, as it may be a secret one given by mistake.
    """
    if text.strip().upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError(
            _(
                "this is a secret key. Ask the print shop for the public one, which begins with age1; "
                "and whoever saw the secret key can read everything that was sealed for it."
            )
        )
    kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(text.strip())
    except pyrage.RecipientError:
        raise ValueError(
            _("this is not a public key of age. It begins with age1 and 'age-keygen -y' prints it.")
        ) from None


@contextlib.contextmanager
def sealing(file, recipients: Iterable):
    """A file to write to; what is written arrives in `file` encrypted for the recipients."""
    sealer = _Sealer(file, list(recipients))
    try:
        yield sealer
    except BaseException:
        sealer.give_up()
        raise
    sealer.finish()


class _Sealer:
    """pyrage reads from us, and the formats write to us: a thread and a short queue stand between."""

    def __init__(self, file, recipients: list):
        self._target = _Target(file)
        self._recipients = recipients
        self._blocks: queue.Queue = queue.Queue(_BLOCKS_WAITING)
        self._rest = b""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._seal, daemon=True)
        self._thread.start()

    def write(self, block) -> int:
        if self._error is not None:
            raise self._error
        self._blocks.put(bytes(block))
        return len(block)

    def flush(self) -> None:
        """Nothing waits but what the next block of the cipher needs."""

    def finish(self) -> None:
        self._blocks.put(_END)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        self._blocks.put(_BROKEN)
        self._thread.join()

    def read(self, most: int = -1) -> bytes:
        """For pyrage: the next bytes, none at the end."""
        if not self._rest:
            block = self._blocks.get()
            while block == b"":
                block = self._blocks.get()
            if block in (_END, _BROKEN):
                self._blocks.put(block)
            if block is _BROKEN:
                raise OSError("given up")
            if block is _END:
                return b""
            self._rest = block
        most = len(self._rest) if most < 0 else most
        block, self._rest = self._rest[:most], self._rest[most:]
        return block

    def _seal(self) -> None:
        try:
            pyrage.encrypt_io(self, self._target, self._recipients)
        except BaseException as error:  # Whatever it is belongs to the thread that writes.
            self._error = self._target.error or error
            # The writer must not wait for a reader that is gone.
            while self._blocks.get() not in (_END, _BROKEN):
                pass


class _Target:
    """The file, and the error of its last write: pyrage would hide that the disk is full."""

    def __init__(self, file):
        self._file = file
        self.error: OSError | None = None

    def write(self, block) -> int:
        try:
            return self._file.write(block)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


_END = object()
_BROKEN = object()
