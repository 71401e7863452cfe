"""The questions of prepaid setup: their page, their file."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from admin.setup import answers
from admin.shell import errors

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "setup.md").read_text(encoding="utf-8")


def test_every_question_is_an_answer():
    assert [field.name for field in fields(answers.Answers)] == list(answers.BY_NAME)


@pytest.mark.parametrize("question", answers.QUESTIONS, ids=lambda question: question.name)
def test_the_page_has_every_key_with_its_default(question):
    (row,) = re.findall(rf"(?m)^\| .*`{question.name}`.*$", PAGE)
    if question.default is not None:
        assert f"`{question.default}`" in row


def test_the_example_of_the_page_can_be_read(tmp_path):
    (example,) = re.findall(r"(?m)^    freeradius = into\n(?:    .*\n)+", PAGE)
    (tmp_path / "answers").write_text(example)
    found = answers.collect({}, answers.read_file(tmp_path / "answers"), ask=False)
    assert (found.product_name, found.nas_vendor, found.auth_port) == ("10 hours", "mikrotik", 11812)


def test_an_option_is_before_the_file_and_the_file_before_the_default():
    found = answers.collect({"auth_port": 1, "site": None}, {"auth_port": "2", "acct_port": "3", "site": ""}, ask=False)
    assert (found.auth_port, found.acct_port, found.site) == (1, 3, "default")


def test_a_path_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = answers.collect({"raddb": "raddb"}, {"queue": "queue"}, ask=False)
    assert (found.raddb, found.queue) == (str(tmp_path / "raddb"), str(tmp_path / "queue"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words", "Line 1"),
        ("# x\n= 3", "Line 2"),
        ("nas_adress = 1", "'nas_address'"),
        ("lang = en\nlang = en", "Line 2 of .* twice"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, said):
    (tmp_path / "answers").write_text(text)
    with pytest.raises(errors.WrongUsage, match=said):
        answers.read_file(tmp_path / "answers")


@pytest.mark.parametrize(("key", "value"), [("auth_port", "0"), ("freeradius", "beside"), ("nas_vendor", "nobody")])
def test_a_wrong_value_is_named(key, value):
    with pytest.raises(errors.WrongUsage, match=f"{key} = {value} of the answers file is wrong"):
        answers.collect({}, {key: value}, ask=False)
