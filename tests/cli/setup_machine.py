"""A machine on which `prepaid setup` is tried: a FreeRADIUS' directory, a systemd that only writes down, and a database."""

import grp
import json
import os
import pwd
import re
import stat
import subprocess
from pathlib import Path

import pymysql
import pytest

from admin.setup import accounts, command, units
from admin.setup.saved import Saved
from tests.office import Office
from tests.stack.freeradius import _copy_tree

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other accounts")


DEBIAN = Path("/etc/freeradius/3.0")


DATABASE = "made_by_setup"


FREERAD = pwd.getpwnam("freerad")


SYSTEMCTL = """#!/bin/sh
# Keeps in files which units are enabled and active.  A command that the file `fails` names fails.
cd {state}
echo "$*" >> log
for unit; do :; done
if [ -s fails ] && echo "$*" | grep -q -f fails; then echo "Job for $unit failed." >&2; exit 1; fi
case "$1" in
    enable) touch "enabled.$unit" "active.$unit" ;;
    disable) rm -f "enabled.$unit" "active.$unit" ;;
    stop) rm -f "active.$unit" ;;
    restart) touch "active.$unit" ;;
    is-enabled) test -e "enabled.$unit" && echo enabled ;;
    is-active) test -e "active.$unit" && echo active ;;
esac
"""


# The groups that systemd-sysusers would make on this machine, with numbers that nobody has.
GROUPS = {
    name: 64_001 + number
    for number, name in enumerate(
        ("prepaid-key", "prepaid-engine", "prepaid-charge", "prepaid-enforce", "prepaid-archive")
    )
}


ACCOUNT_TOOLS = """#!/usr/bin/python3
# systemd-sysusers, systemd-tmpfiles, usermod, gpasswd, userdel and groupdel on a list of names in a file.
import json, os, pathlib, re, sys
accounts = pathlib.Path("{state}/accounts")
names = json.loads(accounts.read_text()) if accounts.exists() else []
tool, words = os.path.basename(sys.argv[0]), sys.argv[1:]
if tool == "systemd-sysusers":
    text = pathlib.Path(words[0]).read_text()
    names += [name for name in re.findall("(?m)^[ug] +(\\S+)", text) if name not in names]
elif tool == "systemd-tmpfiles":
    path, mode, group = re.findall("(?m)^d +(\\S+) +(\\S+) +\\S+ +(\\S+)", pathlib.Path(words[1]).read_text())[0]
    os.makedirs(path, exist_ok=True)
    os.chown(path, {freerad}, {groups}[group])
    os.chmod(path, int(mode, 8))
elif tool == "usermod":
    names.append("reader")
elif tool == "gpasswd":
    names.remove("reader")
else:
    names.remove(words[0])
if names:
    accounts.write_text(json.dumps(names))
elif accounts.exists():
    accounts.unlink()
"""


class Machine:
    """A provider's machine before the installation."""

    def __init__(self, folder: Path, mariadb, monkeypatch):
        self.folder = folder
        self.mariadb = mariadb
        self.raddb = folder / "raddb"
        self.etc = folder / "etc"
        self.state = folder / "systemd"
        self.units = folder / "units"
        _copy_tree(DEBIAN, self.raddb)
        subprocess.run(["chown", "-R", "freerad:freerad", str(self.raddb)], check=True)
        for path in (self.state, self.units, folder / "bin", folder / "home"):
            path.mkdir()
        systemctl = folder / "bin" / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(state=self.state))
        systemctl.chmod(0o755)
        tools = folder / "bin" / "tools"
        tools.write_text(ACCOUNT_TOOLS.format(state=self.state, freerad=FREERAD.pw_uid, groups=GROUPS))
        tools.chmod(0o755)
        for tool in ("systemd-sysusers", "systemd-tmpfiles", "usermod", "gpasswd", "userdel", "groupdel"):
            (folder / "bin" / tool).symlink_to("tools")
        (self.state / "active.freeradius.service").touch()
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setattr(units, "RUNNING", self.state)
        monkeypatch.setattr(units, "FOLDER", self.units)
        monkeypatch.setattr(units, "PACKAGED", ())
        monkeypatch.setattr(accounts, "SYSUSERS", (folder / "sysusers.d", folder / "nowhere"))
        monkeypatch.setattr(accounts, "TMPFILES", (folder / "tmpfiles.d", folder / "nowhere"))
        for look_up in (grp.getgrnam, pwd.getpwnam):
            monkeypatch.setattr(look_up.__module__ + "." + look_up.__name__, self._with_own_accounts(look_up))
        grouplist = os.getgrouplist
        monkeypatch.setattr(os, "getgrouplist", lambda name, group: grouplist(name, group) + self._key_groups())
        self.examine = command.doctor.examine
        # What doctor finds is the subject of other tests, and no FreeRADIUS serves here.
        monkeypatch.setattr(command.doctor, "examine", lambda _installation: [])
        self.office = Office(self.etc / "prepaid.cnf")
        self.answers = folder / "home" / "answers.conf"
        self.answers.write_text(
            f"""
# What Ansible writes.
raddb = {self.raddb}
freeradius = own
database = {DATABASE}
database_socket = {mariadb.socket}
queue = {folder / "queue"}
auth_port = 11812
acct_port = 11813
nas_name = hotspot-1
nas_address = 192.0.2.7
nas_vendor = mikrotik
product_name = Ten hours
product_time = 10h
product_price = 10.00
"""
        )

    def _key_groups(self) -> list[int]:
        accounts = self.state / "accounts"
        return [GROUPS["prepaid-key"]] if accounts.exists() and "reader" in accounts.read_text() else []

    def _with_own_accounts(self, look_up):
        def looked_up(name):
            if not name.startswith("prepaid-"):
                return look_up(name)
            accounts = self.state / "accounts"
            names = json.loads(accounts.read_text()) if accounts.exists() else []
            if name not in names:
                raise KeyError(name)
            return grp.struct_group((name, "x", GROUPS[name], ["freerad"] if "reader" in names else []))

        return looked_up

    def setup(self, *arguments, stdin=None, env=None):
        return self.office.run("setup", "--answers", self.answers, *arguments, stdin=stdin, env=env)

    def must_set_up(self, *arguments):
        result = self.setup("--yes", *arguments)
        assert result.exit_status == 0, result.stderr
        return result

    def files(self) -> dict:
        """Every file, folder and link of the machine with its owner, mode and content; without times and systemctl's log."""
        return {
            path: state._replace(modified_ns=0)
            for path, state in Saved(self.folder).states.items()
            if path not in (self.state / "log", self.state / "fails")
        }

    def server(self) -> dict:
        """What the database's server has: databases, accounts, roles, and all rights."""
        tables = ("global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "roles_mapping")
        with self.mariadb.connect(cursorclass=pymysql.cursors.Cursor) as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH PRIVILEGES")
            cursor.execute("SHOW DATABASES")
            found = {"databases": sorted(cursor.fetchall())}
            for table in tables:
                cursor.execute(f"SELECT * FROM mysql.{table}")
                # JSON with the moment of the last change of a password.
                found[table] = sorted(re.sub(r'"password_last_changed":\d+', "", str(row)) for row in cursor.fetchall())
        return found

    def log(self) -> list[str]:
        path = self.state / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(open_folder, mariadb, monkeypatch):
    machine = Machine(open_folder, mariadb, monkeypatch)
    yield machine
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        cursor.execute(f"SELECT user, host FROM mysql.user WHERE user LIKE '{DATABASE}%'")
        for user, host in cursor.fetchall():
            cursor.execute(f"DROP USER `{user}`@`{host}`" if host else f"DROP ROLE `{user}`")


def mode_and_owner(path: Path) -> tuple[int, str, str]:
    status = path.stat()
    names = {0: "root", FREERAD.pw_gid: "freerad"} | {number: name for name, number in GROUPS.items()}
    return (
        stat.S_IMODE(status.st_mode),
        "freerad" if status.st_uid == FREERAD.pw_uid else str(status.st_uid),
        names[status.st_gid],
    )
