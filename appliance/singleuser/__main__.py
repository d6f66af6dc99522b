"""Start a single-user server: `python -I -m appliance.singleuser`, its socket as standard input."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

from .listening import NoSocketError, take_socket
from .settings import Settings, SettingsError, read_settings

# sysexits.h; units say RestartPreventExitStatus=78, and starting again would not help.
EX_CONFIG: Final = 78


def make_imports_lean() -> None:
    """Spare two thirds of the CPU time of a start.

    jsonschema imports rfc3987_syntax if it can, whose grammar is compiled at import; without it the
    formats "iri" and "iri-reference", which no notebook schema uses, go unchecked.
    """
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]


def export_token(settings: Settings) -> None:
    """Give kernels and terminals the variable that JupyterHub's users know from their scripts."""
    os.environ["JUPYTERHUB_API_TOKEN"] = settings.token


def main() -> int:
    try:
        settings = read_settings(os.environ)
        listening = take_socket()
    except (SettingsError, NoSocketError) as err:
        for line in str(err).splitlines():
            print(f"cannot start the single-user server: {line}", file=sys.stderr)  # noqa: T201
        return EX_CONFIG
    make_imports_lean()
    export_token(settings)
    # Imports make very many objects that live for ever; collecting garbage among them is waste.
    gc.disable()
    from .app import SingleUserApp

    app = SingleUserApp.instance(appliance=settings, listening=listening)
    app.initialize([])
    gc.freeze()
    gc.enable()
    app.start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
