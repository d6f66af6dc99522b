"""The template of single-user servers: what one needs is imported, and was run through once."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Final

from appliance.singleuser.lean import make_imports_lean
from appliance.singleuser.start import main

from .authorities import variables_read
from .options import Options
from .packing import fill_holes
from .server_identity import take_identity
from .server_proxies import read_proxies_late

# Named one by one. jupyterlab.labhubapp must never be among them: importing it changes how
# jupyter_server's handlers log in, for good.
MODULES: Final = (
    "appliance.preload.provisioner",
    "appliance.singleuser.app",
    "appliance.singleuser.shortcuts",
    "appliance.singleuser.terminals",
    "jupyter_server_terminals.app",
    "jupyterlab.labapp",
    "jupyterlab_server.settings_utils",
    "jupyterlab_server.translation_utils",
    "nbconvert.exporters.base",
    "nbformat",
    "notebook.app",
)

# What Python, the C library or a module read when they were loaded, and never again. A cold server
# runs with -I, so the variables PYTHON* say nothing.
READ_ONCE: Final = re.compile(
    r"(LC_|LD_|MALLOC_|JUPYTER_GATEWAY_|NBFORMAT_|OPENSSL_|PROMETHEUS_|PYZMQ_|TORNADO_|TRAITLETS_)\w*"
    r"|GLIBC_TUNABLES|JUPYTER_ALLOW_INSECURE_WRITES|JUPYTER_PLATFORM_DIRS|JUPYTER_USE_PROGRAMDATA"
    r"|KERNEL_LAUNCH_TIMEOUT|LANG|LANGUAGE|TZ",
    re.IGNORECASE,
)

_loaded_in: dict[str, str] = {}
_read: set[str] = set()


def load(options: Options) -> list[str]:
    """Import and rehearse; the process is a template afterwards, or ResidueError says why not."""
    del options
    _loaded_in.update(os.environ)
    make_imports_lean()
    for name in MODULES:
        importlib.import_module(name)
    read_proxies_late()
    # Late, because it imports Jupyter.
    from .server_rehearsal import rehearse

    remarks = rehearse()
    _read.update(variables_read())
    fill_holes()
    return remarks


def refuses(args: list[str], environ: Mapping[str, str]) -> str:
    """Why this server must start cold: a variable that can't have its effect any more."""
    del args
    for name, value in sorted(environ.items()):
        is_read = name in _read or READ_ONCE.fullmatch(name)
        if is_read and value != _loaded_in.get(name, ""):
            return f"{name} is set to what the preload daemon was not started with"
    return ""


def run(args: list[str]) -> int:
    """Be a server until told to stop."""
    del args
    take_identity()
    return main()
