"""What `prepaid raddb check` compares: the files with those that an installation would write, and what is around them."""

import grp
import pwd
from pathlib import Path
from typing import Any

from ..shell.office import Office
from ..shell.text import _
from . import files as raddb_files
from . import local_dictionary, raddb_into, radsec
from .choices import installed_choice
from .files import Choice
from .program import freeradius_version, template
from .raddb_directory import check_is_raddb, content, has_mode, may_read, radiusd_user
from .record import Record, checksum, read_record

# A row of `prepaid raddb check`: `path` and `what`.
Problem = dict[str, Any]


def problems_of(office: Office, directory: Path) -> list[Problem]:
    """What differs from an installation, and what is in its way."""
    check_is_raddb(directory)
    raddb_files.check_version(freeradius_version())
    record = read_record(directory)
    choice = installed_choice(office, directory, record)
    return differences(directory, choice, record) + surroundings(office, directory, choice)


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
    of_tls = {(kind, str(choice.tls.port)) for kind in ("auth", "acct")} if choice.tls else set()
    own_sites = raddb_files.sites(choice)
    for site in sorted((directory / "sites-enabled").iterdir()):
        listening: set[tuple[str, str]] = (
            set() if site.name in own_sites else raddb_files.listeners(content(site) or "")
        )
        if taken := listening & ours:
            found.append(
                {
                    "path": f"sites-enabled/{site.name}",
                    "what": _(
                        "The site {site} also listens on {ports}, so FreeRADIUS cannot start. If it has customers, put the cards "
                        "into it: prepaid raddb remove; prepaid raddb install --into {site}. Otherwise disable it (rm {path}), or "
                        "choose other ports with --auth-port and --acct-port."
                    ).format(site=site.name, ports=_ports(taken), path=site),
                }
            )
        elif taken := listening & of_tls:
            found.append(
                {
                    "path": f"sites-enabled/{site.name}",
                    "what": _(
                        "The site {site} also listens on {ports}, so FreeRADIUS cannot start. Disable it (rm {path}), or choose "
                        "another port with --tls-port."
                    ).format(site=site.name, ports=_ports(taken), path=site),
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
    if choice.tls:
        found += radsec.problems(choice.tls, user)
    if user:
        found += [problem for path in read_by_freeradius(office, choice) for problem in _not_readable(user, path)]
    return found


def _ports(listening: set[tuple[str, str]]) -> str:
    return ", ".join(sorted({port for _kind, port in listening}))


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
    closed = [folder for folder in reversed(path.absolute().parents) if not has_mode(user, folder, 0o1)]
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
