"""Fixtures that several files of this folder use."""

from tests.cli.enforcing import nas  # noqa: F401
from tests.cli.setup_machine import machine  # noqa: F401
