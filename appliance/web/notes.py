"""What a page tells after a redirect: one sentence in a cookie that lives until the next page.

Pages of students' own servers share our host and may set cookies on it, so each note is signed for
the session (or visitor) that it is meant for: nobody else can put words into our pages.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final

from appliance.web.xsrf import Xsrf

COOKIE: Final = "appliance-note"
SECONDS: Final = 60
_CHARACTERS: Final = 600


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence and how it is meant: good, warn or bad."""

    kind: str
    text: str


def pack(note: Note, *, xsrf: Xsrf, bound_to: str) -> str:
    """The note as a cookie's value."""
    text = note.text if len(note.text) <= _CHARACTERS else note.text[: _CHARACTERS - 1] + "…"
    body = base64.urlsafe_b64encode(
        json.dumps([note.kind, text], ensure_ascii=False).encode()
    ).decode()
    return f"{body}.{xsrf.make(_purpose(body, bound_to))}"


def unpack(value: str, *, xsrf: Xsrf, bound_to: str) -> Note | None:
    """The note in a cookie, or None if it isn't one of ours for this session."""
    body, _, token = value.partition(".")
    if not xsrf.check(token, _purpose(body, bound_to)):
        return None
    try:
        kind, text = json.loads(base64.urlsafe_b64decode(body))
    except (ValueError, binascii.Error):
        return None
    return Note(str(kind), str(text))


def _purpose(body: str, bound_to: str) -> str:
    return f"note\0{body}\0{bound_to}"
