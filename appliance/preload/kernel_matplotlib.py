"""matplotlib as it would be, had this kernel imported it: the user's directories and settings.

matplotlib reads all of that once, when it is imported. Nothing is made in the home of somebody who
doesn't use it, so directories are found by the same rules and not by matplotlib's own function.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Final

INLINE: Final = "module://matplotlib_inline.backend_inline"


def repair() -> None:
    matplotlib: Any = sys.modules["matplotlib"]
    for remembered in (matplotlib.get_configdir, matplotlib.get_cachedir):
        _forget_result(remembered)
    folder = _directory("XDG_CONFIG_HOME", ".config")
    _read_settings(matplotlib, folder)
    # ipykernel sets this for what is imported later, so that is what would be found.
    backend = os.environ.get("MPLBACKEND") or INLINE
    dict.__setitem__(matplotlib.rcParams, "backend", backend)
    _read_styles(folder)
    if "matplotlib.texmanager" in sys.modules:
        caches = _directory("XDG_CACHE_HOME", ".cache")
        sys.modules["matplotlib.texmanager"].TexManager._cache_dir = caches / "tex.cache"  # noqa: SLF001
    if "matplotlib.font_manager" in sys.modules:
        _add_fonts()


def _directory(variable: str, default: str) -> Path:
    given = os.environ.get("MPLCONFIGDIR")
    if given:
        return Path(given)
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / default) / "matplotlib"


def _forget_result(function: Any) -> None:
    """Let a function that remembers its only result find it again; versions differ in the means.

    A KeyError or TypeError for unknown means keeps matplotlib from being preloaded.
    """
    if hasattr(function, "cache_clear"):
        function.cache_clear()
        return
    cells = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
    cells["called"].cell_contents = False


def _read_settings(matplotlib: Any, folder: Path) -> None:
    """The user's matplotlibrc, if there is one; the daemon found that of the package."""
    given = os.environ.get("MATPLOTLIBRC")
    places = [Path("matplotlibrc"), folder / "matplotlibrc"]
    if given:
        places += [Path(given), Path(given, "matplotlibrc")]
    if not any(place.is_file() for place in places):
        return
    own = matplotlib._rc_params_in_file(matplotlib.matplotlib_fname())  # noqa: SLF001
    for settings in (matplotlib.rcParams, matplotlib.rcParamsOrig):
        for name, value in dict.items(own):
            dict.__setitem__(settings, name, value)


def _read_styles(folder: Path) -> None:
    style = sys.modules.get("matplotlib.style")
    if style is None:
        return
    styles = folder / "stylelib"
    own = sys.modules.get("matplotlib.style.core", style)
    own.USER_LIBRARY_PATHS[:] = [str(styles)]
    if styles.is_dir():
        own.reload_library()


def _add_fonts() -> None:
    """Those in the user's home; the others were found by the daemon."""
    fonts: Any = sys.modules["matplotlib.font_manager"]
    data = os.environ.get("XDG_DATA_HOME")
    shared = (Path(data) if data else Path.home() / ".local/share") / "fonts"
    own = [str(shared), str(Path.home() / ".fonts")]
    fonts.X11FontDirectories[-len(own) :] = own
    fonts._HOME = Path.home()  # noqa: SLF001
    for folder in filter(os.path.isdir, own):
        for file in fonts.list_fonts(folder, fonts.get_fontext_synonyms("ttf")):
            with contextlib.suppress(Exception):
                fonts.fontManager.addfont(file)
