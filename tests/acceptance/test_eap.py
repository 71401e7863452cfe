"""EAP with real cards: what the tunnel hides from the NAS is decided, told and charged as in any other login.

The host's part in it is tried in test_host_eap.py; here are the module, the database and the accounting.
"""

import re
from pathlib import Path

import pytest

from tests import eap_device, ttls
from tests.eap_device import DEVICE, METHODS, NAS

pytestmark = pytest.mark.skipif(not eap_device.IS_INSTALLED, reason="eapol_test is not installed (Debian: eapoltest)")


@pytest.fixture
def eap(stack, tmp_path):
    """A device that logs in by EAP; outside its tunnel it calls itself anonymous."""
    server = stack.freeradius

    def eap(serial, pin, method, **options):
        return eap_device.log_in(tmp_path, server.raddb, server.auth_port, serial, pin, method, **options)

    return eap


@pytest.mark.parametrize("method", METHODS)
def test_a_card_is_let_in_charged_and_used_up(office, radius, eap, method):
    (card,) = office.sell(1, "--time", "10m", "--speed-down", "2000")
    answer = eap(card.serial, card.pin, method)
    assert (answer.code, answer["Session-Timeout"]) == ("Access-Accept", "600")
    assert answer["Acct-Interim-Interval"] == "300"
    assert office.show(card)["status"] == "in_use"
    # This NAS knows the outer name alone; whose session it is, is in the Class.
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
def test_a_nas_that_returns_no_class_reports_by_the_name_that_the_accept_says(office, radius, eap, method):
    (card,) = office.sell(1, "--time", "10m")
    answer = eap(card.serial, card.pin, method)
    assert answer.user_name == card.serial
    session = radius.session(answer.user_name, nas_ip=NAS, calling_station_id=DEVICE)
    assert radius.stop(session, 400).is_acknowledged
    assert office.show(card)["used_seconds"] == 400


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_pin_and_a_refused_card(office, database, eap, method):
    card, blocked = office.sell(2, "--time", "10m")
    office.must("block", blocked.serial, "--reason", "stolen")
    assert eap(card.serial, "0" * len(card.pin), method).code == "Access-Reject"
    assert eap(blocked.serial, blocked.pin, method).code == "Access-Reject"
    refused = database.query(
        "SELECT card.serial, reason, SUM(tries) AS tries FROM login_refusal"
        " JOIN card ON card.id = card_id GROUP BY card.serial, reason"
    )
    assert {(row["serial"], row["reason"], int(row["tries"])) for row in refused} == {
        (card.serial, "wrong_pin", 1),
        (blocked.serial, "blocked", 1),
    }
    assert office.show(card)["status"] == "delivered"


# --- The name outside the tunnel ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["TTLS/PAP", "TTLS/MSCHAPv2", "PEAP/MSCHAPv2"])
def test_an_outer_name_that_is_another_cards_is_refused(office, shop, stack, eap, method):
    own, other = office.sell(2, "--time", "10m")
    answer = eap(own.serial, own.pin, method, outer_name=f"{other.serial[:4]} {other.serial[4:]}")
    assert answer.code == "Access-Reject"
    assert (shop.sessions(own), shop.sessions(other)) == ([], [])
    # The customer is told no more than that serial or PIN are wrong; the office sees the reason.
    assert f"login of {own.serial}: wrong_pin, because its outer name is another card's: {other.serial}" in (
        stack.freeradius.log_since_mark()
    )


@pytest.mark.parametrize("outer_name", ["its own serial", "anonymous@example.net", "0000000000"])
def test_any_other_outer_name_is_let_in(office, eap, outer_name):
    (card,) = office.sell(1, "--time", "10m")
    answer = eap(
        card.serial, card.pin, "TTLS/PAP", outer_name=card.serial if outer_name == "its own serial" else outer_name
    )
    assert (answer.code, answer.user_name) == ("Access-Accept", card.serial)


# --- What a device says in its tunnel -------------------------------------------------------------------------

OWN, STRANGE = "02-00-00-00-00-01", "02-00-00-00-00-66"
INSIDE = {
    "Calling-Station-Id": OWN,
    "NAS-Identifier": "another",
    "Called-Station-Id": "another",
    "Class": b"prepaid:1:1",
    "Acct-Session-Id": "8001",
    "NAS-IP-Address": bytes([10, 0, 0, 1]),
}


def test_a_device_in_the_tunnel_is_not_believed_to_be_another(shop, radius):
    (card,) = shop.sell(1, bind_device=True)
    assert ttls.log_in(radius, card.serial, card.pin, calling_station_id=OWN).is_accept
    assert shop.card(card)["device"] == OWN
    assert ttls.log_in(radius, card.serial, card.pin, calling_station_id=STRANGE, avps=INSIDE).is_reject
    assert shop.refusals(card) == {"wrong_device": 1}


def test_nor_is_one_that_the_nas_does_not_name(shop, radius):
    (card,) = shop.sell(1, bind_device=True)
    assert ttls.log_in(radius, card.serial, card.pin, calling_station_id=OWN).is_accept
    assert ttls.log_in(radius, card.serial, card.pin, calling_station_id=None, avps=INSIDE).is_reject


def test_guesses_are_counted_for_the_device_outside(shop, radius):
    (card,) = shop.sell(1)
    for number in range(5):
        inside = INSIDE | {"Calling-Station-Id": f"02-00-00-00-01-{number:02}"}
        assert ttls.log_in(radius, card.serial, "0000000000", calling_station_id=STRANGE, avps=inside).is_reject
    assert ttls.log_in(radius, card.serial, card.pin, calling_station_id=STRANGE, avps=INSIDE).is_reject
    assert shop.refusals(card) == {"wrong_pin": 5, "locked_out": 1}


def test_the_words_between_site_and_module_cannot_be_said_in_a_tunnel(shop, radius):
    """By the numbers that FreeRADIUS gives them; no RADIUS packet can carry them, but a tunnel's attributes have 32 bits."""
    (own,) = shop.sell(1)
    answer = ttls.log_in(radius, own.serial, own.pin, avps={number: "10.9.9.9" for number in tmp_string_numbers()})
    assert answer is None or answer.is_accept
    assert {row["nas_address"] for row in shop.sessions(own)} <= {"127.0.0.1"}


def tmp_string_numbers() -> list[int]:
    text = Path("/usr/share/freeradius/dictionary.freeradius.internal").read_text()
    return [int(number) for number in re.findall(r"(?m)^ATTRIBUTE\s+Tmp-String-[0-4]\s+(\d+)", text)]
