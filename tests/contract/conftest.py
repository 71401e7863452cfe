"""Both packages on one database: each reads what the other writes."""

import pytest

from admin.enforce.enforcer import Enforcer
from admin.shell.office import Office
from freeradius_module import settings
from freeradius_module.engine.engine import Engine
from tests.quiet_nas import QuietNas
from tests.shop import Shop
from tests.simulated_clock import SimulatedClock, server_follows


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


@pytest.fixture
def shop(database, _unstarted_stack):
    return Shop(database, _unstarted_stack.key_file)


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
