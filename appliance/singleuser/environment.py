"""What the user environment needs besides its packages; part of building it.

People add packages of their own with `pip install` in a notebook, which lands in ~/.local. A plain
virtual environment hides that place from kernels and from pip, and one that shows it shows the
distribution's packages too. So the environment is marked as the second kind, and one line at every
start takes the distribution's packages away again. The single-user server runs with `-I`, which
leaves ~/.local out: nothing that a user installs can keep the server from starting.

Standard library only: the installer runs this with the system's Python.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

from appliance.singleuser.nbgrader import SETTINGS

LAB_EXTENSION: Final = "appliance/singleuser/labextension"
USER_SITE_LINE: Final = "import sys, site; site.PREFIXES[:] = [sys.prefix]\n"

# Defaults that a user may change in Lab's settings. A link in a foreign notebook must not run
# commands of Lab (CVE-2021-32797 and its kin); nobody asks other machines for news.
LAB_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "@jupyterlab/apputils-extension:sanitizer": {"allowCommandLinker": False},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}


def show_user_packages(environment: Path) -> None:
    """Let kernels of an environment see what a user installs in the home; safe to run again."""
    for site_packages in environment.glob("lib/python3*/site-packages"):
        _write(site_packages / "_appliance.pth", USER_SITE_LINE)
    marker = environment / "pyvenv.cfg"
    setting = "include-system-site-packages = true"
    text = re.sub(r"(?m)^include-system-site-packages *=.*$", setting, marker.read_text("utf-8"))
    _write(marker, text if setting in text else f"{text.rstrip()}\n{setting}\n")


def prepare_environment(user_env: Path) -> None:
    """Finish a user environment; safe to run again."""
    show_user_packages(user_env)
    # A file of our own in a directory for many: overrides.json beside it stays the admin's.
    overrides = user_env / "share/jupyter/lab/settings/overrides.d/appliance.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    _write(overrides, json.dumps(LAB_DEFAULTS, indent=2) + "\n")
    # nbgrader need not be there, and may be added later.
    nbgrader = user_env / "etc/jupyter/nbgrader_config.py"
    nbgrader.parent.mkdir(parents=True, exist_ok=True)
    _write(nbgrader, SETTINGS)
    for source in user_env.glob(f"lib/python3*/site-packages/{LAB_EXTENSION}"):
        install_extension(source, user_env / "share/jupyter/labextensions")


def install_extension(source: Path, folder: Path) -> None:
    """Put our JupyterLab extension where JupyterLab looks for them.

    The script gets its hash into its name, so that the proxy serves it and browsers keep it.
    """
    package = json.loads((source / "package.json").read_text("utf-8"))
    build = package["jupyterlab"]["_build"]
    script = source / build["load"]
    digest = hashlib.sha256(script.read_bytes()).hexdigest()[:20]
    build["load"] = f"static/{script.stem}.{digest}{script.suffix}"
    place = folder / package["name"]
    (place / "static").mkdir(parents=True, exist_ok=True)
    (place / build["load"]).unlink(missing_ok=True)
    shutil.copyfile(script, place / build["load"])
    _write(place / "package.json", json.dumps(package, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    """A new file, never into the old one: another environment may have that as its own, too."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")
