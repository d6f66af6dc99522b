"""Which limit counts, how far pages go, and what fits a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.kinds import parse_size
from appliance.config.schema import Config
from appliance.limits import (
    GIB,
    MEMORY_MIN,
    MIB,
    NAMES,
    SERVERS_PART,
    LimitBook,
    MachineSize,
    Source,
    Told,
    fitting_memory,
    parse_numbers,
    parse_told,
)

MACHINE = MachineSize(memory=16 * GIB, cores=4)


def book(machine: MachineSize = MACHINE, **sections: Any) -> LimitBook:
    return LimitBook(Config.model_validate(sections).model_dump(mode="json"), machine)


GIVEN = book(
    limits={"memory": "1G", "tasks": 100, "run_time": "8h"},
    group_limits={
        "big": {"memory": "3G", "run_time": "1h"},
        "small": {"memory": "512M", "tasks": 50, "run_time": "2h"},
    },
    user_limits={"ada.l@school.example": {"memory": "256M"}, "bob": {"cpu": 2}},
)


@pytest.mark.parametrize(
    ("user", "told", "name", "value", "source"),
    [
        ("eve", Told(), "memory", GIB, Source("default")),
        ("eve", Told({"small": {}}), "memory", 512 * MIB, Source("group", "small")),
        ("eve", Told({"small": {}, "big": {}}), "memory", 3 * GIB, Source("group", "big")),
        ("eve", Told({"small": {}, "big": {}}), "run_time", 7200, Source("group", "small")),
        ("eve", Told({"unknown": {}}), "memory", GIB, Source("default")),
        # One's own goes before groups', even if it is less.
        (
            "ada.l@school.example", Told({"big": {}}), "memory", 256 * MIB,
            Source("user", "ada.l@school.example"),
        ),
        ("bob", Told({"big": {}}), "memory", 3 * GIB, Source("group", "big")),
        ("bob", Told(), "cpu", 2, Source("user", "bob")),
        ("eve", Told(), "cpu", None, Source("default")),
        # What a page says goes before the configuration, at the same place.
        (
            "eve", Told({"big": {"memory": GIB}}), "memory", GIB,
            Source("group", "big", on_page=True),
        ),
        (
            "bob", Told({}, {"cpu": 1.5}), "cpu", 1.5, Source("user", "bob", on_page=True),
        ),
        (
            "eve", Told({"new": {"tasks": 70}, "small": {}}), "tasks", 70,
            Source("group", "new", on_page=True),
        ),
        # And never beyond what is allowed: half of what all have, the machine's cores, 4096.
        (
            "eve", Told({}, {"memory": 2**50}), "memory", MACHINE.for_servers // 2,
            Source("user", "eve", on_page=True),
        ),
        ("eve", Told({}, {"cpu": 900}), "cpu", 4, Source("user", "eve", on_page=True)),
        ("eve", Told({}, {"tasks": 90_000}), "tasks", 4096, Source("user", "eve", on_page=True)),
    ],
)  # fmt: skip
def test_which_limit_counts(user: str, told: Told, name: str, value: float, source: Source) -> None:
    found = GIVEN.of(user, told).limits[name]
    assert (found.value, found.source) == (value, source)


def test_pages_go_as_far_as_the_configuration_says() -> None:
    wide = book(page_limits={"memory": "12G", "cpu": 0.5, "tasks": 64})
    told = Told({}, {"memory": 2**50, "cpu": 4, "tasks": 9000})
    found = wide.of("eve", told)
    assert [found[name] for name in ("memory", "cpu", "tasks")] == [12 * GIB, 0.5, 64]
    # What everybody has, everybody can be given.
    assert book(limits={"memory": "14G"}).of("eve", told).memory == 14 * GIB


def test_where_a_limit_stands() -> None:
    assert GIVEN.of("bob", Told()).limits["cpu"].source.setting == "user_limits.bob"
    assert GIVEN.default().limits["memory"].source.setting == "limits"
    assert book().default().limits["memory"].source == Source("machine")


def test_every_limit_is_one_of_the_schema() -> None:
    effective = book().default()
    assert set(effective.limits) == set(NAMES)
    assert all(name in Config().limits.model_fields_set or hasattr(Config().limits, name)
               for name in NAMES)  # fmt: skip


SIZES = {
    # Machine's memory in GB: by class size, what a server may use, in MB.
    1: {1: 832, 5: 384, 30: 384, 300: 384},
    2: {1: 1536, 5: 832, 30: 384, 300: 384},
    4: {1: 3328, 5: 1536, 30: 384, 300: 384},
    8: {1: 6656, 5: 3328, 30: 640, 300: 384},
    16: {1: 13312, 5: 6656, 30: 1280, 300: 384},
    32: {1: 26624, 5: 13312, 30: 2560, 300: 384},
    64: {1: 53248, 5: 26624, 30: 5376, 300: 512},
    128: {1: 107520, 5: 53248, 30: 10240, 300: 1024},
    256: {1: 216064, 5: 107520, 30: 21504, 300: 2048},
}


@pytest.mark.parametrize(
    ("size", "people"), [(size, people) for size, row in SIZES.items() for people in row]
)
def test_what_fits_a_machine(size: int, people: int) -> None:
    # A machine of 16 GB shows a little less.
    machine = MachineSize(size * GIB * 97 // 100, 4)
    assert fitting_memory(machine, people) // MIB == SIZES[size][people]


@given(st.integers(2**27, 2**44), st.integers(1, 5000))
def test_what_fits_is_never_too_much(memory: int, people: int) -> None:
    machine = MachineSize(memory, 4)
    found = fitting_memory(machine, people)
    assert found >= MEMORY_MIN
    if found > MEMORY_MIN:
        assert found <= machine.for_servers // (1 if people == 1 else 2)
    assert fitting_memory(machine, people + 1) <= found
    assert fitting_memory(MachineSize(memory * 2, 4), people) >= found


@pytest.mark.parametrize(
    "content",
    [[], {"memory": 1}, {"memory": "1G"}, {"cpu": -1}, {"swap": 0}, {"tasks": 32.5}, {"cpu": True}],
)
def test_what_is_no_limit_is_refused(content: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        parse_numbers(content)


def test_what_is_told_comes_back() -> None:
    told = Told({"a": {"memory": GIB}, "b": {}}, {"cpu": 0.5})
    assert parse_told(told.model()) == told


UNITS = Path(__file__).resolve().parents[2] / "units"


def _value(unit: str, name: str) -> str:
    lines = (UNITS / unit).read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))


def test_the_units_keep_the_hub_alive_and_leave_the_rest_to_servers() -> None:
    assert _value("appliance-users.slice", "MemoryMax") == f"{SERVERS_PART:.0%}"
    kept = [
        parse_size(_value(f"appliance-{name}.service", "MemoryMin"))
        for name in ("hub", "proxy", "spawner")
    ]
    assert parse_size(_value("appliance.slice", "MemoryMin")) == sum(kept)
    # What is guaranteed to servers is kept by the slices above them.
    share = [
        int(_value(unit, "MemoryLow")[:-1]) for unit in ("appliance-users.slice", "appliance.slice")
    ]
    assert 0 < share[0] < share[1] < 85
