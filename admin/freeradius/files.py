"""The text of the files that `prepaid raddb install` puts into FreeRADIUS' directory.  This module reads and writes nothing.

The files in raddb-config/ are complete and have the default of every setting.  An installation changes them in two ways, so
that the result looks like the original:

- a line `name = value` gets another value;
- the lines between `# repeat for each …` and `# end of repeat` are repeated for each instance or address, and left out if
  there is none.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from freeradius_module.rules import freeradius_versions

from ..shell import errors
from ..shell.text import _
from . import local_dictionary

# FreeRADIUS' directory on Debian.
DEFAULT_DIR = "/etc/freeradius/3.0"

# Debian's modules that the sites call by name.
NEEDED_MODULES = ("always", "attr_filter", "chap", "expr", "mschap", "pap", "utf8")

MODULES = ("prepaid", "prepaid_queue")
LOGIN_MODULES = ("prepaid_eap",)
LOGIN_SITES = ("prepaid", "prepaid-inner-tunnel")
ACCOUNTING_SITES = ("prepaid-accounting",)
COMMON_SITES = ("prepaid-clients",)
RADSEC_SITE = "prepaid-radsec"
TLS_LISTENER = "listener of TLS"
POLICIES = ("prepaid",)

# Beside other customers, in a site of the administrator's.
BESIDE = "prepaid_beside"
BESIDE_CLIENTS = "prepaid-beside-clients"
OUR_EAP = "prepaid_eap"
OUTER_PARTS = ("authorize", "authenticate", "preacct", "accounting", "post-auth", "reject")
INNER_PARTS = ("inner-authorize", "inner-authenticate", "inner-post-auth", "inner-reject", "tunnel-reply")

# The queue's directory, as in mods-available/prepaid_queue.
QUEUE = "/var/spool/prepaid-cards"

SERVES = ("both", "auth", "acct")
INSTANCES = 192
INSTANCES_MAX = 384

FIRST_SUPPORTED = (3, 2, 1)
FIRST_WITH_SEVERAL_INSTANCES = (3, 2, 4)
FIRST_WITH_RADSEC = (3, 2, 7)


class Tls(NamedTuple):
    """RadSec: its port, and the paths of its files (PEM).  `ca` has the authority and its list of revoked certificates."""

    port: int = 2083
    certificate: str = ""
    key: str = ""
    ca: str = ""


class Choice(NamedTuple):
    """What an installation can choose."""

    python_path: str
    option_file: str
    serve: str = "both"
    addresses: tuple[str, ...] = ("*",)
    auth_port: int = 1812
    acct_port: int = 1813
    instances: int = 1
    accounting: str = "direct"
    queue: str | None = None
    tls: Tls | None = None
    # Beside other customers: the administrator's site, the name of its virtual server, and the site for the tunnel of its
    # EAP; their EAP modules, where OUR_EAP stands for a site without one; the forms of serials; whether the NAS of the table
    # are added to clients.conf's.
    into: str = ""
    into_server: str = ""
    inner: str = ""
    eap: str = ""
    inner_eap: str = ""
    forms: tuple[str, ...] = ()
    adds_clients: bool = False


def files(choice: Choice, template: Callable[[str], str]) -> dict[str, str]:
    """The text of every file, by its path in FreeRADIUS' directory.  `template(path)` returns the original text."""
    texts = {path: template(path) for path in paths(choice)}
    accounting = "sites-available/prepaid-accounting"
    numbers = [f"{number:02}" for number in range(1, choice.instances + 1)]

    module = set_value(texts["mods-available/prepaid"], "python_path", f'"{choice.python_path}"')
    module = set_value(module, "option_file", f'"{choice.option_file}"')
    if choice.into:
        module = set_value(module, "serves_others", "yes")
        module = set_value(module, "card_forms", f'"{" ".join(choice.forms)}"')
    texts["mods-available/prepaid"] = repeat(module, "instance", "prepaid_01", [f"prepaid_{n}" for n in numbers])
    for policy in policies(choice):
        path = f"policy.d/{policy}"
        texts[path] = repeat(texts[path], "instance", "prepaid_01", [f"prepaid_{n}" for n in numbers])
    for path in ("policy.d/prepaid", "prepaid.d/inner-authorize"):
        if path in texts:
            texts[path] = repeat(texts[path], TLS_LISTENER, "", [""] if choice.tls else [])

    if choice.queue:
        queue = texts["mods-available/prepaid_queue"].replace(QUEUE, choice.queue)
        texts["mods-available/prepaid_queue"] = set_value(
            queue, "filename", f'"{choice.queue}/quarantine"', within="prepaid_quarantine"
        )

    if accounting in texts:
        texts[accounting] = set_value(texts[accounting], "accounting", choice.accounting)
        texts[accounting] = set_value(texts[accounting], "database_away", "queue" if choice.queue else "no_answer")
    if choice.tls:
        texts[f"sites-available/{RADSEC_SITE}"] = _radsec(choice, choice.tls, texts)

    for site, port in (("prepaid", choice.auth_port), ("prepaid-accounting", choice.acct_port)):
        path = f"sites-available/{site}"
        if path in texts:
            texts[path] = repeat(
                set_value(texts[path], "port", str(port)),
                "address",
                "ipaddr = *",
                [f"ipaddr = {address}" for address in choice.addresses],
            )
    if choice.into:
        texts |= _beside(choice, texts)
    return texts


def _radsec(choice: Choice, tls: Tls, texts: dict[str, str]) -> str:
    """The site of RadSec.  Its server has the sections of the two sites for UDP; with `into` it is the administrator's."""
    text = texts[f"sites-available/{RADSEC_SITE}"]
    types = {"both": "auth+acct", "auth": "auth", "acct": "acct"}
    for name, value in (
        ("type", types[choice.serve]),
        ("port", str(tls.port)),
        ("virtual_server", choice.into_server or RADSEC_SITE),
        ("certificate_file", f'"{tls.certificate}"'),
        ("private_key_file", f'"{tls.key}"'),
        ("ca_file", f'"{tls.ca}"'),
    ):
        text = set_value(text, name, value)
    text = repeat(text, "address", "ipaddr = *", [f"ipaddr = {address}" for address in choice.addresses])
    text = repeat(text, "server of its own", "", [] if choice.into else [""])
    for site in ("prepaid", "prepaid-accounting"):
        path = f"sites-available/{site}"
        text = text.replace(f"# the sections of {path}\n", _sections(texts[path]) if path in texts else "")
    return text


def _sections(site: str) -> str:
    """What a site's server has, without its listen sections.

    >>> text = "server a {\\n\\n# repeat for each address\\nlisten {\\n}\\n# end of repeat\\nauthorize {\\n}\\n\\n}\\n"
    >>> _sections(text)
    '\\nauthorize {\\n}\\n'
    """
    inside = re.split(r"(?m)^server .*\{\n", site, maxsplit=1)[1].rpartition("\n}\n")[0]
    return repeat(inside, "address", "", [])


def _beside(choice: Choice, texts: dict[str, str]) -> dict[str, str]:
    """The files for another site, with the names of its EAP modules."""
    policy = set_value(texts[f"policy.d/{BESIDE}"], "prepaid_accounting", choice.accounting)
    changed = {
        f"policy.d/{BESIDE}": set_value(policy, "prepaid_database_away", "queue" if choice.queue else "no_answer")
    }
    for part in ("authorize", "authenticate", "reject"):
        path = f"prepaid.d/{part}"
        changed[path] = repeat(texts[path], "eap", "site_eap", [choice.eap] if choice.eap else [])
    changed["prepaid.d/authorize"] = repeat(
        changed["prepaid.d/authorize"], "EAP of ours", OUR_EAP, [OUR_EAP] if choice.eap == OUR_EAP else []
    )
    for path in ("prepaid.d/inner-authorize", "prepaid.d/inner-authenticate"):
        if path in texts:
            changed[path] = repeat(texts[path], "eap", "inner_eap", [choice.inner_eap] if choice.inner_eap else [])
    return changed


def paths(choice: Choice) -> list[str]:
    """The paths of the files of an installation, in FreeRADIUS' directory."""
    return [
        local_dictionary.OURS,
        *(f"mods-available/{name}" for name in modules(choice)),
        *(f"policy.d/{name}" for name in policies(choice)),
        *(f"prepaid.d/{name}" for name in parts(choice)),
        *(f"sites-available/{name}" for name in sites(choice)),
    ]


def links(choice: Choice) -> dict[str, str]:
    """The links that enable modules and sites, as FreeRADIUS does it: the path of each link, and its target."""
    enabled = {f"mods-enabled/{name}": f"../mods-available/{name}" for name in (*NEEDED_MODULES, *modules(choice))}
    return enabled | {f"sites-enabled/{name}": f"../sites-available/{name}" for name in sites(choice)}


def possible_links() -> set[str]:
    """The links that an installation of any choice makes, apart from those to FreeRADIUS' own modules."""
    own = Choice("", "", tls=Tls())
    beside = Choice("", "", into="-", inner="-", eap=OUR_EAP, adds_clients=True)
    return {link for link in (*links(own), *links(beside)) if link.rpartition("/")[2].startswith("prepaid")}


def unwanted_links(choice: Choice) -> list[str]:
    """The links that an earlier choice may have made and that this choice does not need."""
    return sorted(possible_links() - links(choice).keys())


def modules(choice: Choice) -> list[str]:
    """The product's own modules that the sites need."""
    if choice.into:
        return [*MODULES, *([BESIDE] if choice.inner else []), *(LOGIN_MODULES if choice.eap == OUR_EAP else ())]
    return [*MODULES, *(LOGIN_MODULES if choice.serve in ("both", "auth") else ())]


def policies(choice: Choice) -> list[str]:
    return [*POLICIES, *([BESIDE] if choice.into else [])]


def parts(choice: Choice) -> list[str]:
    """The files that the administrator's sites include."""
    return [*(OUTER_PARTS if choice.into else ()), *(INNER_PARTS if choice.inner else ())]


def sites(choice: Choice) -> list[str]:
    """The sites that this server has.

    >>> sites(Choice("", "", serve="acct"))
    ['prepaid-clients', 'prepaid-accounting']
    """
    served = [*COMMON_SITES, *([RADSEC_SITE] if choice.tls else [])]
    if choice.into:
        served += [BESIDE_CLIENTS] if choice.adds_clients else []
        return served + (["prepaid-inner-tunnel"] if choice.eap == OUR_EAP else [])
    if choice.serve in ("both", "auth"):
        served += LOGIN_SITES
    if choice.serve in ("both", "acct"):
        served += ACCOUNTING_SITES
    return served


# --- Rules ------------------------------------------------------------------------------------------------


def parse_version(words: str) -> tuple[int, int, int]:
    """The version in the output of `freeradius -v`.

    >>> parse_version("radiusd: FreeRADIUS Version 3.2.7, for host x86_64-pc-linux-gnu, built on Dec  6 2025")
    (3, 2, 7)
    """
    found = re.search(r"FreeRADIUS Version (\d+)\.(\d+)\.(\d+)", words)
    if not found:
        raise errors.Refused(_("'freeradius -v' prints no version but: {words}"), words=words.strip()[:200])
    return int(found[1]), int(found[2]), int(found[3])


def check_version(version: tuple[int, int, int]) -> None:
    """Refuse a FreeRADIUS that cannot serve prepaid cards, and give the reason.

    >>> check_version((3, 2, 1))
    >>> check_version((3, 2, 9))
    Traceback (most recent call last):
    admin.shell.errors.Refused: FreeRADIUS 3.2.9 reads what Python returns in debug mode only (its issue 5911); live, it \
would accept logins without a limit. Install another release: 3.2.1 to 3.2.8, or one after 3.2.10.
    """
    shown = ".".join(map(str, version))
    if freeradius_versions.is_refused(shown):
        raise errors.Refused(
            _(
                "FreeRADIUS {version} reads what Python returns in debug mode only (its issue 5911); live, it would accept "
                "logins without a limit. Install another release: 3.2.1 to 3.2.8, or one after 3.2.10."
            ),
            version=shown,
        )
    if version < FIRST_SUPPORTED or version[:2] != FIRST_SUPPORTED[:2]:
        raise errors.Refused(
            _("FreeRADIUS {version} is not supported: the files are for 3.2.1 and later releases of 3.2."),
            version=shown,
        )


def instances_for(version: tuple[int, int, int], wanted: int | None) -> int:
    """How many Python instances this FreeRADIUS gets, if the administrator wants so many (None: the default).

    >>> instances_for((3, 2, 7), None), instances_for((3, 2, 7), 8), instances_for((3, 2, 1), None)
    (192, 8, 1)
    """
    if version < FIRST_WITH_SEVERAL_INSTANCES:
        if wanted not in (None, 1):
            raise errors.WrongUsage(
                _(
                    "FreeRADIUS {version} aborts with more than one Python instance; several work from 3.2.4 on. "
                    "Leave --instances out, or run two servers (--serve auth and --serve acct)."
                ),
                version=".".join(map(str, version)),
            )
        return 1
    return wanted or INSTANCES


def checked_address(address: str) -> str:
    """The address in its normal form.  * stands for every IPv4 address.

    >>> checked_address("127.0.0.1"), checked_address("::"), checked_address("*")
    ('127.0.0.1', '::', '*')
    """
    if address == "*":
        return address
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise errors.WrongUsage(
            _("{address!r} is not an address to listen on. Give one of this machine's, or * for all."), address=address
        ) from None


def checked_path(path: str) -> str:
    """The path, if it can be written between quotes in FreeRADIUS' files without escapes."""
    if re.search(r"[\x00-\x1f\"\\$%{}]", path):
        raise errors.WrongUsage(
            _(
                "The path {path!r} cannot be written in FreeRADIUS' files: it contains a quote, a backslash, $, % or a brace."
            ),
            path=path,
        )
    return path


# --- Text -------------------------------------------------------------------------------------------------


def set_value(text: str, name: str, value: str, within: str = "") -> str:
    """Change the value of the only line `name = …`, in the section `within` if that is given.  Comments stay.

    Raises ValueError if there is no such line, or several.

    >>> set_value("#  port = 1\\nlisten {\\n\\tport = 1812\\n}\\n", "port", "11812")
    '#  port = 1\\nlisten {\\n\\tport = 11812\\n}\\n'
    >>> set_value("detail a {\\n\\tx = 1\\n}\\ndetail b {\\n\\tx = 2\\n}\\n", "x", "3", within="b")
    'detail a {\\n\\tx = 1\\n}\\ndetail b {\\n\\tx = 3\\n}\\n'
    """
    if within:
        head, opening, rest = text.partition(f" {within} {{\n")
        inside, closing, tail = rest.partition("\n}\n")
        return head + opening + set_value(inside, name, value) + closing + tail
    changed, count = re.subn(rf"(?m)^([ \t]*{name}[ \t]*=[ \t]*).*$", lambda found: found[1] + value, text)
    if count != 1:
        raise ValueError(f"{name} is set {count} times, not once")
    return changed


def repeat(text: str, what: str, first: str, all_of_them: list[str]) -> str:
    """Repeat the marked lines for each of `all_of_them`, and put each in the place of `first`.

    >>> text = "x {\\n\\t# repeat for each instance\\n\\tp_01\\n\\t# end of repeat\\n}\\n"
    >>> repeat(text, "instance", "p_01", ["p_01", "p_02"])
    'x {\\n\\tp_01\\n\\tp_02\\n}\\n'
    """
    marked = re.compile(rf"(?ms)^[ \t]*# repeat for each {what}\n(.*?)^[ \t]*# end of repeat\n")
    if not marked.search(text):
        raise ValueError(f"nothing is marked to be repeated for each {what}")
    return marked.sub(lambda found: "".join(found[1].replace(first, each) for each in all_of_them), text)


def listeners(text: str) -> set[tuple[str, str]]:
    """The type ("auth", "acct") and the port of each listen section of a site.  Port 0 stands for RADIUS' own port.

    >>> sorted(listeners("listen {\\n type = auth\\n limit {\\n }\\n}\\nlisten {\\n type = acct\\n port = 11813\\n}\\n"))
    [('acct', '11813'), ('auth', '1812')]
    """
    found: set[tuple[str, str]] = set()
    depth, type_, port = 0, "", "0"
    for line in text.splitlines():
        code = line.partition("#")[0]
        if depth == 0 and re.match(r"\s*listen\b.*\{", code):
            depth, type_, port = 1, "", "0"
            continue
        if depth:
            depth += code.count("{") - code.count("}")
            if setting := re.match(r"\s*(type|port)\s*=\s*\"?([\w+]+)", code):
                if setting[1] == "type":
                    type_ = setting[2]
                else:
                    port = setting[2]
            if depth == 0:
                for kind, own_port in (("auth", "1812"), ("acct", "1813")):
                    if kind in type_.split("+"):
                        found.add((kind, own_port if port == "0" else port))
    return found
