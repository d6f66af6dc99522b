"""HTML from templates: Jinja with autoescape; templates are read once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"


class Templates:
    """Renders templates from some folders; the first folder that has a name wins."""

    def __init__(self, *, folders: Sequence[Path], hub_url: str) -> None:
        self._folders = folders
        self._hub_url = hub_url

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(self._folders),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["static_url"] = self.static_url
        return environment

    def render(self, template: str, values: dict[str, Any]) -> str:
        return self._environment.get_template(template).render(values)

    def static_url(self, path: str) -> str:
        """A static file's URL, with a mark of its contents: browsers may keep it for ever."""
        return f"{self._hub_url}static/{path}?v={_mark(path)}"


@lru_cache(maxsize=256)
def _mark(path: str) -> str:
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
