"""The parts of the screen: a page with its keys in the reader's language, a table of rows, and dialogs.

A value in a table or a sentence may be text that a stranger chose.  It is shown as Text, never as markup, and after
`printable`: see shell/output.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.suggester import SuggestFromList
from textual.widgets import Button, DataTable, Input, Label, OptionList, Select, Static
from textual.widgets.option_list import Option

from freeradius_module.printable import printable
from freeradius_module.sentence import Sentence

from ..shell import output
from ..shell.text import _
from ..store.rows import Row

LONGEST_NAME = 14
# A device is mostly a MAC address, which is never cut.
MAC_LENGTH = 17
# Columns with texts of any length.
NAMES = ("product", "partner", "note", "reason", "nas", "device", "acct_session_id", "source", "operator", "contact")


class Page(Screen[None]):
    """A full screen.  The last line shows its keys, translated when they are shown."""

    @property
    def active_bindings(self) -> dict[str, Any]:
        return {
            key: active._replace(binding=replace(active.binding, description=_(active.binding.description)))
            if active.binding.description
            else active
            for key, active in super().active_bindings.items()
        }


def key(keys: str, action: str, sentence: Sentence, show: bool = True) -> Binding:
    """A key and what it does; a Sentence, so that tools.messages finds it."""
    return Binding(keys, action, sentence.template, show=show)


class Table(DataTable[Text]):
    """Rows of the database, formatted as every command prints them."""

    BINDINGS: ClassVar[list[BindingType]] = [key("enter", "select_cursor", Sentence("Open"))]

    def __init__(self, id: str):
        super().__init__(id=id, cursor_type="row", zebra_stripes=True, cell_padding=0)
        self.records: list[Row] = []

    def show(self, rows: Iterable[Row], columns: Iterable[str]) -> None:
        """Replace all rows.  A column without any value is left out."""
        self.records = list(rows)
        names = [name for name in columns if not self.records or any(row.get(name) is not None for row in self.records)]
        lines = [[cell(name, row.get(name)) for name in names] for row in self.records]
        heads = [Text(output.title(name), no_wrap=True) for name in names]
        widths = [1 + max(text.cell_len for text in column) for column in zip(heads, *lines, strict=True)]
        self.clear(columns=True)
        for name, head in zip(names, heads, strict=True):
            self.add_column(_spaced(head), key=name)
        for line in lines:
            if sum(widths) > self.app.size.width:
                _cut(names, line)
            self.add_row(*map(_spaced, line))

    @property
    def record(self) -> Row | None:
        """The row under the cursor."""
        return self.records[self.cursor_row] if 0 <= self.cursor_row < len(self.records) else None


def cell(name: str, value: Any) -> Text:
    return Text(output.formatted(name, value), no_wrap=True)


def _cut(names: Iterable[str], line: Iterable[Text]) -> None:
    """Shorten long names in a row of a table that is too wide.  A serial, a date and an amount are never cut."""
    for name, text in zip(names, line, strict=True):
        if name in NAMES:
            text.truncate(MAC_LENGTH if name == "device" else LONGEST_NAME, overflow="ellipsis")


def _spaced(text: Text) -> Text:
    """With one space to the next column; the table's own padding is two, and 80 columns are few."""
    return text.append(" ")


def facts(row: Mapping[str, Any]) -> Text:
    """One record: a line for each value that it has."""
    known = {name: value for name, value in row.items() if value is not None and not isinstance(value, list | dict)}
    width = max((len(output.title(name)) for name in known), default=0)
    lines = (
        Text.assemble((f"{output.title(name):{width}}  ", "bold"), output.formatted(name, value))
        for name, value in known.items()
    )
    return Text("\n").join(lines)


# --- Dialogs ---------------------------------------------------------------------------------------------


class Tell(ModalScreen[None]):
    """A sentence, until the reader has read it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss")]

    def __init__(self, sentence: str, is_error: bool = False):
        super().__init__()
        self.sentence = printable(sentence, keep="\n")
        self.is_error = is_error

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog error" if self.is_error else "dialog"):
            with VerticalScroll(classes="body"):
                yield Static(Text(self.sentence), id="sentence")
            yield Button(_("Close"), id="close")

    def on_button_pressed(self) -> None:
        self.dismiss()


class Confirm(ModalScreen[bool]):
    """A question; yes or no.  No is what Enter means, because the answer changes cards."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no")]

    def __init__(self, question: str, yes: str):
        super().__init__()
        self.question = printable(question, keep="\n")
        self.yes = yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Text(self.question), id="sentence")
            with Horizontal(classes="buttons"):
                yield Button(_("Cancel"), id="no")
                yield Button(self.yes, id="yes", variant="warning")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_no(self) -> None:
        self.dismiss(False)


class Field(NamedTuple):
    """A line of a form.  With *choices* (value and word) it is a list to choose from, otherwise a text."""

    name: str
    label: str
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()
    is_required: bool = False


class Form(ModalScreen[dict[str, str] | None]):
    """Some values to fill in; None if the operator changed his mind."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel")]

    def __init__(self, title: str, fields: Iterable[Field], done: str, can_clear: bool = False):
        super().__init__()
        self.heading = printable(title)
        self.fields = list(fields)
        self.done = done
        self.can_clear = can_clear

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self.heading, style="bold"))
            with VerticalScroll(classes="body", can_focus=False):
                for field in self.fields:
                    with Horizontal(classes="field"):
                        yield Label(Text(field.label))
                        yield self._widget(field)
            yield Static("", id="missing")
            with Horizontal(classes="buttons"):
                yield Button(_("Cancel"), id="cancel")
                if self.can_clear:
                    yield Button(_("Clear"), id="clear")
                yield Button(self.done, id="done", variant="primary")

    def _widget(self, field: Field) -> Input | Select[str]:
        if field.choices:
            return Select(
                [(word, value) for value, word in field.choices],
                value=field.value or Select.NULL,
                prompt=_("all"),
                id=field.name,
                compact=True,
            )
        suggester = SuggestFromList(field.suggestions, case_sensitive=False) if field.suggestions else None
        return Input(field.value, id=field.name, suggester=suggester, compact=True)

    @on(Input.Submitted)
    @on(Button.Pressed, "#done")
    def finish(self) -> None:
        values = {field.name: self._value(field) for field in self.fields}
        for field in self.fields:
            if field.is_required and not values[field.name]:
                self.query_one("#missing", Static).update(Text(_("Please fill in: {name}").format(name=field.label)))
                self.query_one(f"#{field.name}").focus()
                return
        self.dismiss(values)

    def _value(self, field: Field) -> str:
        widget = self.query_one(f"#{field.name}")
        if isinstance(widget, Input):
            return widget.value.strip()
        chosen = widget.value if isinstance(widget, Select) else ""
        return chosen if isinstance(chosen, str) else ""

    @on(Button.Pressed, "#clear")
    def clear_all(self) -> None:
        self.dismiss({field.name: "" for field in self.fields})

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)


class Menu(ModalScreen[str | None]):
    """Some acts to choose from, by arrows, by the mouse, or by the key of each."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel")]

    def __init__(self, title: str, choices: Mapping[str, str], keys: Mapping[str, str]):
        super().__init__()
        self.heading = printable(title)
        self.choices = choices
        # The names of the choices by their keys.
        self.names = {keys[name]: name for name in choices}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self.heading, style="bold"))
            options = [Option(Text(f"{key}  {self.choices[name]}"), id=name) for key, name in self.names.items()]
            yield OptionList(*options, id="choices")

    def on_key(self, event: Key) -> None:
        if event.character in self.names:
            event.stop()
            self.dismiss(self.names[event.character])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)

    def action_cancel(self) -> None:
        self.dismiss(None)
