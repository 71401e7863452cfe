"""A plugin of pytest: runs the chosen tests in the chosen order, and writes down which one failed, or what each executes.

`job` is set by the worker before pytest starts.  With `job["map"]`, the file of that name receives for each test: how long
it took, the lines of both packages that it executed in this process, and the triggers, procedures and views that it used.
"""

import functools
import gc
import json
import os
import re
import resource
import types
from collections import defaultdict
from pathlib import Path

import coverage
import hypothesis
import pymysql
import pytest

PACKAGES = ["freeradius_module", "admin"]
PROGRAMS = "performance_schema.events_statements_summary_by_program"
DIGESTS = "performance_schema.events_statements_summary_by_digest"

job: dict = {}
# In the process that has collected all tests: where jobs come from, where the status of each goes, and what waits for one.
served: tuple | None = None
_measured = None
_found: dict[str, dict] = {}


def pytest_configure(config):
    # The same examples in each run, so that two runs give the same verdicts.
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None)
    hypothesis.settings.load_profile("mutants")
    if job.get("map"):
        global _measured
        _measured = coverage.Coverage(
            data_file=None, config_file=False, source=[str(config.rootpath / package) for package in PACKAGES]
        )
        _measured.start()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if job.get("map") or served:
        return
    place = {name: number for number, name in enumerate(job["tests"])}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in place])
    items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


def pytest_runtestloop(session):
    """Instead of running the tests: for each job, a child changes a function and runs the chosen ones."""
    if served is None:
        return None
    jobs, answers, status_of = served
    items = {item.nodeid: item for item in session.items}
    gc.collect()
    gc.freeze()
    for line in jobs:
        job.clear()
        job.update(json.loads(line))
        child = os.fork()
        if child == 0:
            os._exit(_run(session, [items[name] for name in job["tests"] if name in items]))
        print(json.dumps(status_of(child, job["wall_seconds"])), file=answers, flush=True)
    return True


def _run(session, items) -> int:
    """In the child: the exit status of the tests."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"], job["cpu_seconds"] + 5))
    os.environ.update(job["environment"])
    if "code" in job:
        change(job["path"], job["code"])
    for number, item in enumerate(items):
        nextitem = items[number + 1] if number + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        if session.testsfailed:
            return 1
    return 0


def change(path: str, text: str) -> None:
    """Give the functions of a module the code that they have in the changed text.

    The lines are the same, so a function is found by its name and its first line.
    """
    file = str(Path(path).resolve())
    codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes(compile(text, file, "exec"))}
    gc.unfreeze()
    for one in gc.get_objects():
        if isinstance(one, types.FunctionType) and one.__code__.co_filename == file:
            one.__code__ = codes[one.__code__.co_qualname, one.__code__.co_firstlineno]
        elif isinstance(one, functools._lru_cache_wrapper):
            one.cache_clear()


def _codes(code: types.CodeType):
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)


def pytest_runtest_logreport(report):
    if report.failed:
        Path(job["failed"]).write_text(report.nodeid)
    if job.get("map"):
        one = _found.setdefault(report.nodeid, {"seconds": 0.0, "passed": True, "lines": {}, "objects": []})
        one["seconds"] += report.duration
        one["passed"] &= report.outcome == "passed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    if not job.get("map"):
        return (yield)
    _measured.switch_context(item.nodeid)
    with _server() as cursor:
        if cursor:
            cursor.execute(f"TRUNCATE {PROGRAMS}")
            cursor.execute(f"TRUNCATE {DIGESTS}")
    try:
        return (yield)
    finally:
        _measured.switch_context("-")
        with _server() as cursor:
            if cursor and item.nodeid in _found:
                _found[item.nodeid]["objects"] = _used(cursor)


def pytest_sessionfinish(session):
    if not job.get("map"):
        return
    _measured.stop()
    data = _measured.get_data()
    for path in data.measured_files():
        by_test = defaultdict(list)
        for line, contexts in data.contexts_by_lineno(path).items():
            for context in contexts:
                by_test[context].append(line)
        for test, lines in by_test.items():
            if test in _found:
                _found[test]["lines"][str(Path(path).relative_to(session.config.rootpath))] = sorted(lines)
    Path(job["map"]).write_text(json.dumps(_found))


class _server:
    """A cursor with all rights, if the server runs."""

    def __enter__(self):
        self.connection = None
        if job.get("socket"):
            try:
                self.connection = pymysql.connect(unix_socket=job["socket"], user=job["owner"], ssl_disabled=True)
            except pymysql.MySQLError:
                return None
            return self.connection.cursor()
        return None

    def __exit__(self, *raised):
        if self.connection:
            self.connection.close()


def _used(cursor) -> list[str]:
    """The objects of job["names"] that were executed, or named in a statement."""
    cursor.execute(f"SELECT DISTINCT object_name FROM {PROGRAMS} WHERE count_star > 0")
    used = {name for (name,) in cursor.fetchall()}
    cursor.execute(f"SELECT digest_text FROM {DIGESTS} WHERE digest_text IS NOT NULL")
    used |= {word for (text,) in cursor.fetchall() for word in re.findall(r"\w+", text)}
    return sorted(used & set(job["names"]))
