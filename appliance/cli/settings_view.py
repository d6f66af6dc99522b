"""Looking at settings: show, get, explain, check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from appliance.cli.output import Output, dim
from appliance.config.fields import (
    MASK,
    Kind,
    Setting,
    get_setting,
    sections,
    settings,
)
from appliance.config.load import check_text, read_text
from appliance.config.reference import config_lines, effects, yaml_value
from appliance.config.reference import explain as facts_of
from appliance.config.kinds import Reload
from appliance.config.schema import Config
from appliance.config.yaml_text import read_yaml
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places
from appliance.rollout.apply import find_changes, make_applier


def show(places: Places, output: Output, *, secrets: bool) -> None:
    config, given = _read(places)
    values = {
        setting.key: _value(setting, setting.value_in(config), secrets=secrets)
        for setting in settings().values()
    }
    lines = []
    for line, is_set in config_lines(config, given):
        text = line
        if secrets and MASK in line and config.signup.code:
            text = line.replace("# ", "", 1).replace(MASK, config.signup.code.get_secret_value())
        lines.append(text if is_set else dim(f"{text}  # default"))
    output.data({"settings": values, "set": sorted(given)}, "\n".join(lines))


def get(places: Places, output: Output, key: str, *, secrets: bool) -> None:
    config, given = _read(places)
    if key in sections():
        _get_section(output, config, key, secrets=secrets)
        return
    setting = get_setting(key)
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
    if not key or key in sections():
        chosen = [one for one in settings().values() if not key or one.section == key]
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
        ("now", current[1] if current else "(run this as root to see it)"),
        ("example", _example(setting)),
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
    said = {
        "file": str(path),
        "in_force": not changes if before else None,
        "changes": [{"key": one.key, "old": one.old, "new": one.new} for one in changes],
        "effects": effects(reload),
    }
    if changes:
        lines = [f"{path}: right, and not in force; `appliance config reload` would change"]
        lines += [f"  {change.key}: {change.old} → {change.new}" for change in changes]
        lines += [f"  and {effect}" for effect in effects(reload)]
    else:
        lines = [f"{path}: right" + (" and in force" if before else "")]
    output.done(said, "\n".join(lines))


def _read(places: Places) -> tuple[Config, set[str]]:
    """The file's configuration, and the names of the settings that are in it."""
    text = read_text(places.config_file)
    config = check_text(text, name=str(places.config_file))
    document = read_yaml(text, name=str(places.config_file))
    return config, {key for key in settings() if document.find(key) is not None}


def _get_section(output: Output, config: Config, section: str, *, secrets: bool) -> None:
    chosen = [setting for setting in settings().values() if setting.section == section]
    values: dict[str, Any] = {
        one.key: _value(one, one.value_in(config), secrets=secrets) for one in chosen
    }
    text = [f"{one.name}: {_text(one, one.value_in(config), secrets=secrets)}" for one in chosen]
    output.data(values, "\n".join(text))


def _value(setting: Setting, value: object, *, secrets: bool) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value() if secrets else MASK
    return setting.raw(value)


def _text(setting: Setting, value: object, *, secrets: bool) -> str:
    """A value alone, for people and for `$(appliance config get …)`: text without quotes."""
    if isinstance(value, SecretStr):
        return value.get_secret_value() if secrets else MASK
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value) if setting.kind is Kind.TEXT else yaml_value(setting, value)


def _current(places: Places, setting: Setting) -> tuple[object, str] | None:
    try:
        config, _ = _read(places)
    except (ConfigError, ApplianceError):
        return None
    value = setting.value_in(config)
    return _value(setting, value, secrets=False), _text(setting, value, secrets=False)


def _example(setting: Setting) -> str:
    if setting.kind is Kind.SECRET:
        return f"appliance config set {setting.key} --stdin"
    example = setting.example
    value = (
        " ".join(map(str, example)) if isinstance(example, list) else yaml_value(setting, example)
    )
    return f"appliance config set {setting.key} {value}"
