from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnRefused
from appliance.systemd_spawner.settings import ServerSettings, read_settings


def test_the_rendered_configuration_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "spawner.json"
    config = Config.model_validate({"limits": {"memory": "2G", "cpu": 2, "tasks": None}})
    file.write_text(config.model_dump_json())
    settings = read_settings(file)
    found = settings.limits.default()
    assert (found.memory, found.cpu, found["tasks"]) == (2**31, 2.0, None)


def test_every_name_is_one_of_the_schema() -> None:
    content = Config().model_dump(mode="json")
    for name in ServerSettings.__dataclass_fields__:
        section, _, rest = name.partition("_")
        assert name in content or rest in content[section]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", json.dumps(Config().model_dump(mode="json") | {"base_url": 1})]
)
def test_a_damaged_file_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "spawner.json"
    file.write_text(content)
    with pytest.raises(SpawnRefused, match="cannot read the limits") as raised:
        read_settings(file)
    assert raised.value.mend == "sudo appliance config reload --force"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpawnRefused):
        read_settings(tmp_path / "spawner.json")
