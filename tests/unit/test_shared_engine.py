"""FreeRADIUS' side of a shared engine that ends, or hangs, at the worst moment: while it has a request."""

import socket
import threading
from types import SimpleNamespace

import pytest

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine import wire
from freeradius_module.engine.catalogue import Client
from freeradius_module.engine.client import PAUSE_SECONDS, EngineClient, EngineEnded, EngineFault
from freeradius_module.engine.logins import Answer, AuthorizeResult
from freeradius_module.settings import Settings

LOGIN = {"User-Name": "7000000001", "User-Password": "0123456789"}
PACKET = (("Acct-Status-Type", "Stop"), ("User-Name", "7000000001"))
OWN = AuthorizeResult("0123456789", Answer(True, (), "time", "by its own engine"))
SHARED = AuthorizeResult(
    "0123456789", Answer(True, (("Session-Timeout", ":=", "600"),), "time", "by the shared engine")
)


class OwnEngine:
    settings = Settings(database_timeout_seconds=1)
    wrong_text = "Wrong."

    def __init__(self):
        self.packets = []

    def authorize(self, request):
        return OWN

    def account(self, pairs):
        self.packets.append(pairs)
        return "charged by its own engine"

    def client(self, address):
        return Client("of its own", "secret", True)

    def is_card(self, serial):
        return True


class Engine:
    """A stand-in for the real engine.  `lives` are what it does with the request of each connection, one after the other."""

    def __init__(self, path, *lives):
        self.received = []
        self.closed = threading.Semaphore(0)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, args=(lives,), daemon=True)
        self._thread.start()

    def _serve(self, lives):
        for answer in lives:
            caller, _ = self._listener.accept()
            with caller:
                message = caller.recv(65_536, socket.MSG_PEEK)
                if answer is not reads_nothing:
                    caller.recv(65_536)
                    what, _until, attributes = wire.read_request(message)
                    self.received.append((what, dict(attributes)))
                    answer(caller)
            self.closed.release()

    def end(self):
        self._thread.join(30)
        self._listener.close()


def answers(*words):
    return lambda caller: caller.send(wire.message(*words))


def done(result):
    return answers(wire.DONE, *wire.result(result))


def ends(caller):
    pass


def reads_nothing(caller):
    pass


def hangs(caller):
    caller.recv(1)


@pytest.fixture
def own():
    return OwnEngine()


@pytest.fixture
def shared(tmp_path, own):
    return EngineClient(own.settings._replace(engine=str(tmp_path / "engine")), own)


@pytest.fixture
def only_shared(tmp_path):
    """The client of a FreeRADIUS that may read neither password nor key."""
    return EngineClient(Settings(engine=str(tmp_path / "engine"), database_timeout_seconds=1), None)


@pytest.fixture
def open_engine(tmp_path):
    engines = []

    def open_engine(*lives, listener="engine"):
        engines.append(Engine(tmp_path / listener, *lives))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.end()


def test_the_engines_answer_is_the_answer(shared, open_engine):
    engine = open_engine(done(SHARED))
    assert shared.authorize(LOGIN) == SHARED
    assert engine.received == [("authorize", LOGIN)]


def test_freeradius_gets_tuples(shared, open_engine):
    """rlm_python3 drops a pair that is a list, and the Accept leaves without it."""
    open_engine(done(SHARED))
    reply = shared.authorize(LOGIN).answer.reply
    assert type(reply) is tuple and type(reply[0]) is tuple


def test_without_a_shared_engine_its_own_decides(shared, own):
    assert shared.authorize(LOGIN) == OWN
    assert shared.account(PACKET) == "charged by its own engine"


def test_an_engine_that_opens_later_is_found_however_many_requests_come_meanwhile(shared, open_engine, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("freeradius_module.engine.client.time", SimpleNamespace(monotonic=lambda: now))
    assert shared.authorize(LOGIN) == OWN
    now += PAUSE_SECONDS * 0.9
    assert shared.authorize(LOGIN) == OWN
    engine = open_engine(done(SHARED))
    now += PAUSE_SECONDS * 0.2
    assert shared.authorize(LOGIN) == SHARED
    assert len(engine.received) == 1


@pytest.mark.parametrize("end", [ends, hangs])
def test_a_login_that_it_had_is_not_answered(shared, open_engine, end):
    """The login may have been accepted, and would prevent a second one: the NAS asks again."""
    open_engine(end)
    with pytest.raises(EngineEnded):
        shared.authorize(LOGIN)
    assert shared.authorize(LOGIN) == OWN


def test_a_login_that_it_had_not_read_is_decided_at_once(shared, open_engine):
    open_engine(reads_nothing)
    assert shared.authorize(LOGIN) == OWN


@pytest.mark.parametrize("end", [ends, hangs])
def test_a_packet_that_it_had_is_charged_by_its_own_engine(shared, own, open_engine, end):
    """To charge it twice changes nothing."""
    open_engine(end, listener="engine-accounting")
    assert shared.account(PACKET) == "charged by its own engine"
    assert own.packets == [PACKET]


def test_a_new_engine_after_an_old_connection(shared, open_engine):
    """The connection to an engine that has ended takes no message, so no engine has read it: the next engine gets it."""
    engine = open_engine(done(SHARED), done(SHARED))
    assert shared.authorize(LOGIN) == SHARED
    assert engine.closed.acquire(timeout=30)
    assert shared.authorize(LOGIN) == SHARED
    assert len(engine.received) == 2


@pytest.mark.parametrize(("word", "fault"), [("away", DatabaseAway), ("schema", WrongSchema), ("fault", EngineFault)])
def test_the_engines_reason_is_raised(shared, own, open_engine, word, fault):
    for listener in ("engine", "engine-accounting"):
        open_engine(answers(word, "because"), listener=listener)
    with pytest.raises(fault, match="because"):
        shared.authorize(LOGIN)
    with pytest.raises(fault, match="because"):
        shared.account(PACKET)
    assert own.packets == []


def test_the_shared_engine_is_asked_for_a_nas(shared, only_shared, open_engine):
    hotspot = Client("hotspot", "testing123", False)
    engine = open_engine(done(hotspot), done(None))
    assert shared.client("192.0.2.1") == hotspot
    assert only_shared.client("192.0.2.2") is None
    assert engine.received == [("client", {"Tmp-String-0": "192.0.2.1"}), ("client", {"Tmp-String-0": "192.0.2.2"})]


def test_the_shared_engine_is_asked_whether_a_name_is_a_cards(shared, only_shared, open_engine):
    engine = open_engine(done("yes"), done(None))
    assert shared.is_card("7000000001") is True
    assert only_shared.is_card("MARIA") is False
    assert engine.received == [("is_card", {"User-Name": "7000000001"}), ("is_card", {"User-Name": "MARIA"})]


def test_while_the_shared_engine_is_away_its_own_says_whether_a_name_is_a_cards(shared, only_shared):
    assert shared.is_card("7000000001") is True
    with pytest.raises(DatabaseAway):
        only_shared.is_card("7000000001")


def test_while_the_shared_engine_is_away_its_own_knows_the_nas(shared, only_shared):
    assert shared.client("192.0.2.1").name == "of its own"
    with pytest.raises(DatabaseAway):
        only_shared.client("192.0.2.1")


def test_without_an_own_engine_a_shared_one_that_is_away_is_like_a_database_that_is_away(only_shared):
    for ask in (only_shared.authorize, only_shared.admit, only_shared.record_wrong_pin):
        with pytest.raises(DatabaseAway):
            ask(LOGIN)
    with pytest.raises(DatabaseAway):
        only_shared.account(PACKET)
    only_shared.set_serial(True)


@pytest.mark.parametrize("end", [ends, hangs])
def test_without_an_own_engine_a_packet_that_the_shared_one_had_is_not_acknowledged(only_shared, open_engine, end):
    open_engine(end, listener="engine-accounting")
    with pytest.raises(DatabaseAway):
        only_shared.account(PACKET)
