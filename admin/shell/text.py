"""The reader's language: English or Brazilian Portuguese, by locale or by `--lang`.

Sentences are written in English, inside _(), and translated when they are shown.  Values are put in
afterwards, so that a sentence is one message whatever it names:

    _("Batch {batch} has no cards in stock.").format(batch=31)

Help texts are not wrapped: command.py translates them when they are asked for.  What the pure rules of
freeradius_module say comes as a Sentence, which `told` translates.
Translations: admin/locale/<language>/LC_MESSAGES/prepaid.po.
"""

import gettext
import os
from pathlib import Path

from freeradius_module.sentence import Sentence

LANGUAGES = ("en", "pt_BR")
DOMAIN = "prepaid"
FOLDER = Path(__file__).parents[1] / "locale"
EXAMPLE = "Example:"

# click asks the same default domain for its own words ("Usage:", "Missing option"), so one catalogue serves both.
gettext.bindtextdomain(DOMAIN, str(FOLDER))
gettext.textdomain(DOMAIN)

_ = gettext.gettext
plural = gettext.ngettext
in_context = gettext.pgettext


def told(error: Exception) -> str:
    """What an exception says, in the reader's language if it brings a Sentence.

    >>> told(ValueError(Sentence("{text!r} is no number.", text="x"))), told(ValueError("as it is"))
    ("'x' is no number.", 'as it is')
    """
    return _said(error.args[0]) if error.args and isinstance(error.args[0], Sentence) else str(error)


def _said(value):
    if not isinstance(value, Sentence):
        return value
    return _(value.template).format(**{name: _said(part) for name, part in value.values.items()})


def told_help(english: str) -> str:
    """A help text in the reader's language.  An example is the same in every language."""
    return "\n\n".join(
        part.replace(EXAMPLE, _(EXAMPLE), 1) if _is_example(part) else _(part) for part in parts_of_help(english)
    )


def messages_of_help(english: str) -> list[str]:
    """What of a help text is to be translated.

    >>> messages_of_help("What it\\ndoes.\\n\\n\\b\\nExample:\\n    prepaid list\\n\\nAnd more.")
    ['What it does.', 'Example:', 'And more.']
    """
    return [EXAMPLE if _is_example(part) else part for part in parts_of_help(english)]


def parts_of_help(english: str) -> list[str]:
    """The paragraphs of a help text, each on one line; those that click must not wrap (\\b) as they are."""
    return [part if part.startswith("\b") else " ".join(part.splitlines()) for part in english.split("\n\n")]


def _is_example(part: str) -> bool:
    return part.startswith("\b\n" + EXAMPLE)


def speak(language: str) -> None:
    """Use this language from now on, whatever the locale says."""
    os.environ["LANGUAGE"] = language


def language() -> str:
    """The language in use: the first of the reader's choices that we speak.

    >>> speak("pt_BR"); language()
    'pt_BR'
    >>> speak("de:en"); language()
    'en'
    """
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        chosen = os.environ.get(name)
        if chosen:
            return next((spoken for word in chosen.split(":") for spoken in LANGUAGES if word[:2] == spoken[:2]), "en")
    return "en"
