"""The admin socket: who connects to it as root, or as the hub's own account, is root to the hub."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final
from weakref import WeakSet

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.web import Application

# struct ucred of unix(7): pid, uid, gid.
_CREDENTIALS: Final = struct.Struct("3i")


class RootGate(HTTPServerConnectionDelegate):
    """Passes requests of one socket on, remembering the connections whose peer is root."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._trusted: WeakSet[HTTPConnection] = WeakSet()

    def is_root(self, connection: object) -> bool:
        return connection in self._trusted

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        trusted = {0, os.getuid()}
        if isinstance(request_conn, HTTP1Connection) and _peer_uid(request_conn.stream) in trusted:
            self._trusted.add(request_conn)
        return self._application.start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        self._application.on_close(server_conn)


def _peer_uid(stream: IOStream) -> int:
    peer = stream.socket
    if peer is None or peer.family != socket.AF_UNIX:
        return -1
    # The kernel vouches for it as of the moment of connect (SO_PEERCRED, unix(7)).
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])
