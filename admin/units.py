"""Drop-ins for the units, which follow the option file: a generator of systemd (systemd.generator(7)).

The units may write nowhere but where the package knows that they must.  If the option file names another queue or another
socket, or the key belongs to another group, these drop-ins permit it.  systemd runs this at each boot and at each
`systemctl daemon-reload`.
"""

import grp
import os
import sys
from pathlib import Path

from freeradius_module import option_file
from freeradius_module.printable import one_line
from freeradius_module.settings import DEFAULT_PATH

# Who reads the key file, and who uses the queue.
OPENS_KEY = ("prepaid-engine", "prepaid-charge", "prepaid-enforce")
USES_QUEUE = ("prepaid-charge",)
LISTENS = ("prepaid-engine",)


def main() -> None:
    """systemd passes three folders; the first is for drop-ins that give way to those of an administrator."""
    folder = Path(sys.argv[1])
    try:
        found = drop_ins(os.environ.get("PREPAID_CONFIG", DEFAULT_PATH))
    except (OSError, UnicodeDecodeError, option_file.OptionFileError) as fault:
        # The units then say what is wrong with the file.
        sys.stderr.write(f"prepaid-units: {one_line(str(fault))}\n")
        return
    for unit, lines in found.items():
        target = folder / f"{unit}.service.d" / "prepaid.conf"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(["# Made by prepaid-units from the option file.", "[Service]", *lines, ""]))


def drop_ins(config: str) -> dict[str, list[str]]:
    """The lines for each unit that needs some."""
    settings = option_file.read(config).group("prepaid")
    lines: dict[str, list[str]] = {}
    if group := _group_of(Path(settings.get("key_file") or Path(config).with_name("key"))):
        for unit in OPENS_KEY:
            lines.setdefault(unit, []).append(f"SupplementaryGroups={group}")
    for name, units in (("queue", USES_QUEUE), ("engine", LISTENS)):
        if path := settings.get(name):
            folder = Path(path).parent if name == "engine" else Path(path)
            for unit in units:
                # Without the folder the program starts, and says that it is missing.
                lines.setdefault(unit, []).append(f"ReadWritePaths={_escaped(folder)}")
    return lines


def _group_of(path: Path) -> str | None:
    """The group that may read a file; None if none but root may, or there is no such file."""
    try:
        group = path.stat().st_gid
        return grp.getgrgid(group).gr_name if group else None
    except (OSError, KeyError):
        return None


def _escaped(path: Path) -> str:
    r"""A path as a setting of a unit, which ignores it if it does not exist.

    >>> _escaped(Path("/srv/50% full/queue"))
    '"-/srv/50%% full/queue"'
    """
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{text}"'
