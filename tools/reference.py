"""Makes the reference pages from the commands' help: docs/commands.md, and `man prepaid` in each language.

    python -m tools.reference        writes them; `make reference` does the same

The pages are in git, so that they can be read without an installation and are part of the wheel.  A test fails when
they differ from the commands' help.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from admin.cli import cli
from admin.shell import text
from admin.shell.command import Root
from admin.shell.text import _

CHECKOUT = Path(__file__).resolve().parents[1]
COMMANDS_PAGE = Path("docs/commands.md")
MAN_PAGES = {"en": Path("docs/man/man1/prepaid.1"), "pt_BR": Path("docs/man/pt_BR/man1/prepaid.1")}


def main() -> None:
    for path, page in pages().items():
        (CHECKOUT / path).parent.mkdir(parents=True, exist_ok=True)
        (CHECKOUT / path).write_text(page, encoding="utf-8")
        print(path, file=sys.stderr)


def pages() -> dict[Path, str]:
    """Each page by its path."""
    made = {}
    for language, path in MAN_PAGES.items():
        text.set_language(language)
        made[path] = man_page()
    text.set_language("en")
    made[COMMANDS_PAGE] = commands_page()
    return made


class Entry(NamedTuple):
    """The help of one command."""

    path: str
    usage: str
    parts: list[str]
    options: list[tuple[str, str]]
    is_group: bool


def entries() -> Iterator[Entry]:
    """`prepaid` itself, then all commands in the order of its help."""
    yield from _entries(cli, None)


def _entries(command: click.Command, parent: click.Context | None) -> Iterator[Entry]:
    context = click.Context(command, parent, "prepaid" if parent is None else command.name, **command.context_settings)
    options = [
        record
        for param in command.get_params(context)
        if isinstance(param, click.Option) and "--help" not in param.opts and (record := param.get_help_record(context))
    ]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield Entry(
        context.command_path, usage, text.parts_of_help(command.help or ""), options, isinstance(command, click.Group)
    )
    if isinstance(command, click.Group):
        names = (
            [name for _heading, names in command.by_section() for name in names]
            if isinstance(command, Root)
            else sorted(command.commands)
        )
        for name in names:
            if not command.commands[name].hidden:
                yield from _entries(command.commands[name], context)


def _by_section(listed: list[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """The commands by the English heading of the help's section."""
    for heading, names in cli.by_section():
        yield heading, [entry for entry in listed if entry.path.split()[1:2] and entry.path.split()[1] in names]


# --- Markdown ---------------------------------------------------------------------------------------------


def commands_page() -> str:
    listed = list(entries())
    lines = [
        "# Commands",
        "",
        "Every command with every option, as `--help` shows them. Made by `make reference`; not edited by hand.",
        "",
        "Every command that prints data takes `--json`; its form is the same in every language. Without it a terminal gets "
        "a table that fits its width (a long list goes through `$PAGER`), and a pipe gets lines with tabs between the fields, "
        "with `--header` after a line of the columns' names. `NO_COLOR=1` turns colours off. "
        "The word `none` removes a value where an option says so.",
        "",
    ]
    for heading, found in _by_section(listed):
        lines += [f"**{heading}**", ""]
        lines += [f"- [`{one.path}`](#{_anchor(one.path)}): {one.parts[0]}" for one in found if not one.is_group]
        lines.append("")
    lines.pop()
    for entry in listed:
        lines += ["", f"## {entry.path}", "", *_markdown(entry)]
    return "\n".join(lines) + "\n"


def _markdown(entry: Entry) -> Iterator[str]:
    for number, part in enumerate(entry.parts):
        if number:
            yield ""
        if part.startswith("\b\n"):
            heading, example = _verbatim(part)
            yield from ([f"{heading}", ""] if heading else [])
            yield from (f"    {line}" for line in example)
        else:
            yield re.sub(r"'(prepaid [^']*)'", r"`\1`", part)
    if not entry.is_group or entry.options:
        yield from ("", f"Usage: `{entry.usage}`")
    if entry.options:
        yield ""
        yield from (f"- `{names}`: {help_text}" if help_text else f"- `{names}`" for names, help_text in entry.options)


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


# --- man --------------------------------------------------------------------------------------------------


def man_page() -> str:
    """The manual page, in the macros of man(7).

    >>> man_page().splitlines()[0]
    '.TH PREPAID 1 "" "prepaid-cards" "prepaid-cards"'
    """
    root, *commands = entries()
    lines = [
        '.TH PREPAID 1 "" "prepaid-cards" "prepaid-cards"',
        ".ad l",
        ".nh",
        f".SH {_roff(_('NAME'))}",
        rf"prepaid \- {_roff(root.parts[0])}",
        f".SH {_roff(_('SYNOPSIS'))}",
        f".B {_roff(root.usage)}",
        f".SH {_roff(_('DESCRIPTION'))}",
        *_roff_parts(root.parts[1:]),
        f".SH {_roff(_('OPTIONS'))}",
        *_roff_options(root.options),
    ]
    for heading, found in _by_section(commands):
        lines.append(f".SH {_roff(_(heading).upper())}")
        for entry in found:
            lines += [f".SS {_roff(entry.path)}", *_roff_parts(entry.parts)]
            if not entry.is_group:
                lines += [".PP", f".B {_roff(entry.usage)}", *_roff_options(entry.options)]
    return "\n".join(lines) + "\n"


def _roff_parts(parts: list[str]) -> Iterator[str]:
    for part in parts:
        yield ".PP"
        if part.startswith("\b\n"):
            heading, example = _verbatim(part)
            yield from ([_roff(heading)] if heading else [])
            yield from (".RS 4", ".nf", *map(_roff, example), ".fi", ".RE")
        else:
            yield _roff(part)


def _roff_options(options: list[tuple[str, str]]) -> Iterator[str]:
    for names, help_text in options:
        yield from (".TP", f".B {_roff(names)}", _roff(help_text) or r"\&")


def _roff(line: str) -> str:
    r"""A line of text with escapes for what roff would interpret: backslash, hyphen, a dot or apostrophe at the beginning.

    >>> _roff("--yes"), _roff(".ssh"), _roff("a\\b"), _roff("'digits'")
    ('\\-\\-yes', '\\&.ssh', 'a\\eb', "\\&'digits'")
    """
    line = line.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _verbatim(part: str) -> tuple[str, list[str]]:
    r"""The heading of lines that must not be wrapped, and the lines without their indentation.

    >>> _verbatim("\b\nExample:\n    prepaid list")
    ('Example:', ['prepaid list'])
    >>> _verbatim("\b\nledger  a sum\nnote    a count")
    ('', ['ledger  a sum', 'note    a count'])
    """
    lines = part.splitlines()[1:]
    heading = lines.pop(0) if lines[0].endswith(":") else ""
    return heading, [line.strip() for line in lines]


if __name__ == "__main__":
    main()
