"""Links to Git repositories: what they say, and what is refused."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from appliance.errors import BadRequest
from appliance.hub.classroom.git_links import parse_git_link

SITE = "https://hub.example/jupyter/"


def query(address: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(address).query).items()}


def test_a_link_says_what_to_bring_and_what_to_open() -> None:
    link = parse_git_link(
        " https://git.example:8443/a/course.git ", branch="term/2", path="/week 1/ä#?.ipynb/"
    )
    address = link.address(SITE)
    assert address.startswith(f"{SITE}hub/user-redirect/git-pull?")
    assert query(address) == {
        "repo": "https://git.example:8443/a/course.git",
        "branch": "term/2",
        "urlpath": "lab/tree/course/week%201/%C3%A4%23%3F.ipynb",
    }


def test_what_is_left_empty_is_left_to_nbgitpuller() -> None:
    link = parse_git_link("https://git.example/a/course/", app="notebook")
    assert query(link.address(SITE)) == {
        "repo": "https://git.example/a/course/",
        "urlpath": "tree/course",
    }


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "course",
        "--upload-pack=touch /tmp/x",
        "http://git.example/a",
        "ssh://git@git.example/a",
        "git@git.example:a/b",
        "file:///etc",
        "ext::sh -c id",
        "https://",
        "https://git.example",
        "https://git.example/",
        "https://git.example/..",
        "https://git.example/-x",
        "https://-git.example/a",
        "https://me:secret@git.example/a",
        "https://git.example/a?x=1",
        "https://git.example/a#x",
        "https://git.example/a b",
        "https://git.example/a\nb",
        "https://git.example\\@evil/a",
        "https://[::1/a",
        "https://git.example/" + "a" * 300,
    ],
)
def test_bad_repositories_are_refused(repository: str) -> None:
    with pytest.raises(BadRequest):
        parse_git_link(repository)


@pytest.mark.parametrize(
    "branch",
    [
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "@{1}",
        "a.lock",
        "/a",
        "a//b",
        ".a",
    ],
)
def test_bad_branches_are_refused(branch: str) -> None:
    with pytest.raises(BadRequest):
        parse_git_link("https://git.example/a", branch=branch)


@pytest.mark.parametrize("path", ["..", "a/../b", "a//b", "./a", "a\\b", "a\x00b"])
def test_bad_paths_are_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        parse_git_link("https://git.example/a", path=path)


def test_only_programs_that_are_there_open_it() -> None:
    with pytest.raises(BadRequest):
        parse_git_link("https://git.example/a", app="../../evil")
