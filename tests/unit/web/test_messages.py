"""The catalogues: every sentence of the program is in each of them, translated, and no other."""

from __future__ import annotations

import re

import pytest
from babel.messages.catalog import Message

from appliance.texts import LanguageCode
from appliance.web.languages import NAMES
from tests import messages

_BRACES = re.compile(r"\{(\w+)[^{}]*\}")
_PERCENT = re.compile(r"%\((\w+)\)s|%%|%")
_TAGS = re.compile(r"</?\w+[^>]*>")
_CODE = re.compile(r"<code>.*?</code>")


def entries(code: str) -> list[Message]:
    return [message for message in messages.read(code) if message.id]


def forms(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def values(message: Message, text: str) -> list[str]:
    """What stands for values in a sentence, and what must stay as it is."""
    pattern = _BRACES if "python-brace-format" in message.flags else _PERCENT
    if not message.flags & {"python-brace-format", "python-format"}:
        return sorted(_TAGS.findall(text))
    return sorted({*pattern.findall(text), *_TAGS.findall(text)})


def test_every_language_has_a_catalogue() -> None:
    files = {path.stem for path in messages.FOLDER.glob("*.po")}
    assert files == set(messages.TRANSLATED) == set(NAMES) - {LanguageCode.ENGLISH}


@pytest.mark.parametrize("code", messages.TRANSLATED)
def test_a_catalogue_has_the_sentences_of_the_program(code: str) -> None:
    wanted = {str(message.id) for message in messages.template() if message.id}
    present = {str(message.id) for message in entries(code)}
    assert wanted == present, "run: python -m tests.messages"


@pytest.mark.parametrize("code", messages.TRANSLATED)
def test_every_sentence_is_translated(code: str) -> None:
    count = messages.read(code).num_plurals
    missing = [
        message.id
        for message in entries(code)
        if message.fuzzy
        or not messages.is_done(message.string)
        or (not isinstance(message.id, str) and len(message.string) != count)
    ]
    assert not missing


@pytest.mark.parametrize("code", messages.TRANSLATED)
def test_values_and_tags_are_the_same_as_in_english(code: str) -> None:
    wrong = []
    for message in entries(code):
        english = forms(message.id)
        for number, form in enumerate(forms(message.string)):
            wanted = set(values(message, english[min(number, len(english) - 1)]))
            # The form for one may say "one" instead of the number.
            optional = {"count", "num"} if len(english) > 1 and number == 0 else set()
            if form and (set(values(message, form)) ^ wanted) - optional:
                wrong.append((message.id, form))
    assert not wrong


@pytest.mark.parametrize("code", messages.TRANSLATED)
def test_sentences_fit_where_they_stand(code: str) -> None:
    """In attributes of HTML a straight double quote would end the value."""
    wrong = []
    for message in entries(code):
        for english, form in zip(forms(message.id), forms(message.string), strict=False):
            if '"' in form and '"' not in english:
                wrong.append(form)
            if form and english[-1] in ".?!…:" and form.rstrip()[-1] not in ".?!…:»":
                wrong.append(form)
            if english.count("#") != form.count("#"):
                wrong.append(form)
    assert not wrong


def test_sentences_of_errors_are_found_in_the_program() -> None:
    known = {found.one for found in messages.found()}
    assert "cannot find the class {name!r}" in known, "by say"
    assert "it is for teachers" in known, "an error's literal"
    assert "{count} minutes ago" in {found.many for found in messages.found()}, "by say_many"
    assert "This page was open for too long." in known, "a form's"
