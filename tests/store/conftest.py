"""The module's engine and statements, on a database with the module's account and rights."""

import pytest

from freeradius_module import connection


@pytest.fixture
def cursor(module_settings):
    """A cursor of a connection as the module makes it."""
    made = connection.connect(module_settings)
    with made.cursor() as cursor:
        yield cursor
    made.close()
