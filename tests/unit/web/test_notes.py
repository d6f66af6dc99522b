"""Notes for the next page: only ours are shown, and only to whom they were written."""

from __future__ import annotations

import base64
import json

import pytest

from appliance.web.notes import Note, pack, unpack
from appliance.web.xsrf import Xsrf

XSRF = Xsrf(b"k" * 32)
NOTE = Note("good", "Zoë is approved.")


def test_a_note_arrives_as_it_was_left() -> None:
    assert unpack(pack(NOTE, xsrf=XSRF, bound_to="a"), xsrf=XSRF, bound_to="a") == NOTE


def test_a_note_for_somebody_else_is_dropped() -> None:
    assert unpack(pack(NOTE, xsrf=XSRF, bound_to="a"), xsrf=XSRF, bound_to="b") is None


@pytest.mark.parametrize("value", ["", ".", "x.y", "a.b.c", "é.ü.ß"])
def test_what_is_no_note_is_dropped(value: str) -> None:
    assert unpack(value, xsrf=XSRF, bound_to="a") is None


def test_words_that_others_put_into_the_cookie_are_dropped() -> None:
    token = pack(NOTE, xsrf=XSRF, bound_to="a").partition(".")[2]
    forged = base64.urlsafe_b64encode(json.dumps(["bad", "Send me your password"]).encode())
    assert unpack(f"{forged.decode()}.{token}", xsrf=XSRF, bound_to="a") is None


def test_a_long_note_still_fits_into_a_cookie() -> None:
    packed = pack(Note("bad", "𝄞" * 9000), xsrf=XSRF, bound_to="a")
    assert len(packed) < 4000
    found = unpack(packed, xsrf=XSRF, bound_to="a")
    assert found
    assert found.text.endswith("…")
