"""strongSwan as the NAS of an IKEv2 VPN: docs/nas/strongswan.md, tried on two real charons, gateway and customer.

The IPsec of the kernel is not needed: charon's kernel-libipsec does it in the process.
"""

import subprocess
from pathlib import Path

import pytest

from tests.nas.conftest import needs
from tests.stack.stack import SECRET

CHARON = Path("/usr/lib/ipsec/charon")
PACKAGES = "strongswan-charon, strongswan-swanctl, libcharon-extra-plugins, libstrongswan-extra-plugins, openssl"

pytestmark = [
    needs("charon", "swanctl", "openssl", debian=PACKAGES),
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="this machine has no /dev/net/tun"),
]

PLUGINS = (
    "random nonce drbg aes sha1 sha2 md5 mgf1 hmac kdf gmp curve25519 x509 constraints pubkey pkcs1 pkcs8 pem"
    " kernel-libipsec kernel-netlink socket-default vici updown"
)

COMMON = """
charon {{
    load = {plugins}
    filelog {{
        stderr {{
            default = 1
        }}
    }}
    plugins {{
        vici {{
            socket = unix://{folder}/vici
        }}
{more}
    }}
}}
"""

RADIUS = """
eap-radius {{
    accounting = yes
    accounting_send_class = yes
    accounting_close_on_timeout = no
    nas_identifier = vpn-centro
    station_id_with_port = no
    dae {{
        enable = yes
        listen = 127.0.0.1
        port = 3799
        secret = {secret}
    }}
    servers {{
        prepaid {{
            address = 127.0.0.1
            auth_port = {auth_port}
            acct_port = {acct_port}
            secret = {secret}
        }}
    }}
}}
"""

GATEWAY = """
connections {
    cards {
        pools = cards
        send_cert = always
        local_addrs = 10.9.0.1
        over_time = 2
        rand_time = 0
        local {
            auth = pubkey
            certs = server.pem
            id = vpn.example.com
        }
        remote {
            auth = eap-radius
            eap_id = %any
        }
        children {
            cards {
                local_ts = 10.20.0.1/32
                esp_proposals = aes128-sha256
            }
        }
    }
}
pools {
    cards {
        addrs = 10.10.0.0/24
    }
}
"""

CUSTOMER = """
connections {{
    vpn {{
        local_addrs = 10.9.0.2
        remote_addrs = 10.9.0.1
        vips = 0.0.0.0
        over_time = 2
        rand_time = 0
        local {{
            auth = eap
            eap_id = {card.serial}
        }}
        remote {{
            auth = pubkey
            id = vpn.example.com
        }}
        children {{
            vpn {{
                remote_ts = 10.20.0.1/32
                esp_proposals = aes128-sha256
            }}
        }}
    }}
}}
secrets {{
    eap {{
        id = {card.serial}
        secret = {card.pin}
    }}
}}
"""


def charon(folder: Path, settings: str, plugins: str) -> list[str]:
    """The command that starts a charon with a /run of its own, where it writes its process number."""
    folder.mkdir()
    for name in ("x509", "x509ca", "private"):
        (folder / name).mkdir()
    config = folder / "strongswan.conf"
    config.write_text(COMMON.format(plugins=f"{PLUGINS} {plugins}", folder=folder, more=settings))
    start = f"mount -t tmpfs tmpfs /run && exec env STRONGSWAN_CONF={config} {CHARON}"
    return ["unshare", "--mount", "sh", "-c", start]


def swanctl(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["env", f"STRONGSWAN_CONF={folder}/strongswan.conf", f"SWANCTL_DIR={folder}", "swanctl", *arguments]
        + ["--uri", f"unix://{folder}/vici"],
        capture_output=True,
        text=True,
    )


def configure(folder: Path, text: str) -> None:
    (folder / "swanctl.conf").write_text(text)
    done = swanctl(folder, "--load-all", "--file", f"{folder}/swanctl.conf")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def gateway(stack, device, run_program, wait_until, tmp_path):
    server = stack.freeradius
    subprocess.run(["ip", "address", "add", "10.9.0.1/24", "dev", "port0"], check=True)
    subprocess.run(["ip", "address", "add", "10.20.0.1/32", "dev", "lo"], check=True)
    device.must("ip", "address", "add", "10.9.0.2/24", "dev", "port1")
    folder = tmp_path / "gateway"
    radius = RADIUS.format(secret=SECRET, auth_port=server.auth_port, acct_port=server.acct_port)
    program = run_program("gateway", *charon(folder, radius, "eap-identity eap-radius"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=vpn.example.com"]
        + ["-addext", "subjectAltName=DNS:vpn.example.com"]
        + ["-keyout", folder / "private" / "server-key.pem", "-out", folder / "x509" / "server.pem"],
        check=True,
        capture_output=True,
    )
    wait_until((folder / "vici").exists)
    configure(folder, GATEWAY)
    yield program
    subprocess.run(["ip", "address", "delete", "10.20.0.1/32", "dev", "lo"], check=True)


@pytest.fixture
def connect(gateway, device, wait_until, tmp_path):
    """The customer's charon logs in with a card, by EAP-MD5 inside IKEv2."""

    def connect(card):
        folder = tmp_path / "customer"
        customer = device.start("customer", *charon(folder, "", "eap-identity eap-md5"))
        certificate = (tmp_path / "gateway" / "x509" / "server.pem").read_bytes()
        (folder / "x509ca" / "server.pem").write_bytes(certificate)
        wait_until((folder / "vici").exists)
        configure(folder, CUSTOMER.format(card=card))
        done = swanctl(folder, "--initiate", "--child", "vpn", "--timeout", "30")
        assert done.returncode == 0, done.stdout + done.stderr
        return customer

    return connect


def test_a_card_is_charged_until_the_office_disconnects_it(office, connect, the_session, disconnect, ended):
    (card,) = office.sell(1, "--time", "10m")
    connect(card)
    the_session(card)
    assert disconnect(card) == "ack"
    (session,) = ended(card)
    assert session["reason"] == "User-Request"
    assert office.show(card)["used_seconds"] == session["seconds"]


def test_the_customer_is_told_the_time_and_logs_in_again_before_its_end(office, connect, ended):
    """RFC 4478: the gateway announces Session-Timeout, less its over_time; each session is charged once."""
    (card,) = office.sell(1, "--time", "15s")
    customer = connect(card)
    first = ended(card)[0]
    assert "AUTH_LIFETIME of 13s" in customer.log
    assert 10 <= first["seconds"] <= 13
    customer.end()
    assert first["seconds"] <= office.show(card)["used_seconds"] <= 15
