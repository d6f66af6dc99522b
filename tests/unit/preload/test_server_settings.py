"""No setting of servers starts them or their kernels cold, but those that are for that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from appliance.config.fields import settings
from appliance.config.kinds import Reload
from appliance.config.schema import Config
from appliance.config.setting import Setting
from appliance.limits import LimitBook
from appliance.names import ServerId, Username
from appliance.places import Places
from appliance.preload import kernel_refusals, server
from appliance.systemd_spawner.environment import server_environment
from appliance.systemd_spawner.settings import ServerSettings
from tests.fakes.server_settings import MACHINE

UNITS = Path(__file__).parents[3] / "units"
# With another program, or these off, nobody asks the daemons.
FOR_THAT = {"servers.program", "preload.servers", "preload.kernels"}
READ = [
    one for key, one in settings().items()
    if one.reload & Reload.NEXT_START and key not in FOR_THAT
]  # fmt: skip


def variables_of_unit(name: str) -> dict[str, str]:
    line = re.search(r"^Environment=(.*)$", (UNITS / name).read_text(), re.MULTILINE)
    assert line
    return dict(word.split("=", 1) for word in line[1].split())


def variables_of_server(*changed: Setting) -> dict[str, str]:
    values: dict[str, Any] = {}
    for one in changed:
        place = values
        for name in one.path[:-1]:
            place = place.setdefault(name, {})
        place[one.path[-1]] = one.example
    config = Config.model_validate(values).model_dump(mode="json")
    return server_environment(
        ServerId(Username("ada")),
        account="nb-ada",
        home="/home/nb-ada",
        runtime_directory="/run/appliance-user/20000",
        settings=ServerSettings.from_config(config),
        places=Places.installed(),
        limits=LimitBook(config, MACHINE).default(),
    )


@pytest.mark.parametrize("setting", READ, ids=lambda one: one.key)
def test_a_server_and_its_kernels_are_forked(
    monkeypatch: pytest.MonkeyPatch, setting: Setting
) -> None:
    loaded_in = variables_of_unit("appliance-preload-server.service")
    monkeypatch.setattr(server, "_loaded_in", loaded_in)
    found = variables_of_server(setting, settings()["network.for_servers"])
    assert server.refuses([], found) == ""
    assert kernel_refusals.of_environment(found) == ""
    assert kernel_refusals.of_locale(found) == ""
