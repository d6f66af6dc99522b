"""The requests by which JupyterLab shows itself, opens a notebook and runs a cell.

`lab_requests.txt` holds them as Chromium made them (`chromium.py` records them). One request a
line; an empty line ends a *wave*: the browser asked for nothing of the next wave before this one
was answered. A request after `&` was slow and not waited for. `WS` opens a websocket. In the
section [kernel] are the messages to the kernel; `wait` stands where Lab waited for its replies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "lab_requests.txt"
SECTIONS: Final = ("lab", "notebook", "kernel")
_WILL_RUN_ON_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Request:
    """One request; its path and body have {placeholders} for what differs each time."""

    method: str
    path: str
    status: int
    body: str = ""
    waited_for: bool = True

    def line(self) -> str:
        words = [self.method, self.path, str(self.status), self.body]
        return ("" if self.waited_for else "& ") + " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class KernelStep:
    """A message to the kernel, or (without a kind) waiting for the replies to all so far."""

    channel: str = ""
    kind: str = ""
    content: str = "{}"

    def line(self) -> str:
        return f"{self.channel} {self.kind} {self.content}" if self.kind else "wait"


@dataclass(slots=True)
class Sequence:
    """Everything from JupyterLab's page to the message before the first cell."""

    about: str = ""
    lab: list[list[Request]] = field(default_factory=list)
    notebook: list[list[Request]] = field(default_factory=list)
    kernel: list[KernelStep] = field(default_factory=list)


def parse(text: str) -> Sequence:
    """Read the file's text; ValueError names the line that can't be read."""
    found, section, new_wave = Sequence(), "", True
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            found.about = f"{found.about} {line[1:].strip()}".strip()
        elif not line.strip():
            new_wave = True
        elif line.startswith("["):
            section, new_wave = line.strip("[]"), True
            if section not in SECTIONS:
                raise ValueError(f"line {number}: there is no section {section}")
        elif section == "kernel":
            found.kernel.append(_parse_kernel_step(line))
        elif section:
            waves = found.lab if section == "lab" else found.notebook
            if new_wave:
                waves.append([])
            waves[-1].append(_parse_request(line, number))
            new_wave = False
        else:
            raise ValueError(f"line {number}: a request before the first section")
    return found


def _parse_request(line: str, number: int) -> Request:
    match = re.fullmatch(r"(& )?([A-Z]+) (\S+) (\d{3})(?: (.+))?", line)
    if not match:
        raise ValueError(f"line {number}: not a request: {line[:80]}")
    return Request(match[2], match[3], int(match[4]), match[5] or "", waited_for=not match[1])


def _parse_kernel_step(line: str) -> KernelStep:
    if line == "wait":
        return KernelStep()
    channel, kind, content = line.split(" ", 2)
    return KernelStep(channel, kind, content)


def form(sequence: Sequence) -> str:
    """The file's text."""
    lines = [f"# {line}" for line in sequence.about.splitlines()]
    for name, waves in (("lab", sequence.lab), ("notebook", sequence.notebook)):
        lines += ["", f"[{name}]"]
        lines.append("\n\n".join("\n".join(one.line() for one in wave) for wave in waves))
    lines += ["", "[kernel]", *(step.line() for step in sequence.kernel)]
    return "\n".join(lines) + "\n"


def filled(template: str, values: Mapping[str, str]) -> str:
    """Put values in the place of {names}; braces around anything else are the text's own."""
    return re.sub(r"\{([a-z]+)\}", lambda match: values.get(match[1], match[0]), template)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a browser made it: seconds when it was asked and when it was answered."""

    asked: float
    answered: float
    request: Request


def waves(seen: Iterable[Seen]) -> list[list[Request]]:
    """Put requests that were under way at the same time into one wave.

    The next wave begins when everything of this one is answered, but for requests that go on for a
    while yet: those were not what the browser waited for.
    """
    found: list[list[Request]] = []
    current: list[Seen] = []

    def close(at: float) -> None:
        wave = []
        for one in current:
            request = one.request
            if one.answered > at:
                request = Request(
                    request.method, request.path, request.status, request.body, waited_for=False
                )
            wave.append(request)
        if wave:
            found.append(wave)

    for one in sorted(seen, key=lambda one: one.asked):
        running = [old for old in current if old.answered > one.asked]
        if (
            current
            and len(running) < len(current)
            and all(old.answered > one.asked + _WILL_RUN_ON_SECONDS for old in running)
        ):
            close(one.asked)
            current = []
        current.append(one)
    close(float("inf"))
    return found


def placed(url: str, places: Mapping[str, str]) -> str:
    """The path with {names} for addresses that differ from user to user, the longest first."""
    for name, prefix in sorted(places.items(), key=lambda item: -len(item[1])):
        if url.startswith(prefix):
            url = f"{{{name}}}{url[len(prefix) :]}"
            break
    return re.sub(r"([?&])\d{13}$", r"\1{now}", url)


def addresses(config: Mapping[str, Any]) -> dict[str, str]:
    """Where Lab's own page says its files and the user's are, by the names in the templates."""
    return {
        "base": str(config["baseUrl"]),
        "static": str(config["fullStaticUrl"]),
        "labextensions": str(config["fullLabextensionsUrl"]),
        "themes": str(config["fullThemesUrl"]),
        "root": str(config["serverRoot"]),
    }


def page_config(html: str) -> dict[str, Any]:
    """What JupyterLab's page tells its scripts; ValueError if it is no such page."""
    match = re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', html, re.DOTALL)
    if not match:
        raise ValueError("not JupyterLab's page")
    config: dict[str, Any] = json.loads(match[1])
    return config
