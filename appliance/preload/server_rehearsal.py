"""Run a server through its first minute once, and leave nothing of it but what it warmed up.

A first start and a first page touch much that is the same for everybody: classes that are finished
when first used, tables of schemas and codecs, templates, modules that are imported late. Done here,
before the fork, children share it. The server is built of throw-away settings, in an empty home,
and answers the requests of a page of JupyterLab.

What isn't the same for everybody must not survive, so `Residue` looks: a template with a thread, a
descriptor, an event loop or somebody's settings would pass them to every child.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jupyter_core.paths
import jupyter_core.utils
from traitlets.config import SingletonConfigurable

from appliance.singleuser.app import SingleUserApp
from appliance.singleuser.hub import Hub, Person
from appliance.singleuser.lean import make_requests_lean, make_start_lean
from appliance.singleuser.settings import EXTENSIONS, Settings, read_settings

from .put_back import put_back_environment
from .server_identity import mentions, subclasses, take_identity
from .server_residue import Residue

USER: Final = "rehearsal"
PREFIX: Final = f"/user/{USER}/"
REQUEST_SECONDS: Final = 20

NOTEBOOK: Final = {
    "type": "notebook",
    "format": "json",
    "content": {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": 1,
                "id": "a",
                "metadata": {},
                "outputs": [
                    {"name": "stdout", "output_type": "stream", "text": "a"},
                    {
                        "data": {"text/plain": "42"},
                        "execution_count": 1,
                        "metadata": {},
                        "output_type": "execute_result",
                    },
                ],
                "source": "6*7",
            },
            {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "# b"},
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    },
}
WORKSPACE: Final = {"data": {}, "metadata": {"id": "default"}}

# What JupyterLab asks for, from its page to a saved notebook; websockets and kernels need what a
# template must not have.
REQUESTS: Final = (
    ("GET", "lab", ""),
    ("GET", "api/kernelspecs", ""),
    ("GET", "api/me", ""),
    ("GET", "lab/api/settings", ""),
    ("GET", "api/kernels", ""),
    ("GET", "api/terminals", ""),
    ("GET", "api/sessions", ""),
    ("GET", "lab/api/workspaces", ""),
    ("GET", "lab/api/translations/default", ""),
    ("GET", "api/config/jupyterlabapputilsextensionannouncements", ""),
    ("GET", "lab/api/translations", ""),
    ("GET", "lab/api/settings/@jupyterlab/notebook-extension:panel", ""),
    ("GET", "api/contents?content=1&hash=0", ""),
    ("GET", "lab/api/themes/@jupyterlab/theme-light-extension/index.css", ""),
    ("GET", "lab/api/workspaces/default", ""),
    ("GET", "lab/api/settings?ids_only=true", ""),
    ("PUT", "lab/api/workspaces/default", json.dumps(WORKSPACE)),
    ("GET", "kernelspecs/python3/logo-svg.svg", ""),
    ("POST", "api/contents", json.dumps({"type": "notebook", "path": ""})),
    ("GET", "api/contents/Untitled.ipynb?content=1&hash=1&type=notebook", ""),
    ("PUT", "api/contents/Untitled.ipynb", json.dumps(NOTEBOOK)),
    ("GET", "api/contents/Untitled.ipynb?content=1&hash=1&type=notebook", ""),
    ("POST", "api/contents/Untitled.ipynb/checkpoints", "{}"),
    ("GET", "api/contents/Untitled.ipynb/checkpoints", ""),
    ("GET", "api/nbconvert", ""),
    ("GET", "tree", ""),
)


class _NoHub(Hub):
    """Knows the one token of the rehearsal."""

    async def find_person(self, token: str, *, max_age: float = 0.0) -> Person | None:
        del max_age
        scopes = self._settings.access_scopes
        return Person(USER, USER, scopes) if token == self._settings.token else None

    async def post_activity(self, last_activity: str) -> None:
        """There is nobody to tell."""


def rehearse() -> list[str]:
    """Rehearse; returns remarks, and raises ResidueError if something is left of it."""
    residue = Residue()
    home = os.environ["HOME"]
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as name, residue.kept():
        with _environment(Path(name)):
            take_identity()
            own = mentions(home)
            remarks, app = _play(Path(name))
        _forget()
    take_identity()
    residue.check(app, [f"{one} has the daemon's home" for one in own], mentions(name))
    return remarks


@contextlib.contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """A user's environment without a user, and only configuration that came with the packages."""
    (folder / "home").mkdir()
    (folder / "token").write_text(secrets.token_hex(32))
    places = (jupyter_core.paths.SYSTEM_CONFIG_PATH, jupyter_core.paths.SYSTEM_JUPYTER_PATH)
    kept = [list(place) for place in places]
    for place in places:
        place.clear()
    try:
        with put_back_environment():
            os.environ.clear()
            os.environ.update(
                {
                    "HOME": str(folder / "home"),
                    "USER": USER,
                    "LANG": "C.UTF-8",
                    "PATH": "/usr/bin:/bin",
                    "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
                    "CREDENTIALS_DIRECTORY": str(folder),
                    "JUPYTERHUB_USER": USER,
                    "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
                    "JUPYTERHUB_API_URL": "http://localhost/hub/api",
                    "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-rehearsal",
                    "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps([f"access:servers!user={USER}"]),
                    "APPLIANCE_API_SOCKET": str(folder / "nobody.sock"),
                    "APPLIANCE_EXTENSIONS": json.dumps(_extensions()),
                }
            )
            yield
    finally:
        for place, paths in zip(places, kept, strict=True):
            place.extend(paths)


def _extensions() -> dict[str, bool]:
    """Of those that the environment turns on, only ours: others may start what can't be forked."""
    from jupyter_server.extension.config import ExtensionConfigManager

    manager = ExtensionConfigManager(read_config_path=jupyter_core.paths.ENV_CONFIG_PATH)
    return dict.fromkeys(set(manager.get_jpserver_extensions()) - set(EXTENSIONS), False)


def _play(folder: Path) -> tuple[list[str], weakref.ref[Any]]:
    settings = read_settings(os.environ)
    path = folder / "server.sock"
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(0)
        make_start_lean()
        app = SingleUserApp.instance(appliance=settings, listening=listening, hub=_NoHub(settings))
        app.initialize([])
        # A daemon that is told to stop now ends at once, not as a server does.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        make_requests_lean()
        remarks = loop.run_until_complete(_visit(path, settings))
        loop.run_until_complete(app._cleanup())  # noqa: SLF001 - what stop() does, without stopping
        loop.run_until_complete(_end_tasks())
        app.io_loop.close(all_fds=True)
    return remarks, weakref.ref(app)


async def _end_tasks() -> None:
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def _visit(path: Path, settings: Settings) -> list[str]:
    remarks = []
    for method, page, body in REQUESTS:
        status = await _ask(path, method, page, settings, body)
        if status >= 400:
            remarks.append(f"the rehearsal's request for {page} was answered with HTTP {status}")
    return remarks


async def _ask(path: Path, method: str, page: str, settings: Settings, body: str) -> int:
    """Send one request and read all of the answer; returns its status."""
    head = (
        f"{method} {PREFIX}{page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: token {settings.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    async with asyncio.timeout(REQUEST_SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(head.encode())
        status = (await reader.readline()).split()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    return int(status[1])


def _forget() -> None:
    """Let go of what refers to the server that was."""
    asyncio.set_event_loop_policy(None)
    jupyter_core.utils._loop.set(None)  # noqa: SLF001 - there is no other way
    for singleton in subclasses(SingletonConfigurable):
        singleton._instance = None  # noqa: SLF001
