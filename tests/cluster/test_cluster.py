"""Three real Galera nodes: rivals on two of them, stale reads, a node that dies, all nodes that die, HAProxy before them."""

import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest

from freeradius_module import settings as module_settings
from freeradius_module import store
from freeradius_module.connection import Connection, RowLocked
from freeradius_module.rules.usage import Credit, Tariff
from freeradius_module.store.logins import Reservation
from tests.cli.test_db import file_sizes
from tests.database import Database
from tests.faults.cluster import unequal_tables
from tests.office import Office
from tests.radius_client import RadiusClient
from tests.shop import Shop
from tests.stack import StackError
from tests.stack.galera import RADDB_CONFIG
from tests.stack.stack import DATABASE

PATIENCE_SECONDS = 60
ROUNDS = 40


@pytest.fixture
def shop(stack, cluster):
    return Shop(Database(stack.mariadb, DATABASE), stack.key_file)


@pytest.fixture
def radius(stack):
    return RadiusClient(stack.freeradius.auth_port, stack.freeradius.acct_port)


def connection_to(stack, node) -> Connection:
    """The module's own, to this node and no other."""
    loaded = module_settings.load(str(stack.option_file))
    return Connection(loaded._replace(hosts=((node.place.address, node.place.port),)))


def reservation(card: dict, token: int) -> Reservation:
    return Reservation(
        card_id=card["id"],
        card_version=card["version"],
        product_id=card["product_id"],
        product_revision=card["revision"],
        login_number=1,
        nas_id=1,
        nas_address="127.0.0.1",
        device="",
        due_in_seconds=600,
        due_cause="time",
        granted=Credit(600),
        tariff=Tariff(),
        fup_octets=None,
        interim_seconds=300,
        closes=(),
        replaces=(),
        activates=False,
        binds_device=False,
        token=token,
    )


def decided(shop, cards) -> list[dict]:
    """What a login of each card is decided on now."""
    return shop.database.query(
        "SELECT card.id, card.version, card.product_id, product.revision FROM card JOIN product ON product.id = card.product_id"
        " WHERE card.serial IN %s",
        [[card.serial for card in cards]],
    )


def reserve(connection: Connection, reservations: list[Reservation]) -> set[tuple[int, int]]:
    """Again while the other node's login is being written here: the module waits for no row, its caller asks again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return connection.run(store.logins.reserve, reservations)
        except RowLocked:
            assert time.monotonic() < deadline, "the rows stay locked"
            time.sleep(0.01)


def test_of_two_logins_on_two_nodes_one_wins_a_number(stack, cluster, shop):
    """Several cards in one statement, as they come: the number of each belongs to one of the two nodes."""
    sold = decided(shop, shop.sell(8 * ROUNDS))
    ids = [card["id"] for card in sold]
    groups = [sold[start::ROUNDS] for start in range(ROUNDS)]
    barrier = threading.Barrier(2)

    def reserve_all(place):
        connection = connection_to(stack, cluster.nodes[place])
        won = []
        for cards in groups:
            barrier.wait(PATIENCE_SECONDS)
            won += reserve(connection, [reservation(card, place + 1) for card in cards])
        return {card_id for card_id, _ in won}

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(reserve_all, range(2))
    assert first & second == set()
    assert first | second == set(ids)
    owners = shop.database.query("SELECT card_id, login_token FROM session WHERE card_id IN %s", [ids])
    assert {row["card_id"] for row in owners if row["login_token"] == 1} == first


def test_a_login_sees_what_was_committed_on_another_node_before(stack, cluster, shop):
    (card,) = shop.sell(1)
    here = connection_to(stack, cluster.nodes[1])
    with cluster.nodes[0].connect(DATABASE) as elsewhere, elsewhere.cursor() as cursor:
        for minutes in range(1, 300):
            cursor.execute("UPDATE card SET added_seconds = %s WHERE serial = %s", [minutes, card.serial])
            seen = here.run(store.logins.read_cards, [card.serial])
            assert seen[card.serial].added.seconds == minutes


def test_of_a_login_on_one_node_and_a_block_on_another_one_waits_for_the_other(stack, cluster, shop):
    """Their locks do not meet, so both write a row that only one of two commits may change."""
    asked = [reservation(card, 1) for card in decided(shop, shop.sell(4 * ROUNDS))]
    ids = [one.card_id for one in asked]
    barrier = threading.Barrier(2)

    def let_in():
        connection = connection_to(stack, cluster.nodes[1])
        won = set()
        for one in asked:
            barrier.wait(PATIENCE_SECONDS)
            won |= reserve(connection, [one])
        return won

    def block():
        with cluster.nodes[0].connect(DATABASE) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 1")
            for card_id in ids:
                barrier.wait(PATIENCE_SECONDS)
                for tries in range(20):
                    try:
                        cursor.execute("BEGIN")
                        cursor.execute("UPDATE card SET status = 'blocked' WHERE id = %s", [card_id])
                        cursor.execute(
                            "UPDATE session SET due_at = UTC_TIMESTAMP(3), due_cause = 'blocked'"
                            " WHERE card_id = %s AND due_at > UTC_TIMESTAMP(3)",
                            [card_id],
                        )
                        cursor.execute("COMMIT")
                        break
                    except pymysql.err.MySQLError as fault:
                        assert fault.args[0] in (1213, 1205) and tries < 19
                        cursor.execute("ROLLBACK")

    with ThreadPoolExecutor(2) as pool:
        logins, blocks = pool.submit(let_in), pool.submit(block)
        blocks.result()
        won = logins.result()
    assert {row["status"] for row in shop.database.query("SELECT status FROM card WHERE id IN %s", [ids])} == {
        "blocked"
    }
    # Without `prepaid enforce`.
    still_on = shop.database.query(
        "SELECT card_id FROM session WHERE card_id IN %s AND due_at > UTC_TIMESTAMP(3)", [ids]
    )
    print(f"{len(won)} of {len(ids)} were let in before the block, {len(still_on)} stayed on")
    assert still_on == []
    assert len(shop.database.query("SELECT card_id FROM session WHERE card_id IN %s", [ids])) == len(won)


@pytest.mark.parametrize("method", ["pap", "mschap2"])
def test_a_wrong_pin_while_two_nodes_hang_writes_nothing_then_or_when_they_go_on(cluster, shop, radius, method):
    """The third has lost its majority, or will have: a login gets no answer, and none is made up for later."""
    guessed, asked = shop.sell(2, bind_device=True, valid_days=30, credit_seconds=3600)
    assert radius.login("9999999999", "0000000000").is_reject
    for node in cluster.nodes[:2]:
        node.daemon().suspend()
    try:
        for _ in range(3):
            answer = radius.login(guessed.serial, "0000000000", method=method, timeout_seconds=6)
            assert answer is None or answer.is_reject
        assert radius.login(asked.serial, asked.pin, method=method, timeout_seconds=6) is None
    finally:
        for node in cluster.nodes[:2]:
            node.daemon().resume()
    cluster.wait_until_whole()
    row = shop.card(guessed)
    assert (row["status"], row["device"], row["first_login_at"], shop.sessions(guessed)) == (
        "delivered",
        None,
        None,
        [],
    )
    assert set(shop.refusals(guessed)) <= {"wrong_pin"}
    assert until_answered(lambda: radius.login(asked.serial, asked.pin, method=method, timeout_seconds=6)).is_accept
    assert [one["granted_seconds"] for one in shop.sessions(asked) if one["due_at"] is not None] == [3600]
    assert unequal_tables(cluster.nodes) == {}


def test_when_a_node_dies_logins_and_accounting_go_to_the_next(cluster, shop, radius):
    (card,) = shop.sell(1, max_sessions=2)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    assert radius.start(session).is_acknowledged
    cluster.nodes[0].kill()
    shop.database.mariadb = OnNode(cluster.nodes[1])
    assert until_answered(lambda: radius.interim(session, 60, timeout_seconds=3)).is_acknowledged
    other = until_answered(
        lambda: radius.login(card.serial, card.pin, calling_station_id="02-00-00-00-00-02", timeout_seconds=3)
    )
    assert other.is_accept
    assert shop.balance(card)["used_seconds"] == 60


def test_all_nodes_died_and_none_starts_before_positions_were_compared(cluster, shop, radius):
    (card,) = shop.sell(1)
    session = radius.session(card.serial, radius.login(card.serial, card.pin))
    assert radius.stop(session, 77).is_acknowledged
    for node in cluster.nodes:
        node.kill()
    with pytest.raises(StackError, match="No other node of the cluster answers"):
        cluster.nodes[0].start()
    positions = [node.position() for node in cluster.nodes]
    uuid, _, number = positions[0].rpartition(":")
    with pytest.raises(StackError, match="higher than this node"):
        cluster.nodes[0].start("--first", positions[1], f"{uuid}:{int(number) + 1}")
    with pytest.raises(StackError, match="was already a node"):
        cluster.nodes[0].start("--new")
    cluster.start()
    assert shop.balance(card)["used_seconds"] == 77


def test_what_only_one_node_has_is_seen(cluster):
    """The campaigns' own eye: without it, 'all nodes hold the same' would say nothing."""
    with cluster.nodes[2].connect(DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_on = OFF")
        assert unequal_tables(cluster.nodes) == {}
        cursor.execute("INSERT INTO site (name, value) VALUES ('only', 'here')")
        assert list(unequal_tables(cluster.nodes)) == ["prepaid.site"]
        cursor.execute("DELETE FROM site WHERE name = 'only'")
    assert unequal_tables(cluster.nodes) == {}


def test_the_office_goes_to_a_node_that_serves(stack, cluster, shop):
    cluster.nodes[0].stop()
    assert stack.prepaid_json("product", "list") is not None


def test_init_gives_the_files_of_growing_tables_room_on_every_node(stack, cluster, tmp_path):
    """What is rolled back on one node is nothing to the others, so each needs its own.  Numbers begin at one all the same."""
    name = "made_on_three"
    option_file = tmp_path / "prepaid.cnf"
    option_file.write_text(
        stack.option_file.read_text()
        .replace(f"database = {DATABASE}\n", f"database = {name}\n")
        .replace(str(stack.key_file), str(tmp_path / "key"))
    )
    office = Office(option_file)
    result = office.must("db", "init")
    try:
        assert result.stderr == ""
        for node in cluster.nodes:
            made = Database(OnNode(node), name)
            assert min(file_sizes(made).values()) >= 2**20
            assert made.query(
                "SELECT auto_increment FROM information_schema.tables WHERE table_schema = %s AND table_name = 'card'",
                [name],
            ) == [{"auto_increment": 1}]
        cluster.nodes[2].stop()
        assert "Only 2 of 3 nodes" in office.must("db", "init").stderr
        assert "Only 2 of 3 nodes" in office.must("db", "upgrade").stderr
    finally:
        Database(stack.mariadb, None).execute(f"DROP DATABASE {name}")


def test_haproxy_sends_to_a_node_that_is_in_the_cluster(stack, cluster):
    """A node that has lost the others takes connections and answers nothing: it is found out."""
    # HAProxy gets a socket that listens already: nobody else can take its port meanwhile.
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    text = (
        (RADDB_CONFIG / "haproxy" / "prepaid-galera.cfg")
        .read_text()
        .replace("127.0.0.1:3306", f"fd@{listener.fileno()}")
    )
    for node in cluster.nodes:
        text = re.sub(rf"server {node.name} \S+", f"server {node.name} {node.place.address}:{node.place.port}", text)
    path = stack.folder / "haproxy.cfg"
    path.write_text(text)
    with cluster.nodes[0].connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER prepaid_check@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING ''")

    def answering() -> str | None:
        assert proxy.poll() is None, "HAProxy has ended"
        try:
            with (
                pymysql.connect(
                    host="127.0.0.1",
                    port=port,
                    user="owner",
                    password=cluster.nodes[0].password,
                    connect_timeout=10,
                    read_timeout=10,
                ) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("SELECT @@wsrep_node_name, (SELECT COUNT(*) FROM prepaid.site)")
                return cursor.fetchone()[0]
        except pymysql.err.MySQLError:
            return None

    with listener:
        proxy = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(path)], pass_fds=[listener.fileno()])
    try:
        assert until(lambda: answering() == "a")
        isolate(cluster.nodes[0], True)
        assert until(lambda: answering() == "b")
        isolate(cluster.nodes[0], False)
        assert until(lambda: answering() == "a")
    finally:
        proxy.terminate()
        proxy.wait()


# --- Small things ---------------------------------------------------------------------------------------


class OnNode:
    """A node in the place of a stack's MariaDB."""

    def __init__(self, node):
        self.connect = node.connect


def isolate(node, is_isolated: bool) -> None:
    """Galera's own word for a cut network cable; clients still get in."""
    with node.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={int(is_isolated)}'")


def until(is_true) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
    return True


def until_answered(ask):
    """As a NAS does: ask again."""
    answers = []
    until(lambda: answers.append(ask()) or answers[-1] is not None)
    return answers[-1]
