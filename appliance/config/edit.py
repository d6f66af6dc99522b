"""Changes of the configuration's text: set, unset, add, remove; and its earlier versions.

The functions from text to text know the settings' types: what somebody types is read as the
setting's own type, never guessed. Nothing here makes a change take effect: `appliance.rollout`
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.config.fields import (
    check_member,
    find_setting,
    get_setting,
    named_groups,
    path_of,
    sections,
    settings,
)
from appliance.config.files import write_atomically
from appliance.config.load import check_text
from appliance.config.parse import parse_pairs, parse_words
from appliance.config.reference import example_text
from appliance.config.setting import Kind, Setting
from appliance.config.setting import Path as KeyPath
from appliance.config.splice import add_item, put, remove_item, take
from appliance.config.yaml_text import plain_value, read_yaml
from appliance.errors import BadRequest, ConfigError, NotFound
from appliance.places import Places

HISTORY_MAX: Final = 20


def set_value(text: str, key: str, words: Sequence[str], *, name: str) -> str:
    """The text with a setting at the value that somebody typed, checked as a whole."""
    setting = get_setting(key)
    value = parse_words(setting, words)
    return _checked(put(text, setting.path, value, name=name), name=name)


def unset(text: str, key: str, *, name: str) -> str:
    """The text without a setting, without all settings of a group, or without what has a name."""
    for path in _to_unset(text, key, name=name):
        text = take(text, path, name=name)
    return _checked(text, name=name)


def _to_unset(text: str, key: str, *, name: str) -> list[KeyPath]:
    if key in sections():
        return [setting.path for setting in settings().values() if setting.section == key]
    document = read_yaml(text, name=name)
    if key in named_groups():
        group = document.find(key)
        return [(key, entry.name) for entry in document.entries(group.value)] if group else []
    path = path_of(key)
    if path[0] in named_groups() and len(path) > 1:
        members = document.entries(document.root and document.walk(path[:1])[0])
        check_member(key, [entry.name for entry in members])
        if len(path) == 2:
            return [path]
    return [get_setting(key).path]


def add(text: str, key: str, words: Sequence[str], *, name: str) -> str:
    """The text with items added to a list, or names to a map; items that are in it already are
    passed over."""
    setting = _get_many(key)
    if setting.kind is Kind.MAP:
        for one, value in parse_pairs(setting, words).items():
            text = put(text, (*setting.path, one), value, name=name)
        return _checked(text, name=name)
    base = _with_list(text, setting, name=name)
    for word in words:
        if word not in _items(base, setting.path, name=name):
            base = add_item(base, setting.path, word, name=name)
            text = base
    return _checked(text, name=name)


def remove(text: str, key: str, words: Sequence[str], *, name: str) -> str:
    """The text with items taken out of a list, or names out of a map; NotFound for one that isn't
    in it."""
    setting = _get_many(key)
    for word in words:
        if setting.kind is Kind.LIST:
            text = remove_item(text, setting.path, word, name=name)
            continue
        path = (*setting.path, word)
        if read_yaml(text, name=name).find(path) is None:
            raise NotFound(
                f"cannot remove {word} from {key}",
                why="it is not in it",
                mend=f"appliance config get {key}",
            )
        text = take(text, path, name=name)
        text = _without_nothing(text, setting.path, name=name)
    return _checked(text, name=name)


def _without_nothing(text: str, path: KeyPath, *, name: str) -> str:
    """The text without a map that has lost its last entry."""
    left = read_yaml(text, name=name).find(path)
    return text if left and plain_value(left.value) else take(text, path, name=name)


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


def _get_many(key: str) -> Setting:
    setting = get_setting(key)
    if setting.kind not in {Kind.LIST, Kind.MAP}:
        raise BadRequest(
            f"cannot add to or remove from {key}",
            why="it is not a list",
            mend=f"appliance config set {key} VALUE",
        )
    return setting


def _with_list(text: str, setting: Setting, *, name: str) -> str:
    """The text with the list in it, so that adding to a default keeps the default's items."""
    if read_yaml(text, name=name).find(setting.path) is not None or not setting.default:
        return text
    return put(text, setting.path, setting.default, name=name)


def _items(text: str, path: KeyPath, *, name: str) -> list[object]:
    entry = read_yaml(text, name=name).find(path)
    items = plain_value(entry.value) if entry else None
    return items if isinstance(items, list) else []


def is_secret(key: str) -> bool:
    """Whether a value of the setting must stay out of command lines and messages."""
    setting = find_setting(key)
    return setting is not None and setting.kind is Kind.SECRET
