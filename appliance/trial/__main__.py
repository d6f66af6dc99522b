"""`python -I -m appliance.trial`: run the trial that APPLIANCE_TRIAL names, until Ctrl-C."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sys
from typing import Final

from appliance.client.first_admins import FirstAdmins, SetupLink
from appliance.client.hub import HubClient
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.errors import ApplianceError, BadRequest
from appliance.names import Username, parse_username
from appliance.places import Places
from appliance.proxy.machine import find_nginx
from appliance.rollout.addresses import root_urls
from appliance.rollout.health import Deadline, wait_for_health
from appliance.trial.children import become_subreaper, end_all
from appliance.trial.sockets import TrialSockets
from appliance.trial.supervisor import Supervisor, say_on_terminal

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 10.0
# Who is admin where bootstrap.py was told nobody and the account's own name is no good.
_DEFAULT_ADMIN: Final = Username("teacher")
ADMINS_FILE: Final = "admins.json"
"""In the state: whom `bootstrap.py --trial --admin` named."""

_WHAT_IT_IS_NOT: Final = """\
This is a trial: servers run as you. Nothing limits their memory and CPU, and nothing keeps users
from each other's files or from yours. Let in only people whom you would let use your account."""


class Greeting:
    """Waits until the trial answers, makes its first admins, and says where it is."""

    def __init__(self, places: Places, *, quiet: bool) -> None:
        self._places = places
        self._quiet = quiet

    def __call__(self) -> None:
        config = read_in_force(self._places)
        wait_for_health(config, Deadline.after(_START_SECONDS))
        admins = FirstAdmins(HubClient.of(self._places))
        names = wanted_admins(self._places) or ([] if admins.count() else [own_name()])
        self._say(config, admins.ensure(names))

    def _say(self, config: Config, links: list[SetupLink]) -> None:
        root = root_urls(config, self._places)[0]
        if self._quiet:
            lines = [f"{root}{config.base_url}", *(f"{root}{link.path}" for link in links)]
        else:
            folder = self._places.state.parent
            lines = ["", f"The appliance is running at  {root}{config.base_url}"]
            for link in links:
                lines += [
                    "",
                    f"{link.name} (admin) chooses a password here, once:",
                    f"  {root}{link.path}",
                ]
            lines += ["", _WHAT_IT_IS_NOT, "", f"Settings and users: {folder}/bin/appliance --help"]
            lines += ["Ctrl-C ends it; the same command starts it again, with all users and files."]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def own_name() -> Username:
    """The account's name if it is one for a user of the hub."""
    try:
        return parse_username(getpass.getuser())
    except (BadRequest, OSError, KeyError):
        return _DEFAULT_ADMIN


def wanted_admins(places: Places) -> list[Username]:
    """Whom the command line of bootstrap.py named."""
    try:
        return [Username(name) for name in json.loads((places.state / ADMINS_FILE).read_text())]
    except (OSError, ValueError):
        return []


def run(places: Places, *, quiet: bool) -> bool:
    """Run hub and proxy until a signal, and leave no process behind; False: it never answered."""
    nginx = find_nginx(places)
    if nginx is None:
        raise ApplianceError(
            "cannot start the proxy", why="there is no nginx", mend="run bootstrap.py --trial again"
        )
    for folder in (places.homes, places.hub_state, places.state / "proxy"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sockets = TrialSockets.open(places)
    places.front_socket.parent.mkdir(mode=0o700, exist_ok=True)
    pid_file = places.run / "trial.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    become_subreaper()
    try:
        supervisor = Supervisor(places, sockets, nginx=nginx, say=say_on_terminal)
        asyncio.run(supervisor.run(Greeting(places, quiet=quiet)))
        return not supervisor.failed
    finally:
        end_all(patience_seconds=_END_SECONDS)
        sockets.close(places)


def main() -> int:
    places = Places.current()
    if not places.trial or not places.rendered.is_dir():
        sys.stderr.write(
            "cannot start a trial: APPLIANCE_TRIAL names none; run bootstrap.py --trial DIR\n"
        )
        return 2
    os.umask(0o077)
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        answered = run(places, quiet="--quiet" in sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except ApplianceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
