"""Sentences for people that remember how they were made, so that pages can say them in another
language.

`say("cannot find {name}", name=name)` is the English text, as any other; a page looks up the
pattern in its language and fills it in anew. Text without values needs no `say` where it is an
error's or stands in a template.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class LanguageCode(StrEnum):
    """The languages that pages come in."""

    ENGLISH = "en"
    GERMAN = "de"
    SPANISH = "es"
    FRENCH = "fr"


class Text(str):
    """An English sentence with the pattern and the values that it was made of."""

    __slots__ = ("many", "number", "pattern", "values")

    pattern: str
    many: str
    """The pattern for other numbers than one; empty where there is no number."""
    number: int
    values: dict[str, object]

    @classmethod
    def of(cls, pattern: str, values: dict[str, object], *, many: str = "", count: int = 1) -> Self:
        chosen = many if many and count != 1 else pattern
        text = cls(chosen.format_map(values))
        text.pattern, text.many, text.number, text.values = pattern, many, count, values
        return text


def say(pattern: str, /, **values: object) -> Text:
    """A sentence with values in it; the pattern is a literal, to be found for translation."""
    return Text.of(pattern, values)


def say_many(one: str, many: str, /, count: int, **values: object) -> Text:
    """The same with a number in it: `{count}`; which of the patterns fits is for the language."""
    return Text.of(one, {"count": count, **values}, many=many, count=count)
