"""RadSec: NAS over TLS, each known by the name of its certificate; in a site of its own, and in one with other customers."""

import contextlib
import ssl
import subprocess

import pytest

from admin.freeradius.files import FIRST_WITH_RADSEC
from admin.freeradius.program import freeradius_version
from tests import eap_device
from tests.authority import Authority
from tests.office import Office
from tests.radius_client import SECRET as UDP_SECRET
from tests.radius_client import RadiusClient
from tests.radsec_nas import RadSecNas, Refused
from tests.shared_site import CUSTOMER, MARK, PASSWORD, SharedSite
from tests.stack import FreeRadius, free_ports
from tests.waiting import wait_until

HAS_RADSEC = freeradius_version() >= FIRST_WITH_RADSEC
pytestmark = pytest.mark.skipif(not HAS_RADSEC, reason="this FreeRADIUS is older than 3.2.7")
CENTRE, BEACH, PROXY = "hotspot-centro", "hotspot-praia", "proxy.example.net"
# How long to wait before concluding that there is no answer; otherwise the server answers within milliseconds.
SILENCE_SECONDS = 2


class TlsSite:
    """A FreeRADIUS of its own on the stack's database, with RadSec beside its UDP ports."""

    def __init__(self, stack, folder, into: SharedSite | None = None, option_file=None):
        self.authority = Authority(folder / "provider", "Provider CA")
        for name in (CENTRE, BEACH, PROXY, "stranger"):
            self.authority.issue(name)
        self.authority.issue("ended", days=-1)
        server_files = self.authority.issue("radius.example.net")
        self.office = Office(option_file or stack.option_file)
        self.auth_port, self.acct_port, self.tls_port = free_ports(3)
        if into:
            self.server, where = into.server, ("--into", "default")
        else:
            self.server = FreeRadius(
                folder, name="tls", auth_port=self.auth_port, acct_port=self.acct_port, options={"reject_delay": "0"},
                dies_with_parent=True,
            )  # fmt: skip
            self.server.copy_distribution()
            where = ("--listen", "127.0.0.1", "--auth-port", self.auth_port, "--acct-port", self.acct_port)
        self.office.must(
            "raddb", "install", "--dir", self.server.raddb, *where, "--instances", 4,
            "--tls", "--tls-port", self.tls_port, "--tls-ca", self.authority.path,
            "--tls-certificate", server_files[0], "--tls-key", server_files[1],
        )  # fmt: skip
        self.server.start()

    def nas(self, name: str, **options) -> RadSecNas:
        return RadSecNas(self.tls_port, self.authority, name, **options)


@pytest.fixture
def site(stack, tmp_path, office):
    for name in (CENTRE, BEACH, PROXY):
        office.must("nas", "add", name, "--tls", "--vendor", "mikrotik")
    site = TlsSite(stack, tmp_path)
    yield site
    site.server.stop()


def test_a_cards_life_over_tls(site, office, database):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas(CENTRE) as nas:
        accept = nas.login(card.serial, card.pin)
        assert accept.is_accept and accept["Session-Timeout"] == 600
        session = nas.session(card.serial, accept)
        assert nas.start(session).is_acknowledged
        assert nas.interim(session, 100).is_acknowledged
        for _time in range(2):
            assert nas.stop(session, 120).is_acknowledged
        assert office.show(card)["used_seconds"] == 120
        assert nas.login(card.serial, "0" * 10).is_reject
        assert nas.login(card.serial, card.pin, method="chap")["Session-Timeout"] == 480
    rows = database.query("SELECT nas.name, nas_address FROM session JOIN nas ON nas.id = nas_id")
    assert {(row["name"], row["nas_address"]) for row in rows} == {(CENTRE, f"tls:{CENTRE}")}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_both_versions_of_tls(site, office, version):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas(CENTRE, version=version) as nas:
        assert nas.login(card.serial, card.pin).is_accept


def test_an_old_tls_is_refused(site, office):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas(CENTRE, version=ssl.TLSVersion.TLSv1_1) as nas, pytest.raises((Refused, ssl.SSLError)):
        nas.login(card.serial, card.pin)


def test_a_name_that_is_no_nas_gets_no_answer_and_a_line_in_the_log(site, office):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas("stranger") as nas:
        assert nas.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS) is None
    assert "no NAS has the name of this certificate: stranger" in site.server.log_since_mark()
    assert office.show(card)["status"] == "delivered"


def test_a_nas_that_was_removed_gets_no_answer_on_its_open_connection(site, office):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas(BEACH) as nas:
        assert nas.login(card.serial, "0" * 10).is_reject
        office.must("nas", "remove", BEACH)
        wait_until(lambda: nas.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS) is None)


@pytest.mark.parametrize("what", ["ended", "of another authority", "none", "revoked"])
def test_a_certificate_that_is_not_valid_is_refused(site, office, tmp_path, what):
    (card,) = office.sell(1, "--time", "10m")
    authority, name = site.authority, CENTRE
    if what == "ended":
        name = "ended"
        office.must("nas", "add", name, "--tls")
    elif what == "of another authority":
        # With the same name as the provider's.
        authority = Authority(tmp_path / "other", "Provider CA")
        authority.issue(CENTRE)
    elif what == "none":
        authority = None
    else:
        site.authority.revoke(CENTRE)
        site.server.stop()
        site.server.start()
    with RadSecNas(site.tls_port, authority, name, trusts=site.authority) as nas, pytest.raises(Refused):
        nas.login(card.serial, card.pin)
    assert office.show(card)["status"] == "delivered"
    with site.nas(BEACH) as nas:
        assert nas.login(card.serial, card.pin).is_accept


def test_a_nas_cannot_speak_for_another(site, office, database):
    """NAS-IP-Address, NAS-Identifier and the address of the packets are only claims."""
    (card,) = office.sell(1, "--time", "10m")
    office.must("nas", "add", "neighbour", "--address", "127.0.0.1", "--secret-file", "-", stdin="of the neighbour")
    claims = {"NAS-Identifier": BEACH}
    with site.nas(CENTRE) as nas:
        accept = nas.login(card.serial, card.pin, attributes=claims)
        session = nas.session(card.serial, accept, attributes=claims)
        assert nas.start(session).is_acknowledged
    assert database.value("SELECT nas.name FROM session JOIN nas ON nas.id = nas_id") == CENTRE
    # The restart of one NAS ends its own sessions only.
    with site.nas(BEACH) as nas:
        assert nas.nas_restarted().is_acknowledged
    assert database.value("SELECT closed_at FROM session") is None
    with site.nas(CENTRE) as nas:
        assert nas.nas_restarted().is_acknowledged
    assert database.value("SELECT closed_at FROM session") is not None


def test_a_proxy_that_does_not_sign_may_send_proxy_state(site, office):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas(PROXY) as nas:
        reply = nas.login(
            card.serial, card.pin, message_authenticator=False, attributes={"Proxy-State": b"of the proxy"}
        )
        assert reply.is_accept and reply["Proxy-State"] == b"of the proxy"


def test_after_a_restart_of_freeradius_it_connects_again(site, office):
    (card,) = office.sell(1, "--time", "10m")
    with site.nas(CENTRE) as nas:
        assert nas.login(card.serial, card.pin).is_accept
        site.server.stop()
        site.server.start()
        with pytest.raises(Refused):
            nas.login(card.serial, card.pin)
        assert nas.login(card.serial, card.pin).is_accept


def test_beside_other_customers(stack, tmp_path, office, database):
    shared = SharedSite(tmp_path)
    before = shared.state()
    office.must("nas", "add", CENTRE, "--tls")
    site = TlsSite(stack, tmp_path, into=shared)
    try:
        (card,) = office.sell(1, "--time", "10m")
        with site.nas(CENTRE) as nas:
            accept = nas.login(card.serial, card.pin)
            assert accept.is_accept and accept["Session-Timeout"] == 600
            session = nas.session(card.serial, accept)
            assert nas.start(session).is_acknowledged and nas.stop(session, 60).is_acknowledged
            other = nas.login(CUSTOMER, PASSWORD)
            assert other.is_accept and other["Reply-Message"] == MARK
        assert office.show(card)["used_seconds"] == 60
        assert database.value("SELECT nas.name FROM session JOIN nas ON nas.id = nas_id") == CENTRE
        # The site may have others over TLS; cards are for NAS of the table alone.
        with site.nas("stranger") as nas:
            assert nas.login(CUSTOMER, PASSWORD).is_accept
            assert nas.login(card.serial, card.pin, timeout_seconds=SILENCE_SECONDS) is None
        office.must("raddb", "check", "--dir", shared.raddb)
        office.must("raddb", "remove", "--dir", shared.raddb)
        assert shared.state() == before
    finally:
        shared.server.stop()


RADSECPROXY = """\
ListenUDP 127.0.0.1:{port}
LogDestination file://{log}
tls default {{
    CACertificateFile {ca}
    CertificateFile {certificate}
    CertificateKeyFile {key}
}}
client nas {{
    host 127.0.0.0/8
    type udp
    secret {secret}
}}
server radius.example.net {{
    host 127.0.0.1
    port {tls_port}
    type tls
    certificateNameCheck off
}}
realm * {{
    server radius.example.net
    accountingServer radius.example.net
}}
"""


@contextlib.contextmanager
def radsecproxy(site, folder, name):
    """Yield the UDP port of a proxy with this certificate."""
    (port,) = free_ports(1)
    configuration = folder / "radsecproxy.conf"
    configuration.write_text(
        RADSECPROXY.format(
            port=port, log=folder / "radsecproxy.log", ca=site.authority.path, secret=UDP_SECRET,
            tls_port=site.tls_port, certificate=site.authority.folder / f"{name}.pem",
            key=site.authority.folder / f"{name}.key",
        )
    )  # fmt: skip
    proxy = subprocess.Popen(
        ["/usr/sbin/radsecproxy", "-f", "-c", configuration, "-i", folder / "proxy.pid"], stderr=subprocess.DEVNULL
    )
    try:
        nas = RadiusClient(port, port)
        wait_until(lambda: nas.login(CUSTOMER, "wrong", timeout_seconds=SILENCE_SECONDS))
        yield port
    finally:
        proxy.kill()
        proxy.wait()


def test_nas_without_tls_behind_a_proxy(site, office, tmp_path):
    (card,) = office.sell(1, "--time", "10m")
    with radsecproxy(site, tmp_path, PROXY) as port:
        nas = RadiusClient(port, port)
        accept = nas.login(card.serial, card.pin)
        assert accept.is_accept and accept["Session-Timeout"] == 600
        session = nas.session(card.serial, accept)
        assert nas.start(session).is_acknowledged and nas.stop(session, 90).is_acknowledged
        assert office.show(card)["used_seconds"] == 90


@pytest.mark.skipif(not eap_device.IS_INSTALLED, reason="eapol_test is not installed")
@pytest.mark.parametrize("method", ["TTLS/PAP", "TTLS/EAP-MSCHAPv2", "PEAP/MSCHAPv2"])
@pytest.mark.parametrize("where", ["own site", "beside others"])
def test_a_login_in_a_tunnel_comes_from_the_nas_of_the_certificate(stack, office, database, tmp_path, where, method):
    office.must("nas", "add", PROXY, "--tls")
    site = TlsSite(stack, tmp_path, SharedSite(tmp_path) if where == "beside others" else None)
    (card,) = office.sell(1, "--time", "10m")
    try:
        with radsecproxy(site, tmp_path, PROXY) as port:
            answer = eap_device.log_in(tmp_path, site.server.raddb, port, card.serial, card.pin, method)
        assert answer.code == "Access-Accept" and answer["Session-Timeout"] == "600"
        assert answer.user_name == card.serial
        assert database.value("SELECT nas.name FROM session JOIN nas ON nas.id = nas_id") == PROXY
    finally:
        site.server.stop()
