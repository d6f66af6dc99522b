"""The listening sockets of servers, made by root and handed over as open descriptors.

A directory that holds a socket must not be writable by the user, or she links it to somebody
else's: connecting follows symbolic links. And only the proxy's group may enter, so that no other
local user can knock. A server gets the descriptor alone.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Final

from appliance.names import ServerId, Username

# Browsers that come before the server is ready wait here instead of getting an error page.
_BACKLOG: Final = 1024


class Sockets:
    """/run/appliance/servers: a directory a user, and one below it for each named server."""

    def __init__(self, root: Path, *, proxy_group: int) -> None:
        self._root = root
        self._group = proxy_group

    def open(self, server: ServerId) -> socket.socket:
        """Make the server's socket, in place of one that is there, and listen on it."""
        path = self._root / server.socket_path
        self._ensure_folders(path.parent)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._bind(listener, path)
        except OSError:
            listener.close()
            raise
        return listener

    def remove(self, server: ServerId) -> None:
        """Take the server out of the proxy's sight; its directory keeps its name known."""
        (self._root / server.socket_path).unlink(missing_ok=True)

    def forget(self, user: Username) -> None:
        """Remove everything of the user's."""
        shutil.rmtree(self._root / user, ignore_errors=True)

    def clean(self, running: Collection[ServerId]) -> None:
        """Remove the sockets on which nobody listens any more."""
        kept = {self._root / server.socket_path for server in running}
        for path in self._root.rglob("*"):
            if path.is_socket() and path not in kept:
                path.unlink(missing_ok=True)

    def _ensure_folders(self, folder: Path) -> None:
        if folder != self._root:
            self._ensure_folders(folder.parent)
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, -1, self._group)
            folder.chmod(0o750)

    def _bind(self, listener: socket.socket, path: Path) -> None:
        # Bound under another name and renamed, so that the proxy never meets a socket that it may
        # not use or on which nobody listens; through the directory's descriptor, because the
        # longest names leave no byte for a suffix (107 bytes, unix(7)).
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            temporary = f"/proc/self/fd/{folder}/.{path.name}.new"
            Path(temporary).unlink(missing_ok=True)
            listener.bind(temporary)
            os.chown(temporary, -1, self._group)
            Path(temporary).chmod(0o660)
            listener.listen(_BACKLOG)
            Path(temporary).rename(path)
        finally:
            os.close(folder)
