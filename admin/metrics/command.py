"""prepaid metrics: the installation's numbers for Prometheus."""

import os
from pathlib import Path

import click
from prometheus_client import generate_latest

from freeradius_module.whole_file import WholeFile

from ..shell import errors, output
from ..shell.command import cli, option, pass_office
from ..shell.office import Office
from ..shell.text import _
from . import database

# The file has no secrets, and node_exporter reads it with an account of its own.
MODE = 0o644


@cli.command()
@option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Replace this file, for node_exporter's textfile collector. Its name ends with .prom.",
)
@pass_office
def metrics(office: Office, path: Path | None) -> None:
    """Print cards, sessions, queues and the last runs of the nightly work as metrics for Prometheus.

    Without the database it prints what is known without it, prepaid_database_up 0 among it, and the exit status is 3.

    \b
    Example:
        prepaid metrics
        prepaid metrics --output /var/lib/prometheus/node-exporter/prepaid.prom
    """
    found, fault = database.registry(office)
    text = generate_latest(found)
    if path is None:
        output.print_text(text.decode().rstrip())
    else:
        _replace(path, text)
    if fault:
        raise fault


def _replace(path: Path, text: bytes) -> None:
    """A reader sees the old file or the new one, never a half."""
    if path.suffix != ".prom":
        raise errors.WrongUsage(
            _("node_exporter reads only files whose name ends with .prom; {path} does not."), path=path
        )
    try:
        with WholeFile(path, replace=True, mode=MODE) as new:
            new.file.write(text)
            os.fchmod(new.file.fileno(), MODE)
            new.publish()
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}."), path=path, cause=error.strerror or error
        ) from error
