"""What the programs read, made from the configuration: hub.json, spawner.json and so on.

They are written one by one, each atomically, hub.json last: what it says is what is in force.
Beside them is the text they were made from, so that a configuration that fails can be put back even
when config.yaml was edited by hand in the meantime.
"""

from __future__ import annotations

import grp
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.config.files import write_atomically
from appliance.config.rendered import HUB_FILE, dump_json
from appliance.config.schema import Config, ServerProgram
from appliance.errors import ApplianceError
from appliance.network import authorities_text
from appliance.outgoing import AUTHORITIES_FILE
from appliance.places import Places
from appliance.proxy.machine import find_nginx

HUB_GROUP: Final = "appliance-hub"
SPAWNER_FILE: Final = "spawner.json"
PRELOAD_FILE: Final = "preload.json"
PROXY_FILE: Final = "nginx.conf"
SOURCE_FILE: Final = "config.yaml"
_NGINX_SECONDS: Final = 10.0

NginxText = Callable[[Config, Places], str]
"""Makes nginx.conf's text; `appliance.proxy.machine` has the product's."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file to be: its text, mode and Unix group (None: the writer's own)."""

    text: str
    mode: int
    group: str | None = None


def render_all(config: Config, places: Places, *, nginx_text: NginxText) -> dict[Path, Rendered]:
    """Every file that is made from the configuration, in the order of writing; writes nothing."""
    folder = places.rendered
    # Nothing is preloaded in a trial, which has no root.
    preload = (
        {} if places.trial else {folder / PRELOAD_FILE: Rendered(_preload_json(config), 0o600)}
    )
    authorities = authorities_text(config)
    trusted = {folder / AUTHORITIES_FILE: Rendered(authorities, 0o644)} if authorities else {}
    return {
        **trusted,
        **preload,
        folder / PROXY_FILE: Rendered(nginx_text(config, places), 0o644),
        # No secrets are in it by themselves, but people write some into services' environments.
        folder / SPAWNER_FILE: Rendered(dump_json(config, secrets=False), 0o600),
        folder / HUB_FILE: Rendered(
            dump_json(config, secrets=True),
            0o600 if places.trial else 0o640,
            None if places.trial else HUB_GROUP,
        ),
    }


def _preload_json(config: Config) -> str:
    """What the preload daemons read: no more, since they live with all users' code."""
    preload = config.preload
    # Servers of another program can't be forked, and don't know how to have their kernels forked.
    ours = config.servers.program is ServerProgram.APPLIANCE
    found = {
        "servers": ours and preload.servers,
        "kernels": ours and preload.kernels,
        "packages": preload.packages,
    }
    return json.dumps(found, indent=1) + "\n"


def write_rendered(files: dict[Path, Rendered], places: Places, *, source: str) -> None:
    """Write the files, and the YAML text that they were made from for root alone."""
    places.rendered.mkdir(mode=0o755, parents=True, exist_ok=True)
    for path, rendered in {places.rendered / SOURCE_FILE: Rendered(source, 0o600), **files}.items():
        write_atomically(
            path,
            rendered.text,
            mode=rendered.mode,
            user=0 if os.geteuid() == 0 else None,
            group=_group_id(rendered.group, path),
        )


def write_rendered_file(path: Path, text: str) -> None:
    """Write nginx.conf alone, which has no secrets."""
    write_atomically(path, text, mode=0o644, user=0 if os.geteuid() == 0 else None)


def check_nginx(text: str, places: Places) -> None:
    """Let nginx itself check a configuration; skipped where there is no nginx yet.

    `nginx -t` makes the pid file and the folders for bodies, and root would own them ever after: so
    the text that is checked has a scratch folder in the place of those that nginx writes to.
    """
    program = find_nginx(places)
    if program is None:
        return
    # Beside the sockets, in memory: it must work when the disk is full.
    with tempfile.TemporaryDirectory(prefix="check-", dir=_scratch_place(places)) as scratch:
        for number, folder in enumerate(
            (places.run / "proxy", places.front_socket.parent, places.state / "proxy")
        ):
            mine = Path(scratch) / str(number)
            mine.mkdir()
            text = text.replace(str(folder), str(mine))
        file = Path(scratch) / PROXY_FILE
        file.write_text(text, "utf-8")
        try:
            done = subprocess.run(
                [program, "-t", "-q", "-e", "stderr", "-c", file],
                capture_output=True, text=True, timeout=_NGINX_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ApplianceError(
                "cannot check the proxy's configuration", why="nginx -t did not end"
            ) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        # Warnings come before what it stopped for.
        said = [line for line in lines if "[emerg]" in line] or lines
        raise ApplianceError(
            "cannot use this configuration in the proxy",
            why=f"nginx says: {said[0] if said else f'exit code {done.returncode}'}",
            mend="take the change back, or look at the setting that nginx names",
        )


def _scratch_place(places: Places) -> Path | None:
    """The folder of the sockets, once it is there and ours to write to."""
    return places.run if os.access(places.run, os.W_OK) else None


def _group_id(group: str | None, path: Path) -> int | None:
    if group is None or os.geteuid() != 0:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ApplianceError(
            f"cannot write {path}",
            why=f"there is no group {group} on this machine",
            mend="run the installer again",
        ) from error
