"""Names that people take for one another, and full names."""

from __future__ import annotations

import pytest

from appliance.errors import BadRequest
from appliance.names import likeness, parse_full_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann.smith", "annsmith"), ("ann.smith", "ann-smith."), ("ann.smith", "ann_srnith"),
        ("bill", "bi11"), ("otto", "0tt0"), ("wim", "vvim"), ("lisa", "iisa"),
        ("ann@school.example", "ann@schoolexample"),
    ],
)  # fmt: skip
def test_names_that_look_alike(one: str, other: str) -> None:
    assert likeness(one) == likeness(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ann.smith", "anne.smith"), ("ina1", "ina2"), ("maria", "marla2"), ("bob", "rob")],
)
def test_names_that_differ(one: str, other: str) -> None:
    assert likeness(one) != likeness(other)


def test_full_names_are_kept_as_people_write_them() -> None:
    assert parse_full_name("  Anna-Lena\t von  Müller ") == "Anna-Lena von Müller"
    assert parse_full_name("e\u0301") == "é"
    assert parse_full_name("") == ""
    assert parse_full_name("李小龍") == "李小龍"


@pytest.mark.parametrize("text", ["x" * 201, "a\x00b", "a\u202eb", "a\u200bb"])
def test_full_names_that_are_no_names(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_full_name(text)
