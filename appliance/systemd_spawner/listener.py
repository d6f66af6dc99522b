"""Connections to the daemon: who may speak, one thread each, bounded in number, size and time.

A thread a connection, because every verb but ping waits for systemd; so a slow start never holds
up a list. A client that stalls or vanishes costs its own thread until a timeout and nothing else.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import select
import socket
import struct
import threading
from collections.abc import Callable, Collection
from typing import Any, Final

from appliance.errors import ApplianceError, BadRequest, SpawnError
from appliance.systemd_spawner.class_files import ClassFilesKeeper
from appliance.systemd_spawner.ends import Ends
from appliance.systemd_spawner.protocol import (
    CLASS_VERBS,
    LINE_MAX,
    Request,
    encode,
    failure_reply,
    parse_request,
)
from appliance.systemd_spawner.servers import Servers
from appliance.systemd_spawner.services import ManagedServices
from appliance.systemd_spawner.units import SystemdError

log = logging.getLogger(__name__)

# More than a class has starts at once; each is a sleeping thread.
CONNECTIONS_MAX: Final = 256
# What a disk says that is full or broken, or that Linux has stopped writing to for that.
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EUCLEAN})
_REQUEST_TIMEOUT_SECONDS: Final = 30.0
_SEND_TIMEOUT_SECONDS: Final = 10.0
_WATCH_LOOK_SECONDS: Final = 5.0
_CREDENTIALS: Final = struct.Struct("3i")


class Listener:
    """Serves the verbs of `servers` on one listening socket."""

    def __init__(
        self,
        listening: socket.socket,
        *,
        servers: Servers,
        services: ManagedServices,
        classes: ClassFilesKeeper,
        ends: Ends,
        allowed_uids: Callable[[], Collection[int]],
        connections_max: int = CONNECTIONS_MAX,
        request_timeout: float = _REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        self._listening = listening
        self._listening.settimeout(0)
        self._servers = servers
        self._services = services
        self._classes = classes
        self._ends = ends
        self._allowed_uids = allowed_uids
        self._request_timeout = request_timeout
        self._room = threading.BoundedSemaphore(connections_max)

    def serve(self, *, stop: int, tick: Callable[[], None], interval: float) -> None:
        """Accept until the descriptor `stop` can be read; call `tick` at least every `interval`."""
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        poll.register(stop, select.POLLIN)
        while True:
            tick()
            ready = {descriptor for descriptor, _ in poll.poll(interval * 1000)}
            if stop in ready:
                return
            if ready:
                self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as err:
            # The client is gone again, or descriptors ran out; the next round sees.
            log.warning("cannot accept a connection: %s", err)
            return
        uid = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )[1]
        if uid not in self._allowed_uids():
            log.warning("refused a connection from user id %d", uid)
            connection.close()
            return
        if not self._room.acquire(blocking=False):
            log.warning("refused a connection: all are in use")
            connection.close()
            return
        threading.Thread(
            target=self._serve_connection, args=(connection,), name="connection", daemon=True
        ).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._serve_requests(connection)
        except OSError as err:
            log.debug("a client went away: %s", err)
        finally:
            self._room.release()

    def _serve_requests(self, connection: socket.socket) -> None:
        buffered = bytearray()
        descriptors: list[int] = []
        try:
            while True:
                connection.settimeout(self._request_timeout)
                line = _read_line(connection, buffered, descriptors)
                if line is None:
                    return
                connection.settimeout(_SEND_TIMEOUT_SECONDS)
                try:
                    request = parse_request(line)
                except BadRequest as err:
                    # What follows a line that isn't understood isn't either.
                    connection.sendall(encode(failure_reply(err)))
                    return
                if request.verb == "watch":
                    self._watch(connection)
                    return
                descriptor = descriptors[0] if descriptors else -1
                connection.sendall(encode(self._reply(request, descriptor)))
                _close(descriptors)
        finally:
            _close(descriptors)

    def _reply(self, request: Request, descriptor: int) -> dict[str, Any]:
        try:
            return {"ok": True, **self._carry_out(request, descriptor)}
        except ApplianceError as err:
            log.info("%s: %s", request.verb, err)
            return failure_reply(err)
        except SystemdError as err:
            log.warning("%s: systemd: %s", request.verb, err)
            return failure_reply(
                SpawnError(f"cannot {request.verb}", why=f"systemd: {err}", mend="try again")
            )
        except Exception as err:
            # The edge. Either way the traceback is for the journal.
            subject = request.school_class or request.server_id
            log.exception("%s of %s failed", request.verb, subject)
            why, mend = (
                "the spawner daemon has met a fault of its own",
                "sudo appliance logs spawner",
            )
            if isinstance(err, OSError) and err.errno in _DISK:
                why, mend = f"the disk says: {err.strerror}", "sudo appliance doctor"
            return failure_reply(SpawnError(f"cannot {request.verb}", why=why, mend=mend))

    def _carry_out(self, request: Request, descriptor: int) -> dict[str, Any]:
        servers = self._servers
        match request.verb:
            case "start":
                return servers.start(request.server_id, request.token, request.told).reply()
            case "stop":
                servers.stop(request.server_id)
            case "list":
                return {"servers": servers.listing()}
            case "log":
                return {"lines": servers.log(request.server_id, request.lines)}
            case "forget_user":
                servers.forget_user(request.user)
            case "rename_user":
                servers.rename_user(request.user, request.new)
            case "start_service":
                self._services.start(request.service, request.token)
            case "stop_service":
                self._services.stop(request.service)
            case "list_services":
                return {"services": self._services.listing()}
            case "apply_limits":
                return {"changed": servers.apply_limits()}
            case "set_offline":
                return servers.set_offline(request.users)
            case "set_limits":
                return {"changed": servers.set_limits(request.people)}
            case verb if verb in CLASS_VERBS:
                return self._classes.carry_out(request, descriptor)
        return {}

    def _watch(self, connection: socket.socket) -> None:
        connection.sendall(encode({"ok": True}))
        watcher = self._ends.subscribe()
        try:
            while True:
                try:
                    event = watcher.get(timeout=_WATCH_LOOK_SECONDS)
                except queue.Empty:
                    # A watcher says nothing more, so what can be read is its end.
                    if select.select([connection], [], [], 0)[0]:
                        return
                    continue
                try:
                    connection.sendall(encode(event))
                except OSError:
                    watcher.put(event)
                    raise
        finally:
            self._ends.unsubscribe(watcher)


def _read_line(
    connection: socket.socket, buffered: bytearray, descriptors: list[int]
) -> bytes | None:
    """The next line without its end; None when the client is done or sends too much.

    Descriptors that come with it are added to the list: at most one, the kernel drops others.
    """
    while True:
        end = buffered.find(b"\n")
        if end >= 0:
            line = bytes(buffered[:end])
            del buffered[: end + 1]
            return line
        if len(buffered) > LINE_MAX:
            connection.sendall(
                encode(
                    failure_reply(
                        BadRequest(
                            "cannot read the request", why=f"it is over {LINE_MAX} bytes long"
                        )
                    )
                )
            )
            return None
        received, came, _, _ = socket.recv_fds(
            connection, 16 * 1024, 0 if descriptors else 1, socket.MSG_CMSG_CLOEXEC
        )
        descriptors += came
        if not received:
            return None
        buffered += received


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
