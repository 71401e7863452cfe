"""EAP through the real server: the login in the tunnel decides, and the guard holds outside.

The device is wpa_supplicant's own test program (Debian: eapoltest).
"""

import re
import shutil
import subprocess

import pytest

from tests.host import NAS, PIN, Host

pytestmark = pytest.mark.skipif(
    not shutil.which("eapol_test"), reason="eapol_test is not installed (Debian: eapoltest)"
)

METHODS = {
    "TTLS/PAP": ("eap=TTLS", 'phase2="auth=PAP"'),
    "TTLS/CHAP": ("eap=TTLS", 'phase2="auth=CHAP"'),
    "TTLS/MSCHAPv2": ("eap=TTLS", 'phase2="auth=MSCHAPV2"'),
    "PEAP/MSCHAPv2": ("eap=PEAP", 'phase2="auth=MSCHAPV2"'),
    "MD5": ("eap=MD5",),
}
TUNNELS = [method for method in METHODS if method != "MD5"]


class Device:
    def __init__(self, host: Host, folder):
        self.host = host
        self.folder = folder
        self.authority = host.server.raddb / "certs/prepaid/ca.pem"

    def login(self, user: str, pin: str = PIN, *, method: str, authority=None) -> "Answer":
        settings = [
            "key_mgmt=IEEE8021X" if method == "MD5" else "key_mgmt=WPA-EAP",
            *METHODS[method],
            f'identity="{user}"',
            f'password="{pin}"',
        ]
        if method != "MD5":
            settings += ['anonymous_identity="anonymous"', f'ca_cert="{authority or self.authority}"']
        config = self.folder / "eapol.conf"
        config.write_text("network={\n" + "\n".join(settings) + "\n}\n")
        done = subprocess.run(
            [
                "eapol_test",
                "-c",
                config,
                "-a",
                "127.0.0.1",
                "-p",
                str(self.host.server.auth_port),
                "-s",
                "testing123",
                "-A",
                NAS,
                "-t",
                "3",
                *(["-n"] if method == "MD5" else []),
            ],
            capture_output=True,
            text=True,
            errors="replace",
        )
        return Answer(done.stdout)


class Answer:
    """The last thing that the server said."""

    def __init__(self, output: str):
        self.output = output
        codes = re.findall(
            r"RADIUS message: code=\d+ \(([\w-]+)\)", output.partition("EAPOL: startWhen --> 0")[2] or output
        )
        self.code = "silence" if "EAPOL test timed out" in output else codes[-1]
        last = output.rpartition(f"({self.code})")[2]
        self.attributes = re.findall(r"Attribute \d+ \(([\w-]+)\)", last)


@pytest.fixture(scope="module")
def host():
    with Host("post_auth_values") as host:
        yield host


@pytest.fixture
def device(host, tmp_path):
    return Device(host, tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_a_proved_pin_is_accepted_with_all_limits(device, method):
    answer = device.login("good", method=method)
    assert answer.code == "Access-Accept"
    assert answer.attributes.count("Session-Timeout") == 1
    assert answer.attributes.count("Class") == 2
    assert "Reply-Message" not in answer.attributes


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_pin_is_refused_and_noted_once(device, host, method):
    user = f"wrong-by-{method}"
    assert device.login(user, "9999999999", method=method).code == "Access-Reject"
    assert host.log().count(f"noted: a wrong PIN for {user}\n") == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", ["reject-with-limits", "nothing", "other-unknown", "negative", "handled"])
def test_a_refusal_or_a_lost_limit_inside_is_a_reject_outside(device, host, method, answer):
    reply = device.login(answer, method=method)
    assert reply.code == "Access-Reject"
    assert "Session-Timeout" not in reply.attributes
    assert f"noted: a wrong PIN for {answer}\n" not in host.log()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", ["fail", "exception"])
def test_a_database_that_is_away_is_no_answer(device, method, answer):
    assert device.login(answer, method=method).code == "silence"


@pytest.mark.parametrize("method", METHODS)
def test_a_database_that_is_away_before_the_proof_is_no_answer(tmp_path, method):
    with Host("authorize_values") as host:
        device = Device(host, tmp_path)
        assert device.login("fail", method=method).code == "silence"
        assert "noted: a wrong PIN" not in host.log()


@pytest.mark.parametrize("method", TUNNELS)
def test_a_device_that_does_not_trust_us_tries_no_pin(device, host, tmp_path, method):
    from admin.freeradius import certificates

    stranger = tmp_path / "ca.pem"
    stranger.write_bytes(certificates.certificates("elsewhere")["ca.pem"])
    host.server.mark_log()
    assert device.login("good", method=method, authority=stranger).code == "Access-Reject"
    assert "noted: a wrong PIN" not in host.log()


@pytest.mark.parametrize("method", TUNNELS)
def test_the_module_sees_the_device_and_the_nas_in_the_tunnel(tmp_path, method):
    with Host("seen") as host:
        assert Device(host, tmp_path).login("card", method=method).code == "Access-Accept"
        (seen,) = re.findall("seen by post_auth: (.*)", host.log())
        assert "('User-Name', 'card')" in seen
        assert f"('Tmp-String-0', '{NAS}')" in seen
        assert "('Calling-Station-Id', '02-00-00-00-00-01')" in seen
