"""The spawner, the single-user server and its kernel."""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import aclosing
from typing import Any, Final

from tornado.httpclient import HTTPClientError

from appliance.client.hub import HubUnreachable
from appliance.doctor.browser import Answer
from appliance.doctor.channels import replies
from appliance.doctor.layer import INSTALLER, SERVER, Walk, check_socket, check_unit, log_command
from appliance.doctor.report import Broken
from appliance.doctor.settings import environment_python
from appliance.doctor.system import as_account
from appliance.errors import ApplianceError, NotFound
from appliance.rollout.health import Deadline
from appliance.rollout.services import SPAWNER_UNIT, ask_spawner

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_KERNEL_SECONDS: Final = 20.0
_LOG_LINES: Final = 8
_NOBODY: Final = "65534"
_ROLL_BACK: Final = "sudo appliance env rollback"
_SOCKETS: Final = ("appliance-spawner.socket", SPAWNER_UNIT)
# What the daemon says when not the server is to blame.
_OF_THE_SPAWNER: Final = (
    "systemd refused", "systemd:", "cannot change the Unix accounts", "cannot make an account",
    "cannot store the Unix accounts", "the spawner",
)  # fmt: skip


def spawner(walk: Walk) -> str:
    """The daemon that starts servers answers."""
    if walk.places.trial:
        return "a part of the hub in a trial"
    check_unit(walk, "spawner")
    check_socket(walk, walk.places.spawner_socket, *_SOCKETS)
    try:
        ask_spawner(walk.places, {"verb": "ping"}, Deadline.after(5))
    except ApplianceError as error:
        raise Broken(
            "the spawner runs and does not answer", why=error.why,
            mend=f"sudo systemctl restart {SPAWNER_UNIT}; {log_command(walk, 'spawner')}",
            log=walk.system.journal(SPAWNER_UNIT),
        ) from error  # fmt: skip
    if walk.system.run("systemctl", "show", "--property=Version").code:
        raise Broken(
            "systemd does not answer", why="no server can be started without it",
            mend="sudo systemctl daemon-reexec; if that hangs, reboot the machine",
        )  # fmt: skip
    return "the daemon answers, and so does systemd"


def server(walk: Walk) -> str:
    """The check user's server starts, and opens through the proxy by way of the hub's OAuth."""
    _check_python(walk)
    began = time.monotonic()
    _start(walk)
    took = time.monotonic() - began
    page = walk.browser.get(walk.server_path)
    if page.status != 200 or not page.path.startswith(walk.server_path):
        raise Broken(
            "the server runs and its page can't be opened",
            why=f"{page.path} answers {page.status}: {page.said}",
            mend=f"{log_command(walk, 'hub')}; {log_command(walk, str(SERVER))}", log=_log(walk),
        )  # fmt: skip
    walk.server_root = page.root
    return f"it started in {took:.1f} s, and its page opened through the proxy"


def _check_python(walk: Walk) -> None:
    """Servers that are preloaded hide for a while that the environment on the disk is broken."""
    python = environment_python(walk.places)
    why = _complaint(walk, "-S", "-c", "")
    if why:
        raise Broken("everybody's Python can't be run", why=f"{python}: {why}", mend=INSTALLER)
    why = _complaint(walk, "-c", "import jupyter_server.serverapp")
    if why:
        raise Broken(
            "the program of the servers can't be loaded",
            why=f"jupyter_server can't be imported: {why}", mend=f"{_ROLL_BACK}; else {INSTALLER}",
        )  # fmt: skip


def _complaint(walk: Walk, *options: str) -> str:
    """What everybody's Python says when an ordinary user runs it so; "" if all is well."""
    command = [environment_python(walk.places), "-I", *options]
    if os.geteuid() == 0 and not walk.places.trial:
        command = as_account(_NOBODY, command)
    done = walk.system.run(*command, seconds=30)
    return re.sub(r"^setpriv: failed to execute \S+: ", "", done.said) if done.code else ""


def _start(walk: Walk) -> None:
    deadline = Deadline.after(_START_SECONDS)
    try:
        while (found := walk.hub.server_of(SERVER)) and found.get("pending") == "stop":
            if deadline.over:
                raise _not_started(walk, {"message": "that of an earlier check doesn't stop"})
            time.sleep(0.2)
        if not (found and found.get("ready")):
            walk.hub.start_server(SERVER)
        while not ((found := walk.hub.server_of(SERVER)) and found.get("ready")):
            if found is None or deadline.over:
                raise _not_started(walk, walk.hub.progress(SERVER) if found else {})
            time.sleep(0.1)
    except HubUnreachable as error:
        raise Broken(error.what, why=error.why, mend=error.mend, layer="hub") from error
    except Broken:
        raise
    except ApplianceError as error:
        raise _not_started(walk, {"message": str(error)}) from error


def _not_started(walk: Walk, event: dict[str, Any]) -> Broken:
    said = str(event.get("message") or "it ended while it started")
    log = _log(walk)
    if any(words in said for words in _OF_THE_SPAWNER):
        mend = log_command(walk, "spawner")
        return Broken("no server can be started", why=said, mend=mend, layer="spawner")
    return Broken("the server does not start", why=said, mend=_read_log(walk), log=log)


def _read_log(walk: Walk) -> str:
    return log_command(walk, str(SERVER))


def _log(walk: Walk) -> tuple[str, ...]:
    try:
        return tuple(walk.hub.log(SERVER, lines=_LOG_LINES))
    except (ApplianceError, NotFound):
        return ()


def kernel(walk: Walk) -> str:
    """A kernel computes 6*7, over the websocket."""
    began = time.monotonic()
    made = walk.browser.ask("POST", f"{walk.server_root}{walk.server_path}api/kernels", {})
    if made.status != 201 or not isinstance(made.json, dict):
        raise _no_kernel(walk, "no kernel can be started", made)
    walk.kernel = str(made.json["id"])
    try:
        said = asyncio.run(_compute(walk))
    except TimeoutError as error:
        raise _no_kernel(walk, "the kernel starts and does not answer") from error
    except (OSError, HTTPClientError) as error:
        raise Broken(
            "the websocket to the kernel can't be opened", why=str(error),
            mend=f"{log_command(walk, 'proxy')}; {_read_log(walk)}", log=_log(walk),
        ) from error  # fmt: skip
    if said != "42":
        raise _no_kernel(walk, f"the kernel says that 6*7 is {said!r}")
    if _kernel_complaint(walk):
        found = _no_kernel(walk, "kernels run only for as long as they are preloaded")
        raise Broken(found.what, why=found.why, mend=found.mend)
    return f"6*7 is 42, {time.monotonic() - began:.1f} s after it was asked for"


def _no_kernel(walk: Walk, what: str, answer: Answer | None = None) -> Broken:
    """Why kernels don't work; most often somebody's package broke the program itself."""
    why = _kernel_complaint(walk)
    if why:
        mend = f"{_ROLL_BACK}; else {INSTALLER}"
        why = f"ipykernel can't be imported: {why}"
        return Broken(what, why=why, mend=mend, log=_log(walk))
    why = f"{answer.status}: {answer.said}" if answer else "no answer in time"
    return Broken(what, why=why, mend=_read_log(walk), log=_log(walk))


def _kernel_complaint(walk: Walk) -> str:
    return _complaint(walk, "-c", "import ipykernel.kernelapp")


async def _compute(walk: Walk) -> str:
    """6*7, or what the kernel said instead; raises TimeoutError."""
    url = f"{walk.server_root}{walk.server_path}api/kernels/{walk.kernel}/channels"
    messages = replies(walk.browser, url, "6*7", _KERNEL_SECONDS)
    async with asyncio.timeout(_KERNEL_SECONDS), aclosing(messages):
        async for found in messages:
            if found["msg_type"] == "execute_result":
                return str(found["content"]["data"]["text/plain"])
            if found["msg_type"] == "error":
                return f"{found['content']['ename']}: {found['content']['evalue']}"
    return "the connection ended"


def clean_up(walk: Walk) -> None:
    """Stop the check user's server and lock the account; raises ApplianceError if it can't."""
    if not walk.password:
        return
    try:
        walk.hub.stop_server(SERVER)
    except NotFound:
        pass
    finally:
        walk.hub.request("DELETE", "/appliance/check-user")
    deadline = Deadline.after(_STOP_SECONDS)
    while walk.hub.server_of(SERVER) is not None and not deadline.over:
        time.sleep(0.1)
