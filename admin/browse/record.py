"""One record of the screen: a card with its history and sessions, a batch, a note."""

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Static, TabbedContent, TabPane

from freeradius_module.sentence import Sentence

from .. import batch, cards, store, track
from ..shell import errors, output, selection
from ..shell.find import find_batch
from ..shell.text import _
from ..store.rows import Cursor, Row
from . import acts
from .acts import target_of_batch, target_of_card
from .office_page import OfOffice
from .widgets import Table, Tell, facts, key


class OneRecord(OfOffice):
    """A page about one thing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape", "back", Sentence("Back")),
        key("f5", "reload", Sentence("Reload")),
    ]

    def on_mount(self) -> None:
        self.action_reload()

    def action_back(self) -> None:
        self.dismiss()

    @on(DataTable.RowSelected)
    def open_event(self, event: DataTable.RowSelected) -> None:
        """All that belongs to an event, a session or a price."""
        row = event.data_table.record if isinstance(event.data_table, Table) else None
        if row is not None:
            self.app.push_screen(Tell(facts(row).plain))


class OneCard(OneRecord):
    """A card: what happened to it, its sessions, all that is known about it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(str(number), f"tab('{name}')", show=False)
        for number, name in enumerate(("story", "its-sessions", "facts"), 1)
    ]

    def __init__(self, serial: str):
        super().__init__()
        self.serial = serial
        self.row: Row | None = None

    @property
    def target(self) -> acts.Target | None:
        return target_of_card(self.row) if self.row else None

    def compose(self) -> ComposeResult:
        yield Static("", id="heading")
        with TabbedContent(id="card-tabs"):
            with TabPane("1 " + _("History"), id="story"):
                yield Table("events")
            with TabPane("2 " + _("Sessions"), id="its-sessions"):
                yield Table("card-sessions")
            with TabPane("3 " + _("Details"), id="facts"), VerticalScroll():
                yield Static("", id="record")
        yield Footer(show_command_palette=False)

    def action_tab(self, name: str) -> None:
        self.query_one("#card-tabs", TabbedContent).active = name

    def action_reload(self) -> None:
        events = self.browser.attempt(lambda: track.history(self.browser.office, self.serial))
        row = self.browser.ask(self._read)
        if events is None or row is None:
            return
        self.row = row
        self.query_one("#events", Table).show(events, track.COLUMNS)
        sessions = [
            {"login_at": event["at"], "used_seconds": event["seconds"], "used_octets": event["octets"], **event}
            for event in events
            if event["what"] == "session"
        ]
        self.query_one("#card-sessions", Table).show(sessions, SESSION_COLUMNS)
        self.query_one("#record", Static).update(facts(row))
        heading = [output.formatted(name, row.get(name)) for name in ("serial", "status", "product", "partner")]
        self.refresh_bindings()
        self.query_one("#heading", Static).update(
            Text("   ".join(part for part in heading if part), overflow="ellipsis")
        )

    def _read(self, cursor: Cursor) -> Row:
        card = selection.find(cursor, self.serial)
        row = store.card.overview(cursor, card["serial"])
        return cards.public(row) if row else {"serial": card["serial"], "status": card["status"]}


class OneBatch(OneRecord):
    """A batch: its cards by status, and its history."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    @property
    def target(self) -> acts.Target | None:
        return target_of_batch(self.number)

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static("", id="record")
        yield Table("events")
        yield Footer(show_command_palette=False)

    def action_reload(self) -> None:
        answer = self.browser.ask(self._read)
        if answer is not None:
            self.query_one("#record", Static).update(facts(answer[0]))
            self.query_one("#events", Table).show(answer[1], EVENT_COLUMNS)

    def _read(self, cursor: Cursor) -> tuple[Row, list[Row]]:
        row = find_batch(cursor, self.number)
        by_status = store.batch.count_by_status(cursor, self.number)
        return {**batch.shown(row), **by_status}, store.batch.events(cursor, self.number)


class OneNote(OneRecord):
    """A note, with the prices of its day."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static("", id="record")
        yield Table("prices")
        yield Footer(show_command_palette=False)

    def action_reload(self) -> None:
        answer = self.browser.ask(self._read)
        if answer is not None:
            self.query_one("#record", Static).update(facts(answer[0]))
            self.query_one("#prices", Table).show(answer[1], PRICE_COLUMNS)

    def _read(self, cursor: Cursor) -> tuple[Row, list[Row]]:
        row = store.note.find(cursor, self.number)
        if row is None:
            raise errors.UnknownNote(note=self.number)
        return row, store.note.prices(cursor, self.number)


SESSION_COLUMNS = ("login_at", "nas", "device", "used_seconds", "used_octets", "ended_at", "end_cause", "due_cause")
EVENT_COLUMNS = ("at", "what", "reason", "operator", "count")


PRICE_COLUMNS = ("product", "count", "price_cents", "commission_basis_points")
