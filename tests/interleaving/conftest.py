"""A world of cards, with two or three sides that act on them; `--schedule NAME` replays a schedule that failed."""

import contextlib
import io
import os
import shutil

import pytest

from freeradius_module.sealing import keyring
from tests.interleaving import acts, steps
from tests.interleaving.world import World


def pytest_addoption(parser):
    parser.addoption("--schedule", help="Replay this one: login-block-in_use-AABAB.")


@pytest.fixture(scope="module")
def world(_clean_database, _unstarted_stack, tmp_path_factory):
    """Sides A, B and C on the stack's database, with a key file of their own that has two keys."""
    _unstarted_stack.mariadb.start()
    _clean_database.restore()
    folder = tmp_path_factory.mktemp("interleaving")
    key_file = folder / "key"
    shutil.copy(_unstarted_stack.key_file, key_file)
    os.chmod(key_file, 0o600)
    first_keys = keyring.load(key_file)
    keyring.add_key(key_file)
    option_file = folder / "prepaid.cnf"
    text = _unstarted_stack.option_file.read_text()
    option_file.write_text(text.replace(f"key_file = {_unstarted_stack.key_file}", f"key_file = {key_file}"))
    option_file.chmod(0o600)
    with steps.intercepted(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("admin.redeem.read_pin", acts.pin_of_thread)
        made = World(_clean_database.database, option_file, key_file, first_keys)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def quiet():
    """Discards what the commands print."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
