"""A user of the appliance's own who logs in, starts a server and runs code in a kernel of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing
from typing import Final

from tornado.httpclient import HTTPClientError

from appliance.client.hub import HubClient
from appliance.config.schema import Config
from appliance.doctor.browser import Browser, Entrance
from appliance.doctor.channels import replies
from appliance.errors import ApplianceError
from appliance.names import ServerId, Username
from appliance.rollout.health import Deadline

_START_SECONDS: Final = 90.0
_CODE_SECONDS: Final = 90.0


class Student:
    """Everything raises ApplianceError when it can't be done."""

    def __init__(self, hub: HubClient, config: Config, name: Username, password: str) -> None:
        self.server = ServerId(name)
        self._hub = hub
        self._config = config
        self._password = password
        self._browser = Browser(Entrance.of(config))
        self._root = self._browser.entrance.root
        self._kernel = ""

    @property
    def _path(self) -> str:
        return self.server.url_path(self._config.base_url)

    def open(self) -> None:
        """Log in by the page, start the server, and start a kernel in it."""
        hub = f"{self._config.base_url}hub/"
        login = f"{hub}login"
        # To a page of the hub's own: the way to the server is a step of its own, and all together
        # would lead by more addresses than a browser may be sent to at once.
        fields = {
            "username": self.server.user, "password": self._password, "next": f"{hub}home",
        }  # fmt: skip
        try:
            answer = self._browser.submit(login, fields)
            if answer.status != 200 or answer.path == login:
                raise self._failed("log in", f"{answer.path} answers {answer.status}")
            self._start()
            page = self._browser.get(self._path)
            if page.status != 200:
                raise self._failed("open the server", f"{page.path} answers {page.status}")
            self._root = page.root
            made = self._browser.ask("POST", f"{self._root}{self._path}api/kernels", {})
        except OSError as error:
            raise self._failed("reach the appliance", str(error)) from error
        if made.status != 201 or not isinstance(made.json, dict):
            raise self._failed("start a kernel", f"{made.status}: {made.said}")
        self._kernel = str(made.json["id"])

    def _start(self) -> None:
        deadline = Deadline.after(_START_SECONDS)
        while not deadline.over:
            found = self._hub.server_of(self.server)
            if found and found.get("ready"):
                return
            if not found or not found.get("pending"):
                self._hub.start_server(self.server)
            time.sleep(0.2)
        raise self._failed("start the server", f"it was not ready after {_START_SECONDS:.0f} s")

    def cookies_for(self, other: Student) -> frozenset[str]:
        """The names of the cookies that the browser takes along to somebody else's server."""
        sent = self._browser.headers_for(f"{self._root}{other._path}lab")["Cookie"]
        return frozenset(one.partition("=")[0].strip() for one in sent.split(";") if one)

    def run(self, code: str) -> str:
        """What the code's last line, an expression that is a text, came to."""
        mark = secrets.token_hex(8)
        try:
            text = asyncio.run(self._execute(code, mark))
        except (TimeoutError, OSError, HTTPClientError) as error:
            why = str(error) or "no answer in time"
            raise self._failed("run a program in the kernel", why) from error
        return text

    async def _execute(self, code: str, mark: str) -> str:
        url = f"{self._root}{self._path}api/kernels/{self._kernel}/channels"
        *lines, last = code.strip().splitlines()
        whole = "\n".join([*lines, f"print({mark!r} + ({last}) + {mark!r})"])
        printed = ""
        messages = replies(self._browser, url, whole, _CODE_SECONDS)
        async with asyncio.timeout(_CODE_SECONDS), aclosing(messages):
            async for found in messages:
                if found["msg_type"] == "stream":
                    printed += str(found["content"]["text"])
                elif found["msg_type"] == "error":
                    why = f"{found['content']['ename']}: {found['content']['evalue']}"
                    raise self._failed("run a program in the kernel", why)
                if printed.count(mark) == 2:
                    return printed.split(mark)[1]
        raise self._failed("run a program in the kernel", "the connection ended")

    def _failed(self, what: str, why: str) -> ApplianceError:
        return ApplianceError(
            f"cannot {what} as {self.server.user!r}", why=why, mend="sudo appliance doctor"
        )
