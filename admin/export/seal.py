"""A sealed export: encrypted with age (age-encryption.org) while it is written.

Each block is encrypted on its way into the file, so that the clear text is never on a disk.
"""

import contextlib
import enum
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pyrage

from ..files import Target
from ..shell.text import _

# An x25519 or SSH key of pyrage, which has no types.
Recipient = Any
_BLOCKS_WAITING = 16
_BLOCK_OCTETS = 65_536


def recipient(text: str) -> Recipient:
    """A reader's public key: age1…, or an SSH key (ssh-ed25519 …, ssh-rsa …).

    No message repeats the key, because it may be a secret one that was given by mistake.
    """
    if text.strip().upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError(
            _(
                "this is a secret key. Ask the print shop for the public key, which begins with age1. "
                "Whoever has seen the secret key can read everything that was sealed for it."
            )
        )
    kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(text.strip())
    except pyrage.RecipientError:
        raise ValueError(
            _("this is not a public key of age. A public key begins with age1; 'age-keygen -y' prints it.")
        ) from None


@contextlib.contextmanager
def sealing(file: Target, recipients: Iterable[Recipient]) -> Iterator[Target]:
    """A file to write to; its content arrives in `file` encrypted for the recipients."""
    sealer = _Sealer(file, list(recipients))
    try:
        yield sealer
    except BaseException:
        sealer.give_up()
        raise
    sealer.finish()


class _Last(enum.Enum):
    """What follows the last block."""

    END = enum.auto()
    BROKEN = enum.auto()


class _Sealer:
    """Passes blocks from the format, which writes, to pyrage, which reads: by a short queue to a thread of pyrage."""

    def __init__(self, file: Target, recipients: list[Recipient]):
        self._target = _Target(file)
        self._recipients = recipients
        self._blocks: queue.Queue[bytes | _Last] = queue.Queue(_BLOCKS_WAITING)
        self._rest = b""
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._seal, daemon=True)
        self._thread.start()

    def write(self, block: bytes, /) -> int:
        if self._error is not None:
            raise self._error
        # ReportLab writes a whole PDF at once; `read` would copy the rest of a large block again and again.
        for at in range(0, len(block), _BLOCK_OCTETS):
            self._blocks.put(bytes(block[at : at + _BLOCK_OCTETS]))
        return len(block)

    def flush(self) -> None:
        """Nothing to do: the cipher takes whole blocks only."""

    def finish(self) -> None:
        self._blocks.put(_Last.END)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        self._blocks.put(_Last.BROKEN)
        self._thread.join()

    def read(self, most: int = -1) -> bytes:
        """For pyrage: the next bytes; empty at the end."""
        if not self._rest:
            block = self._blocks.get()
            if isinstance(block, _Last):
                self._blocks.put(block)
                if block is _Last.BROKEN:
                    raise OSError("given up")
                return b""
            self._rest = block
        most = len(self._rest) if most < 0 else most
        octets, self._rest = self._rest[:most], self._rest[most:]
        return octets

    def _seal(self) -> None:
        try:
            pyrage.encrypt_io(self, self._target, self._recipients)
        except BaseException as error:  # Any error is raised in the thread that writes.
            self._error = self._target.error or error
            # Empty the queue, so that the writer does not wait for a reader that has stopped.
            while not isinstance(self._blocks.get(), _Last):
                pass


class _Target:
    """The file, and the error of its last write, because pyrage hides that the disk is full."""

    def __init__(self, file: Target):
        self._file = file
        self.error: OSError | None = None

    def write(self, block: bytes, /) -> int:
        try:
            return self._file.write(block)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()
