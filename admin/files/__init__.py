"""What exports, reports and voice exports share: lines of CSV, rows of a workbook, fonts of a PDF."""

from typing import Protocol


class Target(Protocol):
    """Where a file's content goes: the file itself, or what encrypts on the way to it."""

    def write(self, octets: bytes, /) -> int: ...

    def flush(self) -> None: ...
