"""What `appliance limits suggest` says of machines and classes; asking before it is lowered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import limits_work
from appliance.cli.errors import UsageError
from appliance.cli.limits_work import ask_before_lowering, make_suggestion, servers_above
from appliance.cli.output import Output
from appliance.client.hub import HubClient
from appliance.config.schema import Config
from appliance.limits import GIB, MIB, MachineSize
from appliance.places import Places


@pytest.mark.parametrize(
    ("size", "people", "memory", "has_room"),
    [
        (1, 4, 384, False),
        (2, 5, 832, True),
        (4, 10, 960, True),
        (4, 30, 384, False),
        (8, 20, 960, True),
        (8, 30, 640, False),
        (16, 30, 1280, True),
        (32, 60, 1280, True),
        (64, 100, 1536, True),
        (256, 300, 2048, True),
    ],
)
def test_what_fits_and_whether_there_is_room(
    size: int,
    people: int,
    memory: int,
    has_room: bool,
) -> None:
    found = make_suggestion(MachineSize(size * GIB * 97 // 100, 4), people, [])
    assert found.memory // MIB == memory
    assert (found.room_for >= people) is has_room
    text = "\n".join(limits_work._explained(found, Config()))
    assert ("Careful" in text) is not has_room
    assert (f"sudo appliance config set limits.class_size {people}" in text) is (people != 20)
    applied = "\n".join(limits_work._explained(found, Config(), is_applied=True))
    assert "sudo appliance" not in applied


def test_limits_that_somebody_set_are_told_as_set() -> None:
    found = make_suggestion(MachineSize(16 * GIB, 4), 20, [])
    assert "cpu     no limit: who" in "\n".join(limits_work._explained(found, Config()))
    config = Config.model_validate({"limits": {"cpu": 1.5, "tasks": 100}})
    text = "\n".join(limits_work._explained(found, config))
    assert "cpu     1.5 cores each, as it is set" in text
    assert "tasks   100 each, as it is set" in text


def test_what_servers_use_now_counts_from_five_on() -> None:
    machine = MachineSize(16 * GIB, 4)
    assert make_suggestion(machine, 30, [600 * MIB] * 4).measured is None
    found = make_suggestion(machine, 30, [600 * MIB] * 5)
    assert found.measured is not None
    assert found.typical == 600 * MIB
    assert found.room_for == machine.for_servers // (600 * MIB)
    assert found.room_for < 30
    json.dumps(found.model())


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places.of_trial(tmp_path)
    places.run.mkdir(parents=True)
    told: dict[str, Any] = {"bob": {"groups": {"big": {}}, "limits": {}}}
    (places.run / "limits.json").write_text(json.dumps(told))
    rows: list[dict[str, Any]] = [
        {"user": name, "server": "", "memory_bytes": used * MIB, "memory_limit_bytes": GIB}
        for name, used in (("ada", 700), ("bob", 700), ("eve", 100))
    ]
    monkeypatch.setattr(limits_work, "running_servers", lambda _places: rows)
    return places


@pytest.mark.parametrize(
    ("text", "above"),
    [
        ("limits: {memory: 1G}\n", []),
        ("limits: {memory: 512M}\n", ["ada", "bob"]),
        ("limits: {memory: 512M}\ngroup_limits: {big: {memory: 1G}}\n", ["ada"]),
        ("limits: {memory: 1G}\nuser_limits: {ada: {memory: 512M}}\n", ["ada"]),
        ("limits: {memory: 2}\n", []),
    ],
)
def test_who_uses_more_than_the_new_limit(places: Places, text: str, above: list[str]) -> None:
    assert [str(server) for server in servers_above(places, text)] == above
    if above:
        with pytest.raises(UsageError) as asked:
            ask_before_lowering(places, text)
        assert asked.value.mend == "add --yes"
        assert above[0] in asked.value.why
    else:
        ask_before_lowering(places, text)


class _Hub:
    """Answers as the hub does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def request(self, method: str, path: str) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        limits = {
            "memory": {"value": GIB, "source": "group", "name": "7b", "on_page": True},
            "cpu": {"value": None, "source": "default", "name": None, "on_page": False},
        }
        return {"limits": limits, "given": {}, "most": {}}


def test_show_asks_the_hub_and_says_where_limits_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub, places = _Hub(), Places.of_trial(tmp_path)
    monkeypatch.setattr(HubClient, "of", lambda _places: hub)
    for name, group in (("", ""), ("Ada@school.example", ""), ("", "class 7b")):
        limits_work.show(places, Output(), name, group)
    assert hub.asked == [
        "GET /appliance/limits",
        "GET /appliance/users/ada@school.example/limits",
        "GET /appliance/groups/class%207b/limits",
    ]
    printed = capsys.readouterr().out
    assert "1G" in printed
    assert "the group 7b, on a page" in printed
    assert "no limit" in printed
