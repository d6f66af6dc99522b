"""The settings as a flat list: what the schema declares, in a form that messages and pages can use.

A setting is one leaf of the schema, by its dotted name. Nothing is declared here; all is read from
the annotations in schema.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from appliance.config.schema import (
    DURATION_UNITS,
    SIZE_UNITS,
    Config,
    Example,
    Means,
    Reload,
    Section,
    Unit,
)
from appliance.errors import NotFound


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


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the configuration."""

    key: str
    kind: Kind
    sentence: str
    default: object
    example: object
    reload: Reload
    optional: bool
    choices: tuple[str, ...]
    least: float | None
    most: float | None
    above: float | None
    means: str

    @property
    def section(self) -> str:
        """The group it is in, or "" at the top level."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]

    def value_in(self, config: Config) -> object:
        """Its effective value."""
        value: object = config
        for part in self.key.split("."):
            value = getattr(value, part)
        return value

    def raw(self, value: object) -> object:
        """A value for JSON: bytes and seconds as numbers; secrets are null."""
        if self.kind is Kind.SECRET:
            return None
        return value.value if isinstance(value, StrEnum) else value

    def expected(self) -> str:
        """What a value must be, as it follows "must be"."""
        words = f"a list, each {self.means}" if self.kind is Kind.LIST else self._expected_one()
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


@cache
def settings() -> dict[str, Setting]:
    """Every setting by its dotted name, in the order of the schema."""
    found: dict[str, Setting] = {}
    for name, info in Config.model_fields.items():
        section = section_of(info)
        if section is None:
            found[name] = _setting(name, info)
            continue
        for leaf, leaf_info in section.model_fields.items():
            found[f"{name}.{leaf}"] = _setting(f"{name}.{leaf}", leaf_info)
    return found


@cache
def sections() -> dict[str, type[Section]]:
    """The groups of settings by name, in the order of the schema."""
    pairs = ((name, section_of(info)) for name, info in Config.model_fields.items())
    return {name: section for name, section in pairs if section is not None}


def section_of(info: FieldInfo) -> type[Section] | None:
    """The group that a field of Config is, or None for a plain setting."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def find_setting(key: str) -> Setting | None:
    return settings().get(key)


def get_setting(key: str) -> Setting:
    """The setting of that dotted name; NotFound with the nearest one otherwise."""
    setting = find_setting(key)
    if setting is None:
        near = nearest(key)
        raise NotFound(
            f"cannot find a setting '{key}'",
            why=f"there is none; did you mean {near}?" if near else "there is none of that name",
            mend="appliance config explain" + (f" {near}" if near else ""),
        )
    return setting


def nearest(key: str) -> str:
    """The setting or section that somebody most likely meant by `key`, or ""."""
    names = [*settings(), *sections()]
    leaf = key.rpartition(".")[2].lower()
    same_leaf = [setting.key for setting in settings().values() if setting.name == leaf]
    if len(same_leaf) == 1:
        return same_leaf[0]
    close = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.6)
    if close:
        return close[0]
    leaves: dict[str, str] = {setting.name: setting.key for setting in settings().values()}
    close = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.75)
    return leaves[close[0]] if close else ""


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


def _setting(key: str, info: FieldInfo) -> Setting:
    annotation, markers = _unwrap(info.annotation, list(info.metadata))
    optional = False
    if get_origin(annotation) in {Union, UnionType}:
        arguments = [part for part in get_args(annotation) if part is not NoneType]
        optional = len(arguments) < len(get_args(annotation))
        annotation, markers = _unwrap(arguments[0], markers)
    if get_origin(annotation) is list:
        _, item_markers = _unwrap(get_args(annotation)[0], [])
        markers += [marker for marker in item_markers if isinstance(marker, Means)]
    bounds = {type(marker): marker for marker in markers}
    return Setting(
        key=key,
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
    )


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
    if get_origin(annotation) is list:
        return Kind.LIST
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
