"""A commit that another node refuses: each command that changes something is repeated by itself, and does it once.

The refusal is Galera's own.  Before a command's transaction is committed on one node, it changes one more row, which is
then changed and committed on another node.  Of the commits of each transaction the first is refused in this way.
"""

import contextlib
import itertools

import pymysql
import pytest
from pymysql.connections import Connection

from admin.cli import cli
from admin.shell.office import TRIES
from tests.cli.test_dry_run import READING, commands
from tests.cluster.changing_commands import CASES, OTHERS, Case, unique_number
from tests.database import Database
from tests.office import Office
from tests.stack.stack import DATABASE

LOST_RACE = 1213


@pytest.fixture(scope="module")
def offices(stack):
    """The office on the first node, and the office on the second."""
    stack.cluster.start()
    first, second = stack.cluster.nodes[:2]
    with first.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE refusing")
        cursor.execute("CREATE TABLE refusing.row_of_both (id INT PRIMARY KEY, writes INT NOT NULL)")
        cursor.execute("INSERT INTO refusing.row_of_both VALUES (1, 0)")
        cursor.execute("GRANT SELECT, UPDATE ON refusing.* TO PUBLIC")
    text = stack.option_file.read_text()
    hosts = next(line for line in text.splitlines() if line.startswith("hosts = "))
    made = []
    for node in (first, second):
        path = stack.folder / f"on-{node.name}.cnf"
        path.write_text(text.replace(hosts, f"hosts = {node.place.address}:{node.place.port}"))
        made.append(Office(path))
    yield made
    with first.connect() as connection, connection.cursor() as cursor:
        cursor.execute("REVOKE SELECT, UPDATE ON refusing.* FROM PUBLIC")
        cursor.execute("DROP DATABASE refusing")


@pytest.fixture
def office(cluster, offices) -> Office:
    return offices[0]


@pytest.fixture
def elsewhere(cluster, offices) -> Office:
    return offices[1]


@pytest.fixture
def database(stack, cluster) -> Database:
    return Database(stack.mariadb, DATABASE)


class Refusals:
    """While it is active, calls `before(connection)` before each commit of an open transaction in this process."""

    def __init__(self, monkeypatch, before):
        self.refused = 0
        self._before = before
        self._is_inside = False
        commit = Connection.commit

        def committed(connection):
            if not self._is_inside and _is_in_transaction(connection):
                self._is_inside = True
                try:
                    before(connection)
                finally:
                    self._is_inside = False
            try:
                commit(connection)
            except pymysql.MySQLError as error:
                assert error.args[0] == LOST_RACE
                self.refused += 1
                raise

        monkeypatch.setattr(Connection, "commit", committed)


def wait_until_applied(cluster) -> None:
    """Wait until the first node has applied what the others have committed; by then the command's transaction has lost."""
    with cluster.nodes[0].connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        cursor.execute("SELECT writes FROM refusing.row_of_both")
        cursor.fetchall()


def _is_in_transaction(connection) -> bool:
    with connection.cursor(pymysql.cursors.Cursor) as cursor:
        cursor.execute("SELECT @@in_transaction")
        return bool(cursor.fetchone()[0])


@contextlib.contextmanager
def refusals(cluster, monkeypatch, turns=itertools.cycle):
    """Refuse the first commit of each transaction, or the commits for which `turns` says True."""
    is_refused = turns([True, False])
    with cluster.nodes[2].connect() as rival, rival.cursor() as writing, monkeypatch.context() as patch:

        def before(connection):
            if not next(is_refused):
                return
            with connection.cursor() as cursor:
                cursor.execute("UPDATE refusing.row_of_both SET writes = writes + 1 WHERE id = 1")
            writing.execute("UPDATE refusing.row_of_both SET writes = writes + 1 WHERE id = 1")
            wait_until_applied(cluster)

        yield Refusals(patch, before)


# --- Every command ----------------------------------------------------------------------------------------


def test_every_command_that_changes_something_is_tried():
    changing = {name for name, _command in commands(cli)} - READING
    tried = {name.partition(",")[0] for name in CASES}
    assert changing - tried == set(OTHERS) - READING


# No NAS answers in these tests, so the sessions stay on.  What other tests left on this cluster may be no books that agree.
STATUSES = {"disconnect": {1}, "enforce": {1}, "reconcile": {0, 1}}


def counts(database) -> dict[str, int]:
    """How many rows each table has, and the sums of what may be written twice."""
    tables = [
        row["name"]
        for row in database.query(
            "SELECT table_name AS name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
            # Refused numbers are lost, and who wrote to a card is counted at each try.
            "   AND table_name NOT IN ('cluster_conflict', 'history_chain')"
        )
    ]
    sums = ("card.added_seconds", "partner_account.cards_cents", "partner_account.paid_cents", "note.card_count")
    selects = [f"SELECT '{table}' AS name, COUNT(*) AS count FROM `{table}`" for table in tables]
    selects += [f"SELECT '{name}', COALESCE(SUM({name}), 0) FROM {name.partition('.')[0]}" for name in sums]
    return {row["name"]: int(row["count"]) for row in database.query(" UNION ALL ".join(selects))}


def changes(database, run) -> dict[str, int]:
    before = counts(database)
    run()
    return {name: count - before[name] for name, count in counts(database).items() if count != before[name]}


def run(office, name, arguments, stdin):
    result = office.run(*arguments, stdin=stdin)
    assert result.exit_status in STATUSES.get(name, {0}), result.stderr


@pytest.mark.parametrize("name", CASES)
def test_a_refused_commit_is_repeated_and_the_act_done_once(name, office, database, cluster, tmp_path, monkeypatch):
    # A key that sealed something a moment ago may be retired.
    monkeypatch.setattr("admin.key.STALE_SECONDS", 0)
    case = Case(office, database, tmp_path)
    arguments, stdin = CASES[name](case)
    usual = changes(database, lambda: run(office, name, arguments, stdin))
    arguments, stdin = CASES[name](case)
    with refusals(cluster, monkeypatch) as refusing:
        done = changes(database, lambda: run(office, name, arguments, stdin))
    assert refusing.refused > 0
    assert done == usual


# --- Two nodes do the same at once ------------------------------------------------------------------------


@pytest.fixture
def at_once(cluster, elsewhere, monkeypatch):
    """Runs `first` and, before its commit number `at`, all of `second` on the other node.  Returns the first one's result."""

    def run_both(office, first, second, at=1, stdin=None, stdin_of_second=None):
        number = itertools.count(1)

        def before(_connection):
            if next(number) == at:
                done = elsewhere.program(*second, stdin=stdin_of_second)
                assert done.exit_status == 0, done.stderr
                wait_until_applied(cluster)

        with monkeypatch.context() as patch:
            refusing = Refusals(patch, before)
            result = office.run(*first, stdin=stdin)
        assert refusing.refused == 1
        return result

    return run_both


def entries(database, card):
    return database.query(
        "SELECT card_entry.added_seconds FROM card_entry JOIN card ON card.id = card_id WHERE serial = %s",
        [card.serial],
    )


def test_a_payment_with_a_key_is_recorded_once(office, database, at_once):
    shop = office.partner()
    pay = ["payment", "add", shop, "5.00", "--key", f"pix-{next(unique_number)}", "--json"]
    assert at_once(office, pay, pay).json()["repeated"]
    assert len(office.json("payment", "list", "--partner", shop)) == 1
    assert account(database, shop)["paid_cents"] == 500


def test_two_payments_of_a_partner_are_both_recorded(office, database, at_once):
    shop = office.partner()
    pays = [["payment", "add", shop, "5.00", "--key", f"pix-{next(unique_number)}", "--json"] for _ in range(2)]
    assert not at_once(office, *pays).json()["repeated"]
    assert len(office.json("payment", "list", "--partner", shop)) == 2
    assert account(database, shop)["paid_cents"] == 1000


def test_a_payment_is_reversed_once(office, database, at_once):
    shop = office.partner()
    number = office.json("payment", "add", shop, "5.00", "--key", f"pix-{next(unique_number)}")["payment"]
    reverse = ["payment", "reverse", number, "--reason", "Wrong partner", "--json"]
    assert at_once(office, reverse, reverse).json()["repeated"]
    assert sorted(row["amount_cents"] for row in office.json("payment", "list", "--partner", shop)) == [-500, 500]
    assert account(database, shop)["paid_cents"] == 0


def test_credit_with_a_key_is_added_once(office, database, at_once):
    (card,) = office.sell(1, "--time", "10m")
    add = ["credit", card.serial, "--add", "5m", "--reason", "Storm", "--key", "ticket-1", "--json"]
    assert at_once(office, add, add).json()["repeated"]
    assert entries(database, card) == [{"added_seconds": 300}]
    assert office.show(card)["remaining_seconds"] == 900


@pytest.mark.parametrize("key", [["--key", "ticket-1"], []])
def test_credit_is_moved_once(office, database, at_once, key):
    one, other = office.sell(2, "--time", "10m")
    move = ["transfer", one.serial, other.serial, "--reason", "Replacement", *key, "--json"]
    result = at_once(office, move, move)
    if key:
        assert result.json()["repeated"]
    else:
        assert result.exit_status == 1 and "has no credit to move" in result.stderr
    assert entries(database, one) == [{"added_seconds": -600}]
    assert entries(database, other) == [{"added_seconds": 600}]
    assert office.show(other)["remaining_seconds"] == 1200


def test_a_card_is_redeemed_once(office, database, at_once):
    product = office.product("--money", "20.00", "--tariff-minute", "0.05", kind="telephony")
    (card,) = office.sell(1, product=product)
    first, second = (["redeem", card.serial, "--account", account] for account in ("+551133334444", "+551133335555"))
    result = at_once(office, first, second, stdin=f"{card.pin}\n", stdin_of_second=f"{card.pin}\n")
    assert result.exit_status == 1 and "already redeemed" in result.stderr
    assert database.query(
        "SELECT account FROM voice_credit JOIN card ON card.id = card_id WHERE serial = %s", [card.serial]
    ) == [{"account": "+551133335555"}]


def test_cards_are_delivered_to_one_partner(office, at_once):
    (card,) = office.stock(1, "--time", "10m")
    shops = office.partner(), office.partner()
    result = at_once(office, *(["deliver", "--partner", shop, "--batch", card.batch] for shop in shops))
    assert result.exit_status == 1 and "delivered" in result.stderr
    assert office.show(card)["partner"] == shops[1]
    assert [len(office.json("note", "list", "--partner", shop)) for shop in shops] == [0, 1]


def test_cards_are_returned_with_one_note(office, at_once):
    (card,) = office.sell(1, "--time", "10m")
    shop = office.show(card)["partner"]
    back = ["return", "--partner", shop, "--batch", card.batch]
    assert at_once(office, back, back).exit_status == 1
    assert sorted(row["kind"] for row in office.json("note", "list", "--partner", shop)) == ["delivery", "return"]


def test_two_deliveries_at_once_keep_the_credit_limit(office, database, at_once):
    shop = office.partner()
    office.must("partner", "edit", shop, "--credit-limit", "10.00")
    batches = [office.stock(1, "--time", "10m", "--price", "8.00")[0].batch for _ in range(2)]
    result = at_once(office, *(["deliver", "--partner", shop, "--batch", batch] for batch in batches))
    assert result.exit_status == 1 and "credit limit" in result.stderr
    assert account(database, shop)["cards_cents"] == 800


def account(database, shop):
    (row,) = database.query(
        "SELECT partner_account.* FROM partner_account JOIN partner ON partner.id = partner_id WHERE name = %s", [shop]
    )
    return row


# --- What a person has confirmed --------------------------------------------------------------------------


def test_a_question_is_asked_once(office, cluster, monkeypatch):
    product, shop = office.product("--time", "10m"), office.partner()
    office.stock(2, product=product)
    with refusals(cluster, monkeypatch) as refusing:
        result = office.run("deliver", "--partner", shop, "--product", product, "--count", 2, stdin="y\n")
    assert result.exit_status == 0, result.stderr
    assert refusing.refused == 2 and result.stderr.count("Deliver 2 cards") == 1
    assert [row["count"] for row in office.json("note", "list", "--partner", shop)] == [2]


def test_nothing_is_done_if_what_was_confirmed_has_changed(office, at_once):
    product, shop, other = office.product("--time", "10m"), office.partner(), office.partner()
    first, *_ = office.stock(3, product=product)
    result = at_once(
        office,
        ["deliver", "--partner", shop, "--product", product, "--count", 2],
        ["deliver", "--partner", other, first.serial],
        at=2,
        stdin="y\n",
    )
    assert result.exit_status == 1 and "may no longer be what was confirmed" in result.stderr
    assert office.json("note", "list", "--partner", shop) == []
    assert office.show(first)["partner"] == other


def test_nothing_is_deleted_if_a_card_was_delivered_meanwhile(office, at_once):
    cards = office.stock(2, "--time", "10m")
    result = at_once(
        office,
        ["delete", "--batch", cards[0].batch, "--reason", "Misprinted"],
        ["deliver", "--partner", office.partner(), cards[1].serial],
        at=2,
        stdin="y\n",
    )
    assert result.exit_status == 1 and "delivered" in result.stderr
    assert office.show(cards[0])["status"] == "created"


def test_after_some_refusals_a_sentence_says_so(office, database, cluster, monkeypatch):
    shop = office.partner()
    before = counts(database)
    with refusals(cluster, monkeypatch, turns=lambda _turns: itertools.repeat(True)) as refusing:
        result = office.run("payment", "add", shop, "5.00", "--key", f"pix-{next(unique_number)}")
    assert refusing.refused == TRIES
    assert result.exit_status == 1 and f"refused this {TRIES} times" in result.stderr
    assert counts(database) == before
