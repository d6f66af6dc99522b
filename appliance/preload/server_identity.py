"""Whose process it is: what modules of the server noted about user and home when imported.

Whoever forks the template is somebody else. `take_identity` puts right what is known to have been
noted, and `mentions` finds what isn't known yet: the rehearsal uses it as proof.
"""

from __future__ import annotations

import gc
import importlib
import os
import site
import sys
import types
from collections.abc import Iterator
from typing import Any

import appliance.singleuser

from .process_notes import renew_process_notes


def take_identity() -> None:
    """Make everything the current user's and environment's; safe to do again."""
    _take_defaults()
    # Where the trash is, and whose.
    if "send2trash.plat_other" in sys.modules:
        importlib.reload(sys.modules["send2trash.plat_other"])
    # A server runs in its user's home.
    renew_process_notes(os.environ["HOME"])
    site.USER_BASE = site.USER_SITE = None
    site.getusersitepackages()
    sys.argv = [f"{appliance.singleuser.__path__[0]}/__main__.py"]


def _take_defaults() -> None:
    """Options whose defaults were worked out when their classes were made."""
    from jupyter_client.session import Session
    from jupyter_core.paths import jupyter_path

    _set_default(Session, "username", os.environ.get("USER", "username"))
    if "jupyterlab.labapp" in sys.modules:
        from jupyterlab.commands import get_user_settings_dir, get_workspaces_dir
        from jupyterlab.labapp import LabApp

        _set_default(LabApp, "user_settings_dir", get_user_settings_dir())
        _set_default(LabApp, "workspaces_dir", get_workspaces_dir())
    exporters = sys.modules.get("nbconvert.exporters.templateexporter")
    if exporters:
        paths = jupyter_path("nbconvert", "templates")
        _set_default(exporters.TemplateExporter, "template_data_paths", paths)


def _set_default(cls: Any, name: str, value: str | list[str]) -> None:
    """What is in a new object of the class, or of one below it, if nobody configured another."""
    trait = cls.class_traits()[name]
    if isinstance(value, list):
        trait.default_args = (value,)
        return
    before, trait.default_value = trait.default_value, value
    for one in (cls, *subclasses(cls)):
        known = one._static_immutable_initial_values  # noqa: SLF001 - what traitlets copies
        if known.get(name) == before:
            known[name] = value


def subclasses(cls: type) -> Iterator[Any]:
    """All that are below a class."""
    one: type
    for one in cls.__subclasses__():
        yield one
        yield from subclasses(one)


def mentions(place: str) -> list[str]:
    """What in this process still has a text with `place` in it, apart from whole environments."""
    gc.collect()
    found = set()
    for holder in gc.get_objects():
        if isinstance(holder, types.FrameType) or _is_environment(holder):
            continue
        # The variables of this function; other cells may be empty.
        if isinstance(holder, types.CellType) and any(
            value is place for value in gc.get_referents(holder)
        ):
            continue
        if any(_has(value, place) for value in _held(holder)):
            found.add(_name(holder))
    return sorted(found)


def _held(holder: object) -> Iterator[object]:
    """What an object refers to, also by way of what the collector doesn't list."""
    for value in gc.get_referents(holder):
        yield value
        if type(value) in (dict, tuple) and not gc.is_tracked(value) and not _is_environment(value):
            yield from gc.get_referents(value)


def _is_environment(holder: object) -> bool:
    """Variables are replaced as a whole."""
    return type(holder) is dict and ("HOME" in holder or b"HOME" in holder)


def _has(value: object, place: str) -> bool:
    if type(value) is str:
        return place in value
    return type(value) is bytes and place.encode() in value


def _name(holder: Any) -> str:
    if isinstance(holder, dict) and "__name__" in holder:
        return f"module {holder['__name__']}"
    kind = type(holder)
    name = getattr(holder, "__qualname__", getattr(holder, "name", None)) or ", ".join(
        sorted(
            _name(one)
            for one in gc.get_referrers(holder)
            if isinstance(one, types.FunctionType | type)
        )
    )
    return f"{kind.__name__} {name}".strip()
