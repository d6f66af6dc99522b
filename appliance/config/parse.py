"""What somebody types in a command line, read as the setting's own type, never guessed.

Sizes and times stay as typed. What isn't of the type is handed on as text, for the check of the
whole file to refuse with its sentence.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any, Final

from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode

from appliance.config.kinds import Typed
from appliance.config.setting import Kind, Setting
from appliance.config.yaml_text import plain_value, read_yaml
from appliance.errors import BadRequest, ConfigError

_SWITCHES: Final = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_NOTHING: Final = frozenset({"null", "none"})


def parse_words(setting: Setting, words: Sequence[str]) -> object:
    """What somebody typed as a value of the setting's type, ready to be written."""
    if setting.kind is Kind.LIST:
        return _parse_list(setting, words)
    if setting.kind is Kind.MAP:
        is_whole = len(words) == 1 and words[0].lstrip().startswith("{")
        return _parse_yaml(setting, words[0]) if is_whole else parse_pairs(setting, words)
    if len(words) != 1:
        raise BadRequest(
            f"cannot set {setting.key}",
            why=f"it takes one value, and there are {len(words)}",
            mend=f"put the value in quotes: appliance config set {setting.key} '…'",
        )
    word = words[0]
    if setting.optional and word.lower() in _NOTHING:
        return None
    match setting.kind:
        case Kind.SWITCH:
            return _SWITCHES.get(word.lower(), word)
        case Kind.WHOLE | Kind.SIZE | Kind.DURATION if re.fullmatch(r"[+-]?[0-9]{1,18}", word):
            return int(word)
        case Kind.NUMBER if re.fullmatch(r"[+-]?[0-9]{0,15}(\.[0-9]{0,15})?", word) and word.strip(
            "+-."
        ):
            return float(word) if "." in word else int(word)
        case Kind.CHOICE:
            return word.lower()
    return word


def parse_pairs(setting: Setting, words: Sequence[str]) -> dict[str, object]:
    """Entries of a map, each typed as NAME=VALUE."""
    pairs: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadRequest(
                f"cannot take {word!r} for {setting.key}",
                why="it is not of the form NAME=VALUE",
                mend=f"appliance config set {setting.key} NAME=VALUE",
            )
        pairs[name] = _SWITCHES.get(value.lower(), value) if setting.switches else value
    return pairs


def _parse_list(setting: Setting, words: Sequence[str]) -> object:
    """Items, each a word; one word may have several as the setting says, or be `[a, b]` as in
    YAML."""
    joined = " ".join(words).strip()
    if joined.startswith("[") and joined.endswith("]"):
        return _parse_yaml(setting, joined)
    if setting.typed is Typed.SEPARATED:
        return [item for item in re.split(r"[\s,]+", joined) if item]
    if setting.typed is Typed.COMMAND and len(words) == 1:
        try:
            return shlex.split(words[0])
        except ValueError as error:
            raise BadRequest(
                f"cannot set {setting.key}",
                why=f"it can't be read as a shell reads a command: {error}".lower(),
                mend=f"""appliance config set {setting.key} '["PROGRAM", "ARGUMENT"]'""",
            ) from error
    return list(words)


def _parse_yaml(setting: Setting, word: str) -> Any:
    """A list or map typed as YAML, of which JSON is a part."""
    try:
        entry = read_yaml(f"value: {word}", name="the value").find("value")
    except ConfigError as error:
        raise BadRequest(
            f"cannot set {setting.key}",
            why="; ".join(str(problem.text) for problem in error.problems),
            mend=f"appliance config explain {setting.key}",
        ) from error
    if entry is None:
        return None
    if isinstance(entry.value, SequenceNode):
        return [_text(item) for item in entry.value.value]
    return plain_value(entry.value)


def _text(node: Node) -> object:
    """Lists here are of text: what looks like a number is text, too."""
    return node.value if isinstance(node, ScalarNode) else plain_value(node)
