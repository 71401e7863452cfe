"""Fixtures of the tests that boot a whole Debian: `make test-system`."""

import os

import pytest

from tests.system.machine import Machine

# SYSTEM=short boots Debian 12, SYSTEM=full Debian 12 and 13.  `make test` runs none of these tests: each boots a machine.
SYSTEM = os.environ.get("SYSTEM")
RELEASES = ["bookworm"] if SYSTEM == "short" else ["bookworm", "trixie"]

collect_ignore_glob = [] if SYSTEM else ["test_*.py"]


@pytest.fixture(scope="module", params=RELEASES)
def machine(request):
    """A machine for all tests of a file, which tell one story in their order."""
    with Machine(request.param) as booted:
        yield booted
