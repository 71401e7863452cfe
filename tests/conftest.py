"""Fixtures, from the cheapest to the most expensive; a test that needs less starts sooner.

    installed         the product as pip installs it, up to date with the tree
    schema_database   a fresh database of its own with sql/schema.sql, on the session's private MariaDB
    database          the stack's database, as `prepaid db init` left it, with the NAS 'loopback'
    office            `prepaid` on that database
    radius            a NAS that sends packets to the real radiusd on that database
    stack             the servers themselves: stop, kill, suspend and start them again

Each pytest run has its own folder and ports, so several runs can work side by side.  The database's files are in memory
if there is room and TMPDIR is not set.  Set PREPAID_TEST_KEEP=1 to keep logs and data.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from pathlib import Path

import pytest

from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from tests import waiting, work_order
from tests.database import CleanDatabase, Database
from tests.office import Office
from tests.radius_client import RadiusClient
from tests.shop import Shop
from tests.stack import Stack, free_ports
from tests.stack.accounts import open_way
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE

CHECKOUT = Path(__file__).resolve().parents[1]
# Twice as much as a run of all tests needs.
MEMORY_BYTES = 4 * 2**30
SCHEMA = CHECKOUT / "sql" / "schema.sql"
# tests/mutants runs thousands of times on a server that it has started: its folders, ports and options.
RUNNING_STACK = "PREPAID_TEST_STACK"


# Optional, because tests/mutants runs pytest without xdist.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return work_order.LongTestsFirst(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config, items):
    """The workers' queue has the order of the collection; the order of a single process is not changed."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: work_order.place(item.nodeid))


def pytest_terminal_summary(terminalreporter):
    """The sum of what tests have counted, also in other processes of pytest: see World.count."""
    total: Counter = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                total.update(dict(report.user_properties).get("interleavings", {}))
    if total:
        terminalreporter.write_line(f"Interleavings: {', '.join(f'{count} {name}' for name, count in total.items())}")


@pytest.fixture(scope="session")
def installed():
    """Commands and radiusd run from the installed copy, so it must match this tree."""
    if RUNNING_STACK in os.environ:
        return
    # One worker after the other: an installation removes the command for a moment, while another worker may use it.
    with open(Path(sys.prefix) / "installing.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "--no-print-directory", "installed", f"VENV={sys.prefix}"], cwd=CHECKOUT, check=True)


@pytest.fixture(scope="session")
def _unstarted_stack(installed):
    if RUNNING_STACK in os.environ:
        folder, data_folder, auth_port, acct_port, options = json.loads(os.environ[RUNNING_STACK])
        stack = Stack(
            Path(folder),
            auth_port=auth_port,
            acct_port=acct_port,
            durability=QUICK,
            data_folder=Path(data_folder),
            # A test that starts it again must not change what it measures.
            mariadb_options=options,
            freeradius_options={"reject_delay": "0"},
            dies_with_parent=True,
        )
        yield stack
        stack.freeradius.stop()
        return
    # A short name: the path of MariaDB's socket must not exceed 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="prepaid-test-"))
    memory = memory_folder(folder.name)
    auth_port, acct_port = free_ports(2)
    stack = Stack(
        folder,
        auth_port=auth_port,
        acct_port=acct_port,
        durability=QUICK,
        data_folder=memory and memory / "mariadb",
        # FreeRADIUS delays a refusal by a second, against guessing; the tests are refused hundreds of times.
        freeradius_options={"reject_delay": "0"},
        dies_with_parent=True,
    )
    yield stack
    stack.down()
    if os.environ.get("PREPAID_TEST_KEEP"):
        print(f"\nKept: {folder} {memory or ''}")
    else:
        shutil.rmtree(folder)
        if memory:
            shutil.rmtree(memory)


@pytest.fixture
def open_folder():
    """A folder that every account may walk through.

    Not `tmp_path`: whenever any pytest starts on this machine, it closes the folder of all runs to other accounts.
    """
    folder = Path(tempfile.mkdtemp(prefix="prepaid-test-"))
    open_way(folder)
    yield folder
    if os.environ.get("PREPAID_TEST_KEEP"):
        print(f"\nKept: {folder}")
    else:
        shutil.rmtree(folder)


def memory_folder(name: str) -> Path | None:
    """A folder in memory for the database's files: there a schema is made and dropped in a tenth of the time.

    radiusd's files cannot be there: it treats every file under /dev as a device, and does not create it.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_dir() or shutil.disk_usage(memory).free < MEMORY_BYTES:
        return None
    (memory / name).mkdir(mode=0o700)
    return memory / name


@pytest.fixture(scope="session")
def mariadb(_unstarted_stack):
    """The session's private MariaDB; tests cannot rely on its contents."""
    _unstarted_stack.mariadb.start()
    return _unstarted_stack.mariadb


@pytest.fixture
def schema_database(mariadb):
    """A database with the schema and nothing else, dropped after the test."""
    name = f"schema_{uuid.uuid4().hex[:12]}"
    database = Database(mariadb, name)
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    load_sql(database, SCHEMA)
    yield database
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


def load_sql(database: Database, path: Path) -> None:
    """Run a file with the mysql shell, as an administrator does."""
    with path.open() as file:
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={database.mariadb.socket}", database.name],
            stdin=file,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, f"{path.name}: {done.stderr}"


@pytest.fixture(scope="session")
def _clean_database(mariadb, _unstarted_stack):
    if RUNNING_STACK not in os.environ:
        _unstarted_stack.start_database()
    return CleanDatabase(Database(mariadb, DATABASE))


@pytest.fixture
def database(_clean_database, _unstarted_stack):
    # Cleaned before the test and not after it, so that one can look at what a failed test left.
    _unstarted_stack.mariadb.start()
    _clean_database.restore()
    return _clean_database.database


@pytest.fixture
def stack(database, _unstarted_stack):
    """Both servers, running; a test may stop, kill or suspend each of them."""
    _unstarted_stack.start_freeradius()
    _unstarted_stack.freeradius.mark_log()
    yield _unstarted_stack
    # A suspended server would block every later test.
    for server in (_unstarted_stack.mariadb, _unstarted_stack.freeradius):
        if server.is_running():
            server.daemon.resume()


@pytest.fixture
def office(database, _unstarted_stack):
    return Office(_unstarted_stack.option_file)


@pytest.fixture
def radius(stack):
    return RadiusClient(stack.freeradius.auth_port, stack.freeradius.acct_port)


# --- What tests share -------------------------------------------------------------------------------


@pytest.fixture
def shop(database, _unstarted_stack):
    """Cards, partners and NAS by SQL, as quick as the database."""
    return Shop(database, _unstarted_stack.key_file)


@pytest.fixture
def module_settings(database, _unstarted_stack):
    """The module's settings, as FreeRADIUS loads them."""
    return settings.load(str(_unstarted_stack.option_file))


@pytest.fixture
def engine(module_settings):
    return Engine(module_settings)


@pytest.fixture
def new_engine(module_settings):
    """Each call makes an engine, as of another radiusd on the same database."""
    return lambda: Engine(module_settings)


@pytest.fixture(scope="session")
def wait_until():
    """Call something again until it returns something true; returns that."""
    return waiting.wait_until
