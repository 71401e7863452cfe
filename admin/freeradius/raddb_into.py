"""Cards in a site of the administrator's, beside its own customers: what `prepaid raddb install --into SITE` finds in
FreeRADIUS' directory, and the lines that it puts into the site.

`install.install_files(office, directory, into="default")` and `remove.remove_files(directory)` do the whole installation.
"""

import re
from pathlib import Path
from typing import NamedTuple

from freeradius_module.rules import card_form

from .. import store
from ..shell import errors
from ..shell.office import Office
from ..shell.text import _, translated
from . import administrators_file, site_text
from . import files as raddb_files
from .files import Choice
from .site_text import Way

ENABLED, AVAILABLE = "sites-enabled", "sites-available"
# Where each file of prepaid.d belongs in a site.
OUTER: dict[Way, str] = {
    ("authorize",): "authorize",
    ("authenticate",): "authenticate",
    ("preacct",): "preacct",
    ("accounting",): "accounting",
    ("post-auth",): "post-auth",
    ("post-auth", "Post-Auth-Type REJECT"): "reject",
}
INNER: dict[Way, str] = {
    ("authorize",): "inner-authorize",
    ("authenticate",): "inner-authenticate",
    ("post-auth",): "inner-post-auth",
    ("post-auth", "Post-Auth-Type REJECT"): "inner-reject",
}


class Surroundings(NamedTuple):
    """What a choice needs to know about the site: the fields of Choice with the same names."""

    into: str
    into_server: str
    inner: str
    eap: str
    inner_eap: str
    adds_clients: bool
    auth_port: int
    acct_port: int


def look_around(directory: Path, site: str) -> Surroundings:
    """The EAP modules of a site, the site that handles requests in its tunnel, and whether NAS can be added.

    Raises Refused if the site cannot have cards, and says why.
    """
    text = site_text.take_out(_text(directory, site), site)
    if site in (*raddb_files.LOGIN_SITES, *raddb_files.ACCOUNTING_SITES, *raddb_files.COMMON_SITES):
        raise errors.Refused(_("{site} is a site of prepaid cards. Name the site of your other customers."), site=site)
    server = site_text.server_name(text, site)
    listening = raddb_files.listeners(text)
    ports = [
        min((int(port) for kind, port in listening if kind == wanted and port.isdigit()), default=own)
        for wanted, own in (("auth", 1812), ("acct", 1813))
    ]
    eaps = eap_modules(directory)
    eap = _called(text, site, eaps)
    if not eap:
        return Surroundings(site, server, "", raddb_files.OUR_EAP, "", _has_room_for_clients(directory), *ports)
    module = eaps[eap]
    if site_text.has_setting(module, ("cache",), "enable", ("yes", "on", "true", "1")):
        raise errors.Refused(
            _(
                "The module {eap} in {directory}/mods-enabled resumes TLS sessions (cache, enable = yes). A resumed session has "
                "no login in the tunnel, and with it no decision about the card. Set enable = no in its section cache."
            ),
            eap=eap,
            directory=directory,
        )
    inner = _inner_site(directory, site, eap, module)
    inner_eap = _called(site_text.take_out(_text(directory, inner), inner), inner, eaps) if inner else ""
    return Surroundings(site, server, inner, eap, inner_eap, _has_room_for_clients(directory), *ports)


def edited_sites(directory: Path, choice: Choice) -> dict[Path, tuple[str, str]]:
    """Each site that needs other lines: its path, its text, and its text with the lines of this choice."""
    wanted = {site: parts for site, parts in ((choice.into, OUTER), (choice.inner, INNER)) if site}
    found = {}
    enabled = sorted(_sites(directory))
    files = {path.resolve() for path in enabled}
    disabled = [
        path for path in sorted((directory / AVAILABLE).glob("*")) if path.is_file() and path.resolve() not in files
    ]
    for path in (*enabled, *disabled):
        before = _read(path)
        if path in enabled and path.name in wanted:
            included = {way: f"${{confdir}}/prepaid.d/{part}" for way, part in wanted[path.name].items()}
            after = site_text.put_in(before, path.name, included)
        else:
            # A site that an earlier choice has named, even if it was disabled since.
            after = site_text.take_out(before, path.name)
        if after != before:
            found[path] = before, after
    return found


def write_sites(directory: Path, edited: dict[Path, tuple[str, str]]) -> list[str]:
    """Write the sites.  A link stays a link, and each file keeps its owner and mode.  Returns the changed paths."""
    for path, (_before, after) in edited.items():
        administrators_file.write(path.resolve(), after.encode("latin-1"))
    return [str(path.relative_to(directory)) for path in edited]


def eap_modules(directory: Path) -> dict[str, str]:
    """The administrator's enabled EAP modules: the name of each, and its text."""
    found = {}
    for path in sorted((directory / "mods-enabled").iterdir()):
        text = _read(path) if path.is_file() and not path.name.startswith("prepaid") else ""
        for match in re.finditer(r"(?ms)^[ \t]*eap(?:[ \t]+([\w.-]+))?[ \t]*\{.*?^\}", text):
            found[match[1] or "eap"] = match[0] + "\n"
    return found


def forms(office: Office, before: tuple[str, ...]) -> tuple[str, ...]:
    """The forms of the serials of all batches, and those of the option file (`card_forms`).

    While the database is away, those of the last installation.
    """
    try:
        set_by_hand = card_form.read(office.settings("prepaid").get("card_forms") or "")
    except ValueError as error:
        raise errors.WrongUsage(
            _("card_forms in {config}: {cause}"), config=office.config_path, cause=translated(error)
        ) from None
    try:
        with office.reading() as cursor:
            made = [card_form.of_batch(prefix, digits) for prefix, digits in store.batch.read_counted(cursor)]
            imported = [card_form.of_serial(serial) for serial in store.batch.read_imported_ends(cursor)]
    except errors.OfficeError:
        return tuple(card_form.narrowest([*set_by_hand, *before]))
    return tuple(card_form.narrowest([*set_by_hand, *made, *(form for form in imported if is_writable(form))]))


def is_writable(form: str) -> bool:
    """Whether a form can be written in FreeRADIUS' files, and says more than one serial.

    >>> [is_writable(form) for form in ("AB##C", "AB", 'A"##')]
    [True, False, False]
    """
    return re.fullmatch(r"[A-Z0-9]{0,31}#{1,32}C?", form) is not None


def clients_of_its_own(directory: Path, site: str) -> bool:
    """Whether a listen section of this site names a list of clients, so that others do not reach it."""
    return site_text.has_setting(_text(directory, site), ("listen",), "clients")


def client_secret(directory: Path, address: str) -> str | None:
    """The secret of the client with this address in clients.conf, which comes before the NAS of the table."""
    path = directory / "clients.conf"
    if not path.exists():
        return None
    names = (address, "localhost") if address == "127.0.0.1" else (address,)
    for client in site_text.texts(_read(path), "client"):
        found = [site_text.settings(client, name) for name in ("ipaddr", "ipv4addr", "ipv6addr")]
        if any(set(names) & values for values in found):
            for secret in site_text.settings(client, "secret"):
                return secret.encode("latin-1").decode("utf-8", "replace")
    return None


# --- Reading ----------------------------------------------------------------------------------------------


def _sites(directory: Path) -> list[Path]:
    """The administrator's enabled sites."""
    own = {
        *raddb_files.LOGIN_SITES,
        *raddb_files.ACCOUNTING_SITES,
        *raddb_files.COMMON_SITES,
        raddb_files.BESIDE_CLIENTS,
        raddb_files.RADSEC_SITE,
    }
    return [path for path in (directory / ENABLED).iterdir() if path.is_file() and path.name not in own]


def _text(directory: Path, site: str) -> str:
    path = directory / ENABLED / site
    if "/" in site or not path.is_file():
        names = sorted(found.name for found in _sites(directory))
        raise errors.NotFound(
            _("FreeRADIUS has no enabled site {site!r}.{hint} Enabled are: {names}."),
            site=site,
            hint=errors.did_you_mean(site, names),
            names=", ".join(names) or "-",
        )
    return _read(path)


def _read(path: Path) -> str:
    """The text of a file, every octet as one character."""
    try:
        return path.read_bytes().decode("latin-1")
    except PermissionError:
        raise errors.Refused(_("You may not read {directory}. Run this as root."), directory=path) from None


def _called(text: str, site: str, eaps: dict[str, str]) -> str:
    """The EAP module that a site calls in authorize; "" if it calls none."""
    called = [word.lstrip("-").partition(".")[0] for word in site_text.calls(text, site, ("authorize",))]
    found = [word for word in called if word in eaps]
    return found[0] if found else ""


def _inner_site(directory: Path, site: str, eap: str, module: str) -> str:
    """The site that handles the requests in a tunnel of this EAP module; "" if it makes no tunnel."""
    servers = site_text.settings(module, "virtual_server")
    if not servers:
        return ""
    if len(servers) > 1:
        raise errors.Refused(
            _(
                "The module {eap} has several virtual servers for its tunnels: {servers}. Cards need the same one for TTLS and "
                "PEAP; set virtual_server alike."
            ),
            eap=eap,
            servers=", ".join(sorted(servers)),
        )
    (server,) = servers
    for path in _sites(directory):
        if re.search(rf"(?m)^[ \t]*server[ \t]+{re.escape(server)}[ \t]*\{{", _read(path)):
            if path.name == site:
                raise errors.Refused(
                    _(
                        "The module {eap} sends the requests in its tunnels to the site {site} itself. Cards need another site for "
                        "them: enable Debian's inner-tunnel, and set virtual_server = inner-tunnel in that module."
                    ),
                    eap=eap,
                    site=site,
                )
            return path.name
    raise errors.Refused(
        _(
            "The module {eap} sends the requests in its tunnels to the virtual server {server}, which is in no file of "
            "{directory}. Enable that site."
        ),
        eap=eap,
        server=server,
        directory=directory / ENABLED,
    )


def _has_room_for_clients(directory: Path) -> bool:
    """Whether no client of the administrator's covers all addresses: FreeRADIUS does not start with two."""
    paths = [directory / "clients.conf", directory / "radiusd.conf", *_sites(directory)]
    paths += [path for path in directory.glob("clients.d/*") if path.is_file()]
    return not any(
        site_text.has_setting(_read(path), ("client",), name, ("*", "0.0.0.0/0", "0/0", "::/0", "::"))
        for path in paths
        if path.exists()
        for name in ("ipaddr", "ipv4addr", "ipv6addr")
    )
