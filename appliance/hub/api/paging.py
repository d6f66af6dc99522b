"""Lists in parts, as JupyterHub's clients follow them.

Who asks for it by the Accept header gets an envelope that names the next part; others get a bare
list, which ends where the longest part does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from appliance.hub.api.handler import HubApiHandler

MAX_PER_PAGE: Final = 200
DEFAULT_PER_PAGE: Final = 50
PAGED: Final = "application/jupyterhub-pagination+json"
# What databases count rows with.
_MOST: Final = 2**31


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list is asked for."""

    offset: int
    limit: int
    enveloped: bool


class PagedHandler(HubApiHandler):
    """A list that is read in parts."""

    def part(self, *, always_enveloped: bool = False) -> Part:
        """The part that the query asks for; raises BadRequest for what is no number."""
        by_header = PAGED in self.request.headers.get("Accept", "")
        enveloped = always_enveloped or by_header
        offset = abs(self.whole_number("offset", 0))
        limit = abs(self.whole_number("limit", DEFAULT_PER_PAGE if by_header else MAX_PER_PAGE))
        return Part(min(offset, _MOST), min(max(limit, 1), MAX_PER_PAGE), enveloped)

    def reply_part(
        self, part: Part, items: list[dict[str, Any]] | dict[str, Any], total: int
    ) -> None:
        """Finish with a part of a list; `total` counts all of it."""
        if not part.enveloped:
            self.reply(items)
            return
        following: dict[str, Any] | None = None
        if part.offset + part.limit < total:
            following = {"offset": part.offset + part.limit, "limit": part.limit}
            following["url"] = self._url_of(following)
        pagination = {
            "offset": part.offset, "limit": part.limit, "total": total, "next": following,
        }  # fmt: skip
        self.reply({"items": items, "_pagination": pagination})

    def _url_of(self, page: dict[str, Any]) -> str:
        """On the host that was asked, for clients follow it as it is."""
        kept = {
            name: self.get_query_arguments(name)
            for name in self.request.query_arguments
            if name not in {"offset", "limit"}
        }
        query = urlencode({**kept, **page}, doseq=True)
        return f"{self.request.protocol}://{self.request.host}{self.request.path}?{query}"
