"""Turns templates into HTML: one environment, made once, that escapes everything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from appliance.web import formats

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
TEMPLATES: Final = HERE / "templates"


def make_renderer(
    base_url: str, *, now: Callable[[], datetime] | None = None
) -> Callable[[str, dict[str, Any]], str]:
    """A function from a template's name and its values to HTML, for the hub at this base URL."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    hub_url = f"{base_url}hub/"
    environment.globals.update(
        base_url=base_url,
        hub_url=hub_url,
        static_url=lambda name: f"{hub_url}static/{name}?v={_fingerprint(name)}",
    )
    environment.filters.update(formats.filters(now))

    def render(template: str, values: dict[str, Any]) -> str:
        return environment.get_template(template).render(values)

    return render


@cache
def _fingerprint(name: str) -> str:
    """Lets browsers keep a file for ever: when it changes, so does its address."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
