"""What is shipped: all of the two packages and their data, and nothing else."""

import configparser
import importlib.metadata
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("installed")

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path(sys.prefix) / "share" / "prepaid-cards"


@pytest.mark.parametrize("package", ["admin", "freeradius_module"])
def test_the_package_is_ours_alone(package):
    # Any wheel may drop a folder "admin" into site-packages; pip lets the later one overwrite the earlier.
    assert set(importlib.metadata.packages_distributions()[package]) == {"prepaid-cards"}


def test_tests_are_not_shipped():
    files = importlib.metadata.files("prepaid-cards")
    assert not [file for file in files if file.parts[0] == "tests"]


def test_the_command_is_shipped():
    (command,) = importlib.metadata.distribution("prepaid-cards").entry_points.select(name="prepaid")
    assert command.value == "admin.cli:cli"


@pytest.mark.parametrize("folder", ["sql", "raddb-config"])
def test_every_data_file_is_shipped_as_it_is(folder):
    here = {path.relative_to(CHECKOUT): path.read_bytes() for path in files_under(CHECKOUT / folder)}
    shipped = {path.relative_to(SHARED): path.read_bytes() for path in files_under(SHARED / folder)}
    assert shipped == here, "is its folder in setup.cfg, and was the checkout installed (make installed)?"


@pytest.mark.parametrize("package", ["admin", "freeradius_module"])
def test_every_module_is_shipped(package):
    modules = {path.relative_to(CHECKOUT) for path in (CHECKOUT / package).rglob("*.py")}
    shipped = {Path(file) for file in importlib.metadata.files("prepaid-cards") if file.suffix == ".py"}
    assert modules <= shipped, "is its folder in the packages of setup.cfg?"


@pytest.mark.parametrize("package", ["admin", "freeradius_module"])
def test_every_file_beside_the_modules_is_shipped(package):
    """Templates of cards and of the report page, and translations."""
    beside = {
        path.relative_to(CHECKOUT) for path in files_under(CHECKOUT / package) if path.suffix not in (".py", ".pyc")
    }
    shipped = {Path(file) for file in importlib.metadata.files("prepaid-cards")}
    assert beside <= shipped, "is it in the package_data of setup.cfg?"


def test_every_requirement_is_pinned_with_its_hashes():
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    wanted = {line.lower() for line in setup["options"]["install_requires"].split()}
    pinned = (CHECKOUT / "requirements.txt").read_text().lower()
    missing = {name for name in wanted if f"\n{name}==" not in pinned}
    assert not missing, "run make requirements"


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
