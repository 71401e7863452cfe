"""The catalogue of translations: every message has one, with the same values, commands and options."""

import ast
import re
import string
from pathlib import Path

import pytest
from babel.messages import pofile

import admin
import freeradius_module
from admin.shell import text
from tools import messages

COMMAND_OR_OPTION = re.compile(r"['`]prepaid [a-z ]+|--[a-z-]+")
SCHEMA = Path(__file__).resolve().parents[2] / "sql" / "schema.sql"


@pytest.fixture(params=text.LANGUAGES[1:])
def catalog(request):
    path = text.FOLDER / request.param / "LC_MESSAGES" / f"{text.DOMAIN}.po"
    with open(path, encoding="utf-8") as file:
        return pofile.read_po(file, locale=request.param)


def test_no_message_lacks_its_translation(catalog):
    missing = [
        message.id
        for message in messages.template()
        if message.id and not ((found := catalog.get(message.id, message.context)) and messages.is_translated(found))
    ]
    assert not missing, "run `make messages`, and translate the new messages"


def test_no_unused_message_is_translated(catalog):
    used = {(message.id, message.context) for message in messages.template()}
    assert [message.id for message in catalog if (message.id, message.context) not in used] == []


def test_a_translation_names_the_same_values(catalog):
    wrong = [
        (english, foreign)
        for message in catalog
        if message.id
        for english, foreign in zip(_forms(message.id), _forms(message.string), strict=True)
        if placeholders(english) != placeholders(foreign)
    ]
    assert wrong == []


def test_a_translation_names_the_same_commands_and_options(catalog):
    wrong = [
        (english, foreign)
        for message in catalog
        if message.id
        for english, foreign in zip(_forms(message.id), _forms(message.string), strict=True)
        if set(COMMAND_OR_OPTION.findall(english)) != set(COMMAND_OR_OPTION.findall(foreign))
    ]
    assert wrong == []


def test_every_word_of_the_schema_is_a_word_of_the_catalogue():
    schema = SCHEMA.read_text()
    words = {
        word
        for column in ("status", "to_status", "kind", "what", "origin", "action")
        for values in re.findall(rf"^    {column}\s+ENUM\(([^)]*)\)", schema, re.MULTILINE)
        for word in re.findall(r"'(\w+)'", values)
    }
    assert words and words <= set(messages.WORDS)


def test_a_sentence_can_be_translated():
    """tools.messages finds only templates that are literals."""
    for path in (
        path for package in (admin, freeradius_module) for path in Path(package.__file__).parent.rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Sentence":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"


def test_no_marked_message_is_overlooked():
    """Babel overlooks the first argument of some calls, for instance if a generator is among the others."""
    known = {form for message in messages.template() if message.id for form in _forms(message.id)}
    for path in (
        path for package in (admin, freeradius_module) for path in Path(package.__file__).parent.rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "Sentence", "plural"):
                words = {argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)}
                assert words <= known, f"{path.name}:{node.lineno}"


@pytest.fixture
def portuguese(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "pt_BR")


@pytest.mark.usefixtures("portuguese", "installed")
def test_a_sentence_of_the_pure_rules_is_translated():
    from freeradius_module.rules import units
    from freeradius_module.sealing import pin

    with pytest.raises(ValueError) as caught:
        units.parse_money("vinte")
    # The value that is a sentence itself ("an amount of money") is translated, too.
    assert text.translated(caught.value).startswith("'vinte' não é uma quantia de dinheiro. Escreva como 20.00")
    with pytest.raises(ValueError) as caught:
        pin.check_shape(4, pin.DIGITS, live_cards=10)
    assert "uma tentativa em 10,000 acerta. Use ao menos 6 caracteres" in text.translated(caught.value)


def placeholders(sentence: str) -> set:
    """The values in a sentence, with their format.

    >>> sorted(placeholders("{count} of {name!r} {{kept}}"))
    [('count', '', None), ('name', '', 'r')]
    """
    return {(name, form, conversion) for _text, name, form, conversion in string.Formatter().parse(sentence) if name}


def _forms(message) -> tuple:
    return tuple(message) if isinstance(message, list | tuple) else (message,)
