"""The differences from JupyterHub that are meant, each with its reason; docs/differences.md is made
of this table by `python -m tests.component.differential.explained`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[3] / "docs" / "differences.md"


@dataclass(frozen=True, slots=True)
class Explained:
    """Steps and what differs in them (regular expressions), and why that is meant."""

    title: str
    reason: str
    steps: str
    differs: str

    def explains(self, step: str, difference: str) -> bool:
        return bool(re.search(self.steps, step) and re.fullmatch(self.differs, difference))


EXPLAINED: Final = (
    Explained(
        "Wrong types and unknown fields are refused with 400",
        "A field that is misspelt or has the wrong type is an error with a sentence, and nothing is"
        " done.",
        r"(POST /hub/api/(users|groups|users/bob/(tokens|server)) ([\[{]|null))"
        r"|DELETE .*\"yes\"",
        r"status (201|204|500) → 400",
    ),
    Explained(
        "Numbers that JSON has not are refused with 400",
        "NaN in a body can be stored by neither database nor client.",
        r"NaN",
        r"status 20\d → 400",
    ),
    Explained(
        "User names are one lower-case alphabet",
        "Names are made lower-case wherever they come from, so that Grace and grace are one person,"
        " and consist of a-z, 0-9 and . _ - @.",
        r"users/(Grace|grace|we%20ird)",
        r"status (404 → 200|201 → 400|404 → 204)|name 'Grace' → 'grace'",
    ),
    Explained(
        "`name_filter` is plain text",
        "`%` and `_` mean themselves and not any text.",
        r"name_filter=%25",
        r".*",
    ),
    Explained(
        "Lists count what the caller may see",
        "`total` and `next` of a list of groups are about the groups that the token's scopes show.",
        r"physicist: GET /hub/api/groups",
        r"_pagination\..*",
    ),
    Explained(
        "Errors of metrics are JSON",
        "As all errors below /hub/api and of requests with a token. The text format is the one that"
        " Prometheus names version 0.0.4.",
        r"/metrics",
        r"content-type 'text/(html|plain; version=1.0.0)' → '(application/json"
        r"|text/plain; version=0.0.4)'",
    ),
    Explained(
        "A service has one model",
        "`url`, `info` and `display` of a service that has none are the same in GET /user as in"
        " GET /services.",
        r"GET /hub/api/user$",
        r"(display None → True|info None → {}|url None → '')",
    ),
    Explained(
        "A service may be made of nothing but its name",
        "An empty object makes a service; a field `name` that isn't the address's is refused.",
        r"/hub/api/services/fresh",
        r"status (400 → 201|404 → 200|201 → 400|200 → 404)",
    ),
    Explained(
        "Shares give access and nothing else",
        "Scopes that make no sense for one server, or that there aren't, are refused with 400.",
        r"/(shares|share-codes)/bob/ ",
        r"status (500|200) → 400|scopes .*",
    ),
    Explained(
        "A scope that an unfiltered one contains isn't listed besides",
        "An admin's list of scopes has no shares in it.",
        r"carol: GET /hub/api/user$",
        r"scopes .*",
    ),
    Explained(
        "`user_options` is always an object",
        "Also of a server that was never started.",
        r"/hub/api/users",
        r"(.*\.)?user_options None → {}",
    ),
    Explained(
        "`state` of a server that doesn't run is null",
        "Whether or not it ever ran.",
        r"/hub/api/users",
        r"(.*\.)?state {} → None",
    ),
    Explained(
        "Empty answers are text",
        "An answer without a body doesn't say that it is JSON.",
        r"POST /hub/api/(proxy|users/\w+/activity)",
        r"content-type 'application/json' → 'text/plain'",
    ),
    Explained(
        "Targets of routes are sockets",
        "Servers and hub listen on sockets in the file system that the proxy alone may enter, and"
        " not on ports.",
        r"GET /hub/api/proxy",
        r".*target .*http\+unix.*",
    ),
    Explained(
        "Scripts get JSON from a server that doesn't run, logged in or not",
        "A request that wants JSON is answered with 424 and not sent to the log-in page.",
        r"nobody known: GET /hub/user/bob/api/kernels",
        r"status 302 → 424",
    ),
    Explained(
        "The answer for a server that doesn't run has the fields of every error",
        "`status` besides `message`.",
        r"bob: \w+ /hub/user/",
        r"status added",
    ),
    Explained(
        "Nobody's server is nobody's, whatever the method",
        "404 for a user that there isn't also answers POST.",
        r"POST /hub/user/ghost/",
        r"status 424 → 404",
    ),
    Explained(
        "OAuth names the grants that it knows",
        "A refresh token is refused as an unsupported grant.",
        r"grant_type=refresh_token",
        r"error .*",
    ),
)

_HEAD: Final = """\
# Differences from JupyterHub

<!-- Generated from tests/component/differential/explained.py by
`python -m tests.component.differential.explained`. -->

A test sends the same requests, some {count} of them, to JupyterHub 6.1.1 and to the appliance, and
compares status, headers that clients read, and models. What follows is all that differs, and meant
so. Messages of errors, HTML pages, the field `appliance` and the scope `classroom` are our own and
aren't compared.
[api.md](api.md) has the endpoints.
"""


def page(count: int) -> str:
    """docs/differences.md; `count` is how many requests are sent."""
    entries = [f"- **{one.title}.** {one.reason}" for one in EXPLAINED]
    return "\n".join([_HEAD.format(count=count // 50 * 50), *entries]) + "\n"


if __name__ == "__main__":
    from tests.component.differential.steps import all_steps

    PAGE.write_text(page(len(list(all_steps()))), "utf-8")
