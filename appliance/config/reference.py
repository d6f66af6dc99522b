"""The schema as a page, as a JSON Schema for editors, and as the commented first file."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from appliance.config.fields import Named, is_in, named_groups, sections, settings, settings_of
from appliance.config.kinds import Reload, Typed
from appliance.config.schema import Config
from appliance.config.setting import MASK, Kind, Setting, format_duration, format_size
from appliance.config.yaml_text import emit

EFFECTS: Final = {
    Reload.HUB: "the hub restarts (pages wait a second; servers don't notice)",
    Reload.PROXY: "the proxy reloads (open connections go on)",
    Reload.LIMITS: "servers that run get it at once",
    Reload.NEXT_START: "servers started from now on have it",
    Reload.PRELOAD: "what is preloaded is loaded anew (servers and kernels don't notice)",
    Reload.UPKEEP: "the regular upkeep has it from its next round on (within 15 minutes)",
}

INDENT: Final = "  "

EXAMPLE_NAMES: Final = {
    "roles": "teachers",
    "custom_scopes": "custom:grades:read",
    "services": "culler",
    "group_culling": "long-projects",
    "group_limits": "class-1",
    "user_limits": "ada",
}
# What a member is mostly made of.
_SHOWN_MEMBER: Final = frozenset(
    {
        "description",
        "scopes",
        "groups",
        "subscopes",
        "command",
        "environment",
        "memory",
        "cpu",
        "timeout",
    }
)

_HEAD: Final = """\
# Settings of the appliance. Each is shown with its default, commented out.
#
# Change one with a command, which checks it and makes it take effect:
#
#   sudo appliance config set limits.memory 2G
#
# or edit this file and then run: sudo appliance config reload
# What a setting means: appliance config explain limits.memory
"""

_PAGE_HEAD: Final = """\
# Settings

<!-- Generated from appliance/config/schema.py by `python -m appliance.config.reference`. -->

The settings are in `/etc/appliance/config.yaml`. A file with nothing in it is right: every setting
has a default. Change one with a command, which checks it, makes it take effect, waits until the
appliance answers, and puts the old configuration back if it doesn't:

```console
$ sudo appliance config set limits.memory 2G
```

Or edit the file and run `sudo appliance config reload`. Until then a changed file has no effect,
and a broken one does no harm. Earlier versions are in `/etc/appliance/history/`.

Sizes are written with K, M, G or T (1024 each), times with s, m, h or d. YAML's true and false are
`true` and `false`; `yes` and `no` are text.
"""


def example_text() -> str:
    """A configuration file that sets nothing and shows everything."""
    lines = [_HEAD]
    for name in Config.model_fields:
        if name in named_groups():
            lines += ["", *_named_example(named_groups()[name])]
            continue
        chosen = [setting for setting in settings().values() if setting.path[0] == name]
        indent = ""
        if name in sections():
            indent = "  "
            lines += ["", f"{name}:  # {_summary(name)}"]
        for setting in chosen:
            lines += [f"{indent}# {line}" for line in textwrap.wrap(setting.sentence, 96)]
            lines.append(f"{indent}# {setting.name}: {yaml_value(setting, setting.default)}")
            lines.append("")
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def _named_example(group: Named) -> list[str]:
    """A group of what people name: what a member can have, as comments."""
    member = group.settings()
    lines = [f"{group.name}:  # {_summary(group.name)}", f"  # {emit(EXAMPLE_NAMES[group.name])}:"]
    for setting in member:
        lines += [f"  #   # {line}" for line in textwrap.wrap(setting.sentence, 92)]
        lines.append(f"  #   {setting.name}: {yaml_value(setting, setting.default)}")
    return [*lines, ""]


def page() -> str:
    """docs/configuration.md."""
    parts = [_PAGE_HEAD]
    for name in Config.model_fields:
        if name in named_groups():
            group = named_groups()[name]
            parts.append(f"## `{name}`: {_summary(name)}\n\n{_named_head(group)}\n")
            parts += [_entry(setting) for setting in group.settings()]
            continue
        title = f"`{name}`: {_summary(name)}" if name in sections() else "At the top level"
        parts.append(f"## {title}\n")
        parts += [_entry(one) for one in settings().values() if one.path[0] == name]
    return "\n".join(parts)


def _named_head(group: Named) -> str:
    name = EXAMPLE_NAMES[group.name]
    member = {one.name: one.example for one in group.settings() if one.name in _SHOWN_MEMBER}
    lines = [f"{group.name}:", f"  {emit(name)}:"]
    lines += [f"    {leaf}: {emit(value)}" for leaf, value in member.items()]
    if group.name == "custom_scopes":
        # What contains another needs the other.
        lines += [f"  {emit(other)}: {{}}" for other in member["subscopes"]]
    example = "\n".join(lines)
    return (
        f"{group.sentence} NAME stands for {group.names}. "
        f"`appliance config unset {group.name}.NAME` takes one away.\n\n"
        f"```yaml\n{example}\n```"
    )


def json_schema() -> str:
    """The JSON Schema (2020-12) of the file, for editors that complete and check YAML."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of the appliance",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for name in Config.model_fields:
        chosen = [setting for setting in settings().values() if setting.path[0] == name]
        if name in named_groups():
            member = _group_schema(named_groups()[name].settings(), "")
            schema["properties"][name] = {
                "type": ["object", "null"],
                "description": named_groups()[name].sentence,
                "propertyNames": {"pattern": named_groups()[name].pattern},
                "additionalProperties": member,
            }
        elif name in sections():
            schema["properties"][name] = _group_schema(chosen, _summary(name))
        else:
            schema["properties"][name] = _schema_of(chosen[0])
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _group_schema(chosen: list[Setting], sentence: str) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        **({"description": sentence} if sentence else {}),
        "additionalProperties": False,
        "properties": {setting.name: _schema_of(setting) for setting in chosen},
    }


def explain(setting: Setting) -> dict[str, object]:
    """All there is to say about a setting, for the command line."""
    return {
        "key": setting.key,
        "description": setting.sentence,
        "expected": setting.expected(),
        "default": setting.raw(setting.default),
        "example": setting.example,
        "on_change": effects(setting.reload),
    }


def effects(reload: Reload) -> list[str]:
    """What happens when settings with these markers change, as sentences' ends."""
    return [sentence for flag, sentence in EFFECTS.items() if flag in reload]


def yaml_value(setting: Setting, value: object) -> str:
    """A value as it is written in the file: sizes and times with their units."""
    if isinstance(value, int) and setting.kind is Kind.SIZE:
        return format_size(value)
    if isinstance(value, int) and setting.kind is Kind.DURATION:
        return format_duration(value)
    if isinstance(value, SecretStr):
        return emit(value.get_secret_value())
    return emit(setting.raw(value))


def _entry(setting: Setting) -> str:
    facts = [
        f"- must be: {setting.expected()}",
        f"- default: `{yaml_value(setting, setting.default)}`",
        f"- example: `{example_command(setting)}`",
        f"- when it changes, {'; '.join(effects(setting.reload))}",
    ]
    return f"### `{setting.key}`\n\n{setting.sentence}\n\n" + "\n".join(facts) + "\n"


def example_command(setting: Setting) -> str:
    """A command that sets it to its example."""
    return f"appliance config set {setting.key} {_typed(setting)}"


def _typed(setting: Setting) -> str:
    example = setting.example
    if setting.kind is Kind.SECRET:
        return "--stdin"
    if isinstance(example, list):
        one_word = setting.typed is Typed.COMMAND
        words = shlex.join(example)
        return shlex.quote(words) if one_word else words
    if isinstance(example, dict):
        values = {name: str(value) for name, value in example.items()}
        if setting.switches:
            values = {name: value.lower() for name, value in values.items()}
        return shlex.join(f"{name}={value}" for name, value in values.items())
    if isinstance(example, str):
        return shlex.quote(example)
    return yaml_value(setting, example)


def _summary(section: str) -> str:
    """The first sentence about a group."""
    if section in named_groups():
        return named_groups()[section].sentence.split(". ")[0].rstrip(".")
    return (sections()[section].__doc__ or "").strip().split("\n")[0].rstrip(".")


def _schema_of(setting: Setting) -> dict[str, Any]:
    kinds: dict[Kind, dict[str, Any]] = {
        Kind.SWITCH: {"type": "boolean"},
        Kind.WHOLE: {"type": "integer"},
        Kind.NUMBER: {"type": "number"},
        Kind.SIZE: {"type": ["string", "integer"]},
        Kind.DURATION: {"type": ["string", "integer"]},
        Kind.CHOICE: {"enum": list(setting.choices)},
        Kind.TEXT: {"type": "string"},
        Kind.SECRET: {"type": "string"},
        Kind.LIST: {"type": "array", "items": {"type": "string"}},
        Kind.MAP: {
            "type": "object",
            **(
                {"additionalProperties": {"type": "boolean" if setting.switches else "string"}}
                if setting.item
                else {}
            ),
        },
    }
    schema = kinds[setting.kind]
    if setting.kind in {Kind.SIZE, Kind.DURATION}:
        units = "KMGT" if setting.kind is Kind.SIZE else "smhd"
        schema["pattern"] = f"^[0-9]+(\\.[0-9]+)? ?[{units}]?"
    if setting.optional and setting.kind is Kind.CHOICE:
        schema["enum"] = [*setting.choices, None]
    elif setting.optional:
        kind = schema["type"]
        schema["type"] = [*([kind] if isinstance(kind, str) else kind), "null"]
    for word, bound in (
        ("minimum", setting.least),
        ("maximum", setting.most),
        ("exclusiveMinimum", setting.above),
    ):
        if bound is not None:
            schema[word] = bound
    example = setting.example
    return {
        "description": setting.sentence,
        **schema,
        "default": setting.raw(setting.default),
        "examples": [example],
    }


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the effective configuration as YAML."""

    text: str
    is_set: bool
    """Whether the file says it, rather than a default."""


def config_lines(
    config: Config, given: Collection[str], *, top: str = "", secrets: bool = False
) -> list[Line]:
    """The effective configuration; `given` are the settings that the file has, `top` is the group
    or the member of one that alone is wanted."""
    lines: list[Line] = []
    above: tuple[str, ...] = ()
    for setting in settings_of(config):
        group = setting.path[:-1]
        if top and not is_in(setting, top):
            continue
        lines += [
            Line(f"{INDENT * depth}{emit(part)}:", is_set=True)
            for depth, part in enumerate(group)
            if above[: depth + 1] != group[: depth + 1]
        ]
        above = group
        lines.append(_line(setting, config, is_set=setting.key in given, secrets=secrets))
    lines += [
        Line(f"{name}: {{}}", is_set=False)
        for name in named_groups()
        if top in {"", name} and not getattr(config, name)
    ]
    return lines


def _line(setting: Setting, config: Config, *, is_set: bool, secrets: bool) -> Line:
    value = setting.value_in(config)
    indent = INDENT * (len(setting.path) - 1)
    if isinstance(value, SecretStr) and not secrets:
        # A comment, so that what is printed is a file that can be used.
        return Line(f"{indent}# {setting.name}: {MASK}", is_set=True)
    return Line(f"{indent}{setting.name}: {yaml_value(setting, value)}", is_set=is_set)


def files() -> dict[str, str]:
    """The generated files by their names in docs/."""
    return {
        "configuration.md": page(),
        "config.schema.json": json_schema(),
        "config.example.yaml": example_text(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[2] / "docs"
    for name, text in files().items():
        (folder / name).write_text(text, "utf-8")
