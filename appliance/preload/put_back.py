"""After a rehearsal: the interpreter as it was before it.

Caches stay, for they are what a rehearsal is for: a dictionary that was filled remains filled. What
goes is every name that was set, in any module, and the registers that Python keeps for the process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import itertools
import linecache
import logging
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

# A kernel changes names in them, and may be the first to import them.
_CHANGED_BY_KERNELS: Final = ("faulthandler", "pdb")
_LISTS: Final = ("path", "path_hooks", "meta_path")


@contextlib.contextmanager
def put_back() -> Iterator[None]:
    """Put back what the block changes."""
    for name in _CHANGED_BY_KERNELS:
        importlib.import_module(name)
    main = sys.modules["__main__"]
    names = _names()
    lists = {name: list(getattr(sys, name)) for name in _LISTS}
    handlers = {one: signal.getsignal(one) for one in signal.valid_signals()}
    known = {logger: _settings(logger) for logger in loggers()}
    lines = set(linecache.cache)
    filters = list(warnings.filters)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        _put_back_names(names)
        for name, found in lists.items():
            getattr(sys, name)[:] = found
        _put_back_signals(handlers)
        for logger in loggers():
            _set(logger, known.get(logger, (logging.NOTSET, True, [])))
        for file in set(linecache.cache) - lines:
            del linecache.cache[file]
        threading._counter = itertools.count(1).__next__  # type: ignore[attr-defined]  # noqa: SLF001
        warnings.filters[:] = filters  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001


@contextlib.contextmanager
def put_back_environment() -> Iterator[None]:
    """Put back what the block changes in the environment."""
    found = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(found)


@contextlib.contextmanager
def exits() -> Iterator[None]:
    """At the end of the block, what its objects wanted done when the process ends, and only then.

    What a module wants done that was imported in the block is to be done by every child.
    """
    functions: list[Callable[[], object]] = []
    found = atexit.register

    def register(function: Callable[..., object], *args: Any, **named: Any) -> Any:
        if _is_of_a_module(function):
            return found(function, *args, **named)
        functions.append(lambda: function(*args, **named))
        return function

    atexit.register = register  # type: ignore[assignment]
    try:
        yield
    finally:
        atexit.register = found
        for one in reversed(functions):
            one()


def _is_of_a_module(function: Callable[..., object]) -> bool:
    return isinstance(function, types.FunctionType) and "<locals>" not in function.__qualname__


def _names() -> dict[str, dict[str, Any]]:
    return {
        name: dict(vars(module))
        for name, module in sys.modules.items()
        if isinstance(module, types.ModuleType)
    }


def _put_back_names(found: dict[str, dict[str, Any]]) -> None:
    for module, names in found.items():
        now = vars(sys.modules[module])
        for name, value in list(now.items()):
            # Modules that were imported stay.
            if isinstance(value, types.ModuleType) or value is names.get(name, now):
                continue
            if name in names:
                now[name] = names[name]
            else:
                del now[name]


def _put_back_signals(handlers: Mapping[signal.Signals, Any]) -> None:
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def loggers() -> list[logging.Logger]:
    """All that there are now."""
    known = list(logging.Logger.manager.loggerDict.values())
    return [logging.root, *(one for one in known if isinstance(one, logging.Logger))]


def _settings(logger: logging.Logger) -> tuple[int, bool, list[logging.Handler]]:
    return logger.level, logger.propagate, list(logger.handlers)


def _set(logger: logging.Logger, settings: tuple[int, bool, list[logging.Handler]]) -> None:
    level, logger.propagate, logger.handlers[:] = settings
    if logger.level != level:
        logger.setLevel(level)
