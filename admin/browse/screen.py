"""The screen of `prepaid browse`: cards, batches, notes, partners and open sessions, each on a tab; and one card by itself.

Every page reads in a short transaction of its own, so an operator who leaves the screen open for a day delays nobody.
"""

import itertools
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar, cast

import pymysql
from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from freeradius_module.sentence import Sentence

from .. import batch, cards, store, track
from ..export.formats import FORMATS
from ..shell import errors, output, selection
from ..shell.find import find_batch
from ..shell.office import Office
from ..shell.text import _, in_context
from ..store.rows import Cursor, Row
from . import acts, query
from .widgets import Confirm, Field, Form, Menu, Page, Table, Tell, facts, key

Answer = TypeVar("Answer")

# In this order, so that 80 columns show the most important ones; further columns are reached with the arrow keys.
CARD_COLUMNS = (
    "serial",
    "status",
    "product",
    "partner",
    "remaining",
    "expires_at",
    "batch",
    "note",
    "device",
    "first_login_at",
)
REMAINING = ("remaining_seconds", "remaining_octets", "remaining_down_octets", "remaining_up_octets", "remaining_cents")
# Of a date in either language.
DAY_LENGTH = 10
SESSION_COLUMNS = ("login_at", "nas", "device", "used_seconds", "used_octets", "ended_at", "end_cause", "due_cause")
EVENT_COLUMNS = ("at", "what", "reason", "operator", "count")
PRICE_COLUMNS = ("product", "count", "price_cents", "commission_basis_points")
# A tab shows so many rows; the newest batches and notes come first.
MOST_ROWS = 1000


class Listing(NamedTuple):
    """A tab with a list."""

    title: Sentence
    columns: tuple[str, ...]
    read: Callable[[Cursor], list[Row]]


def _open_sessions(cursor: Cursor) -> list[Row]:
    store.session.open_sessions(cursor, {"limit": MOST_ROWS})
    return list(cursor.fetchall())


LISTINGS = {
    "batches": Listing(
        Sentence("Batches"),
        ("batch", "product", "count", "first_serial", "last_serial", "made_at", "operator"),
        store.batch.listed,
    ),
    "notes": Listing(
        Sentence("Notes"),
        ("note", "kind", "partner", "count", "made_at", "first_serial", "last_serial", "operator", "reason"),
        store.note.listed,
    ),
    "partners": Listing(
        Sentence("Partners"),
        ("name", "commission_basis_points", "contact", "document", "retired_at"),
        lambda cursor: store.partner.listed(cursor, retired_too=True),
    ),
    "sessions": Listing(
        Sentence("Sessions"),
        ("serial", "nas", "started_at", "used_seconds", "used_octets", "device", "due_at", "due_cause"),
        _open_sessions,
    ),
}


class BrowseApp(App[None]):
    """`prepaid browse`."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", show=False, priority=True)]
    CSS = """
    #search { height: 1; }
    #filtered { height: 1; color: $text-muted; }
    #heading { height: 1; text-style: bold; }
    TabbedContent, Table { height: 1fr; }
    TabPane { padding: 0; }
    ModalScreen { align: center middle; }
    .dialog {
        width: 72; max-width: 100%; height: auto; max-height: 100%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    .dialog .body { height: auto; max-height: 14; }
    .error { border: round $error; }
    .field { height: 1; }
    .field Label { width: 20; }
    .field Input, .field Select { width: 1fr; }
    .buttons { height: 3; align-horizontal: right; }
    #missing { height: 1; color: $text-error; }
    #choices { height: auto; max-height: 14; }
    """

    def __init__(self, office: Office):
        super().__init__()
        self.office = office

    def on_mount(self) -> None:
        self.theme = "textual-dark"
        self.push_screen(Browse())

    def ask(self, question: Callable[[Cursor], Answer]) -> Answer | None:
        """Read in one snapshot; None if that is refused, and the reader has a sentence that says why."""

        def read() -> Answer:
            with self.office.reading() as cursor:
                return question(cursor)

        return self.attempt(read)

    def attempt(self, work: Callable[[], Answer]) -> Answer | None:
        try:
            return work()
        except errors.OfficeError as error:
            sentence = str(error)
        except pymysql.MySQLError as error:
            user = self.office.settings(self.office.group).get("user", "")
            sentence = str(errors.of_database(error, self.office.config_path, command="browse", user=user))
        # The next question opens another connection, in case this one is lost.
        self.office.close()
        self.push_screen(Tell(_("Error: {message}").format(message=sentence), is_error=True))
        return None


class OfOffice(Page):
    """A page that reads the database, and on which an operator can act."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("a", "acts", Sentence("Actions")),
        *(Binding(act.key, f"act('{name}')", show=False) for name, act in acts.ACTS.items()),
    ]

    @property
    def browser(self) -> BrowseApp:
        return cast(BrowseApp, self.app)

    @property
    def target(self) -> acts.Target | None:
        """What an act would be about now."""
        return None

    def action_reload(self) -> None:
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action not in ("acts", "act"):
            return True
        target = self.target if self.is_mounted else None
        if target is None or action == "acts":
            return target is not None
        return parameters[0] in acts.possible(target)

    def action_acts(self) -> None:
        target = self.target
        if target is None:
            return

        def chosen(name: str | None) -> None:
            if name is not None:
                self.action_act(name)

        possible = acts.possible(target)
        titles = {name: _(act.title.template) for name, act in possible.items()}
        self.app.push_screen(Menu(target.words, titles, {name: act.key for name, act in possible.items()}), chosen)

    def action_act(self, name: str) -> None:
        """Ask what the act needs, show what it would do, and do it."""
        target = self.target
        names = self.browser.ask(_names)
        if target is None or names is None:
            return
        act = acts.ACTS[name]
        title = _(act.title.template)
        suggestions = {"product": names[0], "partner": names[1]}
        choices = {"format": tuple((word, word) for word in FORMATS)}
        known = {"partner": target.partner if name == "return" else "", "note": target.note}
        fields = [
            Field(
                asked,
                label(asked),
                known.get(asked, ""),
                choices.get(asked, ()),
                suggestions.get(asked, ()),
                is_required=asked in act.requires,
            )
            for asked in act.asks
        ]

        def filled(values: dict[str, str] | None) -> None:
            if values is None:
                return
            line = acts.arguments(name, target, values)
            if not act.is_confirmed:
                self._carry_out(line)
                return
            would = acts.run(self.browser.office, line, dry_run=True)
            if not would.is_done:
                self.app.push_screen(Tell(would.sentence, is_error=True))
                return
            question = Confirm(f"{target.words}\n\n{would.sentence}", title)
            self.app.push_screen(question, lambda is_sure: self._carry_out(line) if is_sure else None)

        heading = title if name == "generate" else f"{title}: {target.words}"
        self.app.push_screen(Form(heading, fields, title), filled)

    def _carry_out(self, line: list[str]) -> None:
        outcome = acts.run(self.browser.office, line)
        self.action_reload()
        self.app.push_screen(Tell(outcome.sentence, is_error=not outcome.is_done))


def _target_of_card(row: Row) -> acts.Target:
    words = _("Card {serial}").format(serial=row["serial"])
    return acts.Target(words, serial=row["serial"], partner=row.get("partner") or "", note=row.get("note") or "")


def _target_of_batch(number: int) -> acts.Target:
    return acts.Target(_("Batch {batch}").format(batch=number), batch=number)


class Browse(OfOffice):
    """The lists."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("slash", "search", Sentence("Search")),
        key("f", "filters", Sentence("Filters")),
        key("n", "next", Sentence("Next page")),
        key("p", "previous", Sentence("Previous page")),
        key("c", "cards_of", Sentence("Cards")),
        key("f5", "reload", Sentence("Reload"), show=False),
        key("q", "quit", Sentence("Quit")),
        *(Binding(str(number), f"tab('{name}')", show=False) for number, name in enumerate(("cards", *LISTINGS), 1)),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.filters: dict[str, str] = {}
        # The last card of each page before this one; None is the beginning.
        self.before: list[Row | None] = [None]
        self.is_last = True

    def compose(self) -> ComposeResult:
        with TabbedContent(id="tabs"):
            with TabPane("1 " + _("Cards"), id="cards"):
                yield Input(placeholder=_("Serial, or its beginning"), id="search", compact=True)
                yield Static("", id="filtered")
                yield Table("table-cards")
            for number, (name, listing) in enumerate(LISTINGS.items(), 2):
                with TabPane(f"{number} {_(listing.title.template)}", id=name):
                    yield Table(f"table-{name}")
        yield Footer(show_command_palette=False)

    @property
    def tab(self) -> str:
        return self.query_one("#tabs", TabbedContent).active

    @property
    def table(self) -> Table:
        return self.query_one(f"#table-{self.tab}", Table)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only the keys that do something here are shown."""
        if not self.is_mounted:
            return True
        if action in ("acts", "act"):
            return super().check_action(action, parameters)
        if action in ("search", "filters"):
            return self.tab == "cards"
        if action == "next":
            return self.tab == "cards" and not self.is_last
        if action == "previous":
            return self.tab == "cards" and len(self.before) > 1
        if action == "cards_of":
            return self.tab in ("batches", "partners")
        return True

    @property
    def target(self) -> acts.Target | None:
        row = self.table.record
        if row is None:
            # Where no batch is yet, one can be generated.
            return acts.Target(_("Batches"), batch=acts.NO_BATCH) if self.tab == "batches" else None
        if self.tab == "cards":
            return _target_of_card(row)
        return _target_of_batch(row["batch"]) if self.tab == "batches" else None

    # --- Reading -----------------------------------------------------------------------------------------

    @on(TabbedContent.TabActivated)
    def tab_shown(self) -> None:
        self.action_reload()
        self.table.focus()

    def action_reload(self) -> None:
        """Read the rows of this tab again, and keep the cursor where it is."""
        table = self.table
        at = table.cursor_row
        if self.tab == "cards":
            self.read_cards()
        else:
            listing = LISTINGS[self.tab]
            rows = self.browser.ask(listing.read)
            table.show(itertools.islice(rows or [], MOST_ROWS), listing.columns)
        if table.records:
            table.move_cursor(row=min(at, len(table.records) - 1))
        self.refresh_bindings()

    def read_cards(self) -> None:
        after = self.before[-1]
        page = self.browser.ask(lambda cursor: query.page(cursor, self.filters, after))
        if page is None:
            page = query.Page([], True)
        self.is_last = page.is_last
        self.query_one("#table-cards", Table).show(map(_in_list, page.rows), CARD_COLUMNS)
        self.query_one("#filtered", Static).update(self._words_of_page(len(page.rows)))
        self.refresh_bindings()

    def _words_of_page(self, count: int) -> Text:
        begin = (len(self.before) - 1) * query.PAGE
        where = (
            _("Cards {first} to {last}").format(first=begin + 1, last=begin + count)
            if count
            else _("Nothing was found.")
        )
        chosen = "; ".join(
            f"{label(name)}: {output.formatted(name, value)}" for name, value in self.filters.items() if value
        )
        return Text(f"{where}   {chosen}", no_wrap=True, overflow="ellipsis")

    def _choose(self, filters: dict[str, str]) -> None:
        """Show the first page of the cards that pass these filters."""
        self.filters = {name: value for name, value in filters.items() if value}
        self.before = [None]
        self.query_one("#search", Input).value = self.filters.get("serial", "")
        if self.tab != "cards":
            self.query_one("#tabs", TabbedContent).active = "cards"
        else:
            self.action_reload()
            self.table.focus()

    # --- Keys --------------------------------------------------------------------------------------------

    def action_tab(self, name: str) -> None:
        self.query_one("#tabs", TabbedContent).active = name

    def action_search(self) -> None:
        self.query_one("#search", Input).focus()

    @on(Input.Submitted, "#search")
    def search(self, event: Input.Submitted) -> None:
        self._choose({**self.filters, "serial": event.value.strip()})

    def action_next(self) -> None:
        self.before.append(self.table.records[-1])
        self.read_cards()

    def action_previous(self) -> None:
        self.before.pop()
        self.read_cards()

    def action_filters(self) -> None:
        names = self.browser.ask(_names)
        if names is None:
            return
        products, partners = names
        suggestions = {"product": products, "partner": partners}
        statuses = tuple((word, in_context("word", word)) for word in store.card.LISTED_STATUSES)
        fields = [
            Field(
                name,
                label(name),
                self.filters.get(name, ""),
                statuses if name == "status" else (),
                suggestions.get(name, ()),
            )
            for name in query.FILTERS
        ]

        def chosen(values: dict[str, str] | None) -> None:
            if values is not None:
                self._choose(values)

        self.app.push_screen(Form(_("Which cards?"), fields, _("Show"), can_clear=True), chosen)

    def action_cards_of(self) -> None:
        """The cards of the batch or of the partner under the cursor."""
        row = self.table.record
        if row is not None:
            self._choose({"batch": str(row["batch"])} if self.tab == "batches" else {"partner": row["name"]})

    @on(DataTable.RowSelected)
    def open_row(self) -> None:
        row = self.table.record
        if row is None:
            return
        if "serial" in row:
            self.app.push_screen(OneCard(row["serial"]), lambda _done: self.action_reload())
        elif self.tab == "batches":
            self.app.push_screen(OneBatch(row["batch"]))
        elif self.tab == "notes":
            self.app.push_screen(OneNote(row["note"]))
        elif self.tab == "partners":
            self.app.push_screen(Tell(facts({name: value for name, value in row.items() if name != "id"}).plain))

    def action_quit(self) -> None:
        self.app.exit()


def _in_list(row: Row) -> Row:
    """A card in the list: all that is left of it in one column, and the day of its end without the time."""
    left = [output.formatted(name, row[name]) for name in REMAINING if row[name] is not None]
    return {
        **row,
        "remaining": " + ".join(left) or None,
        "expires_at": output.formatted("expires_at", row["expires_at"])[:DAY_LENGTH] or None,
    }


def label(name: str) -> str:
    """The name of a filter, or of what an act asks."""
    match name:
        case "made_from":
            return _("Made from day")
        case "made_to":
            return _("Made to day")
        case "format":
            return _("Format")
        case "output":
            return _("File")
        case _other:
            return output.title(name).capitalize()


def _names(cursor: Cursor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of all products and partners."""
    products = store.product.listed(cursor, retired_too=True)
    partners = store.partner.listed(cursor, retired_too=True)
    return tuple(row["name"] for row in products), tuple(row["name"] for row in partners)


# --- One record ------------------------------------------------------------------------------------------


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
        return _target_of_card(self.row) if self.row else None

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
        return _target_of_batch(self.number)

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
