"""Three Galera nodes and a FreeRADIUS on loopback, for all tests of a process."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.stack import free_ports
from tests.stack.cluster import NODES, ClusterStack
from tests.stack.galera import places_on_loopback

QUICK = ["innodb_flush_method = nosync", "sync_frm = OFF"]


@pytest.fixture(scope="session")
def stack(installed):
    folder = Path(tempfile.mkdtemp(prefix="prepaid-cluster-"))
    folder.chmod(0o711)  # the nodes run as mysql
    auth_port, acct_port = free_ports(2)
    stack = ClusterStack(
        folder,
        auth_port=auth_port,
        acct_port=acct_port,
        places=places_on_loopback(NODES),
        mariadb_options=QUICK,
        freeradius_options={"reject_delay": "0"},
        dies_with_parent=True,
    )
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        shutil.rmtree(folder)


@pytest.fixture
def cluster(stack):
    """Whole, whatever the test before has done to it."""
    stack.cluster.start()
    return stack.cluster
