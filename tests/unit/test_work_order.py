"""The order in which pytest's workers get the tests: tests/work_order.py."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.work_order import ALONE, FIRST, LongTestsFirst

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", FIRST)
def test_what_comes_first_exists(name):
    assert (CHECKOUT / name).exists()


@pytest.mark.parametrize("name", ALONE)
def test_tests_that_may_be_apart_share_no_server_of_their_file(name):
    """A fixture of a module would be made again for each test."""
    tree = ast.parse((CHECKOUT / name).read_text(encoding="utf-8"))
    decorators = [
        ast.unparse(decorator)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
    ]
    assert [
        decorator for decorator in decorators if decorator.startswith("pytest.fixture") and "scope" in decorator
    ] == []


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        (f"{ALONE[0]}::test_a[x]", f"{ALONE[0]}::test_a[x]"),
        ("tests/acceptance/test_stack.py::test_a[x]", "tests/acceptance/test_stack.py"),
    ],
)
def test_a_worker_gets_a_file_or_a_test_that_may_be_apart(test, unit):
    config = SimpleNamespace(option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _name: ["popen"])
    assert LongTestsFirst(config, _Log())._split_scope(test) == unit
    assert config.option.loadscopereorder is False


class _Log:
    def __getattr__(self, _name):
        return self

    def __call__(self, *_arguments):
        return None
