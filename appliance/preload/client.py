"""Ask a preload daemon for a process; start cold if there is none to be had.

As a script it is the first process of a server's unit: `python -I -S client.py SOCKET KIND --
COMMAND…` hands its place over to the forked process, or becomes COMMAND itself. It must start in a
few milliseconds, so it imports next to nothing, and `appliance` isn't on its path.
"""

import _socket
import os
import sys

# typing.TYPE_CHECKING under another name: importing typing takes as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLD_VARIABLE = "APPLIANCE_COLD_START"
# Longer than any start on a busy machine, and short enough for somebody who waits.
TIMEOUT_SECONDS = 3.0

# Linux refuses longer messages with descriptors on busy sockets; the rest follows.
_FIRST_BYTES = 32768


class Cold(Exception):
    """There is no process to be had; the message says why."""


class Offer:
    """A process that waits for the word to go; it ends by itself if none comes."""

    def __init__(self, connection: _socket.socket, pid: int) -> None:
        self._connection = connection
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)

    def accept(self) -> None:
        """Let it run; raises Cold if it is gone."""
        try:
            self._connection.sendall(b"G")
        except OSError as err:
            os.close(self.pidfd)
            raise Cold(f"the preloaded process ended: {err.strerror}") from err
        finally:
            self._connection.close()


def ask(
    path: str,
    kind: str,
    args: "Sequence[str]",
    environ: "Mapping[str, str] | Mapping[bytes, bytes]",
    descriptors: "Sequence[int]" = (0, 1, 2),
    *,
    cwd: str = ".",
    timeout: float = TIMEOUT_SECONDS,
) -> Offer:
    """An Offer of a process with these arguments, environment, descriptors and directory.

    `environ` has bytes or text; `timeout` is in seconds and for each step. Raises Cold.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
        try:  # noqa: SIM105 - importing contextlib would take longer than all the rest
            _send(connection, _encode(kind, args, environ), descriptors, cwd)
        except BrokenPipeError:
            # A daemon that refuses doesn't wait for the request; its answer, which says why, is
            # there to be read.
            pass
        return Offer(connection, _answer(connection))
    except Cold:
        connection.close()
        raise
    except TimeoutError as err:
        connection.close()
        raise Cold("the preload daemon did not answer in time") from err
    except (FileNotFoundError, ConnectionRefusedError) as err:
        connection.close()
        raise Cold("the preload daemon is not running") from err
    except OSError as err:
        connection.close()
        raise Cold(f"the preload daemon cannot be reached: {err.strerror}") from err


def _encode(
    kind: str, args: "Sequence[str]", environ: "Mapping[str, str] | Mapping[bytes, bytes]"
) -> bytes:
    words = [os.fsencode(kind), b"%d" % len(args)]
    words += [os.fsencode(arg) for arg in args]
    words += [os.fsencode(name) + b"=" + os.fsencode(value) for name, value in environ.items()]
    text = b"\0".join(words) + b"\0"
    return len(text).to_bytes(4, "little") + text


def _send(
    connection: _socket.socket, message: bytes, descriptors: "Sequence[int]", cwd: str
) -> None:
    directory = os.open(cwd, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        numbers = b"".join(
            number.to_bytes(4, sys.byteorder) for number in (*descriptors, directory)
        )
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)]
        sent = connection.sendmsg([message[:_FIRST_BYTES]], rights)
    finally:
        os.close(directory)
    connection.sendall(message[sent:])


def _answer(connection: _socket.socket) -> int:
    answer = b""
    while not answer.endswith(b"\n"):
        more = connection.recv(400)
        if not more:
            raise Cold("the preload daemon broke off")
        answer += more
    word, _, rest = answer.decode(errors="replace").strip().partition(" ")
    if word != "OK":
        raise Cold(rest or "the preload daemon refused")
    return int(rest)


def main(argv: "Sequence[str]") -> None:
    path, kind, _, *cold = argv
    try:
        offer = ask(path, kind, cold, os.environb)
    except Cold as err:
        os.environ[COLD_VARIABLE] = str(err)
        os.write(2, f"<5>starting without preloading: {err}\n".encode())
        os.execv(cold[0], cold)  # noqa: S606 - no shell is wanted
    # systemd reads messages in the order of sending, so it knows whose READY=1 counts by the time
    # that the child says it.
    _notify(b"MAINPID=%d" % offer.pid)
    offer.accept()
    _wait_until_read()
    os._exit(1 if _has_ended(offer.pidfd) else 0)


def _notify(message: bytes, descriptor: int | None = None) -> None:
    """sd_notify(3)"""
    address = os.environb.get(b"NOTIFY_SOCKET", b"")
    if not address:
        return
    rights: list[tuple[int, int, bytes]] = []
    if descriptor is not None:
        number = descriptor.to_bytes(4, sys.byteorder)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, number)]
    notifier = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    notifier.connect(b"\0" + address[1:] if address.startswith(b"@") else address)
    notifier.sendmsg([message], rights)
    notifier.close()


def _wait_until_read() -> None:
    """Until systemd knows its new main process, or our end would be taken for the unit's.

    sd_notify_barrier(3): systemd closes the descriptor when all before it is done.
    """
    reader, writer = os.pipe()
    _notify(b"BARRIER=1", writer)
    os.close(writer)
    os.read(reader, 1)


def _has_ended(pidfd: int) -> bool:
    """Whether the process behind the pidfd is gone; pidfd_open(2)."""
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


if __name__ == "__main__":
    main(sys.argv[1:])
