"""prepaid-spread.nft: NAS that know one port reach many servers, each always the same."""

import json
import subprocess
import sys
from pathlib import Path

from tests import spread

RULES = Path(__file__).parents[2] / "raddb-config" / "nftables" / "prepaid-spread.nft"


def test_each_nas_has_a_server_of_its_own():
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.spread", str(RULES)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    reached = json.loads(ran.stdout)
    assert list(reached) == spread.ADDRESSES
    for address, (login, again, accounting) in reached.items():
        assert login in spread.SERVERS[1812], address
        assert again == login, f"{address} would lose an EAP login in its middle"
        assert accounting == login + 100, address
    for family in (spread.ADDRESSES[:20], spread.ADDRESSES[20:]):
        assert len({reached[address][0] for address in family}) > 5
