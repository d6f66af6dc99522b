"""Looking at settings: show, get, explain, check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from appliance.cli.output import Output, dim
from appliance.config.fields import (
    check_known,
    explained,
    get_setting,
    is_group,
    is_in,
    named_groups,
    path_of,
    settings_of,
)
from appliance.config.kinds import Reload
from appliance.config.load import check_text, read_text
from appliance.config.reference import config_lines, effects, example_command, yaml_value
from appliance.config.reference import explain as facts_of
from appliance.config.rules import find_hints
from appliance.config.schema import Config
from appliance.config.setting import MASK, Setting
from appliance.config.yaml_text import read_yaml
from appliance.errors import ApplianceError, BadRequest
from appliance.places import Places
from appliance.rollout.apply import make_applier
from appliance.rollout.changes import find_changes


def show(places: Places, output: Output, key: str, *, secrets: bool) -> None:
    config, given = _read(places)
    if key:
        _check_group(config, key)
    values = {
        setting.key: _value(setting, setting.value_in(config), secrets=secrets)
        for setting in settings_of(config)
        if not key or is_in(setting, key)
    }
    lines = [
        line.text if line.is_set else dim(f"{line.text}  # default")
        for line in config_lines(config, given, top=key, secrets=secrets)
    ]
    output.data({"settings": values, "set": sorted(given)}, "\n".join(lines))


def get(places: Places, output: Output, key: str, *, secrets: bool) -> None:
    config, given = _read(places)
    if is_group(key):
        _check_group(config, key)
        _get_group(output, config, key, secrets=secrets)
        return
    setting = get_setting(key)
    check_known(setting.path, config)
    value = setting.value_in(config)
    shown = _value(setting, value, secrets=secrets)
    said = {
        "key": key,
        "value": shown,
        "default": setting.raw(setting.default),
        "set": key in given,
    }
    output.data(said, _text(setting, value, secrets=secrets))


def explain(places: Places, output: Output, key: str) -> None:
    if not key or is_group(key):
        chosen = [one for one in explained(key) if not key or is_in(one, key)]
        output.table(
            [facts_of(setting) for setting in chosen],
            ["setting", "default", "meaning"],
            [
                [setting.key, yaml_value(setting, setting.default), setting.sentence]
                for setting in chosen
            ],
        )
        return
    setting = get_setting(key)
    current = _current(places, setting)
    facts = {**facts_of(setting), "value": current[0] if current else None}
    rows = [
        ("must be", setting.expected()),
        ("default", yaml_value(setting, setting.default)),
        *_now(setting, current),
        ("example", example_command(setting)),
        *(("changing", effect) for effect in effects(setting.reload)),
    ]
    text = f"{key}\n  {setting.sentence}\n\n" + "\n".join(f"  {a:<9} {b}" for a, b in rows)
    output.data(facts, text)


def check(places: Places, output: Output, file: str) -> None:
    path = Path(file) if file else places.config_file
    config = check_text(read_text(path), name=str(path))
    before = None if file else make_applier(places).in_force()
    changes = find_changes(before, config) if before else []
    reload = Reload(0)
    for change in changes:
        reload |= change.reload
    said: dict[str, Any] = {
        "file": str(path),
        "in_force": not changes if before else None,
        "changes": [{"key": one.key, "old": one.old, "new": one.new} for one in changes],
        "effects": effects(reload),
        "notes": find_hints(config),
    }
    if changes:
        lines = [f"{path}: right, and not in force; `appliance config reload` would change"]
        lines += [f"  {change.key}: {change.old} → {change.new}" for change in changes]
        lines += [f"  and {effect}" for effect in effects(reload)]
    else:
        lines = [f"{path}: right" + (" and in force" if before else "")]
    lines += [f"note: {hint}" for hint in said["notes"]]
    output.done(said, "\n".join(lines))


def _read(places: Places) -> tuple[Config, set[str]]:
    """The file's configuration, and the names of the settings that are in it."""
    text = read_text(places.config_file)
    config = check_text(text, name=str(places.config_file))
    document = read_yaml(text, name=str(places.config_file))
    return config, {one.key for one in settings_of(config) if document.find(one.path)}


def _check_group(config: Config, key: str) -> None:
    """NotFound for what is no group, nor anything with a name in one."""
    if not is_group(key):
        get_setting(key)
        raise BadRequest(
            f"cannot show {key} alone",
            why="it is not a group of settings",
            mend=f"appliance config get {key}",
        )
    check_known(path_of(key), config)


def _get_group(output: Output, config: Config, key: str, *, secrets: bool) -> None:
    """The values of a group; of a named group itself the names, one a line."""
    chosen = [setting for setting in settings_of(config) if is_in(setting, key)]
    values: dict[str, Any] = {
        one.key: _value(one, one.value_in(config), secrets=secrets) for one in chosen
    }
    if key in named_groups():
        output.data(values, "\n".join(getattr(config, key)))
        return
    lines = [
        f"{one.name}: {_text(one, one.value_in(config), secrets=secrets, alone=False)}"
        for one in chosen
    ]
    output.data(values, "\n".join(lines))


def _value(setting: Setting, value: object, *, secrets: bool) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value() if secrets else MASK
    return setting.raw(value)


def _text(setting: Setting, value: object, *, secrets: bool, alone: bool = True) -> str:
    """A value alone, for people and for `$(appliance config get …)`: text without quotes."""
    if isinstance(value, SecretStr):
        return value.get_secret_value() if secrets else MASK
    if isinstance(value, list) and alone:
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else yaml_value(setting, value)


def _current(places: Places, setting: Setting) -> tuple[object, str] | None:
    try:
        config, _ = _read(places)
        check_known(setting.path, config)
    except ApplianceError:
        return None
    value = setting.value_in(config)
    text = _text(setting, value, secrets=False, alone=False)
    return _value(setting, value, secrets=False), text


def _now(setting: Setting, current: tuple[object, str] | None) -> list[tuple[str, str]]:
    """The line that says what the setting is now; what isn't there has none."""
    if current:
        return [("now", current[1])]
    named = setting.path[0] in named_groups()
    return [] if named else [("now", "(run this as root to see it)")]
