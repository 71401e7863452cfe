"""Branch coverage inside radiusd: Python imports this module when it starts, because `make coverage` puts this folder on
radiusd's PYTHONPATH (tests/stack/freeradius.py).

Coverage traces the thread that starts it and the threads that Python starts.  radiusd's threads are its own, so each call
of a hook switches tracing on for the thread that it runs in.  The data is saved when radiusd ends in order; a radiusd that
is killed saves nothing.

FreeRADIUS 3.2.4 and later ignore PYTHONPATH, so there radiusd itself is not measured.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType

import coverage

HOOKS = "freeradius_module.hooks"


class HooksFinder(importlib.abc.MetaPathFinder):
    """Finds the module that FreeRADIUS calls, and has its functions traced."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != HOOKS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec and spec.loader
        run_module = spec.loader.exec_module

        def run_and_trace(module: ModuleType) -> None:
            run_module(module)
            for function_name, value in list(vars(module).items()):
                if isinstance(value, FunctionType) and value.__module__ == name and not function_name.startswith("_"):
                    setattr(module, function_name, traced(value))
            module.detach = saving(module.detach)

        spec.loader.exec_module = run_and_trace  # type: ignore[method-assign]
        return spec


def traced(function: Callable) -> Callable:
    @functools.wraps(function)
    def call(*arguments):
        if sys.gettrace() is None:
            sys.settrace(threading.gettrace())
        return function(*arguments)

    return call


def saving(detach: Callable) -> Callable:
    """FreeRADIUS calls `detach` when it ends, but does not run Python's exit functions, by which coverage saves its data."""

    def call(*arguments):
        result = detach(*arguments)
        if measured := coverage.Coverage.current():
            measured.save()
        return result

    return call


coverage.process_startup()
sys.meta_path.insert(0, HooksFinder())
