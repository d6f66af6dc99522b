"""A browser for one visitor: cookies, forms, redirects, websockets, all by the proxy's own ports.

Whatever the address in the bar says, connections go to this machine: what is between people and it
(names, firewalls) is another question than whether it works.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from appliance.config.schema import Config
from appliance.rollout.health import VERSION_HEADER, listening

SECONDS: Final = 10.0
_BODY_BYTES: Final = 4 * 1024 * 1024
_HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the proxy listens, and how people's browsers name it."""

    address: str
    http_port: int
    https_port: int
    root: str
    """http(s)://HOST[:PORT], as in a browser's bar."""

    @classmethod
    def of(cls, config: Config) -> Entrance:
        address, port = listening(config)
        https = config.https
        host = f"[{address}]" if ":" in address else address
        if https.is_on:
            shown = https.names[0] if https.names else host
            root = f"https://{shown}" + ("" if https.port == 443 else f":{https.port}")
        else:
            root = f"http://{host}" + ("" if port == 80 else f":{port}")
        return cls(address, port, https.port, root)

    @property
    def port(self) -> int:
        """The port that people come to."""
        return self.https_port if self.root.startswith("https:") else self.http_port

    def dial(self, scheme: str, seconds: float) -> socket.socket:
        port = self.https_port if scheme in {"https", "wss"} else self.http_port
        return socket.create_connection((self.address, port), timeout=seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, after redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_ours(self) -> bool:
        """Whether our hub said it."""
        return VERSION_HEADER in self.headers

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def root(self) -> str:
        """The address of its host, which for servers may be another than the hub's."""
        return _root(self.url)

    @property
    def fields(self) -> dict[str, str]:
        """The hidden fields of its forms."""
        return {name: unescape(value) for name, value in _HIDDEN.findall(self.text)}

    @property
    def json(self) -> Any:
        """Its JSON; None if it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def said(self) -> str:
        """What it says of an error, in a line."""
        found = self.json
        if isinstance(found, dict) and found.get("message"):
            return str(found["message"])
        for name in ("h1", "title"):
            match = re.search(rf"(?s)<{name}[^>]*>(.*?)</{name}>", self.text)
            if match:
                return " ".join(unescape(re.sub("<[^>]*>", " ", match[1])).split())[:200]
        return f"status {self.status}"


class Browser:
    """Raises OSError where no answer comes."""

    def __init__(self, entrance: Entrance, *, seconds: float = SECONDS) -> None:
        self.entrance = entrance
        self._seconds = seconds
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(self._jar),
            _Plain(entrance),
            _Encrypted(entrance),
        )

    def get(self, path: str) -> Answer:
        return self._open(path, None, {"Sec-Fetch-Mode": "navigate"})

    def submit(self, path: str, fields: Mapping[str, str]) -> Answer:
        """Open a page with a form, fill it in, send it."""
        page = self.get(path)
        body = urlencode({**page.fields, **fields}).encode()
        return self._open(page.url, body, {"Sec-Fetch-Mode": "navigate"})

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """What a script of a page does at its own server."""
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json",
            "Sec-Fetch-Mode": "cors",
            "X-XSRFToken": self._xsrf(path),
        }
        return self._open(path, data, headers, method)

    def headers_for(self, path: str) -> dict[str, str]:
        """Cookies and origin for a websocket."""
        url = urljoin(self.entrance.root, path)
        request = urllib.request.Request(url)  # noqa: S310 - ours
        self._jar.add_cookie_header(request)
        return {"Cookie": request.get_header("Cookie") or "", "Origin": _root(url)}

    def _xsrf(self, path: str) -> str:
        """The token of the narrowest path that has one."""
        path = urlsplit(path).path
        found = [one for one in self._jar if one.name == "_xsrf" and path.startswith(one.path)]
        found.sort(key=lambda one: len(one.path))
        return (found[-1].value or "") if found else ""

    def _open(
        self, path: str, data: bytes | None, headers: Mapping[str, str], method: str | None = None
    ) -> Answer:
        url = urljoin(self.entrance.root, path)
        request = urllib.request.Request(  # noqa: S310 - this machine's own address
            url, data,
            {"Sec-Fetch-Site": "same-origin", "Origin": _root(url), **headers},
            method=method,
        )  # fmt: skip
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                return _answer(answer, answer.status)
        except urllib.error.HTTPError as error:
            return _answer(error, error.code)
        except urllib.error.URLError as error:
            if isinstance(error.reason, OSError):
                raise error.reason from error
            raise OSError(str(error.reason)) from error
        except http.client.HTTPException as error:
            raise NotHttpError("the answer is not HTTP") from error


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class NotHttpError(OSError):
    """Something answers that speaks another protocol."""


def _answer(found: Any, status: int) -> Answer:
    text = found.read(_BODY_BYTES).decode("utf-8", errors="replace")
    return Answer(found.url, status, found.headers, text)


def unverified() -> ssl.SSLContext:
    """For asking ourselves; whether browsers trust the certificate is a check of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, entrance: Entrance) -> None:
        super().__init__()
        self._entrance = entrance

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        entrance = self._entrance

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = entrance.dial("http", self.timeout or SECONDS)

        return self.do_open(Connection, req)


class _Encrypted(urllib.request.HTTPSHandler):
    def __init__(self, entrance: Entrance) -> None:
        super().__init__()
        self._entrance = entrance

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        entrance = self._entrance

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                plain = entrance.dial("https", self.timeout or SECONDS)
                self.sock = unverified().wrap_socket(plain, server_hostname=self.host)

        return self.do_open(Connection, req)
