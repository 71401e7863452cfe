"""A plugin of pytest: the tests that noticed earlier changes run first, and the one that fails is written down."""

import os
from pathlib import Path

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(Path(os.environ["MUTANTS_FIRST"]).read_text().splitlines())}
    # The sort keeps the order of all others.
    items.sort(key=lambda item: order.get(item.nodeid, len(order)))


def pytest_runtest_logreport(report):
    if report.failed:
        Path(os.environ["MUTANTS_FAILED"]).write_text(report.nodeid)
