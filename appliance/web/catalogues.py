"""A language of the pages that has a catalogue: words by gettext, dates and numbers by Babel.

Some sentences come without the pattern they were made of: the root daemon's, and those that the
database keeps of a failed start. They are found again by the patterns of the catalogue.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from gettext import GNUTranslations
from pathlib import Path
from typing import Final, NamedTuple

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from appliance.texts import Text

_FIELD: Final = re.compile(r"\{(\w+)(![rs])?(?::[^{}]*)?\}")
# Shorter ones would be found in what they don't belong to.
_LEAST_LETTERS: Final = 8
_SENTENCE_SPACES: Final = 2


class _Pattern(NamedTuple):
    """What a sentence with values looks like, and the entry of the catalogue that it is of."""

    shape: re.Pattern[str]
    quoted: frozenset[str]
    """The values that stand in quotes, as Python writes them."""
    one: str
    many: str


class Translated:
    """A language other than English."""

    def __init__(self, code: str, file: Path) -> None:
        self.code = code
        self._locale = Locale(code)
        with file.open("rb") as source:
            catalogue = read_po(source, locale=code)
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        self._words = GNUTranslations(compiled)
        self.gettext = self._words.gettext
        self.ngettext = self._words.ngettext
        self._entries = _entries(catalogue)

    def translate(self, text: str) -> str:
        if not text:
            return ""
        if isinstance(text, Text):
            values = {name: self._value(value) for name, value in text.values.items()}
            if text.many:
                return self.ngettext(text.pattern, text.many, text.number).format_map(values)
            return self.gettext(text.pattern).format_map(values)
        found = self.gettext(text)
        return found if found != text else self._recognized(text)

    def date(self, moment: datetime, *, year: bool = True) -> str:
        if year:
            return format_date(moment, "long", locale=self._locale)
        return format_skeleton("MMMMd", moment, locale=self._locale)

    def decimal(self, number: float, digits: int) -> str:
        pattern = f"0.{'0' * digits}" if digits else "0"
        return format_decimal(number, pattern, locale=self._locale)

    def _value(self, value: object) -> object:
        if isinstance(value, Text):
            return self.translate(value)
        # An error's literal inside another's sentence; names of people and classes are shorter.
        if isinstance(value, str) and value.count(" ") >= _SENTENCE_SPACES:
            return self.gettext(value)
        return value

    def _recognized(self, text: str) -> str:
        for pattern in self._patterns:
            found = pattern.shape.fullmatch(text)
            if found:
                values = found.groupdict()
                for name in pattern.quoted:
                    values[name] = values[name][1:-1]
                return self._filled(pattern, values)
        return text

    def _filled(self, pattern: _Pattern, values: Mapping[str, str]) -> str:
        if pattern.many:
            count = values.get("count", "1")
            form = self.ngettext(pattern.one, pattern.many, int(count) if count.isdecimal() else 2)
        else:
            form = self.gettext(pattern.one)

        def value(field: re.Match[str]) -> str:
            known = values.get(field[1], "1")
            return repr(known) if field[2] == "!r" else known

        return _FIELD.sub(value, form).replace("{{", "{").replace("}}", "}")

    @cached_property
    def _patterns(self) -> list[_Pattern]:
        """Those with values, beginning with those that say most themselves."""
        forms = [(form, one, many) for one, many in self._entries for form in {one, many or one}]
        forms.sort(key=lambda entry: -len(_FIELD.sub("", entry[0])))
        return [_pattern(*entry) for entry in forms]


def _entries(catalogue: Catalog) -> list[tuple[str, str]]:
    """The sentences with values, each with its form for many, if it has one."""
    found = []
    for message in catalogue:
        if message.id and "python-brace-format" in message.flags:
            one, many = message.id if isinstance(message.id, tuple | list) else (message.id, "")
            if len(re.findall(r"\w", _FIELD.sub("", one))) >= _LEAST_LETTERS:
                found.append((one, many))
    return found


def _pattern(form: str, one: str, many: str) -> _Pattern:
    shape, end, seen, quoted = "", 0, set(), set()
    for field in _FIELD.finditer(form):
        shape += re.escape(form[end : field.start()])
        name, end = field[1], field.end()
        shape += f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
        seen.add(name)
        if field[2] == "!r":
            quoted.add(name)
    shape += re.escape(form[end:])
    return _Pattern(re.compile(shape, re.DOTALL), frozenset(quoted), one, many)
