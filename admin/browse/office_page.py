"""A page of the screen that reads the office's database, and acts with the operator's own rights."""

from collections.abc import Callable
from typing import ClassVar, TypeVar, cast

import pymysql
from textual.app import App
from textual.binding import Binding, BindingType

from freeradius_module.sentence import Sentence

from .. import store
from ..export.formats import FORMATS
from ..shell import errors, output
from ..shell.office import Office
from ..shell.text import _
from ..store.rows import Cursor
from . import acts
from .widgets import Confirm, Field, Form, Menu, Page, Tell, key

Answer = TypeVar("Answer")


class OfficeApp(App[None]):
    """An application on the office's database."""

    def __init__(self, office: Office):
        super().__init__()
        self.office = office

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
    def browser(self) -> OfficeApp:
        return cast(OfficeApp, self.app)

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
        names = self.browser.ask(names_of_choice)
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


def names_of_choice(cursor: Cursor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of all products and partners."""
    products = store.product.listed(cursor, retired_too=True)
    partners = store.partner.listed(cursor, retired_too=True)
    return tuple(row["name"] for row in products), tuple(row["name"] for row in partners)
