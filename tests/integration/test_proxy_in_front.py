"""configurable-http-proxy in front of an installed appliance, set up as docs/proxy.md says."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.peers import peer_environment
from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.machine import Machine
from tests.integration.visitor import Visitor

pytestmark = pytest.mark.machine

PAGE = Path(__file__).parents[2] / "docs" / "proxy.md"
UNIT = "configurable-http-proxy.service"
PROGRAM = """\
#!/bin/sh
PYTHONPATH=/opt/chp exec /usr/bin/python3 -c \
    "from configurable_http_proxy.cli import main; main()" "$@"
"""
API = "http://127.0.0.1:8001/api/routes"
TOKEN = '-H "Authorization: token ${CONFIGPROXY_AUTH_TOKEN}"'
LOOK = "curl -fsS -X POST --unix-socket /run/appliance/admin.sock http://localhost/hub/api/proxy"


@dataclass
class Front:
    """A machine, and what somebody sees who may read the table."""

    machine: Machine

    def table(self) -> dict[str, Any]:
        said = self.machine.execute(f". /etc/appliance/chp.env; curl -fsS {TOKEN} {API}")
        found: dict[str, Any] = json.loads(said)
        return found

    def wait_for(self, *paths: str) -> None:
        wanted = " and ".join(f"{path!r} in table" for path in paths)
        self.machine.wait_until(
            f". /etc/appliance/chp.env; curl -fsS {TOKEN} {API} | "
            f'python3 -c "import json, sys; table = json.load(sys.stdin); assert {wanted}"'
        )


def commands(title: str) -> list[str]:
    """What a section of the page tells one to type."""
    section = PAGE.read_text().partition(f"### {title}\n")[2].partition("\n### ")[0]
    section = section.replace("```sh", "").replace("```", "")
    return re.findall(r"(?m)(?:^ *|: `)(sudo .*?)(?:`|$)", section)


def _unit() -> str:
    return PAGE.read_text().partition("```ini\n")[2].partition("```")[0]


def _give_program(machine: Machine) -> None:
    """PyPI's, of pure Python: nothing else of Node.js is needed to try the way it is set up."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(next(peer_environment("chp").glob("lib/python3*/site-packages")), "chp")
    machine.execute("tar xzf - -C /opt", stdin=packed.getvalue())
    machine.write_file("/usr/local/bin/configurable-http-proxy", PROGRAM, mode=0o755)
    machine.write_file(f"/etc/systemd/system/{UNIT}", _unit())


@pytest.fixture(scope="module", params=[Debian.BOOKWORM])
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    installed = installed_image(request.param)
    with Machine(request.param, image=installed.image) as machine:
        machine.execute("appliance config set signup.mode open", timeout=60)
        _give_program(machine)
        for command in commands("Setting it up"):
            machine.execute(command, timeout=60)
        yield Front(machine)
        machine.execute("systemctl stop 'appliance-user-*'")


def test_it_is_set_up_as_the_page_says(front: Front) -> None:
    machine = front.machine
    assert "configurable-http-proxy" in machine.execute("appliance config get proxy.program")
    front.wait_for("/")
    assert front.table()["/"]["target"] == "http://127.0.0.1:8081"
    bob = Visitor(machine.http_base, "bob")
    assert bob.sign_up().status == 200
    bob.log_in()
    front.wait_for("/", "/user/bob")
    machine.execute("appliance status")
    account = machine.execute(f"systemctl show -p MainPID --value {UNIT}").strip()
    assert machine.execute(f"ps -o user= -p {account}").strip() != "root"


def test_users_reach_the_api_and_can_do_nothing_there(front: Front) -> None:
    ask = "curl -sS -o /dev/null -w '%{http_code}'"
    for request in (API, f"-X DELETE {API}/user/bob"):
        assert front.machine.execute(f"sudo -u nb-bob {ask} {request}") == "403"
    front.machine.fail("sudo -u nb-bob cat /etc/appliance/chp.env")
    front.machine.fail("curl -fsS http://$(hostname -I | cut -d' ' -f1):8081/hub/health")
    assert "/user/bob" in front.table()


def test_while_it_is_away_that_is_said_and_afterwards_all_is_back(front: Front) -> None:
    machine = front.machine
    before = machine.execute("systemctl show -p MainPID --value appliance-user-bob.service")
    machine.execute(f"systemctl stop {UNIT}")
    told = machine.fail("appliance status")
    assert "configurable-http-proxy's API at http://127.0.0.1:8001" in told.stdout
    machine.execute("systemctl restart appliance-hub.service")
    machine.execute("appliance user list")
    machine.execute(f"systemctl start {UNIT}")
    machine.execute(f"curl -fsS --retry 9 --retry-connrefused {'http://localhost/hub/health'}")
    machine.wait_until(LOOK)
    front.wait_for("/", "/user/bob")
    machine.execute("appliance status")
    after = machine.execute("systemctl show -p MainPID --value appliance-user-bob.service")
    assert before == after
    machine.allowed.errors += [r"appliance-hub"]


def test_a_token_that_is_not_its_is_refused_and_nothing_changes(front: Front) -> None:
    machine = front.machine
    before = machine.read_file("/etc/appliance/config.yaml")
    wrong = machine.attempt(
        "appliance config set proxy.api_token --stdin", stdin="quite-another-token\n"
    )
    assert wrong.code != 0
    assert "it refuses the token" in wrong.stderr
    assert machine.read_file("/etc/appliance/config.yaml") == before


def test_going_back_leaves_nothing(front: Front) -> None:
    for command in commands("Going back"):
        front.machine.execute(command, timeout=60)
    front.machine.execute("curl -fsS http://localhost/hub/health")
    front.machine.execute("appliance status")
