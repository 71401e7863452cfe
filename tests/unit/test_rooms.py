"""The rooms of both packages: imports between them run one way, and nobody uses another room's private names."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from admin.store.archive import YOUNGEST_DAYS
from freeradius_module.engine.accounting import ARCHIVE_SECONDS

CHECKOUT = Path(__file__).resolve().parents[2]

# The map in CONTRIBUTING.md has the floors from the bottom up: a room imports only what is on a lower floor.  Rooms of one
# floor do not import each other.  A room is a subpackage or a module; NOUNS are the modules of admin that are not named, which
# may import each other.
NOUNS = "nouns"
FLOORS = {
    package: [set(floor.split(", ")) for floor in chain.split(" < ")]
    for package, chain in re.findall(
        r"^- `(\w+)`: (\w+(?:(?: <|,) \w+)+)$", (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
}
# What does not hold yet: (importing file, imported module), and why.
EXCEPTIONS = {
    ("admin/doctor/database.py", "admin.db"): "doctor reads the archive's age as the schema's owner, whom db.py finds"
}


class Import(NamedTuple):
    file: Path
    line: int
    # Absolute, as in "admin.store.card".
    module: str
    name: str
    is_relative: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(CHECKOUT)}:{self.line} imports {self.name} from {self.module}"


def files(package: str) -> list[Path]:
    return sorted((CHECKOUT / package).rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file from our packages, those inside functions included."""
    package = path.relative_to(CHECKOUT).parent.parts
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found = [Import(path, node.lineno, alias.name, "", False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found = [Import(path, node.lineno, module, alias.name, node.level > 0) for alias in node.names]
        else:
            continue
        yield from (one for one in found if one.module.partition(".")[0] in FLOORS)


def is_module(dotted: str) -> bool:
    path = CHECKOUT / Path(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def room_of(package: str, inner: str) -> str:
    """The room of a module, by its first name inside the package."""
    if package == "admin" and not any(inner in floor for floor in FLOORS["admin"]):
        return NOUNS
    return inner


def floor_of(package: str, room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS[package]) if room in floor)


def room_of_file(path: Path) -> str:
    package, *inner = path.relative_to(CHECKOUT).with_suffix("").parts
    return room_of(package, inner[0])


def room_of_import(one: Import) -> str | None:
    """The room that an import reaches; None for a name of the package itself, such as SCHEMA_VERSION."""
    package, *inner = one.module.split(".")
    if not inner and not is_module(f"{package}.{one.name}"):
        return None
    return room_of(package, inner[0] if inner else one.name)


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_a_floor_and_a_docstring(package):
    inner = [path for path in files(package) if path != CHECKOUT / package / "__init__.py"]
    known = set().union(*FLOORS[package])
    assert {room_of_file(path) for path in inner} <= known, "add the new room to FLOORS"
    assert [path for path in files(package) if path.name == "__init__.py" and not ast.get_docstring(parsed(path))] == []


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_one_way(package):
    wrong = [one for path in files(package) for one in imports(path) if not is_allowed(package, one)]
    exceptions = {exception for exception in EXCEPTIONS if exception[0].startswith(f"{package}/")}
    assert {str(one) for one in wrong if key(one) not in exceptions} == set()
    assert {key(one) for one in wrong} == exceptions, "an exception that is no longer needed"


def is_allowed(package: str, one: Import) -> bool:
    if one.module.partition(".")[0] != package:
        # Commands use the module's rules; the FreeRADIUS module knows nothing of the commands.
        return package == "admin"
    source, target = room_of_file(one.file), room_of_import(one)
    return target in (None, source) or floor_of(package, target) < floor_of(package, source)


def key(one: Import) -> tuple[str, str]:
    """An import as EXCEPTIONS names it: the file and the module."""
    inner = f"{one.module}.{one.name}"
    return str(one.file.relative_to(CHECKOUT)), inner if is_module(inner) else one.module


@pytest.mark.parametrize("package", FLOORS)
def test_imports_inside_a_package_are_relative(package):
    """So that a package also works under another name, such as prepaid_cards.admin."""
    absolute = [
        one
        for path in files(package)
        for one in imports(path)
        if one.module.split(".")[0] == package and not one.is_relative
    ]
    assert [str(one) for one in absolute] == []


@pytest.mark.parametrize("package", FLOORS)
def test_nobody_uses_private_names_of_another_module(package):
    wrong = []
    for path in files(package):
        found = list(imports(path))
        wrong += [str(one) for one in found if is_private(one.name)]
        modules = {one.name or one.module.rpartition(".")[2] for one in found}
        wrong += [
            f"{path.relative_to(CHECKOUT)}:{node.lineno} uses {ast.unparse(node)}"
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
            and is_private(node.attr)
        ]
    assert wrong == []


# The public methods of a NamedTuple begin with an underscore, so that they differ from fields.
OF_A_NAMEDTUPLE = {"_make", "_fields", "_replace", "_asdict"}


def is_private(name: str) -> bool:
    """`_` alone is the function that translates."""
    return name.startswith("_") and not name.startswith("__") and name not in ("_", *OF_A_NAMEDTUPLE)


def test_the_engine_looks_into_the_archive_for_everything_that_may_be_there():
    assert YOUNGEST_DAYS * 86_400 >= ARCHIVE_SECONDS + 86_400
