"""The help of every command: a sentence, an example, in the reader's language, without a database."""

import click
import pytest

from admin.cli import cli
from admin.shell.command import Option


def commands(group=cli, path=("prepaid",)):
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_has_a_sentence_and_an_example(path):
    text = LEAVES[path].help
    assert text.split("\n")[0].rstrip().endswith("."), text
    assert "Example:" in text and " ".join(path) in text


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_has_a_sentence_and_can_be_translated(path):
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert isinstance(parameter, Option), f"{parameter.name} is not made by admin.shell.command.option"
            assert parameter.help, parameter.name


def test_help_needs_neither_option_file_nor_database(office):
    for path in COMMANDS:
        result = office.run("--config", "/nowhere/prepaid.cnf", *path[1:], "--help")
        assert result.exit_status == 0 and result.stdout.startswith("Usage: ")


def test_commands_that_print_data_take_json():
    silent = {path for path, command in LEAVES.items() if not any(p.name == "as_json" for p in command.params)}
    assert {path for path in silent if path[1] not in ("raddb", "completion", "browse", "metrics")} == set()


@pytest.mark.parametrize(("language", "daily"), [("en", "Every day"), ("pt_BR", "Todo dia")])
def test_the_help_lists_commands_by_who_uses_them(office, language, daily):
    shown = office.must("--lang", language, "--help").stdout
    sections = {block.splitlines()[0]: block for block in shown.split("\n\n") if block[:1].strip()}
    (first,) = (block for heading, block in sections.items() if heading.startswith(daily))
    assert [line.split()[0] for line in first.splitlines()[1:]][:3] == ["generate", "import", "export"]
    (system,) = (block for heading, block in sections.items() if heading.startswith(("System", "Sistema")))
    assert "\n  raddb " in system and "\n  raddb " not in first


def test_every_command_is_in_one_section():
    placed = [name for names in cli.sections.values() for name in names]
    assert sorted(placed) == sorted(name for name, command in cli.commands.items() if not command.hidden)


def test_a_mistyped_command_gets_a_suggestion(office):
    result = office.run("delivr")
    assert result.exit_status == 2 and "deliver" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--nonsense",), ("list", "--nonsense"), ("show",), ("nas", "add", "x"), ("nas", "?")]
)
def test_wrong_usage_is_exit_2_on_stderr(office, arguments):
    result = office.run(*arguments)
    assert result.exit_status == 2 and result.stderr and not result.stdout
