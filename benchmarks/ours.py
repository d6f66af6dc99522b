"""The appliance of this checkout, installed by its own bootstrap.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.machine import Machine
from benchmarks.processes import processes_in
from benchmarks.side import API_TOKEN, SignUpForm

CHECKOUT: Final = Path(__file__).resolve().parent.parent
_PORT: Final = 18080
_INSTALL_SECONDS: Final = 600
_SERVICES: Final = (
    "appliance-hub.service",
    "appliance-proxy.service",
    "appliance-spawner.service",
)
PRELOAD: Final = ("appliance-preload-server.service", "appliance-preload-kernel.service")
_SOCKETS: Final = ("appliance-hub.socket", "appliance-hub-admin.socket", "appliance-spawner.socket")


class Ours:
    """See benchmarks.side.Side."""

    name = "ours"
    address = f"http://127.0.0.1:{_PORT}"
    sign_up = SignUpForm(path="/hub/signup", password_fields=("password",), fixed={})
    static_path = "/hub/static/password.js"
    units: tuple[str, ...] = (*_SERVICES, *PRELOAD)
    database = "/var/lib/appliance/hub/hub.sqlite"

    def __init__(self, packages: tuple[str, ...] = ()) -> None:
        self.packages = packages
        """What users import, beside what a server needs."""
        self._settings: dict[str, Sequence[str]] = {}
        """What `configure` has changed."""

    def install(self, machine: Machine) -> None:
        """Unpack the checkout's files as they are now and run bootstrap.py as the README says."""
        checkout = machine.inside("/root/checkout")
        checkout.mkdir(parents=True, exist_ok=True)
        files = subprocess.run(
            ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            check=True, stdout=subprocess.PIPE, timeout=60,
        ).stdout  # fmt: skip
        subprocess.run(
            ["tar", "-C", str(CHECKOUT), "--null", "-T", "-", "--ignore-failed-read", "-cf",
             str(checkout / "checkout.tar")],
            check=True, input=files, timeout=60,
        )  # fmt: skip
        _pretend_controllers(machine)
        wanted = ""
        if self.packages:
            machine.write("/root/packages.txt", "".join(f"{name}\n" for name in self.packages))
            wanted = " --user-requirements /root/packages.txt"
        machine.run(
            "cd /root/checkout && tar -xf checkout.tar"
            f" && python3 bootstrap.py --yes --quiet --port {_PORT} --admin oursadmin{wanted}",
            timeout=_INSTALL_SECONDS,
        )

    def prepare(self, machine: Machine, users: list[str]) -> None:
        """Open sign-up, the limits and the API token that the peer has; servers' accounts come by
        themselves. Servers start by the start button alone, so that log-ins and starts are measured
        one by one."""
        del users
        machine.run(
            "set -e; appliance config set signup.mode open; appliance config set limits.cpu 2;"
            f" printf {API_TOKEN} | appliance config set services.benchmark.api_token --stdin;"
            " appliance config set services.benchmark.admin true"
        )
        self.configure(machine, {"servers.start_at_login": ("false",)})

    def start(self, machine: Machine) -> None:
        machine.run("systemctl start appliance.target")

    def settle(self, machine: Machine) -> None:
        """They come after the target; this returns when they have loaded, or aren't wanted."""
        machine.run(f"systemctl start {' '.join(PRELOAD)}", timeout=240)

    def configure(self, machine: Machine, settings: Mapping[str, Sequence[str]]) -> None:
        """Change settings of the running appliance; one without a value gets its default."""
        for key, values in settings.items():
            if self._settings.get(key, ()) == values:
                continue
            self._settings[key] = values
            change = f"set {key} {' '.join(values)}" if values else f"unset {key}"
            machine.run(f"appliance config {change}", timeout=120)
        self.settle(machine)

    def stop(self, machine: Machine, users: list[str]) -> None:
        servers = " ".join(self.server_unit(user) for user in users)
        machine.run(
            f"systemctl stop appliance.target {' '.join((*_SOCKETS, *self.units))} {servers}",
            timeout=120,
            check=False,
        )

    def server_unit(self, user: str) -> str:
        return f"appliance-user-{user}.service"

    def account(self, user: str) -> str:
        return f"nb-{user}"

    def hub_pid(self, machine: Machine) -> int:
        return processes_in(machine.unit_cgroup("appliance-hub.service"))[0]

    def proxy_pids(self, machine: Machine) -> list[int]:
        return processes_in(machine.unit_cgroup("appliance-proxy.service"))

    def versions(self, machine: Machine) -> dict[str, str]:
        frozen = dict(line.split("==") for line in self.frozen(machine).splitlines())
        names = ("jupyter", "notebook", "ipykernel", "tornado")
        found = {name: version for name, version in frozen.items() if name.startswith(names)}
        found["nginx"] = machine.run("/usr/sbin/nginx -v").strip().rpartition("/")[2]
        return found

    def frozen(self, machine: Machine) -> str:
        """The user environment as lines name==version, for the peer to have the same."""
        code = (
            "import importlib.metadata as m, json;"
            "print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
        )
        listed = json.loads(machine.run(f"/opt/appliance/user/bin/python -I -c '{code}'"))
        return "".join(
            f"{name.lower()}=={version}\n"
            for name, version in sorted(listed)
            if name != "hub-appliance"
        )


def _pretend_controllers(machine: Machine) -> None:
    """Let bootstrap.py's preflight pass where the host lends the machine no controllers.

    It is right to refuse such a machine, because limits have no effect there. What is measured here
    doesn't come near any limit.
    """
    machine.run(
        "cd /sys/fs/cgroup; grep -q memory cgroup.controllers ||"
        " { echo cpu memory pids > /run/controllers;"
        " mount --bind /run/controllers cgroup.controllers; }"
    )
