"""The reader's language: people get everything in it, programs get the same in every language."""

import os
import re
import string
import subprocess

import pytest
from babel.messages import pofile

from admin.shell import output, text
from tests.stack.stack import PREPAID
from tools import reference

PORTUGUESE = text.FOLDER / "pt_BR" / "LC_MESSAGES" / f"{text.DOMAIN}.po"


def test_json_is_the_same_in_every_language(office):
    (card,) = office.sell(1, "--time", "10m")
    for arguments in (("show", card.serial), ("list",), ("product", "show", card.product), ("track", card.serial)):
        english = office.must(*arguments, "--json")
        assert office.must("--lang", "pt_BR", *arguments, "--json") == english


def test_the_file_is_announced_in_the_readers_language(office, tmp_path):
    batch = office.json("generate", "--product", office.product("--time", "10m"), "--count", 1)["batch"]
    result = office.must("--lang", "pt_BR", "export", "--batch", batch, "--output", tmp_path / "cards.csv")
    assert result.stdout.splitlines()[-1] == f"Arquivo criado com sucesso: {tmp_path / 'cards.csv'}"


def test_the_locale_chooses_and_lang_overrules_it(office):
    portuguese = {"LANGUAGE": "", "LC_ALL": "pt_BR.UTF-8"}
    assert office.run("product", "show", "x", env=portuguese).stderr.startswith("Erro: Não existe o produto")
    assert office.run("--lang", "en", "product", "show", "x", env=portuguese).stderr.startswith("Error: There is no")
    # A language without a translation gets English.
    assert office.run("product", "show", "x", env={"LC_ALL": "de_DE.UTF-8"}).stderr.startswith("Error: There is no")
    assert office.run("--lang", "de", "product", "list").exit_status == 2


def test_the_whole_life_in_portuguese(office, tmp_path):
    """No result and no error is in English."""
    reader = Reader(office)
    reader.does(
        "product", "add", "Dez horas", "--kind", "internet", "--time", "10h", "--price", "1234,56", "--valid-days", 30
    )
    reader.does("product", "edit", "Dez horas", "--commission", "12,5")
    reader.does("partner", "add", "Banca do Norte", "--document", "123")
    reader.does("generate", "--product", "Dez horas", "--count", 6)
    batch = office.json("batch", "list")[0]["batch"]
    first, second, third, fourth, fifth, sixth = (row["serial"] for row in office.json("list", "--batch", batch))
    reader.does("export", "--batch", batch, "--output", tmp_path / "cards.csv")
    reader.is_refused("export", "--batch", batch, "--output", tmp_path / "again.csv")
    reader.does("deliver", "--partner", "Banca do Norte", "--range", f"{first}-{fourth}", "--dry-run")
    reader.does("deliver", "--partner", "Banca do Norte", "--range", f"{first}-{fourth}")
    reader.is_refused("deliver", "--partner", "Banca do Norte", "--batch", batch)
    reader.is_refused("deliver", "--partner", "Banca do Nort", "--batch", batch)
    reader.does("return", "--partner", "Banca do Norte", "--range", f"{fourth}-{fourth}")
    reader.does("credit", first, "--add", "10m", "--reason", "Hotspot parado")
    reader.is_refused("credit", first, "--add", "5MB", "--reason", "Hotspot parado")
    reader.is_refused("credit", first, "--add", "muito", "--reason", "Hotspot parado")
    reader.does("edit", first, "--expires", "2036-12-31", "--reason", "Chuva")
    reader.does("block", second, "--reason", "Roubado", "--yes")
    reader.does("transfer", second, third, "--reason", "Troca")
    reader.does("unblock", second, "--reason", "Achado", "--yes")
    reader.is_refused("delete", first, "--reason", "Engano", "--yes")
    reader.does("delete", fifth, "--reason", "Impresso errado", "--yes")
    reader.is_refused("show", fifth[:-1] + str((int(fifth[-1]) + 1) % 10))
    reader.is_refused("generate", "--product", "Dez horas", "--count", 1, "--pin-length", 4)
    for command in (("audit", "seal"), ("audit", "verify"), ("reconcile",), ("enforce",)):
        reader.does(*command)
    note = office.json("note", "list")[0]["note"]
    for command in (
        ("note", "show", note),
        ("show", first),
        ("track", first),
        ("batch", "show", batch),
        ("note", "list"),
        ("report", "stock"),
        ("report", "settlement"),
        ("simulate", first),
        ("sessions",),
        ("operator", "list", "--roles"),
        ("key", "list"),
        ("db", "version"),
        ("product", "list"),
        ("partner", "show", "Banca do Norte"),
        ("nas", "list"),
        ("voice", "pending"),
        ("report", "sales"),
        ("report", "usage"),
    ):
        reader.does(*command)
        reader.can_read_the_names_of(*command)
    assert sixth in office.must("list", "--status", "created").stdout


@pytest.mark.parametrize(
    "entry", [entry for entry in reference.entries() if not entry.is_group], ids=lambda entry: entry.path
)
def test_help_is_in_portuguese(office, entry):
    shown = office.must("--lang", "pt_BR", *entry.path.split()[1:], "--help").stdout
    assert shown.startswith("Uso: ") and "Opções:" in shown
    # click translates the help of --help only once in a process, and here that was into English.
    shown = " ".join(shown.replace("Show this message and exit.", "").split())
    assert not Reader.english.search(shown)
    # An example is a command, and commands are the same in every language.
    assert "Exemplo:" in shown and entry.path in shown


def test_a_required_option_is_marked_in_portuguese(office):
    """click translates this word, but its source does not mark it, so no tool finds it there."""
    assert "[obrigatório]" in office.must("--lang", "pt_BR", "generate", "--help").stdout


def test_a_terminal_shows_status_money_and_dates_in_the_readers_form(office):
    (card,) = office.sell(
        1, "--money", "1234.56", "--tariff-minute", "0.05", "--price", "1234.56", "--valid-until", "2036-12-31"
    )
    assert re.search(r"crédito em dinheiro +R\$ 1\.234,56", on_terminal(office, "pt_BR", "show", card.serial))
    assert re.search(r"credit money +R\$ 1,234\.56", on_terminal(office, "en", "show", card.serial))
    assert re.search(r"status +Entregue", on_terminal(office, "pt_BR", "show", card.serial))
    product = on_terminal(office, "pt_BR", "product", "show", card.product)
    assert re.search(r"preço +R\$ 1\.234,56", product) and re.search(r"válido até +\d\d/\d\d/20\d\d", product)
    listed = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(office, "pt_BR", "list", "--batch", card.batch))
    heading, row = listed.splitlines()[:2]
    assert heading.split()[:2] == ["série", "status"] and row.split()[:2] == [card.serial, "Entregue"]


def test_without_colours_if_asked(office):
    office.sell(1, "--time", "10m")
    assert "\x1b[" in on_terminal(office, "en", "list", "--limit", 1)
    # Bold headings are not a colour, and stay.
    plain = on_terminal(office, "en", "list", "--limit", 1, env={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38)[;m]", plain)
    assert "\x1b[" not in office.program("list").stdout


class Reader:
    """Runs commands in Portuguese, and fails if any of their output is English."""

    def __init__(self, office):
        self.office = office

    def does(self, *command):
        self._check(self.office.run("--lang", "pt_BR", *command), 0)

    def is_refused(self, *command):
        result = self.office.run("--lang", "pt_BR", *command)
        assert "Erro" in result.stderr
        self._check(result, result.exit_status or 1)

    def can_read_the_names_of(self, *command):
        found = self.office.json(*command)
        for row in found if isinstance(found, list) else [found]:
            assert {name for name in row if output.untranslated_title(name) not in self.columns} <= LISTS, command

    def _check(self, result, exit_status):
        assert result.exit_status == exit_status, result
        for line in (result.stdout + result.stderr).splitlines():
            english = self.english.search(line)
            assert not english, f"{english[0]!r} in {line!r}"

    @staticmethod
    def _catalog():
        with open(PORTUGUESE, encoding="utf-8") as file:
            return pofile.read_po(file, locale="pt_BR")

    @classmethod
    def prepare(cls):
        """One pattern of all English sentences with three words or more; shorter ones may be a name in the data."""
        catalog = cls._catalog()
        cls.columns = {message.id: message.string for message in catalog if message.context == "column"}
        sentences = {
            form
            for message in catalog
            if message.id and not message.context
            for form, translation in zip(_forms(message.id), _forms(message.string), strict=True)
            if form != translation and len(re.findall(r"[A-Za-z]{2,}", _fixed(form))) >= 3
        }
        cls.english = re.compile("|".join(map(_pattern, sorted(sentences, key=len, reverse=True))))


# Columns that are shown as tables of their own, or in JSON only.
LISTS = {"events", "cards", "prices", "reply", "closes", "replaces", "checks"}


def on_terminal(
    office,
    language: str,
    *arguments,
    env: dict | None = None,
    statuses: set[int] = frozenset({0}),
    width: int = 250,
    errors_too: bool = False,
    keyboard: bool = False,
) -> str:
    """What the installed command shows on a terminal of so many columns; it must end with one of these exit statuses."""
    ours, its = os.openpty()
    command = [str(PREPAID), "--config", str(office.option_file), "--lang", language, *map(str, arguments)]
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        command,
        stdout=its,
        stderr=its if errors_too else None,
        stdin=its if keyboard else subprocess.DEVNULL,
        env=variables | {"COLUMNS": str(width), "TERM": "xterm-256color"} | (env or {}),
    ) as running:
        os.close(its)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert running.returncode in statuses, shown
    return shown.decode().replace("\r\n", "\n").replace("\N{NO-BREAK SPACE}", " ")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # The command has closed the other end.
        return b""


def _fixed(sentence: str) -> str:
    return " ".join(part for part, *_value in string.Formatter().parse(sentence))


def _pattern(sentence: str) -> str:
    """The sentence with anything for its values."""
    words = [
        re.escape(part) + (".{0,200}?" if name else "") for part, name, *_form in string.Formatter().parse(sentence)
    ]
    return r"(?<![\w'])" + "".join(words)


def _forms(message) -> tuple:
    return tuple(message) if isinstance(message, list | tuple) else (message,)


Reader.prepare()
