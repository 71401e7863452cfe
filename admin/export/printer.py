"""A thermal printer as the place of an export: no file, and so no PIN, stays on the disk."""

import functools
import hashlib
import io
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..shell import errors
from ..shell.new_file import NewFile
from ..shell.text import _

PREFIX = "tcp://"
# Where network printers listen for raw data.
PORT = 9100
CONNECT_SECONDS = 5.0
SEND_SECONDS = 60.0


def is_printer(path: str) -> bool:
    """Whether `--output` names a printer: tcp://HOST[:PORT], or a device such as /dev/usb/lp0."""
    if path.startswith(PREFIX):
        return True
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


class Printer:
    """Has the methods of NewFile that an export calls.  What is written waits in memory until `publish` sends it."""

    def __init__(self, path: str):
        self.path = path
        self.file = io.BytesIO()
        self._send: Callable[[bytes], object] = lambda _octets: None
        self._flush: Callable[[], None] = lambda: None
        self._close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        """Reach the printer, so that one that is switched off is known before a PIN is read.  Raises Refused."""
        try:
            if self.path.startswith(PREFIX):
                connection = socket.create_connection(place(self.path), CONNECT_SECONDS)
                connection.settimeout(SEND_SECONDS)
                self._send, self._close = connection.sendall, connection.close
                # The printer has everything that was sent before this.
                self._flush = functools.partial(connection.shutdown, socket.SHUT_WR)
            else:
                device = open(self.path, "wb")  # noqa: SIM115  __exit__ closes it.
                self._send, self._close = device.write, device.close
                self._flush = device.flush
        except OSError as error:
            raise self._refused(error) from None
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._close()

    def require_free(self) -> None:
        """A printer is never in the way."""

    def begin_again(self) -> None:
        """Forget what was written."""
        self.file = io.BytesIO()

    def sha256(self) -> str:
        return hashlib.sha256(self.file.getvalue()).hexdigest()

    def publish(self) -> None:
        try:
            self._send(self.file.getvalue())
            self._flush()
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> errors.Refused:
        return errors.Refused(
            _("The printer {path} does not take the slips: {cause}."), path=self.path, cause=error.strerror or error
        )


def place(path: str) -> tuple[str, int]:
    """
    >>> place("tcp://192.0.2.9"), place("tcp://[2001:db8::9]:9101")
    (('192.0.2.9', 9100), ('2001:db8::9', 9101))
    """
    host, colon, port = path.removeprefix(PREFIX).rpartition(":")
    if not colon or not port.isdigit():
        host, port = path.removeprefix(PREFIX), str(PORT)
    if not host.strip("[]") or not 0 < int(port) < 65536:
        raise errors.WrongUsage(
            _("{path} names no printer. Write tcp://HOST or tcp://HOST:PORT, or a device such as /dev/usb/lp0."),
            path=path,
        )
    return host.strip("[]"), int(port)


def opened(path: str, force: bool) -> "NewFile | Printer":
    """The file or the printer that `--output` names."""
    return Printer(path) if is_printer(path) else NewFile(path, force)


def opened_beside(path: str, manifest_path: Path | str, force: bool) -> "NewFile | Printer":
    """The manifest of a file; a printer gets none, so what is written is forgotten."""
    return _Nowhere(path) if is_printer(path) else NewFile(manifest_path, force)


class _Nowhere(Printer):
    def __enter__(self) -> Self:
        return self
