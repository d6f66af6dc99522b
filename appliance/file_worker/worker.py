"""One job: read from descriptor 0 what is to be done, do it, and write the report to descriptor 1.

Descriptor 0 is a socket with one message, a JSON object, and with it may come the descriptor of the
file that is read or written. The report says how it went; the exit status says only whether there
is one.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from appliance.file_worker.collecting import Unpacking, open_place, pack
from appliance.file_worker.handing_out import HandOut
from appliance.file_worker.shelves import listing, make_links, own_folder, put
from appliance.file_worker.trees import (
    RefusedError,
    open_below,
    open_top,
    opened,
    sentence,
    write_all,
)

JOB_MAX: Final = 128 * 1024

_Job = dict[str, Any]


def main() -> int:
    with socket.socket(fileno=os.dup(0)) as channel:
        message, descriptors, _, _ = socket.recv_fds(channel, JOB_MAX, 1)
    job = json.loads(message)
    report = carry_out(job, descriptors[0] if descriptors else -1)
    write_all(1, json.dumps(report).encode())
    return 0


def carry_out(job: _Job, data: int) -> dict[str, Any]:
    """The report: what the job gives, or why it couldn't be done."""
    try:
        return {"ok": True, **_JOBS[job["do"]](job, data)}
    except RefusedError as err:
        return {"ok": False, "why": err.why, "mend": err.mend}
    except OSError as err:
        # Whatever a tree holds that isn't foreseen: the job failed, and nothing else did.
        sys.stderr.write(f"{job['do']}: {err}\n")
        return {"ok": False, "why": err.strerror or str(err), "mend": ""}


def _list(job: _Job, _data: int) -> dict[str, Any]:
    with opened(open_top(job["top"])) as top, opened(_existing(top, job["folder"])) as folder:
        return {"entries": listing(folder)}


def _put(job: _Job, data: int) -> dict[str, Any]:
    with opened(open_top(job["top"])) as top:
        try:
            return put(top, _parts(job["folder"]), data, job["most"])
        except NotADirectoryError as err:
            raise RefusedError("a folder on its way is a file, or a link") from err


def _link(job: _Job, _data: int) -> dict[str, Any]:
    with opened(open_top(job["home"])) as home, opened(own_folder(home, job["slug"])) as own:
        make_links(own, job["links"], job["names"], job["root"])
    return {}


def _hand_out(job: _Job, data: int) -> dict[str, Any]:
    _link(job, data)
    folder = _parts(job["folder"])
    with (
        opened(open_top(job["top"])) as top,
        opened(_existing(top, job["folder"])) as source,
        opened(open_top(job["home"])) as home,
        opened(own_folder(home, job["slug"])) as own,
    ):
        date = time.strftime("%Y-%m-%d")
        return HandOut(own, source, folder, job["rule"], date).run()


def _pack(job: _Job, data: int) -> dict[str, Any]:
    with (
        opened(open_top(job["home"])) as home,
        opened(_existing(home, f"{job['slug']}/{job['folder']}")) as source,
        os.fdopen(data, "wb") as stream,
    ):
        return pack(source, stream)


def _unpack(job: _Job, data: int) -> dict[str, Any]:
    with (
        opened(open_top(job["top"])) as top,
        opened(open_place(top, _parts(job["place"]))) as place,
        os.fdopen(data, "rb") as stream,
    ):
        stream.seek(0)
        return Unpacking(place, job["user"]).run(stream, job["about"])


def _archive(job: _Job, data: int) -> dict[str, Any]:
    # tarfile alone takes a third of the time that this program needs to start.
    from appliance.file_worker.archiving import archive

    with opened(open_top(job["top"])) as top, os.fdopen(data, "wb") as stream:
        return archive(top, job["name"], stream)


_JOBS: Final[dict[str, Callable[[_Job, int], dict[str, Any]]]] = {
    "list": _list,
    "put": _put,
    "link": _link,
    "hand_out": _hand_out,
    "pack": _pack,
    "unpack": _unpack,
    "archive": _archive,
}


def _parts(folder: str) -> tuple[str, ...]:
    return tuple(part for part in folder.split("/") if part)


def _existing(top: int, folder: str) -> int:
    """A folder that must be there, reached over no link."""
    try:
        return open_below(top, _parts(folder))
    except FileNotFoundError as err:
        raise RefusedError("there is no such folder") from err
    except OSError as err:
        raise RefusedError(f"it cannot be opened: {sentence(err)}") from err
