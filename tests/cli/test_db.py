"""db init, upgrade, version; and what every command says when the database or the option file is not as it should be."""

import configparser
import os
import re
import textwrap
from pathlib import Path

import pytest

from tests.database import Database

COMMANDS_THAT_ASK = (
    ("list",),
    ("show", "A1"),
    ("track", "A1"),
    ("product", "list"),
    ("generate", "--product", "x", "--count", "1"),
    ("deliver", "--partner", "x", "--batch", "1"),
    ("block", "A1", "--reason", "Stolen"),
    ("export", "--batch", "1", "--output", "/tmp/x/y"),
)


@pytest.fixture
def option_file(office, tmp_path):
    """A copy of the stack's option file, and a function that changes it."""

    def changed(group: str, **values) -> str:
        options = configparser.ConfigParser(interpolation=None)
        options.read(office.option_file)
        for name, value in values.items():
            options.set(group, name, value)
        path = tmp_path / "prepaid.cnf"
        with path.open("w") as file:
            options.write(file)
        return str(path)

    return changed


def test_a_second_init_changes_nothing_and_says_so(office, database):
    tables = database.query(
        "SELECT table_name, create_time FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    key = office.option_file.with_name("key").read_bytes()
    result = office.must("db", "init")
    assert result.stdout.startswith("Nothing to do")
    assert office.json("db", "init")["made"] == []
    assert office.option_file.with_name("key").read_bytes() == key
    assert (
        database.query("SELECT table_name, create_time FROM information_schema.tables WHERE table_schema = DATABASE()")
        == tables
    )


def test_init_makes_a_database_with_accounts_and_key(option_file, office, mariadb, tmp_path):
    name = "made_by_init"
    option_file("prepaid-admin", database=name)
    path = tmp_path / "prepaid.cnf"
    path.write_text(
        path.read_text()
        .replace("database = prepaid\n", f"database = {name}\n")
        .replace(str(office.option_file.with_name("key")), str(tmp_path / "key"))
    )
    try:
        result = office.program("--config", path, "db", "init", "--json")
        assert result.exit_status == 0, result.stderr
        made = result.json()["made"]
        assert f"database {name}" in made and f"key file {tmp_path / 'key'}" in made
        assert os.stat(tmp_path / "key").st_mode & 0o777 == 0o600
        assert office.program("--config", path, "product", "list", "--json").json() == []
        made_database = Database(mariadb, name)
        assert min(file_sizes(made_database).values()) >= 2**20
        assert (
            made_database.value(
                "SELECT auto_increment FROM information_schema.tables WHERE table_schema = %s AND table_name = 'card'",
                [name],
            )
            == 1
        )
        # Another key file is noticed before anything is sealed with it.
        (tmp_path / "key").unlink()
        result = office.program("--config", path, "db", "init")
        assert result.exit_status == 1 and str(tmp_path / "key") in result.stderr
        assert not (tmp_path / "key").exists()
    finally:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.mark.parametrize("command", ("init", "upgrade"))
def test_no_table_whose_rows_grow_has_a_file_smaller_than_an_extent(office, database, command):
    make_small(database)
    office.must("db", command)
    assert min(file_sizes(database).values()) >= 2**20
    assert database.value("SELECT COUNT(*) FROM card") == database.value("SELECT COUNT(*) FROM session") == 0


def test_the_statements_for_a_replica_do_the_same(database):
    """The statements of docs/operations.md."""
    make_small(database)
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    script = textwrap.dedent(re.search(r"(?m)^    SET sql_log_bin.*\n(?:    .*\n)+", page).group())
    with database.connect() as connection, connection.cursor() as cursor:
        for statement in script.split(";\n")[:-1]:
            cursor.execute(statement)
    assert min(file_sizes(database).values()) >= 2**20
    assert database.value("SELECT COUNT(*) FROM card") == database.value("SELECT COUNT(*) FROM session") == 0


def make_small(database) -> None:
    for table in ("session", "card"):
        with database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute(f"TRUNCATE TABLE {table}")
    assert max(file_sizes(database).values()) < 2**20


def file_sizes(database) -> dict[str, int]:
    return {
        row["name"]: row["file_size"]
        for row in database.query(
            "SELECT name, file_size FROM information_schema.innodb_sys_tablespaces"
            " WHERE name IN (CONCAT(DATABASE(), '/card'), CONCAT(DATABASE(), '/session'))"
        )
    }


def test_upgrade_with_nothing_to_do(office):
    printed = office.json("db", "upgrade")
    assert printed["before"] == printed["after"] == office.json("db", "version")["database"]


@pytest.mark.parametrize("arguments", COMMANDS_THAT_ASK)
def test_a_database_that_is_away_is_exit_3(office, option_file, arguments):
    path = option_file("prepaid-admin", unix_socket="/nowhere/mysqld.sock")
    result = office.run("--config", path, *arguments)
    assert result.exit_status == 3
    assert path in result.stderr and "Traceback" not in result.stderr and result.stdout == ""


def test_a_wrong_password_is_exit_3_and_is_not_repeated(office, option_file):
    path = option_file("prepaid-admin", password="not the password")
    result = office.run("--config", path, "list")
    assert result.exit_status == 3 and "prepaid-admin" in result.stderr
    assert "not the password" not in result.stderr


@pytest.mark.parametrize(("version", "remedy"), [(99, "newer"), (0, "db upgrade")])
@pytest.mark.parametrize("arguments", [("list",), ("generate", "--product", "x", "--count", "1")])
def test_a_schema_of_another_version_is_refused(office, database, version, remedy, arguments):
    database.execute("UPDATE schema_version SET version = %s", [version])
    try:
        result = office.run(*arguments)
    finally:
        database.execute("UPDATE schema_version SET version = 1")
    assert result.exit_status == 1 and str(version) in result.stderr and remedy in result.stderr


def test_a_database_without_tables_names_the_command_that_makes_them(office, option_file, mariadb):
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE nothing_here")
        cursor.execute("GRANT ALL ON nothing_here.* TO prepaid_admin@localhost")
    try:
        result = office.run("--config", option_file("prepaid-admin", database="nothing_here"), "list")
    finally:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("REVOKE ALL ON nothing_here.* FROM prepaid_admin@localhost")
            cursor.execute("DROP DATABASE nothing_here")
    assert result.exit_status == 1 and "db init" in result.stderr


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "does not exist"),
        ("user = x\npassword = geheim\n", "not an option file"),
        ("", "[prepaid-admin]"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_option_file_is_wrong_usage(office, tmp_path, content, word):
    path = tmp_path / "x.cnf"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = office.run("--config", path, "list")
    assert result.exit_status == 2 and word in result.stderr and str(path) in result.stderr
    assert "geheim" not in result.stderr


def test_a_key_file_that_others_can_read_is_refused_and_nothing_is_made(office, database):
    product = office.product("--time", "10m")
    key_file = office.option_file.with_name("key")
    mode = key_file.stat().st_mode
    key_file.chmod(0o644)
    try:
        result = office.run("generate", "--product", product, "--count", 1)
    finally:
        key_file.chmod(mode)
    assert result.exit_status == 1 and str(key_file) in result.stderr
    assert database.value("SELECT COUNT(*) FROM card") == 0


def test_the_key_file_of_another_installation_is_refused(office, option_file, tmp_path, database):
    from freeradius_module.sealing import keyring

    product = office.product("--time", "10m")
    keyring.create(tmp_path / "other.key")
    path = option_file("prepaid", key_file=str(tmp_path / "other.key"))
    result = office.run("--config", path, "generate", "--product", product, "--count", 1)
    assert result.exit_status == 1 and str(tmp_path / "other.key") in result.stderr
    assert database.value("SELECT COUNT(*) FROM card") == 0


def test_upgrade_runs_the_migrations_that_are_missing_in_their_order(office, database, monkeypatch, tmp_path):
    import admin.db
    from admin.shell import share

    migrations = tmp_path / "sql" / "migrations"
    migrations.mkdir(parents=True)
    for name in ("grants.sql", "roles.sql"):
        (tmp_path / "sql" / name).write_text((share.folder("sql") / name).read_text())
    (migrations / "0001_initial.sql").write_text("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'run again';")
    for number in (3, 2):
        (migrations / f"000{number}_more.sql").write_text(
            f"INSERT INTO site VALUES ('step {number}', (SELECT MAX(version) FROM schema_version AS v));\n"
            f"INSERT INTO schema_version (version, name) VALUES ({number}, 'more');\n"
        )
    monkeypatch.setattr(share, "folder", lambda name: tmp_path / name)
    monkeypatch.setattr(admin.db, "SCHEMA_VERSION", 3)
    assert office.json("db", "upgrade") == {"before": 1, "after": 3}
    assert database.query("SELECT name, value FROM site WHERE name LIKE 'step%%' ORDER BY name") == [
        {"name": "step 2", "value": "1"},
        {"name": "step 3", "value": "2"},
    ]
    assert office.json("db", "upgrade") == {"before": 3, "after": 3}


def test_a_migration_that_fails_is_reported_and_the_version_stays(office, database, monkeypatch, tmp_path):
    from admin.shell import share

    (tmp_path / "sql" / "migrations").mkdir(parents=True)
    (tmp_path / "sql" / "migrations" / "0002_wrong.sql").write_text("ALTER TABLE no_such_table ADD COLUMN x INT;")
    monkeypatch.setattr(share, "folder", lambda name: tmp_path / name)
    result = office.run("db", "upgrade")
    assert result.exit_status == 1 and "0002_wrong.sql" in result.stderr
    assert database.value("SELECT MAX(version) FROM schema_version") == 1
