"""The schema as a page, as a JSON Schema for editors, and as the commented first file."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

from appliance.config.fields import (
    MASK,
    Kind,
    Setting,
    format_duration,
    format_size,
    sections,
    settings,
)
from appliance.config.kinds import Reload
from appliance.config.schema import Config
from appliance.config.yaml_text import emit

EFFECTS: Final = {
    Reload.HUB: "the hub restarts (pages wait a second; servers don't notice)",
    Reload.PROXY: "the proxy reloads (open connections go on)",
    Reload.LIMITS: "servers that run get it at once",
    Reload.NEXT_START: "servers started from now on have it",
}

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
    section = ""
    for setting in settings().values():
        if setting.section != section:
            section = setting.section
            lines += ["", f"{section}:  # {_summary(section)}"]
        indent = "  " if section else ""
        lines += [f"{indent}# {line}" for line in textwrap.wrap(setting.sentence, 96)]
        lines.append(f"{indent}# {setting.name}: {yaml_value(setting, setting.default)}")
        lines.append("")
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


def page() -> str:
    """docs/configuration.md."""
    parts = [_PAGE_HEAD]
    section = None
    for setting in settings().values():
        if setting.section != section:
            section = setting.section
            title = f"`{section}`: {_summary(section)}" if section else "At the top level"
            parts.append(f"## {title}\n")
        parts.append(_entry(setting))
    return "\n".join(parts)


def json_schema() -> str:
    """The JSON Schema (2020-12) of the file, for editors that complete and check YAML."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of the appliance",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for setting in settings().values():
        properties = schema["properties"]
        if setting.section:
            group = properties.setdefault(
                setting.section,
                {
                    "type": ["object", "null"],
                    "description": _summary(setting.section),
                    "additionalProperties": False,
                    "properties": {},
                },
            )
            properties = group["properties"]
        properties[setting.name] = _schema_of(setting)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


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
    return emit(setting.raw(value))


def _entry(setting: Setting) -> str:
    facts = [
        f"- must be: {setting.expected()}",
        f"- default: `{yaml_value(setting, setting.default)}`",
        f"- example: `appliance config set {setting.key} {_typed(setting)}`",
        f"- when it changes, {'; '.join(effects(setting.reload))}",
    ]
    return f"### `{setting.key}`\n\n{setting.sentence}\n\n" + "\n".join(facts) + "\n"


def _typed(setting: Setting) -> str:
    if setting.kind is Kind.SECRET:
        return "--stdin"
    if isinstance(setting.example, list):
        return " ".join(map(str, setting.example))
    return emit(setting.example)


def _summary(section: str) -> str:
    if not section:
        return ""
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
    }
    schema = kinds[setting.kind]
    if setting.kind in {Kind.SIZE, Kind.DURATION}:
        units = "KMGT" if setting.kind is Kind.SIZE else "smhd"
        schema["pattern"] = f"^[0-9]+(\\.[0-9]+)? ?[{units}]?"
    if setting.optional:
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


def config_lines(config: Config, given: set[str]) -> list[tuple[str, bool]]:
    """The effective configuration as lines of YAML, each with whether the file has set it."""
    lines: list[tuple[str, bool]] = []
    section = ""
    for setting in settings().values():
        if setting.section != section:
            section = setting.section
            lines.append((f"{section}:", True))
        value = setting.value_in(config)
        indent = "  " if section else ""
        if setting.kind is Kind.SECRET and value is not None:
            lines.append((f"{indent}# {setting.name}: {MASK}", True))
            continue
        lines.append(
            (f"{indent}{setting.name}: {yaml_value(setting, value)}", setting.key in given)
        )
    return lines


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
