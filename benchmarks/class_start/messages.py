"""Messages of a kernel in the framing that JupyterLab asks for on its websocket.

`v1.kernel.websocket.jupyter.org`: a count, that many offsets, all as little-endian 64-bit numbers,
then the channel, and the header, parent header, metadata and content as JSON.
"""

from __future__ import annotations

import itertools
import json
import struct
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

PROTOCOL: Final = "v1.kernel.websocket.jupyter.org"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one channel."""

    channel: str
    kind: str
    content: dict[str, Any]
    parent: str = ""
    """The id of the message that this one answers."""


def encode(message: Message, *, session: str, number: str) -> bytes:
    """The bytes of a message from the browser; `number` is its id."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    header = {
        "date": f"{now}.000Z",
        "msg_id": number,
        "msg_type": message.kind,
        "session": session,
        "username": "",
        "subshell_id": None,
        "version": "5.2",
    }
    parts = [message.channel.encode(), json.dumps(header).encode(), b"{}", b"{}",
             json.dumps(message.content).encode()]  # fmt: skip
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def decode(data: bytes) -> Message:
    """The message in these bytes."""
    (count,) = struct.unpack_from("<Q", data)
    offsets = struct.unpack_from(f"<{count}Q", data, 8)
    channel, header, parent, _, content = (
        data[start:end] for start, end in itertools.pairwise(offsets)
    )
    return Message(
        channel.decode(),
        json.loads(header)["msg_type"],
        json.loads(content),
        json.loads(parent).get("msg_id", ""),
    )


def new_id() -> str:
    return str(uuid.uuid4())
