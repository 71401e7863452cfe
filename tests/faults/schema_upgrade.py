"""A migration upgrades the schema under load, and the servers change to the program of that version.

A copy of the product has the next schema version, with a migration made here.  While its `prepaid db upgrade` runs, the
old module continues to serve; it stops serving when it has to connect again; then radiusd starts with the new module.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from .campaign import Campaign, run
from .results import Row

CHECKOUT = Path(__file__).resolve().parents[2]
PARTS = ("admin", "freeradius_module", "sql", "raddb-config")
# Each statement copies its table: the slowest kind of change.
MIGRATION = """
ALTER TABLE session ADD COLUMN fault_note VARCHAR(32) NULL, ALGORITHM = COPY;
ALTER TABLE card ADD COLUMN fault_note VARCHAR(32) NULL, ALGORITHM = COPY;
INSERT INTO schema_version (version, name) VALUES ({version}, 'throw_away');
"""


def campaign(short: bool) -> Row:
    packets = 1_500 if short else 20_000
    with Campaign("schema upgrade") as servers:
        servers.load_for(packets)
        new = NextProgram(servers)
        new.prepaid("db", "upgrade")
        # Existing connections work as before, because the new schema has all of the old one.
        servers.load_for(packets)
        servers.stack.freeradius.stop()
        modules = servers.stack.freeradius.raddb / "mods-available" / "prepaid"
        modules.write_text(
            re.sub(r'python_path = "[^"]*"', f'python_path = "{new.folder}:{new.libraries}"', modules.read_text())
        )
        servers.stack.freeradius.start()
        servers.load_for(packets)
        ((found,),) = servers.sql("SELECT MAX(version) FROM schema_version")
        if found != new.version:
            servers.fail("the schema has the old version")
        return servers.verdict(f"version {new.version - 1} to {new.version}")


class NextProgram:
    """The product, one schema version later."""

    def __init__(self, servers: Campaign):
        self.folder = servers.folder / "next"
        self.option_file = servers.stack.option_file
        self.libraries = next(path for path in sys.path if path.endswith("site-packages"))
        for part in PARTS:
            shutil.copytree(CHECKOUT / part, self.folder / part)
        init = self.folder / "freeradius_module" / "__init__.py"
        self.version = int(re.search(r"SCHEMA_VERSION = (\d+)", init.read_text())[1]) + 1
        init.write_text(re.sub(r"SCHEMA_VERSION = \d+", f"SCHEMA_VERSION = {self.version}", init.read_text()))
        migrations = self.folder / "sql" / "migrations"
        migrations.mkdir(exist_ok=True)
        (migrations / f"{self.version:04}_throw_away.sql").write_text(MIGRATION.format(version=self.version))

    def prepaid(self, *arguments: str) -> None:
        program = [sys.executable, "-c", "from admin.cli import cli; cli()", "--config", str(self.option_file)]
        subprocess.run([*program, *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    run(campaign)
