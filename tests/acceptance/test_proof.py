"""A login that could not be looked at proves nothing: it is not answered, and nothing is written for it.

FreeRADIUS goes on to post-auth after an authorize that failed, and there every login once had the look of one whose PIN had
been found right.
"""

import signal
import socket
import threading
import time

import pytest

from freeradius_module.engine import wire
from tests import eap_device
from tests.acceptance.test_shared_engine import EngineClientSite, connections_to

PLAIN = ("pap", "chap", "mschap", "mschap2")
WRONG_PIN = "0000000000"
# A key that no key file has.
KEY_THAT_IS_MISSING = 4711
SILENCE_SECONDS = 2

needs_eapol_test = pytest.mark.skipif(
    not eap_device.IS_INSTALLED, reason="eapol_test is not installed (Debian: eapoltest)"
)


@pytest.fixture
def unreadable(shop):
    """A card whose PIN cannot be opened, so that authorize fails."""
    (card,) = shop.sell(1, bind_device=True, valid_days=30)
    shop.change(card, key_number=KEY_THAT_IS_MISSING)
    return card


def assert_untouched(shop, card, refusals=({},)):
    row = shop.card(card)
    assert (row["status"], row["device"], row["first_login_at"], row["expires_at"]) == ("delivered", None, None, None)
    assert shop.sessions(card) == []
    assert shop.refusals(card) in refusals


@pytest.mark.parametrize("method", PLAIN)
@pytest.mark.parametrize("is_right", [False, True], ids=["wrong PIN", "right PIN"])
def test_a_login_whose_pin_cannot_be_read_is_not_answered(shop, radius, unreadable, method, is_right):
    pin = unreadable.pin if is_right else WRONG_PIN
    assert radius.login(unreadable.serial, pin, method=method, timeout_seconds=SILENCE_SECONDS) is None
    assert_untouched(shop, unreadable)


@needs_eapol_test
@pytest.mark.parametrize("method", eap_device.METHODS)
def test_nor_is_one_by_eap(shop, stack, unreadable, tmp_path, method):
    server = stack.freeradius
    answer = eap_device.log_in(
        tmp_path, server.raddb, server.auth_port, unreadable.serial, WRONG_PIN, method, patience_seconds=3
    )
    assert answer.code == "silence"
    assert_untouched(shop, unreadable)


@pytest.fixture
def site(stack, tmp_path):
    site = EngineClientSite(stack, tmp_path)
    yield site
    site.stop()


def is_asked(site, address: str) -> bool:
    """Whether the server answers a login of this NAS and has a line to the shared process."""
    reply = site.nas[0].login("9999999999", WRONG_PIN, nas_ip=address)
    return bool(reply) and reply.is_reject and connections_to(site.socket) > 0


@pytest.fixture
def hung_engine(site, wait_until):
    """A shared process that takes what it is asked and answers nothing."""
    engine = site.open_engine()
    wait_until(site.is_open)
    # The server must have found it, or it would decide by itself.  It must know the NAS, too: else it first asks who that is,
    # that question meets the process that hangs, and the login after it is not asked there any more.
    wait_until(lambda: all(is_asked(site, address) for address in ("127.0.0.1", eap_device.NAS)))
    engine.send_signal(signal.SIGSTOP)
    yield engine
    engine.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("method", PLAIN)
def test_a_login_at_a_shared_process_that_hangs_is_given_up_once_and_for_all(shop, site, hung_engine, method):
    (card,) = shop.sell(1)
    # The server waits for as long as it waits for the database; for the next seconds it asks that process no more.
    assert site.nas[0].login(card.serial, WRONG_PIN, method=method, timeout_seconds=6) is None
    assert_untouched(shop, card)
    assert site.servers[0].log_since_mark().count("no answer to a login") == 1


@needs_eapol_test
@pytest.mark.parametrize("method", ["TTLS/PAP", "PEAP/MSCHAPv2", "MD5"])
def test_so_is_one_by_eap(shop, site, hung_engine, tmp_path, method):
    (card,) = shop.sell(1)
    server = site.servers[0]
    answer = eap_device.log_in(
        tmp_path, server.raddb, server.auth_port, card.serial, WRONG_PIN, method, patience_seconds=6
    )
    assert server.log_since_mark().count("no answer to a login") == 1
    # The device repeats its packet after three seconds, which is as long as the server waits.  Where it has given up just
    # before, it decides the repetition by itself: it proves the PIN wrong, and counts that one try.
    assert answer.code in ("silence", "Access-Reject")
    assert_untouched(shop, card, ({"wrong_pin": 1} if answer.code == "Access-Reject" else {},))


@pytest.mark.parametrize("method", PLAIN)
def test_a_login_at_a_shared_process_that_is_killed_meanwhile_proves_nothing(shop, site, hung_engine, method):
    (card,) = shop.sell(1, bind_device=True, valid_days=30)
    killer = threading.Timer(0.5, hung_engine.kill)
    killer.start()
    answer = site.nas[0].login(card.serial, WRONG_PIN, method=method, timeout_seconds=6)
    # Either it had the question, or the server decides by itself.
    assert answer is None or answer.is_reject
    assert_untouched(shop, card, ({}, {"wrong_pin": 1}))


@pytest.mark.parametrize("method", PLAIN)
def test_a_login_that_was_given_up_is_not_made_when_the_process_goes_on(shop, site, hung_engine, method):
    """Its PIN was right; the NAS has asked another server meanwhile, or the customer has gone."""
    (card,) = shop.sell(1)
    assert site.nas[0].login(card.serial, card.pin, method=method, timeout_seconds=6) is None
    hung_engine.send_signal(signal.SIGCONT)
    # A question of ours comes after those that waited.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.connect(str(site.socket))
        asked = {"User-Name": "9999999999", "User-Password": WRONG_PIN, "Tmp-String-0": "127.0.0.1"}
        caller.send(wire.request("authorize", time.monotonic() + 10, asked.items()))
        caller.settimeout(10)
        assert wire.words(caller.recv(100_000))[0] == wire.DONE
    assert_untouched(shop, card)


@pytest.mark.parametrize("method", PLAIN)
def test_a_login_of_a_card_that_is_locked_proves_nothing_and_is_given_up(shop, site, wait_until, method):
    """A wrong PIN is told at once; a first login needs the card's row, and is not made after all when that is free again."""
    site.open_engine()
    wait_until(site.is_open)
    wait_until(lambda: site.nas[0].login("9999999999", WRONG_PIN).is_reject and connections_to(site.socket) > 0)
    guessed, asked = shop.sell(2, bind_device=True, valid_days=30)
    with shop.database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM card WHERE serial IN (%s, %s) FOR UPDATE", [guessed.serial, asked.serial])
        assert site.nas[0].login(guessed.serial, WRONG_PIN, method=method, timeout_seconds=6).is_reject
        began = time.monotonic()
        assert site.nas[0].login(asked.serial, asked.pin, method=method, timeout_seconds=6) is None
        cursor.execute("ROLLBACK")
    assert time.monotonic() - began < 8
    time.sleep(0.5)
    assert_untouched(shop, guessed, ({"wrong_pin": 1},))
    assert_untouched(shop, asked)
    assert site.servers[0].log_since_mark().count("no answer to a login") == 1
    assert site.nas[0].login(asked.serial, asked.pin, method=method).is_accept
