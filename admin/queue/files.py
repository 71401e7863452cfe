"""The queue's directory: the packets that FreeRADIUS has answered and that are not charged yet.

    queue          FreeRADIUS appends to it; see raddb-config/mods-available/prepaid_queue
    queue.N.work   taken over by a charger; a lower N is older
    quarantine     packets that cannot be charged, each with its reason; FreeRADIUS adds packets that it cannot pass on
    charger.lock   held by every running charger

A charger takes the queue over by renaming it.  A writer that still has the old file open finds it locked, and opens a new
file by the name.  So a locked file belongs to one charger and does not grow.  It is removed while it is locked, after all
of it is charged.  If a charger is killed, its file stays and the next charger locks it.

How far a file is charged is noted in an extended attribute of the file, so that after a kill only little is charged again.
On a file system without such attributes the whole file is charged again, which changes nothing.
"""

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from freeradius_module import queue_record
from freeradius_module.queue_record import (
    NOT_FINISHED,
    RECORD_OCTETS_MAX,
    Record,
    Unreadable,
    as_line,
    split,
    with_reason,
)

from ..shell import errors
from ..shell.text import _

BLOCK_OCTETS = 262_144
FILLING = queue_record.FILLING.encode()
FIRST = queue_record.FIRST.encode()
CHARGED_MARK = "user.prepaid.charged_octets"


class Group(NamedTuple):
    """Some consecutive records of a file.  `end_octets` is where in the file they end."""

    parts: list[Record | Unreadable]
    end_octets: int


class Waiting(NamedTuple):
    """How much is not charged yet.  `oldest_at` is when the oldest record was received, in seconds since 1970."""

    records: int
    octets: int
    oldest_at: float | None


class Queue:
    """The directory of a queue.  Raises Refused if it does not exist or this account may not use it."""

    def __init__(self, folder: Path):
        self.folder = folder
        if not folder.is_dir():
            raise errors.Refused(
                _("There is no queue directory {folder}. 'prepaid raddb install' makes it."), folder=folder
            )
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise errors.Refused(
                _("This account may not use the queue directory {folder}. Run this as its owner, {owner}, or as root."),
                folder=folder,
                owner=folder.owner(),
            )

    def work_files(self) -> list[Path]:
        """The files that were taken over and are not charged completely, oldest first."""
        numbered = {
            int(found[1]): path
            for path in self.folder.iterdir()
            if (found := re.fullmatch(r"queue\.(\d+)\.work", path.name))
        }
        return [numbered[number] for number in sorted(numbered)]

    def older_than(self, path: Path) -> list[Path]:
        return [each for each in self.work_files() if _number(each) < _number(path)]

    def take_over(self, name: str = "queue") -> None:
        """Rename the queue (or the quarantine), if there is one, to the newest work file."""
        path = self.folder / name
        if not path.exists():
            return
        # Without the lock two chargers could choose the same number, and one file would overwrite the other.
        with self._lock_file() as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            number = max(map(_number, self.work_files()), default=0) + 1
            with contextlib.suppress(FileNotFoundError):
                path.rename(self.folder / f"queue.{number}.work")

    def claim(self, path: Path) -> "WorkFile | None":
        """Lock a work file.  Returns None if another charger has locked it, or it no longer exists."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            return None
        return WorkFile(path, descriptor)

    def set_aside(self, refused: Iterable[Unreadable]) -> None:
        """Append records to the quarantine, each with its reason.  They are on the disk when this returns."""
        self._append("quarantine", "".join(with_reason(each.text, each.reason) for each in refused))

    def put_back(self, records: Iterable[Record]) -> None:
        """Append records to the queue, to be charged later.  They are on the disk when this returns."""
        self._append("queue", "".join(as_line(each.text) for each in records))

    def _append(self, name: str, text: str) -> None:
        descriptor = self._open_locked(self.folder / name)
        try:
            end_octets = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                _write_all(descriptor, text.encode("utf-8", "surrogateescape"))
            except OSError:
                os.ftruncate(descriptor, end_octets)
                raise
            # Unlocked before fsync, so that FreeRADIUS does not wait for the disk.
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._sync_folder()

    def quarantined(self) -> Iterator[Record | Unreadable]:
        """Every record of the quarantine, oldest first."""
        path = self.folder / "quarantine"
        if path.exists():
            with path.open("rb") as file:
                for group in _groups(file.fileno(), 0, 1000):
                    yield from group.parts

    def waiting(self) -> Waiting:
        """How much of the queue and of the work files is not charged yet."""
        records, octets, oldest_at = 0, 0, None
        for path in [*self.work_files(), self.folder / "queue"]:
            # A charger may remove or rename the file before it is opened.
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                begin = _charged_octets(file.fileno())
                if oldest_at is None:
                    oldest_at = _first_received_at(file.fileno(), begin)
                file.seek(begin)
                octets += os.fstat(file.fileno()).st_size - begin
                records += _count_records(file)
        return Waiting(records, octets, oldest_at)

    @contextlib.contextmanager
    def charging(self) -> Iterator[None]:
        """Count as a running charger, for `is_charged`."""
        with self._lock_file() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def is_charged(self) -> bool:
        """Whether a charger runs."""
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def _lock_file(self) -> Iterator[int]:
        descriptor = self._open(self.folder / "charger.lock", os.O_RDWR | os.O_CREAT)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_locked(self, path: Path) -> int:
        """Open and lock a file to append to.  Like FreeRADIUS, open it again if it was renamed during the wait for the lock."""
        while True:
            descriptor = self._open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            os.close(descriptor)

    def _open(self, path: Path, flags: int) -> int:
        folder = self.folder.stat()
        # FreeRADIUS and the charger may have accounts of their own.  Then they share the folder, by its group and its ACL, and
        # the files in it.  An ACL gives what the mode of a new file permits.
        mode = 0o660 if folder.st_mode & stat.S_IWGRP else 0o600
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        if os.geteuid() == 0:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        return descriptor

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class WorkFile:
    """A locked work file: no other process reads or writes it."""

    def __init__(self, path: Path, descriptor: int):
        self.path = path
        self._descriptor = descriptor

    def __enter__(self) -> "WorkFile":
        return self

    def __exit__(self, *_fault: object) -> None:
        os.close(self._descriptor)

    def groups(self, size: int) -> Iterator[Group]:
        """The records that are not charged yet, `size` lines at a time.  The file is read in blocks, so it may be large."""
        return _groups(self._descriptor, _charged_octets(self._descriptor), size)

    def note_charged(self, octets: int) -> None:
        """Note that the file is charged up to here, after the commit.  The next charger begins here if this one is killed."""
        with contextlib.suppress(OSError):
            os.setxattr(self._descriptor, CHARGED_MARK, str(octets).encode())

    def remove(self) -> None:
        """Remove the file when all of it is charged.  It is still locked, so a waiting writer sees that it was removed."""
        self.path.unlink()


# --- Octets -----------------------------------------------------------------------------------------------


def _groups(descriptor: int, begin: int, size: int) -> Iterator[Group]:
    parts: list[Record | Unreadable] = []
    end = begin
    for count, (octets, is_finished) in enumerate(_lines(descriptor, begin), start=1):
        end += len(octets) + is_finished
        if octets.strip():
            text = octets.rstrip(FILLING).decode("utf-8", "surrogateescape")
            parts += split(text) if is_finished else [Unreadable(text, NOT_FINISHED)]
        if count % size == 0:
            yield Group(parts, end)
            parts = []
    if parts:
        yield Group(parts, end)


def _lines(descriptor: int, begin: int) -> Iterator[tuple[bytes, bool]]:
    """Each line without its line feed, and whether it had one."""
    os.lseek(descriptor, begin, os.SEEK_SET)
    rest = b""
    while block := os.read(descriptor, BLOCK_OCTETS):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line, True
        if len(rest) > RECORD_OCTETS_MAX:
            # No record is so long: a crash has left other octets here.  Keep what may be the beginning of a record.
            start = rest.rfind(FIRST)
            if start <= 0:
                start = len(rest) - len(FIRST)
            yield rest[:start], False
            rest = rest[start:]
    if rest:
        yield rest, False


def _first_received_at(descriptor: int, begin: int) -> float | None:
    for group in _groups(descriptor, begin, 1):
        for part in group.parts:
            if isinstance(part, Record):
                return part.received_at
    return None


def _count_records(file: BinaryIO) -> int:
    count = 0
    while block := file.read(BLOCK_OCTETS):
        count += block.count(b"\n")
    return count


def count_lines(path: Path) -> int:
    """How many records a file has; 0 if it does not exist."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return _count_records(file)
    return 0


def _charged_octets(descriptor: int) -> int:
    try:
        return int(os.getxattr(descriptor, CHARGED_MARK))
    except (OSError, ValueError):
        return 0


def _write_all(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]


def _number(path: Path) -> int:
    return int(path.name.split(".")[1])


def age_seconds(moment: float | None) -> float:
    """How long ago a moment was (in seconds since 1970); 0 for None and for a moment in the future."""
    return 0.0 if moment is None else max(time.time() - moment, 0.0)
