"""The certificates that FreeRADIUS shows to devices and NAS, and those of the connection to the database: when they end."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from ..freeradius import raddb_directory, radsec
from ..shell.text import _
from .finding import Finding, Installation

NAME = "certificates"
# A new certificate has to be ordered, and devices may have to be told.
WARNING = timedelta(days=31)
# In files of FreeRADIUS; `private_key_file` has no end.
_SETTINGS = re.compile(r'(?m)^\s*(?:certificate_file|ca_file)\s*=\s*"?([^"\n#]+?)"?\s*(?:#.*)?$')
_DATABASE_SETTINGS = ("ssl_ca", "ssl_cert")
# The authorities that Debian trusts. Some of them always have ended, and Debian replaces them.
_AUTHORITIES_OF_DEBIAN = Path("/etc/ssl/certs/ca-certificates.crt")


def check_certificates(installation: Installation) -> Iterator[Finding]:
    now = datetime.now(UTC)
    findings = []
    for path in dict.fromkeys((*_of_freeradius(installation.directory), *_of_database(installation))):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            continue  # FreeRADIUS' own check names a file that is missing.
        except OSError as fault:
            findings.append(
                Finding(
                    NAME,
                    "look",
                    _("{path} was not read: {cause}.").format(path=path, cause=fault.strerror),
                    _("Run this as root."),
                )
            )
            continue
        findings += _ends(path, text, now)
    yield from findings or [Finding(NAME, "ok", _("none ends within {days} days").format(days=WARNING.days))]


def _ends(path: Path, text: bytes, now: datetime) -> Iterator[Finding]:
    try:
        certificates = x509.load_pem_x509_certificates(text)
    except ValueError:
        return
    ends = [certificate.not_valid_after_utc for certificate in certificates]
    try:
        lists = radsec.revocation_lists(text)
    except ValueError:
        yield Finding(
            NAME,
            "fault",
            _("{path} has a damaged list of revoked certificates.").format(path=path),
            _("Make a new one with 'openssl ca -gencrl', and restart FreeRADIUS."),
        )
        return
    # After the end of a list of revoked certificates, everybody is refused.
    ends += [one.next_update_utc for one in lists if one.next_update_utc]
    end = min(ends)
    if end <= now:
        yield Finding(
            NAME,
            "fault",
            _("{path} ended on {day}; devices that check it do not log in.").format(path=path, day=f"{end:%Y-%m-%d}"),
            _("Replace it, and restart what uses it: FreeRADIUS, or the database."),
        )
    elif end <= now + WARNING:
        yield Finding(
            NAME,
            "look",
            _("{path} ends on {day}.").format(path=path, day=f"{end:%Y-%m-%d}"),
            _("Replace it before, and restart what uses it: FreeRADIUS, or the database."),
        )


def _of_freeradius(directory: Path) -> Iterator[Path]:
    """The files that the enabled modules and sites name."""
    main = raddb_directory.content(directory / "radiusd.conf") or ""
    folders = {"confdir": str(directory), "raddbdir": str(directory)}
    for name in ("certdir", "cadir"):
        found = re.search(rf'(?m)^\s*{name}\s*=\s*"?([^"\s#]+)', main)
        folders[name] = expanded(found[1], folders) if found else str(directory / "certs")
    for folder in ("mods-enabled", "sites-enabled"):
        for file in sorted((directory / folder).glob("*")):
            for value in _SETTINGS.findall(_readable(file)):
                path = expanded(value, folders)
                if "$" not in path and Path(path) != _AUTHORITIES_OF_DEBIAN:
                    yield Path(path)


def _readable(file: Path) -> str:
    try:
        return raddb_directory.content(file) or ""
    except OSError:
        return ""


def expanded(value: str, folders: dict[str, str]) -> str:
    """A path with FreeRADIUS' variables filled in; an unknown one stays.

    >>> expanded("${certdir}/server.pem", {"certdir": "/etc/raddb/certs"}), expanded("${x}/a", {})
    ('/etc/raddb/certs/server.pem', '${x}/a')
    """
    return re.sub(r"\$\{(\w+)\}", lambda found: folders.get(found[1], found[0]), value)


def _of_database(installation: Installation) -> Iterator[Path]:
    for group in installation.office.options.groups:
        if group.startswith("prepaid-"):
            settings = installation.office.settings(group)
            yield from (Path(settings[name]) for name in _DATABASE_SETTINGS if settings.get(name))
