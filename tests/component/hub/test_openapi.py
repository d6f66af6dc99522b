"""The API's description: it names every request that is served, and the hub does what it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from appliance.config.schema import Config
from appliance.hub.api import routes
from appliance.hub.api.answers import ANSWERS
from appliance.hub.api.openapi import make_document, operations
from appliance.hub.api.schemas import SCHEMAS
from appliance.names import ServerId, Username
from appliance.web.guards import MARK
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.hub_machine import Browser, Machine, exchange
from tests.fakes.peers import peer_environment

_CHECKS: Final = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "unsupported_method",
)  # fmt: skip
# Names of what there is, so that not every request ends in "no such user".
_SETTINGS: Final = """
[dictionaries]
users = {values = ["bob", "carol", "dan"]}
servers = {values = ["lab", "gone"]}
groups = {values = ["class", "other"]}
services = {values = ["plain"]}
scopes = {values = ["access:servers", "servers", "access:servers!server=bob/lab"]}

[parameters]
"path.user" = {dictionary = "users", probability = 0.8}
"path.owner" = {dictionary = "users", probability = 0.8}
"path.server" = {dictionary = "servers", probability = 0.8}
"path.of" = {dictionary = "servers", probability = 0.8}
"path.group" = {dictionary = "groups", probability = 0.8}
"path.service" = {dictionary = "services", probability = 0.8}
"body.user" = {dictionary = "users", probability = 0.8}
"body.group" = {dictionary = "groups", probability = 0.8}
"body.users[*]" = {dictionary = "users", probability = 0.8}
"body.scopes[*]" = {dictionary = "scopes", probability = 0.8}
"""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_document(routes.handlers, hub_url="/hub/")


def test_every_request_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    served = {one.key for one in operations(routes.handlers)}
    described = {
        f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs
    }
    assert served == described == set(ANSWERS)
    count = sum(pattern.path.startswith(("/api", "/(?:api/)?")) for pattern in routes.handlers)
    assert count == len(routes.handlers) == len(document["paths"])


def test_names_and_references_are_sound(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, schema in SCHEMAS.items():
        assert schemas[name] is schema, f"a body has the name of the answer {name}"
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used == set(schemas)
    names = [one["operationId"] for verbs in document["paths"].values() for one in verbs.values()]
    assert len(names) == len(set(names))


def test_bodies_and_scopes_are_those_of_the_handlers(document: dict[str, Any]) -> None:
    paths = document["paths"]
    made = paths["/users"]["post"]
    schema = made["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/NewUsers"}
    assert made["requestBody"]["required"]
    assert made["security"] == [{"token": ["admin:users"]}]
    assert "requestBody" not in paths["/users/{user}"]["get"]
    assert {"token": ["read:users:name"]} in paths["/users/{user}"]["get"]["security"]


async def test_the_description_is_served_to_everybody(
    machine: Machine, document: dict[str, Any]
) -> None:
    answer = await exchange(machine.places.hub_socket, "GET", "/hub/api/openapi.json", {}, b"")
    assert answer.status == 200
    assert answer.json == document


# Prints what JupyterHub serves: an address for each pattern, and its verbs.
_THEIRS: Final = """
import json, re
from jupyterhub.apihandlers import default_handlers
from tornado.web import RequestHandler
verbs = ("get", "post", "put", "patch", "delete")
print(json.dumps([
    [re.sub(r"\\(\\[\\^/\\][+*]\\)", "x", pattern),
     [v.upper() for v in verbs if getattr(handler, v) is not getattr(RequestHandler, v)]]
    for pattern, handler in default_handlers
]))
"""


def test_everything_that_jupyterhub_serves_is_served_here() -> None:
    python = peer_environment("jupyterhub6") / "bin" / "python"
    told = subprocess.run([str(python), "-c", _THEIRS], capture_output=True, text=True, check=True)
    missing = []
    for address, verbs in json.loads(told.stdout):
        # The value of the cookie may be left out there, and come in the body of a GET.
        path = address.removesuffix("?").replace("(?:/x)", "/x")
        ours = [one.handler for one in routes.handlers if re.fullmatch(one.path, path)]
        served = {
            v for handler in ours for v in verbs if hasattr(getattr(handler, v.lower()), MARK)
        }
        missing += [f"{verb} {path}" for verb in verbs if verb not in served]
    # There they are errors, too: removed, or without a name that it takes.
    assert set(missing) == {
        "GET /api/authorizations/token", "POST /api/authorizations/token/x",
        "POST /api/shares/x", "PATCH /api/shares/x", "DELETE /api/shares/x",
        "POST /api/share-codes/x", "DELETE /api/share-codes/x",
    }  # fmt: skip


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {"services": {"plain": {"url": "http://127.0.0.1:9", "api_token": "secret-of-plain"}}}
    )


@pytest.fixture
async def address(machine: Machine, ada: Browser, bob: Browser) -> str:
    """The hub over TCP, with something of everything in it."""
    for user in ("carol", "dan"):
        await ada.api("POST", f"users/{user}")
    await ada.api("POST", "groups", {"groups": ["class"], "users": ["bob", "carol"]})
    await bob.api("POST", "users/bob/servers/lab", {})
    await bob.get("/hub/spawn")
    await ada.api("POST", "shares/bob/lab", {"user": "carol"})
    await ada.api("POST", "share-codes/bob/lab")
    assert ServerId(Username("bob")) in await machine.spawner.running()
    listener, port = bind_unused_port()
    HTTPServer(machine.hub.application, xheaders=True).add_socket(listener)
    return f"http://127.0.0.1:{port}/hub/api/openapi.json"


async def _token(browser: Browser, user: str) -> str:
    made = await browser.api("POST", f"users/{user}/tokens", {"note": "for the test"})
    return str(made.json["token"])


async def _run(address: str, token: str, folder: Path, *more: str) -> str:
    """Let schemathesis ask all that it can think of; what it found wrong, or ""."""
    (folder / "schemathesis.toml").write_text(_SETTINGS)
    program = peer_environment("schemathesis") / "bin" / "schemathesis"
    running = await asyncio.create_subprocess_exec(
        str(program), "--no-color", "run", address,
        "--header", f"Authorization: Bearer {token}", "--checks", ",".join(_CHECKS),
        "--seed", "1", "--continue-on-failure",
        "--suppress-health-check", "all", "--warnings", "off", "--no-shrink",
        "--generation-database", "none", *more,
        cwd=folder, env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await running.communicate()
    return "" if running.returncode == 0 else output.decode()


async def test_an_admin_meets_what_is_described(
    machine: Machine, ada: Browser, address: str, tmp_path: Path
) -> None:
    found = await _run(
        address, await _token(ada, "ada"), tmp_path, "--phases", "coverage,fuzzing", "-n", "8"
    )
    assert not found, found
    # It was still an admin at the end, and the hub a whole one.
    assert (await ada.api("GET", "users")).status == 200


async def test_a_student_meets_what_is_described(
    machine: Machine, bob: Browser, address: str, tmp_path: Path
) -> None:
    found = await _run(
        address, await _token(bob, "bob"), tmp_path, "--phases", "fuzzing", "-n", "6"
    )
    assert not found, found
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).status == 302
