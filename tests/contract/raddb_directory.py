"""A FreeRADIUS' directory into which `prepaid raddb` installs."""

import re
from pathlib import Path

import pytest

from tests.office import Office
from tests.stack.freeradius import _copy_tree

CHECKOUT = Path(__file__).resolve().parents[2]


TEMPLATES = CHECKOUT / "raddb-config"


DEBIAN = Path("/etc/freeradius/3.0")


class Raddb:
    """A copy of Debian's directory, an option file, and a FreeRADIUS that reports any version."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.directory = folder / "3.0"
        _copy_tree(DEBIAN, self.directory)
        self.options(key_file=str(folder / "key"))
        self.set_version("3.2.7")

    def options(self, **settings):
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (self.folder / "prepaid.cnf").write_text("[prepaid]\n" + "".join(lines))

    def set_version(self, version):
        program = self.folder / "bin" / "freeradius"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho 'radiusd: FreeRADIUS Version {version}, for host x86_64-pc-linux-gnu'\n")
        program.chmod(0o755)

    def run(self, verb, *arguments):
        return Office(self.folder / "prepaid.cnf").run(
            "raddb",
            verb,
            "--dir",
            str(self.directory),
            *arguments,
            env={"PATH": f"{self.folder / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def install(self, *arguments):
        result = self.run("install", *arguments)
        assert result.exit_status == 0, result.stderr
        return result

    def problems(self):
        result = self.run("check", "--json")
        found = result.json()
        assert result.exit_status == (1 if found else 0)
        return {problem["path"]: problem["what"] for problem in found}

    def text(self, path):
        return (self.directory / path).read_text()

    def state(self):
        return {
            path.relative_to(self.directory): path.readlink() if path.is_symlink() else path.read_bytes()
            for path in self.directory.rglob("*")
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture
def raddb(tmp_path):
    raddb = Raddb(tmp_path)
    # Its ports are the product's own, which only one test is about.
    (raddb.directory / "sites-enabled" / "default").unlink()
    # The account that runs the tests owns the option file; FreeRADIUS' account need not exist.
    conf = raddb.directory / "radiusd.conf"
    conf.write_text(re.sub(r"(?m)^\s*(user|group) = .*$", "", conf.read_text()))
    return raddb
