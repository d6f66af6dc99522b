"""The languages of the pages: which one a request gets, and sentences in it.

A request's language holds until the end of its task, as who asks does; what is written in no
language, such as what the API answers, logs and the audit log, is English. Catalogues and what
Babel knows of dates and numbers are loaded when the first page in that language is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from appliance.texts import LanguageCode

COOKIE: Final = "appliance-language"
FOLDER: Final = Path(__file__).parent / "locale"
NAMES: Final = {
    LanguageCode.ENGLISH: "English",
    LanguageCode.GERMAN: "Deutsch",
    LanguageCode.SPANISH: "Español",
    LanguageCode.FRENCH: "Français",
}
"""Each language as it calls itself."""
_MOST_WISHES: Final = 20
_asked: ContextVar[str] = ContextVar("language", default=LanguageCode.ENGLISH)


class Language(Protocol):
    """Words, dates and numbers of a language."""

    code: str

    def gettext(self, text: str) -> str: ...

    def ngettext(self, one: str, many: str, number: int) -> str: ...

    def translate(self, text: str) -> str:
        """A text of ours, be it made by `say`, a literal, or a sentence with values in it."""

    def date(self, moment: datetime, *, year: bool = True) -> str: ...

    def decimal(self, number: float, digits: int) -> str: ...


class English:
    """What everything is written in."""

    code: str = LanguageCode.ENGLISH.value

    def gettext(self, text: str) -> str:
        return text

    def ngettext(self, one: str, many: str, number: int) -> str:
        return one if number == 1 else many

    def translate(self, text: str) -> str:
        return str(text)

    def date(self, moment: datetime, *, year: bool = True) -> str:
        return f"{moment:%-d %B %Y}" if year else f"{moment:%-d %B}"

    def decimal(self, number: float, digits: int) -> str:
        return f"{number:.{digits}f}"


def use(code: str) -> None:
    """From here to the end of this task, pages are made in this language."""
    _asked.set(code)


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """In this block, texts are made in this language: a mail to somebody else, for instance."""
    before = _asked.set(code)
    try:
        yield
    finally:
        _asked.reset(before)


def current() -> Language:
    return _load(_asked.get())


def localized(text: str) -> str:
    """The text in the language of the request under way; English outside of one."""
    return current().translate(text)


def translate(code: str, text: str) -> str:
    """The text in a language; English for what is none of ours, such as ""."""
    return _load(code).translate(text)


def negotiate(chosen: Iterable[str], accepted: str) -> str:
    """The first of the chosen ones that we have; otherwise the browser's, by what it accepts."""
    for code in chosen:
        if code in NAMES:
            return LanguageCode(code)
    wishes = [_wish(one) for one in accepted.split(",")[:_MOST_WISHES]]
    wishes.sort(key=lambda wish: -wish[1])
    for tag, quality in wishes:
        code = tag.partition("-")[0]
        if quality > 0 and code in NAMES:
            return LanguageCode(code)
    return LanguageCode.ENGLISH


def _wish(text: str) -> tuple[str, float]:
    tag, _, parameters = text.strip().lower().partition(";")
    name, _, value = parameters.strip().partition("=")
    try:
        return tag.strip(), float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return tag.strip(), 0.0


@cache
def _known(code: str) -> Language:
    if code == LanguageCode.ENGLISH:
        return English()
    from appliance.web.catalogues import Translated

    return Translated(code, FOLDER / f"{code}.po")


def _load(code: str) -> Language:
    return _known(code if code in NAMES else LanguageCode.ENGLISH)
