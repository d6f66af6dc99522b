"""The settings by their names: which there are, which group they are in, which was meant.

A setting is one leaf of the schema, by its dotted name. Nothing is declared here; all is read from
the schema.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, get_args, get_origin

from pydantic.fields import FieldInfo

from appliance.config.kinds import Section
from appliance.config.schema import Config
from appliance.config.sentences import sentence
from appliance.config.setting import Path, Setting, dotted, make_setting, meaning, pattern_of
from appliance.errors import NotFound

NAME: Final = "NAME"
"""Stands for the name that people choose, in the settings of what they name."""


@dataclass(frozen=True, slots=True)
class Named:
    """A group whose members people name themselves, such as `services`."""

    name: str
    sentence: str
    one: type[Section]
    names: str
    """What a name must be."""
    pattern: str
    """The same as a regular expression."""

    def settings(self, name: str = NAME) -> list[Setting]:
        """The settings of one member."""
        return [
            replace(setting, path=(self.name, name, setting.name))
            for setting in _members(self.name)
        ]


@cache
def settings() -> dict[str, Setting]:
    """Every setting that there is always, by its dotted name, in the order of the schema."""
    found: dict[str, Setting] = {}
    for name, info in Config.model_fields.items():
        section = section_of(info)
        if section is not None:
            for leaf, leaf_info in section.model_fields.items():
                found[f"{name}.{leaf}"] = make_setting(
                    (name, leaf), leaf_info, sentence(section, leaf)
                )
        elif name not in named_groups():
            found[name] = make_setting((name,), info, sentence(Config, name))
    return found


@cache
def sections() -> dict[str, type[Section]]:
    """The groups of settings by name, in the order of the schema."""
    pairs = ((name, section_of(info)) for name, info in Config.model_fields.items())
    return {name: section for name, section in pairs if section is not None}


@cache
def named_groups() -> dict[str, Named]:
    """The groups of what people name, in the order of the schema."""
    found = {}
    for name, info in Config.model_fields.items():
        if get_origin(info.annotation) is not dict:
            continue
        names, one = get_args(info.annotation)
        found[name] = Named(name, sentence(Config, name), one, meaning(names), pattern_of(names))
    return found


@cache
def _members(group: str) -> list[Setting]:
    one = named_groups()[group].one
    return [
        make_setting((group, NAME, leaf), info, sentence(one, leaf))
        for leaf, info in one.model_fields.items()
    ]


def settings_of(config: Config) -> list[Setting]:
    """Every setting of a configuration, those of its services and so on included."""
    found = []
    for name in Config.model_fields:
        if name in named_groups():
            for one in getattr(config, name):
                found += named_groups()[name].settings(one)
        else:
            found += [setting for setting in settings().values() if setting.path[0] == name]
    return found


def explained(key: str) -> list[Setting]:
    """Every setting that there is or can be, in the order of the schema; `key` may name a member
    of a named group, whose settings stand for all of them."""
    path = path_of(key)
    found = []
    for name in Config.model_fields:
        if name in named_groups():
            is_member = path[0] == name and len(path) > 1
            found += named_groups()[name].settings(path[1] if is_member else NAME)
        else:
            found += [setting for setting in settings().values() if setting.path[0] == name]
    return found


def is_group(key: str) -> bool:
    """Whether a dotted name is that of a group of settings, or of a member of a named group."""
    path = path_of(key)
    return key in sections() or (path[0] in named_groups() and len(path) <= 2)


def is_in(setting: Setting, key: str) -> bool:
    """Whether a setting is in that group, or in that member of one."""
    return key in {setting.path[0], setting.section}


def section_of(info: FieldInfo) -> type[Section] | None:
    """The group that a field of Config is, or None for a plain setting."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def setting_at(path: Path) -> Setting | None:
    """The setting at a place, or the one that the place is inside of."""
    if path and path[0] in named_groups():
        members = named_groups()[path[0]].settings(path[1]) if len(path) > 2 else []
        return next((one for one in members if one.name == path[2]), None)
    return settings().get(dotted(path[:1])) or settings().get(dotted(path[:2]))


def path_of(key: str) -> Path:
    """The place that a dotted name means: of a setting, a group, or a member of a named group.

    Names that people choose may have dots: what follows the last one is a setting where there is
    such a setting.
    """
    top, dot, rest = key.partition(".")
    if not dot or top not in named_groups():
        return tuple(key.split("."))
    name, dot, leaf = rest.rpartition(".")
    if dot and any(one.name == leaf for one in _members(top)):
        return (top, name, leaf)
    return (top, rest)


def find_setting(key: str) -> Setting | None:
    """The setting of that dotted name."""
    path = path_of(key)
    found = setting_at(path)
    return found if found and found.path == path else None


def get_setting(key: str) -> Setting:
    """The setting of that dotted name; NotFound with the nearest one otherwise."""
    setting = find_setting(key)
    # Names may have dots: of services.culler.ulr the end is more likely a setting, mistyped.
    if setting is None and is_group(key) and key.count(".") < 2:
        raise NotFound(
            f"cannot find a setting '{key}'",
            why="it is a group of settings",
            mend=f"name one of them: appliance config explain {key}",
        )
    if setting is None:
        near = nearest(_guessed(key))
        raise NotFound(
            f"cannot find a setting '{key}'",
            why=f"there is none; did you mean {near}?" if near else "there is none of that name",
            mend="appliance config explain" + (f" {near}" if near else ""),
        )
    return setting


def check_member(key: str, names: Collection[str]) -> None:
    """NotFound, with the nearest one, for a member of a named group that isn't there."""
    group, name = path_of(key)[:2]
    member, _, leaf = name.rpartition(".")
    if name not in names and member in names:
        near = nearest((group, member, leaf))
        raise NotFound(
            f"cannot find a setting '{key}'",
            why=f"there is none; did you mean {near}?",
            mend=f"appliance config explain {near}",
        )
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        raise NotFound(
            f"cannot find {group}.{name}",
            why="it is not in the configuration"
            + (f"; did you mean {group}.{close[0]}?" if close else ""),
            mend=f"appliance config get {group}",
        )


def check_known(path: Path, config: Config) -> None:
    """NotFound for a place in a member of a named group that the configuration doesn't have."""
    if path[0] in named_groups() and len(path) > 1:
        check_member(dotted(path), getattr(config, path[0]))


def nearest(path: Path) -> str:
    """The setting or group that was most likely meant at a place, or ""."""
    if path[0] in named_groups() and len(path) > 2:
        members = {one.name: one.key for one in named_groups()[path[0]].settings(path[1])}
        close = difflib.get_close_matches(path[2].lower(), members, n=1, cutoff=0.5)
        return members[close[0]] if close else ".".join(path[:2])
    if path[0] in named_groups() and len(path) > 1:
        return f"{path[0]}.{NAME}"
    names = [*settings(), *sections(), *named_groups()]
    leaf = path[-1].lower()
    same_leaf = [setting.key for setting in settings().values() if setting.name == leaf]
    if len(same_leaf) == 1:
        return same_leaf[0]
    close = difflib.get_close_matches(dotted(path).lower(), names, n=1, cutoff=0.6)
    if close:
        return close[0]
    leaves: dict[str, str] = {setting.name: setting.key for setting in settings().values()}
    close = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.75)
    return leaves[close[0]] if close else ""


def _guessed(key: str) -> Path:
    """The place that a mistyped name was most likely meant to be."""
    top, dot, rest = key.partition(".")
    if not dot:
        return (key,)
    close = difflib.get_close_matches(top, named_groups(), n=1, cutoff=0.8)
    if not close:
        return tuple(key.split("."))
    name, dot, leaf = rest.rpartition(".")
    return (close[0], name, leaf) if dot else (close[0], rest)
