"""What tests of `prepaid doctor` share."""

import pytest

from tests.office import Office


@pytest.fixture
def doctor(stack, office):
    """The findings of `prepaid doctor`."""

    def doctor(*arguments, stdin=None, option_file=None):
        asked = Office(option_file) if option_file else office
        result = asked.program("doctor", "--json", *arguments, stdin=stdin)
        rows = result.json()
        assert result.exit_status == (1 if any(row["state"] == "fault" for row in rows) else 0)
        return rows

    return doctor


def faults(rows) -> dict[str, str]:
    assert all(row["what_to_do"] or row["detail"] for row in rows)
    return {row["check"]: row["detail"] for row in rows if row["state"] == "fault"}


def state_of(rows, check: str) -> str:
    found = [row["state"] for row in rows if row["check"] == check]
    assert found, f"{check} was not checked"
    return found[0]


@pytest.fixture
def options(stack, tmp_path):
    """A changed copy of the option file."""

    def options(old: str, new: str) -> str:
        text = stack.option_file.read_text()
        assert old in text
        path = tmp_path / "prepaid.cnf"
        path.write_text(text.replace(old, new))
        path.chmod(0o600)
        return path

    return options
