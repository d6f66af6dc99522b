"""The hub's REST API as the command line uses it, on a Unix socket, with people and servers in
memory."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from appliance.places import Places

Answer = tuple[int, Any]


class FakeHubApi:
    """Keeps what it is told in `users` and `running`; `requests` has every request."""

    def __init__(self, places: Places, *, base_url: str = "/") -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.running: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.passwords: dict[str, str] = {}
        self.fails_to_start = ""
        self.services: list[dict[str, str]] = []
        self.starts: dict[str, Any] = {"preloaded": 0, "cold": 0, "latest_cold": None}
        self.started = "2030-01-01T08:00:00Z"
        self._base = f"{base_url}hub/api"
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                fake.requests.append((self.command, self.path, body))
                status, said = fake.answer(self.command, self.path, body)
                content = b"" if said is None else json.dumps(said).encode()
                if isinstance(said, str):
                    content = said.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

            def address_string(self) -> str:
                return "unix"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        places.run.mkdir(parents=True, exist_ok=True)
        self._server = socketserver.ThreadingUnixStreamServer(str(places.admin_socket), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, name: str, *, admin: bool = False, state: str = "active") -> None:
        self.users[name] = {
            "name": name,
            "admin": admin,
            "servers": {},
            "created": "2030-01-01T08:00:00Z",
            "last_activity": None,
            "appliance": {"state": state, "has_password": False},
        }

    def answer(self, method: str, url: str, body: Any) -> Answer:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = [unquote(part) for part in parts.path.removeprefix(f"{self._base}/").split("/")]
        if path[0] == "appliance":
            return self._ours(method, path[1:], query, body)
        if path == ["users"]:
            return 200, self._page(int(query["offset"]), int(query["limit"]))
        if len(path) > 2:
            return self._server_of(method, path[1:], url)
        user = self.users.get(path[1])
        if user is None:
            return self._none(path[1])
        if method == "DELETE":
            del self.users[path[1]]
            return 204, None
        if method == "PATCH":
            user.update(body)
            self.users[user["name"]] = self.users.pop(path[1])
        return 200, user

    def _ours(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Answer:
        if path == ["status"]:
            waiting = sum(user["appliance"]["state"] == "waiting" for user in self.users.values())
            admins = sum(user["admin"] for user in self.users.values())
            return 200, {
                "version": "1",
                "services": self.services,
                "starts": self.starts,
                "users": {"total": len(self.users), "waiting": waiting, "admins": admins},
                "servers": {"running": len(self.running), "starting": 0},
                "signup_mode": "approval",
                "started": self.started,
                "database": "ok",
            }
        if path[-1] == "messages":
            return 204, None
        if path == ["servers"]:
            return 200, list(self.running.values())
        if path == ["users"]:
            return 201, self._make(body)
        if path[-1] == "log" and path[1] in self.users:
            return 200, {"lines": [f"line {number}" for number in range(int(query["lines"]))]}
        return self._user(path[1], path[2], body)

    def _user(self, name: str, verb: str, body: Any) -> Answer:
        if name not in self.users:
            return self._none(name)
        if verb == "approve":
            self.users[name]["appliance"]["state"] = "active"
            return 200, self.users[name]
        if verb == "password":
            if body.get("password") == "short":
                return 400, {"status": 400, "message": "cannot take it: too short"}
            made = "made-1234" if body.get("generate") else None
            self.passwords[name] = made or body["password"]
            return 200, {"password": made}
        return 201, {"path": "/hub/setup?token=abc", "expires_at": "2030-01-02T08:00:00Z"}

    def _make(self, body: Any) -> dict[str, Any]:
        created, skipped = [], []
        for name in body["usernames"]:
            if name in self.users or not name.islower():
                skipped.append({"name": name, "why": "is no good"})
                continue
            self.add(name, admin=body["admin"])
            created.append({"name": name, "password": "made-1234" if body["generate"] else None})
        return {"created": created, "skipped": skipped}

    def _server_of(self, method: str, path: list[str], url: str) -> Answer:
        user, name = path[0], path[2] if path[1] == "servers" else ""
        if user not in self.users:
            return self._none(user)
        if url.endswith("/progress"):
            event = {"progress": 100, "failed": True, "message": self.fails_to_start}
            return 200, f"data: {json.dumps(event)}\n\n"
        if method == "POST":
            if self.fails_to_start:
                return 202, None
            self.users[user]["servers"][name] = {"name": name, "ready": True}
            self.running[user, name] = {"user": user, "server": name, "ready": True}
            return 201, None
        self.users[user]["servers"].pop(name, None)
        self.running.pop((user, name), None)
        return 204, None

    def _page(self, offset: int, limit: int) -> dict[str, Any]:
        users = list(self.users.values())
        end = offset + limit
        following = {"offset": end, "limit": limit} if end < len(users) else None
        return {"items": users[offset:end], "_pagination": {"next": following}}

    def _none(self, name: str) -> Answer:
        message = f"cannot find the user '{name}': no such user"
        return 404, {"status": 404, "message": message, "mend": "appliance user list"}
