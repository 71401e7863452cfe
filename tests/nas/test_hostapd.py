"""hostapd as the NAS of a wired port (802.1X): docs/nas/hostapd.md, tried on the real program."""

import pytest

from tests.nas.conftest import needs
from tests.stack.stack import SECRET

pytestmark = needs("hostapd", "wpa_supplicant", debian="hostapd, wpasupplicant")

HOSTAPD = """
interface=port0
driver=wired
ieee8021x=1
own_ip_addr=127.0.0.1
radius_client_addr=127.0.0.1
auth_server_addr=127.0.0.1
auth_server_port={auth_port}
auth_server_shared_secret={secret}
acct_server_addr=127.0.0.1
acct_server_port={acct_port}
acct_server_shared_secret={secret}
radius_das_port=3799
radius_das_client=127.0.0.1 {secret}
radius_das_require_event_timestamp=1
radius_das_require_message_authenticator=1
# Only here, because a test must not wait for the five minutes of the Accept.
radius_acct_interim_interval=1
"""

SUPPLICANT = """
ap_scan=0
network={{
    key_mgmt=IEEE8021X
    eap=TTLS
    phase2="auth=PAP"
    anonymous_identity="anonymous"
    identity="{card.serial}"
    password="{card.pin}"
    ca_cert="{raddb}/certs/prepaid/ca.pem"
}}
"""


@pytest.fixture
def hostapd(stack, device, run_program, wait_until, tmp_path):
    server = stack.freeradius
    config = tmp_path / "hostapd.conf"
    config.write_text(HOSTAPD.format(auth_port=server.auth_port, acct_port=server.acct_port, secret=SECRET))
    hostapd = run_program("hostapd", "hostapd", config)
    wait_until(lambda: "AP-ENABLED" in hostapd.log)
    return hostapd


@pytest.fixture
def connect(hostapd, stack, device, tmp_path):
    """The device behind the port logs in with a card, and again whenever the port has closed."""

    def connect(card):
        config = tmp_path / "wpa_supplicant.conf"
        config.write_text(SUPPLICANT.format(card=card, raddb=stack.freeradius.raddb))
        return device.start("wpa_supplicant", "wpa_supplicant", "-D", "wired", "-i", "port1", "-c", config)

    return connect


def test_a_card_is_charged_by_interims_until_the_office_disconnects_it(office, connect, the_session, disconnect, ended):
    (card,) = office.sell(1, "--time", "10m")
    connect(card)
    the_session(card, lambda session: session["used_seconds"] >= 2)

    office.must("block", card.serial, "--reason", "stolen")
    assert disconnect(card) == "ack"
    (session,) = ended(card)
    assert session["seconds"] >= 2
    assert office.show(card)["used_seconds"] == session["seconds"]


def test_the_port_closes_when_the_time_is_used_up(office, connect, hostapd, ended):
    (card,) = office.sell(1, "--time", "5s")
    connect(card)
    (session,) = ended(card)
    assert (session["seconds"], session["reason"]) == (5, "Session-Timeout")
    assert office.show(card)["status"] == "exhausted"
    assert "AP-STA-DISCONNECTED" in hostapd.log


def test_a_wired_port_reports_no_traffic(office, connect, device, the_session):
    """So a card of traffic would never end on it; docs/nas/hostapd.md says so."""
    (card,) = office.sell(1, "--traffic", "1MB")
    connect(card)
    the_session(card)
    device.must("ip", "address", "add", "10.9.0.2/24", "dev", "port1")
    device.run("ping", "-c", "3", "-i", "0.2", "-b", "10.9.0.255")
    session = the_session(card, lambda session: session["used_seconds"] >= 2)
    assert session["used_octets"] == 0
