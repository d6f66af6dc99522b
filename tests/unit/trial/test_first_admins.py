"""First admins are made through root's socket, and get a link as long as they have no password."""

from __future__ import annotations

import json
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from appliance.client.first_admins import FirstAdmins
from appliance.errors import ApplianceError


class FakeHub(socketserver.ThreadingUnixStreamServer):
    """The few routes that are asked."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _Handler)
        self.users: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        path = self.path.removeprefix("/x/hub/api/")
        self.server.asked.append(f"{self.command} {path}")
        status, answer = self._route(path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the base's names

    def _route(self, path: str, body: Any) -> tuple[int, object]:
        users = self.server.users
        if path == "appliance/status":
            return 200, {"users": {"admins": sum(user["admin"] for user in users.values())}}
        if path == "appliance/users":
            (name,) = body["usernames"]
            if name == "bad":
                return 201, {
                    "created": [],
                    "skipped": [{"name": name, "why": "the name is reserved"}],
                }
            users.setdefault(
                name, {"admin": True, "appliance": {"state": "active", "has_password": False}}
            )
            return 201, {"created": [], "skipped": []}
        name = path.split("/")[2 if path.startswith("appliance/") else 1]
        if name not in users:
            return 404, {"message": "no such user"}
        if path.endswith("/setup-link"):
            return 201, {"path": "/x/hub/setup?token=t", "expires_at": "2030-01-01T00:00:00Z"}
        if path.endswith("/approve"):
            users[name]["appliance"]["state"] = "active"
        if self.command == "PATCH":
            users[name].update(body)
        return 200, users[name]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    folder = tempfile.mkdtemp()
    with FakeHub(f"{folder}/admin.sock") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
    shutil.rmtree(folder)


@pytest.fixture
def admins(hub: FakeHub) -> FirstAdmins:
    return FirstAdmins(Path(str(hub.server_address)), base_url="/x/")


def test_a_new_admin_gets_a_link(admins: FirstAdmins) -> None:
    assert admins.count() == 0
    (link,) = admins.ensure(["ada"])
    assert link.name == "ada"
    assert link.path == "/x/hub/setup?token=t"
    assert admins.count() == 1


def test_an_admin_with_a_password_is_left_alone(hub: FakeHub, admins: FirstAdmins) -> None:
    hub.users["ada"] = {"admin": True, "appliance": {"state": "active", "has_password": True}}
    assert admins.ensure(["ada"]) == []
    assert hub.asked == ["POST appliance/users", "GET users/ada"]


def test_a_waiting_student_is_let_in_and_made_an_admin(hub: FakeHub, admins: FirstAdmins) -> None:
    hub.users["ada"] = {"admin": False, "appliance": {"state": "waiting", "has_password": True}}
    assert admins.ensure(["ada"]) == []
    assert hub.users["ada"]["admin"]
    assert hub.users["ada"]["appliance"]["state"] == "active"


def test_a_refusal_is_told(admins: FirstAdmins) -> None:
    with pytest.raises(ApplianceError, match="the name is reserved"):
        admins.ensure(["bad"])


def test_no_hub_is_told() -> None:
    with pytest.raises(ApplianceError, match="cannot talk to the hub"):
        FirstAdmins(Path("/nowhere/admin.sock"), base_url="/").count()
