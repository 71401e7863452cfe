"""The metrics of a running engine: counted as it decides and charges, and read by a real Prometheus."""

import contextlib
import dataclasses
import http.client
import json
import re
import shutil
import socket
import stat
import subprocess
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from freeradius_module import settings
from freeradius_module.connection import DatabaseAway
from freeradius_module.engine.accounting import NeverCharged
from freeradius_module.engine.client import EngineClient
from tests.conftest import CHECKOUT
from tests.engine_callers import class_of, report, request
from tests.office import Office
from tests.waiting import engine_listens

ALERTS = CHECKOUT / "raddb-config" / "prometheus" / "prepaid-alerts.yml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Engine:
    """An engine with metrics, and FreeRADIUS' side of it."""

    def __init__(self, option_file, folder, metrics: str):
        self.metrics = metrics
        self.socket = folder / "engine"
        path = folder / "prepaid.cnf"
        path.write_text(
            option_file.read_text().replace(
                "[prepaid]\n", f"[prepaid]\nengine = {self.socket}\nmetrics = {metrics}\ndatabase_timeout_seconds = 1\n"
            )
        )
        self.office = Office(path)
        self.process = None

    def start(self, wait_until):
        self.process = self.office.spawn("engine")
        wait_until(lambda: engine_listens(self.socket) or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()
        self.radius = EngineClient(settings.load(str(self.office.option_file)), None)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.radius.close()
            self.process.terminate()
            self.process.communicate()

    def log_in(self, card, pin=None):
        return self.radius.authorize(request(card) | {"User-Password": pin or card.pin}).answer

    def read(self) -> dict:
        text = urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10).read().decode()
        return values(text)


def values(text: str) -> dict:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def engine(database, _unstarted_stack, tmp_path, wait_until):
    running = Engine(_unstarted_stack.option_file, tmp_path, f"127.0.0.1:{free_port()}")
    running.start(wait_until)
    yield running
    running.stop()


def logins(found, outcome, reason, nas="loopback"):
    return found.get(("prepaid_logins_total", ("nas", nas), ("outcome", outcome), ("reason", reason)), 0)


def packets(found, kind, outcome="charged", nas="loopback"):
    return found.get(("prepaid_accounting_packets_total", ("kind", kind), ("nas", nas), ("outcome", outcome)), 0)


def test_logins_by_outcome_reason_and_nas(engine, shop):
    card, other = shop.sell(2, credit_seconds=600)
    assert engine.log_in(card).is_accepted
    shop.set_status(other, "blocked")
    assert not engine.log_in(other).is_accepted
    assert engine.log_in(card, "0000") is None
    engine.radius.record_wrong_pin(request(card))
    found = engine.read()
    assert logins(found, "accepted", "time") == 1
    assert logins(found, "refused", "blocked") == 1
    assert logins(found, "refused", "wrong_pin") == 1
    assert found["prepaid_group_requests_count", ("listener", "logins")] == 4
    assert found["prepaid_statement_seconds_count", ("statement", "read_cards")] == 3
    assert 0 < found["prepaid_statement_seconds_sum", ("statement", "read_cards")] < 60


def test_accounting_by_kind_and_nas_without_class(engine, shop):
    (card,) = shop.sell(1, credit_seconds=600)
    classes = class_of(engine.log_in(card))
    for kind, seconds in (("Start", 0), ("Interim-Update", 60), ("Interim-Update", 120), ("Stop", 130)):
        engine.radius.account(report(card, kind, seconds, classes))
    engine.radius.account(report(card, "Stop", 130))
    found = engine.read()
    assert [packets(found, kind) for kind in ("Start", "Interim-Update", "Stop")] == [1, 2, 2]
    assert found["prepaid_accounting_without_class_total", ("nas", "loopback")] == 1
    assert found["prepaid_statement_seconds_count", ("statement", "charge")] >= 1


def test_packets_that_can_never_be_charged(engine, shop):
    (card,) = shop.sell(1)
    with pytest.raises(NeverCharged):
        engine.radius.account(report(dataclasses.replace(card, serial="0000000000"), "Stop", 60))
    with pytest.raises(NeverCharged):
        engine.radius.account([("Acct-Status-Type", "Tunnel-Start"), ("Tmp-String-0", "127.0.0.1")])
    found = engine.read()
    assert packets(found, "Stop", "never") == 1
    assert packets(found, "unreadable", "never") == 1


def test_a_database_that_is_away_is_counted(engine, shop, stack):
    (card,) = shop.sell(1)
    engine.log_in(card)
    stack.mariadb.stop()
    with pytest.raises(DatabaseAway):
        engine.log_in(card)
    assert engine.read()["prepaid_unanswered_total", ("cause", "away"), ("listener", "logins")] >= 1


def test_the_engines_journal_says_once_that_the_database_goes_and_comes(engine, shop, stack, wait_until):
    (card,) = shop.sell(1)
    engine.log_in(card)
    stack.mariadb.stop()
    for _ in range(3):
        with pytest.raises(DatabaseAway):
            engine.log_in(card)
    stack.mariadb.start()

    def answered():
        with contextlib.suppress(DatabaseAway):
            return engine.log_in(card)

    assert wait_until(answered).is_accepted
    engine.radius.close()
    engine.process.terminate()
    told = engine.process.communicate()[1].splitlines()
    assert len(told) == 2, told
    assert told[0].startswith("The database is away: DatabaseAway ")
    assert int(re.fullmatch(r"The database is back; (\d+) requests got no answer while it was away", told[1])[1]) >= 3


def test_a_socket_serves_them_to_its_group(database, _unstarted_stack, tmp_path, wait_until):
    path = tmp_path / "metrics"
    running = Engine(_unstarted_stack.option_file, tmp_path, str(path))
    running.start(wait_until)
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/metrics")
        assert "prepaid_group_requests_count" in connection.getresponse().read().decode()
    finally:
        running.stop()
    assert not path.exists()


def test_a_socket_of_an_engine_that_was_killed_is_replaced(database, _unstarted_stack, tmp_path, wait_until):
    path = tmp_path / "metrics"
    first = Engine(_unstarted_stack.option_file, tmp_path, str(path))
    first.start(wait_until)
    first.process.kill()
    first.process.communicate()
    assert path.is_socket()
    second = Engine(_unstarted_stack.option_file, tmp_path, str(path))
    second.start(lambda ask: wait_until(lambda: second.process.poll() is not None or _accepts(path)))
    second.stop()


def _accepts(path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.mark.parametrize(
    "place", ["0.0.0.0:9812", "192.0.2.1:9812", "[::]:9812", "9812", "localhost:9812", "127.0.0.1:0"]
)
def test_a_public_address_is_refused(_unstarted_stack, database, tmp_path, place):
    running = Engine(_unstarted_stack.option_file, tmp_path, place)
    result = running.office.program("engine")
    assert result.exit_status == 2
    assert place in result.stderr
    assert not running.socket.exists()


def test_a_port_that_is_taken(_unstarted_stack, database, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = Engine(_unstarted_stack.option_file, tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
        result = running.office.program("engine")
    assert result.exit_status == 1
    assert "No metrics can be served" in result.stderr


def test_a_reader_that_says_nothing_delays_no_login(engine, shop):
    (card,) = shop.sell(1)
    host, port = engine.metrics.split(":")
    with socket.create_connection((host, int(port))):
        assert engine.log_in(card).is_accepted
        assert engine.read()


@pytest.mark.skipif(not shutil.which("promtool"), reason="Debian's package prometheus is not installed")
class TestPrometheus:
    def test_promtool_finds_no_fault(self, engine, shop):
        (card,) = shop.sell(1)
        engine.log_in(card)
        text = urllib.request.urlopen(f"http://{engine.metrics}/metrics", timeout=10).read()
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_the_rules_are_correct(self):
        done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_real_prometheus_scrapes_and_raises_the_alarm(self, engine, shop, tmp_path, wait_until):
        """The engine is counted; then it is stopped, and the alarm of an engine that is down is pending."""
        (card,) = shop.sell(1)
        engine.log_in(card)
        port = free_port()
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{ALERTS}]\n"
            "scrape_configs:\n"
            f"  - {{job_name: prepaid-engine, static_configs: [{{targets: ['{engine.metrics}']}}]}}\n"
        )
        prometheus = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def ask(path: str):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None

        try:
            found = wait_until(lambda: (ask("query?query=prepaid_logins_total") or {}).get("result"))
            assert found[0]["metric"]["nas"] == "loopback"
            assert found[0]["value"][1] == "1"
            engine.stop()
            wait_until(
                lambda: "PrepaidEngineDown" in [one["labels"]["alertname"] for one in (ask("alerts") or {})["alerts"]]
            )
        finally:
            prometheus.terminate()
            prometheus.wait()
