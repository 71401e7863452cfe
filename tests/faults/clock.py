"""A clock that can be moved while servers run: libfaketime (Debian: libfaketime)."""

import glob
import os
from pathlib import Path


class FakeClock:
    """Programs started after this see the true time plus ``seconds``; the process itself does not."""

    def __init__(self, folder: Path):
        self.file = folder / "clock"
        self.seconds = 0
        self._write()
        os.environ.update(
            {
                "LD_PRELOAD": _library(),
                "FAKETIME_TIMESTAMP_FILE": str(self.file),
                "FAKETIME_NO_CACHE": "1",
                # Waits and time-outs use the true clock.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        )

    def advance(self, seconds: int) -> None:
        self.seconds += seconds
        self._write()

    def _write(self) -> None:
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(f"{self.seconds:+d}\n")
        unfinished.rename(self.file)


def _library() -> str:
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise SystemExit("The simulation needs libfaketime: apt-get install libfaketime")
    return found[0]
