"""RadSec through the queue, through proxies that stand for many NAS, and with odd names."""

import pytest

from tests.acceptance.test_radsec import HAS_RADSEC, PROXY, SILENCE_SECONDS, TlsSite, radsecproxy
from tests.radius_client import RadiusClient
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(not HAS_RADSEC, reason="this FreeRADIUS is older than 3.2.7")


@pytest.fixture
def site(stack, tmp_path, office):
    office.must("nas", "add", PROXY, "--tls", "--vendor", "mikrotik")
    site = TlsSite(stack, tmp_path)
    yield site
    site.server.stop()


@pytest.mark.parametrize("name", ["hotspot-centro", "Bar & Praia = 50%20 off"])
def test_queued_accounting_is_charged_to_the_nas_of_the_certificate(stack, tmp_path, office, database, name):
    office.must("nas", "add", name, "--tls")
    option_file = tmp_path / "queued.cnf"
    option_file.write_text(
        stack.option_file.read_text().replace(
            "[prepaid]\n", f"[prepaid]\naccounting = queued\nqueue = {tmp_path / 'queue'}\n"
        )
    )
    site = TlsSite(stack, tmp_path, option_file=option_file)
    site.authority.issue(name)
    try:
        (card,) = office.sell(1, "--time", "10m")
        with site.nas(name) as nas:
            session = nas.session(card.serial, nas.login(card.serial, card.pin))
            assert nas.start(session).is_acknowledged and nas.stop(session, 120).is_acknowledged
        assert site.office.json("charge") == {"charged": 2, "quarantined": 0}
        assert office.show(card)["used_seconds"] == 120
        assert database.value("SELECT nas.name FROM session JOIN nas ON nas.id = nas_id") == name
    finally:
        site.server.stop()


def test_a_longer_name_that_begins_like_that_of_a_nas_is_not_that_nas(site, office):
    """A session keeps 45 characters of where its packets came from, which are "tls:" and 41 of the name."""
    name = "n" * 41
    office.must("nas", "add", name, "--tls")
    (card,) = office.sell(1, "--time", "10m")
    for of_whom in (name, f"{name}-and-more"):
        site.authority.issue(of_whom)
    with site.nas(f"{name}-and-more") as nas:
        assert nas.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS) is None
    assert f"no NAS has the name of this certificate: {name}-and-more" in site.server.log_since_mark()
    with site.nas(name) as nas:
        assert nas.login(card.serial, card.pin).is_accept


def test_the_restart_of_one_nas_behind_a_proxy_loses_no_usage_of_the_others(site, office, database):
    """The proxy is one NAS, so its sessions are closed; the next report of one that goes on opens it again."""
    here, there = office.sell(2, "--time", "10m")
    with site.nas(PROXY) as nas:
        online = []
        for card, address in ((here, "192.0.2.1"), (there, "192.0.2.2")):
            session = nas.session(card.serial, nas.login(card.serial, card.pin, nas_ip=address), nas_ip=address)
            assert nas.start(session).is_acknowledged and nas.interim(session, 100).is_acknowledged
            online.append(session)
        assert nas.nas_restarted("192.0.2.1").is_acknowledged
        assert database.value("SELECT COUNT(*) FROM session WHERE close_cause = 'nas_reboot'") == 2
        assert nas.interim(online[1], 200).is_acknowledged
        assert database.value("SELECT COUNT(*) FROM session WHERE closed_at IS NULL") == 1
        assert nas.stop(online[1], 300).is_acknowledged
    assert [office.show(card)["used_seconds"] for card in (here, there)] == [100, 300]


def test_radsecproxy_passes_no_restart_on_and_connects_again_after_one_of_freeradius(site, office, tmp_path, database):
    (card,) = office.sell(1, "--time", "10m")
    with radsecproxy(site, tmp_path, PROXY) as port:
        nas = RadiusClient(port, port)
        session = nas.session(card.serial, nas.login(card.serial, card.pin))
        assert nas.start(session).is_acknowledged
        assert nas.nas_restarted().is_acknowledged
        assert database.value("SELECT closed_at FROM session") is None
        site.server.stop()
        site.server.start()
        wait_until(lambda: nas.stop(session, 90, timeout_seconds=SILENCE_SECONDS))
        assert nas.interim(session, 90).is_acknowledged
    assert office.show(card)["used_seconds"] == 90


def test_a_nas_may_ask_whether_the_server_lives(site):
    """RFC 6614, 2.6: Status-Server is how a client over TLS learns that its connection is dead."""
    with site.nas(PROXY) as nas:
        assert nas.status_server().is_accept
