"""Both packages on one database: what the office writes, the module reads, and the other way round."""

import pytest

from freeradius_module import settings
from freeradius_module.desk import Desk


@pytest.fixture
def desk(database, _unstarted_stack):
    return Desk(settings.load(str(_unstarted_stack.option_file)))
