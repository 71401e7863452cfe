"""The reader's language: English or Brazilian Portuguese, by locale or by `--lang`.

Sentences are written in English, inside _(), and translated when they are shown.  Values are put in
afterwards, so that a sentence is one message whatever it names:

    _("Batch {batch} has no cards in stock.").format(batch=31)

Help texts are not wrapped: command.py translates them when they are asked for.
Translations: admin/locale/<language>/LC_MESSAGES/prepaid.po.
"""

import gettext
import os
from pathlib import Path

LANGUAGES = ("en", "pt_BR")
DOMAIN = "prepaid"
FOLDER = Path(__file__).with_name("locale")

# click asks the same default domain for its own words ("Usage:", "Missing option"), so one catalogue serves both.
gettext.bindtextdomain(DOMAIN, str(FOLDER))
gettext.textdomain(DOMAIN)

_ = gettext.gettext
plural = gettext.ngettext
in_context = gettext.pgettext


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
