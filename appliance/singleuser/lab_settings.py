"""The list of all of JupyterLab's settings, put together from texts that are made once.

Every page of JupyterLab asks for it: a hundred schemas, read from a hundred files, translated and
written as 150 kB of JSON. All but the user's own settings is the same for everybody and follows
from the environment's files, which don't change while a server runs. A forked server has the
texts from its template, and no copy of all the objects that they were made from.

Whatever isn't the ordinary case is left to jupyterlab_server's own handler.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from tornado import web

# A user changes the language now and then, and the administrator what is overridden.
REMEMBERED: Final = 4
# A folder in which there never is anything.
NOBODYS: Final = "/dev/null"

# By what they follow from: each plugin's name, and the text of all but the user's own settings.
_known: dict[str, list[tuple[str, str]]] = {}


def remember_settings(handlers: ModuleType) -> None:
    """Replace what lists the settings in jupyterlab_server.settings_handler; once."""
    handler = handlers.SettingsHandler
    if not getattr(handler.get, "is_lean", False):
        handler.get = _lean(handler.get)


def _lean(original: Callable[..., Any]) -> Any:
    @web.authenticated
    def get(self: Any, schema_name: str = "") -> Any:
        only_names = self.get_argument("ids_only", "") == "true"
        if schema_name or only_names or not _is_environments(self):
            return original(self, schema_name)
        text, warnings = _all_settings(self)
        for warning in warnings:
            self.log.warning(warning)
        return self.finish(text)

    get.is_lean = True  # type: ignore[attr-defined]
    return get


def _is_environments(handler: Any) -> bool:
    """Whether all schemas come from the environment, and none from the user's home."""
    return all(_is_ours(place) for place in _places(handler))


def _places(handler: Any) -> list[str]:
    return [
        handler.schemas_dir,
        *(place for place in handler.labextensions_path or () if Path(place).exists()),
    ]


def _is_ours(place: str) -> bool:
    return Path(place).is_relative_to(sys.prefix)


def _all_settings(handler: Any) -> tuple[str, list[str]]:
    """The answer, and what is to be warned of."""
    from jupyterlab_server import settings_utils

    folder = handler.settings_dir
    is_new_user = not Path(folder).exists()
    warnings: list[str] = []
    parts = []
    default = _tail(settings_utils._get_user_settings(NOBODYS, "a:b", {}))  # noqa: SLF001
    for name, head in _heads(handler):
        tail = default
        own = settings_utils._path(folder, name, False, settings_utils.SETTINGS_EXTENSION)  # noqa: FBT003, SLF001
        if not is_new_user and Path(own).exists():
            schema = json.loads(head + "}")["schema"]
            settings = settings_utils._get_user_settings(folder, name, schema)  # noqa: SLF001
            if settings["warning"]:
                warnings.append(settings.pop("warning"))
            tail = _tail(settings)
        parts.append(f"{head}, {tail}")
    return f'{{"settings": [{", ".join(parts)}]}}', warnings


def _tail(user_settings: dict[str, Any]) -> str:
    return json.dumps(user_settings).removeprefix("{")


def _heads(handler: Any) -> list[tuple[str, str]]:
    from jupyterlab_server.translation_utils import translator

    translator.set_locale(handler.get_current_locale())
    key = json.dumps(
        [_places(handler), handler.overrides, translator._LOCALE]  # noqa: SLF001 - it has no getter
    )
    if key not in _known:
        while len(_known) >= REMEMBERED:
            _known.pop(next(iter(_known)))
        _known[key] = _make_heads(handler, translator.translate_schema)
    return _known[key]


def _make_heads(handler: Any, translate: Callable[..., Any]) -> list[tuple[str, str]]:
    from jupyterlab_server.settings_utils import get_settings

    result, _ = get_settings(
        handler.app_settings_dir,
        handler.schemas_dir,
        NOBODYS,
        labextensions_path=handler.labextensions_path,
        overrides=handler.overrides,
        translator=translate,
    )
    return [
        (one["id"], json.dumps({key: one[key] for key in ("id", "schema", "version")})[:-1])
        for one in result["settings"]
    ]
