"""The bench's packets are what pyrad would send and accept; its generator rests on them."""

import hashlib
import hmac
import io

import pytest
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket

from tests.bench import packet
from tests.bench.cards import card
from tests.bench.traffic import Session, accounting_attributes, login_attributes

SECRET = b"testing123"

DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE NAS-Port 5 integer
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Class 25 octets
ATTRIBUTE Called-Station-Id 30 string
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Acct-Input-Gigawords 52 integer
ATTRIBUTE Acct-Output-Gigawords 53 integer
ATTRIBUTE Event-Timestamp 55 date
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Message-Authenticator 80 octets
"""


@pytest.fixture(scope="module")
def dictionary():
    return Dictionary(io.StringIO(DICTIONARY))


def test_a_login_reads_as_it_was_meant(dictionary):
    secret, authenticator = packet.Secret(SECRET), bytes(range(16))
    request = secret.access_request(7, authenticator, login_attributes(5, "ab", authenticator, secret))
    read = AuthPacket(packet=request, secret=SECRET, dict=dictionary)
    assert read.id == 7
    assert read["User-Name"] == [card(5).serial]
    assert read.PwDecrypt(read["User-Password"][0]) == card(5).pin
    assert read["Calling-Station-Id"] == [card(5).device]
    assert read.verify_message_authenticator()


def test_a_wrong_message_authenticator_would_be_seen(dictionary):
    secret, authenticator = packet.Secret(b"another"), bytes(16)
    request = secret.access_request(7, authenticator, login_attributes(5, "ab", authenticator, secret))
    assert not AuthPacket(packet=request, secret=SECRET, dict=dictionary).verify_message_authenticator()


@pytest.mark.parametrize("secret", [b"x", SECRET, b"k" * 64, b"k" * 65])
def test_the_quick_hmac_is_hmac(secret):
    request = packet.Secret(secret).access_request(1, bytes(16), packet.text(packet.USER_NAME, "a"))
    blank = request[:22] + bytes(16) + request[38:]
    assert request[22:38] == hmac.digest(secret, blank, "md5")


@pytest.mark.parametrize("password", [b"", b"1", b"x" * 16, b"x" * 17, b"x" * 48])
def test_a_password_of_any_length_is_hidden_as_pyrad_does(dictionary, password):
    theirs = AuthPacket(secret=SECRET, authenticator=bytes(16), dict=dictionary)
    assert packet.Secret(SECRET).hide(password, bytes(16)) == (theirs.PwCrypt(password) or theirs.PwCrypt(b"\0"))


def test_a_stop_reads_as_it_was_meant(dictionary):
    session = Session(5, [], began=1_799_999_989.2)
    attributes = accounting_attributes(5, "ab", stage=11) + session.clock(1_800_000_000.5)
    attributes += packet.attribute(packet.CLASS, b"token")
    request = packet.Secret(SECRET).accounting_request(9, attributes)
    read = AcctPacket(packet=request, secret=SECRET, dict=dictionary)
    assert read.VerifyAcctRequest()
    assert read["Acct-Status-Type"] == [packet.STOP]
    assert read["Acct-Session-Time"] == [11]
    assert read["Acct-Output-Gigawords"][0] * 2**32 + read["Acct-Output-Octets"][0] == 11 * 450_000_000
    assert read["Event-Timestamp"] == [1_800_000_000]
    assert read["Class"] == [b"token"]


def test_only_the_answer_to_this_request_counts():
    secret = packet.Secret(SECRET)
    request = secret.accounting_request(9, packet.integer(packet.ACCT_STATUS_TYPE, packet.START))
    head = bytes((packet.ACCOUNTING_RESPONSE, 9, 0, 20))
    answer = head + hashlib.md5(head + request[4:20] + SECRET).digest()
    assert secret.is_answer(answer, request)
    other = secret.accounting_request(9, packet.integer(packet.ACCT_STATUS_TYPE, packet.STOP))
    assert not secret.is_answer(answer, other)
    assert not packet.Secret(b"another").is_answer(answer, request)


def test_a_value_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="254 bytes"):
        packet.attribute(packet.CLASS, bytes(254))
