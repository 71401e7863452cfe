"""Everything that the office may say to a reader: the template of the translations.

    python -m tools.messages        brings admin/locale/*/LC_MESSAGES/prepaid.po up to date

New sentences come in without a translation, and those that nobody says any more go out.  `make` compiles the
catalogues.  Help texts, errors' docstrings and click's own words are collected from the objects themselves, so that
nobody has to mark them.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from babel.messages import Catalog, extract, pofile

import admin
import freeradius_module
from admin import cards, nas, store, track
from admin.export import fields as export_fields
from admin.report import data as report_data
from admin.report import files as report_files
from admin.shell import errors, output, text
from admin.shell.command import cli
from freeradius_module.rules.refusals import REFUSALS
from freeradius_module.rules.usage import CREDIT_COLUMNS

KEYWORDS = {"_": None, "plural": (1, 2), "in_context": ((1, "c"), 2)}
MODULE_KEYWORDS = {"Sentence": None}
CLICK_KEYWORDS = {"_": None, "ngettext": (1, 2)}

# The words that stand in the database, and so in tables and sentences.
WORDS = (
    "created",
    "delivered",
    "in_use",
    "exhausted",
    "expired",
    "blocked",
    "redeemed",
    "deleted",
    "generated",
    "imported",
    "exported",
    "received",
    "returned",
    "activated",
    "reopened",
    "unblocked",
    "credited",
    "transferred",
    "extended",
    "unbound",
    "pin_read",
    "login",
    "session",
    "refused",
    "internet",
    "telephony",
    "delivery",
    "return",
    "void",
    "active",
    "waiting",
    "retired",
    "disconnect",
    "disconnected",
    "slow_down",
    "ok",
    "look",
    "fault",
    *REFUSALS,
)
# Columns of tables and lines of `show`; those that the commands name themselves are taken from there.
COLUMNS = (
    *cards.LISTED,
    *export_fields.NAMES,
    *map(report_files.plain_name, (*report_data.SALES, *report_data.SETTLEMENT)),
    *nas.COLUMNS,
    *store.product.COLUMNS,
    *track.COLUMNS,
    "accepted",
    "acct_session_id",
    "action",
    *(f"{prefix}_{kind}" for prefix in ("added", "credit", "remaining") for kind in CREDIT_COLUMNS),
    "address",
    "allowed_hours",
    "at",
    "attempts",
    "batch",
    "bind_device",
    "binds_device",
    "blocked",
    "cards",
    "chain_row",
    "check",
    "checks",
    "closes",
    "commission_basis_points",
    "commission_cents",
    "contact",
    "count",
    "counter_rule",
    "created",
    "database",
    "day",
    "delegated_prefix",
    "delivered",
    "delivery_note",
    "detail",
    "device",
    "disconnect_port",
    "document",
    "down_octets",
    "due_at",
    "due_cause",
    "end_cause",
    "ended_at",
    "ends_at",
    "error_cause",
    "exhausted",
    "expired",
    "expires_at",
    "fault",
    "faults",
    "fingerprint",
    "first_login",
    "first_login_at",
    "first_serial",
    "first_used",
    "framed_ipv4",
    "framed_ipv6",
    "from_status",
    "fup_down_kbit",
    "fup_left_octets",
    "fup_share_percent",
    "fup_up_kbit",
    "hash",
    "heard_at",
    "idle_seconds",
    "in_stock",
    "in_use",
    "interim_seconds",
    "is_due",
    "is_off",
    "is_stale",
    "kind",
    "last_at",
    "last_serial",
    "limited_by",
    "login_at",
    "login_number",
    "made_at",
    "max_sessions",
    "may",
    "message",
    "name",
    "nas",
    "note",
    "number",
    "octets",
    "open",
    "open_sessions",
    "operator",
    "origin",
    "other_card",
    "outcome",
    "owed_cents",
    "partner",
    "pin",
    "price_cents",
    "product",
    "program",
    "reason",
    "redeemed",
    "replace_oldest",
    "reply",
    "require_message_authenticator",
    "retired_at",
    "returned",
    "role",
    "roles",
    "row",
    "rows",
    "seals",
    "seconds",
    "sell_by",
    "sentence",
    "serial",
    "session_down_octets",
    "session_octets",
    "session_seconds",
    "session_up_octets",
    "sessions",
    "single_code",
    "slowed_down",
    "sold_cents",
    "source",
    "speed_down_kbit",
    "speed_up_kbit",
    "started_at",
    "state",
    "status",
    "tariff_mb_millicents",
    "tariff_minute_millicents",
    "timezone",
    "to_status",
    "total",
    "tried_at",
    "tries",
    "up_octets",
    "used_cents",
    "used_down_octets",
    "used_octets",
    "used_seconds",
    "used_up_octets",
    "valid_days",
    "valid_until_at",
    "vendor",
    "volume_limited_by",
    "what",
    "what_to_do",
)
# What click says about its own options, which ours replace.
NOT_SAID = {"", " ", "(dynamic)", "%(prog)s, version %(version)s"}
# Without the hour of the run, two runs make the same file.
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
        if message not in NOT_SAID:
            catalog.add(message, context=context)
    return catalog


def collected():
    """(message, context) of everything: a message is a text, or a pair for one and for many."""
    yield from _marked(Path(admin.__file__).parent, KEYWORDS)
    yield from _marked(Path(freeradius_module.__file__).parent, MODULE_KEYWORDS)
    yield from _marked(Path(click.__file__).parent, CLICK_KEYWORDS)
    # click translates it as the value of a variable, where it cannot be found.
    yield "required", None
    for kind in _kinds_of(errors.OfficeError):
        # As OfficeError itself puts it on one line.
        yield " ".join(kind.__doc__.split()), None
    sentences_of_refusals = [reason.sentence for reason in REFUSALS.values()]
    for sentence in (*errors.RULES.values(), *sentences_of_refusals, *store.roles.ROLES.values()):
        yield sentence, None
    for sentence in _help_of(cli):
        yield sentence, None
    for word in WORDS:
        yield word, "word"
    for column in COLUMNS:
        yield output.untranslated_title(column), "column"


def is_translated(message) -> bool:
    return all(message.string) if isinstance(message.string, tuple) else bool(message.string)


def _marked(folder: Path, keywords: dict):
    """What is marked with _() and its kind in the Python files of a folder."""
    for path in sorted(folder.rglob("*.py")):
        with open(path, "rb") as file:
            for _line, message, _comments, context in extract.extract("python", file, keywords=keywords):
                # Of a call with something else than a text, Babel makes a None or an empty text.  What is said in a
                # context is a word of the data, and listed above.
                if message and not context and (isinstance(message, str) or all(message)):
                    yield message, context


def _kinds_of(kind: type):
    yield kind
    for derived in kind.__subclasses__():
        if derived.__module__.startswith("admin."):
            yield from _kinds_of(derived)


def _help_of(command):
    for thing in (command, *command.params):
        if getattr(thing, "english_help", None):
            yield from text.messages_of_help(thing.english_help)
    for inner in getattr(command, "commands", {}).values():
        yield from _help_of(inner)


if __name__ == "__main__":
    # The commands' files put their commands into the group, and their errors under OfficeError.
    os.environ.pop("LANGUAGE", None)
    from admin import cli as _all_commands  # noqa: F401

    main()
