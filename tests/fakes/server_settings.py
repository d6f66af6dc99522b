"""Settings for servers, as spawner.json has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appliance.config.schema import Config
from appliance.systemd_spawner.settings import ServerSettings


def make_server_settings(**changes: Any) -> ServerSettings:
    """The schema's defaults, with changes by the names of ServerSettings."""
    defaults = ServerSettings.from_config(Config().model_dump(mode="json"))
    return replace(defaults, **changes)
