"""The generated pages are fresh, and every setting is declared whole and has a reader."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.config.fields import NAME, find_setting, named_groups, nearest, sections, settings
from appliance.config.load import check_text
from appliance.config.parse import parse_words
from appliance.config.reference import (
    EXAMPLE_NAMES,
    example_command,
    example_text,
    files,
    json_schema,
    page,
    yaml_value,
)
from appliance.config.schema import Config
from appliance.config.setting import Kind, Setting, dotted
from appliance.config.splice import put
from appliance.config.yaml_text import read_yaml

ROOT = Path(__file__).parents[3]
EVERY = [
    *settings().values(),
    *(
        one
        for group in named_groups().values()
        for one in group.settings(EXAMPLE_NAMES[group.name])
    ),
]
ALL = pytest.mark.parametrize("setting", EVERY, ids=lambda setting: setting.key)
# What an example needs besides.
BESIDES = {
    "http.content_host": "http: {host: hub.school.example}",
    "https.mode": "https: {names: [hub.test]}\n",
    "signup.mode": "signup: {code: blue-tree-42}\n",
    "mail.host": "mail: {sender: hub@example.org, site: https://hub.example.org}\n",
    "mail.user": "mail: {password: long-and-secret}\n",
    "custom_scopes.custom:grades:read.subscopes": "custom_scopes: {custom:grades:list: {}}\n",
}


@pytest.mark.parametrize("name", files())
def test_generated_files_are_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == files()[name], (
        "run python -m appliance.config.reference"
    )


def test_the_example_file_sets_nothing() -> None:
    assert check_text(example_text(), name="f") == Config()


def test_the_example_file_uncommented_is_right_and_sets_the_defaults() -> None:
    text = re.sub(
        r"^( *)# ([a-z_]+: (?!anybody|the appliance).*)$",
        r"\1\2",
        example_text(),
        flags=re.MULTILINE,
    )
    document = read_yaml(text, name="f")
    assert all(document.find(key) for key in settings())
    assert check_text(text, name="f") == Config()


@ALL
def test_every_setting_is_declared_whole(setting: Setting) -> None:
    assert all(re.fullmatch(r"[a-z][a-z_]*", part) for part in (setting.path[0], setting.name))
    assert setting.sentence.endswith(".")
    assert setting.reload
    word = shlex.split(example_command(setting).removeprefix("appliance config set "))[1:]
    words = [str(setting.example)] if setting.kind is Kind.SECRET else word
    text = put(BESIDES.get(setting.key, ""), setting.path, parse_words(setting, words), name="f")
    value = setting.value_in(check_text(text, name="f"))
    assert value != setting.default
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    assert yaml_value(setting, shown) == yaml_value(setting, setting.example)
    general = setting.path if len(setting.path) < 3 else (setting.path[0], NAME, setting.name)
    assert f"### `{dotted(general)}`" in page()


@ALL
def test_every_setting_has_a_reader(setting: Setting) -> None:
    """Somebody reads it: as an attribute of its group, or out of the rendered JSON."""
    sources = [
        path.read_text("utf-8")
        for path in (ROOT / "appliance").rglob("*.py")
        if path.parent.name != "config"
    ]
    name = re.escape(setting.name)
    group = re.escape(setting.section) if setting.section else "config"
    if setting.path[0] in named_groups():
        group = r"\w+"
    reader = re.compile(
        rf"\b{group}\.{name}\b|\b_?(?:settings|rules|config)\.{name}\b"
        rf"|\[[\"']{group}[\"']\]\[[\"']{name}[\"']\]|[\"']{name}[\"']"
    )
    assert any(reader.search(source) for source in sources)


def test_the_json_schema_has_every_setting() -> None:
    schema = json.loads(json_schema())
    assert set(schema["properties"]) == set(sections()) | set(named_groups()) | {"base_url"}
    assert schema["properties"]["limits"]["properties"]["memory"]["type"] == [
        "string",
        "integer",
        "null",
    ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("limits.memry", "limits.memory"),
        ("memory", "limits.memory"),
        ("limits.trusted_proxies", "http.trusted_proxies"),
        ("htpp", "http"),
        ("signup.mod", "signup.mode"),
        ("xyzzy", ""),
    ],
)
def test_the_nearest_name_is_found(typed: str, meant: str) -> None:
    assert nearest(tuple(typed.split("."))) == meant
    assert find_setting(typed) is None


def yaml_in_docs() -> list[tuple[str, str]]:
    """Every piece of a configuration in the documentation, and where it is."""
    fences = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
    names = "|".join(Config.model_fields)
    return [
        (f"{path.name}:{path.read_text('utf-8')[: match.start()].count(chr(10)) + 1}", match[1])
        for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
        for match in fences.finditer(path.read_text("utf-8"))
        if re.match(rf"(?:#[^\n]*\n|\n)*(?:{names}):", match[1])
    ]


@pytest.mark.parametrize(
    ("place", "text"), yaml_in_docs(), ids=[place for place, _ in yaml_in_docs()]
)
def test_configurations_in_the_documentation_are_right(place: str, text: str) -> None:
    assert check_text(text, name=place) != Config()
