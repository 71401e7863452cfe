"""What setup consists of: steps that are done once and in order, and that are undone in reverse if one of them fails."""

import contextlib
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import pymysql

from freeradius_module.sealing.keyring import KeyFileError
from freeradius_module.sealing.pin import CryptographyError, SealError
from freeradius_module.settings import SettingsError

from ..shell import errors
from ..shell.text import _, translated

# An ended terminal session and a stopped job end setup like Ctrl-C, so that it can undo what it began.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Step(ABC):
    """One thing that setup does, such as a file, the database or a unit.

    `name` is its line in the plan.  `do` calls `undo_by` for each change that it makes, before it makes it, so that a step
    that fails halfway is undone, too.
    """

    def __init__(self, name: str):
        self.name = name
        self._undoings: list[Callable[[], object]] = []

    @abstractmethod
    def is_done(self) -> bool:
        """Whether there is nothing to do, because an earlier run or somebody else did it."""

    @abstractmethod
    def do(self) -> None:
        """Do it.  After an exception, `undo` takes back the part that was done."""

    def undo_by(self, action: Callable[[], object]) -> None:
        """Call this function if this step or a later one fails."""
        self._undoings.append(action)

    def undo(self) -> None:
        """Take back what `do` did in this run, the last change first.  Everything is tried before a failure is raised."""
        failures: list[Exception] = []
        while self._undoings:
            try:
                self._undoings.pop()()
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]


class StepFailed(errors.OfficeError):
    """A step failed; what this run had begun was undone."""

    def __init__(self, message: str, exit_status: int = 1):
        super().__init__("{message}", message=message)
        self.exit_status = exit_status


def run(steps: Sequence[Step], report: Callable[[int, Step, bool], None]) -> None:
    """Do each step that is not done yet, and report each: its number, the step, whether this run did it.

    If a step fails, it and all that this run did before it are undone, the last one first.  Raises StepFailed; an exception
    that nobody expects passes through after the undoing.
    """
    begun: list[tuple[int, Step]] = []
    with _signals_interrupt():
        for number, step in enumerate(steps, start=1):
            try:
                if step.is_done():
                    report(number, step, False)
                    continue
                begun.append((number, step))
                step.do()
            except BaseException as error:
                raise _failed(number, step, error, _undone(begun)) from error
            report(number, step, True)


def cause(error: BaseException) -> str:
    """The sentence of an error, in the reader's language."""
    if isinstance(error, pymysql.MySQLError):
        return str(errors.of_database(error))
    if isinstance(error, KeyFileError | SealError | CryptographyError | SettingsError):
        return translated(error)
    if isinstance(error, KeyboardInterrupt):
        return _("It was interrupted.")
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, errors.OfficeError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _undone(begun: list[tuple[int, Step]]) -> tuple[list[str], list[str]]:
    """Undo these steps, the last one first.  Returns the numbers of those that were undone, and what could not be, with causes."""
    done, left = [], []
    with _signals_ignored():
        for number, step in reversed(begun):
            try:
                step.undo()
                done.append(str(number))
            except Exception as error:
                left.append(f"{number}. {step.name} ({cause(error)})")
    return done, left


def _failed(number: int, step: Step, error: BaseException, undone: tuple[list[str], list[str]]) -> StepFailed:
    done, left = undone
    parts = [_("Step {number} failed: {name}. {cause}").format(number=number, name=step.name, cause=cause(error))]
    if done:
        parts.append(_("Undone, the last one first: {steps}.").format(steps=", ".join(done)))
    if left:
        parts.append(_("NOT undone, do it by hand: {steps}.").format(steps="; ".join(left)))
    elif not done:
        parts.append(_("Nothing was changed."))
    return StepFailed("\n".join(parts), error.exit_status if isinstance(error, errors.OfficeError) else 1)


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _signals_handled_by(interrupt):
        yield


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Nothing interrupts the undoing."""
    with _signals_handled_by(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _signals_handled_by(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
