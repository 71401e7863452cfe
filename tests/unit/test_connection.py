"""A connection fails fast, comes back by itself, and repeats only what may be repeated."""

import contextlib
import socket
import threading

import pymysql
import pytest

from freeradius_module import connection as connections
from freeradius_module.connection import GONE, LOST_RACE, TRIES, Connection, DatabaseAway, Nodes
from freeradius_module.settings import Settings


class Server:
    """A stand-in for a connected database: counts the calls."""

    def __init__(self):
        self.connected = 0
        self.rolled_back = 0
        self.places = []  # the hosts of its connections, one after the other
        self.closed = {}  # by host: what a connection to it raises

    def connect(self, _settings, place):
        if self.closed.get(place.host):
            raise self.closed[place.host]
        self.connected += 1
        self.places.append(place.host)
        return self

    def cursor(self):
        return "a cursor"

    def rollback(self):
        self.rolled_back += 1

    def _force_close(self):
        pass


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(connections, "connect", server.connect)
    return server


def fails(*faults):
    """Work that fails with each of `faults` and then succeeds."""
    remaining = list(faults)

    def work(_cursor, request):
        if remaining:
            raise remaining.pop(0)
        return f"did {request}"

    return work


@pytest.mark.parametrize("number", sorted(LOST_RACE))
def test_a_lost_race_is_run_again_from_its_beginning(server, number):
    work = fails(pymysql.err.OperationalError(number, "deadlock"), pymysql.err.OperationalError(number, "deadlock"))
    assert Connection(Settings()).run(work, "it") == "did it"
    assert (server.connected, server.rolled_back) == (1, 2)


def test_a_race_that_is_never_won_is_given_up(server):
    faults = [pymysql.err.OperationalError(1213, "deadlock")] * TRIES
    with pytest.raises(DatabaseAway):
        Connection(Settings()).run(fails(*faults), "it")


@pytest.mark.parametrize("number", sorted(GONE) + [0])
def test_a_connection_that_was_closed_while_idle_is_made_again_at_once(server, number):
    assert Connection(Settings()).run(fails(pymysql.err.OperationalError(number, "gone")), "it") == "did it"
    assert server.connected == 2


def test_a_database_that_is_gone_twice_is_away_and_not_tried_for_a_moment(server):
    gone = pymysql.err.OperationalError(2013, "lost")
    connection = Connection(Settings())
    with pytest.raises(DatabaseAway):
        connection.run(fails(gone, gone), "it")
    with pytest.raises(DatabaseAway, match="a moment ago"):
        connection.run(fails(), "it")
    assert server.connected == 2
    connection._nodes._not_before = 0.0  # the moment has passed
    assert connection.run(fails(), "it") == "did it"


def test_a_call_that_timed_out_is_not_repeated_while_a_packet_waits(server):
    timed_out = pymysql.err.OperationalError(2013, "Lost connection (timed out)")
    with pytest.raises(DatabaseAway):
        Connection(Settings()).run(fails(timed_out), "it")
    assert server.connected == 1


@pytest.mark.parametrize(
    "fault",
    [
        pymysql.err.IntegrityError(1452, "no such card"),
        ValueError("ours"),
        pymysql.err.OperationalError(4025, "CONSTRAINT failed"),
    ],
)
def test_a_fault_of_the_request_is_the_requests_own(server, fault):
    with pytest.raises(type(fault)):
        Connection(Settings()).run(fails(fault), "it")


def test_a_failure_leaves_no_open_transaction_to_the_next_call(server):
    connection = Connection(Settings())
    with pytest.raises(ValueError, match="ours"):
        connection.run(fails(ValueError("ours")), "it")
    assert server.rolled_back == 1


def test_a_connection_that_cannot_roll_back_is_made_again(server, monkeypatch):
    connection = Connection(Settings())

    def gone():
        raise pymysql.err.OperationalError(2006, "gone away")

    monkeypatch.setattr(server, "rollback", gone)
    with pytest.raises(ValueError, match="ours"):
        connection.run(fails(ValueError("ours")), "it")
    assert connection.run(fails(), "it") == "did it"
    assert server.connected == 2


def test_a_database_that_hangs_is_away(tmp_path):
    """It accepts the connection and sends nothing: a real socket, and PyMySQL's own time-out."""
    path = tmp_path / "hangs.sock"
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        option_file = tmp_path / "prepaid.cnf"
        option_file.write_text("[prepaid-radius]\nuser = u\n")
        settings = Settings(path=str(option_file), unix_socket=str(path), database_timeout_seconds=1)
        outcome = []

        def call():
            try:
                Connection(settings).run(fails(), "it")
            except Exception as fault:
                outcome.append(fault)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(30)
        assert [type(fault) for fault in outcome] == [DatabaseAway]


# A cluster ----------------------------------------------------------------------------------------------

CLUSTER = Settings(hosts=(("a", 3306), ("b", 3306), ("c", 3306)))
NOT_READY = pymysql.err.OperationalError(1047, "WSREP has not yet prepared node for application use")
REFUSED = pymysql.err.OperationalError(2003, "Connection refused")
HANGS = pymysql.err.OperationalError(2013, "Lost connection (timed out)")
GONE = pymysql.err.OperationalError(2013, "Lost connection")


def test_the_nodes_are_tried_in_their_order(server):
    server.closed = {"a": REFUSED}
    connection = Connection(CLUSTER)
    assert connection.run(fails(), "it") == "did it"
    assert server.places == ["b"]


def test_a_node_that_is_not_in_the_cluster_is_left_at_once_and_not_tried_for_a_moment(server):
    connection = Connection(CLUSTER)
    assert connection.run(fails(NOT_READY), "it") == "did it"
    assert connection.run(fails(NOT_READY), "it") == "did it"
    assert server.places == ["a", "b", "c"]


def test_a_connection_that_broke_is_made_again_on_the_same_node_and_then_on_another(server):
    assert Connection(CLUSTER).run(fails(GONE, GONE), "it") == "did it"
    assert server.places == ["a", "a", "b"]


def test_a_node_that_hangs_costs_one_time_out(server):
    connection = Connection(CLUSTER)
    assert connection.run(fails(HANGS), "it") == "did it"
    connection.close()
    assert connection.run(fails(), "it") == "did it"
    assert server.places == ["a", "b", "b"]


def test_a_call_waits_for_two_nodes_that_hang_and_for_no_third(server):
    connection = Connection(CLUSTER)
    with pytest.raises(DatabaseAway):
        connection.run(fails(HANGS, HANGS), "it")
    assert server.places == ["a", "b"]
    assert connection.run(fails(), "it") == "did it"
    assert server.places == ["a", "b", "c"]


def test_a_cluster_of_which_no_node_serves_is_away_at_once_the_next_time(server):
    server.closed = {"a": REFUSED, "b": REFUSED, "c": NOT_READY}
    connection = Connection(CLUSTER)
    with pytest.raises(DatabaseAway, match="not yet prepared"):
        connection.run(fails(), "it")
    server.closed = {}
    with pytest.raises(DatabaseAway, match="a moment ago"):
        connection.run(fails(), "it")
    assert server.places == []


def test_a_cluster_that_stood_still_is_tried_again_after_a_moment(server):
    """While the nodes find out which of them are left, all hang; then none is left alone for as long as a single one."""
    connection = Connection(Settings(hosts=CLUSTER.hosts[:2]))
    with pytest.raises(DatabaseAway):
        connection.run(fails(HANGS, HANGS), "it")
    with pytest.raises(DatabaseAway, match="a moment ago"):
        connection.run(fails(), "it")
    connection._nodes._not_before = 0.0  # the moment has passed
    assert connection.run(fails(), "it") == "did it"
    assert server.places == ["a", "b", "a"]


# What one connection finds out, the others of its process know -------------------------------------------


def several(count):
    nodes = Nodes(CLUSTER)
    return [Connection(CLUSTER, nodes) for _ in range(count)]


def test_a_node_that_hangs_costs_one_connection_a_time_out_and_not_each(server):
    first, open_there, never_used = several(3)
    assert open_there.run(fails(), "it") == "did it"
    assert first.run(fails(HANGS), "it") == "did it"
    assert server.places == ["a", "a", "b"]
    # The one that is open there leaves it before it asks, and the other does not begin there.
    assert open_there.run(fails(), "it") == "did it"
    assert never_used.run(fails(), "it") == "did it"
    assert server.places == ["a", "a", "b", "b", "b"]


def test_two_nodes_that_hang_cost_one_call_and_the_next_of_any_connection_is_served(server):
    first, open_there = several(2)
    assert open_there.run(fails(), "it") == "did it"
    with pytest.raises(DatabaseAway):
        first.run(fails(HANGS, HANGS), "it")
    assert open_there.run(fails(), "it") == "did it"
    assert server.places == ["a", "a", "b", "c"]


def test_an_open_connection_is_used_where_no_other_node_may_be_tried(server):
    """Its node has failed for another connection, perhaps only for that one."""
    alone = Nodes(Settings())
    first, open_there = Connection(Settings(), alone), Connection(Settings(), alone)
    assert open_there.run(fails(), "it") == "did it"
    with pytest.raises(DatabaseAway):
        first.run(fails(HANGS), "it")
    assert open_there.run(fails(), "it") == "did it"
    assert server.connected == 2


def test_a_node_that_serves_again_is_not_left_alone_any_more(server):
    """All are left alone, and one is tried nevertheless: whoever is connected to it stays there."""
    first, second = several(2)
    server.closed = {"b": REFUSED, "c": REFUSED}
    with pytest.raises(DatabaseAway):
        first.run(fails(HANGS), "it")
    nodes = first._nodes
    nodes._not_before = 0.0  # the moment has passed
    nodes.all[0].not_before -= 9.5
    assert second.run(fails(), "it") == "did it"
    nodes.all[1].not_before = 0.0
    assert second.run(fails(), "it") == "did it"
    assert server.places == ["a", "a"]


def test_a_host_that_hangs_before_it_is_encrypted_is_away(tmp_path):
    """A server of MariaDB 11.8 offers TLS by itself: this one offers it, and is silent then."""
    version = b"5.5.5-11.8.0-MariaDB\0"
    tls = 0x0800
    flags = tls | 0x8000 | 0x0200  # and authentication, protocol 4.1
    greeting = b"\x0a" + version + bytes(4) + b"12345678" + b"\0" + flags.to_bytes(2, "little") + b"\x2d"
    greeting += bytes(2) + bytes(2) + b"\x15" + bytes(10) + b"123456789012\0"
    option_file = tmp_path / "prepaid.cnf"
    option_file.write_text("[prepaid-radius]\nuser = u\n")
    begun = []

    def serve(listening):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                client.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
                begun.append((client, client.recv(65536)))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        hosts = (listening.getsockname(),)
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        connection = Connection(
            Settings(path=str(option_file), connection_file=str(option_file), hosts=hosts, database_timeout_seconds=1)
        )
        with pytest.raises(DatabaseAway, match="timed out"):
            connection.run(fails(), "it")
    ((_, wish),) = begun
    assert int.from_bytes(wish[4:8], "little") & tls
