"""Spare a server work whose outcome is known.

Thirty servers start in one minute on two processors, so what each does at its start and for the
first page of JupyterLab counts thirty times. Everything here leaves results as they are; it only
keeps what a library would work out again and again. Where a library no longer has the place that is
replaced, nothing is replaced, and a test says so.
"""

from __future__ import annotations

import functools
import gettext
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Any


def make_imports_lean() -> None:
    """Before anything of Jupyter is imported; again does no harm."""
    # jsonschema imports rfc3987_syntax if it can, whose grammar is compiled at import: two thirds
    # of a start. Without it the formats "iri" and "iri-reference", which no notebook schema uses,
    # go unchecked.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    if not isinstance(importlib.metadata.entry_points, _EntryPoints):
        importlib.metadata.entry_points = _EntryPoints(importlib.metadata.entry_points)


def make_start_lean() -> None:
    """Before an application of traitlets is initialized; again does no harm."""
    from traitlets.config import Application, Config

    parse = Application.parse_command_line
    if getattr(parse, "is_lean", False):
        return

    @functools.wraps(parse)
    def lean(self: Any, argv: Any = None) -> None:
        """Building a parser of all options takes longer than the rest of an application's start."""
        if argv is None or list(argv):
            parse(self, argv)
        else:
            self.argv, self.extra_args, self.cli_config = [], [], Config()
            self.update_config(self.cli_config)

    lean.is_lean = True  # type: ignore[attr-defined]
    Application.parse_command_line = lean
    events = sys.modules.get("jupyter_events.schema")
    validate = getattr(events, "validate_schema", None)
    if validate and not isinstance(validate, _Once):
        events.validate_schema = _Once(validate)  # type: ignore[union-attr]


def make_requests_lean() -> None:
    """When JupyterLab's modules are imported; again does no harm."""
    settings = sys.modules.get("jupyterlab_server.settings_utils")
    validator = getattr(settings, "Validator", None)
    if hasattr(validator, "check_schema") and not isinstance(validator, _CheckedOnce):
        settings.Validator = _CheckedOnce(validator)  # type: ignore[union-attr]
    handlers = sys.modules.get("jupyterlab_server.settings_handler")
    if handlers and isinstance(getattr(settings, "Validator", None), _CheckedOnce):
        from .lab_settings import remember_settings

        remember_settings(handlers)
    translations = sys.modules.get("jupyterlab_server.translation_utils")
    translator = getattr(translations, "translator", None)
    translate = getattr(translator, "_translate_schema_strings", None)
    if translate and not getattr(translate, "is_lean", False):
        translator._translate_schema_strings = staticmethod(_unless_english(translate))  # type: ignore[union-attr]  # noqa: SLF001


class _EntryPoints:
    """`importlib.metadata.entry_points`, reading every package's file once.

    The environment's packages don't change while a server runs; a user's own are not the server's.
    """

    def __init__(self, read: Callable[..., Any]) -> None:
        self._read = read
        self._found: Any = None

    def __call__(self, **params: Any) -> Any:
        if self._found is None:
            self._found = self._read()
        return self._found.select(**params)


class _Once:
    """A check of schemas, which it remembers by their content if they are sound as they are."""

    def __init__(self, check: Callable[[Any], None]) -> None:
        self._check = check
        self._sound: set[bytes] = set()

    def __call__(self, schema: Any) -> None:
        key = _content(schema)
        if key in self._sound:
            return
        self._check(schema)
        # Some checks mend what they check, and must do so the next time, too.
        if key and key == _content(schema):
            self._sound.add(key)


def _content(schema: Any) -> bytes:
    """A key for what is in a schema; nothing if it has what JSON has not."""
    try:
        return hashlib.sha256(json.dumps(schema).encode()).digest()
    except TypeError:
        return b""


class _CheckedOnce:
    """A validator class of jsonschema that remembers which schemas are sound.

    JupyterLab's settings have a hundred schemas, and every page has all of them checked.
    """

    def __init__(self, validator: Any) -> None:
        self._validator = validator
        self.check_schema = _Once(validator.check_schema)

    def __call__(self, schema: Any) -> Any:
        return self._validator(schema)


def _unless_english(translate: Callable[..., None]) -> Callable[..., None]:
    """Translate a schema's texts only if there is a catalogue to find them in."""

    def lean(translations: Any, schema: Any, *args: Any, **options: Any) -> None:
        catalogue = getattr(translations, "_translator", None)
        if type(catalogue) is not gettext.NullTranslations or catalogue._fallback:  # type: ignore[attr-defined]  # noqa: SLF001
            translate(translations, schema, *args, **options)

    lean.is_lean = True  # type: ignore[attr-defined]
    return lean
