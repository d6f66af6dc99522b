"""Links that bring a Git repository into everybody's own server, by nbgitpuller.

Whoever opens one gets a copy in the home, and on each later visit what is new in it; nbgitpuller
keeps what people have changed. The hub itself fetches nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from appliance.errors import BadRequest
from appliance.texts import say

APPS: Final = ("lab", "notebook")
_PREFIXES: Final = {"lab": "lab/tree", "notebook": "tree"}
_LONGEST: Final = 300
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
# What git-check-ref-format(1) refuses, and a hyphen first, which a command takes for an option.
_NO_REF: Final = re.compile(
    r"^-|\.\.|@\{|//|/$|^/|\.$|\.lock(?:/|$)|(?:^|/)\.|[\x00-\x20\x7f~^:?*\[\\]"
)
_EXAMPLE: Final = "https://github.com/NAME/REPOSITORY"


@dataclass(frozen=True, slots=True)
class GitLink:
    """What a link brings, and what it opens."""

    repository: str
    branch: str = ""
    """Empty: the one that the repository calls its main one."""
    path: str = ""
    """A folder or file in it to open; empty opens its first folder."""
    app: str = "lab"

    @property
    def folder(self) -> str:
        """The folder in everybody's home."""
        return self.repository.rstrip("/").rpartition("/")[2].removesuffix(".git")

    def address(self, site: str) -> str:
        """The link, at the address of the appliance (which ends with a slash)."""
        opened = "/".join(filter(None, (self.folder, self.path)))
        values = {
            "repo": self.repository,
            "branch": self.branch,
            "urlpath": f"{_PREFIXES[self.app]}/{quote(opened)}",
        }
        query = urlencode({name: value for name, value in values.items() if value})
        return f"{site}hub/user-redirect/git-pull?{query}"


def parse_git_link(
    repository: str, *, branch: str = "", path: str = "", app: str = "lab"
) -> GitLink:
    """A link of what somebody typed; raises BadRequest that says which part can't be used."""
    if app not in APPS:
        raise BadRequest("cannot make the link", why="there is no such program to open it with")
    return GitLink(
        repository=_repository(repository.strip()),
        branch=_branch(branch.strip()),
        path=_path(path.strip()),
        app=app,
    )


def _repository(text: str) -> str:
    why = ""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
        why = "it is no address"
    name = parts.path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    if not text:
        why = "it is empty"
    elif len(text) > _LONGEST or not text.isascii() or re.search(r"[\x00-\x20\x7f\\]", text):
        why = "it has characters or a length that an address may not have"
    elif parts.scheme != "https":
        why = "it doesn't begin with https://"
    elif "@" in parts.netloc:
        why = "it has a name or password in it, which everybody with the link could read"
    elif not _HOST.fullmatch(parts.netloc):
        why = "it has no host's name"
    elif parts.query or parts.fragment:
        why = "it has a “?” or “#” in it"
    elif not name or name in {".", ".."} or name.startswith("-"):
        why = "it names no repository"
    if why:
        raise BadRequest(
            say("cannot use {text!r} as a repository", text=text[:80]),
            why=why,
            mend=say("write it as {example}", example=_EXAMPLE),
        )
    return text


def _branch(text: str) -> str:
    if text and (len(text) > _LONGEST or not text.isprintable() or _NO_REF.search(text)):
        raise BadRequest(
            say("cannot use {text!r} as a branch", text=text[:80]),
            why="Git has no branches of such names",
            mend="write the branch's or tag's name, such as main, or leave it empty",
        )
    return text


def _path(text: str) -> str:
    path = text.strip("/")
    segments = path.split("/") if path else []
    if (
        len(text) > _LONGEST
        or not text.isprintable()
        or "\\" in text
        or {"", ".", ".."} & {*segments}
    ):
        raise BadRequest(
            say("cannot open {text!r}", text=text[:80]),
            why="it is no path in a repository",
            mend="write it as folder/notebook.ipynb, or leave it empty",
        )
    return path
