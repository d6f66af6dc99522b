"""The hub's side of the spawner daemon: asks over its socket, raises what it answers.

A connection for each request keeps them independent: a start that takes its minute doesn't hold up
a list, and a daemon that is restarted breaks only what was under way. One more connection stays
open and carries the ends of servers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from appliance.errors import (
    BadRequest,
    NotFound,
    SpawnError,
    SpawnFailed,
    SpawnRefused,
    SpawnTimeout,
)
from appliance.interfaces import Exited, OfflineReport, Running, Started, StartRequest
from appliance.limits import Told
from appliance.names import ServerId, ServerName, Username
from appliance.systemd_spawner.class_client import ClassFilesClient

log = logging.getLogger(__name__)

# Of the fullest folder with the longest names; a list of a thousand servers is a small part of it.
_REPLY_MAX: Final = 2**24
_ANSWER_SECONDS: Final = 60.0
# Beyond the server's own time: its account and home, its stop, and a daemon that is just starting.
_START_SLACK_SECONDS: Final = 120.0
_RETRY_FIRST_SECONDS: Final = 0.2
_RETRY_MAX_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.5


class ConnectionBrokeError(SpawnError):
    """The daemon went away before it answered; what was asked may have been done."""


class SystemdSpawner(ClassFilesClient):
    """Fulfils `interfaces.Spawner`, and `ClassFiles` too, with the root daemon of this package."""

    holds_limits = True

    def __init__(self, socket: Path, *, start_timeout_seconds: int = 3600) -> None:
        """The daemon ends a start in time by itself; `start_timeout_seconds` is a last resort."""
        super().__init__()
        self._socket = socket
        self._start_seconds = start_timeout_seconds + _START_SLACK_SECONDS
        self._known: set[ServerId] = set()

    async def start(self, server: ServerId, request: StartRequest) -> Started:
        """Return when the server said it is ready; raise SpawnError, with nothing left running."""
        message: dict[str, Any] = {"verb": "start", **_names(server), "token": request.token}
        message["told"] = request.told.model()
        try:
            reply = await self.ask(message, seconds=self._start_seconds)
        except ConnectionBrokeError:
            await self._wait_for_outcome(server)
            reply = {}
        self._known.add(server)
        return _started(reply)

    async def stop(self, server: ServerId) -> None:
        """Return when it is gone."""
        message = {"verb": "stop", **_names(server)}
        try:
            await self.ask(message)
        except ConnectionBrokeError:
            # Asking again is harmless, and the new daemon takes it up.
            await self.ask(message)

    async def running(self) -> dict[ServerId, Running]:
        """Every server that systemd has now."""
        reply = await self.ask({"verb": "list"})
        servers = [_running(row) for row in reply["servers"]]
        self._known |= {running.server for running in servers}
        return {running.server: running for running in servers}

    async def exits(self) -> AsyncIterator[Exited]:
        """Ends of servers as they happen, or after a break of the connection that hid them."""
        pause = _RETRY_FIRST_SECONDS
        while True:
            try:
                async for exited in self._watch():
                    pause = _RETRY_FIRST_SECONDS
                    self._known.discard(exited.server)
                    yield exited
            except (SpawnError, OSError) as err:
                log.warning("cannot watch servers: %s", err)
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            pause = min(pause * 2, _RETRY_MAX_SECONDS)

    async def log(self, server: ServerId, *, lines: int) -> list[str]:
        """The last lines in the journal, oldest first."""
        lines = min(max(lines, 1), 1000)
        reply = await self.ask({"verb": "log", **_names(server), "lines": lines})
        return [str(line) for line in reply["lines"]]

    async def forget_user(self, user: Username) -> None:
        """Stop the user's servers and retire the account and its home."""
        await self.ask({"verb": "forget_user", "user": user}, seconds=_ANSWER_SECONDS * 2)

    async def rename_user(self, user: Username, new: Username) -> None:
        """Let the account and its home be the new name's."""
        await self.ask({"verb": "rename_user", "user": user, "new": new})

    async def apply_limits(self) -> None:
        """Put the limits of the rendered configuration on the servers that run."""
        await self.ask({"verb": "apply_limits"})

    async def set_offline(self, users: Sequence[Username]) -> OfflineReport:
        """Take the network from the servers of these users and of nobody else."""
        reply = await self.ask({"verb": "set_offline", "users": sorted(users)})
        return OfflineReport(
            open=tuple(Username(str(name)) for name in reply["open"]),
            cut=tuple(Username(str(name)) for name in reply["cut"]),
        )

    async def set_limits(self, people: Mapping[Username, Told]) -> None:
        """Put the limits of some users on their servers that run."""
        told = {user: one.model() for user, one in people.items()}
        await self.ask({"verb": "set_limits", "people": told})

    async def _watch(self) -> AsyncIterator[Exited]:
        reader, writer = await self._connect()
        try:
            await self._send(writer, {"verb": "watch"})
            _check(await _read(reader))
            # Subscribed first, then looked: an end in between is told twice rather than never.
            before = set(self._known)
            now = await self.running()
            for server in sorted(before - now.keys()):
                reason = "it ended while the spawner daemon was away"
                yield Exited(server, reason, failed=True, cause="unseen")
            while True:
                event = await _read(reader)
                yield _exited(event)
        finally:
            await _close(writer)

    async def _wait_for_outcome(self, server: ServerId) -> None:
        """The daemon was restarted in the middle of a start, which systemd carries on with."""
        deadline = asyncio.get_running_loop().time() + self._start_seconds
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            with suppress(ConnectionBrokeError):
                running = (await self.running()).get(server)
                if running is None:
                    break
                if running.ready:
                    return
        raise SpawnFailed(
            f"cannot start the server of '{server}'",
            why="the spawner daemon was restarted meanwhile",
            mend="start it again",
            log=tuple(await self.log(server, lines=30)),
        )

    async def ask(
        self, message: dict[str, Any], *, seconds: float = _ANSWER_SECONDS, descriptor: int = -1
    ) -> dict[str, Any]:
        """The daemon's reply; a descriptor goes with the request if it needs one."""
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(seconds):
                if descriptor >= 0:
                    await self._send_descriptor(writer, descriptor)
                await self._send(writer, message)
                return _check(await _read(reader))
        except TimeoutError as err:
            raise SpawnTimeout(
                f"cannot {message['verb']}",
                why=f"the spawner daemon did not answer within {seconds:.0f} seconds",
                mend="systemctl restart appliance-spawner (servers go on running)",
            ) from err
        finally:
            await _close(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(str(self._socket), limit=_REPLY_MAX)
        except OSError as err:
            raise SpawnError(
                "cannot reach the spawner daemon",
                why=f"{self._socket}: {err.strerror or err}",
                mend="systemctl status appliance-spawner.socket appliance-spawner.service",
            ) from err

    async def _send_descriptor(self, writer: asyncio.StreamWriter, descriptor: int) -> None:
        """Ahead of the request, with the blank that a message must have at least."""
        connection = writer.get_extra_info("socket")
        try:
            # Nothing else was sent yet, so there is room.
            with socket.socket(fileno=os.dup(connection.fileno())) as same:
                socket.send_fds(same, [b" "], [descriptor])
        except OSError as err:
            raise _broken() from err

    async def _send(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        try:
            writer.write(json.dumps(message).encode() + b"\n")
            await writer.drain()
        except OSError as err:
            raise _broken() from err


async def _read(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        line = await reader.readline()
    except OSError as err:
        raise _broken() from err
    if not line.endswith(b"\n"):
        raise _broken()
    content = json.loads(line)
    if not isinstance(content, dict):
        raise TypeError("the spawner daemon sent no object")
    return content


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _check(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply, or the error that it carries."""
    if reply.get("ok") is True:
        return reply
    what = str(reply.get("what", "cannot ask the spawner daemon"))
    why, mend = str(reply.get("why", "")), str(reply.get("mend", ""))
    lines = tuple(str(line) for line in reply.get("log", ()))
    match reply.get("code"):
        case "refused":
            raise SpawnRefused(what, why=why, mend=mend, log=lines)
        case "timeout":
            raise SpawnTimeout(what, why=why, mend=mend, log=lines)
        case "failed":
            raise SpawnFailed(what, why=why, mend=mend, log=lines)
        case "bad_request":
            raise BadRequest(what, why=why, mend=mend)
        case "not_found":
            raise NotFound(what, why=why, mend=mend)
    raise SpawnError(what, why=why, mend=mend, log=lines)


def _broken() -> ConnectionBrokeError:
    return ConnectionBrokeError(
        "cannot ask the spawner daemon",
        why="it ended the connection without an answer; it may be starting anew",
        mend="try again; sudo appliance logs spawner",
    )


def _names(server: ServerId) -> dict[str, str]:
    return {"user": server.user, "server": server.name}


def _server(row: dict[str, Any]) -> ServerId:
    return ServerId(Username(str(row["user"])), ServerName(str(row["server"])))


def _started(reply: dict[str, Any]) -> Started:
    # A daemon of an older version, not yet restarted, says neither.
    return Started(
        preloaded=reply.get("preloaded") is True, cold_reason=str(reply.get("cold_reason", ""))
    )


def _exited(event: dict[str, Any]) -> Exited:
    return Exited(
        _server(event),
        str(event["reason"]),
        failed=bool(event["failed"]),
        # A daemon of an older version, not yet restarted, doesn't say.
        cause=str(event.get("cause", "other")),
    )


def _running(row: dict[str, Any]) -> Running:
    return Running(
        server=_server(row),
        ready=bool(row["ready"]),
        started=datetime.fromisoformat(row["started"]),
        memory_bytes=row["memory_bytes"],
        memory_limit_bytes=row["memory_limit_bytes"],
        cpu_seconds=row["cpu_seconds"],
        tasks=row["tasks"],
        # A daemon of an older version, not yet restarted, doesn't say.
        cpu_limit=row.get("cpu_limit"),
        tasks_limit=row.get("tasks_limit"),
    )
