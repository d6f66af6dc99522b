"""The settings as a flat list: what the schema declares, in a form that messages and pages can use.

A setting is one leaf of the schema, by its dotted name. Nothing is declared here; all is read from
the annotations in schema.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from appliance.config.kinds import (
    DURATION_UNITS,
    SIZE_UNITS,
    Example,
    Means,
    Reload,
    Section,
    Typed,
    Unit,
)
from appliance.config.schema import Config
from appliance.errors import NotFound

Path = tuple[str, ...]
"""A setting's or group's place: names from the top down. A name may have dots in it."""

NAME: Final = "NAME"
"""Stands for the name that people choose, in the settings of what they name."""


class Kind(Enum):
    """What a setting's value is, for parsing, printing and describing it."""

    SWITCH = auto()
    WHOLE = auto()
    NUMBER = auto()
    SIZE = auto()
    DURATION = auto()
    CHOICE = auto()
    TEXT = auto()
    SECRET = auto()
    LIST = auto()
    MAP = auto()


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the configuration."""

    path: Path
    kind: Kind
    sentence: str
    default: object
    example: Any
    reload: Reload
    optional: bool
    choices: tuple[str, ...]
    least: float | None
    most: float | None
    above: float | None
    means: str
    item: str
    """What each item of a list, or each value of a map, must be."""
    names: str
    """What the names in a map must be."""
    typed: Typed | None
    """How a list is typed as one word."""

    @property
    def key(self) -> str:
        """The dotted name that people type."""
        return dotted(self.path)

    @property
    def section(self) -> str:
        """The group it is in, or "" at the top level."""
        return dotted(self.path[:-1])

    @property
    def name(self) -> str:
        return self.path[-1]

    def value_in(self, config: Config) -> Any:
        """Its effective value."""
        value: Any = config
        for part in self.path:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value

    def raw(self, value: object) -> object:
        """A value for JSON: bytes and seconds as numbers; secrets are null."""
        if self.kind is Kind.SECRET:
            return None
        return value.value if isinstance(value, StrEnum) else value

    def expected(self) -> str:
        """What a value must be, as it follows "must be"."""
        words = f"a list, each {self.item}" if self.kind is Kind.LIST else self._expected_one()
        return f"{words}, or null" if self.optional else words

    def _expected_one(self) -> str:
        if self.means:
            return self.means
        match self.kind:
            case Kind.SWITCH:
                return "true or false"
            case Kind.CHOICE:
                return f"one of {', '.join(self.choices)}"
            case Kind.SECRET | Kind.TEXT:
                return "text"
            case Kind.SIZE:
                return f"a size such as 512M or 2G, {self._range(format_size)}"
            case Kind.DURATION:
                return f"a time such as 90s, 10m, 1h or 2d, {self._range(format_duration)}"
            case Kind.WHOLE:
                return f"a whole number {self._range(_format_number)}"
            case _:
                return f"a number {self._range(_format_number)}"

    def _range(self, form: Callable[[float], str]) -> str:
        if self.least is not None and self.most is not None:
            return f"from {form(self.least)} to {form(self.most)}"
        parts = [f"above {form(self.above)}"] if self.above is not None else []
        parts += [f"at least {form(self.least)}"] if self.least is not None else []
        parts += [f"at most {form(self.most)}"] if self.most is not None else []
        return " and ".join(parts)


MASK: Final = "(secret)"


@dataclass(frozen=True, slots=True)
class Named:
    """A group whose members people name themselves, such as `services`."""

    name: str
    sentence: str
    one: type[Section]
    names: str
    """What a name must be."""

    def settings(self, name: str = NAME) -> list[Setting]:
        """The settings of one member."""
        return [
            replace(setting, path=(self.name, name, setting.name))
            for setting in _members(self.name)
        ]


def dotted(path: Path) -> str:
    return ".".join(path)


@cache
def settings() -> dict[str, Setting]:
    """Every setting that there is always, by its dotted name, in the order of the schema."""
    found: dict[str, Setting] = {}
    for name, info in Config.model_fields.items():
        section = section_of(info)
        if section is not None:
            for leaf, leaf_info in section.model_fields.items():
                found[f"{name}.{leaf}"] = _setting((name, leaf), leaf_info)
        elif name not in named_groups():
            found[name] = _setting((name,), info)
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
        _, markers = _unwrap(names, [])
        means = next(marker.text for marker in markers if isinstance(marker, Means))
        sentence = " ".join((info.description or "").split())
        found[name] = Named(name, sentence, one, means)
    return found


@cache
def _members(group: str) -> list[Setting]:
    one = named_groups()[group].one
    return [_setting((group, NAME, leaf), info) for leaf, info in one.model_fields.items()]


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


def format_size(value: float | None) -> str:
    """Bytes as people write them: the largest unit that keeps the number exact."""
    number = int(value or 0)
    for unit in ("T", "G", "M", "K"):
        if number and number % SIZE_UNITS[unit] == 0:
            return f"{number // SIZE_UNITS[unit]}{unit}"
    return str(number)


def format_duration(value: float | None) -> str:
    """Seconds as people write them: the largest unit that keeps the number exact."""
    number = int(value or 0)
    for unit in ("d", "h", "m"):
        if number and number % DURATION_UNITS[unit] == 0:
            return f"{number // DURATION_UNITS[unit]}{unit}"
    return f"{number}s"


def _format_number(value: float | None) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _setting(path: Path, info: FieldInfo) -> Setting:
    annotation, markers = _unwrap(info.annotation, list(info.metadata))
    optional = False
    if get_origin(annotation) in {Union, UnionType}:
        arguments = [part for part in get_args(annotation) if part is not NoneType]
        optional = len(arguments) < len(get_args(annotation))
        annotation, markers = _unwrap(arguments[0], markers)
    inner = get_args(annotation) if get_origin(annotation) in {list, dict} else ()
    bounds = {type(marker): marker for marker in markers}
    return Setting(
        path=path,
        kind=_kind(annotation, markers),
        sentence=" ".join((info.description or "").split()),
        default=info.default,
        example=bounds[Example].value,
        reload=next(marker for marker in markers if isinstance(marker, Reload)),
        optional=optional,
        choices=tuple(annotation) if _is(annotation, StrEnum) else (),
        least=bounds[Ge].ge if Ge in bounds else None,
        most=bounds[Le].le if Le in bounds else None,
        above=bounds[Gt].gt if Gt in bounds else None,
        means=bounds[Means].text if Means in bounds else "",
        item=_means(inner[-1]) if inner else "",
        names=_means(inner[0]) if len(inner) > 1 else "",
        typed=bounds.get(Typed),
    )


def _means(annotation: Any) -> str:
    _, markers = _unwrap(annotation, [])
    return next((marker.text for marker in markers if isinstance(marker, Means)), "")


def _unwrap(annotation: Any, markers: list[Any]) -> tuple[Any, list[Any]]:
    if get_origin(annotation) is not Annotated:
        return annotation, markers
    inner, *more = get_args(annotation)
    flat: list[Any] = []
    for marker in more:
        flat += marker.metadata if isinstance(marker, FieldInfo) else [marker]
    return inner, [*markers, *flat]


def _is(annotation: Any, kind: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kind)


def _kind(annotation: Any, markers: list[Any]) -> Kind:
    if Unit.SIZE in markers:
        return Kind.SIZE
    if Unit.DURATION in markers:
        return Kind.DURATION
    if get_origin(annotation) in {list, dict}:
        return Kind.LIST if get_origin(annotation) is list else Kind.MAP
    for base, kind in _KINDS:
        if _is(annotation, base):
            return kind
    raise TypeError(f"the schema has a type that settings can't have: {annotation}")


# bool before int, of which it is a subclass; StrEnum before str likewise.
_KINDS: Final = (
    (bool, Kind.SWITCH),
    (int, Kind.WHOLE),
    (float, Kind.NUMBER),
    (StrEnum, Kind.CHOICE),
    (SecretStr, Kind.SECRET),
    (str, Kind.TEXT),
)
