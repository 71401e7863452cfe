"""Collects every message of the commands, and updates the catalogues of translations.

    python -m tools.messages        updates admin/locale/*/LC_MESSAGES/prepaid.po; `make messages` does the same

New messages are added without a translation; messages that are no longer used are removed.  `make` compiles the
catalogues.  Help texts, the docstrings of errors and click's own words are collected from the objects themselves, so
they need no mark in the source.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from babel.messages import Catalog, Message, extract, pofile

import admin
import freeradius_module
from admin import cards, nas, nat, sessions, store, track
from admin.books import reconcile
from admin.cli import cli
from admin.doctor import command as doctor
from admin.export import fields as export_fields
from admin.report import data as report_data
from admin.report import files as report_files
from admin.shell import errors, output, text
from admin.shell.command import Command, Group, Option
from freeradius_module.rules import hours
from freeradius_module.rules.refusals import REFUSALS
from freeradius_module.rules.usage import CREDIT_COLUMNS

# The functions whose arguments are messages, as Babel describes them.
KEYWORDS = {"_": None, "Sentence": None, "plural": (1, 2), "in_context": ((1, "c"), 2)}
CLICK_KEYWORDS = {"_": None, "ngettext": (1, 2)}

# Values of columns that tables and sentences show as words: ENUMs of the schema, and words that the commands make.
WORDS = (
    *"""
    created delivered in_use exhausted expired blocked redeemed deleted
    generated imported exported pins_read received returned activated reopened unblocked credited transferred extended unbound
    block_added block_lifted pin_read login session refused
    internet telephony delivery return void opening sales payment reversal closing
    given taken active waiting retired disconnect disconnected slow_down ok look fault
    """.split(),
    *REFUSALS,
    *hours.DAYS,
    # What limits or ends a session, and what became of a request to a NAS.
    *"""
    time money traffic validity hours longest replaced too_many granted revived unknown fup superseded stale not_begun gone
    nas_reboot sent ack nak no_answer not_sent
    """.split(),
)
# The checks of `doctor` and `reconcile`.
CHECKS = (
    *(check.name for check in doctor.CHECKS),
    *"option_file event_scheduler secure_timestamp archive audit card configuration enforce freeradius pins raddb".split(),
    *reconcile.OF_CARDS,
    *reconcile.OF_PAPERS,
)
# Columns of tables and lines of `show`, beside those that the commands name themselves.
COLUMNS = (
    *cards.LISTED,
    *export_fields.NAMES,
    *map(report_files.plain_name, (*report_data.SALES, *report_data.SETTLEMENT, *report_data.STATEMENT)),
    *nas.COLUMNS,
    *nat.COLUMNS,
    *sessions.NAT_COLUMNS,
    *store.product.COLUMNS,
    *track.COLUMNS,
    *(f"{prefix}_{kind}" for prefix in ("added", "credit", "remaining") for kind in CREDIT_COLUMNS),
    *"""
    format fields sealed sha256
    accepted account acct_session_id action amount_cents attempts
    binds_device blocked blocks cards chain_row check checks closes commission_cents contact count created credit_limit_cents
    database day month
    delegated_prefix delivered delivery_note detail document down_octets due_at due_cause end_cause ended_at
    ends_at error_cause exhausted expired fault faults fingerprint first_serial first_used framed_ipv4
    framed_ipv6 from_status fup_left_octets hash heard_at in_stock in_use is_due is_off is_stale key last_at
    last_serial limited_by locked_out login_at login_number made_at may message number open open_sessions origin other_card
    outcome owed_cents paid_on payment pin program recorded_at redeemed remaining replaces reply retired_at returned reversed_by
    reverses
    role roles row rows seals sentence session_down_octets session_octets session_seconds session_up_octets
    sessions single_code slowed_down sold_cents source started_at state to_status total tried_at up_octets
    is_charger_running lag_seconds oldest_at quarantined queue received_at waiting waiting_octets
    used_cents used_down_octets used_octets used_seconds used_up_octets volume_limited_by what_to_do
    """.split(),
)
# Messages of click that are never shown, because our options replace its own.
UNUSED = {"", " ", "(dynamic)", "%(prog)s, version %(version)s"}
# A message of click that its source does not mark with a literal: the word in [required].
UNMARKED = ("required",)
# A fixed date instead of that of the run, so that two runs make the same file.
NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    for language in text.LANGUAGES[1:]:
        path = text.FOLDER / language / "LC_MESSAGES" / f"{text.DOMAIN}.po"
        catalog = read(path, language)
        catalog.update(template(), no_fuzzy_matching=True)
        catalog.obsolete.clear()
        catalog.fuzzy = False
        catalog.creation_date = catalog.revision_date = NO_DATE
        with open(path, "wb") as file:
            pofile.write_po(file, catalog, width=110, sort_output=True, no_location=True)
        missing = sum(1 for message in catalog if message.id and not is_translated(message))
        print(f"{path}: {len(catalog)} messages, {missing} without a translation", file=sys.stderr)


def read(path: Path, language: str) -> Catalog:
    if not path.exists():
        return Catalog(locale=language, project="prepaid-cards", charset="utf-8", header_comment="# What prepaid says.")
    with open(path, encoding="utf-8") as file:
        return pofile.read_po(file, locale=language)


def template() -> Catalog:
    """All messages, each once, in English."""
    catalog = Catalog(project="prepaid-cards", charset="utf-8")
    for message, context in collected():
        if message not in UNUSED:
            catalog.add(message, context=context)
    return catalog


# A message is a text, or a pair of texts for one and for many; its context may be None.
Found = tuple[str | tuple[str, ...], str | None]


def collected() -> Iterator[Found]:
    """All messages, each with its context."""
    for package, keywords in ((admin, KEYWORDS), (freeradius_module, KEYWORDS), (click, CLICK_KEYWORDS)):
        for folder in package.__path__:
            yield from _marked(Path(folder), keywords)
    for word in UNMARKED:
        yield word, None
    for kind in _kinds_of(errors.OfficeError):
        yield kind.english_template(), None
    sentences_of_refusals = [reason.sentence for reason in REFUSALS.values()]
    for sentence in (*errors.RULES.values(), *sentences_of_refusals, *store.roles.ROLES.values()):
        yield sentence, None
    for sentence in _help_of(cli):
        yield sentence, None
    for heading in cli.sections:
        yield heading, None
    for word in WORDS:
        yield word, "word"
    for check in CHECKS:
        yield check, "check"
    for role in store.roles.ROLES:
        yield role, "role"
    for column in COLUMNS:
        yield output.untranslated_title(column), "column"


def is_translated(message: Message) -> bool:
    return all(message.string) if isinstance(message.string, tuple) else bool(message.string)


def _marked(folder: Path, keywords: Mapping[str, Any]) -> Iterator[Found]:
    """The arguments of _() and the other functions in the Python files of a folder."""
    for path in sorted(folder.rglob("*.py")):
        with open(path, "rb") as file:
            for _line, message, _comments, context in extract.extract("python", file, keywords=keywords):
                # Babel gives None or an empty text for an argument that is not a literal.  Messages with a context are
                # values and columns, which are listed above.
                if message and not context and (isinstance(message, str) or all(message)):
                    yield message, context


def _kinds_of(kind: type[errors.OfficeError]) -> Iterator[type[errors.OfficeError]]:
    yield kind
    for derived in kind.__subclasses__():
        if derived.__module__.startswith("admin."):
            yield from _kinds_of(derived)


def _help_of(command: click.Command) -> Iterator[str]:
    for described in (command, *command.params):
        if isinstance(described, Command | Group | Option) and described.untranslated_help:
            yield from text.messages_of_help(described.untranslated_help)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _help_of(inner)


if __name__ == "__main__":
    main()
