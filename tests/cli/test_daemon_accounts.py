"""enforce, charge and archive with accounts of their own: each can do its work, and nothing that is another's."""

import configparser

import pymysql
import pytest

from admin.books import audit
from admin.shell.office import Office as AdminOffice
from tests.office import Office
from tests.queue_writer import QueueWriter, report

DAEMONS = ("enforce", "charge", "archive")


@pytest.fixture
def daemons(office, database, tmp_path, _unstarted_stack):
    """By daemon, `prepaid` with an option file that holds that daemon's account and no other."""
    (tmp_path / "queue").mkdir()
    options = configparser.ConfigParser(interpolation=None)
    options.read(_unstarted_stack.option_file)
    options["prepaid"]["queue"] = str(tmp_path / "queue")
    for daemon in DAEMONS:
        options[f"prepaid-{daemon}"] = dict(options["prepaid-admin"]) | {
            "user": f"prepaid_{daemon}",
            "password": f"of {daemon}",
        }
    with (tmp_path / "all.cnf").open("w") as file:
        options.write(file)
    made = Office(tmp_path / "all.cnf").must("db", "init")
    assert all(f"prepaid_{daemon}" in made.stdout for daemon in DAEMONS)
    found = {}
    for daemon in DAEMONS:
        own = configparser.ConfigParser(interpolation=None)
        own["prepaid"], own[f"prepaid-{daemon}"] = options["prepaid"], options[f"prepaid-{daemon}"]
        with (tmp_path / f"{daemon}.cnf").open("w") as file:
            own.write(file)
        (tmp_path / f"{daemon}.cnf").chmod(0o600)
        found[daemon] = Office(tmp_path / f"{daemon}.cnf")
    yield found
    with database.mariadb.connect() as owner, owner.cursor() as cursor:
        for daemon in DAEMONS:
            cursor.execute(f"DROP USER IF EXISTS 'prepaid_{daemon}'@'localhost'")
            cursor.execute(f"DROP ROLE IF EXISTS `{database.name}:prepaid_{daemon}`")


def add_session(database, card_id: int, number: int, ago_days: int, *, is_open: bool, used_seconds: int = 60) -> None:
    database.execute(
        "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at, stopped_at,"
        " due_at, due_cause, used_seconds, end_recorded_at) SELECT %(card)s, %(number)s, 1, CONCAT('s', %(number)s), 'd', at, at,"
        " at, IF(%(open)s, NULL, at), IF(%(open)s, UTC_TIMESTAMP(3) - INTERVAL 1 SECOND, NULL), 'blocked', %(used)s, at"
        " FROM (SELECT UTC_TIMESTAMP(3) - INTERVAL %(ago)s DAY AS at) AS moment",
        {"card": card_id, "number": number, "ago": ago_days, "open": is_open, "used": used_seconds},
    )


def test_the_charger_charges_with_its_own_account(daemons, shop, database, tmp_path):
    queue = QueueWriter(tmp_path / "queue")
    new, used_up = shop.sell(2, credit_seconds=600)
    queue.write(
        report(new.serial, "Start", session_id="1", seconds=0, ago_seconds=400),
        report(new.serial, "Stop", session_id="1", seconds=300),
        report(used_up.serial, "Stop", session_id="2", seconds=700, ago_seconds=1),
        report(None, "Accounting-On"),
    )
    assert daemons["charge"].json("charge") == {"charged": 4, "quarantined": 0}
    assert shop.used(new)[0] == 300 and shop.card(used_up)["status"] == "exhausted"
    assert {
        row["operator"]
        for row in database.query("SELECT operator FROM card_event WHERE to_status IN ('in_use', 'exhausted')")
    } == {"prepaid_charge"}


def test_the_enforcer_cuts_with_its_own_account(daemons, office, shop, database):
    """The NAS is one that is in no list, so nothing is sent; what is tried is on record all the same."""
    card, late = shop.sell(2)
    add_session(database, shop.id(card), 1, 0, is_open=True)
    database.execute(
        "UPDATE card SET status = 'in_use', first_login_at = '2026-01-01', expires_at = '2026-01-02' WHERE id = %s",
        [shop.id(late)],
    )
    daemons["enforce"].run("enforce", "--wait", "0")
    assert database.value("SELECT COUNT(*) FROM disconnect_attempt WHERE card_id = %s", [shop.id(card)]) == 1
    assert office.show(late)["status"] == "expired"
    assert database.value("SELECT operator FROM card_event WHERE to_status = 'expired'") == "prepaid_enforce"
    # It seals the history as well, with --watch.
    enforcer = AdminOffice(str(daemons["enforce"].option_file))
    enforcer.work_as("prepaid-enforce")
    assert audit.seal(enforcer) > 0
    enforcer.close()


def test_the_archive_is_made_with_its_own_account(daemons, office, shop, database):
    (card,) = shop.sell(1, credit_seconds=6000)
    database.execute("UPDATE card SET status = 'in_use' WHERE id = %s", [shop.id(card)])
    add_session(database, shop.id(card), 1, 400, is_open=False)
    add_session(database, shop.id(card), 2, 30, is_open=False)
    database.execute(
        "INSERT INTO login_refusal VALUES (%s, 'a', 'wrong_pin', '2026-01-01', 1, 5, '2026-01-01', '2026-01-01')",
        [shop.id(card)],
    )
    told = daemons["archive"].json("db", "archive", "--forget-older-than", "366")
    assert told == {"archived": 2, "left": 0, "forgotten": 1, "refusals_forgotten": 1}
    assert shop.used(card)[0] == 120
    assert not {row["check"] for row in office.run("reconcile", "--json").json()["faults"]} & {
        "usage",
        "sessions",
        "ledger",
    }


# What each would be asked for by whoever has taken it over; C is a card in use.
MAY_NOT = {
    "enforce": [
        "SELECT pin_sealed FROM card",
        "UPDATE card SET posted_seconds = 0",
        "DELETE FROM session",
        "UPDATE card SET status = 'delivered' WHERE id = C",
        "INSERT INTO card_entry (card_id, what, reason) VALUES (C, 'credited', 'x')",
        "UPDATE session SET used_seconds = 99999",
    ],
    "charge": [
        "SELECT pin_sealed FROM card",
        "SELECT secret_sealed FROM nas",
        "DELETE FROM session",
        "DELETE FROM login_refusal",
        "SELECT * FROM card_event",
        "UPDATE session SET used_seconds = 0",
        "UPDATE card SET device = NULL",
        "UPDATE card SET posted_seconds = 0",
        "INSERT INTO card_entry (card_id, what, reason) VALUES (C, 'credited', 'x')",
    ],
    "archive": [
        "SELECT pin_sealed FROM card",
        "SELECT secret_sealed FROM nas",
        "SELECT * FROM card_event",
        # What is not in the archive yet, or not as it is; what the law keeps; what a card had used before.
        "DELETE FROM session WHERE card_id = C",
        "DELETE FROM session_archive WHERE card_id = C",
        "INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, used_seconds,"
        " used_down_octets, used_up_octets) VALUES (C, 77, 1, 'false', 'd', '2026-01-01', 1, 1, 1)",
        "UPDATE session_archive SET device = 'another' WHERE card_id = C AND login_number = 3",
        "DELETE FROM login_refusal WHERE card_id = C",
        "UPDATE usage_hour SET used_seconds = 0",
        "UPDATE card SET status = 'delivered' WHERE id = C",
    ],
}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_that_is_taken_over_reaches_no_further(daemon, daemons, shop, database, _unstarted_stack):
    (card,) = shop.sell(1)
    number = shop.id(card)
    database.execute("UPDATE card SET status = 'in_use', device = 'd', posted_seconds = 5 WHERE id = %s", [number])
    add_session(database, number, 4, 30, is_open=False)
    database.execute(
        "INSERT INTO session_archive (card_id, login_number, nas_id, acct_session_id, device, ended_at, used_seconds,"
        " used_down_octets, used_up_octets) VALUES (%s, 3, 1, 's', 'd', UTC_TIMESTAMP() - INTERVAL 300 DAY, 5, 0, 0)",
        [number],
    )
    database.execute(
        "INSERT INTO login_refusal VALUES (%s, 'a', 'wrong_pin', UTC_TIMESTAMP(), 1, 5, UTC_TIMESTAMP(),"
        " UTC_TIMESTAMP())",
        [number],
    )
    database.execute("INSERT INTO usage_hour VALUES ('2026-01-01', 1, 1, 1, 1, 1, 1)")
    connection = pymysql.connect(
        unix_socket=str(database.mariadb.socket),
        user=f"prepaid_{daemon}",
        password=f"of {daemon}",
        database=database.name,
    )
    done = []
    with connection, connection.cursor() as cursor:
        cursor.execute("SET check_constraint_checks = 0, foreign_key_checks = 0, timestamp = 4000000000")
        for statement in MAY_NOT[daemon]:
            connection.begin()
            try:
                cursor.execute(statement.replace("= C", f"= {number}").replace("(C,", f"({number},"))
                done.append(statement)
            except pymysql.MySQLError:
                pass
            connection.rollback()
    assert done == []


def test_a_daemon_without_an_account_of_its_own_works_as_before(office):
    office.must("enforce", "--wait", "0")
    office.must("db", "archive")
