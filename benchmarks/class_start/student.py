"""One student with an empty browser cache: log in, wait for the server, open Lab, run a cell.

The same code visits both sides. It does what a browser does for pages that it doesn't know:
follows redirects, fetches the files that a page names, follows the progress of a start. From
JupyterLab's page on it replays `lab_requests.txt`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from benchmarks.class_start import messages
from benchmarks.class_start.connection import Answer, ConnectionFailed, Host, WebSocket
from benchmarks.class_start.cookies import Cookies
from benchmarks.class_start.sequence import (
    KernelStep,
    Request,
    Sequence,
    addresses,
    filled,
    page_config,
)
from benchmarks.visitor import PASSWORD, VisitError

_HOPS: Final = 40
_KERNELS: Final = 4
_SILENT_SECONDS: Final = 90
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AGENT: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36",
    "Accept-Encoding": "gzip, deflate",
    "Accept-Language": "en-US,en;q=0.9",
}
_TAG: Final = re.compile(r"<(link|script|img)\b([^>]*)>")
_ATTRIBUTE: Final = re.compile(r'(\w+)="([^"]*)"')
_HIDDEN: Final = re.compile(r"<input\b[^>]*>")
_NOW: Final = frozenset({"stylesheet", "icon", "preload", "modulepreload"})
_RETRY_SECONDS: Final = 0.1


@dataclass(slots=True)
class Times:
    """When a student got where, by time.monotonic()."""

    pressed: float = 0.0
    """The log-in button."""
    server: float = 0.0
    """The server's first answer."""
    page: float = 0.0
    """JupyterLab's page has come; its scripts come next."""
    lab: float = 0.0
    """Everything is there that Lab asks for to show itself."""
    kernel: float = 0.0
    """The kernel's first reply."""
    output: float = 0.0
    """The output of the first cell."""


@dataclass
class Student:
    """One browser."""

    name: str
    host: Host
    sequence: Sequence
    code: str
    expected: str
    times: Times = field(default_factory=Times)
    surprises: Counter[str] = field(default_factory=Counter)
    """Answers with another status than recorded, by what was asked."""
    _cookies: Cookies = field(default_factory=Cookies)
    _cached: set[str] = field(default_factory=set)
    _coming: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """What is being prefetched, by its address."""
    _few: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Prefetching leaves connections for what is wanted now."""
    _sockets: list[WebSocket] = field(default_factory=list)
    _values: dict[str, str] = field(default_factory=dict)

    async def visit(self) -> None:
        """Do it all; VisitError says what went wrong."""
        try:
            form = await self._open("/hub/login")
            fields = hidden_fields(form) | {"username": self.name, "password": PASSWORD}
            self.times.pressed = time.monotonic()
            html = await self._arrive_at_lab("POST", "/hub/login", urlencode(fields).encode())
            self.times.page = time.monotonic()
            self._learn_addresses(html)
            await self._ask_in_waves(self.sequence.lab)
            self.times.lab = time.monotonic()
            await self._run_a_cell()
        except ConnectionFailed as error:
            raise VisitError(f"{self.name}: the connection ended: {error}") from None

    def close(self) -> None:
        for task in self._coming.values():
            task.cancel()
        self.host.close()

    async def _open(self, path: str) -> str:
        """Open a page of the hub with all that it names."""
        answer = await self._ask("GET", path, keep=True, navigating=True)
        if answer.status != 200:
            raise VisitError(f"{self.name}: {path} answered {answer.status}: {answer.text[:300]}")
        await self._fetch_files(answer.text, path)
        return answer.text

    async def _arrive_at_lab(self, method: str, path: str, body: bytes) -> str:
        """Go where redirects and pages lead until JupyterLab's page is there."""
        own = f"/user/{self.name}/"
        for _ in range(_HOPS):
            answer = await self._ask(method, path, body=body, keep=True, navigating=True)
            redirected = answer.status in _REDIRECTS
            target = urljoin(path, answer.header("location")) if redirected else ""
            if path.startswith(own) and answer.status < 404 and not _is_hubs(_local(target)):
                self.times.server = self.times.server or time.monotonic()
            if redirected:
                method, path, body = "GET", _local(target), b""
                continue
            if answer.status == 200 and "jupyter-config-data" in answer.text:
                return answer.text
            method, body = "GET", b""
            path = await self._wait_at(path, answer)
        raise VisitError(f"{self.name}: no JupyterLab after {_HOPS} pages, the last was {path}")

    async def _wait_at(self, path: str, answer: Answer) -> str:
        """What a page of the hub makes a browser do: follow the start, then go on."""
        if path.startswith("/hub/spawn-pending/") and answer.status == 200:
            await self._fetch_files(answer.text, path)
            await self._follow_progress()
            return path
        if answer.status in {429, 502, 503, 504}:
            self.surprises[f"{answer.status} for {path.partition('?')[0]}"] += 1
            await asyncio.sleep(max(_RETRY_SECONDS, float(answer.header("retry-after") or 0)))
            return path
        if path.startswith("/hub/home"):
            return "/hub/spawn"
        raise VisitError(f"{self.name}: {path} answered {answer.status}: {answer.text[:300]}")

    async def _follow_progress(self) -> None:
        """Read the events of the start until one says ready."""
        events = _Events()
        path = f"/hub/api/users/{self.name}/server/progress"
        headers = {"Accept": "text/event-stream", "X-XSRFToken": self._cookies.value("_xsrf", path)}
        ask = self._ask("GET", path, headers=headers, sink=events.feed)
        answer = asyncio.ensure_future(ask)
        waiting = asyncio.ensure_future(events.ready.wait())
        await asyncio.wait({answer, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (answer, waiting):
            task.cancel()
        await asyncio.gather(answer, waiting, return_exceptions=True)
        if events.failure:
            raise VisitError(f"{self.name}'s server failed: {events.failure}")

    async def _fetch_files(self, html: str, path: str) -> None:
        """Styles, scripts and pictures now; what is to be prefetched, meanwhile."""
        now, later = named_files(html)
        wanted = [_local(urljoin(path, name)) for name in now]
        await asyncio.gather(*(self._fetch(name) for name in wanted))
        for name in later:
            address = _local(urljoin(path, name))
            if address not in self._cached and address not in self._coming:
                self._coming[address] = asyncio.create_task(self._prefetch(address))

    async def _prefetch(self, address: str) -> None:
        async with self._few:
            await self._fetch(address)

    async def _fetch(self, address: str) -> None:
        if address in self._cached:
            return
        self._cached.add(address)
        answer = await self._ask("GET", address, mode="no-cors")
        if answer.status != 200:
            self.surprises[f"{answer.status} for GET {address}"] += 1

    def _learn_addresses(self, html: str) -> None:
        config = page_config(html)
        self._values = addresses(config) | {
            "client": messages.new_id(),
            "unnamed": messages.new_id(),
        }
        extensions = config.get("federated_extensions", [])
        self._values["extensions"] = " ".join(one["name"] for one in extensions)

    async def _ask_in_waves(self, waves: list[list[Request]]) -> None:
        unhurried: list[asyncio.Task[None]] = []
        for wave in waves:
            now: list[Coroutine[Any, Any, None]] = []
            for request in wave:
                if request.waited_for:
                    now.append(self._replay(request))
                else:
                    unhurried.append(asyncio.create_task(self._replay(request)))
            await asyncio.gather(*now)
        await asyncio.gather(*unhurried)

    async def _replay(self, request: Request) -> None:
        """Make one recorded request, as far as this page would make it."""
        if request.path.startswith("{labextensions}/"):
            owner = re.match(r"((?:@[^/]+/)?[^/]+)/", request.path.partition("/")[2])
            if not owner or owner[1] not in self._values["extensions"].split():
                return
        self._values["now"] = str(time.time_ns() // 1_000_000)
        path = filled(request.path, self._values)
        if request.path.startswith("{base}api/kernels/{kernel}/channels"):
            self._coming["kernel"] = asyncio.create_task(self._talk_to_kernel(path))
            return
        if request.method == "WS":
            await self._open_socket(path)
            return
        if request.path.startswith("{static}/"):
            if coming := self._coming.get(path):
                await coming
            if path in self._cached:
                return
        body = filled(request.body, self._values).encode()
        keep = request.method == "POST"
        answer = await self._ask(
            request.method, path, body=body, keep=keep, mode="no-cors" if _is_file(path) else "cors"
        )
        if answer.status != request.status:
            if keep:
                raise VisitError(f"{self.name}: {path} answered {answer.status}: {answer.text}")
            self.surprises[f"{answer.status} for {request.method} {request.path}"] += 1
        if keep:
            self._learn_names(request.path, json.loads(answer.text))

    def _learn_names(self, path: str, made: dict[str, Any]) -> None:
        if "api/contents" in path:
            self._values["notebook"] = str(made["path"])
        elif "api/sessions" in path:
            self._values |= {"session": str(made["id"]), "kernel": str(made["kernel"]["id"])}

    async def _open_socket(self, path: str) -> WebSocket:
        headers = self._headers(path, "websocket") | {"Origin": self.host.origin}
        protocol = messages.PROTOCOL if path.partition("?")[0].endswith("/channels") else ""
        socket = await self.host.websocket(path, headers, protocol)
        self._sockets.append(socket)
        return socket

    async def _run_a_cell(self) -> None:
        """Make a notebook, start its kernel, and wait until the cell has printed."""
        await self._ask_in_waves(self.sequence.notebook)
        await self._coming["kernel"]

    async def _talk_to_kernel(self, path: str) -> None:
        """Run the cell; a kernel that died or stays silent is replaced, as a person would do."""
        for _ in range(_KERNELS):
            try:
                return await self._run_in_kernel(await self._open_socket(path))
            except (ConnectionFailed, TimeoutError):
                self.surprises["a kernel that died or stayed silent, and was replaced"] += 1
            path = await self._new_kernel()
        raise VisitError(f"{self.name}: {_KERNELS} kernels gave no answer")

    async def _run_in_kernel(self, socket: WebSocket) -> None:
        talk = _Talk(socket, self._values["client"], self.times)
        cell = {"silent": False, "store_history": True, "user_expressions": {},
                "allow_stdin": True, "stop_on_error": True, "code": self.code}  # fmt: skip
        for step in self.sequence.kernel:
            await talk.take(step)
        await talk.run(cell, self.expected)

    async def _new_kernel(self) -> str:
        """Start another kernel; returns where its websocket is."""
        path = f"{self._values['base']}api/kernels"
        answer = await self._ask("POST", path, body=b'{"name": "python3"}', keep=True)
        if answer.status != 201:
            raise VisitError(f"{self.name}: {path} answered {answer.status}: {answer.text}")
        kernel = json.loads(answer.text)["id"]
        return f"{path}/{kernel}/channels?session_id={self._values['client']}"

    def _headers(self, path: str, mode: str) -> dict[str, str]:
        return _AGENT | {
            "Cookie": self._cookies.header(path),
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": mode,
            "Referer": f"{self.host.origin}/",
        }

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        keep: bool = False,
        navigating: bool = False,
        mode: str = "cors",
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        sent = self._headers(path, "navigate" if navigating else mode) | (headers or {})
        if navigating and body:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            sent["Origin"] = self.host.origin
        elif method != "GET":
            sent["Content-Type"] = "application/json"
            sent["Origin"] = self.host.origin
        if mode == "cors" and not navigating:
            sent["X-XSRFToken"] = self._cookies.value("_xsrf", path)
        answer = await self.host.ask(method, path, sent, body, keep=keep, sink=sink)
        self._cookies.take(answer, path)
        return answer


class _Talk:
    """A conversation with a kernel, as JupyterLab leads it."""

    def __init__(self, socket: WebSocket, session: str, times: Times) -> None:
        self._socket = socket
        self._session = session
        self._times = times
        self._open: set[str] = set()
        self._subshell = ""

    async def take(self, step: KernelStep) -> None:
        """Send a message, or wait for the replies to all that were sent."""
        if step.kind:
            content = filled(step.content, {"subshell": self._subshell})
            number = self._send(messages.Message(step.channel, step.kind, json.loads(content)))
            if step.kind.endswith("_request"):
                self._open.add(number)
            return
        while self._open:
            await self._next()

    async def run(self, cell: dict[str, Any], expected: str) -> None:
        """Run a cell; returns when its output has come."""
        number = self._send(messages.Message("shell", "execute_request", cell))
        while True:
            message = await self._next()
            if message.parent != number:
                continue
            if message.kind == "error":
                raise VisitError(f"the cell failed: {message.content.get('evalue')}")
            if message.kind == "stream" and expected in message.content["text"]:
                self._times.output = time.monotonic()
                return

    def _send(self, message: messages.Message) -> str:
        number = messages.new_id()
        self._socket.send(messages.encode(message, session=self._session, number=number))
        return number

    async def _next(self) -> messages.Message:
        async with asyncio.timeout(_SILENT_SECONDS):
            message = messages.decode(await self._socket.receive())
        if message.kind.endswith("_reply"):
            self._open.discard(message.parent)
            self._times.kernel = self._times.kernel or time.monotonic()
            self._subshell = str(message.content.get("subshell_id") or self._subshell)
        return message


class _Events:
    """Server-sent events of a start."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.failure = ""
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                if event.get("failed"):
                    self.failure = str(event.get("message"))
                if event.get("ready") or event.get("failed"):
                    self.ready.set()


def hidden_fields(html: str) -> dict[str, str]:
    """What a form carries along."""
    found = [dict(_ATTRIBUTE.findall(tag)) for tag in _HIDDEN.findall(html)]
    return {
        one["name"]: unescape(one.get("value", ""))
        for one in found
        if one.get("type") == "hidden" and one.get("name")
    }


def named_files(html: str) -> tuple[list[str], list[str]]:
    """Files that a browser fetches for a page: those it needs, and those to prefetch."""
    now, later = [], []
    for tag, text in _TAG.findall(html):
        found = {name: unescape(value) for name, value in _ATTRIBUTE.findall(text)}
        if tag == "link":
            kinds = set(found.get("rel", "").lower().split())
            if "href" in found and kinds & _NOW:
                now.append(found["href"])
            elif "href" in found and "prefetch" in kinds:
                later.append(found["href"])
        elif found.get("src"):
            now.append(found["src"])
    return [name for name in now if not name.startswith("data:")], later


def _is_hubs(target: str) -> bool:
    """Whether a redirect from a user's address shows that the hub answered, not a server."""
    # A server sends people to the hub only to be asked who they are.
    return target.startswith("/hub/") and not target.startswith("/hub/api/oauth2/authorize?")


def _is_file(path: str) -> bool:
    return bool(re.search(r"\.(js|css|svg|ico|png|woff2?)(\?|$)", path))


def _local(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
