"""The settings of what is preloaded, and the map of switches."""

from __future__ import annotations

import pytest

from appliance.config import edit
from appliance.config.load import check_text
from appliance.config.schema import Config
from appliance.errors import BadRequest, ConfigError


def test_defaults() -> None:
    config = Config()
    assert config.preload.servers
    assert config.preload.kernels
    assert config.preload.packages == []
    assert config.servers.extensions == {}


def test_packages_may_be_typed_as_one_word() -> None:
    text = edit.set_value("", "preload.packages", ["numpy,pandas, matplotlib"], name="f")
    assert check_text(text, name="f").preload.packages == ["numpy", "pandas", "matplotlib"]


@pytest.mark.parametrize("name", ["num py", "numpy;x", "../x", "1numpy", "numpy.", "-c", "nümpy"])
def test_what_is_no_module_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_text(f"preload: {{packages: ['{name}']}}", name="f")
    assert caught.value.problems[0].text == (
        'preload.packages[0]: must be a module\'s name as after "import", such as "numpy", '
        f'found "{name}"'
    )


def test_extensions_are_switched_one_by_one() -> None:
    text = edit.add("", "servers.extensions", ["jupyter_lsp=off", "nbdime=true"], name="f")
    assert check_text(text, name="f").servers.extensions == {"jupyter_lsp": False, "nbdime": True}
    text = edit.remove(text, "servers.extensions", ["nbdime"], name="f")
    assert check_text(text, name="f").servers.extensions == {"jupyter_lsp": False}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "servers: {extensions: {jupyter_lsp: maybe}}",
            'servers.extensions.jupyter_lsp: must be true or false, found "maybe"',
        ),
        (
            "servers: {extensions: {'a b': true}}",
            'servers.extensions: must have the name of a server extension such as "jupyter_lsp", '
            'found "a b"',
        ),
        (
            "servers: {extensions: 1}",
            "servers.extensions: must be a group of extensions' names, each with true or false, "
            "such as {jupyter_lsp: true}, found 1",
        ),
    ],
)
def test_what_is_no_switch_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_text(text, name="f")
    assert caught.value.problems[0].text == says


def test_an_extension_needs_its_value() -> None:
    with pytest.raises(BadRequest, match="NAME=VALUE"):
        edit.add("", "servers.extensions", ["jupyter_lsp"], name="f")
