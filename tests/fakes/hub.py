"""A hub that knows only what a single-user server asks it: OAuth, `GET /user`, activity."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler


@dataclass
class FakeHub:
    """Everybody who authorizes is `visitor`; tests change the fields while it runs."""

    base_url: str = "/"
    visitor: str = "ada"
    down: bool = False
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    activity: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    reported: asyncio.Event = field(default_factory=asyncio.Event)
    reported_twice: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, token: str, name: str, *scopes: str) -> None:
        """Let a token be known as somebody's."""
        self.tokens[token] = {"kind": "user", "name": name, "scopes": list(scopes)}

    def listen(self, path: Path) -> HTTPServer:
        """Serve on a unix socket until the server is stopped."""
        api = rf"{self.base_url}hub/api"
        handlers = [
            (rf"{api}/user", UserHandler),
            (rf"{api}/oauth2/authorize", AuthorizeHandler),
            (rf"{api}/oauth2/token", TokenHandler),
            (rf"{api}/users/([^/]+)/activity", ActivityHandler),
            (r"(.*)", EchoHandler),
        ]
        server = HTTPServer(Application(handlers, fake=self))
        server.add_socket(bind_unix_socket(str(path), 0o600))
        return server


class FakeHandler(RequestHandler):
    @property
    def fake(self) -> FakeHub:
        hub: FakeHub = self.settings["fake"]
        return hub

    def prepare(self) -> None:
        self.fake.asked.append(f"{self.request.method} {self.request.path}")
        if self.fake.down:
            self.set_status(503)
            self.finish()

    def check_xsrf_cookie(self) -> None:
        """There is none here."""


class EchoHandler(FakeHandler):
    """Says what reached the hub, for tests of routing."""

    async def reply(self, _path: str) -> None:
        self.set_header("X-Reached", "hub")
        self.write(
            {
                "method": self.request.method,
                "uri": self.request.uri,
                "headers": dict(self.request.headers.get_all()),
                "body": self.request.body.decode("latin-1"),
            }
        )

    get = post = put = patch = delete = reply


class UserHandler(FakeHandler):
    def get(self) -> None:
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        if token not in self.fake.tokens:
            self.set_status(403)
            self.finish({"status": 403, "message": None})
            return
        self.finish(self.fake.tokens[token])


class AuthorizeHandler(FakeHandler):
    def get(self) -> None:
        code = f"code{len(self.fake.codes)}"
        self.fake.codes[code] = {
            name: self.get_query_argument(name)
            for name in ("client_id", "redirect_uri", "code_challenge")
        }
        query = urlencode({"code": code, "state": self.get_query_argument("state")})
        self.redirect(f"{self.get_query_argument('redirect_uri')}?{query}")


class TokenHandler(FakeHandler):
    def post(self) -> None:
        request = self.fake.codes.pop(self.get_body_argument("code"), None)
        verifier = self.get_body_argument("code_verifier").encode()
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        )
        if not request or request["code_challenge"] != challenge:
            self.set_status(400)
            self.finish({"error": "invalid_grant"})
            return
        token = f"oauth-{self.fake.visitor}-{len(self.fake.tokens)}"
        self.fake.give(token, self.fake.visitor, f"access:servers!server={self.fake.visitor}/")
        self.finish({"access_token": token, "token_type": "Bearer", "expires_in": 1209600})


class ActivityHandler(FakeHandler):
    def post(self, name: str) -> None:
        self.fake.activity.append(
            {"name": name, "authorization": self.request.headers["Authorization"]}
            | json.loads(self.request.body)
        )
        self.fake.reported.set()
        if len(self.fake.activity) > 1:
            self.fake.reported_twice.set()
