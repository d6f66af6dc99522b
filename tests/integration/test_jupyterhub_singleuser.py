"""Packages that people know from JupyterHub, on a whole machine: its own single-user server of both
majors, jupyter-server-proxy, and links of nbgitpuller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page

from tests.integration.browser import chromium
from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.lab import SLOW_MS, Lab
from tests.integration.machine import Machine
from tests.integration.pages import Person

pytestmark = [pytest.mark.machine, pytest.mark.browser]

UNIT = "appliance-user-bob.service"
STOCK = "appliance config set servers.program jupyterhub-singleuser"
RESTARTED = "appliance-hub.service appliance-proxy.service appliance-spawner.service"
SERVE = (
    "import subprocess, pathlib\n"
    "pathlib.Path('web').mkdir(exist_ok=True)\n"
    "pathlib.Path('web/page.txt').write_text('seen through the proxy')\n"
    "web = subprocess.Popen(['python3', '-m', 'http.server', '8123',"
    " '--bind', '127.0.0.1', '--directory', 'web'])\n"
    "'serving'"
)
COURSE = """
set -e
git init -q -b main /srv/course && cd /srv/course
echo 'first lesson' >lesson.md && git add . && git -c user.name=t -c user.email=t@t commit -qm 1
systemd-run -q --unit course git daemon --export-all --base-path=/srv --listen=127.0.0.1
"""


@dataclass
class Room:
    """A machine on which bob may have servers of each kind."""

    machine: Machine
    bob: Person

    def install(self, *packages: str) -> None:
        """Into everybody's environment, as uv does it for the installer."""
        self.machine.execute(
            "/opt/appliance/bin/uv-* pip install -q --system-certs"
            f" --python /opt/appliance/user/bin/python {' '.join(packages)}",
            timeout=180,
        )

    def show(self, name: str) -> str:
        return self.machine.execute(f"systemctl show -p {name} --value {UNIT}").strip()

    def open_anew(self) -> Lab:
        self.machine.execute("appliance server stop bob", timeout=60)
        return self.bob.open_lab()

    def sees_a_program_in_the_server(self, lab: Lab) -> None:
        lab.wait_for_output(lab.run(SERVE), "serving")
        page = lab.page.context.new_page()
        for _ in range(20):
            page.goto(f"{self.machine.http_base}/user/bob/proxy/8123/page.txt", timeout=SLOW_MS)
            if "seen" in page.content():
                break
            page.wait_for_timeout(500)
        assert "seen through the proxy" in page.content()
        page.close()


@pytest.fixture(scope="module", params=[Debian.BOOKWORM])
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    installed = installed_image(request.param)
    with ExitStack() as stack:
        machine = stack.enter_context(Machine(request.param, image=installed.image))
        machine.execute("appliance config set signup.mode open", timeout=60)
        visitor = stack.enter_context(chromium(machine.http_base))
        who = stack.enter_context(visitor.visit("bob"))
        bob = Person(who.page, machine.http_base, "bob", lambda _, shot: who.screenshot(shot))
        bob.sign_up()
        bob.page.wait_for_url("**/hub/home", timeout=SLOW_MS)
        yield Room(machine, bob)
        machine.execute("systemctl stop 'appliance-user-*' course")


def test_our_own_server_has_ports_of_programs_and_pulls_a_course(room: Room) -> None:
    refused = room.machine.fail(STOCK)
    assert "appliance env install jupyterhub" in refused.stderr
    room.install("jupyterhub==6.1.1", "jupyter-server-proxy")
    room.machine.execute(COURSE)
    room.sees_a_program_in_the_server(room.open_anew())
    page: Page = room.bob.page.context.new_page()
    page.goto(
        f"{room.machine.http_base}/hub/user-redirect/git-pull?repo=git%3A%2F%2F127.0.0.1%2Fcourse"
        "&branch=main&targetpath=course&urlpath=lab%2Ftree%2Fcourse%2Flesson.md",
        timeout=SLOW_MS,
    )
    page.wait_for_url(re.compile(r"/lab/tree/course/lesson\.md"), timeout=SLOW_MS)
    page.close()
    assert room.machine.read_file("/home/nb-bob/course/lesson.md") == "first lesson\n"


@pytest.mark.parametrize("version", ["6.1.1", pytest.param("5.5.4", marks=pytest.mark.long)])
def test_jupyterhubs_server_runs_unmodified_and_unreachable(room: Room, version: str) -> None:
    room.install(f"jupyterhub=={version}")
    room.machine.execute(STOCK, timeout=60)
    lab = room.open_anew()
    cell = lab.run("6 * 7")
    assert lab.wait_for_output(cell, "42").strip() == "42"
    room.bob.look(lab.page, f"jupyterhub-{version}")
    main = room.machine.execute(f"tr '\\0' ' ' </proc/{room.show('MainPID')}/cmdline")
    assert "-I -m jupyterhub.singleuser" in main
    assert room.show("User") == "nb-bob"
    assert "TOKEN" not in room.show("Environment")
    _nobody_else_reaches_it(room)
    room.sees_a_program_in_the_server(lab)


def _nobody_else_reaches_it(room: Room) -> None:
    """What listens is ipykernel's pipe for its own child processes, and nothing that knows HTTP."""
    listening = room.machine.execute("ss -Hltne").splitlines()
    uid = room.machine.execute("id -u nb-bob").strip()
    bobs = [line.split()[3] for line in listening if f"uid:{uid} " in line]
    assert len(bobs) <= 1, listening
    for address in [*bobs, "127.0.0.1:8888"]:
        room.machine.fail(
            "setpriv --reuid nobody --regid nogroup --clear-groups"
            f" curl -sS --max-time 5 http://{address}/user/bob/api"
        )
    place = f"/run/{room.show('RuntimeDirectory')}/server.sock"
    room.machine.execute(f"curl -fsS --unix-socket {place} http://localhost/user/bob/api")
    room.machine.fail(
        "setpriv --reuid nobody --regid nogroup --clear-groups"
        f" curl -sS --max-time 5 --unix-socket {place} http://localhost/user/bob/api"
    )


def test_restarts_are_not_noticed(room: Room) -> None:
    lab = Lab(room.bob.page)
    cell = lab.run(
        "import time\nfor i in range(1, 100_000):\n    print(i, flush=True)\n    time.sleep(0.5)"
    )
    count = lab.wait_for_count(cell, 3, timeout_seconds=60)
    room.machine.execute(f"systemctl restart {RESTARTED}", timeout=60)
    lab.wait_for_count(cell, count + 3, timeout_seconds=30)
    shown = [int(number) for number in re.findall(r"\d+", lab.output(cell))]
    assert shown == list(range(1, len(shown) + 1)), "the page lost numbers"


def test_its_end_is_told(room: Room) -> None:
    room.machine.execute(f"systemctl kill --kill-whom=main --signal=KILL {UNIT}")
    room.machine.wait_until(f"! systemctl is-active -q {UNIT}", timeout=60)
    room.bob.go("/hub/home")
    room.bob.sees("Your server ended by itself")
    room.bob.sees("SIGKILL")
    room.machine.fail("pgrep -u nb-bob")
