"""What differs between two configurations, as people write it, and who must hear of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.config.fields import named_groups, settings_of
from appliance.config.kinds import Reload
from appliance.config.reference import yaml_value
from appliance.config.schema import Config
from appliance.config.setting import MASK, Kind, Setting
from appliance.config.yaml_text import emit

ABSENT: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Change:
    """A setting whose value differs, or something with a name that came or went; secrets are
    masked."""

    key: str
    old: str
    new: str
    reload: Reload


def find_changes(old: Config, new: Config) -> list[Change]:
    """The settings whose effective values differ, in the order of the schema."""
    changes = []
    before = {setting.path: setting for setting in settings_of(old)}
    for setting in settings_of(new):
        if setting.path not in before:
            continue
        was, now = setting.value_in(old), setting.value_in(new)
        if was != now:
            changes.append(
                Change(setting.key, _shown(setting, was), _shown(setting, now), setting.reload)
            )
    for group in named_groups():
        ours, theirs = getattr(new, group), getattr(old, group)
        differ = [name for name in theirs if name not in ours]
        differ += [name for name in ours if name not in theirs]
        changes += [_came_or_went(group, name, old=old, new=new) for name in differ]
    return changes


def _came_or_went(group: str, name: str, *, old: Config, new: Config) -> Change:
    members = named_groups()[group].settings(name)
    reload = Reload(0)
    for setting in members:
        reload |= setting.reload
    there = name in getattr(new, group)
    said = _member(members, new if there else old)
    return Change(f"{group}.{name}", ABSENT if there else said, said if there else ABSENT, reload)


def _member(members: list[Setting], config: Config) -> str:
    """What of a member isn't as usual, on one line."""
    parts = [
        f"{setting.name}: {_shown(setting, value)}"
        for setting, value in ((one, one.value_in(config)) for one in members)
        if value != setting.default
    ]
    return f"{{{', '.join(parts)}}}"


def _shown(setting: Setting, value: object) -> str:
    if setting.kind is Kind.SECRET:
        return "null" if value is None else MASK
    if setting.kind is Kind.MAP and isinstance(value, dict):
        return emit(value)
    return yaml_value(setting, value)
