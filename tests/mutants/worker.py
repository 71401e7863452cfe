"""One worker: tries one change after another in a copy of the tree, and has everything ready that does not change.

It has a running MariaDB with the schema, and a process in which pytest has collected all tests.  For each change that
process forks; the child gets the changed function, in memory, and runs the chosen tests.  So a try takes little more than
its tests.  A changed trigger is put into the database that is there, and back afterwards.  What is changed outside of
functions runs when a module is imported; for this, the child of a process that has imported nothing of ours starts pytest.

The jobs come as lines of JSON, and so do the verdicts.  Commands and radiusd run from the installed copy, which is not
changed: the tests that are chosen for a change execute it in their own process.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# Imported once: they take longer than the tests of a rule.
import click.testing  # noqa: F401
import coverage  # noqa: F401
import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
import hypothesis  # noqa: F401
import pymysql
import pytest
import rich.console  # noqa: F401
import rich.table  # noqa: F401

from tests.database import CleanDatabase, Database
from tests.mutants import plugin
from tests.stack import Stack, free_ports
from tests.stack.mariadb import QUICK
from tests.stack.stack import DATABASE

MEASURING = [
    "--performance-schema=ON",
    "--performance-schema-max-digest-length=16384",
    "--max-digest-length=16384",
    "--performance-schema-digests-size=2000",
]
# Tests of the tree's texts and of the tests' own tools: they say nothing about what our code does.
NOT_RUN = [
    f"tests/unit/test_{name}.py"
    for name in (
        "mutants", "docs", "contributing", "packaging", "rooms", "one_home", "translations", "facts_in_sql", "bench_load",
        "bench_packet", "galera_helper",
    )
]  # fmt: skip
# Files of the stack that tests write.
KEPT_FILES = ("prepaid.cnf", "key")


ARGUMENTS = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "tests.mutants.plugin"]
ARGUMENTS += [f"--ignore={name}" for name in NOT_RUN]
# Without a server, a test that wants one fails, and nothing is installed.
NO_STACK = {"PREPAID_TEST_STACK": "[]"}


def redirect(log: Path) -> None:
    """Read nothing, and write into the log."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, one in enumerate((os.open(os.devnull, os.O_RDONLY), file, file)):
        os.dup2(one, number)


def limit(job: dict) -> None:
    """An endless loop is recognised by what it computes, so that a busy machine changes no verdict."""
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"], job["cpu_seconds"] + 5))


def child_status(child: int, seconds: float) -> int | None:
    """The status of a child that leads a session of its own, or nothing if it was killed because it came to no end."""
    deadline = time.monotonic() + seconds
    status = None
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.005)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if not ended:
        os.waitpid(child, 0)
        return None
    return status


class Warm:
    """The private MariaDB that all tries of this worker use."""

    def __init__(self, is_measured: bool):
        self.folder = Path(tempfile.mkdtemp(prefix="prepaid-test-"))
        memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else self.folder
        self.data_folder = Path(tempfile.mkdtemp(prefix="prepaid-test-", dir=memory)) / "mariadb"
        self.ports = free_ports(2)
        self.options = MEASURING if is_measured else []
        self.stack = self._stack()
        self.stack.start_database()
        self.clean = CleanDatabase(Database(self.stack.mariadb, DATABASE))
        self.files = {name: (self.folder / name).read_bytes() for name in KEPT_FILES}
        with self.stack.mariadb.connect() as connection, connection.cursor() as cursor:
            self.accounts = self._accounts(cursor)
            cursor.execute(
                "SELECT sql_mode FROM information_schema.triggers WHERE trigger_schema = %s LIMIT 1", [DATABASE]
            )
            (self.sql_mode,) = cursor.fetchone()

    def _stack(self) -> Stack:
        return Stack(
            self.folder,
            auth_port=self.ports[0],
            acct_port=self.ports[1],
            durability=QUICK,
            data_folder=self.data_folder,
            mariadb_options=self.options,
            dies_with_parent=True,
        )

    def environment(self) -> dict[str, str]:
        """What makes the fixtures of conftest.py use this server."""
        values = [str(self.folder), str(self.data_folder), *self.ports, self.options]
        return {"PREPAID_TEST_STACK": json.dumps(values)}

    def restore(self) -> None:
        """Undo what the tests of a try left, also of one that was killed."""
        for name, content in self.files.items():
            if (self.folder / name).read_bytes() != content:
                (self.folder / name).write_bytes(content)
        self.stack = self._stack()
        self.stack.mariadb.start()
        with self.stack.mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user <> 'event_scheduler'"
            )
            for (number,) in cursor.fetchall():
                try:
                    cursor.execute(f"KILL {number}")
                except pymysql.MySQLError:
                    pass
            for account in self._accounts(cursor) - self.accounts:
                cursor.execute(f"DROP {'USER' if '@' in account else 'ROLE'} IF EXISTS {account}")
            cursor.execute("SHOW DATABASES LIKE 'schema\\_%'")
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP DATABASE `{name}`")
        self.clean.database = Database(self.stack.mariadb, DATABASE)
        self.clean.restore()

    @staticmethod
    def _accounts(cursor) -> set[str]:
        cursor.execute("SELECT user, host, is_role FROM mysql.user")
        return {f"`{user}`" if is_role == "Y" else f"`{user}`@`{host}`" for user, host, is_role in cursor.fetchall()}

    def define(self, statements: list[str]) -> str:
        """Put objects into the database; the message if the server refuses one."""
        with self.stack.mariadb.connect(DATABASE) as connection, connection.cursor() as cursor:
            cursor.execute("SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin")
            cursor.execute("SET sql_mode = %s", [self.sql_mode])
            try:
                for statement in statements:
                    cursor.execute(statement)
            except pymysql.MySQLError as error:
                return str(error)
        return ""

    def end(self) -> None:
        self.stack.down()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.data_folder.parent, ignore_errors=True)


class Collected:
    """A process in which pytest has collected all tests; see `plugin.serve`."""

    def __init__(self, files: list[str], log: Path):
        jobs, self.jobs = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.jobs)
            os.close(self.answers)
            try:
                redirect(log)
                os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
                sys.dont_write_bytecode = True
                plugin.served = (os.fdopen(jobs), os.fdopen(answers, "w"), child_status)
                pytest.main([*ARGUMENTS, "-x", *files])
            finally:
                os._exit(1)
        os.close(jobs)
        os.close(answers)
        self.jobs, self.answers = os.fdopen(self.jobs, "w"), os.fdopen(self.answers)

    def status(self, job: dict) -> int | None:
        print(json.dumps(job), file=self.jobs, flush=True)
        line = self.answers.readline()
        if not line:
            raise RuntimeError("pytest could not collect the tests without a change; see var/log in this tree")
        return json.loads(line)

    def end(self) -> None:
        self.jobs.close()
        os.waitpid(self.pid, 0)


class Worker:
    def __init__(self):
        self.collected: Collected | None = None
        self.tree = Path.cwd()
        self.failed = self.tree / "var" / "failed"
        self.log = self.tree / "var" / "log"
        self.failed.parent.mkdir(exist_ok=True)
        self.warm: Warm | None = None

    def run(self, job: dict) -> dict:
        """The verdict: killed, and by which test; late; or alive."""
        started_at = time.monotonic()
        if job["needs_server"]:
            if self.warm is None:
                self.warm = Warm(bool(job.get("map")))
            self.warm.restore()
        try:
            word, by = self._tried(job)
        finally:
            self._undo(job)
        if word == "late" and self.warm:
            # What its tests left may be anything.
            self.warm.end()
            self.warm = None
        return {"word": word, "by": by, "seconds": time.monotonic() - started_at}

    def _tried(self, job: dict) -> tuple[str, str]:
        if "text" in job:
            path = self.tree / job["path"]
            # No .pyc of the old text may serve for the new one, nor the other way round: both have other times.
            before = path.stat()
            self.before = (path, path.read_text(), before)
            path.write_text(job["text"])
            os.utime(path, (before.st_atime, before.st_mtime + 1000))
        if self.warm and job.get("define") and (message := self.warm.define(job["define"])):
            return "killed", f"the server refuses it: {message}"
        self.failed.unlink(missing_ok=True)
        job["failed"] = str(self.failed)
        job["environment"] = self.warm.environment() if self.warm else NO_STACK
        if job.get("collected"):
            if self.collected is None:
                self.collected = Collected(job["collected"], self.log)
            status = self.collected.status(job)
        else:
            child = os.fork()
            if child == 0:
                self._test(job)
            status = child_status(child, job["wall_seconds"])
        if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
            return "late", ""
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return "alive", ""
        if self.failed.exists():
            return "killed", self.failed.read_text()
        return "killed", f"pytest ended with {os.waitstatus_to_exitcode(status)}"

    def _test(self, job: dict) -> None:
        """In the child: run pytest, and end."""
        os.setsid()
        os.environ.update(job["environment"], PYTHONDONTWRITEBYTECODE="1")
        sys.dont_write_bytecode = True
        if self.warm:
            job |= {"socket": str(self.warm.stack.mariadb.socket), "owner": self.warm.stack.mariadb.owner}
        redirect(self.log)
        limit(job)
        plugin.job = job
        status = 99
        try:
            status = int(pytest.main([*ARGUMENTS, *([] if job.get("map") else ["-x"]), *job["files"]]))
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _undo(self, job: dict) -> None:
        if "text" in job:
            path, text, before = self.before
            path.write_text(text)
            os.utime(path, (before.st_atime, before.st_mtime))
        if self.warm and job.get("undo"):
            self.warm.stack.mariadb.start()
            if message := self.warm.define(job["undo"]):
                raise RuntimeError(message)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    try:
        for line in sys.stdin:
            print(json.dumps(worker.run(json.loads(line))), file=answers, flush=True)
    finally:
        if worker.collected:
            worker.collected.end()
        if worker.warm:
            worker.warm.end()


if __name__ == "__main__":
    main()
