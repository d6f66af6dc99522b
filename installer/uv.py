"""uv: fetched by pip, and told where this machine's packages are.

Its settings are pip's, translated, so that both find the same packages: uv reads neither pip.conf
nor PIP_ variables, and a school's mirror, proxy or certificate authority is usually configured for
pip. bootstrap.py turns pip.conf into variables.

Standard library only, like environments.py.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from appliance.errors import InstallError
from installer.commands import run
from installer.events import Reporter
from installer.files import write_file

_YES: Final = frozenset({"1", "true", "yes", "on"})
# One value each, under another name.
_SIMPLE: Final = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_CLIENT_CERT": "SSL_CLIENT_CERT",
    "PIP_PROXY": "ALL_PROXY",
    "PIP_TIMEOUT": "UV_HTTP_TIMEOUT",
}


def uv_program(software: Path) -> Path:
    """Where the pinned version is, once it is fetched."""
    return software / "bin" / f"uv-{_pinned().split()[0].partition('==')[2]}"


def fetch_uv(software: Path, *, pip: Sequence[str], reporter: Reporter) -> Path:
    """The program, unpacked from its wheel: nothing needs to be installed for it."""
    program = uv_program(software)
    if os.access(program, os.X_OK):
        return program
    reporter.detail("fetching uv")
    with tempfile.TemporaryDirectory(dir=software) as name:
        folder = Path(name)
        pins = folder / "uv.txt"
        pins.write_text(_pinned(), "utf-8")
        # No cache: after a power cut it may be damaged, and this is all that pip is used for.
        run(
            [
                *pip, "download", "-q", "--no-cache-dir", "--no-deps", "--only-binary", ":all:",
                "-d", folder, "--require-hashes", "-r", pins,
            ],
            failure="cannot fetch uv, which installs the Python packages",
            mend="see whether this machine reaches a package index; with --wheels, put uv there: "
            "pip download --no-deps -d DIR -r installer/requirements/uv.txt",
            reporter=reporter,
        )  # fmt: skip
        with zipfile.ZipFile(next(folder.glob("uv-*.whl"))) as wheel:
            inside = [path for path in wheel.namelist() if path.endswith(".data/scripts/uv")]
            if not inside:
                raise InstallError("cannot find uv in its package", mend="report it with the log")
            write_file(program, wheel.read(inside[0]), mode=0o755)
    return program


def _pinned() -> str:
    return (resources.files("installer") / "requirements" / "uv.txt").read_text("utf-8")


def uv_environment(variables: Mapping[str, str], *, cache: Path) -> dict[str, str]:
    """What to add to uv's environment."""
    found = {
        "UV_CACHE_DIR": str(cache),
        # The system's Python alone: what it downloads would not get the system's security updates.
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
    }
    found |= {ours: variables[pip] for pip, ours in _SIMPLE.items() if variables.get(pip)}
    extra = _existing(variables.get("PIP_EXTRA_INDEX_URL", ""))
    if extra:
        found["UV_INDEX"] = " ".join(extra)
        # pip takes the best file of all indexes; ours are pinned by their hashes anyway.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = _existing(variables.get("PIP_FIND_LINKS", ""))
    if links:
        found["UV_FIND_LINKS"] = ",".join(links)
    if variables.get("PIP_TRUSTED_HOST"):
        found["UV_INSECURE_HOST"] = " ".join(variables["PIP_TRUSTED_HOST"].split())
    if variables.get("PIP_NO_INDEX", "").lower() in _YES:
        found["UV_NO_INDEX"] = found["UV_OFFLINE"] = "1"
        found["UV_INDEX"] = ""
    return found


def _existing(places: str) -> list[str]:
    """pip passes over folders that don't exist; uv takes them for an error."""
    return [
        place
        for place in places.split()
        if ("://" in place and not place.startswith("file://"))
        or Path(place.removeprefix("file://")).exists()
    ]
