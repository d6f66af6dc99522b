"""Scopes in words: every scope has some, and they say whose things are meant."""

from __future__ import annotations

import re

import pytest

from appliance.access.scopes import HIERARCHY
from appliance.access.words import WORDS, in_words


def test_every_scope_has_words() -> None:
    assert set(WORDS) == set(HIERARCHY)


@pytest.mark.parametrize("scope", sorted(HIERARCHY))
@pytest.mark.parametrize(
    "bound", ["", "!user", "!user=bob", "!group=class", "!server=bob/x", "!service=s"]
)
def test_every_filter_makes_a_whole_sentence(scope: str, bound: str) -> None:
    [text] = in_words([scope + bound], reader="ada")
    assert re.fullmatch(r"[A-Z][^{}!=]+[a-z”']", text), text


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("read:users:name!user=ada", "See your user name"),
        ("access:servers!server=bob/", "Use bob's server: read and change files, run programs"),
        ("start:servers!server=ada/exam", "Start your server “exam”"),
        ("servers", "See, start and stop everybody's servers"),
        ("servers!user", "See, start and stop your servers"),
        ("read:users!group=class", "See “class” members' name, groups and last activity"),
        ("access:services!service=grades", "Use the service “grades” in your name"),
        ("groups!group=class", "See the group “class” and change who is in it"),
        ("made:up", "made:up"),
    ],
)
def test_words_say_whose_things_are_meant(scope: str, words: str) -> None:
    assert in_words([scope], reader="ada")[0].startswith(words)


def test_what_another_scope_says_already_is_left_out() -> None:
    scopes = ["servers!user=ada", "start:servers!user=ada", "read:servers!user=bob", "admin-ui"]
    assert in_words(scopes, reader="ada") == [
        "Open the admin pages",
        "See bob's servers and how they do",
        "See, start and stop your servers",
    ]


def test_custom_scopes_are_described_by_the_configuration() -> None:
    custom = {"custom:grades:read": "Read your grades"}
    assert in_words(["custom:grades:read!user=ada"], reader="ada", custom=custom) == [
        "Read your grades"
    ]
