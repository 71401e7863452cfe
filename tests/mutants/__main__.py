"""`python -m tests.mutants`: change one place at a time, and see whether a test notices.

    --short           30 places, chosen by a fixed seed
    --only TEXT       places whose name (path:line:column 'old' -> 'new') contains this
    --list            name the places and do nothing

In a copy of the tree with a virtual environment of its own, under var/mutants, so that nothing here changes.  The tests
of a file are listed below, in the order in which they run; the first that fails ends the try.  The chosen places, their
order and the seed of `hypothesis` are fixed, so two runs give the same verdicts.  A place that may stay as it is, because
the change changes nothing, is in `equal.txt` with the reason.  Exit status 1 if less than 95 of 100 others are noticed.
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
# More than the tests of any file take on a busy machine; a change that makes a loop endless is noticed so.
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
# The changed file, and the tests that cover it: the quick ones first.
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
    **{
        f"freeradius_module/store/{name}.py": STORE
        for name in ("logins", "accounting", "posting", "guessing", "catalogue", "sql")
    },
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
        one for path in TESTS for one in places(path) if options.only in str(one) and lasting_name(one) not in equal
    ]
    if options.short and len(changes) > SAMPLE:
        changes = sorted(random.Random(SEED).sample(changes, SAMPLE))
    if options.list:
        print(*changes, sep="\n")
        return 0
    prepare()
    for path in sorted({change.path for change in changes}):
        if tests_of(path) != 0:
            print(
                f"The tests of {path} fail without any change: nothing can be said about changes of it.",
                file=sys.stderr,
            )
            return 1
    verdicts = {}
    for change in changes:
        verdicts[str(change)] = verdict(change)
        print(f"{verdicts[str(change)]:8} {change}", flush=True)
        RESULTS.write_text(json.dumps({"verdicts": verdicts, "equal": equal}, indent=1))
    killed = sum(word != "alive" for word in verdicts.values())
    print(
        f"{len(verdicts)} changes, {killed} noticed, {len(verdicts) - killed} not; {len(equal)} others change nothing, see "
        f"{EQUAL.name}"
    )
    return int(killed < LEAST_SHARE * len(verdicts))


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
    """killed: a test failed; late: the tests came to no end; alive: nobody noticed."""
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
    """Run the tests that cover a file, in the copy; pytest's exit status."""
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
            *TESTS[path],
        ],
        cwd=COPY,
        capture_output=True,
        timeout=SECONDS_MOST,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
