"""A damaged file of JupyterLab's own settings must not keep JupyterLab from opening.

It writes them in place: a power cut or a full disk in that moment leaves half a file, and one such
file makes the list of all settings an error, without which its page stays empty. The file is set
aside, where its owner still finds it, and its settings are the defaults again.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, Final

from tornado.web import HTTPError

SET_ASIDE: Final = ".damaged"


def set_damaged_aside() -> None:
    """When JupyterLab's modules are imported; again does no harm."""
    utils = sys.modules.get("jupyterlab_server.settings_utils")
    read = getattr(utils, "_get_user_settings", None)
    if utils is None or read is None or getattr(read, "sets_aside", False):
        return

    @functools.wraps(read)
    def forgiving(settings_dir: str, schema_name: str, schema: Any) -> dict[str, Any]:
        try:
            return dict(read(settings_dir, schema_name, schema))
        except HTTPError as err:
            path = Path(utils._path(settings_dir, schema_name, False, utils.SETTINGS_EXTENSION))  # noqa: FBT003, SLF001
            aside = path.with_name(path.name + SET_ASIDE)
            try:
                path.replace(aside)
            except OSError:
                raise err from None
            again = dict(read(settings_dir, schema_name, schema))
            # JupyterLab's own way into the log.
            again["warning"] = f"damaged settings were set aside as {aside}: {err}"
            return again

    forgiving.sets_aside = True  # type: ignore[attr-defined]
    utils._get_user_settings = forgiving  # type: ignore[attr-defined]  # noqa: SLF001
