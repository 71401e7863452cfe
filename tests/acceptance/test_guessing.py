"""Whoever guesses at PINs learns from no answer whether a PIN was right while he is locked out, by whichever method."""

import re
import shutil

import pytest

from tests.acceptance.test_eap import METHODS, eap  # noqa: F401 (a fixture)

PHONE, GUESSER, OTHER_GUESSER = "02-00-00-00-00-01", "02-00-00-00-00-02", "02-00-00-00-00-03"
WRONG_PIN = "0000000000"
TRIES = 5


def lock_out(radius, card, device, nas_ip="127.0.0.1"):
    for _ in range(TRIES):
        assert radius.login(card.serial, WRONG_PIN, calling_station_id=device, nas_ip=nas_ip).is_reject


def without_chance(reply) -> list:
    """All of an answer, in order, but for its signature and for the challenge that each MS-CHAP-Error brings."""
    seen = [("code", reply.code)]
    for name, values in reply.attributes.items():
        if name == "Message-Authenticator":
            values = [len(value) for value in values]
        if name == "MS-CHAP-Error":
            # Its first octet is the identifier of the question.
            values = [
                re.sub(rb"C=[0-9A-Fa-f]+", b"C=", bytes(value, "latin-1") if isinstance(value, str) else value)[1:]
                for value in values
            ]
        seen.append((name, values))
    return seen


@pytest.mark.parametrize("method", ["pap", "chap", "mschap", "mschap2"])
def test_a_locked_out_guesser_gets_the_same_answer_for_the_right_pin(shop, radius, method):
    (card,) = shop.sell(1)
    wrong = radius.login(card.serial, WRONG_PIN, method=method, calling_station_id=OTHER_GUESSER)
    lock_out(radius, card, GUESSER)
    locked_out_wrong = radius.login(card.serial, WRONG_PIN, method=method, calling_station_id=GUESSER)
    locked_out_right = radius.login(card.serial, card.pin, method=method, calling_station_id=GUESSER)
    assert wrong.is_reject
    assert without_chance(locked_out_right) == without_chance(locked_out_wrong) == without_chance(wrong)
    assert shop.refusals(card) == {"wrong_pin": TRIES + 1, "locked_out": 2}
    assert shop.sessions(card) == []
    # Who has paid is let in meanwhile.
    assert radius.login(card.serial, card.pin, method=method, calling_station_id=PHONE).is_accept


@pytest.mark.skipif(not shutil.which("eapol_test"), reason="eapol_test is not installed (Debian: eapoltest)")
@pytest.mark.parametrize("method", METHODS)
def test_so_it_is_in_eap(shop, radius, eap, method, stack, wait_until):  # noqa: F811
    device, nas = "02-00-5E-10-00-EA", "127.0.0.2"  # as the fixture eap says it
    (card,) = shop.sell(1)
    wrong = eap(card.serial, WRONG_PIN, method)
    lock_out(radius, card, device, nas)
    locked_out_wrong = eap(card.serial, WRONG_PIN, method)
    locked_out_right = eap(card.serial, card.pin, method)
    assert wrong.code == "Access-Reject"
    assert course(locked_out_right) == course(locked_out_wrong) == course(wrong)
    assert last_answer(locked_out_right) == last_answer(locked_out_wrong) == last_answer(wrong)
    assert shop.refusals(card)["locked_out"] >= 2
    assert shop.sessions(card) == []
    wait_until(lambda: f"login of {card.serial}: locked_out" in stack.freeradius.log_since_mark())


def course(answer) -> list:
    """Every packet of a conversation: its kind and its attributes.  What is in them is encrypted, or chance."""
    packets = []
    for code, attributes in re.findall(r"RADIUS message: code=\d+ \(([\w-]+)\).*\n((?:[ \t]+.*\n)*)", answer.output):
        packets.append((code, re.findall(r"Attribute \d+ \(([\w-]+)\)", attributes)))
    assert len(packets) > 2
    return packets


def last_answer(answer) -> list:
    """Octet by octet, but for the signature and the number of the packet that is answered."""
    return [
        (name, value[4:] if name == "EAP-Message" else value)
        for name, value in answer.values
        if name != "Message-Authenticator"
    ]


def test_a_new_device_for_each_guess_ends_at_the_cards_limit_and_spares_the_owner(shop, radius, known_nas):
    (elsewhere,) = known_nas("generic")
    card, other = shop.sell(2)
    assert radius.login(other.serial, other.pin, calling_station_id=PHONE).is_accept
    for one in (card, other):
        for number in range(60):
            assert radius.login(
                one.serial, f"{number:010}", calling_station_id=f"06-00-00-00-00-{number:02X}"
            ).is_reject
        assert shop.refusals(one) == {"wrong_pin": 50, "locked_out": 10}
        assert radius.login(one.serial, one.pin, calling_station_id=GUESSER).is_reject
    # At another NAS a new buyer is let in, and the owner's device everywhere.
    assert radius.login(card.serial, card.pin, calling_station_id=GUESSER, nas_ip=elsewhere).is_accept
    shop.age(other, 2)
    assert radius.login(other.serial, other.pin, calling_station_id=PHONE).is_accept
