"""prepaid raddb install, check: raddb-config/ in FreeRADIUS' own directory.

Beside the files lies `prepaid.installed`: what was chosen, and a checksum of every file as we wrote it.  By it a
second install chooses the same again, and a file that somebody has edited since is known and not overwritten.
"""

import hashlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
from importlib import metadata
from pathlib import Path

import click

from ..shell import errors, output, share
from ..shell.command import cli, json_option, option, pass_office
from ..shell.text import _
from . import certificates, local_dictionary
from . import files as raddb_files
from .files import Choice

DEFAULT_DIR = "/etc/freeradius/3.0"
RECORD = "prepaid.installed"

CERTIFICATES = Path("certs/prepaid")


@cli.group()
def raddb():
    """FreeRADIUS' side: put our sites and modules into its directory, and see whether they are there as they should."""


dir_option = option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIR,
    help="FreeRADIUS' directory, where radiusd.conf is.  [/etc/freeradius/3.0]",
)


@raddb.command()
@dir_option
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
@option("--force", is_flag=True, help="Overwrite files that somebody has edited; they are kept as FILE.before.")
@json_option
@pass_office
def install(office, directory, serve, addresses, auth_port, acct_port, instances, force, as_json):
    """Put the sites, modules and policies of prepaid cards into FreeRADIUS' directory and enable them.

    What is there already stays as it is; what was chosen the last time is chosen again unless it is said anew.
    Restart FreeRADIUS afterwards: it does not read Python again by itself.

    \b
    Example:
        sudo prepaid raddb install --dir /etc/freeradius/3.0
    """
    check_is_raddb(directory)
    version = freeradius_version()
    raddb_files.check_version(version)
    record = read_record(directory)
    before = record["choice"]
    choice = chosen(
        office,
        {
            "serve": serve or before.get("serve"),
            "addresses": tuple(map(raddb_files.checked_address, addresses)) or tuple(before.get("addresses", ())),
            "auth_port": auth_port or before.get("auth_port"),
            "acct_port": acct_port or before.get("acct_port"),
            "instances": raddb_files.instances_for(version, instances or before.get("wanted_instances")),
        },
    )
    texts = raddb_files.files(choice, template)

    edited = [path for path in texts if is_edited(directory, path, texts[path], record)]
    if edited and not force:
        raise errors.Refused(
            _(
                "Somebody has edited {files} since they were installed. See the changes with 'prepaid raddb check --dir "
                "{directory}'; --force writes ours over them and keeps theirs as FILE.before."
            ),
            files=", ".join(edited),
            directory=directory,
        )

    done = write_files(directory, texts, keep=edited)
    done += local_dictionary.include(directory)
    done += write_links(directory, choice)
    done += make_certificates(directory)
    done += make_queue(directory, choice)
    write_record(directory, choice, instances or before.get("wanted_instances"), texts)
    output.print_result(
        {
            "directory": str(directory),
            "freeradius": ".".join(map(str, version)),
            "instances": choice.instances,
            "serve": choice.serve,
            "changed": done,
        },
        _("Put into {directory}: {things}. Restart FreeRADIUS.").format(directory=directory, things=", ".join(done))
        if done
        else _("Nothing to do: {directory} has it all.").format(directory=directory),
        as_json,
    )
    for problem in surroundings(office, directory, choice):
        output.print_notice(problem["what"])


@raddb.command()
@dir_option
@json_option
@pass_office
def check(office, directory, as_json):
    """Say what differs from what `prepaid raddb install` would put there, and what is in the way; exit 1 if anything.

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


def problems_of(office, directory: Path) -> list[dict]:
    """What differs from an installation, and what is in its way: `path` and `what` of each."""
    check_is_raddb(directory)
    raddb_files.check_version(freeradius_version())
    record = read_record(directory)
    choice = installed_choice(office, record)
    return differences(directory, choice, record) + surroundings(office, directory, choice)


# --- What is chosen ---------------------------------------------------------------------------------------


def chosen(office, given: dict) -> Choice:
    """The choice of the command line, or of the last installation, and that of the option file."""
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


def installed_choice(office, record: dict) -> Choice:
    """What was chosen at the last installation, with the option file as it is now."""
    before = record["choice"]
    return chosen(
        office,
        {
            "serve": before.get("serve"),
            "addresses": tuple(before.get("addresses", ())),
            "auth_port": before.get("auth_port"),
            "acct_port": before.get("acct_port"),
            "instances": raddb_files.instances_for(freeradius_version(), before.get("wanted_instances")),
        },
    )


def python_path() -> str:
    """Where radiusd finds the module and what it needs: usually one folder, the site-packages of our installation."""
    folders = []
    for package in ("freeradius_module", "pymysql", "cryptography"):
        folder = str(Path(__import__(package).__file__).resolve().parent.parent)
        if folder not in folders:
            folders.append(folder)
    return ":".join(folders)


def freeradius_program() -> str:
    """Where the FreeRADIUS is that is installed here; an ordinary user's PATH may lack its folder."""
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
    try:
        found = (directory / "radiusd.conf").exists()
    except PermissionError:
        raise errors.Refused(_("{directory} may not be read. Run this as root."), directory=directory) from None
    if not found:
        raise errors.Refused(
            _("{directory} is not FreeRADIUS' directory: it has no radiusd.conf. Name the right one with --dir."),
            directory=directory,
        )


def template(path: str) -> str:
    return (share.folder("raddb-config") / path).read_text(encoding="utf-8")


# --- What is there ----------------------------------------------------------------------------------------


def read_record(directory: Path) -> dict:
    try:
        return json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"choice": {}, "files": {}}
    except (OSError, ValueError) as error:
        raise errors.Refused(
            _("{path} cannot be read ({cause}). Restore it, or remove it and install with --force."),
            path=directory / RECORD,
            cause=error,
        ) from None


def is_edited(directory: Path, path: str, wanted: str, record: dict) -> bool:
    """Whether a file is neither as we want it nor as we left it."""
    found = content(directory / path)
    return found not in (None, wanted) and checksum(found) != record["files"].get(path)


def differences(directory: Path, choice: Choice, record: dict) -> list[dict]:
    """What an installation of this choice would change."""
    found = []
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
    for link in raddb_files.links(choice):
        if not (directory / link).exists():
            found.append({"path": link, "what": _("is not enabled")})
    for link in raddb_files.unwanted_links(choice):
        if (directory / link).is_symlink():
            found.append({"path": link, "what": _("is enabled, and this server does not serve it")})
    return found


def surroundings(office, directory: Path, choice: Choice) -> list[dict]:
    """What is not ours and is in the way of serving prepaid cards."""
    found = []
    ours = {("auth", str(choice.auth_port))} if choice.serve in ("both", "auth") else set()
    ours |= {("acct", str(choice.acct_port))} if choice.serve in ("both", "acct") else set()
    own_sites = raddb_files.sites(choice)
    for site in sorted((directory / "sites-enabled").iterdir()):
        taken = set() if site.name in own_sites else raddb_files.listeners(content(site) or "") & ours
        if taken:
            found.append(
                {
                    "path": f"sites-enabled/{site.name}",
                    "what": _(
                        "The site {site} listens on {ports}, too, so FreeRADIUS will not start. Disable it (rm "
                        "{path}), or install with --auth-port and --acct-port for others."
                    ).format(site=site.name, ports=", ".join(sorted(port for _kind, port in taken)), path=site),
                }
            )
    user = radiusd_user(directory)
    if user and not may_read(user, Path(choice.option_file)):
        found.append(
            {
                "path": choice.option_file,
                "what": _(
                    "FreeRADIUS runs as {user}, who may not read {path}. Say: chgrp {group} {path}; chmod 0640 {path} "
                    "(and the same for the key file)."
                ).format(user=user, group=user, path=choice.option_file),
            }
        )
    return found


# --- Writing ----------------------------------------------------------------------------------------------


def write_files(directory: Path, texts: dict[str, str], keep: list[str]) -> list[str]:
    done = []
    for path, text in texts.items():
        target = directory / path
        if content(target) == text:
            continue
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
                    "FreeRADIUS' own module {module} is not in {directory}/mods-available. Restore the packaged files of "
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
    """A private authority and a certificate signed by it for EAP, if there is none; good for a trial."""
    folder = directory / CERTIFICATES
    if (folder / "server.pem").exists():
        return []
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    give(directory, folder)
    for name, content_bytes in certificates.certificates(socket.getfqdn()).items():
        write(directory, folder / name, content_bytes.decode())
    return [str(CERTIFICATES)]


def make_queue(directory: Path, choice: Choice) -> list[str]:
    """The directory of the queue; only who charges may look inside."""
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


def write_record(directory: Path, choice: Choice, wanted_instances: int | None, texts: dict[str, str]) -> None:
    record = {
        "about": "Written by 'prepaid raddb install'; it knows by this what it wrote and what was edited since.",
        "version": metadata.version("prepaid-cards"),
        "choice": {
            "serve": choice.serve,
            "addresses": list(choice.addresses),
            "auth_port": choice.auth_port,
            "acct_port": choice.acct_port,
            "wanted_instances": wanted_instances,
        },
        "files": {path: checksum(text) for path, text in texts.items()},
    }
    write(directory, directory / RECORD, json.dumps(record, indent=1) + "\n")


def write(directory: Path, path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by FreeRADIUS and nobody else."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        with open(unfinished, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o640)) as file:
            file.write(text)
        give(directory, unfinished)
        unfinished.rename(path)
    except OSError as error:
        raise errors.Refused(
            _("{path} cannot be written: {cause}. Run this as root."), path=path, cause=error.strerror
        ) from None


def give(directory: Path, path: Path) -> None:
    """Give it to whom FreeRADIUS' own files belong."""
    if os.geteuid() == 0:
        owner = (directory / "radiusd.conf").stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


# --- Small questions --------------------------------------------------------------------------------------


def content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        return None


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def first_difference(text: str, wanted: str) -> int:
    """The number of the first line that is not as it should.

    >>> first_difference("a\\nb\\n", "a\\nc\\n"), first_difference("a\\n", "a\\nb\\n")
    (2, 2)
    """
    ours, theirs = text.splitlines(), wanted.splitlines()
    for number, (left, right) in enumerate(zip(ours, theirs, strict=False), start=1):
        if left != right:
            return number
    return min(len(ours), len(theirs)) + 1


def radiusd_user(directory: Path) -> str | None:
    """Whom FreeRADIUS becomes, if its files say so and the account exists."""
    found = re.search(r"(?m)^\s*user\s*=\s*(\S+)", content(directory / "radiusd.conf") or "")
    try:
        return found and pwd.getpwnam(found[1]) and found[1]
    except KeyError:
        return None


def quarantine_in_log(directory: Path) -> Path:
    """Where the quarantine is if the option file names no queue: as mods-available/prepaid_queue has it."""
    found = re.search(r"(?m)^\s*logdir\s*=\s*\"?([^\s\"$]+)\"?\s*$", content(directory / "radiusd.conf") or "")
    return Path(found[1] if found else "/var/log/freeradius") / "prepaid-quarantine"


def may_read(user: str, path: Path) -> bool:
    """Whether an account may read a file, by its mode."""
    return _has_mode(user, path, 0o4)


def may_write(user: str, folder: Path) -> bool:
    """Whether an account may make files in a folder, by its mode."""
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
