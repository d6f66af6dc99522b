"""A class of students at once, each with cookies of their own: first log-in, new password, a cell.

class_bots.py URL PASSWORD  <[{"name": …, "password": …}, …]   prints {name: what the cell printed}

Everybody logs in with the password of the log-in card, chooses PASSWORD, waits for the server and
JupyterLab's page, starts a kernel and runs 6 * 7.
"""

from __future__ import annotations

import asyncio
import http.cookiejar
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from html import unescape

from notebook import Notebook
from tornado.httpclient import HTTPClientError

SECONDS = 150.0
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


class Student:
    def __init__(self, base: str, name: str) -> None:
        self.base, self.name = base, name
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )

    def open(self, path: str, form: dict[str, str] | None = None) -> tuple[str, int, str]:
        """Where it ended, the status, the page."""
        request = urllib.request.Request(  # noqa: S310 - the machine's own address
            urllib.parse.urljoin(self.base, path),
            urllib.parse.urlencode(form).encode() if form else None,
            {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"},
        )
        try:
            with self.opener.open(request, timeout=SECONDS) as answer:
                return answer.url, answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.url, error.code, error.read().decode(errors="replace")

    def send(self, path: str, **fields: str) -> tuple[str, int, str]:
        """Open a page with a form, fill it in, send it."""
        _, _, page = self.open(path)
        hidden = {name: unescape(value) for name, value in HIDDEN.findall(page)}
        return self.open(path, {**hidden, **fields})

    def come_in(self, password: str, new: str) -> None:
        url, status, page = self.send("/hub/login", username=self.name, password=password)
        if "/hub/password" not in url:
            raise AssertionError(f"{self.name} is at {url} ({status}), not asked for a password")
        url, status, page = self.send("/hub/password", password=new)
        if status >= 400:
            raise AssertionError(f"{self.name} can't choose a password: {status}: {page[:3000]}")

    def wait_for_lab(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            url, status, _ = self.open(f"/user/{self.name}/lab")
            if status == 200 and urllib.parse.urlsplit(url).path == f"/user/{self.name}/lab":
                return
            time.sleep(1)
        raise AssertionError(f"{self.name} has no JupyterLab: {status} at {url}")

    def run_a_cell(self) -> str:
        cookies = {one.name: one.value or "" for one in self.jar if one.path != "/hub/"}
        notebook = Notebook(f"{self.base}/user/{self.name}", "")
        notebook.headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-XSRFToken": cookies.get("_xsrf", ""),
        }

        async def run() -> str:
            kernel = (await notebook.ask("POST", "kernels"))["id"]
            return await notebook.run(kernel, "print(6 * 7)")

        return asyncio.run(run()).strip()


def main() -> None:
    base, new = sys.argv[1:]

    def one(card: dict[str, str]) -> tuple[str, str]:
        student = Student(base, card["name"])
        try:
            student.come_in(card["password"], new)
            student.wait_for_lab()
            return student.name, student.run_a_cell()
        except (AssertionError, OSError, HTTPClientError) as error:
            return student.name, f"{type(error).__name__}: {error}"

    cards = json.load(sys.stdin)
    with ThreadPoolExecutor(len(cards)) as together:
        print(json.dumps(dict(together.map(one, cards))))


main()
