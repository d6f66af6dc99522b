"""Which language a request gets, and sentences, dates and numbers in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.errors import NotFound
from appliance.texts import say, say_many
from appliance.web import formats, languages
from appliance.web.forms import FormError, told
from appliance.web.templating import make_renderer

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("chosen", "accepted", "code"),
    [
        ([], "", "en"),
        ([], "de-DE,de;q=0.9,en;q=0.8", "de"),
        ([], "pt-BR,pt;q=0.9,es;q=0.5,en;q=0.4", "es"),
        ([], "en;q=0.3, fr;q=0.7", "fr"),
        ([], "de;q=0, en", "en"),
        ([], "de;q=often,,;=;q", "en"),
        ([], "*", "en"),
        (["", "fr", "es"], "de", "fr"),
        (["../../etc/passwd", "xx"], "de", "de"),
        (["en"], "de", "en"),
    ],
)
def test_the_first_choice_counts_then_the_browsers(
    chosen: list[str], accepted: str, code: str
) -> None:
    assert languages.negotiate(chosen, accepted) == code


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("en", "1 minute ago|3 days ago|on 22 November 2025|1.5 GB|1 hour"),
        ("de", "vor 1 Minute|vor 3 Tagen|am 22. November 2025|1,5 GB|1 Stunde"),
        ("fr", "il y a 1 minute|il y a 3 jours|le 22 novembre 2025|1,5 Go|1 heure"),
        ("es", "hace 1 minuto|hace 3 días|el 22 de noviembre de 2025|1,5 GB|1 hora"),
    ],
)
def test_times_and_sizes_are_as_people_there_write_them(code: str, words: str) -> None:
    with languages.speaking(code):
        found = [
            formats.ago(NOW - timedelta(minutes=1), NOW),
            formats.ago(NOW - timedelta(days=3), NOW),
            formats.ago(datetime(2025, 11, 22, 9, 0, tzinfo=UTC), NOW),
            formats.in_bytes(1.5 * 2**30),
            formats.duration(3600),
        ]
    assert "|".join(found) == words


@pytest.mark.parametrize(
    ("code", "count", "words"),
    [("fr", 0, "0 minute"), ("fr", 1, "1 minute"), ("fr", 2, "2 minutes"), ("de", 0, "0 Minuten")],
)
def test_each_language_has_its_own_plural(code: str, count: int, words: str) -> None:
    assert languages.translate(code, say_many("1 minute", "{count} minutes", count)) == words


def test_sentences_keep_their_values() -> None:
    text = say("cannot find the class {name!r}", name="7a <b>")
    assert text == "cannot find the class '7a <b>'"
    assert "7a <b>" in languages.translate("de", text)
    assert languages.translate("de", text) != text
    assert languages.translate("xx", text) == text


def test_what_was_made_elsewhere_is_found_again_by_its_pattern() -> None:
    made = str(say("cannot find the class {name!r}", name="7a"))
    assert languages.translate("de", made) == languages.translate(
        "de", say("cannot find the class {name!r}", name="7a")
    )
    assert languages.translate("de", "what {no} pattern says") == "what {no} pattern says"


def test_an_error_is_told_in_the_language_of_the_page() -> None:
    error = NotFound(say("cannot find the class {name!r}", name="7a"), why="it is for teachers")
    with languages.speaking("de"):
        form = FormError("", "This page was open for too long.", "Log in again.", 403)
        note = told(error)
    assert form.text == "Diese Seite war zu lange offen."
    assert "7a" in note
    assert "teachers" not in note
    assert told(error) == "Cannot find the class '7a': it is for teachers."


def test_a_language_holds_for_its_block_alone() -> None:
    with languages.speaking("de"):
        assert languages.localized(say("just now")) == "gerade eben"
        with languages.speaking("fr"):
            assert languages.localized(say("just now")) == "à l’instant"  # noqa: RUF001
        assert languages.current().code == "de"
    assert languages.localized(say("just now")) == "just now"


def test_one_environment_renders_in_each_language() -> None:
    render = make_renderer("/")
    pages = {}
    for code in ("de", "en", "fr", "de"):
        with languages.speaking(code):
            page = render("setup_expired.html", {"principal": None, "xsrf_token": "", "notes": [],
                "path": "/hub/setup"})  # fmt: skip
        assert f'<html lang="{code}">' in page
        assert pages.setdefault(code, page) == page
    assert "Dieser Link gilt nicht mehr" in pages["de"]
    assert "Ce lien ne marche plus" in pages["fr"]
    assert len(set(pages.values())) == 3
