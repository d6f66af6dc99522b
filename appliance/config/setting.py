"""One setting, as messages, pages and commands need it: read from its annotation in the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
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
    Typed,
    Unit,
)
from appliance.config.schema import Config

Path = tuple[str, ...]
"""A setting's or group's place: names from the top down. A name may have dots in it."""


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
    switches: bool = False
    """Whether the values of a map are true or false."""

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


def dotted(path: Path) -> str:
    return ".".join(path)


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


def make_setting(path: Path, info: FieldInfo, sentence: str) -> Setting:
    """The setting that a field of the schema declares."""
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
        sentence=sentence,
        default=info.default,
        example=bounds[Example].value,
        reload=next(marker for marker in markers if isinstance(marker, Reload)),
        optional=optional,
        choices=tuple(annotation) if _is(annotation, StrEnum) else (),
        least=bounds[Ge].ge if Ge in bounds else None,
        most=bounds[Le].le if Le in bounds else None,
        above=bounds[Gt].gt if Gt in bounds else None,
        means=bounds[Means].text if Means in bounds else "",
        item=meaning(inner[-1]) if inner else "",
        names=meaning(inner[0]) if len(inner) > 1 else "",
        typed=bounds.get(Typed),
        switches=bool(inner) and _is(_unwrap(inner[-1], [])[0], bool),
    )


def meaning(annotation: Any) -> str:
    """What a value of that type must be, as the type itself says it."""
    _, markers = _unwrap(annotation, [])
    return next((marker.text for marker in markers if isinstance(marker, Means)), "")


def pattern_of(annotation: Any) -> str:
    """The regular expression of a type of text."""
    _, markers = _unwrap(annotation, [])
    return next(str(marker.pattern) for marker in markers if hasattr(marker, "pattern"))


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
