"""The peer stack: JupyterHub, SystemdSpawner, NativeAuthenticator, CHP, idle culler.

Installed by the commands of its documentation (a virtual environment, pip, npm) and run by root as
SystemdSpawner asks. The hub starts the proxy and the culler as its children, which is its default.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.machine import Machine, MachineError
from benchmarks.processes import command_line, processes_in
from benchmarks.side import API_TOKEN, SignUpForm

PROXY_PACKAGE: Final = "configurable-http-proxy@5.3.0"
_FILES: Final = Path(__file__).parent / "peer_files"
_INSTALL_SECONDS: Final = 600


class Peer:
    """See benchmarks.side.Side."""

    name = "peer"
    address = "http://127.0.0.1:18000"
    sign_up = SignUpForm(
        path="/hub/signup",
        password_fields=("signup_password", "signup_password_confirmation"),
        fixed={},
    )
    static_path = "/hub/static/js/token.js"
    units: tuple[str, ...] = ("jupyterhub.service",)
    database = "/srv/peer/jupyterhub.sqlite"

    def __init__(self, *, installer: str = "pip", packages: tuple[str, ...] = ()) -> None:
        self.installer = installer
        self.packages = packages
        """What users import, beside what a server needs."""
        self.constraints = ""
        """Lines name==version, so that both sides have the same JupyterLab and what it needs."""

    def install(self, machine: Machine) -> None:
        for file in _FILES.iterdir():
            machine.write(f"/srv/peer/{file.name}", file.read_text())
        machine.write("/srv/peer/constraints.txt", self.constraints)
        machine.write("/srv/peer/token", API_TOKEN)
        pip = "/opt/peer/bin/pip install -q --disable-pip-version-check"
        if self.installer == "uv":
            uv = "/opt/peer/bin/uv pip install -q --compile-bytecode --python /opt/peer/bin/python"
            pip = f"{pip} uv; {uv}"
        machine.run(
            f"set -e; python3 -m venv /opt/peer; {pip}"
            f" -r /srv/peer/requirements.txt {' '.join(self.packages)}"
            " -c /srv/peer/constraints.txt;"
            " export PATH=/opt/node/bin:$PATH;"
            f" npm install -g --no-audit --no-fund --prefix /opt/peer {PROXY_PACKAGE};"
            " cp /srv/peer/jupyterhub.service /etc/systemd/system/;"
            " systemctl daemon-reload; systemctl start jupyterhub",
            timeout=_INSTALL_SECONDS,
        )

    def prepare(self, machine: Machine, users: list[str]) -> None:
        """SystemdSpawner starts servers of existing accounts only."""
        machine.run("".join(f"useradd --create-home --shell /bin/bash {user};" for user in users))

    def start(self, machine: Machine) -> None:
        machine.run("systemctl start jupyterhub")

    def settle(self, machine: Machine) -> None:
        del machine

    def stop(self, machine: Machine, users: list[str]) -> None:
        servers = " ".join(self.server_unit(user) for user in users)
        machine.run(f"systemctl stop jupyterhub {servers}", timeout=120, check=False)

    def server_unit(self, user: str) -> str:
        return f"jupyter-{user}-singleuser.service"

    def account(self, user: str) -> str:
        return user

    def hub_pid(self, machine: Machine) -> int:
        return self._process(machine, "/opt/peer/bin/jupyterhub -f")

    def proxy_pids(self, machine: Machine) -> list[int]:
        return [self._process(machine, "configurable-http-proxy --ip")]

    def _process(self, machine: Machine, words: str) -> int:
        for pid in processes_in(machine.unit_cgroup("jupyterhub.service")):
            if words in command_line(pid):
                return pid
        raise MachineError(f"cannot find the process {words!r} in jupyterhub.service")

    def versions(self, machine: Machine) -> dict[str, str]:
        listed = json.loads(machine.run("/opt/peer/bin/pip list --format json 2>/dev/null"))
        names = ("jupyter", "notebook", "ipykernel", "tornado", "bcrypt")
        found = {p["name"]: p["version"] for p in listed if p["name"].startswith(names)}
        found["configurable-http-proxy"] = PROXY_PACKAGE.partition("@")[2]
        found["node"] = machine.run("/opt/node/bin/node --version").strip().lstrip("v")
        return found
