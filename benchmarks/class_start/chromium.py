"""One student in a real browser: from the click on the log-in button to the first cell's output.

Needs Debian's Chromium and the Python package `playwright`, which brings no browser here. The same
visit, watched, makes `lab_requests.txt`.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from benchmarks.class_start import messages, sequence
from benchmarks.side import Side
from benchmarks.visitor import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Request, WebSocket

EXECUTABLE: Final = "/usr/bin/chromium"
_FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE_MS: Final = 120_000
_CARD: Final = '.jp-LauncherCard[data-category="Notebook"]'
_IDLE: Final = "() => document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')"
_OUTPUT: Final = """text => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output')]
    .some(output => output.textContent.includes(text))"""


@dataclass(frozen=True, slots=True)
class Click:
    """Seconds from the click on the log-in button to what the student sees."""

    lab: float
    kernel: float
    output: float


@contextlib.contextmanager
def browser() -> Iterator[BrowserContext]:
    """A browser with a fresh profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=EXECUTABLE, args=_FLAGS)
        try:
            context = chromium.new_context()
            context.set_default_timeout(_PATIENCE_MS)
            yield context
        finally:
            chromium.close()


def visit(page: Page, side: Side, user: str, code: str, output: str) -> Click:
    """Log in, wait for JupyterLab, open a notebook as soon as one can, run a cell."""
    page.goto(f"{side.address}/hub/login")
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill(PASSWORD)
    button = page.locator("form [type=submit], form button.main").first
    button.wait_for()
    page.wait_for_load_state("networkidle")
    started = time.monotonic()
    button.click(no_wait_after=True)
    card = page.locator(_CARD).first
    card.wait_for()
    lab = time.monotonic()
    card.click()
    page.wait_for_function(_IDLE)
    kernel = time.monotonic()
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(_OUTPUT, arg=output)
    return Click(lab - started, kernel - started, time.monotonic() - started)


@dataclass
class Recorder:
    """Watches a page and writes down what it asks for."""

    seen: list[tuple[float, float, str, str, int, str]] = field(default_factory=list)
    page_asked: float = 0.0
    """When the last page was asked for. What was fetched before is no request of JupyterLab's."""
    sent: list[tuple[str, messages.Message]] = field(default_factory=list)
    """Kernel messages in their order: "sent" or "received"."""

    def watch(self, page: Page) -> None:
        page.on("requestfinished", self._finished)
        page.on("websocket", self._websocket)

    def _finished(self, request: Request) -> None:
        response = request.response()
        asked = request.timing["startTime"] / 1000
        if response is None or request.resource_type == "document":
            self.page_asked = asked
            return
        answered = asked + max(0.0, request.timing["responseEnd"] / 1000)
        path = _path(request.url)
        self.seen.append(
            (asked, answered, request.method, path, response.status, request.post_data or "")
        )

    def _websocket(self, socket: WebSocket) -> None:
        now = time.time()
        self.seen.append((now, now, "WS", _path(socket.url), 101, ""))
        if "/channels" in socket.url:
            socket.on("framesent", lambda data: self._message("sent", data))
            socket.on("framereceived", lambda data: self._message("received", data))

    def _message(self, way: str, data: str | bytes) -> None:
        if isinstance(data, bytes):
            self.sent.append((way, messages.decode(data)))

    def recorded(self, page: Page, about: str) -> sequence.Sequence:
        """What was seen, with {names} in the place of what differs from visit to visit."""
        places = sequence.addresses(
            json.loads(page.locator("#jupyter-config-data").text_content() or "{}")
        )
        names = self._names() | {places["root"]: "root"}
        requests = []
        for asked, answered, method, path, status, body in sorted(self.seen):
            template = sequence.placed(path, places)
            if asked < self.page_asked or not template.startswith("{"):
                continue
            for value, name in names.items():
                template = template.replace(value, f"{{{name}}}")
                body = body.replace(value, f"{{{name}}}")
            request = sequence.Request(method, template, status, body)
            requests.append(sequence.Seen(asked, answered, request))
        first = next(
            number for number, one in enumerate(requests)
            if one.request.method == "POST" and "api/contents" in one.request.path
        )  # fmt: skip
        return sequence.Sequence(
            about,
            sequence.waves(requests[:first]),
            sequence.waves(requests[first:]),
            self._kernel_steps(),
        )

    def _names(self) -> dict[str, str]:
        """Values of this visit, by themselves, with the names they get."""
        found: dict[str, str] = {"Untitled.ipynb": "notebook"}
        for _, _, method, path, _, body in self.seen:
            if match := re.search(r"api/kernels/([-0-9a-f]{36})/channels\?session_id=(.+)", path):
                found |= {match[1]: "kernel", match[2]: "client"}
            if match := re.search(r"api/sessions/([-0-9a-f]{36})", path):
                found[match[1]] = "session"
            if method == "POST" and "api/sessions" in path:
                found[json.loads(body)["path"]] = "unnamed"
        return found

    def _kernel_steps(self) -> list[sequence.KernelStep]:
        """Messages up to the cell, with a wait wherever all before had been answered."""
        steps: list[sequence.KernelStep] = []
        open_requests: list[str] = []
        subshell = ""
        for way, message in self.sent:
            if way == "received":
                kind = message.kind.replace("_reply", "_request")
                if message.kind.endswith("_reply") and kind in open_requests:
                    open_requests.remove(kind)
                    if not open_requests and steps[-1].kind:
                        steps.append(sequence.KernelStep())
                subshell = str(message.content.get("subshell_id", subshell))
            elif message.kind == "execute_request":
                return steps
            else:
                content = json.dumps(message.content)
                if subshell:
                    content = content.replace(subshell, "{subshell}")
                if "{subshell}" in content and steps[-1].kind:
                    # Its name comes in a reply.
                    steps.append(sequence.KernelStep())
                steps.append(sequence.KernelStep(message.channel, message.kind, content))
                if message.kind.endswith("_request"):
                    open_requests.append(message.kind)
        raise ValueError("no cell was run")


def _path(url: str) -> str:
    parts: Any = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else str(parts.path)
