"""The pages name all that there is: every command and option, setting, refusal and table; and links lead somewhere."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from admin import cli  # noqa: F401  Imports every command into the group.
from freeradius_module import settings
from freeradius_module.rules.refusals import REFUSALS
from tools import reference

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "raddb-config" / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
CONNECTION = ("user", "password", "unix_socket", "socket", "host", "port", "hosts", "database")


def page(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


@pytest.mark.usefixtures("installed")
def test_the_reference_is_up_to_date(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "en")
    stale = [str(path) for path, made in reference.pages().items() if page(path) != made]
    assert stale == [], "run make reference"


def test_every_command_and_option_has_its_place_in_the_reference():
    sections = dict(
        re.findall(r"^## (prepaid.*?)\n(.*?)(?=^## |\Z)", page("docs/commands.md"), re.MULTILINE | re.DOTALL)
    )
    for entry in reference.entries():
        for names, _help_text in entry.options:
            assert f"- `{names}`" in sections[entry.path], entry.path


def test_every_command_that_a_page_shows_exists():
    commands = {entry.path for entry in reference.entries()}
    for path in PAGES:
        for words in re.findall(
            r"^ {4,}(?:sudo )?(prepaid [a-z]+(?: [a-z]+)?)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert words in commands or words.rsplit(" ", 1)[0] in commands - GROUPS, f"{path.name}: {words}"


GROUPS = {entry.path for entry in reference.entries() if entry.is_group}


FOUND_BY_ITSELF = settings.NOT_SET_BY_HAND - {"unix_socket", "hosts"}


def test_every_setting_is_explained_with_its_default():
    told = page("docs/configuration.md")
    assert settings_of_the_office() - set(settings.Settings._fields) == {"unbinds_a_month", "dictionaries", "raddb"}
    for name in settings_of_the_office() | (set(settings.Settings._fields) - FOUND_BY_ITSELF) | set(CONNECTION):
        row = re.search(rf"^\| .*`{name}`.*$|^.*`{name}` is another name.*$", told, re.MULTILINE)
        assert row, f"{name} is not in docs/configuration.md"
        default = settings.Settings._field_defaults.get(name)
        if name not in ("key_file", *CONNECTION) and default not in (None, ""):
            assert re.search(rf"\| `?{re.escape(str(default))}`? \|", row[0]), f"{name}: {default}"


def settings_of_the_office() -> set[str]:
    """What the office reads of the group [prepaid], found in its source."""
    found = set()
    for path in (CHECKOUT / "admin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="number", value=ast.Name(id="office")), args=[ast.Constant(value=name), *_]
                ):
                    found.add(name)
                case ast.Call(
                    func=ast.Attribute(
                        attr="get",
                        value=ast.Call(func=ast.Attribute(attr="settings"), args=[ast.Constant(value="prepaid")]),
                    ),
                    args=[ast.Constant(value=name), *_],
                ):
                    found.add(name)
    return found


def test_every_refusal_is_explained_in_the_readme():
    assert re.findall(r"^\| `(\w+)` \|", page("README.md"), re.MULTILINE) == list(REFUSALS)


def test_every_table_and_view_is_named():
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
        assert set(re.findall(r"\w+", name)) <= tables, "this table is no more"


def test_every_page_is_in_the_index():
    listed = set(re.findall(r"\]\((\w+\.md)\)", page("docs/README.md")))
    assert listed == {path.name for path in (CHECKOUT / "docs").glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_and_paths_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target
    for target in re.findall(r"`?\b(docs/\w+\.md)\b", text):
        assert (CHECKOUT / target).exists(), target


@pytest.mark.skipif(not shutil.which("groff"), reason="groff reads man pages, and is not here")
@pytest.mark.parametrize("path", reference.MAN_PAGES.values(), ids=str)
def test_a_man_page_is_read_without_a_warning(path):
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-K", "utf8", "-ww", "-Wbreak", str(CHECKOUT / path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "" and "prepaid deliver" in done.stdout


@pytest.mark.parametrize("path", ["docs/security.md", "tests/mistakes.md"])
def test_every_test_that_a_page_names_exists(path):
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "tests").rglob("test_*.py"))
    told = page(path)
    for name in re.findall(r"`(test_\w+)`", told):
        assert f"def {name}(" in tests, name
    for file in re.findall(r"`(tests/\S+\.py)`", told):
        assert (CHECKOUT / file).exists(), file
    for campaign in re.findall(r"`(\w+)`", " ".join(re.findall(r"campaigns? ((?:`\w+`(?:, )?)+)", told))):
        assert (CHECKOUT / "tests" / "faults" / f"{campaign}.py").exists(), campaign
