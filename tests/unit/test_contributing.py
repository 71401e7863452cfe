"""CONTRIBUTING.md is true: the files and names of its checklists exist, its lists are complete, imports run one way."""

import ast
import re
from pathlib import Path

import pytest

from admin.export.formats import FORMATS
from freeradius_module.rules import vendors
from freeradius_module.rules.refusals import REFUSALS, WRONG

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SCHEMA = (CHECKOUT / "sql" / "schema.sql").read_text(encoding="utf-8")
# The files directly in admin/ are one room; its command line imports all of them.
NOUNS = "nouns"


def checklists() -> dict[str, str]:
    """The text of each checklist, by its heading."""
    text = PAGE[PAGE.index("\n## Checklists\n") :]
    return dict(re.findall(r"^### (.+)\n((?:(?!^### ).*\n)+)", text, re.MULTILINE))


def rows() -> list[tuple[str, list[str], str]]:
    """The rows of all checklists: its heading, its files, what to do there."""
    found = []
    for heading, text in checklists().items():
        for files, task in re.findall(r"^\| (`[^|]+) \| (.+) \|$", text, re.MULTILINE):
            found.append((heading, re.findall(r"`([^`]+)`", files), task))
    return found


def test_there_is_a_checklist_for_each_kind_of_change() -> None:
    assert list(checklists()) == ["A vendor", "A refusal", "A credit kind", "An export format", "A page", "A command"]
    assert len(rows()) > 30


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_-]+/[^` ]*|[\w.-]+\.(?:md|cfg|txt))`", PAGE))))
def test_every_file_that_the_page_names_exists(path: str) -> None:
    assert (CHECKOUT / path).exists()


@pytest.mark.parametrize(("heading", "files", "task"), rows(), ids=lambda value: str(value)[:60])
def test_every_name_in_a_checklist_is_in_its_files(heading: str, files: list[str], task: str) -> None:
    names = {
        name
        for quoted in re.findall(r"`([^`]+)`", task)
        if re.fullmatch(r"[\w.]+", quoted) and not (CHECKOUT / quoted).exists()
        for name in quoted.split(".")
    }
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (CHECKOUT / file for file in files) for path in sources(path)
    )
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob("*.py"))


def listed(heading: str) -> list[str]:
    """The words after "Known" in a checklist."""
    match = re.search(r"^Known[^:]*: (.+)\.$", checklists()[heading], re.MULTILINE)
    assert match
    return re.findall(r"`(\w+)`", match[1])


def test_the_vendors_are_those_of_the_module_the_schema_and_the_page() -> None:
    known = listed("A vendor")
    assert known == list(vendors.VENDORS) == list(vendors.VOLUME) == list(vendors.IDENTITY)
    column = re.search(r"^    vendor +ENUM\(([^)]+)\)", SCHEMA, re.MULTILINE)
    assert column and known == re.findall(r"'(\w+)'", column[1])
    page = (CHECKOUT / "docs" / "vendors.md").read_text(encoding="utf-8")
    assert known == [heading for heading in re.findall(r"^## (\w+)$", page, re.MULTILINE)]
    in_short = page[page.index("\n## In short\n") : page.index("\n## For every vendor\n")]
    assert known == re.findall(r"^\| (\w+) \|", in_short, re.MULTILINE)[1:]


def test_the_refusals_have_a_text_for_the_customer_and_a_cause_in_the_tests() -> None:
    for word, reason in REFUSALS.items():
        assert set(reason.message) == set(WRONG), word


def test_the_credit_kinds_are_the_columns_of_a_product() -> None:
    product = SCHEMA[SCHEMA.index("CREATE TABLE product (") :]
    columns = re.findall(r"^    (credit_\w+) ", product[: product.index("\n) ENGINE")], re.MULTILINE)
    assert listed("A credit kind") == columns


def test_the_export_formats_are_those_of_the_command() -> None:
    assert listed("An export format") == list(FORMATS)
    page = (CHECKOUT / "docs" / "printing.md").read_text(encoding="utf-8")
    formats = page[page.index("\n### Which format\n") : page.index("\n### Which fields\n")]
    assert listed("An export format") == re.findall(r"^\| `(\w+)` \|", formats, re.MULTILINE)


def test_every_file_of_commands_is_in_the_command_line() -> None:
    imported = {target[1:] for target in imports(CHECKOUT / "admin" / "cli.py")}
    for path in (CHECKOUT / "admin").rglob("*.py"):
        parts = path.relative_to(CHECKOUT / "admin").with_suffix("").parts
        if parts[0] != "shell" and re.search(r"^@cli\.(command|group)\(", path.read_text("utf-8"), re.MULTILINE):
            assert parts in imported, f"admin/cli.py does not import {path.name}"


def imports(path: Path) -> set[tuple[str, ...]]:
    """What a file imports from our two packages: ("admin", "shell", "errors")."""
    package = path.relative_to(CHECKOUT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            found |= {(*base, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
    return {target for target in found if target[0] in ("admin", "freeradius_module")}
