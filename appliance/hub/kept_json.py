"""JSON that clients hand over and the hub keeps: all of it can be written, and it isn't long."""

from __future__ import annotations

import json

from appliance.errors import BadRequest


def check_kept(value: object, *, name: str, most_bytes: int) -> None:
    """Raise BadRequest for what would make rows and lists long, or is no JSON."""
    try:
        size = len(json.dumps(value, allow_nan=False))
    except ValueError as err:
        why = "it has numbers that JSON can't write"
        raise BadRequest(f"cannot keep {name}", why=why) from err
    if size > most_bytes:
        raise BadRequest(f"cannot keep {name}", why=f"it is longer than {most_bytes} bytes")
