"""A full disk: what is answered is in the queue, whole; what is not written is not answered."""

import json
import os
import subprocess
import sys


def test_on_a_full_disk_nothing_is_answered_that_was_not_written(tmp_path):
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    ran = subprocess.run(
        ["unshare", "--mount", *rights, sys.executable, "-m", "tests.full_disk", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rounds = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [round[:2] for round in rounds] == [[name, pages] for name in ("queue", "quarantine") for pages in range(4)]
    for *_, answered, written in rounds:
        assert answered == written
        # Two records fill a page, and in the end one was not answered.
        assert len(answered) % 2 == 0 and len(answered) < 100
    assert any(answered for *_, answered, _ in rounds)
