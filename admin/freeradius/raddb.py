"""prepaid raddb install, check, remove: put raddb-config/ into FreeRADIUS' directory, compare the two, take it out again."""

from pathlib import Path

import click

from ..shell import errors, output
from ..shell.command import cli, json_option, option, pass_office
from ..shell.office import Office
from ..shell.text import _, plural
from . import files as raddb_files
from .check import problems_of, surroundings
from .install import install_files
from .program import freeradius_version
from .remove import remove_files


@cli.group()
def raddb() -> None:
    """FreeRADIUS' side: put the product's sites and modules into its directory, and compare them with what is there."""


dir_option = option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=raddb_files.DEFAULT_DIR,
    help="FreeRADIUS' directory, where radiusd.conf is.  [/etc/freeradius/3.0]",
)


@raddb.command()
@dir_option
@option(
    "--into",
    metavar="SITE",
    help="Put cards into this enabled site, beside its own customers, instead of ports of their own.",
)
@option(
    "--serve",
    type=click.Choice(raddb_files.SERVES),
    help="What this server answers: logins, accounting, or both.  [both]",
)
@option(
    "--listen",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="An address to listen on, * for every IPv4 and :: for every IPv6 one; may be repeated.  [*]",
)
@option("--auth-port", type=click.IntRange(1, 65535), help="The port for logins.  [1812]")
@option("--acct-port", type=click.IntRange(1, 65535), help="The port for accounting.  [1813]")
@option(
    "--instances",
    type=click.IntRange(1, raddb_files.INSTANCES_MAX),
    help="How many Python instances, where FreeRADIUS can have several.  [192]",
)
@option(
    "--tls/--no-tls",
    "has_tls",
    default=None,
    help="Also serve NAS over TLS (RadSec), each known by the name of its certificate; needs FreeRADIUS 3.2.7.  [no]",
)
@option("--tls-port", type=click.IntRange(1, 65535), help="The TCP port for TLS.  [2083]")
@option("--tls-certificate", type=click.Path(), metavar="FILE", help="The server's certificate.")
@option("--tls-key", type=click.Path(), metavar="FILE", help="The key of that certificate.")
@option(
    "--tls-ca",
    type=click.Path(),
    metavar="FILE",
    help="The authority that signs the certificates of your NAS, and its list of revoked ones (CRL).",
)
@option("--force", is_flag=True, help="Overwrite edited files; they are kept as FILE.before.")
@json_option
@pass_office
def install(
    office: Office,
    directory: Path,
    into: str | None,
    serve: str | None,
    addresses: tuple[str, ...],
    auth_port: int | None,
    acct_port: int | None,
    instances: int | None,
    has_tls: bool | None,
    tls_port: int | None,
    tls_certificate: str | None,
    tls_key: str | None,
    tls_ca: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Put the sites, modules and policies of prepaid cards into FreeRADIUS' directory and enable them.

    Files that are up to date stay as they are. An option that is not given has the value of the last install.
    Restart FreeRADIUS afterwards: it does not reload Python by itself.

    \b
    Example:
        sudo prepaid raddb install --dir /etc/freeradius/3.0
        sudo prepaid raddb install --into default
        sudo prepaid raddb install --tls --tls-certificate server.pem --tls-key server.key --tls-ca ca.pem
    """
    installed = install_files(
        office,
        directory,
        into=into,
        serve=serve,
        addresses=addresses,
        auth_port=auth_port,
        acct_port=acct_port,
        instances=instances,
        tls={"wanted": has_tls, "port": tls_port, "certificate": tls_certificate, "key": tls_key, "ca": tls_ca},
        force=force,
    )
    choice, done = installed
    output.print_result(
        {
            "directory": str(directory),
            "freeradius": ".".join(map(str, freeradius_version())),
            "instances": choice.instances,
            "serve": choice.serve,
            "into": choice.into or None,
            "tls": choice.tls and choice.tls._asdict(),
            "changed": done,
        },
        _("Put into {directory}: {things}. Restart FreeRADIUS.").format(directory=directory, things=", ".join(done))
        if done
        else _("Nothing to do: {directory} is up to date.").format(directory=directory),
        as_json,
    )
    for problem in surroundings(office, directory, choice):
        output.print_notice(problem["what"])


@raddb.command()
@dir_option
@option("--force", is_flag=True, help="Remove edited files, too; they are kept as FILE.before.")
@json_option
def remove(directory: Path, force: bool, as_json: bool) -> None:
    """Take the files and lines of prepaid cards out of FreeRADIUS' directory, and nothing else.

    The database, the option file, the key, the queue and certificates of your own stay. Restart FreeRADIUS afterwards.

    \b
    Example:
        sudo prepaid raddb remove --dir /etc/freeradius/3.0
    """
    done = remove_files(directory, force=force)
    output.print_result(
        {"directory": str(directory), "removed": done},
        _("Taken out of {directory}: {things}. Restart FreeRADIUS.").format(directory=directory, things=", ".join(done))
        if done
        else _("Nothing to do: {directory} has nothing of prepaid cards.").format(directory=directory),
        as_json,
    )


@raddb.command()
@dir_option
@json_option
@pass_office
def check(office: Office, directory: Path, as_json: bool) -> None:
    """List what differs from what `prepaid raddb install` would write, and what is in the way; exit 1 if there is anything.

    \b
    Example:
        prepaid raddb check --dir /etc/freeradius/3.0
    """
    problems = problems_of(office, directory)
    if as_json or problems:
        output.print_rows(problems, as_json, columns=["path", "what"])
    if problems:
        raise errors.Refused(
            plural(
                "{count} thing is not right in {directory}.",
                "{count} things are not right in {directory}.",
                len(problems),
            ),
            count=len(problems),
            directory=directory,
        )
    if not as_json:
        output.print_text(_("{directory} is as it should be.").format(directory=directory))
