"""Servers that aren't the ordinary one: named, with a home full of settings, wrongly started."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.browser import Reply, send
from tests.fakes.hub import FakeHub
from tests.fakes.single_user import (
    LAUNCH,
    ROOT,
    SingleUser,
    environment,
    single_user,
)  # fmt: skip

HEADERS = {"Authorization": "token t"}

# What people copy from other installations; none of it may open the server or break log-in.
HOSTILE_CONFIG = """
c.ServerApp.token = "open"
c.ServerApp.password = ""
c.ServerApp.allow_unauthenticated_access = True
c.ServerApp.disable_check_xsrf = True
c.ServerApp.identity_provider_class = "jupyter_server.auth.identity.PasswordIdentityProvider"
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 9999
c.ServerApp.base_url = "/"
c.ServerApp.sock = "/tmp/mine"
c.ServerApp.certfile = "/home/me/cert.pem"
c.ServerApp.open_browser = True
c.IdentityProvider.token = ""
c.PasswordIdentityProvider.hashed_password = ""
c.KernelManager.transport = "tcp"
c.KernelManager.ip = "0.0.0.0"
"""
OWN_CONFIG = """
c.FileContentsManager.allow_hidden = True
c.ServerApp.root_dir = __import__("os").path.expanduser("~/work")
"""


def _furnish(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@asynccontextmanager
async def _running(
    folder: Path, *, home: dict[str, str] | None = None, **environ: str
) -> AsyncIterator[SingleUser]:
    hub = FakeHub()
    hub.give("t", "ada", "access:servers!user=ada")
    listening = hub.listen(folder / "api.sock")
    full = environment(folder, folder / "api.sock", **environ)
    _furnish(Path(full["HOME"]), home or {})
    async with single_user(folder, full, path=folder / "server.sock") as server:
        yield server
    listening.stop()


async def _kernel(server: SingleUser, prefix: str = "/user/ada/") -> Reply:
    return await send(
        server.socket, f"{prefix}api/kernels", method="POST", headers=HEADERS, body=b"{}"
    )


def _connections(run: Path) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in run.glob("kernel-*.json")]


async def test_hostile_settings_in_the_home_change_nothing(tmp_path: Path) -> None:
    home = {".jupyter/jupyter_server_config.py": HOSTILE_CONFIG}
    # pytest's own directories are too deep for sockets.
    with tempfile.TemporaryDirectory(prefix="run-") as run:
        async with _running(tmp_path, home=home, JUPYTER_RUNTIME_DIR=run) as server:
            for headers in ({}, {"Authorization": "token open"}, {"Cookie": "username-hub-test=x"}):
                reply = await send(server.socket, "/user/ada/api/contents", headers=headers)
                assert reply.status == 403
            login = await send(server.socket, "/user/ada/lab")
            assert login.header("Location").startswith("/hub/api/oauth2/authorize?")
            assert (await _kernel(server)).status == 201
            with pytest.raises(ConnectionRefusedError):
                await send(("127.0.0.1", 9999), "/")
            (kernel,) = _connections(Path(run))
    assert (kernel["transport"], kernel["ip"].startswith(run)) == ("ipc", True)


async def test_settings_of_ones_own_are_honoured(tmp_path: Path) -> None:
    home = {".jupyter/jupyter_server_config.py": OWN_CONFIG, "work/.hidden": "x"}
    async with _running(tmp_path, home=home) as server:
        reply = await send(server.socket, "/user/ada/api/contents/.hidden", headers=HEADERS)
    assert (reply.status, reply.json()["content"]) == (200, "x")


async def test_extensions_can_be_turned_on_and_off_in_the_home(tmp_path: Path) -> None:
    chosen = {"ServerApp": {"jpserver_extensions": {"jupyter_lsp": True, "nbgitpuller": False}}}
    home = {".jupyter/jupyter_server_config.json": json.dumps(chosen)}
    async with _running(tmp_path, home=home) as server:
        lsp = await send(server.socket, "/user/ada/lsp/status", headers=HEADERS)
        puller = await send(server.socket, "/user/ada/git-pull", headers=HEADERS)
    assert (lsp.status, puller.status) == (200, 404)


async def test_named_server_with_notebook_as_its_front_end(tmp_path: Path) -> None:
    prefix = "/user/ada/lab2/"
    async with _running(
        tmp_path,
        JUPYTERHUB_SERVER_NAME="lab2",
        JUPYTERHUB_SERVICE_PREFIX=prefix,
        JUPYTERHUB_CLIENT_ID="jupyterhub-user-ada-lab2",
        APPLIANCE_FRONT_END="notebook",
    ) as server:
        front = await send(server.socket, prefix, headers=HEADERS)
        lab = await send(server.socket, f"{prefix}lab", headers=HEADERS)
        login = await send(server.socket, f"{prefix}lab")
    assert front.header("Location").startswith(f"{prefix}tree")
    assert b'"hubServerName": "lab2"' in lab.body
    assert f"Path={prefix}" in login.header("Set-Cookie")
    assert login.header("Set-Cookie").startswith("jupyterhub-user-ada-lab2-oauth-state=")


async def test_kernels_stay_on_ipc_where_the_directory_has_a_long_path(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 90)
    long.mkdir()
    async with _running(tmp_path, JUPYTER_RUNTIME_DIR=str(long)) as server:
        assert (await _kernel(server)).status == 201
        log = await asyncio.to_thread(server.log.read_text)
    assert "is too long" in log
    assert not list(long.glob("kernel-*"))


def _start(folder: Path, environ: dict[str, str], stdin: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", LAUNCH.format(str(ROOT))],
        env=environ, cwd=folder, stdin=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_missing_environment_is_told_in_words(tmp_path: Path) -> None:
    done = _start(tmp_path, {}, subprocess.DEVNULL)
    lines = done.stderr.splitlines()
    assert done.returncode == 78
    assert "cannot start the single-user server: JUPYTERHUB_USER is not set" in lines
    assert all(line.startswith("cannot start the single-user server: ") for line in lines)


def test_standard_input_that_is_no_listening_socket_is_told(tmp_path: Path) -> None:
    environ = environment(tmp_path, tmp_path / "api.sock")
    assert "no socket" in _start(tmp_path, environ, subprocess.DEVNULL).stderr
    with socket.socket(socket.AF_UNIX) as idle:
        done = _start(tmp_path, environ, idle.fileno())
    assert (done.returncode, "not a listening" in done.stderr) == (78, True)


async def _static_url(server: SingleUser, page: str) -> str:
    reply = await send(server.socket, f"/user/ada/{page}", headers=HEADERS)
    assert reply.status == 200, reply.body
    found = re.search(r'"fullStaticUrl": "([^"]+)"', reply.body.decode())
    assert found
    return found[1]


async def test_pages_ask_for_the_environments_files_where_all_servers_do(tmp_path: Path) -> None:
    async with _running(tmp_path, APPLIANCE_STATIC_URL="/hub/static/") as server:
        assert await _static_url(server, "lab") == "/hub/static/lab"
        assert await _static_url(server, "tree") == "/hub/static/notebook"
        assert await _static_url(server, "lab") == "/hub/static/lab", "a second time, too"


async def test_a_build_of_ones_own_is_asked_of_the_own_server(tmp_path: Path) -> None:
    built = Path(sys.prefix) / "share/jupyter/lab/static"
    names = ("index.html", "package.json")
    home = {f"mine/static/{name}": (built / name).read_text() for name in names}
    home[".jupyter/jupyter_server_config.py"] = (
        'c.LabApp.app_dir = __import__("os").path.expanduser("~/mine")'
    )
    async with _running(tmp_path, home=home, APPLIANCE_STATIC_URL="/hub/static/") as server:
        assert await _static_url(server, "lab") == "/user/ada/static/lab"


async def test_extensions_that_are_off_for_everybody_are_off_beside_a_users_own(
    tmp_path: Path,
) -> None:
    off = json.dumps(["@jupyterlab/git", "@jupyterlab/mathjax-extension"])
    own = {".jupyter/labconfig/page_config.json": '{"disabledExtensions": {"mine": true}}'}
    async with _running(tmp_path, home=own, APPLIANCE_LAB_EXTENSIONS_OFF=off) as server:
        reply = await send(server.socket, "/user/ada/lab", headers=HEADERS)
    text = reply.body.decode()
    found = re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found
    disabled = json.loads(found[1])["disabledExtensions"]
    assert {"@jupyterlab/git", "@jupyterlab/mathjax-extension", "mine"} <= set(disabled)
