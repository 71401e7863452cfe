"""What docs/security.md promises and no other test shows."""

import os
import struct

from pyrad import packet as codec

SILENCE_SECONDS = 2


def test_a_login_without_message_authenticator_has_no_answer(shop, radius):
    (card,) = shop.sell(1)
    assert radius.login(card.serial, card.pin, message_authenticator=False, timeout_seconds=SILENCE_SECONDS) is None
    assert shop.sessions(card) == []
    assert radius.login(card.serial, card.pin).is_accept


def test_a_login_with_a_wrong_message_authenticator_has_no_answer(shop, radius):
    """One octet of it, and one octet of what it signs."""
    (card,) = shop.sell(1)
    request = radius._packet(codec.AuthPacket, codec.AccessRequest)
    request.authenticator = request.CreateAuthenticator()
    radius._set(request, {"User-Name": card.serial, "NAS-IP-Address": "127.0.0.1"})
    request["User-Password"] = request.PwCrypt(card.pin)
    request.add_message_authenticator()
    octets = request.RequestPacket()
    place = octets.index(struct.pack("BB", 80, 18)) + 2
    for at in (place, 20 + 2):
        changed = bytearray(octets)
        changed[at] ^= 1
        assert radius.send_bytes(bytes(changed), radius.auth_port, timeout_seconds=SILENCE_SECONDS) is None
    assert shop.sessions(card) == [] and shop.refusals(card) == {}
    assert radius.send_bytes(octets, radius.auth_port)[0] == codec.AccessAccept


def test_accounting_with_a_wrong_secret_has_no_answer_and_charges_nothing(shop, radius):
    (card,) = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    true_secret, radius.secret = radius.secret, os.urandom(8)
    assert radius.stop(session, seconds=60, timeout_seconds=SILENCE_SECONDS) is None
    radius.secret = true_secret
    assert shop.used(card) == (0, 0, 0)
    assert radius.stop(session, seconds=60).is_acknowledged
    assert shop.used(card) == (60, 0, 0)


def test_guesses_do_not_keep_the_owner_out(shop, radius):
    """Two hundred guesses from forty devices: none gets in, and the owner does, before, during and after."""
    (card,) = shop.sell(1, credit_octets=10**12, max_sessions=20)
    for guess in range(200):
        device = f"06-00-00-00-00-{guess % 40:02X}"
        assert radius.login(card.serial, f"{guess:010d}", calling_station_id=device).is_reject
        if guess % 50 == 0:
            assert radius.login(card.serial, card.pin).is_accept
    assert radius.login(card.serial, card.pin).is_accept
