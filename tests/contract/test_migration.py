"""The queries of docs/migration.md, on tables like those of the other products, and what they become here."""

import re
import subprocess
import uuid
from pathlib import Path

import pytest

from freeradius_module.sealing import keyring, pin

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"
RADACCT = """
    CREATE TABLE radacct (radacctid BIGINT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(64), acctstarttime DATETIME,
                          acctsessiontime INT UNSIGNED, acctinputoctets BIGINT, acctoutputoctets BIGINT);
    INSERT INTO radacct (username, acctstarttime, acctsessiontime, acctinputoctets, acctoutputoctets) VALUES
        ('card-2', '2026-01-02 12:00:00', 600, 100, 5000000000), ('card-2', '2026-01-03 12:00:00', 300, 20, NULL),
        ('card-3', '2026-01-04 12:00:00', 36000, 1, 2);
"""
DALORADIUS = (
    RADACCT
    + """
    CREATE TABLE radcheck (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(64), attribute VARCHAR(64), op CHAR(2),
                           value VARCHAR(253));
    CREATE TABLE userbillinfo (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(128), planName VARCHAR(128));
    INSERT INTO radcheck (username, attribute, op, value) VALUES
        ('card-1', 'Cleartext-Password', ':=', 'pin "one"'), ('card-2', 'User-Password', ':=', 'pintwo'),
        ('card-2', 'Expiration', ':=', '31 Dec 2027'), ('card-3', 'Cleartext-Password', ':=', 'pinthree'),
        ('card-4', 'Crypt-Password', ':=', '$6$x'), ('card-5', 'Cleartext-Password', ':=', 'other plan');
    INSERT INTO userbillinfo (username, planName) VALUES
        ('card-1', '10 hours'), ('card-2', '10 hours'), ('card-3', '10 hours'), ('card-4', '10 hours'), ('card-5', '1 hour');
"""
)
RADIUSDESK = (
    RADACCT
    + """
    CREATE TABLE vouchers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64), status ENUM('new', 'used', 'depleted',
                           'expired'), password VARCHAR(30) NOT NULL DEFAULT '', profile VARCHAR(50), expire DATETIME);
    INSERT INTO vouchers (name, status, password, profile, expire) VALUES
        ('card-1', 'new', 'pin "one"', '10 hours', NULL), ('card-2', 'used', 'pintwo', '10 hours', '2027-12-31'),
        ('card-3', 'depleted', 'pinthree', '10 hours', NULL), ('card-5', 'new', 'other', '1 hour', NULL);
"""
)


@pytest.fixture
def other_system(mariadb):
    """Ask the other system's database, as the page says, and get the file."""
    name = f"other_{uuid.uuid4().hex[:12]}"

    def shell(text, database="", *options):
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={mariadb.socket}", *options, *([database] * bool(database))],
            input=text,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shell(f"CREATE DATABASE {name}")
    yield lambda tables, query: (shell(tables, name), shell(query, name, "--batch", "--raw"))[1]
    shell(f"DROP DATABASE {name}")


def query_of(which):
    return re.search(rf"```sql\n-- {which}\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


@pytest.mark.parametrize(
    ("which", "tables", "last_status"), [("daloradius", DALORADIUS, "in_use"), ("radiusdesk", RADIUSDESK, "exhausted")]
)
def test_cards_of_another_system_come_over(office, other_system, tmp_path, which, tables, last_status):
    path = tmp_path / "cards.csv"
    path.write_text(other_system(tables, "SET time_zone = '-03:00';" + query_of(which)))
    product = office.product("--time", "10h")
    told = office.json("import", path, "--product", product)
    assert told["count"] == 3
    cards = {row["serial"]: row for row in office.json("list")}
    assert [(name, row["status"], row["used_seconds"]) for name, row in cards.items()] == [
        ("CARD1", "delivered", 0),
        ("CARD2", "in_use", 900),
        ("CARD3", last_status, 36000),
    ]
    two = cards["CARD2"]
    assert (two["used_down_octets"], two["used_up_octets"]) == (5_000_000_000, 120)
    assert two["first_login_at"] == "2026-01-02T15:00:00.000Z" and two["expires_at"] == "2027-12-31T03:00:00.000Z"
    assert office.json("simulate", "card-2")["session_seconds"] == 36000 - 900
    # Its credit is used up, whether the other system has noticed or not.
    assert office.json("simulate", "card-3")["reason"] == "exhausted"


def test_a_pin_with_quotes_comes_over_whole(office, other_system, database, tmp_path, _unstarted_stack):
    path = tmp_path / "cards.csv"
    path.write_text(other_system(DALORADIUS, query_of("daloradius")))
    office.must("import", path, "--product", office.product("--time", "10h"))
    (row,) = database.query("SELECT pin_sealed, key_number FROM card WHERE serial = 'CARD1'")
    keys = keyring.load(_unstarted_stack.key_file)
    assert pin.open_sealed(row["pin_sealed"], row["key_number"], "CARD1", keys) == 'pin "one"'
