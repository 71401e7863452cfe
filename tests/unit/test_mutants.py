"""tests/mutants: which places it changes, and which tests it runs for each."""

from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants
from tests.mutants import changes

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", [*mutants.FILES, *mutants.ALONE, *mutants.SERVED])
def test_every_changed_file_and_every_test_exists(name):
    assert (CHECKOUT / name).exists()


def test_a_folder_stands_for_all_modules_in_it():
    assert "freeradius_module/rules/usage.py" in mutants.files()


def test_python_and_sql_have_places_to_change():
    assert mutants.places("freeradius_module/rules/usage.py") and mutants.places("sql/schema.sql")


def test_every_place_that_makes_no_difference_exists():
    names = {mutants.lasting_name(change) for path in mutants.files() for change in mutants.places(path)}
    assert set(mutants.reasons()) <= names


def test_every_trigger_of_the_schema_is_found():
    text = (CHECKOUT / "sql/schema.sql").read_text()
    found = [one for one in changes.objects(text) if one.kind == "TRIGGER"]
    assert len(found) == text.count("\nCREATE TRIGGER ")
    assert all(text[one.start : one.end].startswith("CREATE TRIGGER") for one in found)


def test_a_place_in_a_function_belongs_to_its_statement():
    path = "freeradius_module/store/posting.py"
    inside = [one for one in mutants.places(path) if mutants.statement_at(one)]
    assert inside
    assert all(one.line in mutants.statement_at(one) for one in inside)
