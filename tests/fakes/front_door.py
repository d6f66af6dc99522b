"""What the proxy does, in one process: servers that run answer below /user/, the hub all else."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from appliance.config.schema import Config
from appliance.db.models import User
from appliance.names import ServerId, ServerName, Username
from appliance.native_auth.authenticator import put_password
from tests.fakes.hub_machine import Machine

PASSWORD = "grey-lake-2000"


class _NotebookServer(RequestHandler):
    """Stands for a single-user server: says that it is one, and what it was asked for."""

    def get(self) -> None:
        address = escape(self.request.uri or "")
        self.finish(f"<title>Notebooks</title><h1>Notebooks</h1><code>{address}</code>")


class FrontDoor(Router):
    """Routes as the proxy does."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._notebooks = Application([(r".*", _NotebookServer)])

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        _, first, user, name, *_ = [*request.path.split("/"), "", "", ""]
        servers = self._machine.spawner.servers
        named = servers.get(ServerId(Username(user), ServerName(name)))
        found = named if name and named else servers.get(ServerId(Username(user)))
        if first == "user" and found and found.ready:
            return self._notebooks.find_handler(request, **kwargs)
        return self._machine.hub.application.find_handler(request, **kwargs)


@asynccontextmanager
async def front_door(machine: Machine) -> AsyncIterator[str]:
    """The address at which browsers find the machine."""
    server = HTTPServer(FrontDoor(machine))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield f"http://localhost:{sockets[0].getsockname()[1]}"
    finally:
        server.stop()
        await server.close_all_connections()


@asynccontextmanager
async def machine_with_people(config: Config | None = None) -> AsyncIterator[Machine]:
    """A hub with the admin ada and the users bob and carol, who all have the same password."""
    # Not pytest's tmp_path: the path of a Unix socket has room for 107 bytes.
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        async with Machine(Path(folder), config=config) as machine:
            hub = machine.hub
            await hub.users.create_many(["ada"], admin=True)
            await hub.users.create_many(["bob", "carol"])
            await give_password(machine)
            yield machine


async def give_password(machine: Machine) -> None:
    """One hash for all who are there: hashing for each would be most of a test's time."""
    hashed = await machine.hub.authenticator.hash_for(PASSWORD, Username("x"))
    with machine.hub.db.session() as session:
        for row in session.scalars(select(User).options(joinedload(User.password))):
            put_password(session, row, hashed, now=machine.clock.now(), must_change=False)
