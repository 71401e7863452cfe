"""The backup of docs/operations.md: the machine is lost, and restored to a point in time.

The dump is made while customers use their cards; then comes more load, the point in time, and more load; then database
and key are lost.  After the restore every card has used exactly what had been acknowledged at that point.  Sums, history
chain and PINs are correct, and sessions from before that point are charged further.
"""

import json
import os
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.radius_client import RadiusClient
from tests.stack.stack import DATABASE, PREPAID

from .campaign import Campaign, run
from .customers import Customers
from .results import Row

DUMP = ["--single-transaction", "--flush-logs", "--master-data=2", "--routines", "--hex-blob", "--databases", DATABASE]


def campaign(short: bool) -> Row:
    packets = 1_000 if short else 20_000

    def prepare(servers: Campaign) -> None:
        servers.stack.mariadb.daemon.argv += [
            f"--log-bin={servers.folder}/binlog",
            "--binlog-format=ROW",
            "--server-id=1",
            "--sync-binlog=1",
        ]

    with Campaign("backup and restore", prepare=prepare) as servers:
        backup = servers.folder / "backup"
        backup.mkdir()
        servers.load_for(packets)
        servers.stack.prepaid("audit", "seal")
        dump(servers, backup)
        servers.load_for(packets)
        going_on = open_session(servers)
        servers.customers.stop()
        time.sleep(1.1)
        moment = datetime.now(UTC)
        time.sleep(1.1)
        # After the point in time; the restore must not bring it back, like the wrong command that made it necessary.
        later = Customers(
            servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port, servers.purses(), seed=2
        )
        later.start()
        time.sleep(2)
        later.stop()
        lose_the_machine(servers)
        restore(servers, backup, moment)
        servers.stack.freeradius.start()
        servers.stack.prepaid("audit", "verify")
        reconcile(servers)
        radius, session, card = going_on
        if not radius.interim(session, 0, down_octets=2_000) or servers.shop.used(card) != (0, 2_000, 0):
            servers.fail("a session that had begun before is not charged on")
        return servers.verdict(f"restored to {moment:%H:%M:%S}")


def dump(servers: Campaign, backup: Path) -> None:
    """Run what docs/operations.md advises for each night."""
    with (backup / "prepaid.sql").open("wb") as file:
        subprocess.run(["mariadb-dump", *client(servers), *DUMP], stdout=file, check=True)
    shutil.copy2(servers.stack.key_file, backup / "key")
    shutil.copy2(servers.stack.option_file, backup / "prepaid.cnf")


def lose_the_machine(servers: Campaign) -> None:
    """Remove all but the backup and the binary log, which are elsewhere."""
    servers.stack.freeradius.stop()
    servers.stack.mariadb.stop()
    logs = servers.folder / "backup" / "binlog"
    logs.mkdir()
    for path in servers.folder.glob("binlog.*"):
        path.rename(logs / path.name)
    shutil.rmtree(servers.stack.mariadb.data_folder)
    servers.stack.key_file.unlink()
    servers.stack.option_file.unlink()


def restore(servers: Campaign, backup: Path, moment: datetime) -> None:
    shutil.copy2(backup / "key", servers.stack.key_file)
    shutil.copy2(backup / "prepaid.cnf", servers.stack.option_file)
    servers.stack.mariadb.start()
    with (backup / "prepaid.sql").open("rb") as file:
        subprocess.run(["mariadb", *client(servers)], stdin=file, check=True)
    first, position = re.search(
        r"MASTER_LOG_FILE='binlog\.(\d+)', MASTER_LOG_POS=(\d+)", head(backup / "prepaid.sql")
    ).groups()
    # MariaDB 11 writes an index of positions beside each log (.idx).
    logs = [
        path
        for path in sorted((backup / "binlog").glob("binlog.[0-9]*"))
        if path.suffix[1:].isdigit() and int(path.suffix[1:]) >= int(first)
    ]
    # The client reads the time in its own time zone.
    replay = subprocess.Popen(
        [
            "mariadb-binlog",
            "--no-defaults",
            f"--start-position={position}",
            f"--stop-datetime={moment:%Y-%m-%d %H:%M:%S}",
            *map(str, logs),
        ],
        stdout=subprocess.PIPE,
        env=os.environ | {"TZ": "UTC"},
    )
    subprocess.run(["mariadb", *client(servers), "--binary-mode"], stdin=replay.stdout, check=True)
    if replay.wait():
        servers.fail("the binary log could not be read")
    # The accounts are not in this database; db init makes them and their rights again.
    servers.stack.prepaid("db", "init")


def reconcile(servers: Campaign) -> None:
    """The books agree, except for custody: the test delivered these cards without delivery notes."""
    program = [str(PREPAID), "--config", str(servers.stack.option_file), "reconcile", "--json"]
    faults = json.loads(subprocess.run(program, capture_output=True, text=True).stdout)["faults"]
    for fault in faults:
        if fault["check"] != "custody":
            servers.fail(f"reconcile: {fault}")


def client(servers: Campaign) -> list[str]:
    return ["--no-defaults", f"--socket={servers.stack.mariadb.socket}"]


def head(path: Path) -> str:
    with path.open(errors="replace") as file:
        return file.read(20_000)


def open_session(servers: Campaign):
    radius = RadiusClient(servers.stack.freeradius.auth_port, servers.stack.freeradius.acct_port)
    (card,) = servers.shop.sell(1, credit_octets=2**40)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    radius.interim(session, 0, down_octets=1_000)
    return radius, session, card


if __name__ == "__main__":
    run(campaign)
