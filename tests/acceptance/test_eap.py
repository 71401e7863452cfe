"""EAP with real cards: what the tunnel hides from the NAS is decided, told and charged as in any other login.

The host's part in it is tried in test_host_eap.py; here are the module, the database and the accounting.
"""

import re
import shutil
import subprocess

import pytest

from tests.acceptance.test_host_eap import METHODS

pytestmark = pytest.mark.skipif(not shutil.which("eapol_test"), reason="eapol_test is not installed (Debian: eapoltest)")

NAS = "127.0.0.2"
DEVICE = "02-00-5E-10-00-EA"


class Answer:
    """The server's last word, and the values of its Class as the NAS would echo them."""

    def __init__(self, output: str):
        self.output = output
        codes = re.findall(r"RADIUS message: code=\d+ \(([\w-]+)\)", output)
        self.code = codes[-1] if codes else "silence"
        last = output.rpartition(f"({self.code})")[2]
        self.values = re.findall(r"Attribute \d+ \(([\w-]+)\) length=\d+\n\s+Value: (.*)", last)

    def __getitem__(self, name):
        value, = [value for found, value in self.values if found == name]
        return value

    @property
    def class_values(self) -> list[bytes]:
        """Printed as text where it is text, and else in hexadecimal."""
        values = [value for name, value in self.values if name == "Class"]
        return [value[1:-1].encode() if value.startswith("'") else bytes.fromhex(value) for value in values]


@pytest.fixture
def eap(stack, radius, tmp_path):
    """A device that logs in by EAP; outside its tunnel it calls itself anonymous."""
    authority = stack.freeradius.raddb / "certs/prepaid/ca.pem"

    def eap(serial, pin, method):
        settings = [*METHODS[method], f'identity="{serial}"', f'password="{pin}"']
        if method == "MD5":
            settings += ["key_mgmt=IEEE8021X"]
        else:
            settings += ["key_mgmt=WPA-EAP", 'anonymous_identity="anonymous"', f'ca_cert="{authority}"']
        config = tmp_path / "eapol.conf"
        config.write_text("network={\n" + "\n".join(settings) + "\n}\n")
        done = subprocess.run(
            ["eapol_test", "-c", config, "-a", "127.0.0.1", "-p", str(stack.freeradius.auth_port), "-s", "testing123",
             "-A", NAS, "-M", DEVICE.replace("-", ":"), "-t", "10", *(["-n"] if method == "MD5" else [])],
            capture_output=True, text=True, errors="replace",
        )
        return Answer(done.stdout)

    return eap


@pytest.mark.parametrize("method", METHODS)
def test_a_card_is_let_in_charged_and_used_up(office, radius, eap, method):
    card, = office.sell(1, "--time", "10m", "--speed-down", "2000")
    answer = eap(card.serial, card.pin, method)
    assert (answer.code, answer["Session-Timeout"]) == ("Access-Accept", "600")
    assert answer["Acct-Interim-Interval"] == "300"
    assert office.show(card)["status"] == "in_use"
    # The NAS knows the outer name alone; whose session it is, is in the Class.
    name = card.serial if method == "MD5" else "anonymous"
    session = radius.session(name, nas_ip=NAS, calling_station_id=DEVICE)
    session.class_values = answer.class_values
    assert radius.start(session).is_acknowledged
    assert radius.stop(session, 400).is_acknowledged
    assert office.show(card)["used_seconds"] == 400

    answer = eap(card.serial, card.pin, method)
    assert answer["Session-Timeout"] == "200"
    session = radius.session(name, nas_ip=NAS, calling_station_id=DEVICE)
    session.class_values = answer.class_values
    radius.stop(session, 200)
    assert office.show(card)["status"] == "exhausted"
    assert eap(card.serial, card.pin, method).code == "Access-Reject"


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_pin_and_a_refused_card(office, database, eap, method):
    card, blocked = office.sell(2, "--time", "10m")
    office.must("block", blocked.serial, "--reason", "stolen")
    assert eap(card.serial, "0" * len(card.pin), method).code == "Access-Reject"
    assert eap(blocked.serial, blocked.pin, method).code == "Access-Reject"
    refused = database.query("SELECT card.serial, reason, SUM(tries) AS tries FROM login_refusal"
                             " JOIN card ON card.id = card_id GROUP BY card.serial, reason")
    assert {(row["serial"], row["reason"], int(row["tries"])) for row in refused} == {
        (card.serial, "wrong_pin", 1), (blocked.serial, "blocked", 1)}
    assert office.show(card)["status"] == "delivered"
