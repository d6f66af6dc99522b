"""Try something out in a child first, and look what it leaves behind besides its result."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

_FINE: Final = "fine"
_REASON_BYTES: Final = 500


class MisbehavesError(Exception):
    """It can't be done in a template; the text says why."""


def probe(
    action: Callable[[], object], *, seconds: float, then: Callable[[], object] = lambda: None
) -> None:
    """Do it in a child; raises MisbehavesError if it fails, takes long, or changes surroundings.

    `then` may change them and must only not fail.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _try(action, then, writer)
    os.close(writer)
    try:
        reason = _read_reason(reader, time.monotonic() + seconds)
    except TimeoutError:
        reason = f"it takes more than {seconds:.0f} seconds"
    finally:
        os.close(reader)
        # What may have been started is in the child's process group.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if reason != _FINE:
        raise MisbehavesError(reason or "it ends the process")


def surroundings() -> dict[str, Any]:
    """What must not change in a template."""
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "open files": open_files(),
        "child processes": Path(f"/proc/self/task/{os.getpid()}/children").read_text(),
        "signal handlers": [signal.getsignal(one) for one in sorted(signal.valid_signals())],
        "the working directory": os.getcwd(),
    }


def changed(before: dict[str, Any]) -> str:
    """What of `before` is another now, in words; "" if nothing is."""
    after = surroundings()
    return ", ".join(what for what, found in before.items() if found != after[what])


def one_line(err: BaseException) -> str:
    return " ".join(traceback.format_exception_only(err)[-1].split())[:_REASON_BYTES]


def _try(action: Callable[[], object], then: Callable[[], object], writer: int) -> NoReturn:
    reason = ""
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.close(null)
        before = surroundings()
        action()
        left = changed(before)
        then()
        reason = f"it changes {left}" if left else _FINE
    except MisbehavesError as err:
        reason = str(err)
    except BaseException as err:  # noqa: BLE001 - whatever it raises, the template is told
        reason = one_line(err)
    finally:
        with contextlib.suppress(OSError):
            os.write(writer, reason.encode(errors="replace"))
        os._exit(0)


def _read_reason(reader: int, until: float) -> str:
    text = b""
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise TimeoutError
        more = os.read(reader, _REASON_BYTES)
        if not more:
            return text.decode(errors="replace")
        text += more


def open_files() -> dict[int, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        # The one that lists them is gone by now.
        with contextlib.suppress(FileNotFoundError):
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
    return found
