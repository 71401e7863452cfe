"""prepaid setup: shows a plan, asks once, does each step once, and undoes what it began if a step fails."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..doctor import command as doctor
from ..doctor.finding import Installation
from ..freeradius import files as raddb_files
from ..freeradius import program, raddb_directory
from ..shell import errors, output
from ..shell.command import Decorated, cli, json_option, option, pass_office
from ..shell.office import Office
from ..shell.shared_options import dry_run_option, require_yes, together, yes_option
from ..shell.text import _, plural
from . import accounts, catalogue, database, freeradius, option_files, units
from . import answers as questions
from . import remove as removal
from .machine import Machine
from .steps import Step, run


def question_options() -> Callable[[Decorated], Decorated]:
    """An option for each question.  None of them has a default of click's, so that the answers file can have one."""
    return together(
        *(
            option(f"--{question.name.replace('_', '-')}", type=question.type, help=questions.help_of(question))
            for question in questions.QUESTIONS
        )
    )


@cli.command()
@option(
    "--answers",
    "answers_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with answers, lines like nas_name = hotspot-1: the options' names, with _ for -.",
)
@question_options()
@option(
    "--remove", is_flag=True, help="Take out FreeRADIUS' side, the units and the option files; database and key stay."
)
@option(
    "--remove-data",
    is_flag=True,
    help="With --remove: also drop the database with all cards, and remove key and queue. Asks for the database's name.",
)
@dry_run_option
@yes_option
@json_option
@pass_office
def setup(
    office: Office,
    /,
    answers_file: Path | None,
    remove: bool,
    remove_data: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Install everything on this machine: database, key, option files, FreeRADIUS' side, units, first NAS and product.

    It asks what it has to know, shows what it will do, and asks once. What is done already is left as it is, so it can be run
    again. If a step fails, everything that this run did is undone. At the end it runs doctor. Run it as root.

    \b
    Example:
        sudo prepaid setup
        sudo prepaid setup --dry-run
        sudo prepaid setup --yes --answers prepaid-answers.conf
        sudo prepaid setup --remove
    """
    if os.geteuid() != 0:
        raise errors.Refused(_("Only root can do this. Run it with sudo. Nothing was changed."))
    if remove_data and not remove:
        raise errors.WrongUsage(_("--remove-data belongs to --remove."))
    from_file = questions.read_file(answers_file) if answers_file else {}
    machine = Machine(
        Path(os.path.abspath(office.config_path)),
        questions.collect(options, from_file, ask=not (yes or dry_run or as_json or remove)),
    )
    if remove:
        machine = removal.machine_as_it_is(machine)
        steps = removal.plan(machine, remove_data=remove_data)
    else:
        steps = plan(machine)
    if dry_run:
        _print_plan(steps, as_json)
        return
    if not yes:
        _print_plan(steps, as_json=False)
        require_yes(_("Do this?"))
    if remove_data:
        _require_name(machine.answers.database)
    done = _run(steps, as_json)
    if remove:
        _say_what_stays(machine, done, as_json, remove_data)
    else:
        _finish(machine, done, as_json)


def _run(steps: list[Step], as_json: bool) -> list[dict[str, Any]]:
    """Do the steps; returns a row for each.  Without JSON, each row is printed when its step is done."""
    done: list[dict[str, Any]] = []

    def report(number: int, step: Step, is_new: bool) -> None:
        done.append({"step": number, "name": step.name, "state": "done" if is_new else "already"})
        if not as_json:
            word = _("done") if is_new else _("was done already")
            output.print_text(f"{number}. {step.name}: {word}")

    run(steps, report)
    return done


def plan(machine: Machine) -> list[Step]:
    """All steps in their order.  Raises an error for what no step could do, before anything is changed."""
    answers = machine.answers
    if not re.fullmatch(r"[A-Za-z0-9_]{1,48}", answers.database):
        raise errors.WrongUsage(
            _("{name!r} is not the name of a database. Use up to 48 letters, digits and _."), name=answers.database
        )
    if answers.admin_file:
        machine.admin_settings()
    raddb_directory.check_is_raddb(answers.directory)
    raddb_files.check_version(program.freeradius_version())
    return [
        *accounts.steps(machine),
        *option_files.steps(machine),
        *database.steps(machine),
        *catalogue.steps_of_nas(machine),
        *units.steps(machine),
        *freeradius.steps(machine),
        *catalogue.steps_of_product(machine),
    ]


def _print_plan(steps: list[Step], as_json: bool) -> None:
    rows = [
        {"step": number, "name": step.name, "state": "already" if step.is_done() else "planned"}
        for number, step in enumerate(steps, start=1)
    ]
    if as_json:
        output.print_rows(rows, as_json)
        return
    for row in rows:
        done = f" [{_('was done already')}]" if row["state"] == "already" else ""
        output.print_text(f"{row['step']}. {row['name']}{done}")


def _finish(machine: Machine, done: list[dict[str, Any]], as_json: bool) -> None:
    """Say what a person has to do, and run doctor."""
    findings: list[dict[str, Any]] = []
    to_start = []
    if units.is_systemd():
        machine.read_options_again()
        findings = [
            finding._asdict() for finding in doctor.examine(Installation(machine.office, machine.answers.directory))
        ]
    else:
        to_start = [f"{program.freeradius_program()} -d {machine.answers.raddb}", *units.by_hand(machine)]
    if as_json:
        output.print_record({"steps": done, "start": to_start, "doctor": findings}, as_json)
    elif to_start:
        output.print_text(_("systemd does not run here. Start these yourself, then run 'prepaid doctor':"))
        for line in to_start:
            output.print_text(f"    {line}")
    else:
        output.print_rows(findings)
    faults = sum(finding["state"] == "fault" for finding in findings)
    if faults:
        raise errors.Refused(
            plural(
                "Everything was installed, but {count} thing is at fault. What to do is beside it.",
                "Everything was installed, but {count} things are at fault. What to do is beside each of them.",
                faults,
            ),
            count=faults,
        )


def _require_name(database: str) -> None:
    """The confirmation that --yes does not give: what people paid for is lost."""
    question = _("All cards and their history are lost. Type the name of the database to drop it, {database}")
    typed = click.prompt(question.format(database=database), default="", show_default=False, err=True)
    if typed != database:
        raise errors.Refused(_("Nothing was changed."))


def _say_what_stays(machine: Machine, done: list[dict[str, Any]], as_json: bool, remove_data: bool) -> None:
    stays = [] if remove_data else [machine.answers.database, str(machine.folder / "key"), machine.answers.queue]
    if as_json:
        output.print_record({"steps": done, "stays": stays}, as_json)
    elif stays:
        output.print_text(
            _(
                "These stay: the database {database}, the key {key}, the queue {queue}. 'prepaid setup' uses them again."
            ).format(database=stays[0], key=stays[1], queue=stays[2])
        )
