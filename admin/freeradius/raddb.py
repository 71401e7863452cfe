"""prepaid raddb install, check, remove: put raddb-config/ into FreeRADIUS' directory, compare the two, take it out again.

The directory also gets the file `prepaid.installed`, with the choices of the installation and a checksum of every file as it
was written.  So the next install makes the same choices, and does not overwrite a file that was edited since.
"""

import grp
import hashlib
import importlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import click

from freeradius_module.whole_file import WholeFile

from ..shell import errors, output, share
from ..shell.command import cli, json_option, option, pass_office
from ..shell.office import Office
from ..shell.text import _
from . import files as raddb_files
from . import local_dictionary, raddb_into
from .files import Choice

RECORD = "prepaid.installed"

CERTIFICATES = Path("certs/prepaid")


class Record(TypedDict):
    """The content of prepaid.installed: the options of the install, and the SHA-256 of each file by its path."""

    choice: dict[str, Any]
    files: dict[str, str]
    # What else the install has made, so that `remove` knows it: links, certificates with their checksums, and the line feed
    # that it added to the local dictionary.
    links: NotRequired[list[str]]
    certificates: NotRequired[dict[str, str]]
    dictionary_line_feed: NotRequired[bool]


class Installed(NamedTuple):
    """What an install did."""

    choice: Choice
    changed: list[str]


# A row of `prepaid raddb check`: `path` and `what`.
Problem = dict[str, Any]


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
            "changed": done,
        },
        _("Put into {directory}: {things}. Restart FreeRADIUS.").format(directory=directory, things=", ".join(done))
        if done
        else _("Nothing to do: {directory} is up to date.").format(directory=directory),
        as_json,
    )
    for problem in surroundings(office, directory, choice):
        output.print_notice(problem["what"])


def install_files(
    office: Office,
    directory: Path,
    *,
    into: str | None = None,
    serve: str | None = None,
    addresses: tuple[str, ...] = (),
    auth_port: int | None = None,
    acct_port: int | None = None,
    instances: int | None = None,
    force: bool = False,
) -> Installed:
    """What `prepaid raddb install` does.  An option that is None has the value of the last install.

    Raises OfficeError before anything is changed, if the directory cannot have what is wanted.
    """
    check_is_raddb(directory)
    version = freeradius_version()
    raddb_files.check_version(version)
    record = read_record(directory)
    before = record["choice"]
    _check_options(before, into, bool(serve or addresses or auth_port or acct_port))
    site = into or before.get("into")
    choice = chosen(
        office,
        {
            "serve": serve or before.get("serve"),
            "addresses": tuple(map(raddb_files.checked_address, addresses)) or tuple(before.get("addresses", ())),
            "auth_port": auth_port or before.get("auth_port"),
            "acct_port": acct_port or before.get("acct_port"),
            "instances": raddb_files.instances_for(version, instances or before.get("wanted_instances")),
        }
        | beside(directory, site, lambda: raddb_into.forms(office, tuple(before.get("forms", ())))),
    )
    texts = raddb_files.files(choice, template)

    edited = [path for path in texts if is_edited(directory, path, texts[path], record)]
    if edited and not force:
        raise errors.Refused(
            _(
                "These files were edited since they were installed: {files}. See the changes with 'prepaid raddb check --dir "
                "{directory}'; --force overwrites them and keeps the edited ones as FILE.before."
            ),
            files=", ".join(edited),
            directory=directory,
        )
    sites = raddb_into.edited_sites(directory, choice)

    done = write_files(directory, texts, keep=edited)
    has_line_feed = local_dictionary.content(directory / local_dictionary.LOCAL)[-1:] in (b"", b"\n")
    included = local_dictionary.include(directory)
    made = write_links(directory, choice)
    certificates = make_certificates(directory) if choice.eap in ("", raddb_files.OUR_EAP) else []
    done += included + made + certificates
    done += make_queue(directory, choice)
    # Last, because the sites include the files.
    done += raddb_into.write_sites(directory, sites)
    links = [link for link in (*record.get("links", ()), *made) if (directory / link).is_symlink()]
    write_record(
        directory,
        choice,
        instances or before.get("wanted_instances"),
        texts,
        links=list(dict.fromkeys(links)),
        certificates=certificate_checksums(directory) if certificates else record.get("certificates", {}),
        dictionary_line_feed=not has_line_feed if included else record.get("dictionary_line_feed", False),
    )
    return Installed(choice, done)


def _check_options(before: dict[str, Any], into: str | None, has_port_options: bool) -> None:
    """Refuse to mix the two kinds of installation."""
    if (into or before.get("into")) and has_port_options:
        raise errors.WrongUsage(
            _(
                "--into puts cards into a site with listen sections of its own, so --serve, --listen, --auth-port and --acct-port "
                "have no meaning. For ports of their own, run 'prepaid raddb remove' first."
            )
        )
    if into and before and not before.get("into"):
        raise errors.Refused(
            _(
                "Cards have a site of their own here. Take it out first: prepaid raddb remove; then install --into {site}."
            ),
            site=into,
        )


def beside(directory: Path, site: str | None, forms: Callable[[], tuple[str, ...]]) -> dict[str, Any]:
    """The choices for cards in a site of the administrator's; none without such a site."""
    return raddb_into.look_around(directory, site)._asdict() | {"forms": forms()} if site else {}


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


def remove_files(directory: Path, *, force: bool = False) -> list[str]:
    """What `prepaid raddb remove` does.  Returns what was removed or changed.

    Raises OfficeError before anything is changed, if an edited file would be lost or a site's marks are damaged.
    """
    check_is_raddb(directory)
    record = read_record(directory)
    sites = raddb_into.edited_sites(directory, Choice("", ""))
    there = {path: text for path in record["files"] if (text := content(directory / path)) is not None}
    edited = [path for path, text in there.items() if checksum(text) != record["files"][path]]
    if edited and not force:
        raise errors.Refused(
            _(
                "These files were edited since they were installed: {files}. --force removes them and keeps the edited ones as "
                "FILE.before."
            ),
            files=", ".join(edited),
        )
    # First what refers to the files, then the files: FreeRADIUS can start at any moment in between.
    done = raddb_into.write_sites(directory, sites)
    done += local_dictionary.exclude(directory, record.get("dictionary_line_feed", False))
    for link in sorted(raddb_files.possible_links() | set(record.get("links", ()))):
        if (directory / link).is_symlink():
            _remove(directory / link)
            done.append(link)
    for path in there:
        if path in edited:
            shutil.copy2(directory / path, directory / f"{path}.before")
        _remove(directory / path)
        done.append(path)
    for name, before in record.get("certificates", {}).items():
        text = content(directory / CERTIFICATES / name)
        if text is not None and checksum(text) == before:
            _remove(directory / CERTIFICATES / name)
            done.append(str(CERTIFICATES / name))
    for folder in (CERTIFICATES, Path("prepaid.d")):
        if (directory / folder).is_dir() and not any((directory / folder).iterdir()):
            (directory / folder).rmdir()
    if (directory / RECORD).exists():
        _remove(directory / RECORD)
        done.append(RECORD)
    return done


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be removed: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None


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
            _("{count} things are not right in {directory}."), count=len(problems), directory=directory
        )
    if not as_json:
        output.print_text(_("{directory} is as it should be.").format(directory=directory))


def problems_of(office: Office, directory: Path) -> list[Problem]:
    """What differs from an installation, and what is in its way."""
    check_is_raddb(directory)
    raddb_files.check_version(freeradius_version())
    record = read_record(directory)
    choice = installed_choice(office, directory, record)
    return differences(directory, choice, record) + surroundings(office, directory, choice)


# --- What is chosen ---------------------------------------------------------------------------------------


def chosen(office: Office, given: dict[str, Any]) -> Choice:
    """The choices of the command line or of the last installation (`given`), and those of the option file."""
    settings = office.settings("prepaid")
    accounting = settings.get("accounting") or "direct"
    if accounting not in ("direct", "queued"):
        raise errors.WrongUsage(
            _("accounting = {value} in {config} is neither direct nor queued."),
            value=accounting,
            config=office.config_path,
        )
    queue = settings.get("queue") or None
    if accounting == "queued" and not queue:
        raise errors.WrongUsage(
            _("accounting = queued in {config} needs a directory for the queue: queue = /var/spool/prepaid-cards"),
            config=office.config_path,
        )
    return Choice(
        python_path=raddb_files.checked_path(python_path()),
        option_file=raddb_files.checked_path(os.path.abspath(office.config_path)),
        accounting=accounting,
        queue=queue and raddb_files.checked_path(os.path.abspath(queue)),
        **{name: value for name, value in given.items() if value},
    )


def installed_choice(office: Office, directory: Path, record: Record) -> Choice:
    """The choices of the last installation, with the option file as it is now."""
    before = record["choice"]
    return chosen(
        office,
        {
            "serve": before.get("serve"),
            "addresses": tuple(before.get("addresses", ())),
            "auth_port": before.get("auth_port"),
            "acct_port": before.get("acct_port"),
            "instances": raddb_files.instances_for(freeradius_version(), before.get("wanted_instances")),
        }
        # A batch of a new form does not make an installation wrong: see engine/whose.py.
        | beside(directory, before.get("into"), lambda: tuple(before.get("forms", ()))),
    )


def python_path() -> str:
    """The folders in which radiusd finds the module and its libraries: usually one, the site-packages of the installation."""
    packages = map(importlib.import_module, ("freeradius_module", "pymysql", "cryptography"))
    return ":".join(dict.fromkeys(str(Path(package.__path__[0]).resolve().parent) for package in packages))


def freeradius_program() -> str:
    """The path of this machine's FreeRADIUS.  Its folder may be missing in an ordinary user's PATH."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    program = shutil.which("freeradius", path=path) or shutil.which("radiusd", path=path)
    if not program:
        raise errors.Refused(
            _("FreeRADIUS is not installed here. Install it: apt-get install freeradius freeradius-python3")
        )
    return program


def freeradius_version() -> tuple[int, int, int]:
    said = subprocess.run([freeradius_program(), "-v"], capture_output=True, text=True, check=False)
    return raddb_files.parse_version(said.stdout + said.stderr)


def check_is_raddb(directory: Path) -> None:
    """Refuse a directory that is not FreeRADIUS'."""
    try:
        found = (directory / "radiusd.conf").exists()
    except PermissionError:
        raise errors.Refused(_("You may not read {directory}. Run this as root."), directory=directory) from None
    if not found:
        raise errors.Refused(
            _("{directory} is not FreeRADIUS' directory: it has no radiusd.conf. Name the right one with --dir."),
            directory=directory,
        )


def template(path: str) -> str:
    """The text of a file in raddb-config/."""
    return (share.folder("raddb-config") / path).read_text(encoding="utf-8")


# --- What is there ----------------------------------------------------------------------------------------


def read_record(directory: Path) -> Record:
    """The record of the last installation; an empty one if there was none."""
    try:
        record: Record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        return record
    except FileNotFoundError:
        return {"choice": {}, "files": {}}
    except (OSError, ValueError) as error:
        raise errors.Refused(
            _("{path} cannot be read ({cause}). Restore it, or remove it and install with --force."),
            path=directory / RECORD,
            cause=error,
        ) from None


def is_edited(directory: Path, path: str, wanted: str, record: Record) -> bool:
    """Whether a file is neither as it should be nor as the last install wrote it."""
    found = content(directory / path)
    return found is not None and found != wanted and checksum(found) != record["files"].get(path)


def differences(directory: Path, choice: Choice, record: Record) -> list[Problem]:
    """What an installation of this choice would change."""
    found: list[Problem] = []
    for path, wanted in raddb_files.files(choice, template).items():
        text = content(directory / path)
        if text is None:
            found.append({"path": path, "what": _("is missing")})
        elif text != wanted and is_edited(directory, path, wanted, record):
            found.append(
                {
                    "path": path,
                    "what": _("was edited, first in line {line}").format(line=first_difference(text, wanted)),
                }
            )
        elif text != wanted:
            found.append({"path": path, "what": _("is older than this program or its settings")})
    if not local_dictionary.is_included(local_dictionary.content(directory / local_dictionary.LOCAL)):
        found.append(
            {"path": local_dictionary.LOCAL, "what": _("does not include {path}").format(path=local_dictionary.OURS)}
        )
    for site in raddb_into.edited_sites(directory, choice):
        found.append(
            {
                "path": str(site.relative_to(directory)),
                "what": _("lacks lines of prepaid cards, or has them at another place than the beginning of a section"),
            }
        )
    for link in raddb_files.links(choice):
        if not (directory / link).exists():
            found.append({"path": link, "what": _("is not enabled")})
    for link in raddb_files.unwanted_links(choice):
        if (directory / link).is_symlink():
            found.append({"path": link, "what": _("is enabled, and this server does not serve it")})
    return found


def surroundings(office: Office, directory: Path, choice: Choice) -> list[Problem]:
    """Settings outside the product's files that prevent FreeRADIUS from serving prepaid cards."""
    found: list[Problem] = []
    ours = {("auth", str(choice.auth_port))} if choice.serve in ("both", "auth") else set()
    ours |= {("acct", str(choice.acct_port))} if choice.serve in ("both", "acct") else set()
    if choice.into:
        ours = set()
    own_sites = raddb_files.sites(choice)
    for site in sorted((directory / "sites-enabled").iterdir()):
        taken: set[tuple[str, str]] = (
            set() if site.name in own_sites else raddb_files.listeners(content(site) or "") & ours
        )
        if taken:
            found.append(
                {
                    "path": f"sites-enabled/{site.name}",
                    "what": _(
                        "The site {site} also listens on {ports}, so FreeRADIUS cannot start. If it has customers, put the cards "
                        "into it: prepaid raddb remove; prepaid raddb install --into {site}. Otherwise disable it (rm {path}), or "
                        "choose other ports with --auth-port and --acct-port."
                    ).format(site=site.name, ports=", ".join(sorted(port for _kind, port in taken)), path=site),
                }
            )
    if choice.into and raddb_into.clients_of_its_own(directory, choice.into):
        found.append(
            {
                "path": f"sites-enabled/{choice.into}",
                "what": _(
                    "The site {site} has a list of clients of its own (clients = … in listen), so the NAS of 'prepaid nas add' do "
                    "not reach it. Add each NAS to that list as well."
                ).format(site=choice.into),
            }
        )
    user = radiusd_user(directory)
    if user:
        found += [problem for path in read_by_freeradius(office, choice) for problem in _not_readable(user, path)]
    return found


def read_by_freeradius(office: Office, choice: Choice) -> list[Path]:
    """The files that FreeRADIUS' account has to read; only the option file where an engine decides and may be the only one."""
    option_file = Path(choice.option_file)
    settings = office.settings("prepaid")
    if settings.get("engine"):
        return [option_file]
    included = Path(office.options.places.get("prepaid-radius", option_file))
    key_file = Path(settings.get("key_file") or option_file.with_name("key"))
    return list(
        dict.fromkeys(path for path in (option_file, included, key_file) if path == option_file or path.exists())
    )


def _not_readable(user: str, path: Path) -> list[Problem]:
    """What keeps an account from reading a file, and the commands after which it can."""
    group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    closed = [folder for folder in reversed(path.absolute().parents) if not _has_mode(user, folder, 0o1)]
    found = [
        {
            "path": str(folder),
            "what": _(
                "FreeRADIUS runs as {user}, who may not pass the folder {path}. Run: chgrp {group} {path}; chmod g+x {path}"
            ).format(user=user, group=group, path=folder),
        }
        for folder in closed
    ]
    if not may_read(user, path):
        found.append(
            {
                "path": str(path),
                "what": _(
                    "FreeRADIUS runs as {user}, who may not read {path}. Run: chgrp {group} {path}; chmod 0640 {path}"
                ).format(user=user, group=group, path=path),
            }
        )
    return found


# --- Writing ----------------------------------------------------------------------------------------------


def write_files(directory: Path, texts: dict[str, str], keep: list[str]) -> list[str]:
    """Write the files that differ, and copy those in `keep` to FILE.before.  Returns the changed paths, like the next functions."""
    done = []
    for path, text in texts.items():
        target = directory / path
        if content(target) == text:
            continue
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o750)
            give(directory, target.parent)
        if path in keep:
            shutil.copy2(target, target.with_name(target.name + ".before"))
        write(directory, target, text)
        done.append(path)
    return done


def write_links(directory: Path, choice: Choice) -> list[str]:
    done = []
    for link, target in raddb_files.links(choice).items():
        path = directory / link
        if path.exists():
            continue
        if not (path.parent / target).exists():
            raise errors.Refused(
                _(
                    "FreeRADIUS' own module {module} is not in {directory}/mods-available. Restore the files of the package "
                    "freeradius-config."
                ),
                module=path.name,
                directory=directory,
            )
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        give(directory, path)
        done.append(link)
    for link in raddb_files.unwanted_links(choice):
        if (directory / link).is_symlink():
            (directory / link).unlink()
            done.append(_("{path} disabled").format(path=link))
    return done


def make_certificates(directory: Path) -> list[str]:
    """Make a private authority and a certificate for EAP, for a trial, if there is no certificate."""
    # Imported here, because cryptography's x509 takes a tenth of a second, and every command imports this file.
    from .certificates import certificates

    folder = directory / CERTIFICATES
    if (folder / "server.pem").exists():
        return []
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    give(directory, folder)
    for name, content_bytes in certificates(socket.getfqdn()).items():
        write(directory, folder / name, content_bytes.decode())
    return [str(CERTIFICATES)]


def make_queue(directory: Path, choice: Choice) -> list[str]:
    """Make the queue's directory, which only FreeRADIUS' account may use."""
    if not choice.queue or Path(choice.queue).is_dir():
        return []
    try:
        Path(choice.queue).mkdir(mode=0o750, parents=True)
    except OSError as error:
        raise errors.Refused(
            _("The directory {path} for the queue cannot be made: {cause}."), path=choice.queue, cause=error.strerror
        ) from None
    give(directory, Path(choice.queue))
    return [choice.queue]


def certificate_checksums(directory: Path) -> dict[str, str]:
    folder = directory / CERTIFICATES
    return {path.name: checksum(content(path) or "") for path in sorted(folder.iterdir()) if path.is_file()}


def write_record(
    directory: Path, choice: Choice, wanted_instances: int | None, texts: dict[str, str], **made: Any
) -> None:
    record = {
        "about": "Written by 'prepaid raddb install', so that it knows later what it wrote and what was edited since.",
        "version": metadata.version("prepaid-cards"),
        "choice": {
            "serve": choice.serve,
            "addresses": list(choice.addresses),
            "auth_port": choice.auth_port,
            "acct_port": choice.acct_port,
            "wanted_instances": wanted_instances,
            "into": choice.into or None,
            "forms": list(choice.forms),
        },
        "files": {path: checksum(text) for path, text in texts.items()},
        **made,
    }
    write(directory, directory / RECORD, json.dumps(record, indent=1) + "\n")


def write(directory: Path, path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by FreeRADIUS and nobody else."""
    try:
        with WholeFile(path, replace=True, mode=0o640) as new:
            new.file.write(text.encode())
            give(directory, new.file.fileno())
            new.publish()
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None


def give(directory: Path, file: Path | int) -> None:
    """Give a file, by its path or descriptor, to the owner of FreeRADIUS' own files."""
    if os.geteuid() == 0:
        owner = (directory / "radiusd.conf").stat()
        os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=isinstance(file, int))


# --- Small questions --------------------------------------------------------------------------------------


def content(path: Path) -> str | None:
    """The text of a file; None if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return None


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def first_difference(text: str, wanted: str) -> int:
    """The number of the first line that differs.

    >>> first_difference("a\\nb\\n", "a\\nc\\n"), first_difference("a\\n", "a\\nb\\n")
    (2, 2)
    """
    ours, theirs = text.splitlines(), wanted.splitlines()
    for number, (left, right) in enumerate(zip(ours, theirs, strict=False), start=1):
        if left != right:
            return number
    return min(len(ours), len(theirs)) + 1


def radiusd_user(directory: Path) -> str | None:
    """The account that FreeRADIUS runs as; None if radiusd.conf does not name an existing one."""
    found = re.search(r"(?m)^\s*user\s*=\s*(\S+)", content(directory / "radiusd.conf") or "")
    if not found:
        return None
    try:
        return pwd.getpwnam(found[1]).pw_name
    except KeyError:
        return None


def quarantine_in_log(directory: Path) -> Path:
    """The quarantine's path if the option file names no queue, as in mods-available/prepaid_queue."""
    found = re.search(r"(?m)^\s*logdir\s*=\s*\"?([^\s\"$]+)\"?\s*$", content(directory / "radiusd.conf") or "")
    return Path(found[1] if found else "/var/log/freeradius") / "prepaid-quarantine"


def may_read(user: str, path: Path) -> bool:
    """Whether the mode of a file lets this account read it."""
    return _has_mode(user, path, 0o4)


def may_write(user: str, folder: Path) -> bool:
    """Whether the mode of a folder lets this account make files in it."""
    return _has_mode(user, folder, 0o3)


def _has_mode(user: str, path: Path, bits: int) -> bool:
    account = pwd.getpwnam(user)
    try:
        status = path.stat()
    except OSError:
        return False
    if account.pw_uid == 0:
        return True
    if account.pw_uid == status.st_uid:
        shift = 6
    else:
        shift = 3 if status.st_gid in os.getgrouplist(user, account.pw_gid) else 0
    return status.st_mode >> shift & bits == bits
