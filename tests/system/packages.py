"""The packages that the tests install: built from this checkout for each Debian, and made a version newer.

PREPAID_DEB=FOLDER takes those that `make deb` has put there before.
"""

import os
import subprocess
from pathlib import Path

from tests.system.machine import ROOTS, Machine

# In the version of a package.
NUMBERS = {"bookworm": "deb12", "trixie": "deb13"}
CHECKOUT = Path(__file__).resolve().parents[2]


def package(release: str) -> Path:
    """Build the package in a root of this release; a root that was made before is used again."""
    if folder := os.environ.get("PREPAID_DEB"):
        (given,) = Path(folder).glob(f"*+{NUMBERS[release]}_*.deb")
        return given
    root = ROOTS / f"deb-{release}"
    subprocess.run([CHECKOUT / "tests" / "debian-root.sh", release, root, "deb"], check=True)
    (found,) = (root / "srv" / "prepaid-cards" / "dist").glob("*.deb")
    return found


def make_newer(machine: Machine, path: str) -> str:
    """The same package as version 0.2.0 with a later schema, on the machine; return its path there.

    Its migration copies the two largest tables, which is the slowest kind of change.
    """
    return machine.run(f"""
        set -e
        rm -rf /srv/newer && dpkg-deb --raw-extract {path} /srv/newer
        cd /srv/newer
        old=$(sed -n 's/^Version: \\(.*\\)+.*/\\1/p' DEBIAN/control)
        sed -i "s/^Version: $old/Version: 0.2.0/" DEBIAN/control
        packages=$(echo opt/prepaid-cards/lib/python*/site-packages)
        mv $packages/prepaid_cards-$old.dist-info $packages/prepaid_cards-0.2.0.dist-info
        sed -i "s/^Version: .*/Version: 0.2.0/" $packages/prepaid_cards-0.2.0.dist-info/METADATA
        schema=$(sed -n 's/^SCHEMA_VERSION = //p' $packages/freeradius_module/__init__.py)
        sed -i "s/^SCHEMA_VERSION = .*/SCHEMA_VERSION = $((schema + 1))/" $packages/freeradius_module/__init__.py
        migrations=$(dirname $(find . -name schema.sql))/migrations
        mkdir -p $migrations
        cat > $migrations/$(printf %04d $((schema + 1)))_upgrade_of_the_test.sql << END
ALTER TABLE session ADD COLUMN upgrade_note VARCHAR(32) NULL, ALGORITHM = COPY;
ALTER TABLE card ADD COLUMN upgrade_note VARCHAR(32) NULL, ALGORITHM = COPY;
INSERT INTO schema_version (version, name) VALUES ($((schema + 1)), 'upgrade_of_the_test');
END
        dpkg-deb -Zgzip -z1 --build /srv/newer /srv/newer.deb > /dev/null
        rm -rf /srv/newer
        echo /srv/newer.deb""").stdout.strip()
