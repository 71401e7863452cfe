"""Full disks under load: the database's, the logs', the queue's; then each has free space again.

Runs in a private mount namespace, where small file systems in memory are the disks.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from .campaign import Campaign, run
from .results import Row

FULL_SECONDS = (3, 6)
DISKS = {"mariadb": "320m", "log": "4m", "queue": "80m"}
IN_NAMESPACE = "PREPAID_FAULTS_NAMESPACE"


def campaign(short: bool) -> Row:
    rounds = 1 if short else 5
    full_seconds = FULL_SECONDS[0 if short else 1]

    def prepare(servers: Campaign) -> None:
        for name, size in DISKS.items():
            folder = servers.folder / name
            folder.mkdir(mode=0o750)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0750", "tmpfs", str(folder)], check=True)

    told = []
    options = ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M"]
    with Disks("full disks", settings={"queue": ""}, mariadb_options=options, prepare=prepare) as servers:
        for _ in range(rounds):
            for name in DISKS:
                servers.load_for(500)
                before = servers.customers.acknowledged
                with full(servers.folder / name):
                    servers.load_seconds(full_seconds)
                    # Two at once: then neither the database nor the queue can take a packet.
                    if name == "mariadb":
                        with full(servers.folder / "queue"):
                            servers.load_seconds(full_seconds)
                if not servers.stack.mariadb.is_running():
                    told.append("mariadbd had ended")
                servers.stack.mariadb.start()
                told.append(f"{servers.customers.acknowledged - before} acknowledged while {name} was full")
        servers.load_for(500)
        # Look for any row that was posted twice.
        for table, _, _, word in servers.sql("CHECK TABLE card, session"):
            if word != "OK":
                servers.fail(f"{table}: {word}")
        return servers.verdict(", ".join(told[:6]))


class Disks(Campaign):
    """Put MariaDB's files into a folder on the small disk, because a rename makes that folder."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        data = self.folder / "mariadb" / "data"
        for index, argument in enumerate(self.stack.mariadb.daemon.argv):
            if argument.startswith("--datadir="):
                self.stack.mariadb.daemon.argv[index] = f"--datadir={data}"
        self.stack.mariadb.data_folder = data
        self.stack.mariadb.daemon.mark = f"--datadir={data}"

    def _remove_folder(self) -> None:
        # A mount point cannot be removed.
        for name in DISKS:
            subprocess.run(["umount", str(self.folder / name)], stderr=subprocess.DEVNULL)
        super()._remove_folder()


@contextlib.contextmanager
def full(folder: Path):
    """Fill that disk to the last octet."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1_000_000, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    try:
        yield
    finally:
        ballast.unlink()
        time.sleep(0.5)


if __name__ == "__main__":
    if IN_NAMESPACE not in os.environ:
        rights = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.environ[IN_NAMESPACE] = "1"
        own = [sys.executable, "-m", "tests.faults.disk_full", *sys.argv[1:]]
        sys.exit(subprocess.run(["unshare", "--mount", *rights, *own]).returncode)
    run(campaign)
