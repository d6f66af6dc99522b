"""The generated pages are fresh, and every setting is declared whole and has a reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from appliance.config.edit import parse_words
from appliance.config.fields import Kind, Setting, find_setting, nearest, sections, settings
from appliance.config.load import check_text
from appliance.config.reference import example_text, files, json_schema, page
from appliance.config.schema import Config
from appliance.config.splice import put
from appliance.config.yaml_text import read_yaml

ROOT = Path(__file__).parents[3]
ALL = pytest.mark.parametrize("setting", settings().values(), ids=lambda setting: setting.key)


@pytest.mark.parametrize("name", files())
def test_generated_files_are_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == files()[name], (
        "run python -m appliance.config.reference"
    )


def test_the_example_file_sets_nothing() -> None:
    assert check_text(example_text(), name="f") == Config()


def test_the_example_file_uncommented_is_right_and_sets_the_defaults() -> None:
    text = re.sub(r"^( *)# ([a-z_]+: (?!anybody).*)$", r"\1\2", example_text(), flags=re.MULTILINE)
    document = read_yaml(text, name="f")
    assert all(document.find(key) for key in settings())
    assert check_text(text, name="f") == Config()


@ALL
def test_every_setting_is_declared_whole(setting: Setting) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*(\.[a-z][a-z_]*)?", setting.key)
    assert setting.sentence.endswith(".")
    assert setting.reload
    words = setting.example if isinstance(setting.example, list) else [str(setting.example).lower()]
    value = setting.example if setting.kind is Kind.SECRET else parse_words(setting, words)
    text = "signup: {code: blue-tree-42}\n" if setting.key == "signup.mode" else ""
    check_text(put(text, setting.key, value, name="f"), name="f")
    assert f"`{setting.key}`" in page()


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
    reader = re.compile(
        rf"\b{group}\.{name}\b|\b_?(?:settings|rules|config)\.{name}\b"
        rf"|\[[\"']{group}[\"']\]\[[\"']{name}[\"']\]|[\"']{name}[\"']"
    )
    assert any(reader.search(source) for source in sources)


def test_the_json_schema_has_every_setting() -> None:
    schema = json.loads(json_schema())
    assert set(schema["properties"]) == set(sections()) | {"base_url"}
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
        ("limits.port", "http.port"),
        ("htpp", "http"),
        ("signup.mod", "signup.mode"),
        ("xyzzy", ""),
    ],
)
def test_the_nearest_name_is_found(typed: str, meant: str) -> None:
    assert nearest(typed) == meant
    assert find_setting(typed) is None
