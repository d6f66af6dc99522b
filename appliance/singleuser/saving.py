"""Who can't save because the disk is full is told so in a sentence, and what to do."""

from __future__ import annotations

import errno
import functools
import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tornado.web import HTTPError

from .full_home import FULL

INSUFFICIENT_STORAGE: Final = 507

HOME_FULL: Final = (
    "Your home is full, so this was not saved. Delete files that you don't need any more, which "
    "makes room at once, and save again. What you typed is still here."
)
DISK_FULL: Final = (
    "This was not saved, because there is no room left: the disk or the class's folder is full. "
    "Delete what you don't need any more, or tell your teacher, and save again. What you typed is "
    "still here."
)

# What writes in the user's name while the user waits for it.
_WRITERS: Final = ("save", "create_checkpoint")


def explain_full_disk(manager: Any) -> None:
    """Let whatever manages files say why something could not be saved, its users' own included."""
    for name in _WRITERS:
        method = getattr(manager, name)
        wrap = _later if inspect.iscoroutinefunction(method) else _at_once
        setattr(manager, name, wrap(method, manager))


def _later(method: Callable[..., Any], manager: Any) -> Callable[..., Any]:
    @functools.wraps(method)
    async def explained(*args: Any, **options: Any) -> Any:
        place = _new_file(manager, args, options)
        try:
            return await method(*args, **options)
        except (OSError, HTTPError) as err:
            raise _told(err, place) from err.__cause__

    return explained


def _at_once(method: Callable[..., Any], manager: Any) -> Callable[..., Any]:
    @functools.wraps(method)
    def explained(*args: Any, **options: Any) -> Any:
        place = _new_file(manager, args, options)
        try:
            return method(*args, **options)
        except (OSError, HTTPError) as err:
            raise _told(err, place) from err.__cause__

    return explained


def _new_file(manager: Any, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """Where a file is about to be saved that isn't there yet; empty for others."""
    path = options.get("path", args[1] if len(args) > 1 else "")
    if not path or not hasattr(manager, "_get_os_path"):
        return ""
    try:
        place = str(manager._get_os_path(path))  # noqa: SLF001 - jupyter_server has no other way
    except HTTPError:
        return ""
    return "" if os.path.lexists(place) else place


def _told(error: OSError | HTTPError, place: str) -> Exception:
    """What to raise instead; of a new file that has nothing in it nothing is left."""
    told = plain(error)
    if told is not error and place:
        with suppress(OSError):
            if Path(place).stat().st_size == 0:
                Path(place).unlink()
    return told


def plain(error: Exception) -> Exception:
    """The same error, or one that says so if a full disk is behind it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            words = HOME_FULL if cause.errno == errno.EDQUOT and _is_home(cause) else DISK_FULL
            return HTTPError(INSUFFICIENT_STORAGE, words, reason="Insufficient Storage")
        cause = cause.__cause__ or cause.__context__
    return error


def _is_home(error: OSError) -> bool:
    """Whether it was the home that is full, and no class's folder that is linked into it."""
    if not isinstance(error.filename, str):
        return True
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 - links count
    return os.path.realpath(error.filename).startswith(f"{home}/")
