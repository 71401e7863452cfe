"""Text from a customer, a NAS or a file cannot control an operator's terminal, whichever command shows it."""

import threading
import unicodedata

import pytest

from tests.cli.test_languages import on_terminal

PATIENCE_SECONDS = 30

# What controls a terminal or changes the direction of reading: C0 and C1 controls, marks, separators of lines.
HOSTILE = "".join(
    character for character in map(chr, range(0x3000)) if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
)
# Short enough for every column.
ATTACK = "a\u009b2J\x1b[31m\u202eb\u2066\u061c\r\u200f"

# The commands that show data, with their arguments in this test.
SHOWING = {
    "audit verify": (),
    "batch list": (),
    "batch show": ("{batch}",),
    "db version": (),
    "key list": (),
    "list": (),
    "nas list": (),
    "nas show": ("{nas}",),
    "nat list": (),
    "note list": (),
    "note show": ("{note}",),
    "operator list": (),
    "partner list": (),
    "partner statement": ("{partner}",),
    "payment list": (),
    "partner show": ("{partner}",),
    "product list": (),
    "product show": ("{product}",),
    "reconcile": (),
    "report sales": (),
    "report settlement": (),
    "report stock": (),
    "report usage": (),
    "sessions": (),
    "show": ("{serial}",),
    "simulate": ("{serial}",),
    "track": ("{serial}",),
    "voice pending": (),
}
# The commands that do something and print one sentence, by output.print_result (test_a_sentence_is_made_safe).
DOING = {
    "audit seal",
    "batch receive",
    "block",
    "charge",
    "credit",
    "db archive",
    "db init",
    "db upgrade",
    "delete",
    "deliver",
    "engine",
    "disconnect",
    "doctor",
    "edit",
    "enforce",
    "export",
    "generate",
    "import",
    "key add",
    "key retire",
    "key rotate",
    "payment add",
    "payment reverse",
    "nas add",
    "nas edit",
    "nas remove",
    "nat import",
    "nat purge",
    "operator add",
    "operator remove",
    "partner add",
    "partner edit",
    "partner retire",
    "product add",
    "product edit",
    "product retire",
    "raddb check",
    "raddb install",
    "raddb remove",
    "setup",
    "metrics",
    "redeem",
    "return",
    "queue quarantine",
    "queue replay",
    "queue status",
    "transfer",
    "unblock",
    "voice confirm",
    "voice export",
}


def controls(shown: str) -> set[str]:
    """The characters that control a terminal, except line ends and the table's own colours."""
    plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "")
    return {repr(character) for character in plain if character in HOSTILE and character not in "\n\t"}


@pytest.fixture
def attacked(office, database):
    """A card with every kind of record; each text that may be arbitrary is an attack."""
    cards = office.sell(2, "--time", "10h")
    card = cards[0]
    (phone,) = office.sell(
        1,
        "--money",
        "10.00",
        "--tariff-minute",
        "0.05",
        product=office.product("--money", "10.00", "--tariff-minute", "0.05", kind="telephony"),
    )
    office.must("redeem", phone.serial, "--account", "+5511", stdin=phone.pin)
    office.must("block", cards[1].serial, "--reason", ATTACK)
    office.must("edit", card.serial, "--note", "a note", "--reason", ATTACK)
    find = {"serial": card.serial}
    values = {"id": database.value("SELECT id FROM card WHERE serial = %(serial)s", find), "text": ATTACK}
    with database.connect() as connection, connection.cursor() as cursor:
        for statement in (
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at,"
            " due_at, due_cause, used_seconds, granted_seconds) VALUES (%(id)s, 1, 1, %(text)s, %(text)s, UTC_TIMESTAMP(3),"
            " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 600 SECOND, 'time', 60, 600)",
            "INSERT INTO login_refusal (card_id, source, reason, window_at, nas_id, tries, first_at, last_at) VALUES"
            " (%(id)s, %(text)s, 'wrong_pin', UTC_TIMESTAMP(), 1, 3, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
            "UPDATE partner SET contact = %(text)s, document = 'x'",
        ):
            cursor.execute(statement, values)
        # Names are unique, so a number follows the attack.
        for table in ("partner", "product", "nas"):
            cursor.execute(
                f"UPDATE {table} SET name = CONCAT(%(text)s, id) WHERE id > 1 OR %(table)s <> 'nas'",
                {**values, "table": table},
            )
        cursor.execute(
            "SELECT p.name AS product, q.name AS partner, c.batch_id AS batch FROM card c"
            " JOIN product p ON p.id = c.product_id JOIN partner q ON q.id = c.partner_id WHERE c.id = %(id)s",
            values,
        )
        names = cursor.fetchone()
        cursor.execute("SELECT MAX(id) AS note FROM note")
        names |= cursor.fetchone()
        cursor.execute("SELECT MAX(name) AS nas FROM nas")
        names |= cursor.fetchone()
    return {"serial": card.serial, **names}


@pytest.mark.parametrize("command", SHOWING)
def test_a_table_does_not_control_the_terminal(office, attacked, command):
    options = [option.format(**attacked) for option in SHOWING[command]]
    shown = on_terminal(office, "en", *command.split(), *options, env={"NO_COLOR": "1"}, statuses={0, 1, 3})
    assert controls(shown) == set()
    if command in ("track", "sessions", "list", "partner list", "product show"):
        assert "a\N{REPLACEMENT CHARACTER}2J" in shown, "the attack is not shown, so nothing was tested"


@pytest.mark.parametrize("command", SHOWING)
def test_lines_and_json_do_not_control_a_terminal(office, attacked, command):
    """They may reach a terminal by a pager or in a mail from cron."""
    options = [option.format(**attacked) for option in SHOWING[command]]
    lines = office.run(*command.split(), *options)
    assert controls(lines.stdout + lines.stderr) == set()
    json = office.run(*command.split(), *options, "--json")
    assert controls(json.stdout + json.stderr) == set()
    if command == "track":
        assert ATTACK in {row.get("device") for row in json.json()}, "JSON gives a program exactly what was sent"


def test_the_output_of_follow_does_not_control_a_terminal(office, attacked):
    follower = office.spawn("track", attacked["serial"], "--follow", env={"PYTHONUNBUFFERED": "1"})
    # Ends the loop below if the attack is never printed.
    watch = threading.Timer(PATIENCE_SECONDS, follower.kill)
    watch.start()
    lines = []
    try:
        for line in follower.stdout:
            lines.append(line)
            if "a\N{REPLACEMENT CHARACTER}2J" in line:
                break
    finally:
        watch.cancel()
        follower.terminate()
        follower.communicate()
    assert any("a\N{REPLACEMENT CHARACTER}2J" in line for line in lines)
    assert controls("".join(lines)) == set()


def test_an_error_does_not_control_a_terminal(office):
    for arguments in (
        ("show", ATTACK),
        ("partner", "show", ATTACK),
        ("list", "--product", ATTACK),
        ("list", f"--{ATTACK}"),
        (ATTACK,),
        ("generate", "--product", "x", "--count", ATTACK),
    ):
        result = office.run(*arguments)
        assert result.exit_status and controls(result.stdout + result.stderr) == set(), arguments


def test_a_sentence_is_made_safe(office, attacked, tmp_path):
    """The sentence about what was done may name a product or a partner."""
    result = office.run("partner", "retire", attacked["partner"])
    assert result.exit_status == 0 and controls(result.stdout + result.stderr) == set()


def test_every_command_is_tested_or_known_to_print_a_sentence():
    import click

    from admin.cli import cli

    def commands(group, path=()):
        for name, command in group.commands.items():
            if isinstance(command, click.Group) and not command.hidden:
                yield from commands(command, (*path, name))
            elif not command.hidden:
                yield " ".join((*path, name))

    # tests/cli/test_browse.py has its own.
    assert set(commands(cli)) == {*SHOWING, *DOING, "completion", "browse"}
