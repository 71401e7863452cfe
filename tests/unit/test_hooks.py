"""What FreeRADIUS calls, with a stand-in for the module radiusd: every returned value is one that FreeRADIUS accepts."""

import importlib
import json
import sys
import types

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeradius_module import event_log
from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine import read_mark
from freeradius_module.engine.accounting import NeverCharged
from freeradius_module.engine.logins import Answer, AuthorizeResult
from freeradius_module.sealing import keyring

PIN = "4711008123"
CODES = ["REJECT", "FAIL", "OK", "HANDLED", "INVALID", "USERLOCK", "NOTFOUND", "NOOP", "UPDATED"]
LEVELS = ["L_AUTH", "L_INFO", "L_ERR", "L_WARN", "L_DBG"]


@pytest.fixture
def radiusd(monkeypatch):
    """A stand-in for the module that exists only inside FreeRADIUS; what was logged is in `lines`."""
    fake = types.ModuleType("radiusd")
    for number, name in enumerate(CODES):
        setattr(fake, f"RLM_MODULE_{name}", number)
    for number, name in enumerate(LEVELS):
        setattr(fake, name, number)
    fake.lines = []
    fake.radlog = lambda level, text: fake.lines.append(text)
    fake.config = {}
    monkeypatch.setitem(sys.modules, "radiusd", fake)
    return fake


@pytest.fixture
def hooks(radiusd):
    sys.modules.pop("freeradius_module.hooks", None)
    yield importlib.import_module("freeradius_module.hooks")
    sys.modules.pop("freeradius_module.hooks", None)


@pytest.fixture
def option_file(tmp_path):
    """Names a database that does not exist, and a key file that does."""
    keyring.create(tmp_path / "key")
    path = tmp_path / "prepaid.cnf"
    path.write_text(
        f"[prepaid-radius]\nuser = u\npassword = p\nunix_socket = {tmp_path}/no.sock\ndatabase = d\n"
        f"[prepaid]\nkey_file = {tmp_path}/key\n"
    )
    return path


@pytest.fixture
def started(hooks, radiusd, option_file):
    """The hooks as they are after a start while the database is away."""
    radiusd.config = {"option_file": str(option_file)}
    assert hooks.instantiate(None) == 0
    return hooks


class Engine:
    """A stand-in for the real engine: a test gives its methods."""

    wrong_text = "Wrong serial number or PIN."

    def __init__(self, **does):
        self.__dict__.update(does)


def raises(fault):
    def method(*_arguments):
        raise fault

    return method


def packet(**attributes) -> tuple | None:
    """The request's pairs, as rlm_python3 passes them; None where there are none."""
    return tuple((name.replace("_", "-"), value) for name, value in attributes.items()) or None


MARKED = {
    "User-Name": "4000017",
    "Calling-Station-Id": "02-00-00-00-00-01",
    "Tmp-String-0": "192.0.2.7",
    "Tmp-String-1": "1764000000.250000",
}
MARKED["Tmp-String-3"] = read_mark.make(MARKED)


def marked() -> tuple:
    """A login that authorize has marked."""
    return tuple(MARKED.items())


def check_answer(answer, radiusd):
    """Check that rlm_python3 accepts it as it is: an RLM_MODULE_ integer, or that and two tuples of text.  Returns the integer."""
    code, *lists = answer if type(answer) is tuple else (answer,)
    assert type(code) is int and code in range(len(CODES))
    assert len(lists) in (0, 2)
    for pairs in lists:
        assert type(pairs) is tuple
        for pair in pairs:
            assert type(pair) is tuple and [type(part) for part in pair] == [str, str, str]
    return code


# --- The start -------------------------------------------------------------------------------------------


def test_a_database_that_is_away_does_not_stop_the_start(started, radiusd):
    assert "The database is away, starting nevertheless" in radiusd.lines[-1]


@pytest.mark.parametrize("version", ["3.2.9", "3.2.10"])
def test_a_freeradius_that_loses_answers_does_not_start(hooks, radiusd, option_file, version):
    radiusd.config = {"option_file": str(option_file), "server_version": version}
    assert hooks.instantiate(None) == -1
    assert version in radiusd.lines[-1]


def test_a_missing_option_file_stops_the_start_with_a_sentence(hooks, radiusd, tmp_path):
    radiusd.config = {"option_file": str(tmp_path / "none.cnf")}
    assert hooks.instantiate(None) == -1
    assert str(tmp_path / "none.cnf") in radiusd.lines[-1]


def test_a_key_file_that_others_can_read_stops_the_start(hooks, radiusd, option_file):
    option_file.with_name("key").chmod(0o644)
    radiusd.config = {"option_file": str(option_file)}
    assert hooks.instantiate(None) == -1


def test_a_second_instance_shares_the_first_ones_engine(started):
    engine = started._engine
    assert started.instantiate(None) == 0
    assert started._engine is engine


def test_detach_accepts_what_freeradius_passes(started, radiusd):
    check_answer(started.detach(packet()), radiusd)


def test_a_fault_does_not_stop_a_server_with_other_customers_and_is_repaired_by_itself(
    hooks, radiusd, option_file, monkeypatch
):
    whole = option_file.read_text()
    option_file.write_text("[prepaid-radius")
    radiusd.config = {"option_file": str(option_file), "serves_others": "yes", "card_forms": "LIVRE####C"}
    assert [hooks.instantiate(None) for _ in range(3)] == [0, 0, 0]
    assert "other customers are served" in radiusd.lines[-1]
    for call in (hooks.authorize, hooks.post_auth, hooks.login_refused, hooks.accounting, hooks.client):
        assert check_answer(call(packet(User_Name="LIVRE00426")), radiusd) == radiusd.RLM_MODULE_FAIL
    names = {"LIVRE00426": "OK", "5724": "UPDATED", "maria": "NOOP"}
    for name, code in names.items():
        assert hooks.whose(packet(User_Name=name)) == getattr(radiusd, f"RLM_MODULE_{code}")
    option_file.write_text(whole)
    monkeypatch.setattr(hooks, "_next_try", 0.0)
    hooks.authorize(packet(User_Name="LIVRE00426"))
    assert any("the fault is repaired" in line for line in radiusd.lines)


def test_a_version_that_loses_answers_does_not_stop_a_server_with_other_customers(hooks, radiusd, option_file):
    radiusd.config = {"option_file": str(option_file), "serves_others": "yes", "server_version": "3.2.9"}
    assert hooks.instantiate(None) == 0
    assert hooks.authorize(packet(User_Name="4000017")) == radiusd.RLM_MODULE_FAIL


# --- Answers ---------------------------------------------------------------------------------------------


def test_authorize_returns_the_pin_to_freeradius(hooks, radiusd):
    hooks._engine = Engine(authorize=lambda request: AuthorizeResult(PIN))
    request = packet(User_Name="4000017")
    assert hooks.authorize(request) == (
        radiusd.RLM_MODULE_UPDATED,
        (),
        (("Cleartext-Password", ":=", PIN), ("Tmp-String-6", ":=", read_mark.make(dict(request)))),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"Tmp_String_3": ""},
        {"Tmp_String_3": "read"},
        {"Tmp_String_3": "\udce9"},
        {"User_Name": "4000025"},
        {"Tmp_String_0": "192.0.2.8"},
        {"Calling_Station_Id": "02-00-00-00-00-02"},
        {"Tmp_String_1": "1764000000.250001"},
    ],
)
def test_nothing_is_decided_for_a_login_that_authorize_has_not_marked(hooks, radiusd, change):
    decided = []
    hooks._engine = Engine(admit=decided.append)
    request = packet(**{name.replace("-", "_"): value for name, value in MARKED.items()} | change)
    assert hooks.post_auth(request) == radiusd.RLM_MODULE_FAIL
    assert decided == []


def test_a_packet_that_can_never_be_charged_gets_another_code_than_one_that_can_be_charged_later(hooks, radiusd):
    hooks._engine = Engine(
        account=raises(NeverCharged("accounting of 'caf\u00e9': unknown_card, nothing to charge" + "x" * 500))
    )
    code, reply, ((name, _, reason),) = hooks.accounting(packet(User_Name="4000017"))
    assert (code, reply, name) == (radiusd.RLM_MODULE_NOTFOUND, (), "Tmp-String-7")
    assert reason.startswith("accounting of 'caf\\xe9': unknown_card") and len(reason) <= hooks.REASON_MAX


def test_a_login_that_proves_its_pin_by_itself_is_answered_at_once(hooks, radiusd):
    reply = (("Session-Timeout", ":=", "600"), ("Class", "+=", "0x00"))
    answer = Answer(True, reply, "time")
    hooks._engine = Engine(authorize=lambda request: AuthorizeResult(PIN, answer))
    assert hooks.authorize(packet(User_Name="4000017")) == (
        radiusd.RLM_MODULE_UPDATED,
        reply,
        (("Tmp-Integer-7", ":=", "2"), ("Cleartext-Password", ":=", PIN)),
    )
    answer = Answer(False, (("Reply-Message", ":=", "Blocked."),), "blocked", "login of 4000017: blocked")
    hooks._engine = Engine(authorize=lambda request: AuthorizeResult(PIN, answer))
    assert hooks.authorize(packet(User_Name="4000017")) == (
        radiusd.RLM_MODULE_REJECT,
        answer.reply,
        (("Tmp-String-7", ":=", "blocked"),),
    )


def test_an_accept_says_how_many_attributes_it_has(hooks, radiusd):
    reply = (("Session-Timeout", ":=", "600"), ("Class", "+=", "0x00"))
    hooks._engine = Engine(admit=lambda request: Answer(True, reply, "time"))
    assert hooks.post_auth(marked()) == (radiusd.RLM_MODULE_UPDATED, reply, (("Tmp-Integer-7", ":=", "2"),))
    assert radiusd.lines == []


def test_a_refusal_carries_its_reason_and_no_count_that_the_guard_would_take_for_an_accept(hooks, radiusd):
    reply = (("Reply-Message", ":=", "This card is blocked."),)
    hooks._engine = Engine(admit=lambda request: Answer(False, reply, "blocked", "login of 4000017: blocked"))
    assert hooks.post_auth(marked()) == (radiusd.RLM_MODULE_REJECT, reply, (("Tmp-String-7", ":=", "blocked"),))
    assert radiusd.lines == ["login of 4000017: blocked"]


def test_an_unknown_nas_is_not_found(hooks, radiusd):
    hooks._engine = Engine(client=lambda address: None)
    assert hooks.client(packet(Tmp_String_0="10.1.2.3")) == radiusd.RLM_MODULE_NOTFOUND


CALLS = {
    "authorize": "authorize",
    "post_auth": "admit",
    "login_refused": "record_wrong_pin",
    "accounting": "account",
    "client": "client",
}


@pytest.mark.parametrize(
    "fault",
    [
        DatabaseAway("gone"),
        WrongSchema("version 2"),
        ValueError("x"),
        KeyError("y"),
        RuntimeError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ],
)
@pytest.mark.parametrize(("hook", "method"), CALLS.items())
def test_no_exception_reaches_freeradius(hooks, radiusd, hook, method, fault):
    hooks._engine = Engine(**{method: raises(fault)})
    code = check_answer(getattr(hooks, hook)(marked()), radiusd)
    # No answer, so that the NAS asks the next server; but a Reject that was decided is sent in any case.
    assert code == (radiusd.RLM_MODULE_OK if hook == "login_refused" else radiusd.RLM_MODULE_FAIL)
    assert len(radiusd.lines) == 1


@pytest.mark.parametrize(("hook", "method"), CALLS.items())
def test_a_pin_in_an_exception_is_not_logged(hooks, radiusd, hook, method):
    hooks._engine = Engine(**{method: raises(ValueError(f"cannot compare {PIN}"))})
    getattr(hooks, hook)((*marked(), ("User-Password", PIN)))
    assert "ValueError" in radiusd.lines[0]
    assert PIN not in "".join(radiusd.lines)


PACKETS = st.none() | st.dictionaries(
    st.sampled_from(["request", "reply", "config"]),
    st.none()
    | st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "User-Name",
                    "User-Password",
                    "Acct-Status-Type",
                    "Acct-Session-Id",
                    "Acct-Session-Time",
                    "Class",
                    "Calling-Station-Id",
                    "Tmp-String-0",
                    "Tmp-String-1",
                ]
            ),
            st.text(max_size=300) | st.sampled_from(["Start", "Stop", "Accounting-On", "127.0.0.1", "1.5"]),
        )
    ).map(tuple),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PACKETS)
def test_whatever_comes_while_the_database_is_away_each_hook_answers(started, radiusd, any_packet):
    for hook in CALLS:
        check_answer(getattr(started, hook)(any_packet), radiusd)


def test_a_login_is_not_refused_because_the_database_is_away(started, radiusd):
    request = packet(User_Name="4000017", User_Password=PIN)
    assert started.authorize(request) == radiusd.RLM_MODULE_FAIL
    assert started.post_auth(request) == radiusd.RLM_MODULE_FAIL


def test_a_report_is_not_acknowledged_while_the_database_is_away(started, radiusd):
    assert (
        started.accounting(
            packet(User_Name="4000017", Acct_Status_Type="Start", Acct_Session_Id="1", Tmp_String_0="127.0.0.1")
        )
        == radiusd.RLM_MODULE_FAIL
    )


def test_a_stranger_sees_one_text(started, radiusd):
    assert started.login_refused(packet(User_Name="4000017"))[1] == (
        ("Reply-Message", ":=", started._engine.wrong_text),
    )


# --- The log -----------------------------------------------------------------------------------------------


def away(_request):
    raise DatabaseAway("timed out")


def test_a_database_that_is_away_is_said_once_a_second_and_once_that_it_is_back(hooks, radiusd, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(hooks, "_outage", event_log.Outage(lambda: now[0]))
    hooks._engine = Engine(authorize=away)
    for _ in range(50):
        assert hooks.authorize(tuple(MARKED.items())) == radiusd.RLM_MODULE_FAIL
    assert radiusd.lines == ["prepaid-cards: no answer to a login: DatabaseAway timed out"]
    now[0] += 1
    hooks.authorize(tuple(MARKED.items()))
    assert radiusd.lines[1:] == [
        "prepaid-cards: no answer to a login: DatabaseAway timed out; 50 without an answer since the last such line"
    ]
    hooks._engine = Engine(authorize=lambda request: AuthorizeResult("0123456789"))
    hooks.authorize(tuple(MARKED.items()))
    hooks.authorize(tuple(MARKED.items()))
    assert radiusd.lines[2:] == ["prepaid-cards: The database is back; 51 packets got no answer while it was away"]


def test_other_faults_are_each_said(hooks, radiusd):
    def faulty(_request):
        raise KeyError("x")

    hooks._engine = Engine(authorize=faulty)
    hooks.authorize(tuple(MARKED.items()))
    hooks.authorize(tuple(MARKED.items()))
    assert radiusd.lines == ["prepaid-cards: no answer to a login: KeyError"] * 2


def test_events_as_json_have_the_same_fields(hooks, radiusd, monkeypatch):
    monkeypatch.setattr(hooks, "_log_format", "json")
    refused = Answer(False, (("Reply-Message", ":=", "Blocked."),), "blocked", "login of 4000017: blocked")
    hooks._engine = Engine(
        authorize=lambda request: AuthorizeResult("0123456789", refused),
        record_wrong_pin=lambda request: "login of 4000017: wrong_pin",
    )
    hooks.authorize(tuple(MARKED.items()))
    hooks.login_refused(tuple(MARKED.items()))
    events = [json.loads(line) for line in radiusd.lines]
    assert [(one["event"], one["program"], one["reason"]) for one in events] == [
        ("login_refused", "freeradius", "blocked"),
        ("login_refused", "freeradius", "wrong_pin"),
    ]
    assert all(one["serial"] and one["at"] and one["text"] for one in events)
    hooks._engine = Engine(authorize=away)
    hooks.authorize(tuple(MARKED.items()))
    assert json.loads(radiusd.lines[-1])["event"] == "database_away"


def test_the_option_file_chooses_json(hooks, radiusd, option_file):
    option_file.write_text(option_file.read_text() + "log = json\n")
    radiusd.config = {"option_file": str(option_file)}
    hooks.instantiate(None)
    assert json.loads(radiusd.lines[-1])["event"] == "database_away"
