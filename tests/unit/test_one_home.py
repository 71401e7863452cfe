"""A fact that a second place must repeat is the same in both places."""

import re
from pathlib import Path

import pytest

from admin.freeradius import files
from freeradius_module.rules import freeradius_versions
from freeradius_module.rules.login import GRACE_SECONDS, MISSED_INTERIMS

ROOT = Path(__file__).parents[2]


def test_the_views_count_a_session_as_open_for_as_long_as_a_login_does():
    views = re.findall(
        r"INTERVAL \((\d+) \* (?:session\.)?interim_seconds \+ (\d+)\) SECOND",
        (ROOT / "sql" / "schema.sql").read_text(),
    )
    # card_balance and session_overview.
    assert [tuple(map(int, numbers)) for numbers in views] == [(MISSED_INTERIMS, GRACE_SECONDS)] * 2


@pytest.mark.parametrize(
    "page", ["README.md", "docs/operations.md", "raddb-config/README.md", "raddb-config/mods-available/prepaid"]
)
def test_every_page_names_each_freeradius_that_is_refused(page):
    named = re.findall(r"3\.2\.\d+", (ROOT / page).read_text())
    assert set(freeradius_versions.REFUSED) <= set(named)


def test_the_pages_name_the_default_number_of_python_instances():
    assert f"{files.INSTANCES} times" in (ROOT / "raddb-config" / "mods-available" / "prepaid").read_text()
    assert f"{files.INSTANCES} from 3.2.4 on" in (ROOT / "raddb-config" / "README.md").read_text()
