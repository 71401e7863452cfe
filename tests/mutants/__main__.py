"""`python -m tests.mutants`: change one place at a time, and see whether a test fails.

    --short           30 places, chosen by a fixed seed
    --only TEXT       places whose name (path:line:column 'old' -> 'new') contains this
    --list            print the names of the places and do nothing

The changes are made in a copy of the tree, under var/mutants, with its own virtual environment.  TESTS lists the tests of
each file, in the order in which they run; the first test that fails ends the trial.  The chosen places, their order and
the seed of `hypothesis` are fixed, so two runs give the same verdicts.  `equal.txt` lists, with the reason, the places
where the change makes no difference.  Exit status 1 if less than 95 of 100 other changes make a test fail.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from .changes import Change, of_python, of_sql

CHECKOUT = Path(__file__).resolve().parents[2]
COPY = CHECKOUT / "var" / "mutants" / "tree"
RESULTS = CHECKOUT / "var" / "mutants.json"
EQUAL = Path(__file__).with_name("equal.txt")
SEED = 1
SAMPLE = 30
LEAST_SHARE = 0.95
# The tests of any file take less, even on a busy machine.  A change that makes a loop endless ends here.
SECONDS_MOST = 900

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
# A file, or a folder for all modules in it, and the tests that cover it: the quick ones first.
TESTS = {
    "freeradius_module/rules/login.py": ["freeradius_module/rules/login.py", "tests/unit/test_login.py", *STORE[:4]],
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
    "freeradius_module/store": STORE,
    "sql/schema.sql": ["tests/schema", *STORE],
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Change one place at a time, and see whether a test notices.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    equal = reasons()
    changes = [
        change
        for path in files()
        for change in places(path)
        if options.only in str(change) and lasting_name(change) not in equal
    ]
    if options.short and len(changes) > SAMPLE:
        changes = sorted(random.Random(SEED).sample(changes, SAMPLE))
    if options.list:
        print(*changes, sep="\n")
        return 0
    prepare()
    for path in sorted({change.path for change in changes}):
        if tests_of(path) != 0:
            print(f"The tests of {path} fail without any change, so they cannot judge changes.", file=sys.stderr)
            return 1
    verdicts = {}
    for change in changes:
        verdicts[str(change)] = verdict(change)
        print(f"{verdicts[str(change)]:8} {change}", flush=True)
        RESULTS.write_text(json.dumps({"verdicts": verdicts, "equal": equal}, indent=1))
    killed = sum(word != "alive" for word in verdicts.values())
    print(
        f"{len(verdicts)} changes, {killed} made a test fail, {len(verdicts) - killed} did not; {len(equal)} others make "
        f"no difference, see {EQUAL.name}"
    )
    return int(killed < LEAST_SHARE * len(verdicts))


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
    """A name by the text of the line, so that it stays when the line moves, to another file too."""
    line = (CHECKOUT / change.path).read_text().splitlines()[change.line - 1].strip()
    return f"{change.column} {change.old!r} -> {change.new!r} in {line}"


def reasons() -> dict[str, str]:
    """The places where a change makes no difference, and why: one `place | reason` a line."""
    lines = [line for line in EQUAL.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" | ", 1) for line in lines)


def prepare() -> None:
    COPY.mkdir(parents=True, exist_ok=True)
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    subprocess.run(["rsync", "-a", "--files-from=-", f"{CHECKOUT}/", f"{COPY}/"], input=files, text=True, check=True)
    subprocess.run(
        ["make", "--no-print-directory", "installed", ".venv/test.stamp"], cwd=COPY, check=True, stdout=sys.stderr
    )


def verdict(change: Change) -> str:
    """killed: a test failed; late: the tests did not end; alive: no test failed."""
    path = COPY / change.path
    text = path.read_text()
    others = [COPY / "sql/migrations/0001_initial.sql"] if change.path == "sql/schema.sql" else []
    try:
        for one in (path, *others):
            one.write_text(change.applied(text))
        return "alive" if tests_of(change.path) == 0 else "killed"
    except subprocess.TimeoutExpired:
        return "late"
    finally:
        for one in (path, *others):
            one.write_text(text)


def tests_of(path: str) -> int:
    """Run the tests that cover a file, in the copy; returns pytest's exit status."""
    done = subprocess.run(
        [
            ".venv/bin/python",
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "--hypothesis-seed=1",
            "--doctest-modules",
            *files()[path],
        ],
        cwd=COPY,
        capture_output=True,
        timeout=SECONDS_MOST,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
