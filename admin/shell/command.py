"""What every command is made of: the group `cli`, options, and the reader's language in the help.

A file of commands says `from .command import cli, option, json_option, pass_office`, and cli.py imports the file.

Errors leave here: whatever a command raises becomes one sentence on stderr and an exit status.
"""

import inspect
import resource

import click
import pymysql

from freeradius_module.printable import printable
from freeradius_module.sealing.keyring import KeyFileError
from freeradius_module.sealing.pin import CryptographyError, SealError
from freeradius_module.settings import DEFAULT_PATH, SettingsError

from . import complete_names, errors, output, text
from .office import Office
from .text import _

pass_office = click.make_pass_decorator(Office)


class _Translated:
    """Help in the reader's language.  The English text is the key, and is found in `english_help`."""

    @property
    def help(self):
        return self.english_help and text.told_help(self.english_help)

    @help.setter
    def help(self, english):
        # Without the indentation of the source, as click shows it.
        self.english_help = english and inspect.cleandoc(english)


class Option(_Translated, click.Option):
    pass


class Command(_Translated, click.Command):
    pass


class Group(_Translated, click.Group):
    """A noun with its verbs."""

    command_class = Command
    group_class = type


class Root(Group):
    """The command `prepaid` itself, where every error becomes a sentence and an exit status."""

    group_class = Group

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except errors.OfficeError as error:
            raise _Told(error) from error
        except pymysql.MySQLError as error:
            office = ctx.obj if isinstance(ctx.obj, Office) else Office()
            user = office.settings("prepaid-admin").get("user", "") if ctx.obj is office else ""
            raise _Told(
                errors.of_database(error, office.config_path, command=ctx.invoked_subcommand or "", user=user)
            ) from error
        except (KeyFileError, SealError, CryptographyError) as error:
            raise _Told(errors.Refused(text.told(error))) from error
        except SettingsError as error:
            raise _Told(errors.WrongUsage(text.told(error))) from error
        except click.ClickException as error:
            error.message = printable(error.message, keep="\n")
            raise
        finally:
            if isinstance(ctx.obj, Office):
                ctx.obj.close()


class _Told(click.ClickException):
    def __init__(self, error: errors.OfficeError):
        super().__init__(str(error))
        self.exit_code = error.exit_status

    def show(self, file=None):
        output.hint(_("Error: {message}").format(message=self.message))


def option(*declarations, **attributes):
    """click.option with its help in the reader's language, and with the names that the shell can complete."""
    attributes.setdefault("shell_complete", complete_names.OF_OPTION.get(declarations[0]))
    return click.option(*declarations, cls=Option, **attributes)


json_option = option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _speak(ctx, param, value):
    if value:
        text.speak(value)
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
    callback=_speak,
    help="The language of what is printed.  [the locale's]",
)
@click.version_option(package_name="prepaid-cards", message="prepaid %(version)s")
@click.pass_context
def cli(ctx, config):
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
    """PINs and keys are in our memory from here on, and a core would be a file with both.

    One octet and not none: the kernel writes no core so small, and hands none to a program either (core_pattern with a
    pipe, as systemd-coredump has it), for which it would pass over a limit of none.
    """
    _soft, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if most == 0 else 1, most))
