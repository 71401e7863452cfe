"""A private copy of the raddb that the installed FreeRADIUS brings, changed as an administrator would.

Every change names the text it replaces and fails if that is not there: a stock file of another
version must not silently leave the bench with something else than it says.
"""

import shutil
from pathlib import Path

from .load import Endpoint

STOCK = Path("/etc/freeradius/3.0")

LISTEN = """
	listen {{
		type = {kind}
		ipaddr = 127.0.0.1
		port = {port}
	}}
"""


def copy(folder: Path, endpoint: Endpoint, threads: int) -> Path:
    """Copy the stock raddb to `folder`/raddb: its own ports, folders and number of threads."""
    raddb = folder / "raddb"
    shutil.rmtree(raddb, ignore_errors=True)
    # Links in mods-enabled are relative and stay what they are.
    shutil.copytree(STOCK, raddb, symlinks=True)
    (raddb / "sites-enabled" / "inner-tunnel").unlink(missing_ok=True)
    run = folder / "run"
    run.mkdir(exist_ok=True)
    change(
        raddb / "radiusd.conf",
        ("raddbdir = /etc/freeradius/3.0", f"raddbdir = {raddb}"),
        ("logdir = /var/log/freeradius", f"logdir = {run}"),
        ("run_dir = ${localstatedir}/run/${name}", f"run_dir = {run}"),
        # It runs as whoever runs the bench.
        ("\tuser = freerad\n", ""),
        ("\tgroup = freerad\n", ""),
        # A fixed number of threads, so that no round pays for starting some.
        ("\tstart_servers = 5\n", f"\tstart_servers = {threads}\n"),
        ("\tmax_servers = 32\n", f"\tmax_servers = {threads}\n"),
        ("\tmin_spare_servers = 3\n", "\tmin_spare_servers = 1\n"),
        ("\tmax_spare_servers = 10\n", f"\tmax_spare_servers = {threads}\n"),
    )
    return raddb


def log(folder: Path) -> Path:
    return folder / "run" / "radius.log"


def change(file: Path, *replacements: tuple[str, str]):
    """Replace texts that each occur exactly once."""
    content = file.read_text()
    for old, new in replacements:
        if content.count(old) != 1:
            raise ValueError(f"{file} has {old.strip()!r} {content.count(old)} times, not once: not the stock file the bench knows.")
        content = content.replace(old, new)
    # Not through a link: the copy in mods-enabled points into mods-available of the copy.
    file.write_text(content)


def change_section(file: Path, section: str, *replacements: tuple[str, str]):
    """Replace texts that each occur exactly once in a section of a site, which ends at a lone '}'."""
    content = file.read_text()
    before, opening, rest = content.partition(f"\n{section} {{")
    inside, closing, after = rest.partition("\n}\n")
    inside += "\n"  # so that the last line, too, can be named with its ends
    if not opening or not closing:
        raise ValueError(f"{file} has no section {section}: not the stock file the bench knows.")
    for old, new in replacements:
        if inside.count(old) != 1:
            raise ValueError(f"{file}, section {section}, has {old.strip()!r} {inside.count(old)} times, not once.")
        inside = inside.replace(old, new)
    file.write_text(f"{before}{opening}{inside}}}\n{after}")


def listen(endpoint: Endpoint) -> str:
    """The two sockets of a side, on the loopback interface."""
    return LISTEN.format(kind="auth", port=endpoint.auth_port) + LISTEN.format(kind="acct", port=endpoint.acct_port)


def replace_listeners(site: str, sockets: str) -> str:
    """The text of a site with all its listen sections replaced by `sockets`.

    >>> replace_listeners("server x {\\nlisten {\\n  limit {\\n  }\\n}\\n\\nauthorize {\\n}\\n}\\n", "SOCKETS\\n")
    'server x {\\nSOCKETS\\n\\nauthorize {\\n}\\n}\\n'
    """
    kept, depth, placed = [], 0, False
    for line in site.splitlines(keepends=True):
        code = line.partition("#")[0]
        if depth == 0 and code.startswith("listen {"):
            depth = 1
            if not placed:
                kept.append(sockets)
                placed = True
        elif depth:
            depth += code.count("{") - code.count("}")
        else:
            kept.append(line)
    return "".join(kept)
