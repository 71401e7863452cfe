"""The command group `cli`, and what commands are declared with: options, and help in the reader's language.

A file of commands imports `cli, option, json_option, pass_office` from here, and cli.py imports that file.

Every error that a command raises becomes one sentence on stderr and an exit status here.
"""

import inspect
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import click
import pymysql

from freeradius_module.printable import printable
from freeradius_module.sealing.keyring import KeyFileError
from freeradius_module.sealing.pin import CryptographyError, SealError
from freeradius_module.settings import DEFAULT_PATH, SettingsError

from . import complete_names, errors, output, text
from .office import Office
from .text import _

# A command's function, or the command that click made of it.
Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)

# Of commands that no section names.
OTHERS = "Commands"

pass_office = click.make_pass_decorator(Office)


class _Translated:
    """Translates the help when it is read.  The English text, which is the message's id, is in `untranslated_help`."""

    untranslated_help: str | None

    @property
    def help(self) -> str | None:
        return self.untranslated_help and text.translated_help(self.untranslated_help)

    @help.setter
    def help(self, english: str | None) -> None:
        # Without the indentation of the source, as click shows it.
        self.untranslated_help = english and inspect.cleandoc(english)


class Option(_Translated, click.Option):
    pass


class Command(_Translated, click.Command):
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return _translated_pieces(super().collect_usage_pieces(ctx))


def _translated_pieces(pieces: list[str]) -> list[str]:
    """The pieces of a usage line, with click's own placeholders in the reader's language."""
    words = {"[OPTIONS]": _("[OPTIONS]"), "COMMAND [ARGS]...": _("COMMAND [ARGS]...")}
    return [words.get(piece, piece) for piece in pieces]


class Group(_Translated, click.Group):
    """A noun with its verbs."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return _translated_pieces(super().collect_usage_pieces(ctx))

    command_class = Command
    # Groups inside this one are of the same class.
    group_class: type[click.Group | type] | None = type


class Root(Group):
    """The command `prepaid` itself, where every error becomes a sentence and an exit status."""

    group_class = Group
    # The commands that the help lists together, by the heading; admin/cli.py sets it.
    sections: Mapping[str, Sequence[str]] = MappingProxyType({})

    def by_section(self) -> Iterator[tuple[str, list[str]]]:
        """The names of the commands in the order of the help, by the English heading; hidden ones are left out."""
        shown = [name for name in sorted(self.commands) if not self.commands[name].hidden]
        placed = {name for names in self.sections.values() for name in names}
        for heading, names in (*self.sections.items(), (OTHERS, [name for name in shown if name not in placed])):
            if names := [name for name in names if name in shown]:
                yield heading, names

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, self.commands))
        for heading, names in self.by_section():
            with formatter.section(_(heading)):
                formatter.write_dl(
                    [
                        (name.ljust(longest), self.commands[name].get_short_help_str(formatter.width - 6 - longest))
                        for name in names
                    ]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except errors.OfficeError as error:
            _fail(ctx, error)
        except pymysql.MySQLError as error:
            office = ctx.obj if isinstance(ctx.obj, Office) else Office()
            user = office.settings("prepaid-admin").get("user", "") if ctx.obj is office else ""
            _fail(ctx, errors.of_database(error, office.config_path, command=ctx.invoked_subcommand or "", user=user))
        except (KeyFileError, SealError, CryptographyError) as error:
            _fail(ctx, errors.Refused(text.translated(error)))
        except SettingsError as error:
            _fail(ctx, errors.WrongUsage(text.translated(error)))
        except click.ClickException as error:
            # click's own message repeats what was typed.
            vars(error)["message"] = printable(error.message, keep="\n")
            # "Error: " stands before it on the screen.
            head = _("Error: {message}").format(message="")
            shown = output.fitting(head + error.format_message(), sys.stderr).removeprefix(head)
            vars(error)["format_message"] = lambda: shown
            raise
        finally:
            if isinstance(ctx.obj, Office):
                ctx.obj.close()
            # After the database was closed, because a person may look at a page for an hour.
            output.show_pages()


def _fail(ctx: click.Context, error: errors.OfficeError) -> NoReturn:
    output.print_notice(_("Error: {message}").format(message=error))
    ctx.exit(error.exit_status)


def option(*declarations: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """click.option with help in the reader's language and completion of names by the shell."""
    attributes.setdefault("shell_complete", complete_names.OF_OPTION.get(declarations[0]))
    return click.option(*declarations, cls=Option, **attributes)


json_option = option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _set_language(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value:
        text.set_language(value)
    return value


@click.group(cls=Root, context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110})
@option(
    "--config",
    type=click.Path(dir_okay=False),
    envvar="PREPAID_CONFIG",
    default=DEFAULT_PATH,
    help="The option file.  [$PREPAID_CONFIG, or /etc/prepaid-cards/prepaid.cnf]",
)
@option(
    "--lang",
    type=click.Choice(text.LANGUAGES),
    is_eager=True,
    expose_value=False,
    callback=_set_language,
    help="The language of all output.  [the locale's]",
)
@click.version_option(package_name="prepaid-cards", message="prepaid %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: str) -> None:
    """Prepaid cards for internet and telephony: generate, export, deliver, track, block.

    \b
    Example:
        prepaid product add "10 hours" --kind internet --time 10h --price 10.00
        prepaid partner add "Banca do Norte" --commission 12.5
        prepaid generate --product "10 hours" --count 1000
        prepaid export --batch 1 --format csv --output batch-1.csv
        prepaid deliver --batch 1 --partner "Banca do Norte"

    Results go to stdout, everything else to stderr.
    Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 database or server not reachable.
    """
    _leave_no_core()
    ctx.obj = Office(config)


def _leave_no_core() -> None:
    """Prevent core dumps: the process' memory holds PINs and keys, and a core would write both into a file.

    The limit is one octet, not zero.  The kernel writes no file so small; and a program that receives cores
    (core_pattern with a pipe, as systemd-coredump uses) gets none either, whereas it would get one at a limit of zero.
    """
    _soft, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if most == 0 else 1, most))
