"""Edits of YAML text: put in, replace or take out one setting and leave every other byte alone.

Pure functions from text to text. They use the places of the nodes, not a round trip through values,
which would re-indent and re-wrap what it didn't change. Every result is read again and compared
with what it should say; a file of a form that these functions can't edit is refused, never damaged.
"""

from __future__ import annotations

import copy
import json
import re
import textwrap
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from appliance.config.yaml_text import Entry, YamlText, emit, plain_value, read_yaml
from appliance.errors import ApplianceError, Conflict, NotFound

INDENT = "  "

Path = tuple[str, ...]
"""The names from the top to an entry."""


def put(text: str, key: str | Path, value: object, *, name: str) -> str:
    """The text with a setting at that value."""
    path = _path(key)
    document = read_yaml(text, name=name)
    wanted = _with(document.values(), path, value)
    entry = document.find(path)
    if entry is not None:
        return _checked(_replace(document, entry, emit(value)), wanted, path, name=name)
    above = next(n for n in range(len(path) - 1, -1, -1) if not n or document.find(path[:n]))
    parent = document.find(path[:above]) if above else None
    group = parent.value if parent else document.root
    line = _nested(path[above:], emit(value), flow=_is_flow(group))
    if parent is None:
        changed = _insert_at_top(document, path[0], line)
    else:
        changed = _insert_in(document, parent, path[above], line, is_group=above < len(path) - 1)
    return _checked(changed, wanted, path, name=name)


def _nested(path: Path, value: str, *, flow: bool) -> str:
    """An entry, in the groups that it needs around it."""
    if len(path) == 1:
        return f"{emit(path[0])}: {value}"
    inner = _nested(path[1:], value, flow=flow)
    if flow:
        return f"{emit(path[0])}: {{{inner}}}"
    return f"{emit(path[0])}:\n{textwrap.indent(inner, INDENT)}"


def take(text: str, key: str | Path, *, name: str) -> str:
    """The text without a setting, or a group with all that is in it; the same text if it isn't
    there."""
    path = _path(key)
    document = read_yaml(text, name=name)
    entry = document.find(path)
    if entry is None:
        return text
    parent = document.find(path[:-1]) if len(path) > 1 else None
    group = parent.value if parent else document.root
    wanted = _without(document.values(), path)
    if _is_flow(group):
        changed = _remove_flow_entry(document, group, entry)
    else:
        end = _end_of_pair(document.text, entry.key, entry.value)
        changed = _remove_lines(document.text, entry.key.start_mark.index, end)
    return _checked(changed, wanted, path, name=name)


def add_item(text: str, key: str | Path, item: object, *, name: str) -> str:
    """The text with one more item at the end of a list that is written in it."""
    path = _path(key)
    document = read_yaml(text, name=name)
    entry = document.find(path)
    items = plain_value(entry.value) if entry else None
    if entry is None or not items or not isinstance(entry.value, SequenceNode):
        return put(text, path, [item], name=name)
    wanted = _with(document.values(), path, [*items, item])
    last = entry.value.value[-1]
    end = _end_of(document.text, last)
    if _is_flow(entry.value):
        changed = document.text[:end] + f", {emit(item)}" + document.text[end:]
    else:
        line_end = _line_end(document.text, end)
        dash = _line_start_text(document.text, last).replace("\t", " ")
        changed = _insert_line(document.text, line_end, f"{dash}{emit(item)}")
    return _checked(changed, wanted, path, name=name)


def remove_item(text: str, key: str | Path, item: object, *, name: str) -> str:
    """The text without an item of a list that is written in it; NotFound if it isn't there."""
    path = _path(key)
    document = read_yaml(text, name=name)
    entry = document.find(path)
    items = plain_value(entry.value) if entry else None
    if entry is None or not isinstance(items, list) or item not in items:
        raise NotFound(
            f"cannot remove {emit(item)} from {'.'.join(path)}",
            why="it is not in the list",
            mend=f"appliance config get {'.'.join(path)}",
        )
    kept = [one for one in items if one != item]
    if not kept or _is_flow(entry.value) or len(kept) < len(items) - 1:
        return put(text, path, kept, name=name)
    node = entry.value.value[items.index(item)]
    end = _end_of(document.text, node)
    changed = _remove_lines(document.text, node.start_mark.index, end)
    return _checked(changed, _with(document.values(), path, kept), path, name=name)


def _path(key: str | Path) -> Path:
    return tuple(key.split(".")) if isinstance(key, str) else key


def _checked(text: str, wanted: dict[str, Any], path: Path, *, name: str) -> str:
    """The text if it says what is wanted and nothing else."""
    try:
        if _meaning(read_yaml(text, name=name).values()) == _meaning(wanted):
            return text
        why = "the file has a form that this command does not handle"
    except ApplianceError as error:
        why = f"the file has a form that this command does not handle ({error.why})"
    raise Conflict(
        f"cannot change {'.'.join(path)} in {name}", why=why, mend="sudo appliance config edit"
    )


def _meaning(values: dict[str, Any]) -> str:
    """Equal for files that say the same: an empty group is none, and true is not 1."""
    said = {name: value for name, value in values.items() if value not in ({}, None)}
    return json.dumps(_plain(said), sort_keys=True, default=repr)


def _plain(value: Any) -> Any:
    """A group with nothing in it reads as nothing."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()} or None
    return value


def _with(values: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    wanted = copy.deepcopy(values)
    group = wanted
    for part in path[:-1]:
        if not isinstance(group.get(part), dict):
            group[part] = {}
        group = group[part]
    group[path[-1]] = value
    return wanted


def _without(values: dict[str, Any], path: Path) -> dict[str, Any]:
    wanted = copy.deepcopy(values)
    group = wanted
    for part in path[:-1]:
        group = group.get(part, {})
    group.pop(path[-1], None)
    return wanted


def _replace(document: YamlText, entry: Entry, value: str) -> str:
    text, node = document.text, entry.value
    if _is_nothing(node):
        colon = text.index(":", entry.key.end_mark.index) + 1
        return f"{text[:colon]} {value}{text[colon:]}"
    start, end = node.start_mark.index, _end_of(text, node)
    if node.start_mark.line != entry.key.start_mark.line:
        # The value begins on a line of its own, as block lists do: write it after the name instead.
        colon = text.index(":", entry.key.end_mark.index) + 1
        return f"{text[:colon]} {value}{_rest_of_line(text, colon)}{text[_line_end(text, end) :]}"
    return f"{text[:start]}{value}{text[end:]}"


def _insert_at_top(document: YamlText, name: str, line: str) -> str:
    text, root = document.text, document.root
    if _is_flow(root):
        return _insert_flow_entry(document, root, line)
    if root is not None:
        line = textwrap.indent(line, " " * root.start_mark.column)
    commented = re.search(rf"^#[ \t]?{re.escape(name)}:.*$", text, re.MULTILINE)
    return _insert_line(text, commented.end() if commented else _end_of_document(text), line)


def _insert_in(document: YamlText, parent: Entry, name: str, line: str, *, is_group: bool) -> str:
    """Put an entry in a group: after the comment that shows it, else at the end; a group of its own
    after all the comments of a group that has nothing else."""
    text, group = document.text, parent.value
    if isinstance(group, MappingNode) and group.flow_style:
        return _insert_flow_entry(document, group, line)
    if isinstance(group, MappingNode):
        indent = " " * group.value[0][0].start_mark.column
        after = _line_end(text, _end_of(text, group))
        first = parent.key.end_mark.index
    else:
        indent = " " * (parent.key.start_mark.column + len(INDENT))
        after = first = _line_end(text, parent.key.end_mark.index)
        if is_group:
            after = _after_comments(text, after, indent)
    commented = 0 if is_group else _commented(text, first, name, indent)
    return _insert_line(text, commented or after, textwrap.indent(line, indent))


def _after_comments(text: str, line_end: int, indent: str) -> int:
    """The end of the last of the comments that follow a line, as far in as the group is."""
    match = re.compile(rf"(?:\n{indent}[ ]*#[^\n]*)*").match(text, line_end)
    return match.end() if match else line_end


def _commented(text: str, start: int, name: str, indent: str) -> int:
    """The end of the line in this group that shows the setting as a comment, or 0."""
    begin = _line_end(text, start)
    # The group ends where a line begins further left.
    group_end = re.compile(rf"^ {{0,{max(len(indent) - 1, 0)}}}[^\s#]", re.MULTILINE).search(
        text, begin
    )
    example = re.compile(rf"^{indent}#[ \t]?{re.escape(name)}:.*$", re.MULTILINE)
    match = example.search(text, start, group_end.start() if group_end else len(text))
    return match.end() if match else 0


def _insert_flow_entry(document: YamlText, group: Node | None, line: str) -> str:
    if group is None:
        return document.text
    text = document.text
    if group.value:
        end = _end_of_pair(text, *group.value[-1])
        return f"{text[:end]}, {line}{text[end:]}"
    start = group.start_mark.index + 1
    return f"{text[:start]}{line}{text[start:]}"


def _remove_flow_entry(document: YamlText, group: Node | None, entry: Entry) -> str:
    text = document.text
    pairs = group.value if group is not None else []
    index = next(at for at, (key, _) in enumerate(pairs) if key is entry.key)
    if index + 1 < len(pairs):
        return text[: entry.key.start_mark.index] + text[pairs[index + 1][0].start_mark.index :]
    end = _end_of_pair(text, entry.key, entry.value)
    if index:
        return text[: _end_of_pair(text, *pairs[index - 1])] + text[end:]
    return text[: entry.key.start_mark.index] + text[end:]


def _remove_lines(text: str, first: int, last: int) -> str:
    return text[: text.rfind("\n", 0, first) + 1] + text[_line_end(text, last) + 1 :]


def _insert_line(text: str, after: int, line: str) -> str:
    """Put lines in after the line that ends at `after`."""
    newline = "\r\n" if "\r\n" in text else "\n"
    line = line.replace("\n", newline)
    if after > 0 and text[after - 1 : after] == "\r":
        after -= 1
    if after >= len(text):
        joint = "" if not text or text.endswith("\n") else newline
        return f"{text}{joint}{line}{newline}"
    return f"{text[:after]}{newline}{line}{text[after:]}"


def _is_flow(node: Node | None) -> bool:
    return isinstance(node, (MappingNode, SequenceNode)) and bool(node.flow_style)


def _end_of(text: str, node: Node) -> int:
    """Where the node's own text ends; block groups' and lists' marks go on to what follows them."""
    if isinstance(node, (MappingNode, SequenceNode)) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_of_pair(text, *last) if isinstance(last, tuple) else _end_of(text, last)
    end: int = node.end_mark.index
    if _is_nothing(node):
        return len(text[:end].rstrip())
    if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
        begin = node.start_mark.index
        end = begin + len(text[begin:end].rstrip())
    return end


def _end_of_pair(text: str, key: Node, value: Node) -> int:
    """Where `name: value` ends; a value of nothing has its mark after the comments that follow."""
    if _is_nothing(value):
        return text.index(":", int(key.end_mark.index)) + 1
    return _end_of(text, value)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.value and not node.style


def _line_end(text: str, index: int) -> int:
    """The index of the line break that ends the line of `index`."""
    end = text.find("\n", index)
    return len(text) if end < 0 else end


def _rest_of_line(text: str, index: int) -> str:
    return text[index : _line_end(text, index)].rstrip("\r")


def _line_start_text(text: str, node: Node) -> str:
    index = node.start_mark.index
    return text[text.rfind("\n", 0, index) + 1 : index]


def _end_of_document(text: str) -> int:
    """The end of the last line before an explicit end of the document."""
    match = re.search(r"^\.\.\.(?=\s|$)", text, re.MULTILINE)
    return max(match.start() - 1, 0) if match else len(text)
