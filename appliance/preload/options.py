"""What the preload daemons are to do, read from the rendered preload.json.

The file was checked against the schema before it was written, so a problem here means that it was
damaged or written by another version. It is checked again all the same: the daemons are root.

As a script, `/usr/bin/python3 -I -S options.py server` (or kernel) says by its exit status whether
the settings want that daemon.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

OPTIONS_FILE: Final = Path("/var/lib/appliance/rendered/preload.json")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_MEND: Final = "sudo appliance config reload --force"


class OptionsError(Exception):
    """The file can't be used; the text says what is wrong with it and how to mend it."""


@dataclass(frozen=True)
class Options:
    """The settings below `preload`, by the names of the schema."""

    servers: bool
    kernels: bool
    packages: tuple[str, ...]
    """Modules for kernels to have imported."""

    def wants(self, kind: str) -> bool:
        """Whether the daemon for a "server" or "kernel" is to run."""
        return {"server": self.servers, "kernel": self.kernels}[kind]


def read_options(path: Path = OPTIONS_FILE) -> Options:
    """Read the file; OptionsError says what is wrong with it."""
    try:
        return _options(json.loads(path.read_bytes()))
    except FileNotFoundError as err:
        raise OptionsError(f"{path}: there is no such file (to mend: {_MEND})") from err
    except OSError as err:
        raise OptionsError(f"{path}: {err.strerror} (to mend: {_MEND})") from err
    except ValueError as err:
        raise OptionsError(f"{path}: {err} (to mend: {_MEND})") from err


def _options(found: Any) -> Options:
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - one error for all of them
    return Options(
        servers=_switch(found, "servers"),
        kernels=_switch(found, "kernels"),
        packages=_modules(found, "packages"),
    )


def _switch(found: dict[str, Any], name: str) -> bool:
    value = found.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, found {value!r}")  # noqa: TRY004
    return value


def _modules(found: dict[str, Any], name: str) -> tuple[str, ...]:
    value = found.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, found {value!r}")  # noqa: TRY004
    for one in value:
        if not isinstance(one, str) or not _MODULE.fullmatch(one):
            raise ValueError(f"{name} must have names of modules, found {one!r}")
    return tuple(value)


def main(kind: str) -> int:
    """0 if the daemon is wanted; also with a damaged file, which the daemon itself tells of."""
    try:
        return 0 if read_options().wants(kind) else 1
    except OptionsError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
