"""YAML text as a tree that knows where in the text everything is.

ruamel.yaml's node graph is used rather than its round-trip values, because nodes carry the exact
start and end of keys *and* values: problems get their place, all duplicate keys are found at once,
and edits replace those characters and leave every other byte as it was.

The file is a person's, and may be anything: it is refused when it is too big, too deep, has aliases
(which can make a small file unfold to gigabytes) or tags, each with its place.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from appliance.errors import ConfigError, Problem

SIZE_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 10

_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset({_TAG + "str", _TAG + "timestamp"})
_SAFE_TEXT: Final = re.compile(r"[A-Za-z0-9/][A-Za-z0-9/._~@+-]*")

# The parser's words → ours; the first whose key occurs in them wins.
_WORDS: Final = (
    ("'\\t'", "a tab can't indent YAML; use spaces"),
    (
        "mapping values are not allowed",
        "a ':' too many, or a line indented more than the one above",
    ),
    ("could not find expected ':'", "this line has no ':' after its name"),
    (
        "found unexpected end of stream",
        "the text that a quote begins is not ended by another quote",
    ),
    ("expected ',' or ']'", "a list begun with '[' is not ended by ']', or an item lacks its ','"),
    ("expected ',' or '}'", "a group begun with '{' is not ended by '}', or an item lacks its ','"),
    ("expected the node content", "a value is missing here"),
    ("expected <block end>", "this line is indented otherwise than its neighbours"),
    ("another document", "a second document begins here; remove the '---' line"),
    ("cannot start any token", "text that begins with this character must be in quotes"),
)


def refuse(place: str, text: str) -> ConfigError:
    """A ConfigError with one problem."""
    return ConfigError([Problem(place, text)])


@dataclass(frozen=True, slots=True)
class Entry:
    """One `name: value` of a group, as written."""

    name: str
    key: ScalarNode
    value: Node


@dataclass(frozen=True, slots=True)
class YamlText:
    """A checked YAML file: a group of settings, or nothing at all."""

    text: str
    name: str
    root: MappingNode | None
    problems: list[Problem] = field(default_factory=list)

    def place(self, node: Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def entries(self, group: Node | None) -> list[Entry]:
        """The entries of a group; those whose name isn't plain text are left out."""
        if not isinstance(group, MappingNode):
            return []
        return [
            Entry(key.value, key, value)
            for key, value in group.value
            if isinstance(key, ScalarNode) and key.tag in _TEXT_TAGS
        ]

    def find(self, key: str | tuple[str, ...]) -> Entry | None:
        """The entry of a dotted name, or of a path whose names may have dots themselves."""
        group: Node | None = self.root
        entry: Entry | None = None
        for part in key.split(".") if isinstance(key, str) else key:
            entry = next((one for one in self.entries(group) if one.name == part), None)
            group = entry.value if entry else None
        return entry

    def walk(self, path: tuple[str, ...]) -> tuple[Node | None, tuple[str, ...]]:
        """The value at a path, through groups and lists, or the nearest above it; and how far."""
        node: Node | None = self.root
        for depth, part in enumerate(path):
            if isinstance(node, SequenceNode):
                inner = node.value[int(part)] if part.isdigit() else None
            else:
                entry = next((one for one in self.entries(node) if one.name == part), None)
                inner = entry.value if entry else None
            if inner is None:
                return node, path[:depth]
            node = inner
        return node, path

    def key_node(self, path: tuple[str, ...]) -> Node | None:
        """The name of the entry at a path, or of the nearest above it that there is."""
        for length in range(len(path), 0, -1):
            entry = self.find(path[:length])
            if entry is not None:
                return entry.key
        return None

    def values(self) -> dict[str, Any]:
        """The whole as plain values; a group with nothing in it is left out."""
        plain = plain_value(self.root) if self.root else {}
        return {name: value for name, value in plain.items() if value is not None}


def read_yaml(text: str, *, name: str) -> YamlText:
    """Parse; raise ConfigError for what isn't YAML or isn't a group of settings.

    Problems that don't stop the reading (names twice) are in `problems`.
    """
    if len(text) > SIZE_MAX:
        raise refuse(
            name, f"has more than {SIZE_MAX // 1024} KiB; settings need a hundredth of that"
        )
    text = text.removeprefix("\ufeff")
    try:
        _check_events(text, name)
        root = _yaml().compose(text)
    except MarkedYAMLError as error:
        raise _translated(error, name) from error
    except YAMLError as error:
        raise _translated_character(text, name) from error
    if root is None or (isinstance(root, ScalarNode) and root.tag == _TAG + "null"):
        return YamlText(text, name, None)
    if not isinstance(root, MappingNode):
        seen = "a list" if isinstance(root, SequenceNode) else quoted(root.value)
        raise refuse(
            _at(name, root.start_mark),
            f'must be settings, such as "limits:" and below it "  memory: 2G", found {seen}',
        )
    document = YamlText(text, name, root)
    _find_doubles(document, root, "")
    return document


def plain_value(node: Node) -> Any:
    """A node as a plain value; dates stay text."""
    if isinstance(node, MappingNode):
        return {
            key.value if isinstance(key.value, str) else str(key.value): plain_value(value)
            for key, value in node.value
        }
    if isinstance(node, SequenceNode):
        return [plain_value(item) for item in node.value]
    if node.tag in _TEXT_TAGS:
        return node.value
    return _yaml().constructor.construct_object(node)


def emit(value: object) -> str:
    """A value as YAML on one line, quoted only where it would be read as something else."""
    if isinstance(value, list):
        return f"[{', '.join(emit(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{emit(name)}: {emit(one)}' for name, one in value.items())}}}"
    if not isinstance(value, str):
        return json.dumps(value)
    if _SAFE_TEXT.fullmatch(value) and _yaml().compose(value).tag == _TAG + "str":
        return value
    return f'"{"".join(_escaped(char) for char in value)}"'


def _escaped(char: str) -> str:
    """One character inside double quotes; JSON's escapes won't do beyond U+FFFF."""
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def quoted(value: object) -> str:
    """A value as it stands in a message: short, in quotes if it is text."""
    if isinstance(value, dict):
        return "a group"
    if isinstance(value, list):
        return "a list"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else f"{shown[:50]}…"


def _yaml() -> Any:
    """A parser of its own each time: ruamel's keep state."""
    return YAML(typ="safe", pure=True)


def _check_events(text: str, name: str) -> None:
    """Refuse aliases, tags and depth while nothing is unfolded yet."""
    depth = 0
    for event in _yaml().parse(text):
        if isinstance(event, AliasEvent):
            raise refuse(_at(name, event.start_mark), "settings can't use YAML aliases (*name)")
        if isinstance(event, NodeEvent) and getattr(event, "tag", None):
            raise refuse(_at(name, event.start_mark), "settings can't use YAML tags (!name)")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise refuse(_at(name, event.start_mark), "brackets or groups in too many others")


def _find_doubles(document: YamlText, group: MappingNode, prefix: str) -> None:
    first: dict[str, int] = {}
    for entry in document.entries(group):
        if entry.name in first:
            document.problems.append(
                Problem(
                    document.place(entry.key),
                    f"{prefix}{entry.name}: is here a second time; the first is in line "
                    f"{first[entry.name]}",
                )
            )
        first.setdefault(entry.name, entry.key.start_mark.line + 1)
        if isinstance(entry.value, MappingNode):
            _find_doubles(document, entry.value, f"{prefix}{entry.name}.")


def _translated(error: MarkedYAMLError, name: str) -> ConfigError:
    said = f"{error.problem} {error.context}"
    words = next(
        (ours for theirs, ours in _WORDS if theirs in said),
        "is not YAML here; look for a missing ':', quote or bracket, or wrong indentation",
    )
    unended_quote = "found unexpected end of stream" in said and error.context_mark
    return refuse(_at(name, error.context_mark if unended_quote else error.problem_mark), words)


def _translated_character(text: str, name: str) -> ConfigError:
    """ruamel refuses control characters without a place; find the first of them."""
    match = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if not match:
        return refuse(name, "can't be read as YAML")
    before = text[: match.start()]
    line, column = before.count("\n") + 1, match.start() - (before.rfind("\n") + 1) + 1
    return refuse(
        f"{name}:{line}:{column}",
        f"has the control character U+{ord(match[0]):04X}; "
        "the file may be half-written or not text",
    )


def _at(name: str, mark: Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
