"""Which passwords are taken, and what is said of the others."""

from __future__ import annotations

import re

import pytest

from appliance.config.schema import Passwords
from appliance.errors import BadRequest
from appliance.names import Username
from appliance.native_auth.passwords import (
    as_generated,
    check_new,
    generate,
    is_common,
    normalise,
)

BOB = Username("bob")
RULES = Passwords()


@pytest.mark.parametrize(
    "password", ["correct horse battery", "ðŸ¦„ðŸ¦„ unicorns", "ünïcödé-wörds", "x7#kQ9!z"]
)
def test_good_passwords_are_taken(password: str) -> None:
    assert check_new(password, BOB, RULES)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "5 characters"),
        ("password", "most common"),
        ("Password1!", "most common"),
        ("123sunshine2024", "most common"),
        ("qwertyuiop", "most common"),
        ("i-am-BOB-the-builder", "user name"),
        ("x" * 73, "73 bytes"),
        ("ü" * 37, "74 bytes"),
        ("zero\0inside-it", "zero byte"),
        ("half \ud800 of a pair", "can't be written"),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_bad_passwords_are_refused_with_the_reason(password: str, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_new(password, BOB, RULES)
    assert why in refused.value.why
    assert refused.value.mend


def test_exactly_72_bytes_are_taken_whole() -> None:
    assert check_new("kÖ" * 24, BOB, RULES) == ("kÖ" * 24).encode()


def test_accents_are_the_same_however_they_were_typed() -> None:
    assert normalise("cafe\u0301") == normalise("caf\u00e9")


def test_the_rules_can_be_loosened() -> None:
    loose = Passwords(min_length=1, refuse_common=False)
    assert check_new("password", BOB, loose) == b"password"
    assert check_new("b", BOB, loose) == b"b"


def test_short_names_are_in_everything_and_do_not_count() -> None:
    assert check_new("blue tree water", Username("ee"), RULES)


def test_generated_passwords_are_good_and_never_the_same() -> None:
    made = {generate() for _ in range(100)}
    assert len(made) == 100
    # A name with an x, which generated ones haven't: by chance there is a bob in some.
    for password in made:
        assert check_new(password, Username("xaver"), RULES)
        assert re.fullmatch(r"(?:[b-w][aeiou][b-w][aeiou]-){3}[b-w][aeiou][b-w][aeiou]", password)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("kemo-ruda-nifa-besu", "kemo-ruda-nifa-besu"),
        ("Kemorudanifabesu", "kemo-ruda-nifa-besu"),
        ("KEMO RUDA nifa besu ", "kemo-ruda-nifa-besu"),
        ("kemo-ruda-nifa", "kemo-ruda-nifa"),
        ("Blue Tree", "Blue Tree"),
        ("", ""),
    ],
)
def test_generated_passwords_may_be_typed_as_phones_do(typed: str, meant: str) -> None:
    assert as_generated(typed) == meant


def test_the_list_knows_the_usual_suspects() -> None:
    for word in ["123456", "letmein", "iloveyou", "football", "dragon12", "MONKEY"]:
        assert is_common(word)
    assert not is_common("blue-tree-under-water")
