"""`python -m tests.mutants`: change one place at a time, and see whether a test notices.

    --short           30 places, chosen by a fixed seed
    --sample N        so many places, chosen by the same seed
    --only TEXT       places whose name (path:line:column 'old' -> 'new') contains this
    --jobs N          so many at a time, each in a copy of its own  [2]
    --list            name the places and do nothing

In copies of the tree with virtual environments of their own, under var/mutants, so that nothing here changes.  The tests
of a file are listed below, in the order in which they run, but for those that noticed earlier changes of that file, which
run before all others; the first that fails ends the try.  The order decides how long a verdict takes and not what it is.
The chosen places and the seed of `hypothesis` are fixed, so two runs give the same verdicts; the results name the test
that noticed each change.  A place that may stay as it is, because the change changes nothing, is in `equal.txt` with the
reason.  Exit status 1 if less than 95 of 100 others are noticed.
"""

import argparse
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .changes import Change, of_python, of_sql

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "var" / "mutants"
RESULTS = CHECKOUT / "var" / "mutants.json"
EQUAL = Path(__file__).with_name("equal.txt")
SEED = 1
SAMPLE = 30
JOBS = 2
LEAST_SHARE = 0.95
# More than the tests of any file take on a busy machine; a change that makes a loop endless is noticed so.
SECONDS_MOST = 900
# So many tests that noticed something run before all others.
FIRST_MOST = 40

STORE = [
    "tests/store/test_charging.py",
    "tests/store/test_reserving.py",
    "tests/store/test_sums_of_sessions.py",
    "tests/store/test_guessing.py",
    "tests/store/test_reading_cards.py",
    "tests/store/test_usage_views.py",
    "tests/store/test_anomalies.py",
    "tests/store/test_catalogue.py",
    "tests/contract",
]
RULES = [
    "tests/schema/test_card_status.py",
    "tests/schema/test_role_reach.py",
    "tests/schema/test_roles.py",
    "tests/schema/test_grants.py",
    "tests/schema/test_side_doors.py",
    "tests/cli/test_custody.py",
    "tests/cli/test_sessions.py",
]
# A file, or a folder for all modules in it, and the tests that cover it: the quick ones first.
TESTS = {
    "freeradius_module/rules/login.py": ["freeradius_module/rules/login.py", "tests/unit/test_login.py", *STORE],
    "freeradius_module/engine/logins.py": ["freeradius_module/engine/logins.py", *STORE],
    "freeradius_module/rules/usage.py": [
        "freeradius_module/rules/usage.py",
        "tests/unit/test_usage.py",
        "tests/unit/test_login.py",
        STORE[0],
    ],
    "freeradius_module/rules/identity.py": [
        "freeradius_module/rules/identity.py",
        "tests/unit/test_identity.py",
        STORE[0],
    ],
    "freeradius_module/engine/accounting.py": ["freeradius_module/engine/accounting.py", *STORE],
    "freeradius_module/rules/hours.py": ["freeradius_module/rules/hours.py", "tests/unit/test_hours.py"],
    "freeradius_module/sealing/pin.py": [
        "freeradius_module/sealing/pin.py",
        "tests/unit/test_pin.py",
        "tests/unit/test_pin_open_all.py",
    ],
    "freeradius_module/sealing/keyring.py": ["freeradius_module/sealing/keyring.py", "tests/unit/test_keyring.py"],
    "freeradius_module/rules/serial.py": ["freeradius_module/rules/serial.py", "tests/unit/test_serial.py"],
    "freeradius_module/attributes.py": ["freeradius_module/attributes.py", "tests/unit/test_attributes.py", STORE[0]],
    "freeradius_module/engine/read_mark.py": ["freeradius_module/engine/read_mark.py", "tests/unit/test_hooks.py"],
    "freeradius_module/connection.py": ["tests/unit/test_connection.py", "tests/store/test_literals.py", STORE[1]],
    "freeradius_module/store": STORE,
    "admin/store/archive.py": [
        "admin/store/archive.py",
        "tests/cli/test_archive.py",
        "tests/contract/test_archive_is_transparent.py",
        "tests/contract/test_archive_and_engine.py",
    ],
    "admin/store/entry.py": ["tests/cli/test_credit.py", "tests/contract/test_transfer_and_login.py"],
    "admin/store/voice.py": ["tests/cli/test_telephony.py"],
    "admin/store/reconcile.py": ["tests/cli/test_reconcile.py"],
    "admin/books/audit.py": ["tests/cli/test_audit.py"],
    "admin/enforce/enforcer.py": ["tests/cli/test_enforce.py", "tests/contract/test_limits_of_the_card.py"],
    "sql/schema.sql": [*RULES, "tests/schema", *STORE, "tests/cli/test_telephony.py", "tests/cli/test_audit.py"],
}


class Verdict(NamedTuple):
    word: str  # killed: a test failed; late: the tests came to no end; alive: nobody noticed
    by: str  # the test that failed, or what pytest ended with
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Change one place at a time, and see whether a test notices.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    equal = reasons()
    changes = [
        one for path in files() for one in places(path) if options.only in str(one) and lasting_name(one) not in equal
    ]
    wanted = options.sample or (SAMPLE if options.short else len(changes))
    if len(changes) > wanted:
        changes = sorted(random.Random(SEED).sample(changes, wanted))
    if options.list:
        print(*changes, sep="\n")
        return 0
    trees = [Tree(FOLDER / f"tree-{number}") for number in range(min(options.jobs, len(changes)))]
    for tree in trees:
        tree.prepare()
    paths = {change.path for change in changes}
    if failed := trees[0].run(
        list(dict.fromkeys(test for path, tests in files().items() if path in paths for test in tests))
    ):
        print(f"Without any change the tests fail ({failed}): nothing can be said about changes.", file=sys.stderr)
        return 1
    verdicts = tried(changes, trees, equal)
    killed = sum(verdict.word != "alive" for verdict in verdicts.values())
    print(
        f"{len(verdicts)} changes, {killed} noticed, {len(verdicts) - killed} not; {len(equal)} others change nothing, see "
        f"{EQUAL.name}"
    )
    return int(killed < LEAST_SHARE * len(verdicts))


def tried(changes: list[Change], trees: list["Tree"], equal: dict[str, str]) -> dict[Change, Verdict]:
    """The verdicts, printed and written down as they come."""
    free: queue.Queue[Tree] = queue.Queue()
    for tree in trees:
        free.put(tree)
    verdicts: dict[Change, Verdict] = {}
    first: dict[str, list[str]] = {path: [] for path in files()}
    written = threading.Lock()

    def judge(change: Change) -> None:
        tree = free.get()
        try:
            verdict = tree.verdict(change, list(first[change.path]))
        finally:
            free.put(tree)
        with written:
            verdicts[change] = verdict
            if "::" in verdict.by:
                first[change.path] = [verdict.by, *(one for one in first[change.path] if one != verdict.by)][
                    :FIRST_MOST
                ]
            print(f"{verdict.word:8} {verdict.seconds:4.0f} s {change}  {verdict.by}", flush=True)
            RESULTS.write_text(
                json.dumps(
                    {"verdicts": {str(one): verdicts[one]._asdict() for one in sorted(verdicts)}, "equal": equal},
                    indent=1,
                )
            )

    with ThreadPoolExecutor(len(trees)) as pool:
        list(pool.map(judge, changes))
    return verdicts


def files() -> dict[str, list[str]]:
    """Each file that is changed, and its tests."""
    found = {}
    for name, tests in TESTS.items():
        path = CHECKOUT / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            found[str(file.relative_to(CHECKOUT))] = tests
    return found


def places(path: str) -> list[Change]:
    text = (CHECKOUT / path).read_text()
    return (of_sql if path.endswith(".sql") else of_python)(path, text)


def lasting_name(change: Change) -> str:
    """A place by its file and the text of its line, so that lines above it may come and go."""
    line = (CHECKOUT / change.path).read_text().splitlines()[change.line - 1].strip()
    return f"{change.path}:{change.column} {change.old!r} -> {change.new!r} in {line}"


def reasons() -> dict[str, str]:
    """Places that need not be noticed: a line `place | reason` each."""
    lines = [line for line in EQUAL.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" | ", 1) for line in lines)


class Tree:
    """A copy of the checkout in which one change at a time is tried."""

    def __init__(self, folder: Path):
        self.folder = folder
        # Which tests run first, and which one failed: see first.py.
        self.first = folder.with_name(f"{folder.name}.first")
        self.failed = folder.with_name(f"{folder.name}.failed")

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout
        subprocess.run(
            ["rsync", "-a", "--files-from=-", f"{CHECKOUT}/", f"{self.folder}/"], input=files, text=True, check=True
        )
        subprocess.run(
            ["make", "--no-print-directory", "installed", ".venv/test.stamp"],
            cwd=self.folder,
            check=True,
            stdout=sys.stderr,
        )

    def verdict(self, change: Change, first: list[str]) -> Verdict:
        path = self.folder / change.path
        text = path.read_text()
        started_at = time.monotonic()
        try:
            path.write_text(change.applied(text))
            failed = self.run(files()[change.path], first)
            word = "killed" if failed else "alive"
        except subprocess.TimeoutExpired:
            word, failed = "late", ""
        finally:
            path.write_text(text)
        return Verdict(word, failed, time.monotonic() - started_at)

    def run(self, tests: list[str], first: list[str] = ()) -> str:
        """Run tests up to the first that fails: its name, or nothing."""
        self.first.write_text("\n".join(first))
        self.failed.unlink(missing_ok=True)
        done = subprocess.run(
            [
                ".venv/bin/python",
                "-m",
                "pytest",
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                "-p",
                "tests.mutants.first",
                "--hypothesis-seed=1",
                "--doctest-modules",
                *tests,
            ],
            cwd=self.folder,
            capture_output=True,
            timeout=SECONDS_MOST,
            env={**os.environ, "MUTANTS_FIRST": str(self.first), "MUTANTS_FAILED": str(self.failed)},
        )
        if done.returncode == 0:
            return ""
        return self.failed.read_text() if self.failed.exists() else f"pytest ended with {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
