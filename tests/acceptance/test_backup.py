"""The backup of docs/operations.md on a MariaDB as Debian configures it, which has no binary log.

The way with the binary log, under load and to a point in time, is the campaign `backup` (tests/faults/backup.py).
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.database import Database
from tests.radius_client import RadiusClient
from tests.shop import Shop
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE


@pytest.fixture
def own_stack(installed):
    folder = Path(tempfile.mkdtemp(prefix="prepaid-test-"))
    auth_port, acct_port = free_ports(2)
    stack = Stack(folder, auth_port=auth_port, acct_port=acct_port, durability=QUICK, dies_with_parent=True)
    stack.up()
    yield stack
    stack.down()
    shutil.rmtree(folder)


def documented_dumps() -> list[list[str]]:
    """The arguments of `mariadb-dump` on the page: with the binary log, and without."""
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    return [found.split() for found in re.findall(r"^    mariadb-dump (.*) > prepaid\.sql$", page, re.MULTILINE)]


def run_client(stack, program: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program, "--no-defaults", f"--socket={stack.mariadb.socket}", *arguments], stderr=subprocess.PIPE, **options
    )


def test_a_dump_without_a_binary_log_restores_cards_and_what_they_used(own_stack, tmp_path):
    with_log, without_log = documented_dumps()
    shop = Shop(Database(own_stack.mariadb, DATABASE), own_stack.key_file)
    radius = RadiusClient(own_stack.freeradius.auth_port, own_stack.freeradius.acct_port)
    (card,) = shop.sell(1, credit_seconds=600)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    assert radius.stop(session, 77).is_acknowledged

    assert run_client(own_stack, "mariadb-dump", *with_log, stdout=subprocess.DEVNULL).returncode != 0
    dump = tmp_path / "prepaid.sql"
    with dump.open("wb") as file:
        assert run_client(own_stack, "mariadb-dump", *without_log, stdout=file).returncode == 0

    own_stack.freeradius.stop()
    own_stack.mariadb.stop()
    shutil.rmtree(own_stack.mariadb.data_folder)
    own_stack.mariadb.start()
    with dump.open("rb") as file:
        restored = run_client(own_stack, "mariadb", stdin=file)
    assert restored.returncode == 0, restored.stderr
    own_stack.prepaid("db", "init")
    own_stack.freeradius.start()

    assert shop.used(card) == (77, 0, 0)
    own_stack.prepaid("audit", "verify")
    assert radius.login(card.serial, card.pin).is_accept
