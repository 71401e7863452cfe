"""prepaid doctor: check the whole installation, from the option file to a login on the running server.

A check is a function that yields findings.  `CHECKS` lists them in their order; each file has the checks of one group.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from freeradius_module.connection import DatabaseAway, WrongSchema
from freeradius_module.sealing import keyring, pin
from freeradius_module.settings import SettingsError

from ..freeradius import files as raddb_files
from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.office import Office
from ..shell.pin_input import read_pin
from ..shell.text import plural, translated
from . import (
    certificates,
    clock,
    database,
    engine,
    freeradius,
    login,
    nagios,
    nas_reports,
    option_file,
    queue,
    running,
    server,
    timers,
)
from .finding import NAMES, Finding, Installation


@cli.command()
@option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="FreeRADIUS' directory, where radiusd.conf is.  [raddb of the option file, or /etc/freeradius/3.0]",
)
@option(
    "--card",
    "serial_text",
    metavar="SERIAL",
    help="Also log in with this card, its PIN on standard input, and report a session without use.",
)
@option(
    "--leave-out",
    "left_out",
    multiple=True,
    type=click.Choice(NAMES),
    metavar="CHECK",
    help="Do not report this check, the name in the first column; may be repeated.",
)
@option(
    "--nagios",
    "for_nagios",
    is_flag=True,
    help="One line, and the exit status of a Nagios plugin: 0 ok, 1 look, 2 fault, 3 nothing could be checked.",
)
@json_option
@pass_office
def doctor(
    office: Office,
    directory: Path | None,
    serial_text: str | None,
    left_out: tuple[str, ...],
    for_nagios: bool,
    as_json: bool,
) -> None:
    """Check the whole installation, a login on the running FreeRADIUS included; exit 1 if anything is at fault.

    Run it as root on the machine of FreeRADIUS. A login with a serial that does not exist must be refused; with --card
    a login with a card of yours must be accepted. Such logins are recorded like any other; nothing else is changed.

    \b
    Example:
        sudo prepaid doctor
        sudo prepaid doctor --card LIVRE000000016 < pin.txt
        sudo prepaid doctor --nagios --leave-out secure_timestamp
    """
    began = time.monotonic()
    card_pin = read_pin() if serial_text else None
    try:
        directory = directory or Path(office.settings("prepaid").get("raddb") or raddb_files.DEFAULT_DIR)
        found = list(examine(Installation(office, directory, serial_text, card_pin)))
    except errors.OfficeError as error:
        if not for_nagios:
            raise
        _print_for_nagios(*nagios.unknown(str(error)))
    findings = [finding for finding in found if finding.check not in left_out]
    if for_nagios:
        _print_for_nagios(*nagios.summary(findings, began))
    output.print_rows((finding._asdict() for finding in findings), as_json)
    faults = sum(finding.state == "fault" for finding in findings)
    if faults:
        raise errors.Refused(
            plural(
                "{count} thing is at fault. What to do is beside it.",
                "{count} things are at fault. What to do is beside each of them.",
                faults,
            ),
            count=faults,
        )


def _print_for_nagios(line: str, status: int) -> NoReturn:
    output.print_text(line)
    raise click.exceptions.Exit(status)


class Check(NamedTuple):
    """One check.  `name` is the `check` of the finding if the check itself cannot be done."""

    name: str
    run: Callable[[Installation], Iterator[Finding]]
    needs_database: bool = False


CHECKS = (
    Check("database", database.check_connection),
    Check("module_account", database.check_module_account, needs_database=True),
    Check("server_settings", database.check_server_settings, needs_database=True),
    Check("binary_log", server.check_binary_log, needs_database=True),
    Check("buffer_pool", server.check_memory, needs_database=True),
    Check("data_disk", server.check_data_disk, needs_database=True),
    Check("connections", server.check_connections, needs_database=True),
    Check("locks", database.check_locks, needs_database=True),
    Check("clock", database.check_clock, needs_database=True),
    Check("clock", clock.check_ntp),
    Check("key_file", option_file.check_key_file, needs_database=True),
    Check("nas", login.check_nas, needs_database=True),
    Check("nas_reports", nas_reports.check_nas_reports, needs_database=True),
    Check("nightly_work", database.check_services, needs_database=True),
    Check("nightly_runs", timers.check_nightly_runs, needs_database=True),
    Check("queue", queue.check_queue),
    Check("engine", engine.check_engine),
    Check("freeradius", freeradius.check_freeradius),
    Check("certificates", certificates.check_certificates),
    Check(running.NAME, running.check_running),
    Check(running.UNITS, running.check_units),
    Check("login", login.check_login, needs_database=True),
)


def examine(installation: Installation) -> Iterator[Finding]:
    """Do every check that can be done.  An option file that cannot be read is an error of the command itself."""
    yield from option_file.check_option_file(installation)
    has_database = False
    for check in CHECKS:
        if check.needs_database and not has_database:
            continue
        for finding in _run(check, installation):
            has_database |= finding.check == "database" and finding.state == "ok"
            yield finding


def _run(check: Check, installation: Installation) -> Iterator[Finding]:
    """An error that stops a check is a finding, too: its sentence says what to do."""
    try:
        yield from check.run(installation)
    except (errors.OfficeError, DatabaseAway, WrongSchema) as error:
        yield Finding(check.name, "fault", str(error))
    except (keyring.KeyFileError, pin.SealError, SettingsError) as error:
        yield Finding(check.name, "fault", translated(error))
