"""A login that could not be looked at proves nothing: it is not answered, and nothing is written for it.

FreeRADIUS goes on to post-auth after an authorize that failed, and there every login once had the look of one whose PIN had
been found right.
"""

import signal

import pytest

from tests import eap_device
from tests.acceptance.test_shared_desk import SharedDeskSite, lines_to

PLAIN = ("pap", "chap", "mschap", "mschap2")
WRONG_PIN = "0000000000"
# A key that no key file has.
KEY_THAT_IS_MISSING = 4711
SILENCE_SECONDS = 2

needs_eapol_test = pytest.mark.skipif(not eap_device.IS_INSTALLED, reason="eapol_test is not installed (Debian: eapoltest)")


@pytest.fixture
def unreadable(shop):
    """A card whose PIN cannot be opened, so that authorize fails."""
    card, = shop.sell(1, bind_device=True, valid_days=30)
    shop.change(card, key_number=KEY_THAT_IS_MISSING)
    return card


def assert_untouched(shop, card, wrong_pins=0):
    row = shop.card(card)
    assert (row["status"], row["device"], row["first_login_at"], row["expires_at"]) == ("delivered", None, None, None)
    assert (shop.sessions(card), shop.refusals(card)) == ([], {"wrong_pin": wrong_pins} if wrong_pins else {})


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
    answer = eap_device.log_in(tmp_path, server.raddb, server.auth_port, unreadable.serial, WRONG_PIN, method, patience_seconds=3)
    assert answer.code == "silence"
    assert_untouched(shop, unreadable)


@pytest.fixture
def site(stack, tmp_path):
    site = SharedDeskSite(stack, tmp_path)
    yield site
    site.stop()


def is_asked(site, address: str) -> bool:
    """Whether the server answers a login of this NAS and has a line to the shared process."""
    reply = site.nas[0].login("9999999999", WRONG_PIN, nas_ip=address)
    return bool(reply) and reply.is_reject and lines_to(site.socket) > 0


@pytest.fixture
def hung_desk(site, wait_until):
    """A shared process that takes what it is asked and answers nothing."""
    desk = site.open_desk()
    wait_until(site.is_open)
    # The server must have found it, or it would decide by itself.  It must know the NAS, too: else it first asks who that is,
    # that question meets the process that hangs, and the login after it is not asked there any more.
    wait_until(lambda: all(is_asked(site, address) for address in ("127.0.0.1", eap_device.NAS)))
    desk.send_signal(signal.SIGSTOP)
    yield desk
    desk.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("method", PLAIN)
def test_a_login_at_a_shared_process_that_hangs_is_given_up_once_and_for_all(shop, site, hung_desk, method):
    card, = shop.sell(1)
    # The server waits for as long as it waits for the database; for the next seconds it asks that process no more.
    assert site.nas[0].login(card.serial, WRONG_PIN, method=method, timeout_seconds=6) is None
    assert_untouched(shop, card)
    assert site.servers[0].log_since_mark().count("no answer to a login") == 1


@needs_eapol_test
@pytest.mark.parametrize("method", ["TTLS/PAP", "PEAP/MSCHAPv2", "MD5"])
def test_so_is_one_by_eap(shop, site, hung_desk, tmp_path, method):
    card, = shop.sell(1)
    server = site.servers[0]
    answer = eap_device.log_in(tmp_path, server.raddb, server.auth_port, card.serial, WRONG_PIN, method, patience_seconds=6)
    assert server.log_since_mark().count("no answer to a login") == 1
    # The device repeats its packet after three seconds, which is as long as the server waits.  Where it has given up just
    # before, it decides the repetition by itself: it proves the PIN wrong, and counts that one try.
    assert answer.code in ("silence", "Access-Reject")
    assert_untouched(shop, card, wrong_pins=1 if answer.code == "Access-Reject" else 0)
