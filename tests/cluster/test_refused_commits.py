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
from tests.database import Database
from tests.office import Office
from tests.stack.stack import DATABASE

LOST_RACE = 1213
NAT_HEAD = "public_address,first_port,private_address,begin_at,end_at"
# Commands that change something in another way than by transactions of the office.
OTHERS = {
    "audit seal": "seals again what another process has sealed meanwhile",
    "browse": "runs the commands below",
    "charge": "the module's connection repeats",
    "db init": "statements that define tables and accounts are never refused at a commit",
    "db upgrade": "as db init",
    "doctor": "its record is a note",
    "engine": "the module's connection repeats",
    "metrics": "reads",
    "operator add": "accounts and roles are never refused at a commit",
    "operator remove": "as operator add",
    "queue replay": "the module's connection repeats",
    "raddb install": "no database",
    "raddb remove": "no database",
    "setup": "runs the functions of the commands below",
}

_number = itertools.count(1)


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


class Case:
    """What a command needs, made anew for each of its runs."""

    def __init__(self, office, database, tmp_path):
        self.office, self.database, self.folder = office, database, tmp_path

    def path(self, name):
        return self.folder / f"{next(_number)}-{name}"

    def file(self, name, text):
        path = self.path(name)
        path.write_text(text)
        return path

    def telephony(self):
        product = self.office.product("--money", "20.00", "--tariff-minute", "0.05", kind="telephony")
        (card,) = self.office.sell(1, product=product)
        return card

    def redeemed(self):
        card = self.telephony()
        self.office.must("redeem", card.serial, "--account", "+551133334444", stdin=f"{card.pin}\n")
        return card

    def in_session(self):
        """A card with a session that began a minute ago; all other sessions have ended."""
        self.database.execute(
            "UPDATE session SET stopped_at = UTC_TIMESTAMP(3), due_at = NULL WHERE due_at IS NOT NULL"
        )
        (card,) = self.office.sell(1, "--time", "10m")
        self.database.execute(
            "UPDATE card SET status = 'in_use', first_login_at = UTC_TIMESTAMP(3) WHERE serial = %s", [card.serial]
        )
        self.database.execute(
            """INSERT INTO session (card_id, login_number, nas_id, acct_session_id, login_at, started_at, heard_at, due_at,
                                    due_cause, granted_seconds)
               SELECT id, 1, 1, serial, UTC_TIMESTAMP(3) - INTERVAL 60 SECOND, UTC_TIMESTAMP(3) - INTERVAL 60 SECOND,
                      UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 'time', 600
                 FROM card WHERE serial = %s""",
            [card.serial],
        )
        return card

    def payment(self):
        shop, key = self.office.partner(), f"before-{next(_number)}"
        return self.office.json("payment", "add", shop, "5.00", "--key", key)["payment"]


def stock(case, count=2):
    return case.office.stock(count, "--time", "10m")


def sold(case, count=2):
    return case.office.sell(count, "--time", "10m")


def _deliver(case):
    return ["deliver", "--partner", case.office.partner(), "--batch", stock(case)[0].batch], None


def _return(case):
    card = sold(case)[0]
    return ["return", "--partner", case.office.show(card)["partner"], "--batch", card.batch], None


def _receive(case):
    cards = stock(case)
    path = case.file("missing.txt", cards[0].serial + "\n")
    return ["batch", "receive", cards[0].batch, "--missing", path, "--yes"], None


def _transfer(case):
    one, other = sold(case)
    return ["transfer", one.serial, other.serial, "--reason", "Replacement", "--key", "ticket-1"], None


def _credit(case):
    return ["credit", sold(case)[0].serial, "--add", "5m", "--reason", "Storm", "--key", "ticket-1"], None


def _redeem(case):
    card = case.telephony()
    return ["redeem", card.serial, "--account", "+551133334444"], f"{card.pin}\n"


def _confirm(case):
    case.redeemed()
    number = case.office.json("voice", "export", "--output", case.path("vsc.csv"))["export"]
    return ["voice", "confirm", "--export", number], None


def _voice_export(case):
    case.redeemed()
    return ["voice", "export", "--output", case.path("vsc.csv")], None


def _confirm_by_file(case):
    card = case.redeemed()
    case.office.must("voice", "export", "--output", case.path("vsc.csv"))
    credit = case.database.value(
        "SELECT voice_credit.id FROM voice_credit JOIN card ON card.id = card_id WHERE serial = %s", [card.serial]
    )
    return ["voice", "confirm", case.file("answer.csv", f"credit,reference\n{credit},ref-{credit}\n")], None


def _import(case):
    numbers = [next(_number) for _ in range(2)]
    lines = "".join(f"OLD{number:06},4821{number:06}\n" for number in numbers)
    return [
        "import",
        "--product",
        case.office.product("--time", "1h"),
        case.file("old.csv", f"serial,pin\n{lines}"),
    ], None


def _block(case):
    return ["block", *[card.serial for card in sold(case)], "--reason", "Stolen", "--yes"], None


def _unblock(case):
    serials = [card.serial for card in sold(case)]
    case.office.must("block", *serials, "--reason", "Stolen", "--yes")
    return ["unblock", *serials, "--yes"], None


def _export(case):
    return [
        "export",
        "--batch",
        stock(case, 3)[0].batch,
        "--again",
        "--reason",
        "Jam",
        "--output",
        case.path("c.csv"),
    ], None


def _nas(case):
    number = next(_number)
    name = f"NAS {number}"
    address = f"10.9.{number // 250}.{number % 250 + 1}"
    case.office.must("nas", "add", name, "--address", address, "--secret-file", "-", stdin="s3cr3t-long\n")
    return name


def _nas_add(case):
    number = next(_number)
    address = f"10.8.{number // 250}.{number % 250 + 1}"
    return ["nas", "add", f"NAS {number}", "--address", address, "--secret-file", "-"], "s3cr3t-long\n"


def _nat_log(case, day):
    return case.file("nat.csv", f"{NAT_HEAD}\n203.0.113.9,{next(_number)},100.64.0.7,{day}T00:00Z,{day}T01:00Z\n")


def _nat_purge(case):
    case.office.must("nat", "import", _nat_log(case, "2020-01-01"))
    return ["nat", "purge", "--before", "2020-02-01"], None


def _archive(case):
    card = case.in_session()
    case.database.execute(
        "UPDATE session SET stopped_at = started_at - INTERVAL 3 DAY, started_at = started_at - INTERVAL 4 DAY,"
        " login_at = login_at - INTERVAL 4 DAY, heard_at = heard_at - INTERVAL 3 DAY,"
        " due_at = NULL, used_seconds = 60, end_recorded_at = UTC_TIMESTAMP(3) - INTERVAL 3 DAY"
        " WHERE acct_session_id = %s",
        [card.serial],
    )
    return ["db", "archive"], None


def _expire(case):
    card = case.in_session()
    case.database.execute(
        "UPDATE card SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE serial = %s", [card.serial]
    )
    # Too long silent for its NAS to be asked.
    case.database.execute(
        "UPDATE session SET heard_at = heard_at - INTERVAL 2 HOUR, due_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND"
        " WHERE acct_session_id = %s",
        [card.serial],
    )
    return ["enforce", "--wait", "0"], None


def _retire_key(case):
    case.office.must("key", "add")
    case.office.must("key", "rotate", "--yes")
    oldest = min(row["number"] for row in case.office.json("key", "list") if row["state"] != "retired")
    return ["key", "retire", oldest, "--yes"], None


# Each makes a command line, and what the command reads from standard input.
CASES = {
    "batch receive": _receive,
    "block": _block,
    "credit": _credit,
    "db archive": _archive,
    "delete": lambda case: (["delete", "--batch", stock(case)[0].batch, "--reason", "Misprinted", "--yes"], None),
    "deliver": _deliver,
    "disconnect": lambda case: (["disconnect", case.in_session().serial, "--wait", "0"], None),
    "edit": lambda case: (
        ["edit", sold(case)[0].serial, "--note", "Ana", "--expires", "2036-12-31", "--reason", "Storm", "--unbind"],
        None,
    ),
    "enforce": _expire,
    "export": _export,
    "generate": lambda case: (["generate", "--product", case.office.product("--time", "1h"), "--count", 5], None),
    "import": _import,
    "key add": lambda case: (["key", "add"], None),
    "key retire": _retire_key,
    "key rotate": lambda case: (case.office.must("key", "add") and ["key", "rotate", "--yes"], None),
    "nas add": _nas_add,
    "nas edit": lambda case: (["nas", "edit", _nas(case), "--vendor", "chilli"], None),
    "nas remove": lambda case: (["nas", "remove", _nas(case)], None),
    "nat import": lambda case: (["nat", "import", _nat_log(case, "2026-01-01")], None),
    "nat purge": _nat_purge,
    "partner add": lambda case: (["partner", "add", f"Shop {next(_number)}", "--credit-limit", "100.00"], None),
    "partner edit": lambda case: (
        ["partner", "edit", case.office.partner(), "--commission", "10", "--credit-limit", "50.00"],
        None,
    ),
    "partner retire": lambda case: (["partner", "retire", case.office.partner()], None),
    "payment add": lambda case: (
        ["payment", "add", case.office.partner(), "5.00", "--key", f"pix-{next(_number)}"],
        None,
    ),
    "payment reverse": lambda case: (["payment", "reverse", case.payment(), "--reason", "Wrong partner"], None),
    "product add": lambda case: (
        ["product", "add", f"Hour {next(_number)}", "--time", "1h", "--reply", "Filter-Id := gold"],
        None,
    ),
    "product edit": lambda case: (
        ["product", "edit", case.office.product("--time", "1h"), "--price", "7.00", "--valid-until", "2036-12-31"],
        None,
    ),
    "product retire": lambda case: (["product", "retire", case.office.product("--time", "1h")], None),
    "redeem": _redeem,
    "return": _return,
    "transfer": _transfer,
    "unblock": _unblock,
    "voice confirm": _confirm,
    "voice export": _voice_export,
    # Another way of a command above, or commands that read and record that they did.
    "voice confirm, by a file": _confirm_by_file,
    "audit verify": lambda case: (["audit", "verify"], None),
    "reconcile": lambda case: (["reconcile"], None),
}


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
    pay = ["payment", "add", shop, "5.00", "--key", f"pix-{next(_number)}", "--json"]
    assert at_once(office, pay, pay).json()["repeated"]
    assert len(office.json("payment", "list", "--partner", shop)) == 1
    assert account(database, shop)["paid_cents"] == 500


def test_two_payments_of_a_partner_are_both_recorded(office, database, at_once):
    shop = office.partner()
    pays = [["payment", "add", shop, "5.00", "--key", f"pix-{next(_number)}", "--json"] for _ in range(2)]
    assert not at_once(office, *pays).json()["repeated"]
    assert len(office.json("payment", "list", "--partner", shop)) == 2
    assert account(database, shop)["paid_cents"] == 1000


def test_a_payment_is_reversed_once(office, database, at_once):
    shop = office.partner()
    number = office.json("payment", "add", shop, "5.00", "--key", f"pix-{next(_number)}")["payment"]
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
        result = office.run("payment", "add", shop, "5.00", "--key", f"pix-{next(_number)}")
    assert refusing.refused == TRIES
    assert result.exit_status == 1 and f"refused this {TRIES} times" in result.stderr
    assert counts(database) == before
