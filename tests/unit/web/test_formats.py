"""How pages write times and sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.web import formats

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KB"),
        (312 * 2**20, "312 MB"),
        (2**30, "1 GB"),
        (1.5 * 2**30, "1.5 GB"),
        (2**30 - 1, "1024 MB"),
        (12.6 * 2**30, "13 GB"),
        (3 * 2**40, "3 TB"),
    ],
)
def test_sizes_are_short(count: float, words: str) -> None:
    assert formats.in_bytes(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (10, "just now"),
        (50, "1 minute ago"),
        (60 * 12, "12 minutes ago"),
        (60 * 50, "1 hour ago"),
        (3600 * 5, "5 hours ago"),
        (3600 * 23, "1 day ago"),
        (86400 * 3, "3 days ago"),
        (86400 * 8, "on 1 March 2026"),
    ],
)
def test_moments_are_told_by_their_distance(seconds: int, words: str) -> None:
    assert formats.ago(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (45, "45 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (150, "2 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (86400, "1 day"),
        (172800, "2 days"),
    ],
)
def test_lengths_of_time_keep_to_one_unit(seconds: int, words: str) -> None:
    assert formats.duration(seconds) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [("", ""), ("it is empty", "It is empty."), ("Go on!", "Go on!"), (" é ", "É.")],
)
def test_parts_of_errors_become_sentences(text: str, words: str) -> None:
    assert formats.sentence(text) == words
