"""The list of JupyterLab's settings is byte for byte what jupyterlab_server makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.browser import Reply, send
from tests.fakes.hub import FakeHub
from tests.fakes.single_user import SingleUser, environment, single_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
HEADERS = {"Authorization": "token t"}

# One of two servers of one home has jupyterlab_server as it is.
CONFIG = """
import os
if os.environ.get("UNCHANGED"):
    import appliance.singleuser.start
    appliance.singleuser.start.make_requests_lean = lambda: None
    appliance.singleuser.start.set_damaged_aside = lambda: None
"""
SETTINGS = ".jupyter/lab/user-settings/@jupyterlab/"
THEMES = SETTINGS + "apputils-extension/themes.jupyterlab-settings"
EXTENSION = ".local/share/jupyter/labextensions/x/schemas/x/"
CASES = {
    "new user": {},
    "own settings": {
        THEMES: '{"theme": "JupyterLab Dark"} // a comment',
        SETTINGS + "notebook-extension/tracker.jupyterlab-settings": "{}",
    },
    "settings that don't fit": {THEMES: '{"theme": 7}'},
    "empty file": {THEMES: ""},
    "other language": {
        SETTINGS + "translation-extension/plugin.jupyterlab-settings": '{"locale": "de_DE"}'
    },
    "defaults of one's own": {
        ".jupyter/labconfig/default_setting_overrides.json": json.dumps(
            {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}}
        )
    },
    "extension of one's own": {
        EXTENSION + "plugin.json": '{"title": "Mine", "type": "object", "properties": {}}',
        EXTENSION + "package.json.orig": '{"version": "7"}',
    },
}


class Pair:
    """A server of ours and one with jupyterlab_server unchanged, with the same home."""

    def __init__(self, home: Path, ours: SingleUser, unchanged: SingleUser) -> None:
        self.home = home
        self.ours = ours
        self.unchanged = unchanged

    async def ask(self, path: str) -> list[Reply]:
        servers = (self.ours, self.unchanged)
        return [await send(one.socket, f"/user/ada/{path}", headers=HEADERS) for one in servers]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("settings")
    hub = FakeHub()
    hub.give("t", "ada", "access:servers!server=ada/")
    listening = hub.listen(folder / "api.sock")
    home = folder / "home"
    (home / ".jupyter").mkdir(parents=True)
    (home / ".jupyter" / "jupyter_server_config.py").write_text(CONFIG)
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        for name, more in (("ours", {}), ("unchanged", {"UNCHANGED": "1"})):
            (folder / name).mkdir()
            environ = environment(folder / name, folder / "api.sock", HOME=str(home), **more)
            started = single_user(folder / name, environ, path=folder / f"{name}.sock")
            servers.append(await stack.enter_async_context(started))
        yield Pair(home, *servers)
    listening.stop()


def _furnish(home: Path, files: dict[str, str]) -> None:
    for folder in (".jupyter/lab", ".jupyter/labconfig", ".local"):
        shutil.rmtree(home / folder, ignore_errors=True)
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)


@pytest.mark.parametrize("case", CASES)
async def test_list_is_the_same_to_the_byte(pair: Pair, case: str) -> None:
    await asyncio.to_thread(_furnish, pair.home, CASES[case])
    # A second time from memory.
    for _ in range(2):
        ours, unchanged = await pair.ask("lab/api/settings")
        assert ours.status == unchanged.status == 200
        assert ours.body == unchanged.body
    if case == "extension of one's own":
        assert any(one["id"] == "x:plugin" for one in ours.json()["settings"])


async def test_names_and_single_settings_are_as_before(pair: Pair) -> None:
    await asyncio.to_thread(_furnish, pair.home, CASES["own settings"])
    for path in ("?ids_only=true", "/@jupyterlab/apputils-extension:themes", "/none:such"):
        ours, unchanged = await pair.ask(f"lab/api/settings{path}")
        assert (ours.status, ours.body) == (unchanged.status, unchanged.body)


async def test_settings_that_do_not_fit_are_told_in_the_log(pair: Pair) -> None:
    await asyncio.to_thread(_furnish, pair.home, CASES["settings that don't fit"])
    await pair.ask("lab/api/settings")
    for server in (pair.ours, pair.unchanged):
        assert "Failed validating settings (@jupyterlab/apputils-extension:themes)" in (
            await asyncio.to_thread(server.log.read_text)
        )


@pytest.mark.parametrize("name", ["", "/@jupyterlab/apputils-extension:themes"])
@pytest.mark.parametrize(
    "content",
    [b'{"theme": "Jupyter', b"\0" * 40, b'{"theme": "\xff"}'],
    ids=["half", "nul", "bytes"],
)
async def test_damaged_settings_are_set_aside(pair: Pair, content: bytes, name: str) -> None:
    await asyncio.to_thread(_furnish, pair.home, CASES["own settings"])
    path = pair.home / THEMES
    path.write_bytes(content)
    before = pair.ours.log.stat().st_size
    ours, _ = await pair.ask(f"lab/api/settings{name}")
    assert ours.status == 200
    given = [ours.json()] if name else ours.json()["settings"]
    settings = {one["id"]: one for one in given}
    assert settings["@jupyterlab/apputils-extension:themes"]["settings"] == {}
    assert not path.exists()
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.read_bytes() == content
    if not name:
        assert settings["@jupyterlab/notebook-extension:tracker"]["raw"] == "{}"
        told = (await asyncio.to_thread(pair.ours.log.read_text))[before:]
        assert f"damaged settings were set aside as {aside}" in told


async def test_what_cannot_be_set_aside_is_told_as_before(pair: Pair) -> None:
    await asyncio.to_thread(_furnish, pair.home, {THEMES: "{"})
    path = pair.home / THEMES
    path.with_name(f"{path.name}.damaged").mkdir()
    for reply in await pair.ask("lab/api/settings"):
        assert reply.status == 500
        assert "Failed loading settings" in reply.body.decode()


async def test_strangers_get_nothing(pair: Pair) -> None:
    reply = await send(pair.ours.socket, "/user/ada/lab/api/settings")
    assert reply.status == 403
