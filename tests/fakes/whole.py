"""The whole product as a trial has it: real nginx, hub and single-user servers in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from appliance.config.schema import Config
from appliance.hub.app import make_hub
from appliance.hub.server import ADMIN_SOCKET, HUB_SOCKET, HubServer
from appliance.local_spawner.services import LocalServices
from appliance.local_spawner.spawner import LocalSpawner
from tests.fakes.browser import Browser, Reply
from tests.fakes.nginx import Proxy, proxy
from tests.fakes.single_user import LAUNCH, ROOT

PASSWORD = "grey-lake-2000"


@dataclass
class Whole:
    """A running appliance whose hub can be restarted while all else goes on."""

    nginx: Proxy
    config: Config
    spawner: LocalSpawner
    services: LocalServices
    listening: dict[str, socket.socket]
    hub: HubServer | None = None

    async def start_hub(self) -> None:
        self.hub = HubServer(
            make_hub(self.config, self.nginx.places, self.spawner, service_runner=self.services)
        )
        await self.hub.start({name: sock.dup() for name, sock in self.listening.items()})

    async def stop_hub(self) -> None:
        """Its sockets stay, as systemd holds them: requests wait there."""
        if self.hub:
            await self.hub.stop()
            self.hub = None

    def visitor(self) -> Visitor:
        return Visitor(self.nginx.address)


class Visitor(Browser):
    """A browser with somebody in front of it."""

    async def submit(self, path: str, **fields: str) -> Reply:
        """Open a page and send its form."""
        _, page = await self.follow(path)
        found = re.search(rb'name="_xsrf" value="([^"]*)"', page.body)
        xsrf = found[1].decode() if found else ""
        return await self.ask(
            "POST", path,
            headers={"Content-Type": "application/x-www-form-urlencoded",
                     "Origin": f"http://{self.host}"},
            body=urlencode({"_xsrf": xsrf, **fields}).encode(),
        )  # fmt: skip

    async def sign_up_and_log_in(self, name: str) -> None:
        fields = {"username": name, "password": PASSWORD}
        signed_up = await self.submit("/hub/signup", **fields)
        assert signed_up.status in {200, 302, 303}, signed_up.body
        if (await self.get("/hub/home")).status == 200:
            return
        logged_in = await self.submit("/hub/login", **fields)
        assert logged_in.status in {302, 303}, logged_in.body

    async def open_server(self, path: str) -> Reply:
        """Ask for a page of a server as a person does: press start, wait, arrive."""
        address, reply = await self.follow(path)
        if reply.status == 424:
            address, reply = await self.follow(f"/hub/spawn?{urlencode({'next': path})}")
        for _ in range(300):
            if "/spawn-pending/" not in address:
                break
            await asyncio.sleep(0.1)
            address, reply = await self.follow(address)
        assert address == path, (address, reply)
        return reply


@contextlib.asynccontextmanager
async def whole(
    folder: Path, *, command: list[str] | None = None, **settings: Any
) -> AsyncIterator[Whole]:
    """Run everything until the block ends; `command` starts servers in place of our own."""
    command = command or [sys.executable, "-I", "-c", LAUNCH.format(str(ROOT))]
    async with proxy(folder, signup={"mode": "open"}, **settings) as nginx:
        places = nginx.places
        for directory in (places.hub_state, places.homes, places.software):
            directory.mkdir(parents=True, exist_ok=True)
        (places.software / "user").symlink_to(sys.prefix)
        paths = {HUB_SOCKET: places.hub_socket, ADMIN_SOCKET: places.admin_socket}
        spawner = LocalSpawner(nginx.config, places, command=command)
        listening = {name: listen(path) for name, path in paths.items()}
        services = LocalServices(nginx.config, places)
        running = Whole(nginx, nginx.config, spawner, services, listening)
        await running.start_hub()
        try:
            yield running
        finally:
            for server in await spawner.running():
                await spawner.stop(server)
            await running.stop_hub()
            for service in await services.services():
                await services.stop(service)
            for sock in listening.values():
                sock.close()


def listen(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(128)
    return sock
