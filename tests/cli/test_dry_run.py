"""--dry-run: every command that changes something for the office has it, and changes nothing with it."""

import click
import pytest

from admin.cli import cli

# Commands that only read, or whose record is part of the answer.
READING = set(
    """
    audit verify|batch list|batch show|completion|db version|doctor|key list|list|nas list|nas show|nat list|note list|note show
    operator list|partner list|partner show|partner statement|payment list|product list|product show|queue status
    queue quarantine|raddb check|reconcile
    report sales|report settlement|report stock|report usage|sessions|show|simulate|track|voice pending
    """.replace("\n", "|")
    .replace("    ", "")
    .strip("|")
    .split("|")
)
# Commands that change something and have none, each with its reason.
WITHOUT = {
    "browse": "each act shows what it will do, and asks",
    "audit seal": "adds to the chain what is in the history already",
    "charge": "charges what NAS have reported already",
    "db archive": "moves records by their age; balances do not change",
    "db init": "what exists stays as it is, so it can be repeated",
    "db upgrade": "'db version' says what it would do",
    "enforce": "'sessions' shows which sessions are due",
    "engine": "a daemon",
    "key add": "the key waits until 'key rotate'",
    "key retire": "asks, and refuses a key that is in use",
    "key rotate": "asks, and 'key list' counts what it would seal",
    "queue replay": "charges what NAS have reported already",
    "metrics": "records nothing; writes the file that it is told",
    "raddb install": "'raddb check' says what it would change",
    "raddb remove": "takes out what 'raddb install' put in, which a new install puts back",
    "redeem": "a PIN that is tried always counts",
}


def commands(group: click.Group, before: str = ""):
    for name, command in group.commands.items():
        if name == "spool":  # Another name of the group `queue`.
            continue
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def test_every_command_that_changes_something_has_a_dry_run_or_a_reason():
    having = {name for name, command in commands(cli) if any("--dry-run" in param.opts for param in command.params)}
    everything = {name for name, _command in commands(cli)}
    assert everything - having - READING == set(WITHOUT)
    assert READING <= everything - having


def state(database) -> list:
    """The content of every table."""
    tables = [
        row["name"]
        for row in database.query(
            "SELECT table_name AS name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name"
        )
    ]
    return [row for table in tables for row in database.query(f"CHECKSUM TABLE `{table}`")]


@pytest.fixture
def dry(office, database):
    """Runs a command with --dry-run: nothing changes, and its sentence says so.  Then without: it does the same."""

    def run(*arguments, stdin: str | None = None, changes: bool = True) -> dict:
        before = state(database)
        result = office.run(*arguments, "--dry-run", stdin=stdin)
        assert result.exit_status == 0, result.stderr
        assert "othing was changed" in result.stdout, result.stdout
        would = office.json(*arguments, "--dry-run", stdin=stdin)
        assert state(database) == before
        assert would.pop("dry_run", True) is True
        if changes:
            office.must(*arguments, stdin=stdin)
            assert state(database) != before
        return would

    return run


def test_a_dry_run_of_names_changes_nothing(dry, office):
    assert dry("product", "add", "Hour", "--time", "1h")["credit_seconds"] == 3600
    assert dry("product", "edit", "Hour", "--price", "5.00")["price_cents"] == 500
    dry("partner", "add", "Banca")
    assert dry("partner", "edit", "Banca", "--commission", "10")["commission_basis_points"] == 1000
    dry(
        "nas",
        "add",
        "centro",
        "--address",
        "10.1.2.3",
        "--vendor",
        "mikrotik",
        "--secret-file",
        "-",
        stdin="s3cr3t-long\n",
    )
    assert dry("nas", "edit", "centro", "--vendor", "chilli")["vendor"] == "chilli"
    dry("nas", "remove", "centro")
    dry("product", "retire", "Hour")
    dry("partner", "retire", "Banca")
    # What is refused without --dry-run is refused with it.
    assert office.run("product", "add", "Hour", "--time", "1h", "--dry-run").exit_status == 1


def test_a_dry_run_of_cards_changes_nothing(dry, office, tmp_path):
    product = office.product("--time", "10m")
    would = dry("generate", "--product", product, "--count", 3)
    cards = office.json("list")
    assert (would["batch"], would["first_serial"], would["last_serial"]) == (
        None,
        cards[0]["serial"],
        cards[2]["serial"],
    )
    assert office.json("generate", "--product", product, "--count", 1)["batch"] == cards[0]["batch"] + 1
    assert dry("generate", "--product", product, "--count", 2, "--single-code", changes=False)["first_serial"] is None
    path = tmp_path / "cards.csv"
    assert dry("export", "--batch", cards[0]["batch"], "--output", path, changes=False)["count"] == 3
    assert not list(tmp_path.iterdir())
    one, other = (card.serial for card in office.sell(2, product=product))
    assert dry("credit", one, "--add", "5m", "--reason", "Storm")["remaining_seconds"] == 900
    dry("transfer", one, other, "--reason", "Replacement")
    assert dry("edit", other, "--note", "Ana", "--expires", "2036-12-31", "--reason", "Storm")["note"] == "Ana"
    assert dry("disconnect", other, changes=False)["sessions"] == 0


def test_a_dry_run_of_voice_credits_changes_nothing(dry, office, tmp_path):
    product = office.product("--money", "20.00", "--tariff-minute", "0.05", kind="telephony")
    (card,) = office.sell(1, product=product)
    office.must("redeem", card.serial, "--account", "+551133334444", stdin=f"{card.pin}\n")
    path = tmp_path / "vsc.csv"
    assert dry("voice", "export", "--output", path, changes=False)["count"] == 1
    assert not path.exists()
    office.must("voice", "export", "--output", path)
    assert dry("voice", "confirm", "--export", 1)["confirmed"] == 1


def test_a_dry_run_of_an_operator_makes_no_account(office, database):
    before = state(database)
    would = office.json("operator", "add", "dry-ana", "--role", "see", "--role", "block", "--dry-run")
    assert (would["operator"], would["roles"], would["dry_run"]) == ("dry-ana", ["see", "block"], True)
    assert state(database) == before and office.json("operator", "list") == []
