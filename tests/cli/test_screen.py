"""What a customer, a NAS or a file says cannot steer an operator's terminal, whichever command shows it."""

import threading
import unicodedata

import pytest

from tests.cli.test_languages import on_terminal

PATIENCE_SECONDS = 30

# Everything that steers a terminal or turns the direction of reading: C0 and C1 controls, marks, separators of lines.
HOSTILE = "".join(sign for sign in map(chr, range(0x3000)) if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp"))
# Short enough for every column.
ATTACK = "a\u009b2J\x1b[31m\u202eb\u2066\u061c\r\u200f"

# Each command that shows what others wrote, with what it is asked here.
SHOWING = {
    "audit verify": (),
    "batch list": (),
    "batch show": ("{batch}",),
    "db version": (),
    "key list": (),
    "list": (),
    "nas list": (),
    "nas show": ("{nas}",),
    "note list": (),
    "note show": ("{note}",),
    "operator list": (),
    "partner list": (),
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
# These do something, and tell it in a sentence, which goes through output.tell_done (test_a_sentence_is_made_safe).
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
    "nas add",
    "nas edit",
    "nas remove",
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


def steering(shown: str) -> set[str]:
    """What of it steers a terminal, beside line ends and the table's own colours."""
    plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "")
    return {repr(sign) for sign in plain if sign in HOSTILE and sign not in "\n\t"}


@pytest.fixture
def attacked(office, database):
    """A card with everything that a card can have, in which every text that may be anything is an attack."""
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
        # Names are unique: a number behind the attack.
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
def test_a_table_does_not_steer_the_terminal(office, attacked, command):
    options = [option.format(**attacked) for option in SHOWING[command]]
    shown = on_terminal(office, "en", *command.split(), *options, env={"NO_COLOR": "1"}, statuses={0, 1, 3})
    assert steering(shown) == set()
    if command in ("track", "sessions", "list", "partner list", "product show"):
        assert "a\N{REPLACEMENT CHARACTER}2J" in shown, "the attack is nowhere to be seen, so nothing was tried"


@pytest.mark.parametrize("command", SHOWING)
def test_lines_and_json_do_not_steer_a_terminal_either(office, attacked, command):
    """They reach one by a pipe into a pager, or by cron's mail."""
    options = [option.format(**attacked) for option in SHOWING[command]]
    lines = office.run(*command.split(), *options)
    assert steering(lines.stdout + lines.stderr) == set()
    told = office.run(*command.split(), *options, "--json")
    assert steering(told.stdout + told.stderr) == set()
    if command == "track":
        assert ATTACK in {row.get("device") for row in told.json()}, "JSON tells a program what was sent, to the letter"


def test_a_follower_is_not_steered(office, attacked):
    follower = office.spawn("track", attacked["serial"], "--follow", env={"PYTHONUNBUFFERED": "1"})
    # Ends the reading below if what is waited for never comes.
    watch = threading.Timer(PATIENCE_SECONDS, follower.kill)
    watch.start()
    told = []
    try:
        for line in follower.stdout:
            told.append(line)
            if "a\N{REPLACEMENT CHARACTER}2J" in line:
                break
    finally:
        watch.cancel()
        follower.terminate()
        follower.communicate()
    assert any("a\N{REPLACEMENT CHARACTER}2J" in line for line in told)
    assert steering("".join(told)) == set()


def test_an_error_is_not_steered(office):
    for arguments in (
        ("show", ATTACK),
        ("partner", "show", ATTACK),
        ("list", "--product", ATTACK),
        ("list", f"--{ATTACK}"),
        (ATTACK,),
        ("generate", "--product", "x", "--count", ATTACK),
    ):
        result = office.run(*arguments)
        assert result.exit_status and steering(result.stdout + result.stderr) == set(), arguments


def test_a_sentence_is_made_safe(office, attacked, tmp_path):
    """What a command has done names a product or partner."""
    result = office.run("partner", "retire", attacked["partner"])
    assert result.exit_status == 0 and steering(result.stdout + result.stderr) == set()


def test_every_command_is_tried_or_known_to_tell_a_sentence():
    import click

    from admin.cli import cli

    def commands(group, path=()):
        for name, command in group.commands.items():
            if isinstance(command, click.Group) and not command.hidden:
                yield from commands(command, (*path, name))
            elif not command.hidden:
                yield " ".join((*path, name))

    assert set(commands(cli)) == {*SHOWING, *DOING, "completion"}
