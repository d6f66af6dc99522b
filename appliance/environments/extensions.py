"""The extensions in everybody's environment: those of JupyterLab, and those of servers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.config.schema import Config
from appliance.singleuser.settings import EXTENSIONS


@dataclass(frozen=True, slots=True)
class Extension:
    """One; `part` is lab (in the browser) or server."""

    name: str
    part: str
    version: str
    on: bool
    why: str
    """What made it on or off."""


def extensions(user_env: Path, config: Config) -> list[Extension]:
    """All, by name; a setting that names none that is there is listed, too."""
    off = set(config.servers.lab_extensions_off)
    switches: Mapping[str, bool] = config.servers.extensions
    found = [
        Extension(
            name, "lab", version, name not in off,
            "servers.lab_extensions_off" if name in off else "installed",
        )
        for name, version in _lab(user_env)
    ]  # fmt: skip
    names = {**dict(_server(user_env)), **EXTENSIONS}
    for name, default in sorted(names.items()):
        if name in switches:
            found.append(Extension(name, "server", "", switches[name], "servers.extensions"))
        else:
            why = "the appliance's default" if name in EXTENSIONS else "installed"
            found.append(Extension(name, "server", "", default, why))
    known = {one.name for one in found}
    found += [
        Extension(name, "lab", "", on=False, why="servers.lab_extensions_off")
        for name in sorted(off - known)
    ]
    found += [
        Extension(name, "server", "", on, "servers.extensions")
        for name, on in sorted(switches.items())
        if name not in known
    ]
    return sorted(found, key=lambda one: (one.part, one.name))


def _lab(user_env: Path) -> Iterator[tuple[str, str]]:
    root = user_env / "share/jupyter/labextensions"
    for path in sorted([*root.glob("*/package.json"), *root.glob("@*/*/package.json")]):
        found = _json(path)
        name = str(path.parent.relative_to(root))
        yield name, str(found.get("version", ""))


def _server(user_env: Path) -> Iterator[tuple[str, bool]]:
    """As packages switch themselves on when they are installed."""
    for path in sorted(user_env.glob("etc/jupyter/jupyter_server_config.d/*.json")):
        switches = _json(path).get("ServerApp", {})
        switches = switches.get("jpserver_extensions", {}) if isinstance(switches, dict) else {}
        yield from (
            (str(name), on is True)
            for name, on in (switches.items() if isinstance(switches, dict) else ())
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
