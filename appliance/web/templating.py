"""Turns templates into HTML: one environment, made once, that escapes everything.

A folder of the configuration may hold templates that come before ours, by the same names; in them
ours are called `appliance/…`. A mistake in one of theirs costs that template, never the page: the
page comes as we ship it, and the log says in which file and line the mistake is.
"""

from __future__ import annotations

import hashlib
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateSyntaxError,
)

from appliance.texts import Text, say
from appliance.web import formats, languages
from appliance.web.notes import Note

log = logging.getLogger(__name__)

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
TEMPLATES: Final = HERE / "templates"
CUSTOM: Final = "custom/"
"""What the names of static files begin with that come from the configured folder."""
_OURS: Final = "appliance"
# Pages that follow a server load again every few seconds, for everybody who looks.
_SAY_AGAIN_SECONDS: Final = 60.0

Render = Callable[[str, dict[str, Any]], str]


def make_renderer(
    base_url: str,
    *,
    now: Callable[[], datetime] | None = None,
    folder: Path | None = None,
    needed_next: Callable[[], Sequence[str]] = tuple,
) -> Render:
    """A function from a template's name and its values to HTML, for the hub at this base URL.

    `needed_next` tells the files below static/ that the front end will ask for.
    """
    ours = FileSystemLoader(TEMPLATES)
    shipped = _renderer(_environment(ours, base_url, now=now, needed_next=needed_next))
    if folder is None:
        return shipped
    if not folder.is_dir():
        log.error("cannot find the templates: the hub sees no folder %s", folder)
        return shipped
    loader = ChoiceLoader([FileSystemLoader(folder), ours, PrefixLoader({_OURS: ours})])
    theirs = _environment(loader, base_url, now=now, folder=folder, needed_next=needed_next)
    return _Customized(folder, _renderer(theirs), shipped)


def _renderer(environment: Environment) -> Render:
    def render(template: str, values: dict[str, Any]) -> str:
        values = {"language": languages.current().code, **values}
        return environment.get_template(template).render(values)

    return render


def _environment(
    loader: BaseLoader,
    base_url: str,
    *,
    now: Callable[[], datetime] | None,
    needed_next: Callable[[], Sequence[str]],
    folder: Path | None = None,
) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        finalize=_in_its_language,
        # Who writes templates wants to see them at once; ours change with the hub.
        auto_reload=folder is not None,
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: languages.current().gettext(text),
        lambda one, many, number: languages.current().ngettext(one, many, number),
        newstyle=True,
    )
    hub_url = f"{base_url}hub/"
    environment.globals.update(
        base_url=base_url,
        hub_url=hub_url,
        languages=languages.NAMES,
        static_url=lambda name: f"{hub_url}static/{name}?v={_version(name, folder)}",
        needed_next=lambda: [f"{hub_url}static/{name}" for name in needed_next()],
    )
    environment.filters.update(formats.filters(now))
    return environment


def _in_its_language(value: Any) -> Any:
    return languages.localized(value) if isinstance(value, Text) else value


class _Customized:
    """Renders with the folder's templates as long as they work."""

    def __init__(self, folder: Path, theirs: Render, shipped: Render) -> None:
        self._folder = folder
        self._theirs = theirs
        self._shipped = shipped
        self._said: dict[str, float] = {}

    def __call__(self, template: str, values: dict[str, Any]) -> str:
        try:
            return self._theirs(template, values)
        except Exception as error:  # noqa: BLE001 - their code: any mistake is possible
            mistake = self._where(error)
        self._tell_log(mistake)
        principal = values.get("principal")
        if principal is not None and principal.admin:
            text = say(
                "Your own templates can't be used for this page: {mistake}.", mistake=mistake
            )
            note = Note("warn", languages.localized(text))
            values = {**values, "notes": [*values.get("notes", ()), note]}
        return self._shipped(template, values)

    def _where(self, error: Exception) -> str:
        """The mistake in words, with file and line if it is in one of the folder's files."""
        words = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, RecursionError):
            words = "a template uses itself; ours are called appliance/…"
        if isinstance(error, TemplateSyntaxError):
            return f"{error.filename or error.name}, line {error.lineno}: {error.message}"
        inside = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).is_relative_to(self._folder)
        ]
        return f"{inside[-1].filename}, line {inside[-1].lineno}: {words}" if inside else words

    def _tell_log(self, mistake: str) -> None:
        now = time.monotonic()
        self._said = {what: at for what, at in self._said.items() if at > now - _SAY_AGAIN_SECONDS}
        if mistake not in self._said:
            self._said[mistake] = now
            log.error("cannot use the templates in %s: %s", self._folder, mistake)


def _version(name: str, folder: Path | None) -> str:
    """Lets browsers keep a file for ever: when it changes, so does its address."""
    if folder is None or not name.startswith(CUSTOM):
        return _fingerprint(name)
    found = (folder / "static" / name.removeprefix(CUSTOM)).stat()
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


@cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
