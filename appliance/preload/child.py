"""After the fork: the last steps as root, and then life as the user's server or kernel.

The request is read by the process that it is for, when that has become the user and is inside the
user's unit: whatever is sent, root never looks at it.
"""

from __future__ import annotations

import array
import atexit
import gc
import io
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, TextIO

from . import linux
from .confinement import CONNECTION, enter, join_cgroup, wait_until_orphaned
from .peer import Own, Peer, RefusedError, inspect

PRELOADED_VARIABLE: Final = "APPLIANCE_PRELOADED"
REFUSED_STATUS: Final = 1

# Of these the daemon has only so many at a time, so none may take long, whatever the peer does.
_ATTEND_SECONDS: Final = 2
_TALK_SECONDS: Final = 5.0
_REQUEST_MAX: Final = 1 << 20
_DESCRIPTORS: Final = 4
_CHUNK: Final = 1 << 16


class Template(Protocol):
    """A module of what is preloaded: `server` or `kernel`."""

    def refuses(self, args: list[str], environ: dict[str, str]) -> str:
        """Why this request must start cold, "" if it need not; already in its surroundings."""
        ...

    def run(self, args: list[str]) -> int:
        """Be the server or kernel; the exit status."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What to run, as the peer would have run it itself."""

    kind: str
    args: list[str]
    environ: dict[bytes, bytes]
    descriptors: list[int]
    """Standard input, output and error, and the working directory."""


def attend(kind: str, template: Template, own: Own, null: int) -> NoReturn:
    """In a child of the daemon, as root: look at the peer, enter its unit, and stay there.

    A second fork comes after the move: moving doesn't ask for the unit's TasksMax, forking does.
    """
    try:
        signal.alarm(_ATTEND_SECONDS)
        with socket.socket(fileno=os.dup(CONNECTION)) as connection:
            peer = inspect(connection, own)
        join_cgroup(peer)
        between = os.getpid()
        if os.fork():
            os._exit(0)
        wait_until_orphaned(between)
    except BaseException as err:  # noqa: BLE001 - whatever it is, this process ends here
        _report(err)
        _refuse(_reason(err))
        os._exit(REFUSED_STATUS)
    _live(kind, template, peer, own, null)


def _live(kind: str, template: Template, peer: Peer, own: Own, null: int) -> NoReturn:
    try:
        enter(peer, own, null)
    except BaseException as err:  # noqa: BLE001 - it may still be root, so not one step more
        _refuse(_reason(err))
        os._exit(REFUSED_STATUS)
    serve_request(kind, template)


def serve_request(kind: str, template: Template) -> NoReturn:
    """As the user: read the request on CONNECTION, agree on it, run it, end with its status."""
    try:
        args = _agree(kind, template)
    except BaseException as err:  # noqa: BLE001 - the user sent it, so anything may come of it
        _refuse(_reason(err))
        os._exit(REFUSED_STATUS)
    status = 1
    try:
        status = template.run(args)
    except SystemExit as err:
        status = _exit_status(err.code)
    except BaseException:  # noqa: BLE001 - what Python's own top level does
        traceback.print_exc()
    _end(status)


def _agree(kind: str, template: Template) -> list[str]:
    """Take over what the request says, tell the peer, and wait for its word to go."""
    connection = socket.socket(fileno=CONNECTION)
    connection.settimeout(_TALK_SECONDS)
    request = _receive(connection)
    if request.kind != kind:
        raise RefusedError(f"this daemon has no {request.kind!r}")
    environ = {os.fsdecode(name): os.fsdecode(value) for name, value in request.environ.items()}
    # Whether to start cold can depend on the working directory and what is in the user's home.
    _take_over(request)
    reason = template.refuses(request.args, environ)
    if reason:
        raise RefusedError(reason)
    connection.sendall(f"OK {os.getpid()}\n".encode())
    # A peer that lost patience has started cold by now, and there must be only one of us.
    if connection.recv(1) != b"G":
        os._exit(0)
    connection.close()
    linux.set_title(request.args)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.enable()
    return request.args


def _receive(connection: socket.socket) -> Request:
    room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, flags, _ = connection.recvmsg(_CHUNK, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(content) - len(content) % descriptors.itemsize
            descriptors.frombytes(content[:whole])
    if flags & socket.MSG_CTRUNC or len(descriptors) != _DESCRIPTORS:
        raise RefusedError("the request must bring four descriptors")
    while len(data) < 4 or len(data) < 4 + (length := int.from_bytes(data[:4], "little")):
        if len(data) >= 4 and length > _REQUEST_MAX:
            raise RefusedError("the request is too long")
        more = connection.recv(_CHUNK)
        if not more:
            raise RefusedError("the request is not complete")
        data += more
    words = data[4:].split(b"\0")[:-1]
    return _parse(words, descriptors.tolist())


def _parse(words: list[bytes], descriptors: list[int]) -> Request:
    if len(words) < 2 or not words[1].isdigit():
        raise RefusedError("the request does not say how many arguments it has")
    kind, count = os.fsdecode(words[0]), int(words[1])
    args, variables = words[2 : 2 + count], words[2 + count :]
    if count != len(args):
        raise RefusedError("the request has fewer arguments than it says")
    pairs = (variable.partition(b"=") for variable in variables)
    environ = {name: value for name, sign, value in pairs if name and sign}
    return Request(kind, [os.fsdecode(arg) for arg in args], environ, descriptors)


def _take_over(request: Request) -> None:
    """Descriptors, working directory, environment, and the Python objects made from them."""
    *standard, directory = request.descriptors
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    os.fchdir(directory)
    for descriptor in request.descriptors:
        os.close(descriptor)
    os.environ.clear()
    for name, value in request.environ.items():
        os.environb[name] = value
    os.environ[PRELOADED_VARIABLE] = "1"
    time.tzset()
    sys.stdin = sys.__stdin__ = _stream(0, sys.stdin)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, sys.stdout)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, sys.stderr)  # type: ignore[misc]


def _stream(number: int, before: TextIO) -> io.TextIOWrapper:
    """As Python makes it at its start; the daemon's own may hold text in their buffers."""
    raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
    raw.name = before.name
    return io.TextIOWrapper(
        io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=number == 2 or os.isatty(number),
    )


def _end(status: int) -> NoReturn:
    """What Python does at its end; never a return into the daemon's code."""
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - no public name
    with suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001 - no public name
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - as Python itself does
    return 1


def _reason(err: BaseException) -> str:
    if isinstance(err, RefusedError):
        return str(err)
    if isinstance(err, OSError) and err.errno is not None:
        return f"{type(err).__name__}: {os.strerror(err.errno)}"
    return f"{type(err).__name__} in the preload daemon"


def _report(err: BaseException) -> None:
    """A line in the daemon's journal, as sd-daemon(3) has it."""
    words = " ".join(f"{_reason(err)}; {err}".split())[:300]
    with suppress(OSError):
        os.write(2, f"<5>refused a request: {words}\n".encode())


def _refuse(reason: str) -> None:
    """Tell the peer without waiting for it."""
    with suppress(OSError), socket.socket(fileno=os.dup(CONNECTION)) as connection:
        connection.send(f"NO {reason}\n".encode(errors="replace")[:300], socket.MSG_DONTWAIT)
