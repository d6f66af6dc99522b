"""One person's browser, as far as the workloads need it: cookies, XSRF, redirects, events.

The same code visits both sides; both speak JupyterHub's protocol. Each request is a new connection,
as from so many browsers.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from benchmarks.side import Side

_FORM_HEADERS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
_API_HEADERS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
PASSWORD = "twelve-Green-kites-41"


class VisitError(Exception):
    """A page did not do what the visit needed; says which, its status and its first words."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, after redirects where they were followed."""

    url: str
    status: int
    text: str


class _HiddenFields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and found.get("type") == "hidden" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


class _KeepRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Visitor:
    """A named user with an own cookie jar."""

    def __init__(self, side: Side, name: str) -> None:
        self.side = side
        self.name = name
        self.jar = http.cookiejar.CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(self.jar)
        self._following = urllib.request.build_opener(_no_proxy(), cookies)
        self._staying = urllib.request.build_opener(_no_proxy(), cookies, _KeepRedirect())

    def get(self, path: str, *, timeout: float = 60) -> Page:
        """Open a page as by typing its address, following redirects."""
        return self._open(self._following, path, None, _FORM_HEADERS, timeout=timeout)

    def sign_up(self) -> None:
        """Fill in the sign-up form; VisitError if its answer is no success page."""
        form = self.side.sign_up
        fields = self._hidden_fields(form.path) | dict(form.fixed) | {"username": self.name}
        fields |= dict.fromkeys(form.password_fields, PASSWORD)
        page = self._open(self._following, form.path, _encode(fields), _FORM_HEADERS)
        if page.status != 200:
            raise VisitError(_complaint(f"{self.name} cannot sign up", page))

    def open_login_page(self) -> dict[str, str]:
        """Return what the log-in form carries along."""
        return self._hidden_fields("/hub/login")

    def log_in(self, carried: dict[str, str] | None = None) -> None:
        """Post the log-in form and stop at its redirect, which leads to starting a server."""
        fields = carried if carried is not None else self.open_login_page()
        fields = fields | {"username": self.name, "password": PASSWORD}
        page = self._open(self._staying, "/hub/login", _encode(fields), _FORM_HEADERS)
        if page.status not in {302, 303}:
            raise VisitError(_complaint(f"{self.name} cannot log in", page))

    def start_server(self, *, timeout: float = 300) -> None:
        """Ask for the server as the start button does; return when it answers through the proxy."""
        deadline = time.monotonic() + timeout
        started = self._api("POST", f"/hub/api/users/{self.name}/server", b"", timeout=timeout)
        if started.status not in {201, 202}:
            raise VisitError(_complaint(f"{self.name} cannot start a server", started))
        if started.status == 202:
            self._follow_progress(timeout=deadline - time.monotonic())
        while (page := self.get(f"/user/{self.name}/api")).status != 200:
            if time.monotonic() > deadline:
                raise VisitError(_complaint(f"{self.name}'s server does not answer", page))
            time.sleep(0.02)

    def stop_server(self, *, timeout: float = 60) -> None:
        """Stop the server and return when the hub says it is gone."""
        deadline = time.monotonic() + timeout
        path = f"/hub/api/users/{self.name}/server"
        while (page := self._api("DELETE", path, None, timeout=timeout)).status != 204:
            if time.monotonic() > deadline:
                raise VisitError(_complaint(f"{self.name}'s server does not stop", page))
            time.sleep(0.2)

    def _follow_progress(self, *, timeout: float) -> None:
        request = self._request(
            f"/hub/api/users/{self.name}/server/progress", None, self._api_headers()
        )
        with self._following.open(request, timeout=timeout) as events:
            for line in events:
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    if event.get("failed"):
                        raise VisitError(f"{self.name}'s server failed: {event.get('message')}")
                    if event.get("ready"):
                        return

    def _api(self, method: str, path: str, body: bytes | None, *, timeout: float) -> Page:
        headers = self._api_headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._open(self._staying, path, body, headers, method=method, timeout=timeout)

    def _api_headers(self) -> dict[str, str]:
        """The hub's pages hand their XSRF token to scripts; it is the cookie's value."""
        tokens = [c.value for c in self.jar if c.name == "_xsrf" and c.path == "/hub/"]
        return _API_HEADERS | {"X-XSRFToken": (tokens or [""])[0] or ""}

    def _hidden_fields(self, path: str) -> dict[str, str]:
        page = self.get(path)
        if page.status != 200:
            raise VisitError(_complaint(f"cannot open {path}", page))
        parser = _HiddenFields()
        parser.feed(page.text)
        return parser.fields

    def _request(
        self, path: str, body: bytes | None, headers: Mapping[str, str], method: str | None = None
    ) -> urllib.request.Request:
        return urllib.request.Request(
            self.side.address + path, data=body, headers=dict(headers), method=method
        )

    def _open(
        self,
        opener: urllib.request.OpenerDirector,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        method: str | None = None,
        timeout: float = 60,
    ) -> Page:
        request = self._request(path, body, headers, method)
        try:
            with opener.open(request, timeout=timeout) as answer:
                return Page(answer.url, answer.status, answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Page(path, error.code, error.read().decode(errors="replace"))


def is_healthy(side: Side) -> bool:
    """Whether the hub's health page answers through the proxy."""
    try:
        return Visitor(side, "nobody").get("/hub/health", timeout=5).status == 200
    except (OSError, http.client.HTTPException):
        return False


def _no_proxy() -> urllib.request.ProxyHandler:
    return urllib.request.ProxyHandler({})


def _encode(fields: Mapping[str, str]) -> bytes:
    return urllib.parse.urlencode(fields).encode()


def _complaint(what: str, page: Page) -> str:
    words = " ".join(page.text.split())[:300]
    return f"{what}: {page.url} answered {page.status}: {words}"
