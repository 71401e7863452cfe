"""The pages name every command, option, setting, refusal and table that exists, and all links lead somewhere."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import admin.cli  # noqa: F401  registers all commands
from admin.export.formats import FORMATS, OPTIONS, of_file
from freeradius_module import settings
from freeradius_module.rules.refusals import REFUSALS
from tools import reference

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    *(
        CHECKOUT / name
        for name in ("README.md", "CONTRIBUTING.md", "raddb-config/README.md", "sql/migrations/README.md")
    ),
    *(CHECKOUT / name for name in ("tests/README.md", "tests/mistakes.md")),
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
CONNECTION = ("user", "password", "unix_socket", "socket", "host", "port", "hosts", "database")


def page(name: str | Path) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


@pytest.mark.usefixtures("installed")
def test_the_reference_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "en")
    stale = [str(path) for path, made in reference.pages().items() if page(path) != made]
    assert stale == [], "run make reference"


def test_every_command_and_option_is_in_the_reference() -> None:
    sections = dict(
        re.findall(r"^## (prepaid.*?)\n(.*?)(?=^## |\Z)", page("docs/commands.md"), re.MULTILINE | re.DOTALL)
    )
    for entry in reference.entries():
        for names, _help_text in entry.options:
            assert f"- `{names}`" in sections[entry.path], entry.path


def test_every_command_that_a_page_shows_exists() -> None:
    commands = {entry.path for entry in reference.entries()}
    for path in PAGES:
        for words in re.findall(
            r"^ {4,}(?:sudo )?(prepaid [a-z]+(?: [a-z]+)?)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert words in commands or words.rsplit(" ", 1)[0] in commands - GROUPS, f"{path.name}: {words}"


GROUPS = {entry.path for entry in reference.entries() if entry.is_group}


# Fields of Settings that no line of the option file sets by this name.
FOUND_BY_ITSELF = settings.NOT_SET_BY_HAND - {"unix_socket", "hosts"}


def test_every_setting_is_explained_with_its_default() -> None:
    text = page("docs/configuration.md")
    assert settings_of_the_office() - set(settings.Settings._fields) == {
        "card_forms",
        "dictionaries",
        "helpline",
        "provider",
        "provider_document",
        "raddb",
        "timezone",
        "unbinds_a_month",
    }
    for name in settings_of_the_office() | (set(settings.Settings._fields) - FOUND_BY_ITSELF) | set(CONNECTION):
        row = re.search(rf"^\| .*`{name}`.*$|^.*`{name}` is another name.*$", text, re.MULTILINE)
        assert row, f"{name} is not in docs/configuration.md"
        default = settings.Settings._field_defaults.get(name)
        if name not in ("key_file", *CONNECTION) and default not in (None, ""):
            assert re.search(rf"\| `?{re.escape(str(default))}`? \|", row[0]), f"{name}: {default}"


def settings_of_the_office() -> set[str]:
    """The settings of the group [prepaid] that the office reads, found in its source."""
    found: set[str] = set()
    for path in (CHECKOUT / "admin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="number", value=ast.Name(id="office")),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    found.add(name)
                case ast.Call(
                    func=ast.Attribute(
                        attr="get",
                        value=ast.Call(func=ast.Attribute(attr="settings"), args=[ast.Constant(value="prepaid")]),
                    ),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    found.add(name)
    return found


def test_every_export_format_is_explained_with_its_options():
    told = page("docs/printing.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \|(.*)\|$", told.partition("### Which format")[2], re.MULTILINE))
    assert list(rows)[: len(FORMATS)] == list(FORMATS)
    for each in FORMATS.values():
        assert {name for name in OPTIONS if f"`--{name.replace('_', '-')}" in rows[each.name]} == set(each.options), (
            each.name
        )
    for command in re.findall(r"^ +(prepaid export .*--output \S+)", told, re.MULTILINE):
        name = re.search(r"--format (\w+)", command)
        assert of_file(command, name and name[1], sealed=True), command


def test_the_help_of_a_formats_option_begins_with_the_formats_that_have_it():
    (export,) = (entry for entry in reference.entries() if entry.path == "prepaid export")
    help_of = {names.split()[0].removeprefix("--"): told for names, told in export.options}
    for option in OPTIONS:
        having = [each.name for each in FORMATS.values() if option in each.options]
        if having:
            assert help_of[option.replace("_", "-")].startswith(f"{', '.join(having)}: "), option


def test_every_refusal_is_explained_in_the_readme() -> None:
    assert re.findall(r"^\| `(\w+)` \|", page("README.md"), re.MULTILINE) == list(REFUSALS)


def test_every_table_and_view_is_named() -> None:
    tables = set(
        re.findall(
            r"^CREATE (?:OR REPLACE )?(?:TABLE|VIEW|SEQUENCE) (?:IF NOT EXISTS )?(\w+)",
            page("sql/schema.sql"),
            re.MULTILINE,
        )
    )
    named = set(re.findall(r"`(\w+)`", page("docs/schema.md")))
    assert tables and tables <= named
    for name in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page("docs/schema.md"), re.MULTILINE):
        assert set(re.findall(r"\w+", name)) <= tables, "no such table"


def test_the_procedures_that_a_page_names_exist() -> None:
    text = page("docs/schema.md")
    named = re.findall(r"`(\w+)`", text[text.index("\n## Procedures\n") :])
    for name in set(named) - {"operator_role", "module", "office"}:
        assert f"CREATE PROCEDURE {name}(" in page("sql/schema.sql"), name


def test_every_page_is_in_the_index() -> None:
    for folder in ("docs", "docs/history", "docs/nas", "docs/pt"):
        listed = set(re.findall(r"\]\(([\w-]+\.md)\)", page(f"{folder}/README.md")))
        assert listed == {path.name for path in (CHECKOUT / folder).glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        linked = path.parent / target if target else path
        assert linked.exists(), target
        assert not heading or heading in anchors(linked), f"{target}#{heading}"
    for target in re.findall(r"`?\b(docs/\w+\.md)\b", text):
        assert (CHECKOUT / target).exists(), target


def test_the_files_that_the_architecture_names_exist() -> None:
    text = page("docs/architecture.md")
    names = re.findall(r"[`>\"]([a-z_-]+/(?:[\w./-]*\w)?|\w+\.py)(?=[`\"<\]])", text)
    assert "engine/logins.py" in names and "raddb-config/policy.d/prepaid" in names
    for name in names:
        assert any((folder / name).exists() for folder in (CHECKOUT, CHECKOUT / "freeradius_module")), name


def anchors(path: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
@pytest.mark.parametrize("path", reference.MAN_PAGES.values(), ids=str)
def test_a_man_page_gives_no_warning(path: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-K", "utf8", "-ww", "-Wbreak", str(CHECKOUT / path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "" and "prepaid deliver" in done.stdout


@pytest.mark.parametrize("path", ["docs/security.md", "tests/mistakes.md"])
def test_every_test_that_a_page_names_exists(path: str) -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "tests").rglob("test_*.py"))
    text = page(path)
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
    for file in re.findall(r"`(tests/\S+\.py)`", text):
        assert (CHECKOUT / file).exists(), file
    for campaign in re.findall(r"`(\w+)`", " ".join(re.findall(r"campaigns? ((?:`\w+`(?:, )?)+)", text))):
        assert (CHECKOUT / "tests" / "faults" / f"{campaign}.py").exists(), campaign
