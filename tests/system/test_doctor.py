"""`prepaid setup` with an engine, and then a provider's bad days: one thing breaks at a time, and `prepaid doctor` names it.

The provider's own customer is served by the same FreeRADIUS throughout, as far as FreeRADIUS itself runs.
"""

import json
import time
from typing import NamedTuple

import pytest

from tests.system.packages import package
from tests.system.provider import Provider

ADDRESS = "127.0.0.9"
ANSWERS = f"""\
freeradius = into
engine = yes
nas_name = hotspot-1
nas_address = {ADDRESS}
nas_secret_file = /srv/hotspot-1.secret
product_name = 10 hours
product_time = 10h
product_price = 10.00
"""
SELL = (
    "prepaid partner add Banca",
    "prepaid generate --product '10 hours' --count 3",
    "prepaid export --batch 1 --format csv --fields serial,pin --output /srv/cards.csv",
    "prepaid deliver --batch 1 --partner Banca",
)
CONFIG = "/etc/prepaid-cards"
RADDB = "/etc/freeradius/3.0"


# A key file of another installation.
ANOTHER_KEY = """/opt/prepaid-cards/bin/python3 -c '
from pathlib import Path; from freeradius_module.sealing import keyring; keyring.create(Path("/srv/another"))'"""


class Breakage(NamedTuple):
    """What breaks, how it is mended, and what doctor says: a finding of `check` whose sentences contain `words`."""

    name: str
    breaks: str
    mends: str
    check: str
    words: str
    state: str = "fault"
    # Without a running FreeRADIUS nobody is served.
    serves_others: bool = True


BREAKAGES = (
    Breakage("the engine is stopped", "systemctl stop prepaid-engine", "systemctl start prepaid-engine",
             "engine", "systemctl enable --now prepaid-engine"),
    Breakage("the charger is stopped", "systemctl stop prepaid-charge", "systemctl start prepaid-charge",
             "queue", "systemctl enable --now prepaid-charge"),
    Breakage("the enforcer is stopped", "systemctl stop prepaid-enforce", "systemctl start prepaid-enforce",
             "units", "systemctl start prepaid-enforce"),
    Breakage("a timer is off", "systemctl stop prepaid-archive.timer", "systemctl start prepaid-archive.timer",
             "units", "prepaid-archive.timer"),
    Breakage("MariaDB is stopped", "systemctl stop mariadb.socket mariadb; systemctl stop mariadb",
             "systemctl start mariadb.socket; systemctl start mariadb", "database", "cannot be reached"),
    Breakage("the key file is gone", f"mv {CONFIG}/key /srv/key", f"mv /srv/key {CONFIG}/key", "key_file", f"{CONFIG}/key"),
    Breakage("the key file is another installation's", f"cp -a {CONFIG}/key /srv/key && {ANOTHER_KEY}"
             f" && cat /srv/another > {CONFIG}/key",
             f"cp -a /srv/key {CONFIG}/key && rm /srv/another", "key_file", f"{CONFIG}/key"),
    Breakage("everybody can read a password", f"chmod o+r {CONFIG}/radius.cnf", f"chmod o-r {CONFIG}/radius.cnf",
             "option_file", f"chmod o= {CONFIG}/radius.cnf"),
    Breakage("the module's password was changed in the database",
             "mariadb -e \"ALTER USER prepaid_radius@localhost IDENTIFIED BY 'another'\"",
             f"password=$(sed -n 's/^password = //p' {CONFIG}/radius.cnf) && "
             "mariadb -e \"ALTER USER prepaid_radius@localhost IDENTIFIED BY '$password'\"",
             "module_account", "prepaid_radius"),
    Breakage("the module's account lacks a right",
             "mariadb -e 'REVOKE INSERT ON prepaid.session FROM prepaid_radius@localhost'", "prepaid db init",
             "module_account", "INSERT"),
    Breakage("commits are not durable", "mariadb -e 'SET GLOBAL innodb_flush_log_at_trx_commit = 2'",
             "mariadb -e 'SET GLOBAL innodb_flush_log_at_trx_commit = 1'", "server_settings",
             "innodb_flush_log_at_trx_commit", state="look"),
    Breakage("the queue's folder is gone", "mv /var/spool/prepaid-cards /srv/queue",
             "mv /srv/queue /var/spool/prepaid-cards && systemctl restart prepaid-charge", "queue", "/var/spool/prepaid-cards"),
    Breakage("FreeRADIUS may not write into the queue", "chmod 0700 /var/spool/prepaid-cards"
             " && chown root /var/spool/prepaid-cards",
             "chown freerad /var/spool/prepaid-cards && chmod 2770 /var/spool/prepaid-cards && systemctl restart prepaid-charge",
             "queue", "freerad"),
    Breakage("FreeRADIUS' configuration has a fault", f"echo 'nonsense {{' > {RADDB}/mods-enabled/broken",
             f"rm {RADDB}/mods-enabled/broken", "configuration", "mods-enabled/broken"),
    Breakage("a file of ours in FreeRADIUS was edited", f"cp -a {RADDB}/mods-available/prepaid /srv/module"
             f" && echo '# mine' >> {RADDB}/mods-available/prepaid",
             f"cp -a /srv/module {RADDB}/mods-available/prepaid", "raddb", "mods-available/prepaid"),
    Breakage("FreeRADIUS is stopped", "systemctl stop freeradius", "systemctl start freeradius",
             "login", "1812", serves_others=False),
    Breakage("FreeRADIUS writes PINs into its log", f"sed -i.before 's/auth_badpass = no/auth_badpass = yes/' {RADDB}/radiusd.conf",
             f"mv {RADDB}/radiusd.conf.before {RADDB}/radiusd.conf", "pins", "auth_badpass"),
)  # fmt: skip


@pytest.fixture(scope="module")
def provider(machine):
    path = machine.copy(package(machine.release), "/srv")
    machine.run(f"apt-get --yes --no-install-recommends install {path}")
    machine.write("/srv/answers", ANSWERS)
    with Provider(machine) as provider:
        yield provider


def findings(machine) -> list[dict]:
    result = machine.run("cd / && prepaid doctor --json", check=False)
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def faults(machine) -> list[str]:
    return [f"{each['check']}: {each['detail']}" for each in findings(machine) if each["state"] == "fault"]


def not_ok(rows: list[dict]) -> list[str]:
    return [
        f"{each['check']} ({each['state']}): {each['detail']} {each['what_to_do']}"
        for each in rows
        if each["state"] != "ok"
    ]


def test_setup_with_an_engine_ends_with_a_sold_card(machine, provider):
    provider.take()
    began = time.monotonic()
    result = machine.run("cd / && prepaid setup --yes --answers /srv/answers", check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for command in SELL:
        machine.run(f"cd / && {command}")
    serial, pin = machine.read("/srv/cards.csv").splitlines()[1].split(",")
    nas = machine.nas(machine.read("/srv/hotspot-1.secret").strip())
    accept = nas.login(serial, pin, nas_ip=ADDRESS)
    assert accept.is_accept and accept["Session-Timeout"] == 36_000
    session = nas.session(serial, accept, nas_ip=ADDRESS)
    assert nas.start(session).is_acknowledged and nas.stop(session, seconds=60).is_acknowledged
    assert json.loads(machine.run(f"prepaid show {serial} --json").stdout)["used_seconds"] == 60
    served = provider.take()
    print(
        f"\n{machine.release}: {1 + len(SELL)} commands, {time.monotonic() - began:.0f} s to a charged session; "
        f"others: {served}"
    )
    assert (served.unanswered, served.wrong) == (0, 0)
    assert faults(machine) == []


def test_freeradius_reads_neither_key_nor_password_beside_an_engine(machine, provider):
    listed = machine.run(
        f"cd {CONFIG} && setpriv --reuid freerad --regid freerad --init-groups "
        "bash -c 'for file in *; do [ -r $file ] && echo $file; done; true'"
    ).stdout.split()
    assert listed == ["prepaid.cnf"]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_doctor_names_what_is_broken(machine, provider, breakage):
    provider.take()
    machine.run(breakage.breaks)
    found = findings(machine)
    status = machine.run("cd / && prepaid doctor --nagios", check=False).returncode
    machine.run(breakage.mends)
    named = [each for each in found if each["check"] == breakage.check and each["state"] == breakage.state]
    assert any(breakage.words in f"{each['detail']} {each['what_to_do']}" for each in named), not_ok(found)
    print(f"\n{machine.release}, {breakage.name}: {[(each['detail'], each['what_to_do']) for each in named]}")
    assert status == {"look": 1, "fault": 2}[breakage.state]
    machine.wait_until("systemctl is-active freeradius mariadb prepaid-engine prepaid-charge prepaid-enforce")
    served = provider.take()
    if breakage.serves_others:
        assert (served.unanswered, served.wrong) == (0, 0)
    deadline = time.monotonic() + 30
    while left := faults(machine):
        assert time.monotonic() < deadline, left
