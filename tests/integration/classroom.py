"""An appliance on a machine with open sign-up, and short words for what tests ask of it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.machine import Machine
from tests.integration.visitor import Visitor

T = TypeVar("T")

_CURL: Final = "curl -sS --max-time 100 --unix-socket /run/appliance/admin.sock"
_UNITS: Final = (
    "systemctl list-units --all --plain --no-legend 'appliance-user-*' | awk '{print $1, $3}'"
)


@dataclass(frozen=True)
class Classroom:
    """One machine with the appliance."""

    machine: Machine

    def visitor(self, name: str) -> Visitor:
        return Visitor(self.machine.http_base, name)

    def call(self, method: str, path: str) -> str:
        """The line of shell that asks the hub's API as root; prints status and body."""
        url = shlex.quote(f"http://localhost/hub/api/{path}")
        return (
            f"{_CURL} -X {method} -H 'Content-Type: application/json' -w '\\n%{{http_code}}' {url}"
        )

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the hub's API as root: the status, and what was said."""
        data = b"" if body is None else json.dumps(body).encode()
        said = self.machine.execute(f"{self.call(method, path)} --data-binary @-", stdin=data)
        text, _, status = said.rpartition("\n")
        return int(status), json.loads(text) if text.strip() else None

    def add(self, *names: str) -> None:
        """Make users without a password."""
        status, said = self.api("POST", "appliance/users", {"usernames": names})
        assert (status, said["skipped"]) == (201, [])

    def users(self) -> list[dict[str, Any]]:
        """What `appliance user list` says."""
        found: list[dict[str, Any]] = json.loads(self.machine.execute("appliance user list --json"))
        return found

    def names(self) -> list[str]:
        return [str(user["name"]) for user in self.users()]

    def servers(self) -> dict[str, bool]:
        """What the hub believes: who has a server, and whether it is ready."""
        _, rows = self.api("GET", "appliance/servers")
        return {row["user"]: row["ready"] for row in rows}

    def units(self) -> dict[str, str]:
        """What systemd knows: units of servers with their states."""
        lines = self.machine.execute(_UNITS).splitlines()
        return dict(line.split() for line in lines)

    def start(self, name: str) -> None:
        self.machine.execute(f"appliance server start {name}", timeout=90)

    def stop_all(self) -> None:
        self.machine.execute("appliance server stop --all", timeout=90)

    def is_healthy(self) -> bool:
        return self.visitor("").get("/hub/health").status == 200


@contextmanager
def open_classroom(debian: Debian, *, memory: str = "1G") -> Iterator[Classroom]:
    """A machine just installed, on which everybody may sign up; servers start when a test says."""
    with Machine(debian, image=installed_image(debian).image, memory=memory) as machine:
        machine.execute("appliance config set signup.mode open", timeout=90)
        machine.execute("appliance config set servers.start_at_login false", timeout=90)
        classroom = Classroom(machine)
        yield classroom
        classroom.stop_all()


def unit_of(user: str) -> str:
    """The unit of a user's server, for names that need no escaping."""
    return f"appliance-user-{user}.service"


def wait_for(look: Callable[[], T], is_it: Callable[[T], bool], *, seconds: float = 60) -> T:
    """Look until it is; what was seen last goes into the failure."""
    deadline = time.monotonic() + seconds
    while not is_it(seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {seen}"
        time.sleep(0.5)
    return seen
