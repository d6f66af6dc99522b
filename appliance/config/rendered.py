"""hub.json and spawner.json, made from a checked configuration: their text, and reading it.

Apart from `load.py`, so that the hub doesn't load a YAML library that it never uses.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import SecretStr, ValidationError

from appliance.config.schema import Config
from appliance.errors import ConfigError, Problem
from appliance.places import Places

HUB_FILE: Final = "hub.json"


def read_in_force(places: Places) -> Config:
    """What all programs go by until the configuration is reloaded; raises ConfigError."""
    return read_rendered(places.rendered / HUB_FILE)


def read_rendered(path: Path) -> Config:
    """Read hub.json, which is made from a checked configuration."""
    try:
        return Config.model_validate_json(path.read_bytes())
    except OSError as error:
        why = f"can't be read: {error.strerror}"
        cause: Exception = error
    except ValidationError as error:
        why = "isn't what this version of the appliance writes"
        cause = error
    raise ConfigError(
        [Problem(str(path), why)], mend="sudo appliance config reload --force"
    ) from cause


def dump_json(config: Config, *, secrets: bool) -> str:
    """The whole configuration as JSON: bytes and seconds as numbers; secrets revealed or null."""

    def plain(value: object) -> object:
        if isinstance(value, SecretStr):
            return value.get_secret_value() if secrets else None
        raise TypeError(f"a {type(value).__name__} has no form in JSON")

    return json.dumps(config.model_dump(), indent=2, default=plain) + "\n"
