"""Patterns for user names, as settings have them: `*` stands for any characters, `?` for one.

They are no regular expressions, because a dot is part of names, and one that forgets to escape it,
or to say where the name ends, lets in whom nobody meant. A pattern is always for the whole name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from appliance.config.kinds import Means

_LONGEST: Final = 48
_ADVICE: Final = "* stands for any characters, ? for one, all else for itself"


def check_name_pattern(value: str) -> str:
    """Refuse what fits no user name, or reads as a regular expression."""
    why = _why_not(value)
    if why:
        raise ValueError(f'must be a pattern for user names, found "{value[:60]}": {why}')
    return value


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether any of the patterns is for this name, which is a canonical one."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _why_not(pattern: str) -> str:
    if not pattern:
        return 'it is empty; write "*" for every name'
    if pattern != pattern.lower():
        return f'user names have small letters alone; write "{pattern.lower()}"'
    odd = re.search(r"[^a-z0-9._@*?-]", pattern)
    if odd:
        return f"user names don't have {odd[0]!r}, and it is no regular expression: {_ADVICE}"
    if not re.match(r"[a-z0-9*?]", pattern):
        return f'no user name begins with {pattern[0]!r}; write "*{pattern}"'
    if len(pattern.replace("*", "")) > _LONGEST:
        return f"a user name has {_LONGEST} characters at most"
    return ""


NamePattern = Annotated[
    str,
    Field(max_length=100),
    AfterValidator(check_name_pattern),
    Means('a pattern for user names such as "*@school.example"'),
]
