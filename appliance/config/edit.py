"""Changes of the configuration's text: set, unset, add, remove; and its earlier versions.

The functions from text to text know the settings' types: what somebody types is read as the
setting's own type, never guessed. Nothing here makes a change take effect: `appliance.rollout`
does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.config.fields import Kind, Setting, find_setting, get_setting, sections, settings
from appliance.config.files import write_atomically
from appliance.config.load import check_text
from appliance.config.reference import example_text
from appliance.config.splice import add_item, put, remove_item, take
from appliance.config.yaml_text import plain_value, read_yaml
from appliance.errors import BadRequest, ConfigError
from appliance.places import Places

HISTORY_MAX: Final = 20
_SWITCHES: Final = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_NOTHING: Final = frozenset({"null", "none"})


def set_value(text: str, key: str, words: Sequence[str], *, name: str) -> str:
    """The text with a setting at the value that somebody typed, checked as a whole."""
    setting = get_setting(key)
    value = parse_words(setting, words)
    return _checked(put(text, key, value, name=name), name=name)


def unset(text: str, key: str, *, name: str) -> str:
    """The text without a setting, or without all settings of a group."""
    if key in sections():
        keys = [setting.key for setting in settings().values() if setting.section == key]
    else:
        keys = [get_setting(key).key]
    for one in keys:
        text = take(text, one, name=name)
    return _checked(text, name=name)


def add(text: str, key: str, words: Sequence[str], *, name: str) -> str:
    """The text with items added to a list; items that are in it already are passed over."""
    setting = _get_list(key)
    base = _with_list(text, setting, name=name)
    for word in words:
        if word not in _items(base, key, name=name):
            base = add_item(base, key, word, name=name)
            text = base
    return _checked(text, name=name)


def remove(text: str, key: str, words: Sequence[str], *, name: str) -> str:
    """The text with items taken out of a list; NotFound for one that isn't in it."""
    _get_list(key)
    for word in words:
        text = remove_item(text, key, word, name=name)
    return _checked(text, name=name)


def parse_words(setting: Setting, words: Sequence[str]) -> object:
    """What somebody typed as a value of the setting's type, ready to be written.

    Sizes and times stay as typed. What isn't of the type is handed on as text, for the check of the
    whole file to refuse with its sentence.
    """
    if setting.kind is Kind.LIST:
        return _parse_list(words)
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


def write_config(places: Places, text: str) -> None:
    """Put a checked text in the configuration's place, readable by its owner alone."""
    write_atomically(places.config_file, text, mode=0o600)


def write_first(places: Places, changes: dict[str, str] | None = None) -> bool:
    """Write the commented example as the first configuration; do nothing if there is one already.

    `changes` are settings that the installer was asked for. Says whether it wrote.
    """
    if places.config_file.exists():
        return False
    places.settings.mkdir(parents=True, exist_ok=True)
    text = example_text()
    for key, word in (changes or {}).items():
        text = set_value(text, key, [word], name=str(places.config_file))
    write_config(places, text)
    return True


def keep_version(places: Places, text: str, *, refused: bool = False) -> Path:
    """Keep a text among the earlier versions, and forget the oldest; names tell refused ones."""
    folder = places.config_history
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    path = folder / f"{stamp}{'.refused' if refused else ''}.yaml"
    write_atomically(path, text, mode=0o600)
    for old in sorted(folder.glob("*.yaml"))[:-HISTORY_MAX]:
        old.unlink(missing_ok=True)
    return path


def _checked(text: str, *, name: str) -> str:
    """The text if the whole of it is right; the problems' places are those of the changed text."""
    try:
        check_text(text, name=name)
    except ConfigError as error:
        error.mend = "nothing was changed"
        raise
    return text


def _get_list(key: str) -> Setting:
    setting = get_setting(key)
    if setting.kind is not Kind.LIST:
        raise BadRequest(
            f"cannot add to or remove from {key}",
            why="it is not a list",
            mend=f"appliance config set {key} VALUE",
        )
    return setting


def _with_list(text: str, setting: Setting, *, name: str) -> str:
    """The text with the list in it, so that adding to a default keeps the default's items."""
    if read_yaml(text, name=name).find(setting.key) is not None or not setting.default:
        return text
    return put(text, setting.key, setting.default, name=name)


def _items(text: str, key: str, *, name: str) -> list[object]:
    entry = read_yaml(text, name=name).find(key)
    items = plain_value(entry.value) if entry else None
    return items if isinstance(items, list) else []


def _parse_list(words: Sequence[str]) -> list[str]:
    """Items, each a word or several with commas; `[a, b]` and `[]` as in YAML."""
    joined = " ".join(words).strip()
    joined = joined[1:-1] if joined.startswith("[") and joined.endswith("]") else joined
    return [item.strip("\"'") for item in re.split(r"[\s,]+", joined) if item]


def is_secret(key: str) -> bool:
    """Whether a value of the setting must stay out of command lines and messages."""
    setting = find_setting(key)
    return setting is not None and setting.kind is Kind.SECRET
