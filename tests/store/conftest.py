"""The module's engine and statements, on a database with the module's account and rights."""

import pytest

from freeradius_module import connection, settings
from freeradius_module.engine.engine import Engine
from tests.shop import Shop


@pytest.fixture
def shop(database, _unstarted_stack):
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


@pytest.fixture
def cursor(module_settings):
    """A cursor of a connection as the module makes it."""
    made = connection.connect(module_settings)
    with made.cursor() as cursor:
        yield cursor
    made.close()
