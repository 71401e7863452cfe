"""prepaid browse: the screen at 80x24, with keys, on a real database."""

import asyncio
import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import time

import pytest

from admin.browse import query
from admin.browse.screen import BrowseApp
from admin.shell import office as shell_office
from tests.cli.test_screen import ATTACK, controls
from tests.office import Office
from tests.stack.stack import PREPAID

SIZE = (80, 24)
PATIENCE_SECONDS = 10


@pytest.fixture
def screen(office, monkeypatch):
    """Opens the screen in a language; the test drives it."""

    @contextlib.asynccontextmanager
    async def open_screen(who=office, language="en", size=SIZE):
        monkeypatch.setenv("LANGUAGE", language)
        ours = shell_office.Office(str(who.option_file))
        app = BrowseApp(ours)
        try:
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                yield Seen(app, pilot)
        finally:
            ours.close()

    return open_screen


class Seen:
    def __init__(self, app, pilot):
        self.app = app
        self.pilot = pilot

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def fill(self, **values):
        """The fields of the form that is open."""
        for name, value in values.items():
            widget = self.app.screen.query_one(f"#{name}")
            widget.value = value
        await self.pilot.pause()

    async def sees(self, *words: str):
        """Wait until the terminal shows these words; lines may be broken between them."""
        until = time.monotonic() + PATIENCE_SECONDS
        while missing := [word for word in words if word not in " ".join(self.text().replace("│", " ").split())]:
            assert time.monotonic() < until, f"{missing} are not in:\n{self.text()}"
            await self.pilot.pause(0.05)

    def text(self) -> str:
        """What the terminal shows."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)

    def serials(self) -> list[str]:
        return [row["serial"] for row in self.app.screen.query_one("#table-cards").records]


def run(story):
    asyncio.run(story())


def test_it_opens_with_the_cards_and_pages_by_key(office, screen):
    cards = office.stock(query.PAGE + 5, "--time", "10m")

    async def story():
        async with screen() as seen:
            assert seen.serials() == [card.serial for card in cards[: query.PAGE]]
            await seen.sees(f"Cards 1 to {query.PAGE}", "created")
            await seen.press("n")
            assert seen.serials() == [card.serial for card in cards[query.PAGE :]]
            await seen.press("n")  # There is no third page.
            await seen.sees(f"Cards {query.PAGE + 1} to {query.PAGE + 5}")
            await seen.press("p")
            assert seen.serials()[0] == cards[0].serial

    run(story)


def test_a_serial_is_found_by_its_beginning(office, screen):
    first, *_others = office.stock(3, "--time", "10m")

    async def story():
        async with screen() as seen:
            await seen.press("slash", *first.serial, "enter")
            assert seen.serials() == [first.serial]
            await seen.press("slash", "home", "shift+end", "delete", *first.serial[:4], "enter")
            assert len(seen.serials()) == 3

    run(story)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "delivered"}, {"sold", "noted"}),
        ({"status": "created"}, {"stock"}),
        ({"note": "JOAO"}, {"noted"}),
        ({"note": "100%"}, set()),
        ({"device": "02:00:5e:10:00:01"}, {"sold"}),
        ({"device": "02-00"}, {"sold"}),
        ({"partner": "Banca do Norte"}, {"sold", "noted"}),
        ({"partner": "Banca do Norte", "note": "joão"}, {"noted"}),
        ({"made_from": "2001-01-01"}, {"stock", "sold", "noted"}),
        ({"made_to": "2001-01-01"}, set()),
    ],
)
def test_filters(office, database, screen, filters, found):
    office.must("partner", "add", "Banca do Norte")
    (stock,) = office.stock(1, "--time", "10m")
    sold, noted = office.sell(2, "--time", "10m", partner="Banca do Norte")
    office.must("edit", noted.serial, "--note", "Sr. João, 100 reais")
    database.execute("UPDATE card SET device = '02-00-5E-10-00-01' WHERE serial = %s", [sold.serial])
    named = {"stock": stock.serial, "sold": sold.serial, "noted": noted.serial}

    async def story():
        async with screen() as seen:
            await seen.press("f")
            await seen.fill(**filters)
            await seen.pilot.click("#done")
            await seen.pilot.pause()
            assert set(seen.serials()) == {named[name] for name in found}

    run(story)


def test_a_name_that_does_not_exist_is_a_sentence(office, screen):
    office.must("partner", "add", "Banca do Norte")

    async def story():
        async with screen() as seen:
            await seen.press("f")
            await seen.fill(partner="Banca do Nort")
            await seen.press("enter")
            await seen.sees("Did you mean 'Banca do Norte'?")

    run(story)


def test_a_cards_story_sessions_and_details(office, database, screen):
    (card,) = office.sell(1, "--time", "10h")
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO session (card_id, login_number, nas_id, acct_session_id, device, login_at, started_at, heard_at,"
            " due_at, due_cause, used_seconds, granted_seconds) SELECT card.id, 1, nas.id, 's1', '02-00-5E-10-00-01',"
            " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 600 SECOND, 'time', 60, 600"
            " FROM card JOIN nas ON nas.name = 'loopback' WHERE serial = %s",
            [card.serial],
        )

    async def story():
        async with screen() as seen:
            await seen.press("enter")
            await seen.sees(card.serial, "generated", "delivered", "login", "session")
            await seen.press("2")
            await seen.sees("02-00-5E-10-00-01", "loopback")
            await seen.press("3")
            await seen.sees("credit time", "10 h")
            await seen.press("escape")
            assert seen.serials() == [card.serial]
            await seen.press("5")
            await seen.sees(card.serial, "loopback")

    run(story)


def test_batches_notes_and_partners(office, screen):
    office.must("partner", "add", "Banca do Norte", "--contact", "ana@example.org")
    cards = office.sell(3, "--time", "10m", partner="Banca do Norte")
    office.stock(2, "--time", "10m")

    async def story():
        async with screen() as seen:
            assert len(seen.serials()) == 5
            await seen.press("2", "down", "enter")
            await seen.sees("first serial", cards[0].serial, "exported")
            await seen.press("escape", "c")
            assert seen.serials() == [card.serial for card in cards]
            await seen.press("3", "enter")
            await seen.sees("Banca do Norte", "price")
            await seen.press("escape", "4", "enter")
            await seen.sees("ana@example.org")
            await seen.press("escape", "c")
            assert seen.serials() == [card.serial for card in cards]

    run(story)


def test_a_stranger_controls_neither_terminal_nor_markup(office, database, screen):
    (card,) = office.sell(1, "--time", "10m")
    office.must("edit", card.serial, "--note", "[red]note[/red] [@click=app.quit]x[/]")
    database.execute("UPDATE card SET device = %s", [ATTACK])
    database.execute("UPDATE partner SET name = CONCAT('[b]', %s)", [ATTACK])

    async def story():
        async with screen(size=(250, 24)) as seen:
            await seen.sees("[red]note[/red] [@click=app.quit]x[/]", "[b]a\N{REPLACEMENT CHARACTER}2J")
            shown = seen.text()
            await seen.press("enter")
            shown += seen.text()
            await seen.press("3")
            shown += seen.text()
            await seen.press("escape", "3", "enter")
            shown += seen.text()
            await seen.press("escape", "4", "enter")
            assert controls(shown + seen.text()) == set()

    run(story)


async def answer(seen, yes=True, **values):
    """Fill in the form of an act, and answer the question."""
    await seen.fill(**values)
    await seen.press("enter")
    await seen.pilot.click("#yes" if yes else "#no")
    await seen.pilot.pause()


def test_a_card_is_blocked_with_a_reason_and_unblocked(office, screen):
    (card,) = office.sell(1, "--time", "10m")

    async def story():
        async with screen() as seen:
            await seen.press("a")
            await seen.sees("b Block", "x Delete", f"Card {card.serial}")
            await seen.press("b")
            await seen.press("enter")
            await seen.sees("Please fill in: Reason")
            assert office.show(card)["status"] == "delivered"
            await answer(seen, yes=False, reason="Reported stolen")
            assert office.show(card)["status"] == "delivered"
            await seen.press("b")
            await answer(seen, reason="Reported stolen")
            await seen.sees("1 card blocked.")
            await seen.press("escape")
            await seen.sees(f"{card.serial} blocked")
            await seen.press("enter", "u")
            await answer(seen, reason="--yes")
            await seen.sees("1 card unblocked.")
            await seen.press("escape")
            await seen.sees(f"{card.serial} delivered", "Reported stolen", "unblocked")

    run(story)
    events = office.track(card)
    assert [(row["what"], row.get("reason")) for row in events[-2:]] == [
        ("blocked", "Reported stolen"),
        ("unblocked", "--yes"),
    ]


def test_a_batch_is_delivered_returned_and_deleted(office, screen):
    partner = office.partner()
    (card, _other) = office.stock(2, "--time", "10m")

    async def story():
        async with screen() as seen:
            await seen.press("2", "d")
            await answer(seen, partner=partner)
            await seen.sees("2 cards delivered to")
            assert office.show(card)["partner"] == partner
            await seen.press("escape", "1", "r")
            await answer(seen)  # Of the partner who has it.
            await seen.sees("1 card returned by")
            assert office.show(card)["status"] == "created"
            await seen.press("escape", "2", "r")
            await answer(seen, partner=partner)
            await seen.press("escape", "x")
            await seen.fill(reason="Misprinted")
            await seen.press("enter")
            await seen.sees("Would delete 2 cards.")
            await seen.pilot.click("#yes")
            await seen.sees("2 cards deleted.")

    run(story)
    assert office.run("show", card.serial).exit_status == 1


def test_a_batch_is_generated_and_exported(office, screen, open_folder):
    product = office.product("--time", "10m")
    # A short path: a long one is broken over two lines.
    file = open_folder / "cards.csv"

    async def story():
        async with screen() as seen:
            await seen.press("2", "a")
            assert "Block" not in seen.text()  # There is no batch yet.
            await seen.press("g")
            await seen.fill(product=product, count="3")
            await seen.press("enter")
            await seen.sees("3 cards of")
            await seen.press("escape", "o")
            await seen.fill(format="csv", output=str(file))
            await seen.pilot.click("#done")
            await seen.sees(file.name)
            await seen.press("escape", "o")
            await seen.fill(format="csv", output=str(file))
            await seen.pilot.click("#done")
            await seen.sees("exists already and is kept")

    run(story)
    assert len(file.read_text().splitlines()) == 4


def test_the_note_of_a_card(office, screen):
    (card,) = office.stock(1, "--time", "10m")

    async def story():
        async with screen() as seen:
            await seen.press("e")
            await seen.fill(note="Sr. João")
            await seen.press("enter")
            await seen.sees("was changed")
            await seen.press("escape")
            await seen.sees("Sr. João")
            await seen.press("e")
            await seen.fill(note="")
            await seen.press("enter")

    run(story)
    assert office.show(card)["note"] is None


def test_what_is_refused_is_a_sentence_and_changes_nothing(office, screen):
    (card,) = office.sell(1, "--time", "10m")

    async def story():
        async with screen() as seen:
            await seen.press("x")
            await seen.fill(reason="Misprinted")
            await seen.press("enter")
            await seen.sees("is delivered, but must be created")

    run(story)
    assert office.show(card)["status"] == "delivered"


def test_an_operator_does_what_the_roles_allow(office, screen, tmp_path):
    (card,) = office.sell(1, "--time", "10m")
    name = "clerk-who-sees"
    path = tmp_path / "prepaid.cnf"
    path.write_text("\n".join(office.json("operator", "add", name, "--role", "see")["option_file"]) + "\n")
    clerk = Office(path)

    async def story():
        async with screen(who=clerk) as seen:
            await seen.sees(card.serial)
            await seen.press("b")
            await answer(seen, reason="Reported stolen")
            await seen.sees(f"the account {name} lacks the role 'block'")

    try:
        run(story)
    finally:
        office.must("operator", "remove", name)
    assert office.show(card)["status"] == "delivered"


def test_in_portuguese(office, screen):
    (card,) = office.sell(1, "--time", "10m")

    async def story():
        async with screen(language="pt_BR") as seen:
            await seen.sees("Cartões", "Lotes", "Notas", "Parceiros", "Sessões", "Entregue", "Filtros", "Sair")
            await seen.press("f")
            await seen.sees("Quais cartões?", "Status", "Parceiro", "Mostrar", "Cancelar")
            await seen.press("escape", "enter")
            await seen.sees("Ações")
            await seen.press("a")
            await seen.sees(f"Cartão {card.serial}", "b Bloquear", "d Entregar a um parceiro")
            await seen.press("escape")
            await seen.sees(card.serial, "Histórico", "Detalhes", "Gerado", "Voltar")

    run(story)


def test_on_a_real_terminal(office):
    """The installed command, on a terminal of 80 columns and 24 lines; q ends it."""
    (card,) = office.sell(1, "--time", "10m")
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    command = [str(PREPAID), "--config", str(office.option_file), "--lang", "pt_BR", "browse"]
    environment = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as running:
        os.close(its)
        shown = b""
        while b"Sair" not in shown or card.serial.encode() not in shown:
            assert select.select([ours], [], [], PATIENCE_SECONDS)[0], shown
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        until = time.monotonic() + PATIENCE_SECONDS
        while running.poll() is None and time.monotonic() < until:
            # The program waits until its last output is read.
            if select.select([ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    os.read(ours, 65536)
        if running.poll() is None:
            running.kill()
    os.close(ours)
    assert running.returncode == 0


def test_without_a_terminal_it_says_what_to_use_instead(office):
    result = office.run("browse")
    assert result.exit_status == 2 and "prepaid list" in result.stderr
