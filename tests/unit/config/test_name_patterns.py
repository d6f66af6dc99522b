"""Patterns for user names: which names they are for, and which patterns are refused."""

from __future__ import annotations

import time

import pytest

from appliance.config.load import check_text
from appliance.config.name_patterns import check_name_pattern, matches
from appliance.errors import ConfigError


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("*@school.example", ["ina@school.example", "a.b-c@school.example"],
         ["ina@school.example.org", "ina@schoolxexample", "ina"]),
        ("guest-??", ["guest-17", "guest-ab"], ["guest-1", "guest-170", "xguest-17"]),
        ("ina", ["ina"], ["in", "ina2", "aina"]),
        ("*", ["a", "ina@school.example"], []),
        ("*.s*", ["ina.s", "ina.s7"], ["inas"]),
    ],
)  # fmt: skip
def test_a_pattern_is_for_the_whole_name(
    pattern: str, fits: list[str], does_not: list[str]
) -> None:
    assert check_name_pattern(pattern) == pattern
    assert [name for name in fits if not matches(name, [pattern])] == []
    assert [name for name in does_not if matches(name, [pattern])] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", 'it is empty; write "*" for every name'),
        ("@school.example", "no user name begins with '@'; write \"*@school.example\""),
        ("*@School.Example", 'user names have small letters alone; write "*@school.example"'),
        (r"^.*@school\.example$", "user names don't have '^', and it is no regular expression"),
        ("[a-z]*", "user names don't have '[', and it is no regular expression"),
        ("ina smith", "user names don't have ' '"),
        ("*@schülen.example", "user names don't have 'ü'"),
        ("a" * 49, "a user name has 48 characters at most"),
        (".*", "no user name begins with '.'"),
    ],
)
def test_what_fits_no_name_is_refused_with_the_reason(pattern: str, why: str) -> None:
    for setting in ("allowed_names", "refused_names", "approved_names"):
        with pytest.raises(ConfigError) as caught:
            check_text(f"signup:\n  {setting}: ['{pattern}']\n", name="f")
        [problem] = caught.value.problems
        assert str(problem).startswith(f"f:2:{len(setting) + 6}  signup.{setting}[0]: must be a ")
        assert why in str(problem)


def test_a_pattern_with_many_stars_takes_no_time() -> None:
    pattern = check_name_pattern("*a" * 40)
    began = time.process_time()
    assert not matches("a" * 39 + "b" * 9, [pattern])
    assert time.process_time() - began < 0.5
