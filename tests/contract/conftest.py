"""Both packages on one database: what the office writes, the module reads, and the other way round."""

import pytest

from freeradius_module import settings
from freeradius_module.desk import Desk


@pytest.fixture
def module_settings(database, _unstarted_stack):
    """As FreeRADIUS would load them."""
    return settings.load(str(_unstarted_stack.option_file))


@pytest.fixture
def desk(module_settings):
    return Desk(module_settings)
