"""Somebody at an appliance without a browser: cookies, forms, redirects. Many are quick."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html import unescape
from typing import Final

PASSWORD: Final = "nine amber lanterns"
_SECONDS: Final = 60.0
_HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_NOT_TEXT: Final = r"(?s)<(script|style).*?</\1>|<[^>]*>"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, after redirects."""

    url: str
    status: int
    text: str

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.url).path

    @property
    def words(self) -> str:
        """What a person reads."""
        return " ".join(unescape(re.sub(_NOT_TEXT, " ", self.text)).split())


@dataclass
class Visitor:
    """One person with cookies of her own; where no answer comes, methods raise OSError."""

    base: str
    name: str
    jar: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def get(self, path: str, *, timeout: float = _SECONDS) -> Page:
        return self._open(path, None, timeout)

    def sign_up(self, *, timeout: float = _SECONDS) -> Page:
        return self._send("/hub/signup", timeout)

    def log_in(self, *, timeout: float = _SECONDS) -> Page:
        """Log in, which starts the person's server."""
        return self._send("/hub/login", timeout)

    def _send(self, form: str, timeout: float) -> Page:
        """Open a page with a form, fill it in, send it."""
        page = self.get(form, timeout=timeout)
        fields = {"username": self.name, "password": PASSWORD, **dict(_HIDDEN.findall(page.text))}
        return self._open(form, urllib.parse.urlencode(fields).encode(), timeout)

    def _open(self, path: str, data: bytes | None, timeout: float) -> Page:
        request = urllib.request.Request(  # noqa: S310 - the machine's own address
            f"{self.base}{path}", data,
            {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"},
        )  # fmt: skip
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )
        try:
            with opener.open(request, timeout=timeout) as answer:
                return Page(answer.url, answer.status, answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            return Page(error.url, error.code, error.read().decode(errors="replace"))
