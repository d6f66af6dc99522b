"""Who may keep how much, and telling the file systems."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from appliance.config.load import check_text
from appliance.config.rendered import dump_json
from appliance.config.schema import Config
from appliance.disk import need, quotas
from appliance.disk.file_systems import FileSystem, Mount, QuotaState
from appliance.disk.limits import Limit, home_limits, with_classes
from appliance.disk.people import ClassFolder, Owner, class_folders, owners
from appliance.disk.quotactl import Kind, Quota, QuotaError
from appliance.errors import ApplianceError
from appliance.places import Places

MB = 2**20
ADA = Owner("ada", 20000, Path("/home/nb-ada"))
BOB = Owner("bob", 20001, Path("/home/nb-bob"))
EVE = Owner("eve", 20002, Path("/home/nb-eve"))
PHYSICS = ClassFolder("physics", 10000, Path("/srv/physics"), frozenset({"ada"}))


def config(text: str = "") -> Config:
    return check_text(text, name="test")


def members(groups: dict[str, Collection[str]]) -> Any:
    return lambda group: groups.get(group, ())


def test_nobody_has_a_limit_unless_the_settings_say_so() -> None:
    assert home_limits(config(), [ADA], members({})) == {20000: Limit()}


def test_the_own_limit_wins_then_the_most_generous_group() -> None:
    settings = config(
        "disk: {home: 100M, home_files: 5000}\n"
        "group_limits: {a: {disk: 200M}, b: {disk: 300M}, c: {memory: 1G}}\n"
        "user_limits: {eve: {disk: 50M}}\n"
    )
    groups = {"a": ["bob", "eve"], "b": ["bob"], "c": ["ada"]}
    found = home_limits(settings, [ADA, BOB, EVE], members(groups))
    assert found == {
        20000: Limit(100 * MB, 5000), 20001: Limit(300 * MB, 5000), 20002: Limit(50 * MB, 5000)
    }  # fmt: skip


def test_what_teachers_collect_has_room_beside_their_homes() -> None:
    limits = {20000: Limit(100 * MB), 20001: Limit(100 * MB), 20002: Limit()}
    people, settings = [ADA, BOB, EVE], config("disk: {class_folder: 500M}")
    found = with_classes(limits, people, [PHYSICS], settings)
    assert found == {20000: Limit(600 * MB), 20001: Limit(100 * MB), 20002: Limit()}
    assert with_classes(limits, people, [PHYSICS], config()) == limits


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(
        software=tmp_path / "software", settings=tmp_path / "etc", state=tmp_path / "state",
        run=tmp_path / "run", homes=tmp_path / "home", class_files=tmp_path / "srv",
    )  # fmt: skip
    for folder in (found.spawner_state, found.rendered, found.disk_state, found.homes):
        folder.mkdir(parents=True)
    (found.class_files / "classes/physics").mkdir(parents=True)
    accounts = [
        {"user": "ada", "name": "nb-ada", "uid": 20000, "state": "ready"},
        {"user": "bob", "name": "nb-bob", "uid": 20001, "state": "planned"},
        {"user": "old", "name": "nb-old", "uid": 20002, "state": "retired"},
    ]
    classes = [
        {"name": "physics", "slug": "physics", "students_group": 10000, "state": "ready",
         "teachers": ["ada"]},
        {"name": "gone", "slug": "gone", "students_group": 10002, "state": "retired",
         "teachers": []},
    ]  # fmt: skip
    store(found, "accounts", accounts)
    store(found, "classes", classes)
    return found


def store(places: Places, name: str, rows: list[dict[str, Any]]) -> None:
    (places.spawner_state / f"{name}.json").write_text(json.dumps({"format": 1, name: rows}))


class Kernel:
    """What the file systems were told."""

    def __init__(self) -> None:
        self.told: dict[tuple[Kind, int], Quota] = {}
        self.enforced: list[Kind] = []
        self.calls = 0
        self.refuses = 0

    def enforce(self, _folder: Path, kind: Kind) -> None:
        self.enforced.append(kind)

    def read(self, _folder: Path, kind: Kind, number: int) -> Quota:
        return self.told.get((kind, number), Quota())

    def set(self, _folder: Path, kind: Kind, number: int, *, limit: int, files_limit: int) -> None:
        if self.refuses:
            raise QuotaError(self.refuses)
        self.calls += 1
        self.told[kind, number] = Quota(limit=limit, files_limit=files_limit)


@pytest.fixture
def kernel(places: Places, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    state = QuotaState(users_counted=True, projects_counted=True)
    mount = Mount("8:1", "/", "/", "/dev/sda1", "ext4", ())
    system = FileSystem(str(places.homes), mount, 100, 50, 100, 50, state)
    for module in (quotas, need):
        monkeypatch.setattr(module, "find", lambda _folders: [system])
    monkeypatch.setattr(quotas, "enforce", found.enforce)
    monkeypatch.setattr(quotas, "read_quota", found.read)
    monkeypatch.setattr(quotas, "set_quota", found.set)
    monkeypatch.setattr(quotas, "project_of", lambda _folder: 10000)
    return found


def test_only_current_accounts_and_classes_count(places: Places) -> None:
    assert [one.user for one in owners(places)] == ["ada", "bob"]
    assert [one.name for one in class_folders(places)] == ["physics"]
    (places.spawner_state / "accounts.json").write_text("{")
    with pytest.raises(ApplianceError, match="whose files are whose"):
        owners(places)


def test_limits_are_set_once_changed_and_taken_back(places: Places, kernel: Kernel) -> None:
    assert quotas.set_all(config("disk: {home: 100M, class_folder: 200M}"), places) == []
    assert kernel.told == {
        # The teacher's has room for the class.
        (Kind.USER, 20000): Quota(limit=300 * MB),
        (Kind.USER, 20001): Quota(limit=100 * MB),
        (Kind.PROJECT, 10000): Quota(limit=200 * MB),
    }
    assert set(kernel.enforced) == {Kind.USER, Kind.PROJECT}
    calls = kernel.calls
    quotas.set_all(config("disk: {home: 100M, class_folder: 200M}"), places)
    assert kernel.calls == calls
    quotas.set_all(config(), places)
    assert set(kernel.told.values()) == {Quota()}


def test_what_an_admin_set_by_hand_stays(places: Places, kernel: Kernel) -> None:
    kernel.told[Kind.USER, 20001] = Quota(limit=7 * MB)
    quotas.set_all(config(), places)
    assert kernel.told == {(Kind.USER, 20001): Quota(limit=7 * MB)}


def test_what_cannot_be_set_is_told_once(places: Places, kernel: Kernel) -> None:
    kernel.refuses = 1
    (problem,) = quotas.set_all(config("disk: {home: 100M}"), places)
    assert problem.startswith("cannot set a limit of /: ")
    assert not need.memory_file(places).exists()


def test_the_hub_that_does_not_answer_is_believed_as_before(
    places: Places, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config("disk: {home: 100M}\ngroup_limits: {a: {disk: 200M}}")
    answers: list[Any] = [{"users": ["bob"]}, ApplianceError("cannot reach the hub")]

    class Hub:
        def request(self, _method: str, path: str) -> Any:
            assert path == "/groups/a"
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr("appliance.disk.limits.HubClient.of", lambda _places, timeout: Hub())
    for _ in range(2):
        quotas.set_all(settings, places)
        assert kernel.told[Kind.USER, 20000].limit == 100 * MB
        assert kernel.told[Kind.USER, 20001].limit == 200 * MB
    assert answers == []


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("", False),
        ("disk: {warn_percent: 80}", False),
        ("disk: {home: 1G}", True),
        ("disk: {home_files: 9000}", True),
        ("disk: {class_folder: 1G}", True),
        ("group_limits: {a: {disk: 1G}}", True),
        ("group_limits: {a: {memory: 1G}}", False),
        ("user_limits: {ada: {disk: 1G}}", True),
    ],
)
def test_nothing_is_loaded_where_nothing_is_to_do(
    text: str, needed: bool, places: Places, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.rendered / "hub.json").write_text(dump_json(config(text), secrets=True))
    assert need.is_needed(places) is needed
    need.memory_file(places).write_text('{"given": {"/dev/sda1 user 1": [1, 0]}, "groups": {}}')
    assert need.is_needed(places)
    monkeypatch.setattr(need, "find", lambda _folders: [])
    assert not need.is_needed(places)
