"""From the environment to a server that serves: the one way, cold or in a process made ready."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

from .damaged_settings import set_damaged_aside
from .full_home import make_do
from .lean import make_imports_lean, make_requests_lean, make_start_lean
from .listening import NoSocketError, take_socket
from .settings import Settings, SettingsError, read_settings

# sysexits.h; units say RestartPreventExitStatus=78, and starting again would not help.
EX_CONFIG: Final = 78

# How the process came to be is nobody's business in kernels and terminals.
ABOUT_THE_START: Final = ("APPLIANCE_PRELOADED", "APPLIANCE_COLD_START")


def prepare_variables(settings: Settings) -> None:
    """Give kernels and terminals the variable that JupyterHub's users know from their scripts."""
    os.environ["JUPYTERHUB_API_TOKEN"] = settings.token
    for name in ABOUT_THE_START:
        os.environ.pop(name, None)


def main() -> int:
    """Serve until told to stop; standard input is the listening socket."""
    try:
        settings = read_settings(os.environ)
        listening = take_socket()
    except (SettingsError, NoSocketError) as err:
        for line in str(err).splitlines():
            print(f"cannot start the single-user server: {line}", file=sys.stderr)  # noqa: T201
        return EX_CONFIG
    make_imports_lean()
    prepare_variables(settings)
    make_do(os.environ)
    # Imports make very many objects that live for ever; collecting garbage among them is waste.
    gc.disable()
    from .app import SingleUserApp

    make_start_lean()
    app = SingleUserApp.instance(appliance=settings, listening=listening)
    app.initialize([])
    make_requests_lean()
    set_damaged_aside()
    gc.freeze()
    gc.enable()
    app.start()
    return 0
