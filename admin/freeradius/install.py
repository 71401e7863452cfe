"""Put raddb-config/ into FreeRADIUS' directory."""

import shutil
import socket
from pathlib import Path
from typing import Any, NamedTuple

from ..shell import errors
from ..shell.office import Office
from ..shell.text import _
from . import files as raddb_files
from . import local_dictionary, raddb_into, radsec
from .check import is_edited
from .choices import beside, chosen
from .files import Choice
from .program import freeradius_version, template
from .raddb_directory import CERTIFICATES, check_is_raddb, content, give, write
from .record import certificate_checksums, checksum, read_record, write_record


class Installed(NamedTuple):
    """What an install did."""

    choice: Choice
    changed: list[str]


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
    tls: dict[str, Any] | None = None,
    force: bool = False,
) -> Installed:
    """What `prepaid raddb install` does.  An option that is None has the value of the last install; for `tls` see radsec.chosen.

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
            "tls": radsec.chosen(tls or {"wanted": None}, before.get("tls"), version),
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
    # A file that this choice no longer needs stays, disabled, until `remove`.
    left = {path: written for path, written in record["files"].items() if (directory / path).exists()}
    write_record(
        directory,
        choice,
        instances or before.get("wanted_instances"),
        left | {path: checksum(text) for path, text in texts.items()},
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
