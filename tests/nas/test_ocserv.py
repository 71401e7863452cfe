"""ocserv as the NAS of a VPN: docs/nas/ocserv.md, tried on the real program with openconnect as the customer's."""

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.nas.conftest import needs
from tests.stack.stack import SECRET

pytestmark = needs("ocserv", "openconnect", "openssl", debian="ocserv, openconnect, openssl")

OCSERV = """
auth = "radius[config={folder}/radiusclient.conf,groupconfig=true]"
acct = "radius[config={folder}/radiusclient.conf]"
stats-report-time = 60
listen-host = 10.9.0.1
tcp-port = 443
run-as-user = nobody
run-as-group = nogroup
socket-file = {folder}/socket
pid-file = {folder}/pid
server-cert = {folder}/server.pem
server-key = {folder}/server-key.pem
isolate-workers = false
use-occtl = false
max-clients = 16
max-same-clients = 0
cookie-timeout = 300
dpd = 90
device = vpns
ipv4-network = 10.10.0.0
ipv4-netmask = 255.255.255.0
log-level = 3
"""

RADCLI = """
authserver 127.0.0.1:{auth_port}
acctserver 127.0.0.1:{acct_port}
servers {folder}/servers
dictionary /etc/radcli/dictionary
default_realm
radius_timeout 10
radius_retries 3
bindaddr {address}
"""


@pytest.fixture
def ocserv(stack, device, run_program, add_nas, wait_until, open_folder):
    address = add_nas("vpn-centro", "--vendor", "generic", "--no-message-authenticator")
    server = stack.freeradius
    subprocess.run(["ip", "address", "add", "10.9.0.1/24", "dev", "port0"], check=True)
    device.must("ip", "address", "add", "10.9.0.2/24", "dev", "port1")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=vpn.example.com"]
        + ["-keyout", open_folder / "server-key.pem", "-out", open_folder / "server.pem"],
        check=True,
        capture_output=True,
    )
    (open_folder / "servers").write_text(f"127.0.0.1 {SECRET}\n")
    for name, text in (("radiusclient.conf", RADCLI), ("ocserv.conf", OCSERV)):
        (open_folder / name).write_text(
            text.format(folder=open_folder, address=address, auth_port=server.auth_port, acct_port=server.acct_port)
        )
    ocserv = run_program("ocserv", "ocserv", "--foreground", "--config", open_folder / "ocserv.conf")
    wait_until(lambda: "initialized" in ocserv.log or ocserv.process.poll() is not None)
    return ocserv


# openconnect's own script would change the device's routes and name servers.
SCRIPT = """#!/bin/sh
[ $reason = connect ] || exit 0
ip link set $TUNDEV up
ip address add $INTERNAL_IP4_ADDRESS/24 dev $TUNDEV
"""


@pytest.fixture
def connect(ocserv, device, open_folder):
    """The customer's openconnect logs in with a card."""

    def connect(card):
        script = open_folder / "script"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        return device.start(
            "openconnect",
            *("openconnect", "--non-inter", "--passwd-on-stdin", "--no-dtls", "--user", card.serial),
            *("--servercert", fingerprint(open_folder / "server.pem"), "--script", script, "https://10.9.0.1"),
            stdin=f"{card.pin}\n",
        )

    return connect


def fingerprint(certificate: Path) -> str:
    """What openconnect calls a server's key: the digest of its public key in DER."""
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    key = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"pin-sha256:{base64.b64encode(hashlib.sha256(key).digest()).decode()}"


def test_a_card_is_charged_by_interims_and_by_its_stop(office, connect, device, the_session, disconnect, ended):
    (card,) = office.sell(1, "--traffic", "1MB", "--interim", "60")
    customer = connect(card)

    def is_reported(session):
        device.run("ping", "-c", "5", "-i", "0.2", "-s", "1000", "10.10.0.1")
        return session["used_up_octets"] > 5000

    the_session(card, is_reported)
    # ocserv has no listener for RFC 5176: only its own limits and the customer end a session.
    assert disconnect(card) == "no_answer"

    customer.end()
    (session,) = ended(card)
    assert session["reason"] == "User-Request"
    assert session["up_octets"] > 5000 and session["down_octets"] > 5000
    assert office.show(card)["used_octets"] == session["up_octets"] + session["down_octets"]


def test_the_session_ends_soon_after_its_time(office, connect, device, the_session, ended):
    (card,) = office.sell(1, "--time", "15s")
    connect(card)
    the_session(card)
    device.start("traffic", "ping", "-q", "10.10.0.1")
    (session,) = ended(card)
    assert session["reason"] == "Session-Timeout"
    # ocserv looks at its limits about twice a minute.
    assert 15 <= session["seconds"] <= 75
    assert office.show(card)["status"] == "exhausted"
