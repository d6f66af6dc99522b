"""What is wrong with a configuration's text, in our words and at its place.

Two readers: `Reading` goes through the text by the schema and hands on what the schema can judge;
`problem_of` turns the schema's refusals into sentences.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import ErrorDetails
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from appliance.config.fields import (
    Named,
    find_setting,
    named_groups,
    nearest,
    section_of,
    setting_at,
)
from appliance.config.kinds import SIZE_UNITS, Section
from appliance.config.setting import Kind, Path, Setting, dotted
from appliance.config.yaml_text import Entry, YamlText, plain_value, quoted
from appliance.errors import ApplianceError, Problem

# YAML 1.2 reads these as text; most people who write them mean a switch.
_SWITCH_WORDS: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_KEY: Final = "[key]"


class Reading:
    """The values that the schema can judge: known names, and groups that are groups.

    What is left out has a problem of its own in `problems`.
    """

    def __init__(self, document: YamlText) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def section(self, node: Node | None, kind: type[Section], path: Path) -> dict[str, Any]:
        """The values of a group of settings."""
        self._check_names(node, path, "the name of a setting")
        values: dict[str, Any] = {}
        for entry in self._document.entries(node):
            info = kind.model_fields.get(entry.name)
            inner = (*path, entry.name)
            if info is None:
                self.problems.append(self._unknown(entry, inner))
            elif section := section_of(info):
                if self._is_group(entry.value, inner, _settings_in(section)):
                    values[entry.name] = self.section(entry.value, section, inner)
            elif not path and entry.name in named_groups():
                values[entry.name] = self._members(entry.value, named_groups()[entry.name])
            else:
                self._check_inside(entry.value, inner)
                values[entry.name] = self._plain(entry.value)
        return values

    def _members(self, node: Node, group: Named) -> dict[str, Any]:
        path = (group.name,)
        if not self._is_group(node, path, f"group of names ({group.names})"):
            return {}
        self._check_names(node, path, group.names)
        values: dict[str, Any] = {}
        for entry in self._document.entries(node):
            inner = (*path, entry.name)
            if self._is_group(entry.value, inner, _settings_in(group.one)):
                values[entry.name] = self.section(entry.value, group.one, inner)
            else:
                values[entry.name] = {}
        return values

    def _is_group(self, node: Node, path: Path, what: str) -> bool:
        """Whether there is a group; nothing is none and right, all else is a problem."""
        if isinstance(node, MappingNode):
            return True
        value = plain_value(node)
        if value is not None:
            self._add(
                node,
                f"{dotted(path)}: must be a {what}, each on a line of its own, "
                f"found {quoted(value)}",
            )
        return False

    def _check_names(self, node: Node | None, path: Path, what: str) -> None:
        """Find keys that aren't text, such as numbers and lists."""
        if not isinstance(node, MappingNode):
            return
        named = {id(entry.key) for entry in self._document.entries(node)}
        for key, _ in node.value:
            if id(key) not in named:
                self._add(
                    key,
                    f"{dotted(path) or 'settings'}: here must be {what}, "
                    f"found {quoted(plain_value(key))}",
                )

    def _check_inside(self, node: Node, path: Path) -> None:
        """Find keys that aren't text inside of a setting's own value."""
        setting = setting_at(path)
        self._check_names(node, path, (setting and setting.names) or "a name")
        for inner in _children(node):
            self._check_inside(inner, path)

    def _plain(self, node: Node) -> Any:
        """A value without the names that are no text, which have a problem of their own."""
        if not isinstance(node, MappingNode):
            return plain_value(node)
        return {one.name: plain_value(one.value) for one in self._document.entries(node)}

    def _unknown(self, entry: Entry, path: Path) -> Problem:
        what = "setting"
        if len(path) == 1:
            section, _, name = entry.name.partition(".")
            if isinstance(entry.value, MappingNode):
                what = "group or setting"
            if section in named_groups() or find_setting(entry.name):
                inner = name.partition(".")[0] if section in named_groups() else name
                hint = f'; write "{section}:" and below it, indented, "{inner}:"'
                return self._problem(entry.key, f"{entry.name}: no such {what}{hint}")
        near = nearest(path)
        hint = f"; did you mean {near}?" if near else ""
        return self._problem(entry.key, f"{dotted(path)}: no such {what}{hint}")

    def _problem(self, node: Node, text: str) -> Problem:
        return Problem(self._document.place(node), text)

    def _add(self, node: Node, text: str) -> None:
        self.problems.append(self._problem(node, text))


def problem_of(document: YamlText, detail: ErrorDetails) -> Problem:
    """One of the schema's refusals in our words, at the place of the value."""
    if detail["type"] == "rule":
        key, _, text = detail["msg"].partition(": ")
        return rule_problem(document, tuple(key.split(".")), text)
    path = tuple(str(part) for part in detail["loc"])
    if path[-1] == _KEY:
        return _name_problem(document, path[:-1])
    setting = setting_at(path)
    node, walked = document.walk(path)
    if setting is None or node is None:
        raise ApplianceError(f"cannot explain a problem with {dotted(path)}", why=detail["msg"])
    inside = walked[len(setting.path) :]
    name = setting.key
    if inside and setting.kind is Kind.LIST:
        name = f"{name}[{inside[0]}]"
    elif inside:
        name = f"{name}.{inside[0]}"
    sentence = _sentence(setting, node, detail, is_item=bool(inside))
    return Problem(document.place(node), f"{name}: {sentence}")


def rule_problem(document: YamlText, path: Path, text: str) -> Problem:
    """A problem of a setting with others: at the setting, else at its group, else at the file."""
    item, walked = document.walk(path)
    setting = setting_at(path)
    inside = path[len(setting.path) :] if setting else ()
    name = f"{dotted(path[: -len(inside)])}[{inside[0]}]" if inside else dotted(path)
    node = item if inside and walked == path else document.key_node(path)
    return Problem(document.place(node) if node else document.name, f"{name}: {text}")


def _name_problem(document: YamlText, path: Path) -> Problem:
    """A name that people chose, and may not."""
    setting = setting_at(path)
    names = setting.names if setting else named_groups()[path[0]].names
    node = document.key_node(path)
    place = document.place(node) if node else document.name
    return Problem(place, f"{dotted(path[:-1])}: must have {names}, found {quoted(path[-1])}")


def _sentence(setting: Setting, node: Node, detail: ErrorDetails, *, is_item: bool) -> str:
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, ValueError):
        return str(error)
    expected = setting.item if is_item else setting.expected()
    value = plain_value(node)
    if setting.kind is Kind.SECRET:
        if isinstance(value, (int, float)):
            return 'must be text in quotes ("…"), found a number or a switch'
        return f"must be {expected}"
    return f"must be {expected}, found {_found(node, value)}{_hint(setting, value, is_item)}"


def _hint(setting: Setting, value: object, is_item: bool) -> str:  # noqa: FBT001
    """What the writer most likely meant, where that is plain."""
    if is_item:
        is_plain = isinstance(value, (bool, int, float))
        return f'; write "{value}" in quotes' if is_plain and not isinstance(value, bool) else ""
    match setting.kind, value:
        case Kind.SWITCH, str(text) if text.lower() in _SWITCH_WORDS:
            return f"; write {_SWITCH_WORDS[text.lower()]}"
        case Kind.LIST, str(text):
            return f"; write [{', '.join(text.split())}]"
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


def _settings_in(group: type[Section]) -> str:
    return f"group of settings ({', '.join(group.model_fields)})"


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, SequenceNode) else []
