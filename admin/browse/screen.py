"""The screen of `prepaid browse`: cards, batches, notes, partners and open sessions, each on a tab; and one card by itself.

Every page reads in a short transaction of its own, so an operator who leaves the screen open for a day delays nobody.
"""

import itertools
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from freeradius_module.sentence import Sentence

from .. import store
from ..shell import output
from ..shell.text import _, in_context
from ..store.rows import Cursor, Row
from . import acts, query
from .acts import target_of_batch, target_of_card
from .office_page import OfficeApp, OfOffice, label, names_of_choice
from .record import OneBatch, OneCard, OneNote
from .widgets import Field, Form, Table, Tell, facts, key

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


class BrowseApp(OfficeApp):
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

    def on_mount(self) -> None:
        self.theme = "textual-dark"
        self.push_screen(Browse())


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
            return target_of_card(row)
        return target_of_batch(row["batch"]) if self.tab == "batches" else None

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
        names = self.browser.ask(names_of_choice)
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


# --- One record ------------------------------------------------------------------------------------------
