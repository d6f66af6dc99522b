"""Templates to HTML; Jinja is loaded for the first page, not when the hub starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

STATIC: Final = Path(__file__).parent / "static"


class Renderer:
    """Renders templates for the hub at a base URL; those of the folder, if any, come first."""

    def __init__(
        self,
        base_url: str,
        *,
        now: Callable[[], datetime],
        folder: Path | None = None,
        needed_next: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._base_url = base_url
        self._now = now
        self._folder = folder
        self._needed_next = needed_next

    def __call__(self, template: str, values: dict[str, Any]) -> str:
        return self._render(template, values)

    @cached_property
    def _render(self) -> Callable[[str, dict[str, Any]], str]:
        from appliance.web.templating import make_renderer

        return make_renderer(
            self._base_url, now=self._now, folder=self._folder, needed_next=self._needed_next
        )
