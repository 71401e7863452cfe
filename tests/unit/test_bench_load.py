"""The load generator against a small server of this test: it counts everything and hides no wait."""

import hashlib
import os
import select
import socket
import threading
from collections import Counter

import pytest

from tests.bench import load, measure, packet, table, traffic
from tests.bench.cards import Deck, card
from tests.bench.run import Round

SECRET = packet.Secret(b"testing123")


class Server(threading.Thread):
    """Answers on two ports; `loses(number, request)` says which requests it does not see."""

    def __init__(self, loses=lambda number, request: False, login_code=packet.ACCESS_ACCEPT):
        super().__init__(daemon=True)
        self.loses, self.login_code = loses, login_code
        self.seen = []
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for each in self.sockets:
            each.bind(("127.0.0.1", 0))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, load.RECEIVE_BUFFER_OCTETS)
        self.endpoint = load.Endpoint(*(each.getsockname()[1] for each in self.sockets))
        self.ending = threading.Event()

    def run(self):
        number = 0
        while not self.ending.is_set():
            for each in select.select(self.sockets, (), (), 0.01)[0]:
                request, sender = each.recvfrom(4096)
                number += 1
                if not self.loses(number, request):
                    self.seen.append(request)
                    each.sendto(self.answer(request), sender)

    def answer(self, request):
        is_login = request[0] == packet.ACCESS_REQUEST
        attributes = packet.attribute(packet.CLASS, b"token") if is_login else b""
        code = self.login_code if is_login else packet.ACCOUNTING_RESPONSE
        head = bytes((code, request[1], 0, 20 + len(attributes)))
        return head + hashlib.md5(head + request[4:20] + attributes + b"testing123").digest() + attributes

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        for each in self.sockets:
            each.close()


def sessions(kind, count):
    return traffic.sessions(kind, list(range(count)), SECRET, "test", 1_800_000_000)


@pytest.mark.parametrize("speed", [{"window": 5}, {"rate_per_s": 2000}])
def test_every_packet_of_a_session_arrives_once_and_in_its_order(speed):
    with Server() as server:
        result = load.run(server.endpoint, sessions("mixed", 6), traffic.interleave(6, 13), **speed)
    assert (result.accepts, result.responses, result.lost, result.unsent) == (6, 72, 0, 0)
    assert result.complaint == ""
    assert len(result.latencies_s) == result.requests == 78
    for number in range(6):
        said = [
            one
            for one in server.seen
            if packet.find_attributes(one, packet.USER_NAME) == [card(number).serial.encode()]
        ]
        octets = [packet.find_attributes(one, packet.ACCT_INPUT_OCTETS) for one in said]
        assert said[0][0] == packet.ACCESS_REQUEST
        assert [int.from_bytes(count[0], "big") for count in octets[2:]] == [
            stage * 30_000_000 for stage in range(1, 12)
        ]


def test_a_report_tells_of_no_more_time_than_has_passed_since_the_login(monkeypatch):
    times = iter(range(1_800_000_000, 1_800_000_100, 7))
    monkeypatch.setattr(load, "time", lambda: next(times))
    with Server() as server:
        load.run(server.endpoint, sessions("mixed", 1), [0] * 3, window=1)
    told = [
        [
            int.from_bytes(packet.find_attributes(one, number)[0], "big")
            for number in (packet.EVENT_TIMESTAMP, packet.ACCT_SESSION_TIME)
        ]
        for one in server.seen[1:]
    ]
    assert told == [[1_800_000_007, 7], [1_800_000_014, 14]]


def test_the_class_of_the_accept_comes_back_in_every_report():
    with Server() as server:
        load.run(server.endpoint, sessions("mixed", 1), [0] * 13, window=1)
    reports = [one for one in server.seen if one[0] == packet.ACCOUNTING_REQUEST]
    assert [packet.find_attributes(one, packet.CLASS) for one in reports] == [[b"token"]] * 12


def test_a_refused_customer_sends_no_reports_and_they_are_counted():
    with Server(login_code=packet.ACCESS_REJECT) as server:
        result = load.run(server.endpoint, sessions("mixed", 2), traffic.interleave(2, 13), window=4)
    assert (result.requests, result.rejects, result.unsent) == (2, 2, 24)
    assert "2 rejects" in result.complaint


def test_a_lost_packet_is_sent_again_as_it_was(monkeypatch):
    monkeypatch.setattr(load, "TIMEOUT_S", 0.05)
    attempts = []

    def loses(number, request):
        attempts.append(request)
        return number == 1

    with Server(loses) as server:
        result = load.run(server.endpoint, sessions("login", 1), [0], window=1)
    assert (result.accepts, result.retransmits, result.lost) == (1, 1, 0)
    assert attempts[0] == attempts[1]


def test_a_packet_that_is_never_answered_is_lost_and_told(monkeypatch):
    monkeypatch.setattr(load, "TIMEOUT_S", 0.02)
    with Server(lambda number, request: True) as server:
        result = load.run(server.endpoint, sessions("login", 3), [0, 1, 2], window=3)
    assert (result.requests, result.lost, result.retransmits) == (3, 3, 3 * (load.TRIES - 1))
    assert len(result.latencies_s) == 3


def test_in_the_open_loop_a_stall_is_charged_to_all_that_were_due_behind_it(monkeypatch):
    # The server drops the first packet, so its session's second one waits for the repeat.
    monkeypatch.setattr(load, "TIMEOUT_S", 0.3)
    with Server(lambda number, request: number == 1) as server:
        result = load.run(server.endpoint, sessions("mixed", 1), [0] * 13, rate_per_s=10_000)
    assert (result.accepts, result.responses) == (1, 12)
    assert min(result.latencies_s) > 0.29


def test_more_open_requests_than_identifiers_wait_for_a_free_one():
    count = load.SOCKETS * 256 + 100
    with Server() as server:
        result = load.run(server.endpoint, sessions("login", count), list(range(count)), window=count)
    assert result.accepts == count


def test_the_identifier_of_a_lost_packet_is_used_again(monkeypatch):
    monkeypatch.setattr(load, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(load, "TRIES", 1)
    monkeypatch.setattr(load, "SOCKETS", 1)
    with Server(lambda number, request: number <= 256) as server:
        result = load.run(server.endpoint, sessions("login", 300), list(range(300)), window=300)
    assert (result.lost, result.accepts) == (256, 44)


def test_an_answer_of_a_stranger_is_not_an_answer(monkeypatch):
    monkeypatch.setattr(load, "TIMEOUT_S", 0.02)
    with Server() as server:
        endpoint = server.endpoint._replace(secret=b"another")
        result = load.run(endpoint, sessions("login", 1), [0], window=1)
    assert (result.accepts, result.lost, result.strays) == (0, 1, load.TRIES)


def test_starts_interims_and_stops_come_one_to_ten_to_one():
    every = [attributes for session in sessions("accounting", 7) for _, attributes in session.steps[1:]]
    kinds = Counter(packet.find_attributes(bytes(20) + one, packet.ACCT_STATUS_TYPE)[0][3] for one in every)
    assert kinds == {packet.START: 7, packet.INTERIM: 70, packet.STOP: 7}


def test_all_stages_of_sessions_are_mixed_but_for_the_edges():
    order = traffic.interleave(960, 12)
    assert Counter(order) == dict.fromkeys(range(960), 12)
    progress, middle = Counter(), Counter()
    for place, number in enumerate(order):
        if len(order) // 3 < place < len(order) * 2 // 3:
            middle[progress[number]] += 1
        progress[number] += 1
    assert max(middle.values()) < 1.2 * min(middle.values())


def test_both_sides_are_dealt_the_same_cards_and_none_twice_in_a_round():
    one, other = Deck(100, seed=1), Deck(100, seed=1)
    for _ in range(3):
        dealt = one.deal(60)
        assert dealt == other.deal(60)
        assert len(set(dealt)) == 60


def test_a_card_is_dealt_again_only_after_all_others():
    deck = Deck(100, seed=1)
    assert sorted(deck.deal(60) + deck.deal(40)) == list(range(100))


def test_a_round_that_needs_more_cards_than_there_are_is_refused():
    with pytest.raises(ValueError, match="needs 11 cards and there are 10"):
        Deck(10, seed=1).deal(11)


def test_no_two_cards_share_a_serial_a_pin_or_a_device():
    every = [card(number) for number in range(20_000)]
    for name in ("serial", "pin", "device"):
        assert len({getattr(one, name) for one in every}) == len(every)


@pytest.mark.parametrize(
    "values, share, expected",
    [([7], 99, 7), (range(1, 1001), 99, 990), (range(1, 1001), 50, 500), ([1, 2, 3, 4], 95, 4), ([3, 1, 2], 0, 1)],
)
def test_percentiles_are_values_that_were_measured(values, share, expected):
    assert measure.percentile(values, share) == expected


def test_processor_time_of_this_process_only_rises():
    before = measure.cpu_s([os.getpid()])
    for _ in range(300_000):
        hashlib.md5(b"work").digest()
    assert measure.cpu_s([os.getpid()]) > before


def round_of(side, per_s, loop="closed", **other):
    given = dict(radiusd_us=1.0, mariadbd_us=2.0, other_us=0.5, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0)
    given |= dict(lateness_p99_ms=0.1, flush_ms=0.3, complaint="")
    return Round(side=side, traffic="login", loop=loop, per_s=per_s, **{**given, **other})


def test_a_row_holds_medians_and_the_ratio_of_the_rates():
    rounds = [round_of("ours", rate) for rate in (500, 100, 300)] + [round_of("peer", rate) for rate in (90, 100, 200)]
    rounds += [round_of("ours", 70, "open", p99_ms=p99) for p99 in (4, 9, 5)]
    [row] = table.rows(rounds, {"login": ("ours", "peer", "login")}, {"cards": 10})
    assert row == {
        "cards": 10,
        "kind": "login",
        "ours_per_s": 300,
        "peer_per_s": 100,
        "ratio": 3.0,
        "ours_p99_ms": 5,
        "peer_p99_ms": None,
        "ours_cpu_us": 3.5,
        "peer_cpu_us": 3.5,
    }


def test_a_side_that_was_not_measured_gives_no_row():
    assert table.rows([round_of("peer", 90)], {"login": ("ours", "peer", "login")}, {}) == []
