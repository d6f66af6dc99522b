"""A server forked from a template is the server that a cold start makes, sooner and smaller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.outgoing import outgoing_variables
from tests.fakes.browser import Browser, send
from tests.fakes.certificates import Authority
from tests.fakes.hub import FakeHub
from tests.fakes.preload_server import ROOT, ServerTemplate, forked_single_user, server_template
from tests.fakes.processes import memory_mb
from tests.fakes.server_probe import ONCE_ONLY
from tests.fakes.single_user import SingleUser, environment, single_user

PREFIX = "/user/ada/"
HEADERS = {"Authorization": "token t"}
PROBE = f"""
import sys
sys.path.append({str(ROOT)!r})
c.ServerApp.extra_services = ["tests.fakes.server_probe"]
"""
COMPARED = (
    "api/kernelspecs",
    "api/me",
    "api/nbconvert",
    "api/config/notebook",
    "lab/api/settings",
    "lab/api/translations/default",
    "lab/api/workspaces",
)
# What a process has of its own, or of the time.
OWN_VARIABLES = {"JPY_SESSION_NAME", "JPY_PARENT_PID", "INVOCATION_ID", "SHLVL", "_", "TERMCAP"}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerTemplate]:
    """A template of servers whose home isn't as empty as it should be."""
    home = tmp_path_factory.mktemp("daemon")
    config = home / ".jupyter" / "jupyter_server_config.py"
    config.parent.mkdir()
    config.write_text(f"open({str(home / 'executed')!r}, 'w').close()")
    with server_template(home) as loaded:
        # Neither was the settings' code run, nor anything written.
        assert [path for path in home.rglob("*") if path.is_file()] == [config]
        yield loaded


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder that leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="ada-") as name:
        yield Path(name)


@dataclass
class Ada:
    """Ada's server, and what it takes to use it."""

    server: SingleUser
    hub: FakeHub

    async def get(self, path: str) -> Any:
        reply = await send(self.server.socket, PREFIX + path, headers=HEADERS)
        assert reply.status == 200, reply.body
        return reply.json()

    async def browser(self) -> Browser:
        browser = Browser(self.server.socket)
        address = PREFIX + "lab"
        reply = await browser.get(address)
        while reply.status == 302:
            address = reply.header("Location")
            to_hub = address.startswith("/hub/")
            folder = self.server.log.parent
            browser.target = folder / "api.sock" if to_hub else self.server.socket
            reply = await browser.get(address)
        return browser


@contextlib.asynccontextmanager
async def _ada(
    folder: Path, parent: ServerTemplate | None, *, config: str = "", **more: str
) -> AsyncIterator[Ada]:
    """Her server, forked or, without a template, cold. Twice in one folder is the same twice."""
    hub = FakeHub()
    hub.give("t", "ada", "access:servers!server=ada/")
    (folder / "api.sock").unlink(missing_ok=True)
    listening = hub.listen(folder / "api.sock")
    environ = environment(folder, folder / "api.sock", **more)
    own = folder / "home" / ".jupyter" / "jupyter_server_config.py"
    own.parent.mkdir(exist_ok=True)
    own.write_text(config)
    path = folder / "server.sock"
    started = (
        forked_single_user(parent, folder, environ, path=path)
        if parent
        else single_user(folder, environ, path=path)
    )
    async with started as server:
        yield Ada(server, hub)
    listening.stop()


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _flat(one, f"{path}.{name}")
    else:
        yield path, value


def _differences(cold: Any, forked: Any) -> dict[str, tuple[Any, Any]]:
    """What differs, field by field; addresses of objects don't count."""
    one, other = dict(_flat(cold)), dict(_flat(forked))
    return {
        name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if _stable(one.get(name)) != _stable(other.get(name))
    }


def _stable(value: Any) -> str:
    words = json.dumps(value).split(" at 0x")
    return "".join([words[0], *(word.lstrip("0123456789abcdef") for word in words[1:])])


async def _page_config(ada: Ada) -> dict[str, Any]:
    reply = await send(ada.server.socket, PREFIX + "lab", headers=HEADERS)
    text = reply.body.decode()
    start = text.index(">", text.index('id="jupyter-config-data"')) + 1
    found: dict[str, Any] = json.loads(text[start : text.index("</script>", start)])
    return found


async def _in_kernel(browser: Browser, code: str) -> Any:
    kernel = (await browser.post(PREFIX + "api/kernels", {"name": "python3"})).json()["id"]
    async with browser.websocket(f"{PREFIX}api/kernels/{kernel}/channels?session_id=s") as socket:
        header = {"msg_id": "m", "msg_type": "execute_request", "username": "", "session": "s",
                  "date": "", "version": "5.3"}  # fmt: skip
        await socket.send(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
             "content": {"code": code, "silent": False}, "buffers": []}
        )  # fmt: skip
        async with asyncio.timeout(60):
            while (message := await socket.receive_json())["header"]["msg_type"] != "stream":
                assert message["header"]["msg_type"] != "error", message
    xsrf = {"X-XSRFToken": browser.cookie("_xsrf")}
    await browser.ask("DELETE", f"{PREFIX}api/kernels/{kernel}", headers=xsrf)
    return json.loads(message["content"]["text"])


async def _in_terminal(browser: Browser, command: str, result: Path) -> str:
    name = (await browser.post(PREFIX + "api/terminals", {})).json()["name"]
    async with browser.websocket(f"{PREFIX}terminals/websocket/{name}") as socket:
        await socket.send(["stdin", f"{command} >{result}.part; mv {result}.part {result}\r"])
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(result.exists):
                await socket.receive()
    xsrf = {"X-XSRFToken": browser.cookie("_xsrf")}
    await browser.ask("DELETE", f"{PREFIX}api/terminals/{name}", headers=xsrf)
    text = await asyncio.to_thread(result.read_text)
    await asyncio.to_thread(result.unlink)
    return text


async def _look(ada: Ada) -> dict[str, Any]:
    """All that can be seen of a server: from inside, in its pages, in what it starts."""
    seen: dict[str, Any] = {"page": await _page_config(ada)}
    status = await ada.get("api/status")
    seen["status"] = {name: status[name] for name in ("connections", "kernels")}
    for path in COMPARED:
        seen[path] = await ada.get(path)
    # When all modules are there that a cold server imports late.
    seen["inside"] = await ada.get("probe")
    browser = await ada.browser()
    seen["kernel"] = await _in_kernel(
        browser,
        "import json, os, sys; print(json.dumps({'environ': dict(os.environ), 'path': sys.path,"
        " 'cwd': os.getcwd(), 'umask': os.umask(0o22)}))",
    )
    text = await _in_terminal(browser, "env -0", ada.server.home / "variables")
    seen["terminal"] = dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
    for variables in (seen["kernel"]["environ"], seen["terminal"]):
        for name in OWN_VARIABLES:
            variables.pop(name, None)
    return seen


def _ways_out(folder: Path) -> dict[str, str]:
    """What servers are told of a school's proxies and authority."""
    file = folder / "authorities.pem"
    file.write_text(Authority("School").pem)
    told = outgoing_variables(proxy="http://school:3128", direct=[".school"], authorities=file)
    return told | {"http_proxy": "http://plain:3128"}


@pytest.mark.parametrize("ways_out", [False, True], ids=["plain", "behind a proxy"])
async def test_forked_server_equals_a_cold_one_in_every_field(
    short_path: Path, parent: ServerTemplate, *, ways_out: bool
) -> None:
    seen = []
    more = _ways_out(short_path) if ways_out else {}
    # Her settings are read before JupyterLab is imported.
    config = PROBE + ("import os; os.environ['ALL_PROXY'] = 'http://ada:1'" if ways_out else "")
    for origin in (None, parent):
        async with _ada(short_path, origin, config=config, **more) as ada:
            text = json.dumps(await _look(ada))
            seen.append(json.loads(text.replace(f"-{ada.server.process.pid}", "-PID")))
    cold, forked = seen
    once = [(one["inside"].pop("once"), one["inside"]["process"].pop("children")) for one in seen]
    assert not [name for name in ONCE_ONLY if once[0][0][name] == once[1][0][name]]
    assert len(cold["inside"]["app"]) > 100
    assert cold["kernel"]["environ"]["USER"] == "ada"
    network = json.dumps(cold["inside"]["network"])
    assert ("School" in network, "b'plain'" in network) == (ways_out, ways_out)
    assert _differences(cold, forked) == {}


async def test_two_servers_of_one_template_share_no_random_numbers_and_no_secrets(
    short_path: Path, parent: ServerTemplate
) -> None:
    seen = []
    for name in ("one", "two"):
        folder = short_path / name
        folder.mkdir()
        async with _ada(folder, parent, config=PROBE) as ada:
            once = (await ada.get("probe"))["once"]
            browser = await ada.browser()
            once["xsrf"] = browser.cookie("_xsrf")
            code = (
                "import json, glob; print(json.dumps([json.load(open(one))['key']"
                f" for one in glob.glob('{folder}/run/kernel*.json')]))"
            )
            once["key"] = await _in_kernel(browser, code)
            seen.append(once)
    assert len(seen[0]) == 6
    assert not [name for name in seen[0] if seen[0][name] == seen[1][name]]


async def test_status_says_how_the_server_came_to_be(
    tmp_path: Path, parent: ServerTemplate
) -> None:
    async with _ada(tmp_path, parent) as ada:
        assert f"STATUS=Serving {PREFIX} (preloaded)" in ada.server.notified.splitlines()
    reason = "the preload daemon\nis not running"
    async with _ada(tmp_path, None, APPLIANCE_COLD_START=reason, config=PROBE) as ada:
        wanted = f"STATUS=Serving {PREFIX} (cold: the preload daemon is not running)"
        assert wanted in ada.server.notified.splitlines()
        assert "APPLIANCE_COLD_START" not in (await ada.get("probe"))["process"]["environ"]
    async with _ada(tmp_path, None) as ada:
        assert f"STATUS=Serving {PREFIX}" in ada.server.notified.splitlines()


def test_rehearsal_goes_through_without_remarks(parent: ServerTemplate) -> None:
    assert parent.remarks == []


def test_template_has_one_thread_and_nothing_open_but_what_it_was_given(
    parent: ServerTemplate,
) -> None:
    process = Path(f"/proc/{parent.process.pid}")
    assert len(list((process / "task").iterdir())) == 1
    assert {path.name for path in (process / "fd").iterdir()} == {"0", "1", "2"}
    assert not (process / "task" / str(parent.process.pid) / "children").read_text()


async def test_administrators_turn_extensions_on_and_off_and_users_have_the_last_word(
    tmp_path: Path, parent: ServerTemplate
) -> None:
    asked = json.dumps({"nbgitpuller": False, "jupyter_lsp": True, "notebook": False})
    own = tmp_path / "home" / ".jupyter" / "jupyter_server_config.d" / "own.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {"nbgitpuller": True}}}))
    for origin in (None, parent):
        async with _ada(tmp_path, origin, config=PROBE, APPLIANCE_EXTENSIONS=asked) as ada:
            found = (await ada.get("probe"))["enabled"]
            names = ("nbgitpuller", "jupyter_lsp", "notebook", "jupyterlab")
            assert [found[name] for name in names] == [True, True, False, True]
            assert isinstance((await ada.get("lsp/status"))["sessions"], dict)


async def test_forked_server_ends_with_its_exit_status_and_leaves_the_template_alone(
    tmp_path: Path, parent: ServerTemplate
) -> None:
    async with _ada(tmp_path, parent) as ada:
        process = ada.server.process
        process.terminate()
        assert process.wait(20) == 0
    async with _ada(tmp_path, parent) as ada:
        assert (await ada.get("api/me"))["identity"]["username"] == "ada"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LANG", "de_DE.UTF-8"), ("TZ", "Europe/Berlin"), ("LD_PRELOAD", "/x.so"),
     ("JUPYTER_PLATFORM_DIRS", "1")],
)  # fmt: skip
def test_what_was_read_at_loading_cannot_be_changed_by_a_request(
    tmp_path: Path, parent: ServerTemplate, variable: str, value: str
) -> None:
    environ = environment(tmp_path, tmp_path / "api.sock") | {variable: value}
    with pytest.raises(RuntimeError, match=variable):
        parent.fork([], environ, cwd=tmp_path)


async def test_forked_server_takes_a_third_of_a_cold_ones_time_and_memory(
    tmp_path: Path, parent: ServerTemplate
) -> None:
    figures = []
    for origin in (None, None, parent):
        async with _ada(tmp_path, origin) as ada:
            await asyncio.sleep(0.3)
            await _page_config(ada)
            pid = ada.server.process.pid
            figures.append((ada.server.cpu_seconds(), memory_mb(pid, "Private_")))
    _, cold, forked = figures
    for name, (seconds, memory) in (("cold", cold), ("forked", forked)):
        sys.stdout.write(f"\n{name:8} {seconds:.2f} CPU s, {memory:.1f} MB private")
    assert forked[0] < cold[0] / 3
    assert forked[1] < min(22, cold[1] / 2)
