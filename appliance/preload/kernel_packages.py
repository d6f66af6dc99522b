"""Packages that kernels find imported: tried out, imported, and put right in each kernel.

What a package reads of its surroundings when it is imported (home, configuration, number of
processors, a seed) it has read in the daemon's; `repair` has it read those of the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from . import kernel_matplotlib
from .probe import MisbehavesError, one_line, probe
from .put_back import put_back_environment

PROBE_SECONDS: Final = 60.0

# What `import NAME` leaves for the first use, which comes in every notebook of a class.
COMPANIONS: Final[dict[str, tuple[str, ...]]] = {
    "numpy": ("numpy.fft", "numpy.linalg", "numpy.ma", "numpy.random"),
    "matplotlib": (
        "matplotlib.pyplot",
        "matplotlib.backends.backend_agg",
        "IPython.core.pylabtools",
    ),
}

# A template has one thread, and these start others when they are loaded. Those that compute are
# started in kernels; that of pyarrow's jemalloc gives memory back a little sooner, and is not.
ONE_THREAD: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
# How many threads OpenBLAS and numexpr start, in the order in which they ask.
_BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
_SUFFIXES: Final = ("", "64_")
_PREFIXES: Final = ("scipy_", "")


class Preloaded:
    """What was imported for kernels, and what has to be put right in each of them."""

    def __init__(self) -> None:
        self._blas: list[Callable[[int], object]] = []
        self._generators: list[Any] = []
        self._environ: dict[str, str] = {}

    def add(self, names: Iterable[str], *, seconds: float = PROBE_SECONDS) -> list[str]:
        """Import the packages that can be; returns remarks on the others."""
        remarks = []
        for name in dict.fromkeys(names):
            try:
                probe(functools.partial(_import, name), seconds=seconds, then=_repair_for_nobody)
                self._environ |= _import(name)
            except (MisbehavesError, OSError) as err:
                remarks.append(f"{name} is not preloaded: {err}")
        return remarks

    def look_around(self) -> None:
        """Find what has to be put right, when everything is imported."""
        self._blas = list(_blas_setters())
        self._generators = list(_generators())

    def repair(self) -> None:
        """In a kernel, in its environment and working directory: what cold imports would find."""
        for name, value in self._environ.items():
            os.environ.setdefault(name, value)
        for generator in self._generators:
            _reseed(generator)
        threads = _blas_threads()
        for set_threads in self._blas:
            set_threads(threads)
        for name, repair in _REPAIRS.items():
            if name in sys.modules:
                repair()


def third_party_names() -> frozenset[str]:
    """The top-level names of imported modules that aren't Python's own."""
    names = {name.partition(".")[0] for name in sys.modules}
    return frozenset(names - sys.stdlib_module_names - {"__main__", "appliance"})


def _repair_for_nobody() -> None:
    """What a probe does at last: find whether this version can be put right."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        for package, repair in _REPAIRS.items():
            if package in sys.modules:
                repair()


def _import(name: str) -> dict[str, str]:
    """Import it and its companions; returns the variables of the environment that it has set."""
    known = {*os.environ, *ONE_THREAD}
    with put_back_environment():
        os.environ.update(ONE_THREAD)
        try:
            importlib.import_module(name)
            for companion in COMPANIONS.get(name, ()):
                importlib.import_module(companion)
        except Exception as err:
            raise MisbehavesError(one_line(err)) from err
        return {key: value for key, value in os.environ.items() if key not in known}


def _blas_setters() -> Iterator[Callable[[int], object]]:
    """OpenBLAS's function in each copy that was loaded; numpy and scipy bring one each."""
    maps = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    files = {line.split(maxsplit=5)[5] for line in maps if "openblas" in line and "/" in line}
    for file in sorted(files):
        library = ctypes.CDLL(file)
        for name in (
            f"{pre}openblas_set_num_threads{post}" for pre in _PREFIXES for post in _SUFFIXES
        ):
            with contextlib.suppress(AttributeError):
                function = getattr(library, name)
                function.argtypes, function.restype = [ctypes.c_int], None
                yield function
                break


def _blas_threads() -> int:
    """As many threads as OpenBLAS starts by itself."""
    processors = len(os.sched_getaffinity(0))
    for name in _BLAS_THREADS:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            return min(int(value), processors)
    return processors


def _generators() -> Iterator[Any]:
    """Generators of random numbers that would give the same numbers in every kernel.

    Python's own seeds itself after a fork.
    """
    own = random._inst  # noqa: SLF001 - random() and its like
    numpy: Any = sys.modules.get("numpy.random")
    kinds = (random.Random, numpy.RandomState, numpy.Generator) if numpy else (random.Random,)
    for found in gc.get_objects():
        if isinstance(found, kinds) and type(found) is not random.SystemRandom and found is not own:
            yield found
    if numpy:
        yield numpy.mtrand._rand  # noqa: SLF001 - numpy.random.random() and its like


def _reseed(generator: Any) -> None:
    if hasattr(generator, "seed"):
        generator.seed()
        return
    bits = generator.bit_generator
    bits.state = type(bits)().state


def _repair_jedi() -> None:
    settings: Any = sys.modules["jedi.settings"]
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    settings.cache_directory = os.path.expanduser(f"{caches}/jedi")


def _repair_parso() -> None:
    cache: Any = sys.modules["parso.cache"]
    cache._default_cache_path = cache._get_default_cache_path()  # noqa: SLF001


def _repair_session() -> None:
    """Messages carry the name of whoever sends them."""
    session = sys.modules["jupyter_client.session"].Session
    name = os.environ.get("USER", "username")
    session.username.default_value = name
    session._static_immutable_initial_values["username"] = name  # noqa: SLF001


def _repair_numexpr() -> None:
    module: Any = sys.modules["numexpr"]
    module.ncores = module.detect_number_of_cores()
    module.nthreads = module.utils._init_num_threads()  # noqa: SLF001


_REPAIRS: Final[dict[str, Callable[[], None]]] = {
    "jedi.settings": _repair_jedi,
    "jupyter_client.session": _repair_session,
    "matplotlib": kernel_matplotlib.repair,
    "numexpr": _repair_numexpr,
    "parso.cache": _repair_parso,
}
