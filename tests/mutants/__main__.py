"""`python -m tests.mutants`: change one place at a time, and see whether a test notices.

    --short           30 places, chosen by a fixed seed
    --sample N        so many places, chosen by the same seed
    --only TEXT       places whose name (path:line:column 'old' -> 'new') contains this; can be given several times
    --jobs N          so many at a time, each in a copy of its own  [2]
    --map             find out again which tests execute which lines; --map=alone only of the tests without a server;
                      --map=FILE,FILE only of these files of tests
    --left            only the places that no earlier run found killed: to go on with a run, or after adding tests
    --list            name the places and do nothing

Each change is tried with the tests that execute it: the changed statement of Python, or the changed trigger, view or
procedure.  The map of that is made once, by a run of all these tests, and kept in var/mutants/map.json; make it again
after a change of the tests.  The quickest test comes first, the first that fails ends the try, and all together take at
most BUDGET_SECONDS by the map, so that a verdict takes a bounded time.  `worker.py` says how a try is made cheap.

The verdicts do not depend on chance: the places, the map and the examples of `hypothesis` are fixed, and a test that
noticed a change is run once without one, in the same way; if it fails then, it is left out.  They are kept in
var/mutants.json, with those of earlier runs.  A place that may stay as it is, because the change changes nothing, is in
`equal.txt` with the reason.  Exit status 1 if less than 95 of 100 others are noticed.
"""

import argparse
import ast
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .changes import Change, objects, of_python, of_sql, replacing

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "var" / "mutants"
MAP = FOLDER / "map.json"
RESULTS = CHECKOUT / "var" / "mutants.json"
EQUAL = Path(__file__).with_name("equal.txt")
SEED = 1
SAMPLE = 30
JOBS = 2
LEAST_SHARE = 0.95
# The tests of one change take no longer together, as measured on the unchanged tree.  Those of a rule of the database are
# slower: each tries what many accounts may do.
BUDGET_SECONDS = 20.0
BUDGET_SECONDS_SQL = 60.0
# A try ends as `late` when it has computed, or taken, so much more than its tests take without a change.
CPU_FACTOR, CPU_SECONDS = 4, 6
WALL_FACTOR, WALL_SECONDS = 20, 120
MAP_SECONDS = 3600

# What decides, charges, seals and guards: files, or folders for all modules in them, in the order in which they are tried.
FILES = [
    "freeradius_module/rules",
    "freeradius_module/sealing",
    "freeradius_module/store",
    "freeradius_module/engine/accounting.py",
    "freeradius_module/engine/logins.py",
    "freeradius_module/engine/read_mark.py",
    "sql/schema.sql",
    "freeradius_module/attributes.py",
    "freeradius_module/connection.py",
    "admin/store/archive.py",
    "admin/store/entry.py",
    "admin/store/reconcile.py",
    "admin/store/voice.py",
    "admin/books/audit.py",
    "admin/enforce/enforcer.py",
]
# Tests without a server ...
ALONE = ["freeradius_module", "admin", "tests/unit"]
# ... and with one.
SERVED = [
    "tests/store",
    "tests/contract",
    "tests/schema",
    "tests/cli/test_archive.py",
    "tests/cli/test_audit.py",
    "tests/cli/test_block.py",
    "tests/cli/test_credit.py",
    "tests/cli/test_custody.py",
    "tests/cli/test_enforce.py",
    "tests/cli/test_import.py",
    "tests/cli/test_operators.py",
    "tests/cli/test_operators_of_credit.py",
    "tests/cli/test_reconcile.py",
    "tests/cli/test_sessions.py",
    "tests/cli/test_telephony.py",
    "tests/cli/test_track.py",
]


class Verdict(NamedTuple):
    word: str  # killed: a test failed; late: the tests came to no end; alive: nobody noticed; untested: no test executes it
    by: str  # the test that failed, or what pytest ended with
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Change one place at a time, and see whether a test notices.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--map", nargs="?", const="all")
    parser.add_argument("--left", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    equal = reasons()
    known = json.loads(RESULTS.read_text())["verdicts"] if RESULTS.exists() else {}
    changes = [
        one
        for path in files()
        for one in places(path)
        if (not options.only or any(text in str(one) for text in options.only))
        and lasting_name(one) not in equal
        and (not options.left or known.get(str(one), {"word": ""})["word"] not in ("killed", "late"))
    ]
    wanted = options.sample or (SAMPLE if options.short else len(changes))
    if len(changes) > wanted:
        chosen = set(random.Random(SEED).sample(changes, wanted))
        changes = [one for one in changes if one in chosen]
    if options.list:
        print(*changes, sep="\n")
        return 0
    trees = [Tree(FOLDER / f"tree-{number}") for number in range(max(1, min(options.jobs, len(changes))))]
    for tree in trees:
        tree.prepare()
    if options.map or not MAP.exists():
        make_map(trees[0], options.map if MAP.exists() and options.map else "all")
    started_at = time.monotonic()
    try:
        verdicts = tried(changes, trees, known, Map())
    finally:
        for tree in trees:
            tree.end()
    print_summary(verdicts, equal, time.monotonic() - started_at)
    killed = sum(verdict.word in ("killed", "late") for verdict in verdicts.values())
    return int(killed < LEAST_SHARE * len(verdicts))


def tried(changes: list[Change], trees: list["Tree"], known: dict, tests: "Map") -> dict[Change, Verdict]:
    """The verdicts, printed and written down as they come."""
    free: queue.Queue[Tree] = queue.Queue()
    for tree in trees:
        free.put(tree)
    verdicts: dict[Change, Verdict] = {}
    written = threading.Lock()

    def judge(change: Change) -> None:
        tree = free.get()
        try:
            verdict = tree.verdict(change, tests, dict(known))
        finally:
            free.put(tree)
        with written:
            verdicts[change] = verdict
            known[str(change)] = verdict._asdict()
            print(f"{verdict.word:8} {verdict.seconds:5.1f} s {change}  {verdict.by}", flush=True)
            unfinished = RESULTS.with_suffix(".unfinished")
            unfinished.write_text(json.dumps({"verdicts": known}, indent=1))
            unfinished.rename(RESULTS)

    with ThreadPoolExecutor(len(trees)) as pool:
        list(pool.map(judge, changes))
    return verdicts


def print_summary(verdicts: dict[Change, Verdict], equal: dict[str, str], seconds: float) -> None:
    words = ("killed", "late", "alive", "untested")
    by_file: dict[str, Counter] = defaultdict(Counter)
    for change, verdict in verdicts.items():
        by_file[change.path][verdict.word] += 1
    explained = Counter(name.split(":")[0] for name in equal)
    print(f"\n{'file':44} {'tried':>6} " + " ".join(f"{word:>8}" for word in words) + f" {'explained':>9}")
    for path, counts in by_file.items():
        print(
            f"{path:44} {sum(counts.values()):6} "
            + " ".join(f"{counts[word]:8}" for word in words)
            + f" {explained[path]:9}"
        )
    noticed = sum(counts["killed"] + counts["late"] for counts in by_file.values())
    share = 100 * noticed / max(1, len(verdicts))
    print(f"{len(verdicts)} changes, {noticed} noticed ({share:.1f} %), in {seconds / 60:.1f} minutes")


def files() -> list[str]:
    """Each file that is changed."""
    found = []
    for name in FILES:
        path = CHECKOUT / name
        found += [str(file.relative_to(CHECKOUT)) for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
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
    return dict(line.rsplit(" | ", 1) for line in lines)


def make_map(tree: "Tree", which: str) -> None:
    """Run tests without a change, in the way in which they run with one, and write down what each executes.

    *which*: "all"; "alone" for those without a server; or files of tests, with commas between them.
    """
    names = [one.name for one in objects((CHECKOUT / "sql/schema.sql").read_text())]
    parts = {"all": [(False, ALONE), (True, SERVED)], "alone": [(False, ALONE)]}
    runs = parts.get(which) or [
        (needs_server, chosen)
        for needs_server in (False, True)
        if (chosen := [one for one in which.split(",") if not one.startswith(tuple(ALONE)) == needs_server])
    ]
    found: dict[str, dict] = {}
    if which != "all":
        run_again = tuple(name for _, chosen in runs for name in chosen)
        found = {name: test for name, test in json.loads(MAP.read_text()).items() if not name.startswith(run_again)}
    for needs_server, chosen in runs:
        part = FOLDER / "map.part"
        part.unlink(missing_ok=True)
        answer = tree.ask(
            {
                "map": str(part),
                "names": names,
                "files": chosen,
                "needs_server": needs_server,
                "cpu_seconds": MAP_SECONDS,
                "wall_seconds": MAP_SECONDS,
            }
        )
        tests = json.loads(part.read_text()) if part.exists() else {}
        if not tests:
            raise RuntimeError(f"the tests did not run; see {tree.folder}/var/log")
        failed = [name for name, test in tests.items() if not test["passed"]]
        print(
            f"{len(tests)} tests of {', '.join(chosen)} in {answer['seconds']:.0f} s; left out, because they fail without "
            f"a change or were skipped: {', '.join(failed) or 'none'}",
            file=sys.stderr,
        )
        for name, test in tests.items():
            if test["passed"]:
                found[name] = test | {"needs_server": needs_server}
    MAP.write_text(json.dumps(found))
    # The next worker needs no server that measures.
    tree.end()


class Map:
    """Which tests execute a place."""

    def __init__(self) -> None:
        self.tests = json.loads(MAP.read_text())
        self.files = sorted({name.split("::")[0] for name in self.tests})
        # Those that noticed a change, and do or do not pass without one.
        self.passing: set[str] = set()
        self.failing: set[str] = set()
        self.by_line: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.by_file: dict[str, set[str]] = defaultdict(set)
        self.by_object: dict[str, set[str]] = defaultdict(set)
        for name, test in self.tests.items():
            for path, lines in test["lines"].items():
                self.by_file[path].add(name)
                for line in lines:
                    self.by_line[path, line].add(name)
            for used in test["objects"]:
                self.by_object[used].add(name)
        self._add_users_of_views()

    def of(self, change: Change) -> list[str]:
        """The tests of a change, the quickest first."""
        # Its examples, and the tests in the files of its name.
        of_module = (
            f"{change.path}::",
            *(f"tests/{room}/test_{Path(change.path).stem}.py::" for room in ("unit", "store")),
        )
        if change.path.endswith(".sql"):
            found = self.by_object[object_at(change).name]
        else:
            lines = statement_at(change)
            found = set().union(*(self.by_line[change.path, line] for line in lines or lines_using(change)))
            if not lines:
                # What runs at import: the tests of the functions that use it, and those in the file of that name, which may
                # look at it alone, or find in a cache what it makes.
                found = (found or self.by_file[change.path]) | {
                    name for name in self.tests if name.startswith(of_module)
                }
        chosen, seconds = [], 0.0
        is_sql = change.path.endswith(".sql")
        # First the tests that are about this file, then those of its folder; others only pass by.
        room = "tests/schema/" if is_sql else f"tests/{Path(change.path).parent.name}/"
        for name in sorted(
            found - self.failing,
            key=lambda name: (
                not name.startswith(of_module), not name.startswith(room), self.tests[name]["seconds"], name
            ),
        ):  # fmt: skip
            seconds += self.tests[name]["seconds"]
            if seconds > (BUDGET_SECONDS_SQL if is_sql else BUDGET_SECONDS) and chosen:
                break
            chosen.append(name)
        return chosen

    def _add_users_of_views(self) -> None:
        """Who uses an object also uses the views, functions and procedures that it names."""
        text = (CHECKOUT / "sql/schema.sql").read_text()
        all_objects = objects(text)
        for _ in range(3):
            for user in all_objects:
                body = text[user.start : user.end]
                for used in all_objects:
                    if used.kind != "TRIGGER" and used.name != user.name and used.name in body:
                        self.by_object[used.name] |= self.by_object[user.name]


def object_at(change: Change):
    return next(one for one in _objects_of(change.path) if one.start <= change.start < one.end)


@cache
def _objects_of(path: str):
    return objects((CHECKOUT / path).read_text())


@cache
def _tree_of(path: str) -> ast.Module:
    return ast.parse((CHECKOUT / path).read_text())


def statement_at(change: Change) -> range | None:
    """The lines of the statement in a function that a change belongs to; None: it runs when the module is imported."""
    function = None
    for node in ast.walk(_tree_of(change.path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = range(node.body[0].lineno, node.end_lineno + 1)
            if change.line in body and (function is None or node.lineno > function.lineno):
                function = node
    if function is None:
        return None
    smallest = None
    for node in ast.walk(function):
        if isinstance(node, ast.stmt) and node is not function:
            inner = getattr(node, "body", None)
            last = inner[0].lineno - 1 if inner else node.end_lineno
            lines = range(node.lineno, max(node.lineno, last) + 1)
            if change.line in lines and (smallest is None or len(lines) < len(smallest)):
                smallest = lines
    return smallest or range(function.body[0].lineno, function.end_lineno + 1)


def lines_using(change: Change) -> list[int]:
    """The lines in functions of the same file that name what a statement outside of functions defines, also by way of others."""
    module = _tree_of(change.path)
    names: set[str] = set()
    used: list[int] = []
    for _ in range(3):
        for node in module.body:
            inner = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            if isinstance(node, ast.ClassDef) and change.line in range(node.lineno, node.end_lineno + 1):
                names.add(node.name)
            if isinstance(node, ast.Assign | ast.AnnAssign):
                is_changed = change.line in range(node.lineno, node.end_lineno + 1)
                if is_changed or inner & names:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    names |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            used += [one.lineno for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in names]
    return used


class Tree:
    """A copy of the checkout in which one change at a time is tried, and the worker in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.worker: subprocess.Popen | None = None

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout
        existing = "\n".join(name for name in listed.splitlines() if (CHECKOUT / name).exists())
        subprocess.run(
            ["rsync", "-a", "--files-from=-", f"{CHECKOUT}/", f"{self.folder}/"], input=existing, text=True, check=True
        )
        # Tests that were removed must not run here.
        wanted = set(existing.splitlines())
        for path in self.folder.rglob("*.py"):
            if str(path.relative_to(self.folder)) not in wanted:
                path.unlink()

    def ask(self, job: dict) -> dict:
        if self.worker is None:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "tests.mutants.worker"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONHASHSEED": "0"},
            )
        self.worker.stdin.write(json.dumps(job) + "\n")
        self.worker.stdin.flush()
        line = self.worker.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker in {self.folder} ended")
        return json.loads(line)

    def end(self) -> None:
        if self.worker:
            self.worker.stdin.close()
            self.worker.wait()
            self.worker = None

    def verdict(self, change: Change, tests: Map, known: dict) -> Verdict:
        # The tests that noticed other changes of this file run first.  The order decides how long it takes, not the verdict.
        noticed = Counter(one["by"] for name, one in known.items() if name.startswith(f"{change.path}:"))
        chosen = sorted(tests.of(change), key=lambda name: -noticed[name])
        if not chosen:
            return Verdict("untested", "", 0.0)
        text = (CHECKOUT / change.path).read_text()
        seconds = sum(tests.tests[name]["seconds"] for name in chosen)
        job = {
            "path": change.path,
            "tests": chosen,
            "files": sorted({name.split("::")[0] for name in chosen}),
            "needs_server": any(tests.tests[name]["needs_server"] for name in chosen),
            "cpu_seconds": int(CPU_SECONDS + CPU_FACTOR * seconds),
            "wall_seconds": WALL_SECONDS + WALL_FACTOR * seconds,
        }
        if change.path.endswith(".sql"):
            one = object_at(change)
            changed = change.applied(text)[one.start : one.end + len(change.new) - len(change.old)]
            job |= {"define": [replacing(changed)], "undo": [replacing(text[one.start : one.end])]}
            job |= {"text": change.applied(text), "collected": tests.files}
        elif statement_at(change):
            job |= {"code": change.applied(text), "collected": tests.files}
        else:
            job |= {"text": change.applied(text)}
        while True:
            verdict = Verdict(**self.ask(job))
            if verdict.word != "killed" or verdict.by not in tests.tests or self._passes_unchanged(verdict.by, tests):
                return verdict
            print(f"{verdict.by} fails without a change, too: left out", file=sys.stderr)
            tests.failing.add(verdict.by)
            job["tests"] = [name for name in job["tests"] if name != verdict.by]
            if not job["tests"]:
                return Verdict("untested", "", verdict.seconds)

    def _passes_unchanged(self, name: str, tests: Map) -> bool:
        """Whether a test that failed passes without the change, here and now: it says nothing if it does not.  Asked once."""
        if name not in tests.passing:
            seconds = tests.tests[name]["seconds"]
            answer = self.ask(
                {
                    "tests": [name],
                    "needs_server": tests.tests[name]["needs_server"],
                    "cpu_seconds": int(CPU_SECONDS + CPU_FACTOR * seconds),
                    "wall_seconds": WALL_SECONDS + WALL_FACTOR * seconds,
                    "collected": tests.files,
                }
            )
            if answer["word"] == "alive":
                tests.passing.add(name)
        return name in tests.passing


if __name__ == "__main__":
    sys.exit(main())
