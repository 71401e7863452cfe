"""Completion, suggestions and pipes: what users of a terminal expect of a command."""

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from admin import track
from tests.cli.test_languages import on_terminal
from tests.office import Office
from tests.stack.stack import PREPAID
from tests.waiting import wait_until


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


PAGER = {"PAGER": "sed s/^/paged:/", "LINES": "24"}


def test_a_long_list_goes_through_the_pager(office):
    cards = office.stock(30, "--time", "10m")
    office.stock(1, "--time", "10m")
    paged = on_terminal(office, "en", "list", env=PAGER, keyboard=True)
    assert all(f"paged:{card.serial} " in paged for card in cards)
    assert len(re.findall("^paged:", paged, re.MULTILINE)) == len(paged.splitlines()) == 32
    # A short list fits the screen; --no-pager, JSON, and a command without a keyboard (cron) get no pager.
    for arguments, keyboard in (
        (("list", "--limit", 3), True),
        (("list", "--no-pager"), True),
        (("list", "--json"), True),
        (("list",), False),
    ):
        assert "paged:" not in on_terminal(office, "en", *arguments, env=PAGER, keyboard=keyboard)
    assert "paged:" not in office.program("list", env=PAGER).stdout


def test_nothing_is_open_in_the_database_while_somebody_reads(office, database, tmp_path):
    """The pager may be open for an hour; a transaction of that age would keep old versions of all rows."""
    office.stock(30, "--time", "10m")
    reading, done = tmp_path / "reading", tmp_path / "done"
    pager = tmp_path / "pager"
    pager.write_text(
        f"#!/bin/sh\ncat > {reading}.part; mv {reading}.part {reading}\nwhile ! [ -e {done} ]; do sleep 0.1; done\n"
    )
    pager.chmod(0o755)
    with ThreadPoolExecutor() as pool:
        env = PAGER | {"PAGER": str(pager)}
        shown = pool.submit(on_terminal, office, "en", "list", env=env, keyboard=True)
        try:
            wait_until(reading.exists)
            busy = database.value("SELECT COUNT(*) FROM information_schema.INNODB_TRX")
        finally:
            done.touch()
        shown.result()
    assert busy == 0


def test_a_pipe_gets_a_heading_if_asked(office):
    (card,) = office.sell(1, "--time", "10m")
    heading, line = office.must("list", "--header").stdout.splitlines()
    row = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    found = office.json("list")[0]
    assert row["serial"] == card.serial and row["remaining_seconds"] == str(found["remaining_seconds"]) == "600"
    assert set(row) <= set(found)
    # The names are the same in every language, and are there when nothing is found.
    assert office.must("--lang", "pt_BR", "list", "--header", "--status", "blocked").stdout == heading + "\n"


@pytest.mark.parametrize(
    "command",
    ["batch list", "key list", "nas list", "nat list", "note list", "operator list", "partner list", "product list", "sessions",
     "track {serial}", "voice pending", "report stock", "report sales", "report usage", "report settlement"],
)  # fmt: skip
def test_the_heading_has_the_names_of_the_json(office, command):
    (card,) = office.sell(1, "--time", "10m")
    arguments = command.format(serial=card.serial).split()
    lines = office.must(*arguments, "--header").stdout.splitlines()
    found = office.json(*arguments)
    assert len(lines) == len(found) + 1
    if found:
        assert set(lines[0].split("\t")) <= {name for row in found for name in row} | set(track.COLUMNS), lines[0]


def test_a_pipe_gets_a_line_for_each_card_and_nothing_else(office):
    cards = office.stock(3, "--time", "10m")
    lines = office.program("list", "--batch", cards[0].batch).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [card.serial for card in cards]
