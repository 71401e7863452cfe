"""kill -9 of a command that changes many cards: all of it has happened, or nothing; the short form of a campaign.

`tests/faults/kill_office.py` has the moments and what is looked at after each.
"""

import pytest

from tests.faults.kill_office import ACTS, Fork, Kills

CARDS = 300
POINTS = 20


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_killed_at_any_moment_it_leaves_all_or_nothing(office, database, tmp_path, act):
    kills = Kills(act(office, database, tmp_path, CARDS), Fork(office).start, seed=7)
    kills.play(POINTS)
    assert kills.failures == [] and (kills.lost, kills.doubled) == (0, 0)
    # Some were killed at work and some in the commit, or nothing was tried.
    assert kills.killed - kills.in_commit >= 3 and kills.in_commit == POINTS // 5
