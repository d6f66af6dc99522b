"""Files of requirements: what they ask for, and which lines can't be followed and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)

from appliance.errors import ApplianceError

_NESTED_MAX: Final = 10
_INDEX_OPTIONS: Final = frozenset(
    {"-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links",
     "--trusted-host"}
)  # fmt: skip
_VCS: Final = re.compile(r"(?:^|@\s*)(?:git|hg|svn|bzr)\+")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")


@dataclass
class Asked:
    """What a file or a command line asks for."""

    lines: list[str] = field(default_factory=list)
    """Requirements, one for a package."""
    refused: list[str] = field(default_factory=list)
    """What can't be had, with the reason, a sentence each."""
    notes: list[str] = field(default_factory=list)
    """What is understood otherwise than it is written."""
    title: str = ""

    def add(self, other: Asked) -> None:
        self.lines += other.lines
        self.refused += other.refused
        self.notes += other.notes
        self.title = self.title or other.title


def name_of(line: str) -> str:
    """The package that a requirement asks for, as everybody spells it."""
    return canonicalize_name(Requirement(line).name)


def parse_words(words: Sequence[str]) -> Asked:
    """Requirements of a command line; raises ApplianceError for what is none."""
    asked = Asked()
    for word in words:
        one = _parse_line(word, word, Path.cwd())
        if one.refused:
            raise ApplianceError(
                f"cannot install '{word}'",
                why=one.refused[0].partition(": ")[2],
                mend="name packages as PyPI does, such as pandas or 'pandas>=2'",
            )
        asked.add(one)
    return asked


def parse_file(path: Path) -> Asked:
    """A file of requirements with those that it includes; raises ApplianceError."""
    return _parse_text(_read(path), path, depth=0)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ApplianceError(
            f"cannot read {path}", why=why or str(error), mend="name a file of requirements"
        ) from error


def _parse_text(text: str, path: Path, *, depth: int) -> Asked:
    asked = Asked()
    for number, line in _logical_lines(text):
        place = f"{path.name}:{number}"
        words = line.split()
        option, _, value = words[0].partition("=")
        if option in {"-r", "--requirement", "-c", "--constraint"}:
            nested = path.parent / (value or " ".join(words[1:]))
            if option in {"-c", "--constraint"}:
                asked.refused.append(f"{place}: {line}: constraints are not read; name versions")
            elif depth == _NESTED_MAX:
                asked.refused.append(f"{place}: {line}: files include one another too deep")
            else:
                asked.add(_parse_text(_read(nested), nested, depth=depth + 1))
            continue
        asked.add(_parse_line(line, f"{place}: {line}", path.parent))
    return asked


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those joined that end in a backslash."""
    kept, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).rstrip()
        first = first or number
        if line.endswith("\\"):
            kept += line[:-1] + " "
            continue
        whole = (kept + line).strip()
        if whole:
            yield first, whole
        kept, first = "", 0
    if kept.strip():
        yield first, kept.strip()


def _parse_line(line: str, place: str, folder: Path) -> Asked:
    """One line that is a requirement; `place` begins what is said of it."""
    asked = Asked()
    requirement, _, hashes = line.partition(" --hash")
    requirement = requirement.strip()
    if hashes:
        shown = place.partition(" --hash")[0].rstrip()
        asked.notes.append(f"{shown}: its hashes are not used")
    option = requirement.partition("=")[0].split()[0] if requirement else ""
    why = ""
    if option in {"-e", "--editable"}:
        why = "what is installed from a folder could be changed by others while it runs; "
        why += "build a wheel of it, and install that"
    elif option in _INDEX_OPTIONS:
        why = "where packages come from is set for the whole machine, in /etc/pip.conf"
    elif option.startswith("-"):
        why = "this option is not known here"
    elif _VCS.search(requirement):
        why = "it is source code, which would run as root while it is built; build a wheel of it, "
        why += "and install that"
    elif requirement.endswith(".whl") and "@" not in requirement:
        return _wheel_file(requirement, place, folder)
    else:
        try:
            asked.lines.append(str(Requirement(requirement)))
        except InvalidRequirement as error:
            why = f"it names no package ({str(error).splitlines()[0]})"
    if why:
        asked.refused.append(f"{place}: {why}")
    return asked


def _wheel_file(text: str, place: str, folder: Path) -> Asked:
    """A wheel by its path or address."""
    if "://" in text and not text.startswith("file://"):
        name = text.rpartition("/")[2]
        url = text
    else:
        path = (folder / text.removeprefix("file://")).absolute()
        if not path.is_file():
            return Asked(refused=[f"{place}: there is no file {path}"])
        name, url = path.name, path.as_uri()
    try:
        return Asked(lines=[f"{parse_wheel_filename(name)[0]} @ {url}"])
    except InvalidWheelFilename:
        return Asked(refused=[f"{place}: {name} is not the name of a wheel"])


def merged(text: str, lines: Sequence[str]) -> str:
    """The text of a file with requirements added; one for the same package gives way."""
    names = {name_of(line) for line in lines}
    kept = removed(text, names)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return kept + "".join(f"{line}\n" for line in dict.fromkeys(lines))


def removed(text: str, names: set[str]) -> str:
    """The text of a file without the requirements of these packages; the rest as it is."""
    kept = [line for line in text.splitlines(keepends=True) if _name_in(line) not in names]
    return "".join(kept)


def asked_in(text: str) -> dict[str, str]:
    """The requirements in the text of a file, by package."""
    return {name_of(line): line for line in _parse_text(text, Path("requirements"), depth=0).lines}


def _name_in(line: str) -> str:
    try:
        return name_of(_COMMENT.sub("", line).strip().partition(" --hash")[0])
    except InvalidRequirement:
        return ""
