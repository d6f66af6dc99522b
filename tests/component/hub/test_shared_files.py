"""JupyterLab's files below the hub's address, where the proxy hasn't got them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.config.schema import Config, ProxyChoice, ProxyProgram, ServerProgram, Servers
from tests.fakes.hub_machine import Browser, Machine

HASH = "0123456789abcdef"
FOR_EVER = "public, max-age=31536000, immutable"


def _environment(machine: Machine, name: str, *files: str) -> Path:
    folder = machine.places.software / "environments" / name
    static = folder / "share/jupyter/lab/static"
    static.mkdir(parents=True)
    for file in files:
        (static / file).write_text(f"// {name} {file}")
    link = machine.places.software / "user"
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return folder


@pytest.fixture
def _upgraded(machine: Machine) -> None:
    _environment(machine, "user-1", f"main.{HASH}.js", f"2.{HASH}.js")
    _environment(machine, "user-2", f"main.{HASH[::-1]}.js")


@pytest.mark.usefixtures("_upgraded")
async def test_files_of_the_environment_before_are_there_for_servers_that_still_run(
    machine: Machine,
) -> None:
    visitor = machine.browser()
    for name, environment in ((f"2.{HASH}.js", "user-1"), (f"main.{HASH[::-1]}.js", "user-2")):
        answer = await visitor.get(f"/hub/static/lab/{name}?v=1", mode="no-cors")
        assert (answer.status, answer.body) == (200, f"// {environment} {name}")
        assert answer.headers["cache-control"] == FOR_EVER
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "javascript" in answer.headers["content-type"]
        assert not answer.cookies


@pytest.mark.usefixtures("_upgraded")
@pytest.mark.parametrize(
    "name",
    [f"3.{HASH}.js", "index.html", f"..%2f..%2f..%2f..%2f..%2fsecret.{HASH}.js", "%2e%2e", "",
     f"%2fetc%2f{HASH}.js"],
)  # fmt: skip
async def test_nothing_else_is(machine: Machine, name: str) -> None:
    (machine.places.software / f"secret.{HASH}.js").write_text("not to be had")
    assert (await machine.browser().get(f"/hub/static/lab/{name}")).status == 404


def _fetched_ahead(page: str) -> list[str]:
    return re.findall(r'<link rel="prefetch" as="script" href="([^"]+)">', page)


@pytest.mark.usefixtures("_upgraded")
async def test_pages_on_the_way_to_the_server_tell_what_is_needed_there(
    machine: Machine, bob: Browser
) -> None:
    wanted = [f"/hub/static/lab/main.{HASH[::-1]}.js?v={HASH[::-1]}"]
    for path in ("/hub/login", "/hub/signup"):
        assert _fetched_ahead((await machine.browser().get(path)).body) == wanted, path
    for path in ("/hub/home", "/hub/user/bob/lab", "/hub/password"):
        assert _fetched_ahead((await bob.get(path)).body) == wanted, path
    machine.spawner.delay = 30
    await bob.get("/hub/spawn")
    assert _fetched_ahead((await bob.get("/hub/spawn-pending/bob")).body) == wanted
    assert _fetched_ahead((await bob.get("/hub/token")).body) == []


class TestServersWithAddressesOfTheirOwn:
    """Pages tell nothing where it would be fetched in vain."""

    @pytest.fixture(params=["stock", "chp"])
    def config(self, request: pytest.FixtureRequest) -> Config:
        if request.param == "stock":
            return Config(servers=Servers(program=ServerProgram.JUPYTERHUB))
        return Config(
            proxy=ProxyChoice(program=ProxyProgram.CONFIGURABLE, api_token=SecretStr("x" * 16))
        )

    @pytest.mark.usefixtures("_upgraded")
    async def test_nothing_is_fetched_ahead(self, machine: Machine) -> None:
        assert _fetched_ahead((await machine.browser().get("/hub/login")).body) == []
