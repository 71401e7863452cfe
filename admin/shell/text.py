"""The reader's language: English or Brazilian Portuguese, by locale or by `--lang`.

Sentences are written in English, inside _(), and translated when they are shown.  Values are put in afterwards, so
that the translation does not depend on them:

    _("Batch {batch} has no cards in stock.").format(batch=31)

Help texts are not wrapped in _(): command.py translates them when somebody asks for help.  The pure rules of
freeradius_module raise errors with a Sentence, which `translated` translates.
Translations: admin/locale/<language>/LC_MESSAGES/prepaid.po.
"""

import gettext
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from freeradius_module.sentence import Sentence

LANGUAGES = ("en", "pt_BR")
DOMAIN = "prepaid"
FOLDER = Path(__file__).parents[1] / "locale"
EXAMPLE = "Example:"

# click looks up its own words ("Usage:", "Missing option") in the default domain, so one catalogue serves both.
gettext.bindtextdomain(DOMAIN, str(FOLDER))
gettext.textdomain(DOMAIN)

_ = gettext.gettext
plural = gettext.ngettext
in_context = gettext.pgettext


def folded(typed: str) -> str:
    """A word as it is compared: without accents, in small letters, and with a space for each underscore.

    >>> folded(" N\N{LATIN CAPITAL LETTER A WITH TILDE}O "), folded("Em  uso"), folded("in_use")
    ('nao', 'em uso', 'in use')
    """
    letters = unicodedata.normalize("NFD", typed.replace("_", " ").casefold())
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


def fixed_word(typed: str, words: Iterable[str], context: str = "word") -> str | None:
    """The word of the database that was typed, either itself or as the reader's language shows it.

    >>> fixed_word("In Use", ["created", "in_use"]), fixed_word("sold", ["created", "in_use"])
    ('in_use', None)
    """
    wanted = folded(typed)
    return next((word for word in words if wanted in (folded(word), folded(in_context(context, word)))), None)


def word_in(language: str, word: str) -> str:
    """A word of the database in this language."""
    return gettext.translation(DOMAIN, str(FOLDER), [language], fallback=True).pgettext("word", word)


def heading_in(language: str, title: str) -> str:
    """A column's heading in this language, whatever the reader's is: for files that are made for a program."""
    found = gettext.translation(DOMAIN, str(FOLDER), [language], fallback=True).pgettext("column", title)
    return found[:1].upper() + found[1:]


def translated(error: Exception) -> str:
    """An exception's message, in the reader's language if it is a Sentence.

    >>> translated(ValueError(Sentence("{text!r} is no number.", text="x"))), translated(ValueError("as it is"))
    ("'x' is no number.", 'as it is')
    """
    sentence = error.args[0] if error.args else None
    return str(_translated_value(sentence)) if isinstance(sentence, Sentence) else str(error)


def _translated_value(value: Any) -> Any:
    """A sentence in the reader's language; any other value as it is."""
    if not isinstance(value, Sentence):
        return value
    return _(value.template).format(**{name: _translated_value(part) for name, part in value.values.items()})


def translated_help(english: str) -> str:
    """A help text in the reader's language.  An example is the same in every language."""
    return "\n\n".join(
        part.replace(EXAMPLE, _(EXAMPLE), 1) if _is_example(part) else _(part) for part in parts_of_help(english)
    )


def messages_of_help(english: str) -> list[str]:
    """The parts of a help text that need a translation.

    >>> messages_of_help("What it\\ndoes.\\n\\n\\b\\nExample:\\n    prepaid list\\n\\nAnd more.")
    ['What it does.', 'Example:', 'And more.']
    """
    return [EXAMPLE if _is_example(part) else part for part in parts_of_help(english)]


def parts_of_help(english: str) -> list[str]:
    """The paragraphs of a help text, each on one line; those that click must not wrap (\\b) stay as they are."""
    return [part if part.startswith("\b") else " ".join(part.splitlines()) for part in english.split("\n\n")]


def _is_example(part: str) -> bool:
    return part.startswith("\b\n" + EXAMPLE)


def set_language(language: str) -> None:
    """Use this language from now on, whatever the locale is."""
    os.environ["LANGUAGE"] = language


def language() -> str:
    """The language in use: the first of the reader's choices that has a translation, else English.

    >>> set_language("pt_BR"); language()
    'pt_BR'
    >>> set_language("de:en"); language()
    'en'
    """
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        chosen = os.environ.get(name)
        if chosen:
            return next((known for word in chosen.split(":") for known in LANGUAGES if word[:2] == known[:2]), "en")
    return "en"
