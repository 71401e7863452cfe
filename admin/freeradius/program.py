"""What an installation takes from this machine: FreeRADIUS' program and version, and the product's own packages and files."""

import importlib
import os
import shutil
import subprocess
from pathlib import Path

from ..shell import errors, share
from ..shell.text import _
from . import files as raddb_files


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


def python_path() -> str:
    """The folders in which radiusd finds the module and its libraries: usually one, the site-packages of the installation."""
    packages = map(importlib.import_module, ("freeradius_module", "pymysql", "cryptography"))
    return ":".join(dict.fromkeys(str(Path(package.__path__[0]).resolve().parent) for package in packages))


def template(path: str) -> str:
    """The text of a file in raddb-config/."""
    return (share.folder("raddb-config") / path).read_text(encoding="utf-8")
