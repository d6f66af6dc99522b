"""YAML → Config, or a ConfigError with every problem: place, name, what is expected and found.

Only root's command line reads the YAML. The hub, the spawner daemon and nginx read what was
rendered from it (rendered.py), so that a half-edited file harms nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from appliance.config.fields import Kind, Setting, find_setting, nearest, sections
from appliance.config.schema import SIZE_UNITS, Config
from appliance.config.yaml_text import (
    SIZE_MAX,
    Entry,
    YamlText,
    plain_value,
    quoted,
    read_yaml,
    refuse,
)
from appliance.errors import ApplianceError, ConfigError, Problem

# YAML 1.2 reads these as text; most people who write them mean a switch.
_SWITCH_WORDS: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def load(path: Path) -> Config:
    """Read and check a configuration file; in an empty one every setting has its default."""
    return check_text(read_text(path), name=str(path))


def read_text(path: Path) -> str:
    """The file's text; ConfigError when there is none, it can't be read, or it isn't text."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX * 4 + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            [Problem(str(path), "there is no such file")],
            mend=f"put an earlier version back from {path.parent / 'history'}, "
            f"or begin anew with an empty file: touch {path}",
        ) from error
    except PermissionError as error:
        raise ConfigError(
            [Problem(str(path), "may not be read by you")], mend="run this as root, with sudo"
        ) from error
    except OSError as error:
        raise refuse(str(path), f"can't be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise refuse(
            f"{path}:{line}:{column}",
            f"isn't UTF-8 text: the byte 0x{data[error.start]:02x}; save the file as UTF-8",
        ) from error


def check_text(text: str, *, name: str) -> Config:
    """Check YAML text; `name` is the file's, for the places."""
    document = read_yaml(text, name=name)
    problems = [*document.problems, *_misplaced(document)]
    config: Config | None = None
    try:
        config = Config.model_validate(_checkable(document))
    except ValidationError as error:
        problems += [_problem(document, detail) for detail in error.errors(include_url=False)]
    if problems or config is None:
        raise ConfigError(sorted(problems, key=_line_and_column))
    return config


def _checkable(document: YamlText) -> dict[str, Any]:
    """The values that the schema can judge: known names, and groups that are groups.

    What is left out has a problem of its own from `_misplaced`.
    """
    values: dict[str, Any] = {}
    for entry in document.entries(document.root):
        if entry.name not in sections():
            if entry.name in Config.model_fields:
                values[entry.name] = plain_value(entry.value)
            continue
        if isinstance(entry.value, MappingNode):
            values[entry.name] = {
                inner.name: plain_value(inner.value)
                for inner in document.entries(entry.value)
                if find_setting(f"{entry.name}.{inner.name}")
            }
    return values


def _misplaced(document: YamlText) -> list[Problem]:
    """Names that no setting has, and values where a group of settings should be."""
    problems = _wrong_names(document, document.root, "")
    for entry in document.entries(document.root):
        if entry.name not in sections():
            if entry.name not in Config.model_fields:
                problems.append(_unknown(document, entry, ""))
            continue
        problems += _wrong_names(document, entry.value, f"{entry.name}.")
        problems += [
            _unknown(document, inner, f"{entry.name}.")
            for inner in document.entries(entry.value)
            if not find_setting(f"{entry.name}.{inner.name}")
        ]
        value = None if isinstance(entry.value, MappingNode) else plain_value(entry.value)
        if value is not None:
            known = ", ".join(sections()[entry.name].model_fields)
            problems.append(
                Problem(
                    document.place(entry.value),
                    f"{entry.name}: must be a group of settings ({known}), "
                    f"each on a line of its own, found {quoted(value)}",
                )
            )
    return problems


def _wrong_names(document: YamlText, group: Node | None, prefix: str) -> list[Problem]:
    """Keys that aren't text, such as numbers and lists."""
    if not isinstance(group, MappingNode):
        return []
    named = {id(entry.key) for entry in document.entries(group)}
    return [
        Problem(
            document.place(key),
            f"{prefix.rstrip('.') or 'settings'}: here must be the name of a setting, "
            f"found {quoted(plain_value(key))}",
        )
        for key, _ in group.value
        if id(key) not in named
    ]


def _unknown(document: YamlText, entry: Entry, prefix: str) -> Problem:
    key = f"{prefix}{entry.name}"
    section, _, name = entry.name.partition(".")
    if not prefix and find_setting(entry.name):
        hint = f'; write "{section}:" and below it, indented, "{name}:"'
    else:
        near = nearest(key)
        hint = f"; did you mean {near}?" if near else ""
    what = "group or setting" if not prefix and isinstance(entry.value, MappingNode) else "setting"
    return Problem(document.place(entry.key), f"{key}: no such {what}{hint}")


def _problem(document: YamlText, detail: ErrorDetails) -> Problem:
    """One of the schema's refusals in our words, at the place of the value."""
    parts = [str(part) for part in detail["loc"]]
    if detail["type"] == "rule":
        key, _, text = detail["msg"].partition(": ")
        return Problem(_place_of(document, key), f"{key}: {text}")
    key = ".".join(parts[:2]) if parts[0] in sections() else parts[0]
    entry = document.find(key)
    node = entry.value if entry else None
    item = parts[-1] if parts[-1].isdigit() and isinstance(node, SequenceNode) else ""
    if item and isinstance(node, SequenceNode):
        node = node.value[int(item)]
    place = document.place(node) if node else document.name
    name = f"{key}[{item}]" if item else key
    return Problem(place, f"{name}: {_sentence(key, node, detail, is_item=bool(item))}")


def _sentence(key: str, node: Node | None, detail: ErrorDetails, *, is_item: bool) -> str:
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, ValueError):
        return str(error)
    setting = find_setting(key)
    if setting is None or node is None:
        raise ApplianceError(f"cannot explain a problem with {key}", why=detail["msg"])
    expected = setting.means if is_item else setting.expected()
    value = plain_value(node)
    if setting.kind is Kind.SECRET:
        if isinstance(value, (int, float)):
            return 'must be text in quotes ("…"), found a number or a switch'
        return f"must be {expected}"
    hint = "" if is_item else _hint(setting, value)
    return f"must be {expected}, found {_found(node, value)}{hint}"


def _hint(setting: Setting, value: object) -> str:
    """What the writer most likely meant, where that is plain."""
    match setting.kind, value:
        case Kind.SWITCH, str(text) if text.lower() in _SWITCH_WORDS:
            return f"; write {_SWITCH_WORDS[text.lower()]}"
        case Kind.LIST, str(text):
            return f"; write [{text}]"
        case ((Kind.WHOLE | Kind.NUMBER), str(text)) if text.replace(".", "", 1).isdigit():
            return "; leave the quotes out"
        case Kind.SIZE, int(number) if 0 < number < SIZE_UNITS["M"] and number is not True:
            return f"; write {number}M if megabytes are meant"
    return ""


def _found(node: Node, value: object) -> str:
    """The value as written: numbers keep their spelling, text is quoted."""
    if value is None and not node.value:
        return "nothing"
    written = isinstance(node, ScalarNode) and not isinstance(value, str) and node.value
    return str(node.value)[:50] if written else quoted(value)


def _place_of(document: YamlText, key: str) -> str:
    """Where a setting is, else where its group is, else the file."""
    entry = document.find(key) or document.find(key.partition(".")[0])
    return document.place(entry.key) if entry else document.name


def _line_and_column(problem: Problem) -> tuple[int, ...]:
    return tuple(int(part) for part in problem.place.split(":")[-2:] if part.isdigit())
