"""conda's environment.yml, as far as Python's own packages go; the rest is said line by line.

What conda calls otherwise than PyPI is in a small table. Compilers, interpreters and libraries that
are no Python packages come with wheels or from Debian.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from appliance.environments.requirements import Asked, parse_words
from appliance.errors import ApplianceError

# Only what is one thing under two names.
_NAMES: Final = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "tensorflow-gpu": "tensorflow",
    "matplotlib-base": "matplotlib",
    "dask-core": "dask",
    "opencv": "opencv-python-headless",
    "py-opencv": "opencv-python-headless",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "pyqt": "PyQt5",
    "ruamel_yaml": "ruamel.yaml",
    "seaborn-base": "seaborn",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "xgboost-cpu": "xgboost",
    "msgpack-python": "msgpack",
    "brotlipy": "brotli",
    "blas": "",
    "nomkl": "",
    "mkl": "",
    "cudatoolkit": "",
    "pytorch-cuda": "",
    "cpuonly": "",
    "pip": "",
    "setuptools": "",
    "wheel": "",
    "conda": "",
}
"""PyPI's names; "" is what wheels bring along or nobody needs here."""
_DEBIAN: Final = {
    "git": "git", "gcc": "build-essential", "gxx": "build-essential", "gfortran": "gfortran",
    "compilers": "build-essential", "make": "make", "cmake": "cmake", "ffmpeg": "ffmpeg",
    "graphviz": "graphviz", "imagemagick": "imagemagick", "nodejs": "nodejs", "pandoc": "pandoc",
    "texlive-core": "texlive-latex-base", "curl": "curl", "wget": "wget", "octave": "octave",
    "julia": "julia", "openjdk": "default-jdk", "gnuplot": "gnuplot", "sqlite": "sqlite3",
    "gdal": "gdal-bin",
}  # fmt: skip
_LINE: Final = re.compile(
    r"(?:(?P<channel>[^:\s]+)::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<rest>.*)", re.DOTALL
)


def parse_conda(path: Path) -> Asked:
    """Read a file; raises ApplianceError if it is none of conda's."""
    found = _load(path)
    title = found.get("name")
    asked = Asked(title=title if isinstance(title, str) else "")
    for one in found["dependencies"]:
        if isinstance(one, str):
            _add(asked, one.strip())
        elif isinstance(one, dict) and isinstance(one.get("pip"), list):
            for line in one["pip"]:
                _add_pip(asked, str(line))
        else:
            asked.refused.append(f"{one}: it is no package")
    return asked


def _load(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    what = f"cannot read {path}"
    mend = "name a file as `conda env export` writes it"
    try:
        found = YAML(typ="safe").load(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ApplianceError(what, why=error.strerror or str(error), mend=mend) from error
    except (UnicodeDecodeError, YAMLError) as error:
        why = f"it is no YAML: {str(error).splitlines()[0]}"
        raise ApplianceError(what, why=why, mend=mend) from error
    if not isinstance(found, dict) or not isinstance(found.get("dependencies"), list):
        raise ApplianceError(what, why="there are no dependencies in it", mend=mend)
    return found


def _add_pip(asked: Asked, line: str) -> None:
    try:
        asked.add(parse_words([line]))
    except ApplianceError as error:
        asked.refused.append(f"{line}: {error.why}")


def _add(asked: Asked, line: str) -> None:
    match = _LINE.fullmatch(line)
    if not match:
        asked.refused.append(f"{line}: it is no package")
        return
    name, version = match["name"].lower(), _version(match["rest"])
    if name in {"python", "python_abi"}:
        _check_python(asked, line, version)
        return
    if name == "r" or name.startswith("r-"):
        debian = "r-base-core" if name in {"r", "r-base"} else f"r-cran-{name[2:]}"
        asked.refused.append(
            f"{line}: R's packages come from Debian: sudo apt-get install {debian}"
        )
        return
    if name.startswith(("lib", "_lib", "gcc_", "gxx_", "cuda-")) or name in {"openssl", "zlib"}:
        asked.notes.append(f"{line}: left out; Python's packages bring the libraries they need")
        return
    if name in _DEBIAN:
        asked.refused.append(
            f"{line}: it is no Python package; Debian has it: sudo apt-get install {_DEBIAN[name]}"
        )
        return
    ours = _NAMES.get(name, name)
    if not ours:
        asked.notes.append(f"{line}: left out; nothing here needs it")
        return
    if canonicalize_name(ours) != canonicalize_name(name):
        asked.notes.append(f"{line}: PyPI calls it {ours}")
    try:
        asked.lines.append(str(Requirement(f"{ours}{version}")))
    except InvalidRequirement:
        asked.refused.append(f"{line}: its version can't be read")


def _version(rest: str) -> str:
    """conda's way to name versions in Python's: `=1.2` is any 1.2; a build's name is left out."""
    text = rest.strip()
    bracket = re.search(r"\[version=['\"]?([^'\"\]]+)", text)
    text = bracket[1] if bracket else text.partition("[")[0].strip()
    if not text or text == "*":
        return ""
    exact = re.fullmatch(r"=([^=<>!~|,\s]+)=\S+", text)
    if exact:
        # As `conda env export` writes it: version and build.
        return f"=={exact[1]}"
    if re.match(r"[=<>!~]+\s", text):
        text = re.sub(r"([=<>!~]+)\s+", r"\1", text)
    text = text.split()[0] if not text.startswith(("<", ">", "!", "~")) else text.replace(" ", "")
    fuzzy = re.fullmatch(r"=?([0-9][^=<>!~|,\s]*)", text)
    if fuzzy:
        number = fuzzy[1].removesuffix(".*").rstrip("*")
        return f"=={number}" if text[0] != "=" and "*" not in text else f"=={number}.*"
    return text


def _check_python(asked: Asked, line: str, version: str) -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        fits = SpecifierSet(version).contains(f"{here}.{sys.version_info[2]}")
    except InvalidSpecifier:
        fits = False
    # conda's `python=3.11.4` means that one; any 3.11 does here.
    if not fits and not re.match(rf"==?{re.escape(here)}(\.|$)", version):
        asked.refused.append(f"{line}: the Python here is {here}, the system's own, and no other")
