"""A preload daemon runs nothing that others than root could change; servers start cold then."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = pytest.mark.machine

UNIT: Final = "appliance-preload-server.service"
# What somebody may have done, and how it is undone; {site} is where the packages are.
CHANGES: Final = {
    "a package that everybody may write": (
        "chmod o+w {site}/jupyterlab", "chmod o-w {site}/jupyterlab",
    ),
    "a module that a group may write": (
        "chmod g+w {site}/tornado/web.py", "chmod g-w {site}/tornado/web.py",
    ),
    "a module that belongs to a user": (
        "chown nobody {site}/tornado/web.py", "chown root {site}/tornado/web.py",
    ),
    "compiled code that belongs to a user": (
        "chown nobody $(ls {site}/tornado/__pycache__/web.*.pyc)",
        "chown root $(ls {site}/tornado/__pycache__/web.*.pyc)",
    ),
    "a directory on the way": ("chmod o+w /opt/appliance", "chmod o-w /opt/appliance"),
    "the interpreter": (
        "chmod o+w $(readlink -f {python})", "chmod o-w $(readlink -f {python})",
    ),
    "a .pth file that leads to another's folder": (
        "mkdir -p /srv/theirs && chown nobody /srv/theirs && echo /srv/theirs >{site}/theirs.pth",
        "rm -r {site}/theirs.pth /srv/theirs",
    ),
    "a package that is a link to another's folder": (
        "mkdir -p /srv/theirs && chown nobody /srv/theirs && ln -s /srv/theirs {site}/theirs",
        "rm -r {site}/theirs /srv/theirs",
    ),
    "Jupyter's settings": (
        "mkdir -p /etc/jupyter && chmod o+w /etc/jupyter", "rmdir /etc/jupyter",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        room.add("zoe")
        room.machine.allowed.errors += ["appliance-preload"]
        yield room


@pytest.mark.parametrize("change", CHANGES)
def test_it_does_not_run_what_others_could_change(change: str, room: Preloaded) -> None:
    machine, python = room.machine, room.python
    site = machine.execute(f"{python} -I -c 'import jupyterlab as j; print(j.__path__[0])'")
    places = {"site": site.strip().rpartition("/")[0], "python": python}
    do, undo = (line.format(**places) for line in CHANGES[change])
    machine.execute(do)
    machine.fail(f"systemctl restart {UNIT}")
    try:
        assert room.show(UNIT, "ExecMainStatus") == "78"
        said = machine.journal(UNIT, lines=8)
        assert "others than root could change" in said
        assert room.daemon("server") == 0
    finally:
        machine.execute(undo)
    machine.execute(f"systemctl reset-failed {UNIT}")


def test_servers_start_cold_while_it_does_not_run_and_preloaded_when_it_does(
    room: Preloaded,
) -> None:
    machine = room.machine
    folder = shlex.quote(room.python.rpartition("/bin/")[0])
    machine.execute(f"chmod o+w {folder}")
    machine.fail(f"systemctl restart {UNIT}")
    assert room.start("zoe").startswith("Serving /user/zoe/ (cold: the preload daemon is not")
    room.stop("zoe")
    machine.execute(f"chmod o-w {folder}; systemctl reset-failed {UNIT}")
    room.start_daemons()
    assert room.start("zoe") == "Serving /user/zoe/ (preloaded)"
    room.stop("zoe")
