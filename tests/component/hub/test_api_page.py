"""docs/api.md: its table is what is served, and its examples work."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Final

import pytest
from ruamel.yaml import YAML
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from appliance.config.schema import Config
from appliance.hub.api import routes
from appliance.hub.api.answers import ANSWERS
from appliance.hub.api.openapi import operations
from tests.fakes.hub_machine import Browser, Machine
from tests.fakes.peers import peer_environment

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = (ROOT / "docs" / "api.md").read_text("utf-8")
EXAMPLES: Final = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)


def test_the_table_has_every_request_with_its_scopes() -> None:
    rows = re.findall(r"^\| `(\w+ /\S*)` \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)
    served = {}
    for one in operations(routes.handlers):
        words = [f"`{scope}`" for scope in one.scopes if scope != "login"]
        if not words:
            words = ["login" if one.scopes else "token" if ANSWERS[one.key].identified else "-"]
        served[one.key] = " ".join(words)
    # It asks for its scope itself, unless the configuration opens it.
    served["GET /metrics"] = "`read:metrics`"
    assert dict(rows) == served
    assert len(rows) == len(served)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[text[:20] for _, text in EXAMPLES])
async def test_the_examples_work(
    machine: Machine, ada: Browser, bob: Browser, kind: str, text: str
) -> None:
    await bob.get("/hub/spawn")
    made = await ada.api("POST", "users/ada/tokens", {})
    listener, port = bind_unused_port()
    HTTPServer(machine.hub.application, xheaders=True).add_socket(listener)
    own = "appliance" in text
    python = sys.executable if own else peer_environment("jupyterhub6") / "bin" / "python"
    running = await asyncio.create_subprocess_exec(
        *(["bash", "-c", text] if kind == "sh" else [str(python), "-c", text]),
        env={**os.environ, "PYTHONPATH": str(ROOT) if own else "",
             "JUPYTERHUB_API_TOKEN": made.json["token"],
             "JUPYTERHUB_API_URL": f"http://127.0.0.1:{port}/hub/api"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await running.communicate()
    assert running.returncode == 0, errors.decode()
    expected = b"admin:users" if "user_for_token" in text else b"bob"
    assert expected in output


async def test_the_role_lets_everybody_share_their_own(tmp_path: Path) -> None:
    (settings,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    config = Config.model_validate(YAML(typ="safe").load(settings))
    async with Machine(tmp_path, config=config) as machine:
        await machine.root("POST", "users", {"usernames": ["bob", "carol"]})
        made = await machine.root("POST", "users/bob/tokens", {})
        token = made.json["token"]
        shared = await machine.token_call(token, "POST", "shares/bob/", {"user": "carol"})
        assert shared.status == 200, shared.body
        code = await machine.token_call(token, "POST", "share-codes/bob/", {})
        assert code.json["accept_url"].startswith("/hub/accept-share?code=")
        other = await machine.token_call(token, "POST", "shares/carol/", {"user": "bob"})
        assert other.status == 404
        listed = await machine.token_call(token, "GET", "users/carol")
        assert set(listed.json) == {"kind", "name", "user_info", "admin"}


def test_there_are_examples_of_each_kind() -> None:
    assert [kind for kind, _ in EXAMPLES] == ["sh", "python", "python", "python"]
