"""Two acts on one card on two nodes, statement by statement: their locks do not meet, and yet the result is a serial one."""

import contextlib
import io

import pytest

from freeradius_module.sealing import keyring
from tests.database import Database
from tests.interleaving import footprint, steps
from tests.interleaving.trial import Trial, told
from tests.interleaving.world import World
from tests.stack.stack import DATABASE


class TwoNodes(World):
    """A world whose sides work on nodes of their own."""

    def __init__(self, stack, folder):
        self._stack = stack
        self._folder = folder
        self._names = "AB"
        keys = keyring.load(stack.key_file)
        super().__init__(Database(stack.mariadb, DATABASE), stack.option_file, stack.key_file, keys, self._names)

    def option_file_of(self, side_name):
        node = self._stack.cluster.nodes[self._names.index(side_name)]
        lines = self._stack.option_file.read_text().splitlines()
        place = f"hosts = {node.place.address}:{node.place.port}"
        option_file = self._folder / f"{side_name}.cnf"
        option_file.write_text("\n".join(place if line.startswith("hosts = ") else line for line in lines))
        option_file.chmod(0o600)
        return option_file

    def connect_owner(self):
        made = super().connect_owner()
        with made.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 15")
        return made

    def case(self, state_name, with_target=False):
        """A new card, on both nodes."""
        made = super().case(state_name, with_target)
        self._wait_for_both()
        return made

    def look(self, case):
        self._wait_for_both()
        return super().look(case)

    def _wait_for_both(self):
        for node in self._stack.cluster.nodes[: len(self._names)]:
            with node.connect(DATABASE) as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION wsrep_sync_wait = 15")
                cursor.execute("SELECT COUNT(*) FROM site")


@pytest.fixture(scope="module")
def two_nodes(stack, tmp_path_factory):
    stack.cluster.start()
    with steps.intercepted(), pytest.MonkeyPatch.context() as patch:
        # What the triggers write on a node of a cluster.
        patch.setattr(
            footprint,
            "TRIGGERS",
            footprint.TRIGGERS | {"card": {"card_event", "cluster_conflict"}, "session": {"cluster_conflict"}},
        )
        made = TwoNodes(stack, tmp_path_factory.mktemp("two-nodes"))
        yield made
        made.close()


@pytest.mark.parametrize(
    "acts",
    [
        ("login", "block", "in_use"),
        ("login", "block", "on"),
        ("block", "first_login", "delivered"),
        ("first_login", "return", "delivered"),
        ("login", "shorten", "on"),
        ("login", "exhaust", "both"),
        ("other_login", "exhaust", "on"),
        ("login", "login", "single"),
        ("other_login", "other_login", "in_use"),
        ("first_login", "first_login", "delivered"),
        ("interim", "interim", "on"),
        ("interim", "exhaust", "on"),
        ("stop", "stop", "on"),
        ("credit", "exhaust", "on"),
    ],
    ids="-".join,
)
def test_acts_on_two_nodes(two_nodes, acts, request):
    *names, state = acts
    trial = Trial(two_nodes, tuple(names), state)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        failures = trial.failures()
    two_nodes.count(request, pairs=1, **trial.counts)
    assert not failures, f"{len(failures)} schedules failed, first\n{told(failures[0])}\nand\n" + "\n".join(
        f"{failure.schedule}: {failure.faults}" for failure in failures[1:40]
    )
