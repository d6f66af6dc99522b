"""A wheel of a checkout, as hatchling makes it from the same pyproject.toml.

Made here because hatchling would have to be downloaded first, which an installation without a
network can't, and so that the same tree always gives the same bytes: then a second run sees that
nothing is to do.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from appliance.errors import InstallError


def build_wheel(tree: Path, folder: Path) -> Path:
    """Write the wheel of the checkout at `tree` into `folder`."""
    settings = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))
    project = settings["project"]
    version = _version(tree / settings["tool"]["hatch"]["version"]["path"])
    name = project["name"].replace("-", "_")
    files = _source_files(tree, settings["tool"]["hatch"]["build"]["targets"]["wheel"])
    info = f"{name}-{version}.dist-info"
    files[f"{info}/METADATA"] = _metadata(project, version).encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: hub-appliance\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{info}/entry_points.txt"] = _entry_points(project).encode()
    record = "".join(f"{path},sha256={_hash(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    _write_zip(wheel, files)
    return wheel


def _version(path: Path) -> str:
    found = re.search(r'^__version__ = "(.+)"', path.read_text("utf-8"), re.MULTILINE)
    if not found:
        raise InstallError(f"cannot pack the checkout: {path} says no version")
    return found[1]


def _source_files(tree: Path, target: dict[str, Any]) -> dict[str, bytes]:
    places = {**{package: package for package in target["packages"]}, **target["force-include"]}
    found = {}
    for source, place in places.items():
        if (tree / source).is_file():
            found[place] = (tree / source).read_bytes()
        for path in sorted((tree / source).rglob("*")):
            inside = path.relative_to(tree / source)
            if path.is_file() and "__pycache__" not in inside.parts:
                found[f"{place}/{inside.as_posix()}"] = path.read_bytes()
    return found


def _entry_points(project: dict[str, Any]) -> str:
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    return "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in groups.items()
    )


def _metadata(project: dict[str, Any], version: str) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {project['name']}",
        f"Version: {version}",
        f"Summary: {project['description']}",
        f"Requires-Python: {project['requires-python']}",
    ]
    for extra, wanted in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {requirement}; extra == '{extra}'" for requirement in wanted]
    return "\n".join(lines) + "\n"


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            member.external_attr = 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(member, data)


def main() -> None:
    """TREE FOLDER: bootstrap.py's way in."""
    sys.stdout.write(f"{build_wheel(Path(sys.argv[1]), Path(sys.argv[2]))}\n")


if __name__ == "__main__":
    main()
