"""RADIUS over TLS (RadSec, RFC 6614): the certificates that an installation names, and what is wrong with them.

Three files (PEM): the server's certificate with those of the authorities between it and the root; its key; and the authority
that signs the certificates of the NAS, together with its list of revoked certificates.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from ..shell import errors
from ..shell.text import _
from .files import FIRST_WITH_RADSEC, Tls, checked_path
from .raddb_directory import has_mode, may_read

# A Linux account that is neither the owner nor in the group.
OTHERS = 0o007


def chosen(given: dict[str, Any], before: dict[str, Any] | None, version: tuple[int, int, int]) -> Tls | None:
    """The choice of the command line (`given`: wanted, port, certificate, key, ca; None where it says nothing), or that of the
    last installation.  None: no RadSec.

    Raises OfficeError for a FreeRADIUS that has none, and for files with which nobody could connect.
    """
    options = {name: value for name, value in given.items() if name != "wanted" and value}
    if given["wanted"] is False or (given["wanted"] is None and not before):
        if options:
            raise errors.WrongUsage(
                _("{option} belongs to --tls, which serves NAS over TLS. Add --tls, or leave it out."),
                option=f"--tls-{next(iter(options))}",
            )
        return None
    if version < FIRST_WITH_RADSEC:
        raise errors.Refused(
            _(
                "--tls needs FreeRADIUS {needed}; this is {version}, whose TLS connections can stop the whole server. On Debian "
                "12 install FreeRADIUS from bookworm-backports."
            ),
            needed=".".join(map(str, FIRST_WITH_RADSEC)),
            version=".".join(map(str, version)),
        )
    values = {**(before or {}), **options}
    for name in ("certificate", "key", "ca"):
        if not values.get(name):
            raise errors.WrongUsage(
                _("--tls needs --tls-{name} FILE. The page docs/radsec.md says how to make the certificates."),
                name=name,
            )
        values[name] = checked_path(str(Path(values[name]).absolute()))
    tls = Tls(**values)
    for problem in problems(tls, None):
        raise errors.Refused("{path}: {what}", path=problem["path"], what=problem["what"])
    return tls


def problems(tls: Tls, user: str | None) -> Iterator[dict[str, Any]]:
    """Why nobody could connect, or a key could be stolen: rows with `path` and `what`.  `user` is FreeRADIUS' account."""
    # Imported here, because cryptography's x509 takes a tenth of a second, and every command imports this file.
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    def pem(path: str) -> bytes:
        return Path(path).read_bytes()

    now = datetime.now(UTC)
    found: dict[str, str] = {}
    for path in dict.fromkeys((tls.certificate, tls.key, tls.ca)):
        try:
            pem(path)
        except OSError as error:
            found[path] = _("cannot be read ({cause}).").format(cause=error.strerror)
    if tls.certificate not in found:
        try:
            server = x509.load_pem_x509_certificates(pem(tls.certificate))[0]
        except ValueError:
            found[tls.certificate] = _("has no certificate (PEM).")
        else:
            if server.not_valid_after_utc <= now:
                found[tls.certificate] = _("The certificate ended on {day}. Have a new one signed.").format(
                    day=f"{server.not_valid_after_utc:%Y-%m-%d}"
                )
            if tls.key not in found:
                try:
                    key = serialization.load_pem_private_key(pem(tls.key), password=None)
                except (ValueError, TypeError):
                    found[tls.key] = _("has no private key without a password (PEM).")
                else:
                    if key.public_key() != server.public_key():
                        found[tls.key] = _("is not the key of {path}.").format(path=tls.certificate)
    if tls.ca not in found and (what := _authority_fault(pem(tls.ca), now)):
        found[tls.ca] = what
    if tls.key not in found and Path(tls.key).stat().st_mode & OTHERS:
        found[tls.key] = _("Every account can read the key. Run: chmod o= {path}").format(path=tls.key)
    for path in (tls.certificate, tls.key, tls.ca) if user else ():
        closed = [folder for folder in Path(path).parents if not has_mode(user or "", folder, 0o1)]
        if path not in found and (closed or not may_read(user or "", Path(path))):
            found[path] = _(
                "FreeRADIUS runs as {user}, who may not read it. Run: chgrp {user} {path}; chmod g+rX {path}"
            ).format(user=user, path=closed[0] if closed else path)
    for path, what in found.items():
        yield {"path": path, "what": what}


def _authority_fault(text: bytes, now: datetime) -> str | None:
    """What is wrong with the file of the authority; None if every authority in it has a list of revoked certificates."""
    from cryptography import x509

    try:
        authorities = x509.load_pem_x509_certificates(text)
    except ValueError:
        return _("has no certificate of an authority (PEM).")
    try:
        lists = {one.issuer: one for one in revocation_lists(text)}
    except ValueError:
        return _("Its list of revoked certificates (CRL) is damaged. Make a new one with 'openssl ca -gencrl'.")
    for authority in authorities:
        name = authority.subject.rfc4514_string()
        if authority.not_valid_after_utc <= now:
            return _("The authority {name} ended on {day}.").format(
                name=name, day=f"{authority.not_valid_after_utc:%Y-%m-%d}"
            )
        revoked = lists.get(authority.subject)
        if revoked is None:
            return _(
                "There is no list of revoked certificates (CRL) of {name}, so a stolen certificate could not be locked out. Make "
                "one with 'openssl ca -gencrl' and append it to this file."
            ).format(name=name)
        if not _has_signed(authority, revoked):
            return _(
                "The list of revoked certificates of {name} is signed with another key, so every NAS is refused. Make a new one "
                "with 'openssl ca -gencrl', put it into this file, and restart FreeRADIUS."
            ).format(name=name)
        if revoked.next_update_utc is not None and revoked.next_update_utc <= now:
            return _(
                "The list of revoked certificates of {name} ended on {day}, so every NAS is refused. Make a new one with "
                "'openssl ca -gencrl', put it into this file, and restart FreeRADIUS."
            ).format(name=name, day=f"{revoked.next_update_utc:%Y-%m-%d}")
    return None


def _has_signed(authority: Any, revoked: Any) -> bool:
    """Whether this authority's key has signed the list: a new authority may have the name of the old one."""
    try:
        return bool(revoked.is_signature_valid(authority.public_key()))
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def revocation_lists(text: bytes) -> list[Any]:
    """Every list of revoked certificates in a file (PEM), which may have certificates, too.

    Raises ValueError if one is damaged.
    """
    from cryptography import x509

    begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
    parts = [part.partition(end)[0] for part in text.split(begin)[1:]]
    return [x509.load_pem_x509_crl(begin + part + end + b"\n") for part in parts]
