"""Settings for servers, as spawner.json has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appliance.config.schema import Config
from appliance.limits import Effective, LimitBook, MachineSize
from appliance.systemd_spawner.settings import ServerSettings

MACHINE = MachineSize(memory=16 * 2**30, cores=4)


def make_limits(**limits: Any) -> Effective:
    """The limits that everybody has, on a machine of 16 GB, with changes as in the file."""
    config = Config.model_validate({"limits": limits}).model_dump(mode="json")
    return LimitBook(config, MACHINE).default()


def make_server_settings(**changes: Any) -> ServerSettings:
    """The schema's defaults, with changes by the names of ServerSettings."""
    defaults = ServerSettings.from_config(Config().model_dump(mode="json"))
    return replace(defaults, **changes)
