"""FreeRADIUS writes to a queue on a full disk; run this in a private mount namespace, with an empty folder.

    unshare --mount python -m tests.full_disk FOLDER

A small file system in memory is the disk.  In each round it has some more free pages, and packets come until one gets no
answer.  Prints, for each round, the free pages, which packets were answered, and which are in the queue or the
quarantine.
"""

import json
import subprocess
import sys
from pathlib import Path

from freeradius_module import queue_record

from .host import SILENCE_SECONDS, Host

PAGE_OCTETS = 4096
DISK_OCTETS = 2**20
ROUNDS = 4


def main(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_OCTETS},mode=0755", "tmpfs", str(folder)], check=True)
    queue = folder / "queue"
    with Host("accounting_values", accounting="queued", queue=str(queue)) as host:
        assert host.report("begin").is_acknowledged
        for name, text in (("queue", "card"), ("quarantine", "caf\\xe9")):
            for pages in range(ROUNDS):
                (queue / name).unlink(missing_ok=True)
                with full(folder, but_pages=pages):
                    answered = until_silence(host, text.encode().decode("unicode_escape").encode("latin-1"))
                print(json.dumps([name, pages, answered, written(queue / name)]))
                assert host.report("afterwards").is_acknowledged
                (queue / "queue").unlink()


class full:
    """Fills the disk, except for so many pages."""

    def __init__(self, folder: Path, but_pages: int):
        self.ballast = folder / "ballast"
        self.octets = but_pages * PAGE_OCTETS

    def __enter__(self):
        with self.ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * PAGE_OCTETS)
            except OSError:
                file.truncate(file.tell() - self.octets)

    def __exit__(self, *_fault):
        self.ballast.unlink()


def until_silence(host: Host, name: bytes) -> list[str]:
    answered = []
    for number in range(100):
        reply = host.report(name + b" %d" % number, timeout_seconds=SILENCE_SECONDS)
        if reply is None:
            break
        answered.append(str(number))
    return answered


def written(path: Path) -> list[str]:
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        found += (
            dict(part.pairs)["User-Name"].split()[-1]
            for part in queue_record.split(line)
            if isinstance(part, queue_record.Record)
        )
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
