"""The API with ten thousand users: making them, and listing them page by page.

Measured once a run and not once a round: users stay, so that a second time would measure another
thing. CPU seconds are the hub process's own.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Final

from benchmarks.processes import memory_of, process_cpu_seconds
from benchmarks.side import API_TOKEN, Side
from benchmarks.visitor import Visitor
from benchmarks.workloads import MB, Bench, Measured, Probe, wait_until_healthy

_AT_ONCE: Final = 1000
_USERS: Final = 10_000
_PAGE: Final = 50
_SECONDS: Final = 300


def many_users(bench: Bench) -> Measured:
    """Make a thousand users while others open the log-in page, then the rest, then list all."""
    side = bench.side
    side.start(bench.machine)
    wait_until_healthy(side)
    hub = side.hub_pid(bench.machine)
    probe = Probe(lambda: Visitor(side, "nobody").open_login_page())
    with probe:
        create_cpu = _cpu(hub, lambda: _make(side, 0))
    slowest = max(answer.result() for answer in probe.answers)
    for first in range(_AT_ONCE, _USERS, _AT_ONCE):
        _make(side, first)
    pages = 0

    def list_all() -> None:
        nonlocal pages
        offset: int | None = 0
        while offset is not None:
            page = _ask(side, "GET", f"/users?limit={_PAGE}&offset={offset}")
            following = page["_pagination"]["next"]
            offset = following["offset"] if following else None
            pages += 1

    page_cpu = _cpu(hub, list_all)
    return {
        "users_create_cpu": create_cpu,
        "users_create_page": 1000 * slowest,
        "users_page_cpu": 1000 * page_cpu / pages,
        "users_hub_pss": memory_of([hub]).pss / MB,
    }


def _make(side: Side, first: int) -> None:
    names = [f"pupil{number:05}" for number in range(first, first + _AT_ONCE)]
    _ask(side, "POST", "/users", {"usernames": names})


def _cpu(pid: int, work: Callable[[], object]) -> float:
    before = process_cpu_seconds(pid)
    work()
    # What was put off until after the last answer counts too.
    time.sleep(1)
    return process_cpu_seconds(pid) - before


def _ask(side: Side, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        f"{side.address}/hub/api{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"token {API_TOKEN}",
            "Content-Type": "application/json",
            "Accept": "application/jupyterhub-pagination+json",
        },
        method=method,
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_SECONDS) as answer:
        return json.load(answer)
