"""tests/mutants: its table names files and tests that exist."""

from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", mutants.TESTS)
def test_every_changed_file_and_its_tests_exist(path):
    assert [name for name in [path, *mutants.TESTS[path]] if not (CHECKOUT / name).exists()] == []


def test_a_folder_stands_for_all_modules_in_it(monkeypatch):
    monkeypatch.setattr(mutants, "TESTS", {"freeradius_module/rules": ["tests/unit"]})
    assert mutants.files()["freeradius_module/rules/usage.py"] == ["tests/unit"]


def test_python_and_sql_have_places_to_change():
    assert mutants.places("freeradius_module/rules/usage.py") and mutants.places("sql/schema.sql")


def test_every_place_that_makes_no_difference_exists():
    names = {mutants.lasting_name(change) for path in mutants.files() for change in mutants.places(path)}
    assert set(mutants.reasons()) <= names
