"""Completion, suggestions and pipes: what users of a terminal expect of a command."""

import os
import re
import shlex
import subprocess

import pytest

from tests.office import Office
from tests.stack.stack import PREPAID


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete"), ("zsh", "#compdef prepaid"), ("fish", "complete")])
def test_a_shell_gets_its_script(office, shell, word):
    assert word in office.must("completion", shell).stdout


def test_an_unknown_shell_is_wrong_usage(office):
    result = office.run("completion", "csh")
    assert result.exit_status == 2 and "bash" in result.stderr


def test_bash_completes_commands_and_options(office):
    script = office.must("completion", "bash").stdout
    for typed, expected in (
        ("del", {"delete", "deliver"}),
        ("deliver --par", {"--partner"}),
        ("export --format x", {"xlsx"}),
    ):
        words = ["prepaid", *typed.split()]
        # What bash does when the user presses tab; the script names its function.
        asked = f"""{script}
            COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
            $(complete -p prepaid | sed 's/.*-F *\\([^ ]*\\).*/\\1/') prepaid
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "-c", asked],
            capture_output=True,
            text=True,
            env=os.environ | {"PATH": f"{PREPAID.parent}:{os.environ['PATH']}"},
        )
        assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("generate --product ", {"Dez\\ horas", "Dois\\ GB"}),
        ("list --product De", {"Dez\\ horas"}),
        ("product show dez\\ h", {"Dez\\ horas"}),
        ("deliver --partner ", {"Banca"}),
        ("nas show ", {"loopback"}),
        ("list --product nothing", {""}),
    ],
)
def test_bash_completes_names_of_the_database(office, typed, expected):
    office.must("product", "add", "Dez horas", "--kind", "internet", "--time", "10h")
    office.must("product", "add", "Dois GB", "--kind", "internet", "--traffic", "2GB")
    office.must("partner", "add", "Banca")
    assert set(completed(office, typed)) == expected


def test_without_a_database_nothing_is_completed_and_nothing_printed(office, tmp_path):
    nowhere = tmp_path / "prepaid.cnf"
    nowhere.write_text("[prepaid-admin]\nuser = x\nunix_socket = /nowhere\n")
    assert completed(Office(nowhere), "generate --product ") == [""]


def completed(office, typed: str) -> list[str]:
    """What bash offers when the user presses tab after these words."""
    words = ["prepaid", *re.split(r"(?<!\\) ", typed)]
    asked = f"""{office.must("completion", "bash").stdout}
        COMP_WORDS=({" ".join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}
        $(complete -p prepaid | sed 's/.*-F *\\([^ ]*\\).*/\\1/') prepaid
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", asked],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{PREPAID.parent}:{os.environ['PATH']}", "PREPAID_CONFIG": str(office.option_file)},
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("delivr",), "deliver"),
        (("product", "lst"), "list"),
        (("list", "--bacth", "1"), "--batch"),
        (("product", "show", "Dez hora"), "Dez horas"),
        (("partner", "show", "Banca do Nort"), "Banca do Norte"),
    ],
)
def test_a_typing_error_gets_a_suggestion(office, typed, meant):
    office.run("product", "add", "Dez horas", "--kind", "internet", "--time", "10h")
    office.run("partner", "add", "Banca do Norte")
    result = office.run(*typed)
    _said, asked, names = result.stderr.partition("Did you mean")
    assert result.exit_status and asked and meant in names


def test_a_reader_that_closes_the_pipe_is_no_error(office):
    office.stock(300, "--time", "10m")
    command = f"{PREPAID} --config {office.option_file} list --limit 300 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""


def test_a_pipe_gets_a_line_for_each_card_and_nothing_else(office):
    cards = office.stock(3, "--time", "10m")
    lines = office.program("list", "--batch", cards[0].batch).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [card.serial for card in cards]
