"""FreeRADIUS' side of a shared engine that ends, or hangs, at the worst moment: with a request in its hands."""

import socket
import threading
from types import SimpleNamespace

import pytest

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.engine import wire
from freeradius_module.engine.catalogue import Client
from freeradius_module.engine.client import PAUSE_SECONDS, EngineClient, EngineEnded, EngineFault
from freeradius_module.engine.logins import Answer, Handout
from freeradius_module.settings import Settings

LOGIN = {"User-Name": "7000000001", "User-Password": "0123456789"}
PACKET = (("Acct-Status-Type", "Stop"), ("User-Name", "7000000001"))
OWN = Handout("0123456789", Answer(True, (), "time", "by its own engine"))
SHARED = Handout("0123456789", Answer(True, (("Session-Timeout", ":=", "600"),), "time", "by the shared engine"))


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


class Engine:
    """In the place of the real one: `lives` are what it does with the request of each of its lines, one after the other."""

    def __init__(self, path, *lives):
        self.received = []
        self.hung_up = threading.Semaphore(0)
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
            self.hung_up.release()

    def end(self):
        self._thread.join(30)
        self._listener.close()


def tells(*words):
    return lambda caller: caller.send(wire.message(*words))


def done(result):
    return tells(wire.DONE, *wire.result(result))


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
    """Of a FreeRADIUS that may read neither password nor key."""
    return EngineClient(Settings(engine=str(tmp_path / "engine"), database_timeout_seconds=1), None)


@pytest.fixture
def open_engine(tmp_path):
    engines = []

    def open_engine(*lives, window="engine"):
        engines.append(Engine(tmp_path / window, *lives))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.end()


def test_what_the_engine_says_is_the_answer(shared, open_engine):
    engine = open_engine(done(SHARED))
    assert shared.authorize(LOGIN) == SHARED
    assert engine.received == [("authorize", LOGIN)]


def test_tuples_for_freeradius(shared, open_engine):
    """rlm_python3 drops a pair that is a list, and the Accept leaves without it."""
    open_engine(done(SHARED))
    reply = shared.authorize(LOGIN).answer.reply
    assert type(reply) is tuple and type(reply[0]) is tuple


def test_an_engine_that_is_not_there(shared, own):
    assert shared.authorize(LOGIN) == OWN
    assert shared.account(PACKET) == "charged by its own engine"


def test_an_engine_that_opens_later_is_found_however_much_is_asked_meanwhile(shared, open_engine, monkeypatch):
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
    """It may have been let in, and a second decision would find it in the way: the NAS asks again."""
    open_engine(end)
    with pytest.raises(EngineEnded):
        shared.authorize(LOGIN)
    assert shared.authorize(LOGIN) == OWN


def test_a_login_that_it_had_not_read_is_decided_at_once(shared, open_engine):
    open_engine(reads_nothing)
    assert shared.authorize(LOGIN) == OWN


@pytest.mark.parametrize("end", [ends, hangs])
def test_a_packet_that_it_had_is_charged_nevertheless(shared, own, open_engine, end):
    """Charged twice is charged once."""
    open_engine(end, window="engine-accounting")
    assert shared.account(PACKET) == "charged by its own engine"
    assert own.packets == [PACKET]


def test_a_new_engine_on_an_old_line(shared, open_engine):
    """Nobody has read what an ended engine's line did not take, so the next one is asked for it."""
    engine = open_engine(done(SHARED), done(SHARED))
    assert shared.authorize(LOGIN) == SHARED
    assert engine.hung_up.acquire(timeout=30)
    assert shared.authorize(LOGIN) == SHARED
    assert len(engine.received) == 2


@pytest.mark.parametrize(("word", "fault"), [("away", DatabaseAway), ("schema", WrongSchema), ("fault", EngineFault)])
def test_why_it_could_not(shared, own, open_engine, word, fault):
    for window in ("engine", "engine-accounting"):
        open_engine(tells(word, "because"), window=window)
    with pytest.raises(fault, match="because"):
        shared.authorize(LOGIN)
    with pytest.raises(fault, match="because"):
        shared.account(PACKET)
    assert own.packets == []


def test_a_nas_is_asked_for_at_the_shared_engine(shared, only_shared, open_engine):
    hotspot = Client("hotspot", "testing123", False)
    engine = open_engine(done(hotspot), done(None))
    assert shared.client("192.0.2.1") == hotspot
    assert only_shared.client("192.0.2.2") is None
    assert engine.received == [("client", {"Tmp-String-0": "192.0.2.1"}), ("client", {"Tmp-String-0": "192.0.2.2"})]


def test_while_nobody_is_there_an_own_engine_knows_the_nas(shared, only_shared):
    assert shared.client("192.0.2.1").name == "of its own"
    with pytest.raises(DatabaseAway):
        only_shared.client("192.0.2.1")


def test_without_an_own_engine_nobody_there_is_a_database_that_is_away(only_shared):
    for ask in (only_shared.authorize, only_shared.admit, only_shared.record_wrong_pin):
        with pytest.raises(DatabaseAway):
            ask(LOGIN)
    with pytest.raises(DatabaseAway):
        only_shared.account(PACKET)
    only_shared.serve_alone(True)


@pytest.mark.parametrize("end", [ends, hangs])
def test_without_an_own_engine_a_packet_that_the_shared_one_had_is_not_acknowledged(only_shared, open_engine, end):
    open_engine(end, window="engine-accounting")
    with pytest.raises(DatabaseAway):
        only_shared.account(PACKET)
