"""What FreeRADIUS makes of a Python module's answers, and what our sites make of that.

rlm_python3 turns many a fault into a yes.  Each way that is known is tried here on the real server; the modules that
do it are in hostile/.
"""

import re
import time

import pytest

from tests import mschap
from tests.host import NAS, PIN, SILENCE_SECONDS, Host

REFUSED = [
    "nothing",
    "only-ok",
    "handled",
    "noop",
    "notfound",
    "invalid",
    "userlock",
    "reject-with-limits",
    "int-value",
    "str-subclass",
    "list-pair",
    "named-tuple",
    "unknown-name",
    "list-of-pairs",
    "control-key",
    "other-unknown",
    "other-int",
    "second-of-a-name",
    "twice",
    "fraction",
    "zero",
    "negative",
    "beyond-32-bits",
]
# By the module itself: nothing of ours had to step in.
REFUSED_BY_THE_MODULE = ["invalid", "userlock", "reject-with-limits"]
NOT_CHARGED = [
    "nothing",
    "ok",
    "fail",
    "exception",
    "reject",
    "noop",
    "notfound",
    "handled",
    "invalid",
    "true",
    "a-list",
]
NOT_ANSWERED = ["fail", "true", "an-enum", "a-list", "exception"]


@pytest.fixture(scope="module")
def post_auth():
    with Host("post_auth_values") as host:
        yield host


@pytest.fixture(scope="module")
def authorize():
    with Host("authorize_values") as host:
        yield host


@pytest.fixture(scope="module")
def login_refused():
    with Host("login_refused_values") as host:
        yield host


@pytest.fixture(scope="module")
def accounting():
    with Host("accounting_values") as host:
        yield host


@pytest.fixture(scope="module")
def decent():
    with Host("decent") as host:
        yield host


# --- Logins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pap", "chap", "mschap", "mschap2"])
def test_a_good_answer_is_accepted_with_all_its_attributes(post_auth, method):
    reply = post_auth.login("good", method=method)
    assert reply.is_accept
    assert reply["Session-Timeout"] == 600
    assert reply.attributes["Class"] == [b"\x01\x02", b"\x03\x04"]


@pytest.mark.parametrize("answer", REFUSED)
def test_an_accept_without_its_limits_becomes_a_reject(post_auth, answer):
    reply = post_auth.login(answer)
    assert reply.is_reject
    assert set(reply.attributes) <= {"Message-Authenticator", "Reply-Message"}
    guarded = f"guard refused an Accept for {answer} " in post_auth.file("prepaid-guard.log")
    assert guarded == (answer not in REFUSED_BY_THE_MODULE)


@pytest.mark.parametrize("answer", ["other-unknown", "negative"])
def test_the_guard_holds_beside_attributes_of_ms_chap(post_auth, answer):
    assert post_auth.login(answer, method="mschap2").is_reject


@pytest.mark.parametrize("answer", NOT_ANSWERED)
def test_a_post_auth_that_fails_is_no_answer(post_auth, answer):
    assert post_auth.login(answer, timeout_seconds=SILENCE_SECONDS) is None


@pytest.mark.parametrize("answer", ["nothing", "only-ok", "handled", "int-pin", "control-key"])
def test_without_a_pin_to_compare_with_nobody_is_let_in(authorize, answer):
    assert authorize.login("good").is_accept
    assert authorize.login(answer).is_reject


@pytest.mark.parametrize("method", ["mschap", "mschap2"])
def test_without_the_mark_of_authorize_nothing_is_decided(authorize, method):
    assert authorize.login("without-mark", method=method, timeout_seconds=SILENCE_SECONDS) is None


def test_nor_is_a_wrong_pin_counted(authorize):
    assert authorize.login("without-mark", "9999999999").is_reject
    assert "noted: a wrong PIN for without-mark" not in authorize.log()


@pytest.mark.parametrize("answer", ["fail", "true", "exception"])
def test_an_authorize_that_fails_is_no_answer(authorize, answer):
    assert authorize.login(answer, timeout_seconds=SILENCE_SECONDS) is None


def test_minus_one_kills_the_server_and_lets_nobody_in():
    """Nothing outside Python can prevent it, so our hooks return no number that is not radiusd's own."""
    with Host("authorize_values") as host:
        assert host.login("minus-one", timeout_seconds=SILENCE_SECONDS) is None


def test_a_wrong_pin_is_refused_and_noted(decent):
    for method in ("pap", "chap", "mschap", "mschap2"):
        reply = decent.login(f"wrong-by-{method}", "9999999999", method=method)
        assert reply.is_reject
        assert reply["Reply-Message"] == "Card or PIN is wrong."
        assert f"noted: a wrong PIN for wrong-by-{method}" in decent.log()


def test_a_wrong_ms_chap_pin_is_noted_whatever_the_number_of_the_try(decent, monkeypatch):
    """MS-CHAP-Error begins with the number of the try as a byte, and text that is not UTF-8 never reaches Python."""
    response = mschap.response_2
    monkeypatch.setattr(mschap, "response_2", lambda *arguments: b"\x9d" + response(*arguments)[1:])
    with decent.raw_answers() as answers:
        assert decent.login("try-157", "9999999999", method="mschap2").is_reject
    # RFC 2548: that number again, and E=691, "authentication failure".
    assert b"\x9dE=691 " in answers[0]
    assert "noted: a wrong PIN for try-157" in decent.log()


@pytest.mark.parametrize("answer", ["exception", "nothing", "true", "reject", "accept"])
def test_a_wrong_pin_is_a_signed_reject_whatever_the_module_makes_of_it(login_refused, answer):
    reply = login_refused.login(answer, "9999999999")
    assert reply.is_reject
    assert set(reply.attributes) <= {"Message-Authenticator", "Reply-Message"}


def test_a_refusal_with_a_reason_is_no_wrong_pin(post_auth):
    assert post_auth.login("zero").is_reject
    assert "noted: a wrong PIN for zero" not in post_auth.log()


# --- Text that Python cannot read -----------------------------------------------------------------------------


@pytest.mark.parametrize("user", [b"caf\xe9", b"123\x00456", b"new\nline"])
def test_text_that_python_cannot_read_is_refused_and_kept_without_the_pin(decent, user):
    assert decent.login(user).is_reject
    quarantine = decent.file("prepaid-quarantine")
    assert "&User-Name=" in quarantine
    assert PIN not in quarantine and "User-Password" not in quarantine


def test_accounting_that_python_cannot_read_is_kept_and_answered(decent):
    assert decent.report(b"caf\xe9 do norte").is_acknowledged
    assert "&User-Name=caf%E9%20do%20norte&" in decent.file("prepaid-quarantine")


@pytest.mark.parametrize("user", ["a@b@c", "with blank", "..", "x" * 253, "' OR 1=1 --", "%{User-Password}", "café"])
def test_no_filter_of_names_stands_before_the_module(decent, user):
    assert decent.login(user).is_accept


# --- Accounting -----------------------------------------------------------------------------------------------


def test_what_is_charged_is_answered(accounting):
    assert accounting.report("good").is_acknowledged


@pytest.mark.parametrize("answer", NOT_CHARGED)
def test_what_is_not_charged_is_not_answered(accounting, answer):
    assert accounting.report(answer, timeout_seconds=SILENCE_SECONDS) is None


# --- NAS ------------------------------------------------------------------------------------------------------


def test_an_unknown_nas_gets_no_answer(decent):
    assert decent.login("card", nas_ip="127.0.8.1", timeout_seconds=SILENCE_SECONDS) is None


def test_the_clients_of_clients_conf_are_not_served(decent):
    """Debian's file lets localhost in, with a secret that everybody knows."""
    assert decent.login("card", nas_ip="127.0.0.1", timeout_seconds=SILENCE_SECONDS) is None


def test_a_request_must_be_signed_unless_its_nas_is_excepted(decent):
    unsigned = {"message_authenticator": False, "timeout_seconds": SILENCE_SECONDS}
    assert decent.login("card", **unsigned) is None
    assert decent.login("card", nas_ip="127.0.9.1", **unsigned).is_accept


def test_what_the_attack_on_radius_answers_needs_is_dropped(decent):
    """CVE-2024-3596: Proxy-State in a request that nothing signs.  An excepted NAS is the only one that may send such."""
    asked = {"nas_ip": "127.0.9.1", "timeout_seconds": SILENCE_SECONDS, "attributes": {"Proxy-State": b"x"}}
    for method in ("pap", "chap", "mschap2"):
        assert decent.login("card", method=method, message_authenticator=False, **asked) is None
    assert decent.login("card", **asked).is_accept


def test_a_hundred_new_nas_are_served_at_once(decent):
    """FreeRADIUS' comments speak of one new client a second; that would be too slow after a power cut."""
    for number in range(100):
        assert decent.login("card", nas_ip=f"127.0.10.{number + 1}").is_accept


# --- Start ----------------------------------------------------------------------------------------------------


def test_a_module_that_cannot_work_stops_the_start():
    host = Host("start_refused")
    with pytest.raises(Exception, match="ended as soon as it was started"), host:
        pass


def test_the_module_is_told_where_its_options_are_and_whose_server_it_is_in():
    with Host("seen") as host:
        assert (
            "seen by instantiate: ['card_forms', 'option_file', 'server_version', 'serves_others'] 3.2." in host.log()
        )
        assert host.login("card").is_accept
        assert f"('Tmp-String-0', '{NAS}')" in host.log()


def test_the_times_do_not_depend_on_the_servers_time_zone():
    """Event-Timestamp reaches Python as a local time, so what counts is when FreeRADIUS received the packet."""
    with Host("seen", time_zone="America/Sao_Paulo") as host:
        assert host.report("card", attributes={"Event-Timestamp": 1700000000}).is_acknowledged
        assert "('Event-Timestamp', 'Nov 14 2023 19:13:20 -03')" in host.log()
        (received_at,) = re.findall(r"'Tmp-String-1', '(\d+\.\d{6})'", host.log())
        assert abs(float(received_at) - time.time()) < 3600
