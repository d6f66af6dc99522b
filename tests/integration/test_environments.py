"""Packages for everybody and kernels of their own, under a server that runs; no network."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.wheels import make_wheel
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = pytest.mark.machine

WHEELS: Final = "/srv/wheels"
FROM: Final = f"--wheels {WHEELS}"
VERSION: Final = "import tinytool; print(tinytool.version)"
SHELL: Final = "import subprocess; print(subprocess.getoutput({!r}))"
# When the work has begun.
KILLED: Final = (
    "{} & changing=$!; cd /opt/appliance/environments; "
    "until ls -d new-* >/dev/null 2>&1; do sleep 0.02; done; "
    "kill -KILL $changing; wait $changing"
)
CONDA: Final = """\
name: lab
channels: [conda-forge]
dependencies:
  - python=3.11
  - tinydep
  - r-ggplot2
  - mkl
  - pip
  - pip: [ownthing]
"""
WHERE: Final = "import sys; print(sys.prefix)"
PURELIB: Final = "import sysconfig; print(sysconfig.get_path('purelib'))"
OWN: Final = "~/own/bin/python"


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_wheel(folder, "tinydep", "1.0")
        make_wheel(folder, "tinytool", "1.0", requires=["tinydep"], scripts=["tinytool"])
        make_wheel(folder, "tinytool", "2.0", requires=["tinydep"])
        make_wheel(folder, "ownthing", "1.0")
        make_wheel(folder, "oldweb", "1.0", requires=["tornado<6"])
        make_wheel(
            folder, "breaker", "1.0", files={"ipykernel_launcher.py": "raise SystemExit('broken')"}
        )
        make_source(folder)
        for wheel in folder.iterdir():
            room.machine.write_file(f"{WHEELS}/{wheel.name}", wheel.read_bytes())
        room.add("zoe")
        yield room


# A package in source alone; what builds it tells who built it, and what it could reach.
BACKEND: Final = """\
import os, socket, zipfile

def build_wheel(folder, config=None, metadata=None):
    seen = [os.getuid() != 0, os.access("/etc/appliance", os.R_OK), os.access("/opt", os.W_OK)]
    name = "rawtool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("rawtool.py", f"seen = {seen}")
        info = "rawtool-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: rawtool\\nVersion: 1.0\\n")
        tags = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\n" + tags)
        wheel.writestr(info + "RECORD", "")
    return name
"""
PROJECT: Final = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "rawtool"
version = "1.0"
"""


def make_source(folder: Path) -> None:
    """An sdist of rawtool, which has no wheel."""
    with tarfile.open(folder / "rawtool-1.0.tar.gz", "w:gz") as archive:
        info = "Metadata-Version: 2.1\nName: rawtool\nVersion: 1.0\n"
        files = {"backend.py": BACKEND, "pyproject.toml": PROJECT, "PKG-INFO": info}
        for name, text in files.items():
            entry = tarfile.TarInfo(f"rawtool-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def env(room: Preloaded, words: str) -> str:
    return room.machine.execute(f"appliance env {words}", timeout=120)


def in_force(room: Preloaded) -> str:
    return room.machine.execute("readlink -f /opt/appliance/user; cat /etc/appliance/user-req* ||:")


def test_a_package_for_everybody_leaves_what_runs_alone(room: Preloaded) -> None:
    room.start("zoe")
    kernel = room.start_kernel("zoe")
    before = room.run("zoe", kernel, f"x = 6; {WHERE}")
    printed = env(room, f"install 'tinytool<2' {FROM}")
    assert "+ tinytool 1.0" in printed
    assert "+ tinydep 1.0" in printed
    # The kernel goes on with the files that it was started with.
    assert room.run("zoe", kernel, "print(x * 7)") == "42\n"
    late = room.run("zoe", kernel, "import jupyterlab, wsgiref; print(jupyterlab.__file__)")
    assert late.startswith(f"{before.strip()}/")
    assert "No module named 'tinytool'" in room.run("zoe", kernel, VERSION)
    room.stop("zoe")
    # The daemons hold the new one.
    assert room.start("zoe") == "Serving /user/zoe/ (preloaded)"
    kernel = room.start_kernel("zoe")
    assert room.run("zoe", kernel, VERSION) == "1.0\n"
    assert room.run("zoe", kernel, WHERE) != before
    assert room.run("zoe", kernel, SHELL.format("tinytool")) == "1\n"
    listed = json.loads(env(room, "list --all --json"))["packages"]
    why = {row["name"]: row["why"] for row in listed}
    assert (why["tinytool"], why["tinydep"], why["jupyterlab"]) == (
        "asked for", "came along", "appliance",
    )  # fmt: skip
    assert env(room, "freeze") == "tinydep==1.0\ntinytool==1.0\n"
    room.stop("zoe")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("install oldweb", "conflicts with what the appliance itself needs (tornado"),
        pytest.param(
            "install 'tornado<6'", "the appliance itself needs tornado", marks=pytest.mark.long
        ),
        ("install rawtool", "'rawtool' is not ready-made"),
        pytest.param(
            "install nosuchthing", "there is no package 'nosuchthing'", marks=pytest.mark.long
        ),
        ("install breaker", "a kernel does not start"),
        pytest.param(
            "install tinytool==9", "there is no such version of 'tinytool'", marks=pytest.mark.long
        ),
        ("remove tinydep", "it came along with another package"),
    ],
)
def test_what_cannot_be_changes_nothing(room: Preloaded, words: str, why: str) -> None:
    before = in_force(room)
    result = room.machine.fail(
        f"appliance env {words} {FROM if words.startswith('install') else ''}"
    )
    assert why in result.stderr
    assert in_force(room) == before
    assert "new-user" not in room.machine.execute("ls /opt/appliance/environments")


@pytest.mark.long
def test_going_back_and_being_interrupted(room: Preloaded) -> None:
    env(room, f"install 'tinytool<2' {FROM}")
    before = in_force(room)
    env(room, f"upgrade {FROM}")
    assert "tinytool<2" in in_force(room)
    # The requirement holds the version; a new one replaces it.
    env(room, f"install tinytool==2.0 {FROM}")
    assert "tinytool==2.0" in in_force(room)
    now = in_force(room)
    room.machine.fail(KILLED.format("appliance env remove tinytool"))
    assert in_force(room) == now
    env(room, "rollback")
    assert in_force(room) == before
    assert env(room, "history").count("*") == 1
    assert "new-" not in room.machine.execute("ls /opt/appliance/environments")


@pytest.mark.long
def test_files_of_requirements_and_of_conda(room: Preloaded) -> None:
    """What can be had comes; of the rest it is said why not, and by --strict nothing comes."""
    machine = room.machine
    machine.write_file("/root/class/requirements.txt", "tinytool<2\n-e .\n-r more.txt\n")
    machine.write_file("/root/class/more.txt", "ownthing  # a comment\n")
    machine.write_file("/root/class/environment.yml", CONDA)
    before = in_force(room)
    refused = machine.fail(f"appliance env install -r /root/class/requirements.txt --strict {FROM}")
    assert "-e ." in refused.stderr
    assert in_force(room) == before
    said = machine.attempt(
        f"appliance env install -r /root/class/requirements.txt"
        f" --conda /root/class/environment.yml {FROM} 2>&1",
        timeout=120,
    )
    assert said.code == 0, said.describe()
    for words in ("requirements.txt:2: -e .", "r-ggplot2", "apt-get install", "mkl"):
        assert words in said.stdout
    python = "/opt/appliance/user/bin/python"
    machine.execute(f"{python} -c 'import tinytool, tinydep, ownthing'")
    assert "tinytool==1.0" in env(room, "freeze")
    env(room, "rollback")
    machine.fail(f"{python} -c 'import ownthing'")
    assert in_force(room) == before


@pytest.mark.long
def test_extensions_of_jupyterlab_are_switched_for_everybody(room: Preloaded) -> None:
    name = "@tests/shine"
    folder = f"/opt/appliance/user/share/jupyter/labextensions/{name}"
    build = {"_build": {"load": "static/shine.js", "extension": "./extension"}}
    package = {"name": name, "version": "1.0", "jupyterlab": build}
    room.machine.write_file(f"{folder}/package.json", json.dumps(package))
    room.machine.write_file(f"{folder}/static/shine.js", "")

    def is_off() -> bool:
        room.start("zoe")
        page = room.machine.execute(
            f"curl -sSf -H 'Authorization: token {room.token_of('zoe')}'"
            " http://127.0.0.1/user/zoe/lab"
        )
        room.stop("zoe")
        data = re.search(r'(?s)id="jupyter-config-data"[^>]*>(.*?)</script>', page)
        assert data
        return name in str(json.loads(data[1]).get("disabledExtensions"))

    assert name in env(room, "extensions")
    env(room, f"extension off {name}")
    assert is_off()
    env(room, f"extension on {name}")
    assert not is_off()
    room.machine.execute(f"rm -r {folder}")


@pytest.mark.long
def test_source_is_built_by_nobody(room: Preloaded) -> None:
    env(room, f"create raw rawtool --build {FROM}")
    python = "/opt/appliance/jupyter/environments/raw/bin/python"
    seen = room.machine.execute(f"{python} -c 'import rawtool; print(rawtool.seen)'")
    assert seen == "[True, False, False]\n"
    assert room.machine.execute("ls /var/cache/private | grep -c appliance-build || :") == "0\n"
    env(room, "delete raw --yes")


def test_an_environment_as_a_kernel(room: Preloaded) -> None:
    env(room, f"create data tinytool==2.0 {FROM} --title 'Data science'")
    room.start("zoe")
    assert room.notebook("zoe", "kernels").split() == ["data", "python3"]
    kernel = room.start_kernel("zoe", "data")
    assert room.run("zoe", kernel, VERSION) == "2.0\n"
    assert "/environments/kernel-data-" in room.run("zoe", kernel, WHERE)
    transport = "from ipykernel.kernelapp import IPKernelApp as A; print(A.instance().transport)"
    assert room.run("zoe", kernel, transport) == "ipc\n"
    # The sandbox is the server's.
    assert "Read-only file system" in room.run("zoe", kernel, "open('/etc/x', 'w')")
    room.run("zoe", kernel, "x = 1")
    with ThreadPoolExecutor() as pool:
        cell = pool.submit(room.run, "zoe", kernel, "import time; print('begun'); time.sleep(60)")
        time.sleep(2)
        room.notebook("zoe", "interrupt", kernel)
        assert "KeyboardInterrupt" in cell.result(30)
    assert room.run("zoe", kernel, "print(x)") == "1\n"
    room.notebook("zoe", "restart", kernel)
    assert "NameError" in room.run("zoe", kernel, "print(x)")
    env(room, "remove tinytool --env data")
    assert room.run("zoe", kernel, VERSION) == "2.0\n"
    assert "No module named" in room.run("zoe", room.start_kernel("zoe", "data"), VERSION)
    env(room, "delete data --yes")
    assert room.notebook("zoe", "kernels").split() == ["python3"]
    assert room.run("zoe", kernel, VERSION) == "2.0\n"
    room.stop("zoe")


@pytest.mark.long
def test_what_a_user_installs_stays_over_a_change(room: Preloaded) -> None:
    env(room, f"install tinytool {FROM}")
    room.start("zoe")
    kernel = room.start_kernel("zoe")
    own = f"%pip install -q --user --no-index --find-links {WHEELS} ownthing"
    room.run("zoe", kernel, own)
    # What everybody has, pip leaves alone: it would not count.
    assert "Will not install to the user site" in room.run(
        "zoe", kernel, own.replace("ownthing", "tinytool==2.0")
    )
    env(room, "remove tinytool")
    room.stop("zoe")
    room.start("zoe")
    kernel = room.start_kernel("zoe")
    assert room.run("zoe", kernel, "import ownthing; print(ownthing.version)") == "1.0\n"
    room.stop("zoe")


def test_an_environment_of_a_user_as_a_kernel(room: Preloaded) -> None:
    """By Python's own means. The network would bring ipykernel; here it is everybody's."""
    room.start("zoe")
    kernel = room.start_kernel("zoe")
    made = (
        f"python3 -m venv ~/own && {OWN} -m pip install -q --no-index --find-links {WHEELS} tinydep"
        f" && python3 -c {shlex.quote(PURELIB)} >everybody.pth"
        f" && mv everybody.pth $({OWN} -c {shlex.quote(PURELIB)})"
        f" && {OWN} -m ipykernel install --user --name own && echo made"
    )
    assert room.run("zoe", kernel, SHELL.format(made)).endswith("made\n")
    assert "own" in room.notebook("zoe", "kernels").split()
    own = room.start_kernel("zoe", "own")
    assert room.run("zoe", own, WHERE) == "/home/nb-zoe/own\n"
    assert room.run("zoe", own, "import tinydep; print(tinydep.version)") == "1.0\n"
    room.stop("zoe")
