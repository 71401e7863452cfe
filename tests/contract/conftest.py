"""Both packages on one database: each reads what the other writes."""

import pytest

from admin.enforce.enforcer import Enforcer
from admin.shell.office import Office
from tests.contract.raddb_directory import raddb  # noqa: F401
from tests.quiet_nas import QuietNas
from tests.simulated_clock import SimulatedClock, server_follows


@pytest.fixture
def clock(database):
    """A clock that only the test moves."""
    with server_follows(database), SimulatedClock().running() as clock:
        yield clock


@pytest.fixture
def enforcer(database, _unstarted_stack):
    """`prepaid enforce` on a network whose NAS do not answer; `enforcer.exchange` keeps the requests."""
    enforcer = Enforcer(Office(str(_unstarted_stack.option_file)))
    enforcer.exchange.close()
    enforcer.exchange = QuietNas()
    yield enforcer
    enforcer.office.close()
