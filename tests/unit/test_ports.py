"""Ports of the tests: two runs on one machine never get the same one."""

import subprocess
import sys

from tests.conftest import CHECKOUT
from tests.stack.ports import free_ports

ASK = "from tests.stack.ports import free_ports; print(*free_ports(40)); input()"


def test_two_runs_at_once_get_different_ports():
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", ASK], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    try:
        found = [set(map(int, run.stdout.readline().split())) for run in runs] + [set(free_ports(40))]
    finally:
        for run in runs:
            run.communicate("\n")
    assert [len(ports) for ports in found] == [40] * 4
    assert len(set().union(*found)) == 160


def test_a_port_is_not_given_again_at_once():
    assert not set(free_ports(20)) & set(free_ports(20))
