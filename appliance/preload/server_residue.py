"""What a rehearsal may leave in a template: nothing that isn't the same for everybody.

`kept` puts back what is known to change. `check` then looks at what would do harm in a child, and
raises: a template that fails it must not be used, and servers start cold.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import logging
import os
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import traitlets.log
import zmq
from prometheus_client import REGISTRY

from .put_back import loggers

# Threads that were told to end may need a moment.
THREAD_SECONDS: Final = 5.0
# Packages whose caches may hold something of one server; others' depend on their arguments alone.
SERVERS: Final = frozenset(
    {
        "appliance",
        "jupyter_client",
        "jupyter_core",
        "jupyter_events",
        "jupyter_server",
        "jupyter_server_terminals",
        "jupyterlab",
        "jupyterlab_server",
        "nbgitpuller",
        "notebook",
    }
)
DESCRIPTORS: Final = frozenset({0, 1, 2})
# Some are of whole classes, and of the first loop that waits for them.
_BOUND: Final[Any] = (asyncio.Lock, asyncio.Event, asyncio.Condition, asyncio.Semaphore)


class ResidueError(Exception):
    """Something is left that children must not inherit; the text names all of it."""


@dataclass(frozen=True)
class _LoggerState:
    handlers: tuple[logging.Handler, ...] = ()
    filters: tuple[Any, ...] = ()
    level: int = logging.NOTSET
    propagate: bool = True
    disabled: bool = False
    parent: logging.Logger | None = None

    @classmethod
    def of(cls, one: logging.Logger) -> _LoggerState:
        return cls(
            tuple(one.handlers),
            tuple(one.filters),
            one.level,
            one.propagate,
            one.disabled,
            one.parent,
        )


class Residue:
    """The state of a process before the rehearsal, to compare with afterwards."""

    def __init__(self) -> None:
        self._environ = dict(os.environ)
        self._folder = Path.cwd()
        self._signals = _signals()
        self._loggers = {one.name: _LoggerState.of(one) for one in loggers()}

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Put back what a server changes in its process, however the block ends."""
        umask = os.umask(0o077)
        os.umask(umask)
        disabled = logging.root.manager.disable
        with warnings.catch_warnings():
            try:
                # A journal is no place for what a server that isn't one has to say.
                logging.disable()
                yield
            finally:
                logging.disable(disabled)
                os.umask(umask)
                for number, handler in self._signals.items():
                    if signal.getsignal(number) != handler:
                        signal.signal(number, handler)
                self._restore_loggers()
                _reset_metrics()
                _clear_caches()

    def _restore_loggers(self) -> None:
        for one in loggers():
            state = self._loggers.get(one.name) or _LoggerState(parent=_natural_parent(one.name))
            one.handlers[:] = state.handlers
            one.filters[:] = state.filters
            one.setLevel(state.level)
            one.propagate, one.disabled, one.parent = state.propagate, state.disabled, state.parent
        traitlets.log._logger = None  # noqa: SLF001 - there is no other way to forget it

    def check(self, app: weakref.ref[Any], *found: list[str]) -> None:
        """Raise ResidueError if the server that was rehearsed, or a piece of it, is still there."""
        gc.collect()
        problems = [
            *itertools.chain(*found),
            *(["the server of the rehearsal is still referred to"] if app() else []),
            *self._changed(),
            *_threads(),
            *_descriptors(),
            *_loops(),
        ]
        if problems:
            raise ResidueError("; ".join(problems))

    def _changed(self) -> Iterator[str]:
        if dict(os.environ) != self._environ:
            yield "the environment was changed"
        if Path.cwd() != self._folder:
            yield "the working directory was changed"
        if _signals() != self._signals:
            yield "signal handlers were changed"
        for one in loggers():
            if tuple(one.handlers) != self._loggers.get(one.name, _LoggerState()).handlers:
                yield f"the logger {one.name} has a handler"


def _signals() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _natural_parent(name: str) -> logging.Logger | None:
    """The nearest logger above a name, as logging itself would find it."""
    if name == "root":
        return None
    known = logging.Logger.manager.loggerDict
    above = name
    while "." in above:
        above = above.rpartition(".")[0]
        found = known.get(above)
        if isinstance(found, logging.Logger):
            return found
    return logging.root


def _reset_metrics() -> None:
    """Count from zero, and call no function of the server that was."""
    metric: Any
    for metric in list(REGISTRY._collector_to_names):  # noqa: SLF001 - it has no list of its own
        vars(metric).pop("_child_samples", None)
        if getattr(metric, "_labelnames", ()):
            metric.clear()
        elif hasattr(metric, "_metric_init"):
            metric._metric_init()  # noqa: SLF001


def _clear_caches() -> None:
    """Forget what functions of servers returned: page configurations, chosen extensions."""
    for one in gc.get_objects():
        if isinstance(one, functools._lru_cache_wrapper):  # noqa: SLF001 - the only name of the type
            module = getattr(one, "__module__", None) or ""
            if module.partition(".")[0] in SERVERS:
                one.cache_clear()


def _threads() -> Iterator[str]:
    deadline = time.monotonic() + THREAD_SECONDS
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(0.005)
    names = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    count = len(os.listdir("/proc/self/task"))
    if names or count > 1:
        yield f"{count} threads: {', '.join(['the first', *names])}"
    for one in gc.get_objects():
        # It would count on threads that no child has.
        if isinstance(one, ThreadPoolExecutor) and one._threads and not one._shutdown:  # noqa: SLF001
            yield "a pool of threads that was used"


def _descriptors() -> Iterator[str]:
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = path.readlink()
            if int(path.name) not in DESCRIPTORS and target != Path(f"/proc/{os.getpid()}/fd"):
                yield f"descriptor {path.name} is open: {target}"


def _loops() -> Iterator[str]:
    for one in gc.get_objects():
        if isinstance(one, asyncio.AbstractEventLoop) and not one.is_closed():
            yield "an event loop is open"
        elif isinstance(one, zmq.Context) and not one.closed:
            yield "a zmq context is open"
        elif isinstance(one, _BOUND) and one._loop is not None:  # noqa: SLF001
            yield "a lock belongs to an event loop"
