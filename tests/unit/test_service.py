"""What a service says to systemd, and the drop-ins of its unit."""

import os
import socket
import threading

import pytest

from admin import units
from admin.shell.service import Service
from freeradius_module.engine.server import Turns


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        yield listening


def said(systemd: socket.socket) -> list[str]:
    systemd.setblocking(False)
    found = []
    while True:
        try:
            found.append(systemd.recv(1000).decode().strip())
        except BlockingIOError:
            return found


def test_a_service_says_its_version_and_that_it_is_ready(systemd, installed):
    Service().is_ready()
    assert [line.partition("=")[0] for line in said(systemd)] == ["STATUS", "READY"]


def test_a_loop_that_comes_round_often_says_so_a_few_times(systemd, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    service = Service()
    for _turn in range(50):
        service.works()
        clock[0] += 1
    assert said(systemd) == ["WATCHDOG=1"] * 3


def test_outside_systemd_nothing_is_said(monkeypatch, installed):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    service = Service()
    service.is_ready()
    service.works()


def test_a_loop_that_hangs_is_not_hidden_by_the_other():
    heard = []
    turns = Turns(2, lambda: heard.append("works"))
    for _turn in range(5):
        turns.came_round()
    assert not heard
    other = threading.Thread(target=turns.came_round)
    other.start()
    other.join()
    assert heard == ["works"]


def test_the_units_may_write_where_the_option_file_says(tmp_path):
    config = tmp_path / "prepaid.cnf"
    config.write_text("[prepaid]\nqueue = /srv/50% full\nengine = /run/other/engine\n")
    assert units.drop_ins(str(config)) == {
        "prepaid-charge": ['ReadWritePaths="-/srv/50%% full"'],
        "prepaid-engine": ['ReadWritePaths="-/run/other"'],
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another group")
def test_the_programs_that_need_the_key_are_in_its_group(tmp_path):
    (tmp_path / "prepaid.cnf").write_text("[prepaid]\n")
    (tmp_path / "key").touch()
    os.chown(tmp_path / "key", 0, 1)
    found = units.drop_ins(str(tmp_path / "prepaid.cnf"))
    assert found == {unit: ["SupplementaryGroups=daemon"] for unit in units.OPENS_KEY}


def test_a_wrong_option_file_is_named_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PREPAID_CONFIG", str(tmp_path / "none.cnf"))
    monkeypatch.setattr("sys.argv", ["prepaid-units", str(tmp_path)])
    units.main()
    assert "none.cnf" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
