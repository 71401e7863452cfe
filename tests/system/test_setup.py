"""`prepaid setup` on a provider's machine: from a running FreeRADIUS to a sold card, and out again.

The provider's own customer is served by the same FreeRADIUS throughout.
"""

import json
import time

import pytest

from tests.system.packages import package
from tests.system.provider import SECRET, Provider

ANSWERS = """\
freeradius = into
nas_name = hotspot-1
nas_address = 127.0.0.9
nas_secret_file = /srv/hotspot-1.secret
product_name = 10 hours
product_time = 10h
product_price = 10.00
"""
SELL = (
    "prepaid partner add Banca",
    "prepaid generate --product '10 hours' --count 10",
    "prepaid export --batch 1 --format csv --fields serial,pin --output /srv/cards.csv",
    "prepaid deliver --batch 1 --partner Banca",
)


@pytest.fixture(scope="module")
def provider(machine):
    path = machine.copy(package(machine.release), "/srv")
    machine.run(f"apt-get --yes --no-install-recommends install {path}")
    machine.write("/srv/answers", ANSWERS)
    with Provider(machine) as provider:
        yield provider


def run_setup(machine, words: str):
    """`prepaid setup` without questions, in a folder that every account may enter."""
    return machine.run(f"cd / && prepaid setup --yes {words}", check=False)


def cards(machine) -> list[tuple[str, str]]:
    return [tuple(line.split(",")) for line in machine.read("/srv/cards.csv").splitlines()[1:]]


def accepts(nas, card, address: str) -> bool:
    reply = nas.login(*card, nas_ip=address, message_authenticator=True, timeout_seconds=5)
    return reply is not None and reply.is_accept


def test_from_a_running_freeradius_to_a_sold_card(machine, provider):
    provider.take()
    began = time.monotonic()
    result = run_setup(machine, "--answers /srv/answers")
    assert result.returncode == 0, result.stdout + result.stderr
    for command in SELL:
        machine.run(f"cd / && {command}")
    nas = machine.nas(machine.read("/srv/hotspot-1.secret").strip())
    assert accepts(nas, cards(machine)[0], "127.0.0.9")
    served = provider.take()
    print(
        f"\n{machine.release}: {1 + len(SELL)} commands, {time.monotonic() - began:.0f} s to an Accept; others: {served}"
    )
    assert (served.unanswered, served.wrong) == (0, 0)
    assert machine.failed_units() == [], [machine.journal(unit) for unit in machine.failed_units()]


def test_a_card_logs_in_at_a_nas_that_the_provider_had_before(machine, provider):
    nas = machine.nas(SECRET)
    nas.needs_signature = False
    assert accepts(nas, cards(machine)[1], "127.0.0.5")


def test_a_second_run_does_nothing(machine, provider):
    provider.take()
    result = run_setup(machine, "--answers /srv/answers --json")
    assert {step["state"] for step in json.loads(result.stdout)["steps"]} == {"already"}
    served = provider.take()
    assert (served.repeated, served.unanswered, served.wrong) == (0, 0, 0)


def test_removed_it_leaves_the_data_and_installed_again_it_uses_them(machine, provider):
    provider.take()
    result = run_setup(machine, "--remove")
    assert result.returncode == 0, result.stdout + result.stderr
    assert machine.run("ls /etc/prepaid-cards").stdout.split() == ["key"]
    nas = machine.nas(machine.read("/srv/hotspot-1.secret").strip())
    assert not accepts(nas, cards(machine)[2], "127.0.0.9")
    assert run_setup(machine, "--answers /srv/answers").returncode == 0
    assert accepts(nas, cards(machine)[2], "127.0.0.9")
    served = provider.take()
    assert (served.unanswered, served.wrong) == (0, 0)


def test_a_unit_that_cannot_start_undoes_everything(machine, provider):
    assert run_setup(machine, "--remove").returncode == 0
    before = machine.run(
        "find /etc/freeradius /etc/prepaid-cards /etc/systemd/system -printf '%p %m %u %g %s\\n' | sort"
    ).stdout
    machine.run("mkdir -p /run/systemd/system/prepaid-enforce.service.d")
    machine.write(
        "/run/systemd/system/prepaid-enforce.service.d/broken.conf", "[Service]\nExecStart=\nExecStart=/bin/false\n"
    )
    provider.take()
    result = run_setup(machine, "--answers /srv/answers")
    assert result.returncode == 1 and "prepaid-enforce.service" in result.stderr and "Undone" in result.stderr
    after = machine.run(
        "find /etc/freeradius /etc/prepaid-cards /etc/systemd/system -printf '%p %m %u %g %s\\n' | sort"
    ).stdout
    assert after == before
    served = provider.take()
    assert (served.repeated, served.unanswered, served.wrong) == (0, 0, 0)
