from __future__ import annotations

import pytest

from appliance.errors import BadRequest
from appliance.names import CLASS_LINKS, parse_archive, parse_folder, parse_home_folder


@pytest.mark.parametrize("folder", ["lab1", "week 1/lab", "Übung/Blatt-1.ipynb", "a" * 200])
def test_folders_are_taken_as_they_are(folder: str) -> None:
    assert parse_folder(folder) == folder
    assert parse_home_folder(folder) == folder


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "/etc",
        "a//b",
        "a/",
        "..",
        "a/../b",
        ".ssh",
        "a/.git",
        " a",
        "a /b",
        "a\nb",
        "a\\b",
        "a\0b",
        "a\udc80",
        "ü" * 101,
        "a" * 301,
    ],
)
def test_what_leads_elsewhere_or_is_hidden_is_refused(folder: str) -> None:
    with pytest.raises(BadRequest):
        parse_folder(folder)


def test_an_area_itself_has_the_empty_name() -> None:
    assert parse_folder("", may_be_empty=True) == ""


@pytest.mark.parametrize("name", CLASS_LINKS)
def test_links_of_a_class_are_no_folders_of_a_home(name: str) -> None:
    assert parse_folder(f"{name}/x") == f"{name}/x"
    for folder in (name, f"{name}/x"):
        with pytest.raises(BadRequest, match="stand for"):
            parse_home_folder(folder)


@pytest.mark.parametrize("archive", ["", "-a", "A", "a/b", "a.b", "a" * 65])
def test_an_archives_name_is_short_and_plain(archive: str) -> None:
    assert parse_archive("biology-2026-07") == "biology-2026-07"
    with pytest.raises(BadRequest):
        parse_archive(archive)
