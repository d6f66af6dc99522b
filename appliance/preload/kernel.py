"""The template of kernels: ipykernel is imported, and the packages that the class uses.

A forked kernel is to be what `python -m ipykernel_launcher -f FILE` would be in the same place. So
after the fork Python's start is made up for (`kernel_interpreter`), packages see the user's home
and settings (`kernel_packages`), and ipykernel's own launcher is run. Where the two could differ a
kernel starts cold (`kernel_refusals`).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from . import kernel_refusals as refusals
from .authorities import variables_read
from .kernel_interpreter import ColdPath, ask_cold_path, begin_anew
from .kernel_packages import Preloaded, third_party_names
from .kernel_rehearsal import rehearse
from .options import Options
from .packing import fill_holes
from .put_back import put_back_environment
from .side_by_side import modules_side_by_side, put_files_side_by_side

# What a cold kernel has imported by its first cell and first completion.
MODULES: Final = (
    "IPython",
    "IPython.core.completer",
    "comm",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "jedi",
    "psutil",
)
# ipykernel asks for its parent when it is imported. A forked kernel's is PID 1, and that it needn't
# watch: when the server ends, systemd ends all that is in its unit.
PARENT: Final = {"JPY_PARENT_PID": "1"}
_OURS: Final = "appliance"
_OUR_VARIABLE: Final = "APPLIANCE_PRELOADED"


@dataclass
class _Template:
    preloaded: Preloaded = field(default_factory=Preloaded)
    cold_path: ColdPath | None = None
    names: frozenset[str] = frozenset()
    environ: dict[str, str] = field(default_factory=dict)
    """What modules set when they are imported."""
    read: frozenset[str] = frozenset()


_template: Final = _Template()


def load(options: Options) -> list[str]:
    """Import all; returns remarks. Without ipykernel there is no template, so that may raise."""
    # Modules keep these as defaults of their functions.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with modules_side_by_side():
        remarks = _import(options.packages)
        remarks += rehearse()
    _template.preloaded.look_around()
    _template.names = third_party_names()
    _template.read = variables_read()
    try:
        _template.cold_path = ask_cold_path()
    except (OSError, ValueError, subprocess.SubprocessError) as err:
        remarks.append(f"all kernels start cold: a cold Python does not tell its path ({err})")
    fill_holes()
    put_files_side_by_side()
    return remarks


def _import(packages: Iterable[str]) -> list[str]:
    # What ipykernel says about debuggers and frozen modules is for those who can change it.
    with put_back_environment(), contextlib.redirect_stderr(io.StringIO()):
        os.environ.update(PARENT)
        found = set(os.environ)
        for name in MODULES:
            importlib.import_module(name)
        _template.environ = {key: os.environ[key] for key in os.environ.keys() - found}
    return _template.preloaded.add(packages)


def refuses(args: list[str], environ: Mapping[str, str]) -> str:
    """Why this kernel must start cold; in its working directory."""
    if _template.cold_path is None:
        return "the preload daemon does not know a cold kernel's path"
    return refusals.refuses(args, environ, _template.names, _template.read)


def run(args: list[str]) -> int:
    """Be the kernel that the command `args` would start."""
    if _template.cold_path is None:
        raise RuntimeError("refuses() was not asked")
    os.environ.pop(_OUR_VARIABLE, None)
    begin_anew(args, _template.cold_path)
    os.environ |= {**_template.environ, **os.environ}
    _template.preloaded.repair()
    for name in [name for name in sys.modules if name.partition(".")[0] == _OURS]:
        del sys.modules[name]
    runpy._run_module_as_main(refusals.LAUNCHER)  # type: ignore[attr-defined]  # noqa: SLF001 - what -m does
    return 0
