"""A class with its teacher, two students and somebody of another class."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.fakes.hub_machine import HOST, Browser, Machine

PASSWORD: Final = "river-stone-and-sand"
NAMES: Final = ("lovelace", "noether", "emmy", "sophie", "kurt")


@dataclass
class ClassPeople:
    """Browsers that are logged in; lovelace teaches emmy and sophie, noether teaches kurt."""

    lovelace: Browser
    noether: Browser
    emmy: Browser
    sophie: Browser
    kurt: Browser


async def class_people(machine: Machine) -> ClassPeople:
    """Make them on a machine that has nobody yet."""
    await machine.root("POST", "appliance/users", {"usernames": list(NAMES)})
    classes = machine.hub.classroom.parts["classes"]
    for group, teacher, students in (
        ("algebra", "lovelace", ["emmy", "sophie"]),
        ("logic", "noether", ["kurt"]),
    ):
        classes.create(group, title=group.title())
        classes.add_teacher(group, teacher)
        added = await machine.root("POST", f"groups/{group}/users", {"users": students})
        assert added.status == 200, added.body
    browsers = {}
    for name in NAMES:
        set_ = await machine.root("PUT", f"appliance/users/{name}/password", {"password": PASSWORD})
        assert set_.status == 200, set_.body
        browsers[name] = machine.browser()
        assert (await browsers[name].log_in(name, PASSWORD)).status == 302
        await browsers[name].get("/hub/home")
    return ClassPeople(**browsers)


@dataclass
class Events:
    """A stream of server-sent events that is open."""

    status: int
    reader: asyncio.StreamReader

    async def next(self, *, seconds: float = 5.0) -> Any:
        """The data of the next event; None if the stream has ended."""
        async with asyncio.timeout(seconds):
            async for line in self.reader:
                if line.startswith(b"data: "):
                    return json.loads(line.removeprefix(b"data: "))
        return None

    async def next_id(self, *, seconds: float = 5.0) -> str:
        async with asyncio.timeout(seconds):
            async for line in self.reader:
                if line.startswith(b"id: "):
                    return line.removeprefix(b"id: ").decode().strip()
        return ""


@asynccontextmanager
async def events(
    machine: Machine, browser: Browser, url: str, **headers: str
) -> AsyncIterator[Events]:
    """What a script of our page hears from a stream below /hub/api."""
    path = f"/hub/api/{url}"
    cookies = "; ".join(f"{n}={v}" for n, (v, at) in browser.jar.items() if path.startswith(at))
    sent = {
        "Host": HOST, "Connection": "close", "Cookie": cookies,
        "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin",
        "X-Forwarded-Proto": "http", "X-XSRFToken": browser.xsrf,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    reader, writer = await asyncio.open_unix_connection(str(machine.places.hub_socket))
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        status = int((await reader.readline()).split()[1])
        yield Events(status, reader)
    finally:
        writer.close()
