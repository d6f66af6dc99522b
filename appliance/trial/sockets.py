"""The directory of a trial's sockets, and the listening sockets that systemd opens elsewhere.

The supervisor holds them, so a restart of the hub makes clients wait in the backlog and lose
nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from appliance.errors import ApplianceError, Conflict
from appliance.places import Places

# As in units/: the names that the hub looks for among the sockets it is given.
_HUB: Final = "hub"
_ADMIN: Final = "admin"
_BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class TrialSockets:
    """Listening sockets by the names under which the hub expects them."""

    listening: dict[str, socket.socket]
    lock: int

    @classmethod
    def open(cls, places: Places) -> Self:
        """Make the directory this user's own, take its lock, and listen."""
        lock = _take_directory(places.run)
        _clear(places.run)
        for folder in (places.server_sockets, places.api_socket.parent):
            folder.mkdir(parents=True, exist_ok=True)
        visible = places.state.parent / "run"
        if visible != places.run:
            visible.unlink(missing_ok=True)
            visible.symlink_to(places.run)
        paths = {_HUB: places.hub_socket, _ADMIN: places.admin_socket}
        return cls({name: _listen(path) for name, path in paths.items()}, lock)

    def close(self, places: Places) -> None:
        """Leave nothing behind; the lock goes last."""
        for listener in self.listening.values():
            listener.close()
        shutil.rmtree(places.run, ignore_errors=True)
        visible = places.state.parent / "run"
        if visible.is_symlink():
            visible.unlink()
        os.close(self.lock)


def _take_directory(run: Path) -> int:
    run.parent.mkdir(parents=True, exist_ok=True)
    try:
        run.mkdir(mode=0o700)
    except FileExistsError:
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            # /tmp is everybody's: whoever owns the directory could be the other end of every
            # socket.
            raise ApplianceError(
                f"cannot use {run} for the trial's sockets",
                why="it isn't a directory of yours that only you may enter",
                mend=f"look who made it (ls -ld {run}) and remove it, or use another trial folder",
            ) from None
    # A lock on the directory also keeps systemd-tmpfiles from cleaning it away (tmpfiles.d(5)).
    lock = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(lock)
        raise Conflict(
            "cannot start the trial",
            why=f"it runs already (process {_holder(run)})",
            mend="open its address in a browser, or stop it with Ctrl-C where it runs",
        ) from err
    return lock


def _holder(run: Path) -> str:
    try:
        return (run / "trial.pid").read_text().strip()
    except OSError:
        return "unknown"


def _clear(run: Path) -> None:
    """What an earlier run that was killed left."""
    for path in run.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(_BACKLOG)
    return listener
