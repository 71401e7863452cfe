"""A provider's story with the package, in the order of the tests: installed, a card sold, reboot, database away, upgrade, remove.

The provider's own customer is served by the same FreeRADIUS throughout, and from the sale on one with a card.  `served`
collects what each step cost them; the last test prints it.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.machine import Machine, Nas
from tests.system.packages import make_newer, package
from tests.system.provider import CardCustomer, Provider, Served

HERE = Path(__file__).resolve().parent
SECRET = "hotspot-secret-of-the-test"
ADDRESS = "127.0.0.6"
AUTH_PORT, ACCT_PORT = 11812, 11813
SERVICES = ("prepaid-engine", "prepaid-charge", "prepaid-enforce")
JOBS = ("prepaid-archive", "prepaid-reconcile", "prepaid-audit", "prepaid-purge")
# What systemd-analyze calls "OK" begins at 5; the units are far below.
EXPOSURE_MOST = 2.5


class Step(NamedTuple):
    name: str
    seconds: float
    provider: Served
    card: Served | None


class Story:
    """What the tests of one machine share."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.nas: Nas = machine.nas(SECRET, AUTH_PORT, ACCT_PORT)
        self.provider = Provider(machine)
        self.cards: list[dict] = []
        # The one who uses a card all the time, from the sale on.
        self.customer: CardCustomer | None = None
        self.served: list[Step] = []

    @contextlib.contextmanager
    def step(self, name: str):
        """Count what both customers are answered in this step."""
        self.provider.take()
        if self.customer:
            self.customer.take()
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.served.append(Step(name, seconds, self.provider.take(), self.customer and self.customer.take()))

    def end(self) -> None:
        """The one with a card goes; what was acknowledged is charged by now, or in the queue."""
        if self.customer:
            self.customer.__exit__()

    def login(self, card: dict):
        return self.nas.login(card["serial"], card["pin"], nas_ip=ADDRESS)

    def used(self, card: dict) -> int:
        return json.loads(self.machine.run(f"prepaid show {card['serial']} --json").stdout)["used_seconds"]


@pytest.fixture(scope="module")
def story(machine):
    story = Story(machine)
    with story.provider:
        yield story
        story.end()


def exported(machine, path: str) -> list[dict]:
    lines = machine.read(path).splitlines()
    names = lines[0].split(",")
    return [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]


def session_of(story, card, accept):
    session = story.nas.session(card["serial"], accept, nas_ip=ADDRESS)
    assert story.nas.start(session).is_acknowledged
    return session


def faults_by_doctor(machine) -> list[dict]:
    findings = json.loads(machine.run("prepaid doctor --json", check=False).stdout)
    return [each for each in findings if each["state"] == "fault"]


def test_the_package_is_installed_and_starts_nothing_yet(story):
    machine = story.machine
    path = machine.copy(package(machine.release), "/srv")
    machine.run(f"mv {path} /srv/prepaid-cards.deb")
    with story.step("install"):
        machine.run("apt-get --yes --no-install-recommends install /srv/prepaid-cards.deb")
    assert machine.failed_units() == []
    assert machine.run("systemctl is-active " + " ".join(SERVICES), check=False).stdout.split() == ["inactive"] * 3
    assert machine.run("man --where prepaid").stdout.startswith("/usr/share/man/")
    assert "prepaid" in machine.run("bash -ic 'source /usr/share/bash-completion/completions/prepaid; complete'").stdout


def test_no_unit_may_do_more_than_it_needs(story):
    for unit in (*SERVICES, *JOBS):
        last = story.machine.run(f"systemd-analyze security --no-pager {unit}.service").stdout.strip().splitlines()[-1]
        exposure = float(last.partition(": ")[2].split()[0])
        print(f"{unit}: {exposure}")
        assert exposure <= EXPOSURE_MOST


def test_a_card_is_sold_and_used(story):
    machine = story.machine
    with story.step("set up and sell"):
        machine.copy(HERE / "install_by_hand.sh", "/srv")
        machine.run("bash /srv/install_by_hand.sh")
        machine.run(f"prepaid nas add hotspot --address {ADDRESS}/32 --vendor mikrotik --secret-file -", input=SECRET)
        machine.run("prepaid product add 'One hour' --kind internet --time 1h --price 5.00")
        machine.run("prepaid product add Always --kind internet --time 1000h --price 100.00")
        machine.run("prepaid partner add Kiosk && prepaid generate --product 'One hour' --count 5")
        machine.run("prepaid export --batch 1 --output /srv/cards.csv && prepaid deliver --batch 1 --partner Kiosk")
        machine.run("prepaid generate --product Always --count 1")
        machine.run("prepaid export --batch 2 --output /srv/always.csv && prepaid deliver --batch 2 --partner Kiosk")
    story.cards = exported(machine, "/srv/cards.csv")
    (always,) = exported(machine, "/srv/always.csv")
    story.customer = CardCustomer(machine.nas(SECRET, AUTH_PORT, ACCT_PORT), always, ADDRESS)
    story.customer.__enter__()
    card = story.cards[0]
    accept = story.login(card)
    assert accept.is_accept and accept["Session-Timeout"] == 3600
    assert story.nas.stop(session_of(story, card, accept), seconds=60).is_acknowledged
    assert story.used(card) == 60


def test_each_program_reads_its_own_files_and_no_other(story):
    reads = {
        "prepaid-engine": {"radius.cnf", "key"},
        "prepaid-charge": {"charge.cnf", "key"},
        "prepaid-enforce": {"enforce.cnf", "key"},
        "prepaid-archive": {"archive.cnf"},
        "freerad": set(),
    }
    secret = {"admin.cnf", "radius.cnf", "charge.cnf", "enforce.cnf", "archive.cnf", "key"}
    for account, own in reads.items():
        groups = "--init-groups"
        listed = story.machine.run(
            f"cd /etc/prepaid-cards && setpriv --reuid {account} --regid {account} {groups} "
            "bash -c 'for file in *; do [ -r $file ] && echo $file; done; true'"
        ).stdout.split()
        assert set(listed) & secret == own, account


def test_the_nightly_work_is_done(story):
    for job in JOBS:
        story.machine.run(f"systemctl start {job}")
        assert "Result=success" in story.machine.run(f"systemctl show --property Result {job}").stdout


def test_after_a_reboot_everything_serves(story):
    with story.step("reboot"):
        story.machine.reboot()
    assert story.machine.failed_units() == []
    assert story.login(story.cards[1]).is_accept
    assert faults_by_doctor(story.machine) == []


def test_while_the_database_is_away_accounting_is_queued_and_the_night_work_waits(story):
    machine, card = story.machine, story.cards[2]
    session = session_of(story, card, story.login(card))
    with story.step("database away"):
        # The socket too, or it would start the server again.
        machine.run("systemctl stop mariadb.socket mariadb", check=False)
        machine.run("systemctl stop mariadb")
        assert story.nas.interim(session, seconds=100).is_acknowledged
        machine.run("systemctl start prepaid-archive", check=False)
        assert machine.run("systemctl is-active prepaid-archive", check=False).stdout.strip() == "activating"
        assert machine.run("systemctl is-active " + " ".join(SERVICES)).stdout.split() == ["active"] * 3
        machine.run("systemctl start mariadb.socket; systemctl start mariadb")
        deadline = time.monotonic() + 60
        while story.used(card) != 100:
            assert time.monotonic() < deadline, machine.journal("prepaid-charge")
            time.sleep(0.5)
    machine.run("systemctl stop prepaid-archive")


def test_a_killed_engine_and_a_hung_one_serve_again(story):
    machine, card = story.machine, story.cards[3]
    assert story.login(card).is_accept
    for signal, unit in (("KILL", "prepaid-engine"), ("KILL", "prepaid-charge"), ("KILL", "prepaid-enforce")):
        before = machine.run(f"systemctl show --value --property MainPID {unit}").stdout.strip()
        with story.step(f"{unit} killed"):
            # More often than systemd's own limit of starts allows.
            for _time in range(7):
                machine.run(f"systemctl kill --kill-whom main --signal {signal} {unit}")
                machine.wait_until(
                    f"systemctl is-active {unit} && pid=$(systemctl show --value --property MainPID {unit}) &&"
                    f" test $pid != 0 && test $pid != {before}"
                )
                before = machine.run(f"systemctl show --value --property MainPID {unit}").stdout.strip()
    assert story.login(story.cards[4]).is_accept


def test_a_program_that_hangs_is_started_again(story):
    """With a shorter watchdog than the unit's, so that the test takes seconds."""
    machine = story.machine
    for unit in SERVICES:
        folder = f"/run/systemd/system/{unit}.service.d"
        machine.run(
            f"mkdir -p {folder} && printf '[Service]\\nWatchdogSec=3\\nTimeoutAbortSec=1\\n' > {folder}/short.conf"
        )
    machine.run("systemctl daemon-reload && systemctl restart " + " ".join(SERVICES))
    for unit in SERVICES:
        machine.run(f"systemctl kill --kill-whom main --signal STOP {unit}")
        machine.wait_until(f"journalctl --boot --unit {unit} | grep --quiet 'Watchdog timeout'", timeout_seconds=60)
        machine.wait_until(f"test $(systemctl show --value --property NRestarts {unit}) -ge 1", timeout_seconds=60)
        machine.wait_until(f"systemctl is-active {unit}")
        machine.run(f"rm -r /run/systemd/system/{unit}.service.d")
    machine.run("systemctl daemon-reload && systemctl restart " + " ".join(SERVICES))


def test_an_option_file_that_cannot_be_read_for_a_while_stops_nobody_for_good(story):
    machine = story.machine
    machine.run("mv /etc/prepaid-cards/prepaid.cnf /srv/ && mv /var/spool/prepaid-cards /srv/spool")
    machine.run("systemctl restart " + " ".join(SERVICES), check=False)
    machine.run("sleep 15")
    machine.run("mv /srv/spool /var/spool/prepaid-cards && mv /srv/prepaid.cnf /etc/prepaid-cards/")
    machine.wait_until("systemctl is-active " + " ".join(SERVICES), timeout_seconds=60)
    machine.wait_until("prepaid queue status --json | grep -q '\"is_charger_running\": true'")


def test_another_queue_of_the_option_file_can_be_written(story):
    machine = story.machine
    machine.run("""
        install -d -o freerad -g prepaid-charge -m 2770 /srv/queue
        sed -i 's|^queue = .*|queue = /srv/queue|' /etc/prepaid-cards/prepaid.cnf
        systemctl daemon-reload && systemctl restart prepaid-charge""")
    machine.wait_until("test -e /srv/queue/charger.lock && systemctl is-active prepaid-charge")
    machine.run("""
        sed -i 's|^queue = .*|queue = /var/spool/prepaid-cards|' /etc/prepaid-cards/prepaid.cnf
        systemctl daemon-reload && systemctl restart prepaid-charge""")


def test_freeradius_stops_clean_after_it_has_served(story):
    machine = story.machine
    assert story.login(story.cards[0]).is_accept
    with story.step("FreeRADIUS restarted"):
        machine.run("systemctl stop freeradius")
        shown = machine.run("systemctl show --property Result,ExecMainStatus,ActiveState freeradius").stdout.split()
        machine.run("systemctl start freeradius")
    assert set(shown) == {"Result=success", "ExecMainStatus=0", "ActiveState=inactive"}


def test_an_upgrade_with_a_migration_costs_no_customer_an_answer(story):
    """And every report that was acknowledged is charged, once."""
    machine, customer = story.machine, story.customer
    newer = make_newer(machine, "/srv/prepaid-cards.deb")
    machine.wait_until("prepaid queue status --json | grep -q '\"waiting\": 0'")
    with customer.between_sessions():
        used, acknowledged = story.used(customer.card), customer.acknowledged_seconds
    with story.step("upgrade"):
        machine.run(f"apt-get --yes install {newer}")
    step = story.served[-1]
    assert (step.provider.unanswered, step.provider.wrong) == (0, 0)
    assert (step.card.unanswered, step.card.wrong) == (0, 0)
    assert step.card.requests > 0
    machine.wait_until("prepaid queue status --json | grep -q '\"waiting\": 0'")
    with customer.between_sessions():
        assert story.used(customer.card) - used == customer.acknowledged_seconds - acknowledged > 0


def test_an_upgrade_leaves_no_old_code_running(story):
    machine, card = story.machine, story.cards[1]
    assert machine.run("prepaid --version").stdout.split()[-1] == "0.2.0"
    for unit in SERVICES:
        assert "StatusText=version 0.2.0" in machine.run(f"systemctl show --property StatusText {unit}").stdout
    findings = json.loads(machine.run("prepaid doctor --json", check=False).stdout)
    assert [each["state"] for each in findings if each["check"] == "running"] == ["ok"]
    (version,) = machine.run(
        "mariadb --batch --skip-column-names -e 'SELECT MAX(version) FROM prepaid.schema_version'"
    ).stdout.split()
    assert json.loads(machine.run("prepaid db version --json").stdout) == {
        "database": int(version),
        "program": int(version),
    }
    assert story.login(card).is_accept


def test_doctor_finds_a_program_that_runs_another_version(story):
    machine = story.machine
    packages = machine.run("echo /opt/prepaid-cards/lib/python*/site-packages").stdout.strip()
    machine.run(f"sed -i 's/^Version: .*/Version: 0.3.0/' {packages}/prepaid_cards-0.2.0.dist-info/METADATA")
    findings = json.loads(machine.run("prepaid doctor --json", check=False).stdout)
    machine.run(f"sed -i 's/^Version: .*/Version: 0.2.0/' {packages}/prepaid_cards-0.2.0.dist-info/METADATA")
    found = [each["detail"] for each in findings if each["check"] == "running"]
    assert [detail.split()[0] for detail in found] == list(SERVICES)
    assert all("0.2.0" in detail and "0.3.0" in detail for detail in found)


def test_removed_it_leaves_data_and_keys_and_the_others_are_served(story):
    machine = story.machine
    story.end()
    with story.step("remove"):
        machine.run("apt-get --yes remove prepaid-cards")
    assert machine.run("systemctl is-active freeradius").stdout.strip() == "active"
    assert machine.failed_units() == []
    machine.run("test -s /etc/prepaid-cards/key && test -d /var/spool/prepaid-cards")
    assert machine.run("mariadb --batch --skip-column-names -e 'SELECT COUNT(*) FROM prepaid.card'").stdout == "6\n"
    assert machine.run("ls /opt/prepaid-cards", check=False).returncode != 0


def test_purged_it_keeps_the_key_unless_somebody_says_otherwise(story):
    machine = story.machine
    with story.step("purge"):
        machine.run("apt-get --yes purge prepaid-cards")
    machine.run("test -s /etc/prepaid-cards/key && test -d /var/spool/prepaid-cards")
    machine.run("apt-get --yes --no-install-recommends install /srv/prepaid-cards.deb")
    machine.run("echo prepaid-cards prepaid-cards/remove-data boolean true | debconf-set-selections")
    machine.run("apt-get --yes purge prepaid-cards")
    machine.run("test ! -e /etc/prepaid-cards && test ! -e /var/spool/prepaid-cards")


def test_the_providers_customer_was_served_throughout(story):
    for step in story.served:
        print(f"{story.machine.release} {step.name}: {step.seconds:.0f} s, other: {step.provider}, card: {step.card}")
    assert all(step.provider.wrong == 0 for step in story.served)
    assert all(step.provider.unanswered == 0 for step in story.served if step.name != "reboot")
