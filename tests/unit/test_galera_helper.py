"""raddb-config/galera/prepaid-galera: which node may begin a cluster."""

import argparse
import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

HELPER = Path(__file__).resolve().parents[2] / "raddb-config" / "galera" / "prepaid-galera"
UUID, OTHER = "0f2c1a2e-0000-4000-8000-000000000001", "0f2c1a2e-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def helper():
    loader = importlib.machinery.SourceFileLoader("prepaid_galera", str(HELPER))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class Node:
    def __init__(self, peers=2):
        self.places = [("192.0.2.1", 1)] * peers

    def peers(self):
        return self.places


@pytest.fixture
def check(helper, monkeypatch):
    """Whether a node that came to `own` may begin; the others' positions as they are typed in."""
    monkeypatch.setattr(helper, "answers", lambda peer: False)

    def check(own, *others, peers=2):
        helper.check_first(Node(peers), helper.Position.parse(own), [helper.Position.parse(other) for other in others])

    return check


def test_the_node_that_came_furthest_begins(check):
    check(f"{UUID}:7", f"{UUID}:6", f"{UUID}:7")


def test_a_lost_node_is_said_to_be_lost(check):
    check(f"{UUID}:7", "lost", f"{UUID}:7")


@pytest.mark.parametrize(
    ("own", "others", "words"),
    [
        (f"{UUID}:7", [f"{UUID}:6", f"{UUID}:8"], "higher than this node's"),
        (f"{UUID}:7", [f"{UUID}:6"], "1 positions were given"),
        (f"{UUID}:7", [f"{OTHER}:6", f"{UUID}:6"], "belongs to another cluster"),
        ("lost", [f"{UUID}:6", f"{UUID}:6"], "has no position"),
    ],
)
def test_another_one_does_not(helper, check, own, others, words):
    with pytest.raises(helper.Refused, match=words):
        check(own, *others)


def test_none_begins_while_the_cluster_runs(helper, check, monkeypatch):
    monkeypatch.setattr(helper, "answers", lambda peer: True)
    with pytest.raises(helper.Refused, match="The cluster runs"):
        check(f"{UUID}:7", f"{UUID}:6", f"{UUID}:6")


@pytest.mark.parametrize("text", ["", "7", f"{UUID}", f"{UUID}:x", f"{UUID}:7 ", "LOST"])
def test_what_is_no_position_is_refused(helper, text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a position"):
        helper.Position.parse(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.0.2.1", ("192.0.2.1", 4567)),
        (" 192.0.2.1:5000", ("192.0.2.1", 5000)),
        ("db1.example.net", ("db1.example.net", 4567)),
    ],
)
def test_a_node_without_a_port_has_galeras(helper, text, place):
    assert helper.place(text) == place
