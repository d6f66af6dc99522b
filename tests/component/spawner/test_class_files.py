"""Classes' files from the hub's side to the program's, with one Unix user for everybody."""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.errors import BadRequest, SpawnFailed, SpawnRefused
from appliance.interfaces import (
    Area,
    ClassFiles,
    Collected,
    HandedOut,
    Rule,
    StartRequest,
)
from appliance.local_spawner.spawner import LocalSpawner
from appliance.names import ServerId, Username
from appliance.places import Places
from appliance.systemd_spawner.accounts import StoreDamagedError
from appliance.systemd_spawner.class_files import JOBS_MAX, ClassFilesKeeper
from appliance.systemd_spawner.class_store import ClassStore
from appliance.systemd_spawner.file_jobs import FileJob, Person, UnitRunner
from appliance.systemd_spawner.spawner import SystemdSpawner
from tests.component.spawner.conftest import Daemon
from tests.fakes.class_files import FakeClassFiles
from tests.fakes.systemd import FakeHost, FakeUnits

ADA, BOB, TINA = Username("ada"), Username("bob"), Username("tina")
BIO = "Biology 7b"
REQUEST = StartRequest("ab" * 32)


@pytest.fixture
def trial() -> Iterator[Places]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as folder:
        yield Places.of_trial(Path(folder))


@pytest.fixture(params=["daemon", "trial"])
async def files(
    request: pytest.FixtureRequest, places: Places, trial: Places
) -> SystemdSpawner | LocalSpawner:
    """With the class Biology 7b of tina's, in which are ada and bob, and a folder to hand out."""
    spawner: SystemdSpawner | LocalSpawner
    if request.param == "daemon":
        spawner = SystemdSpawner(request.getfixturevalue("daemon").path)
    else:
        spawner = LocalSpawner(Config(), trial)
    folder = await spawner.set_class(BIO, members=[ADA, BOB, TINA], teachers=[TINA])
    assert (folder.slug, folder.needs_restart) == ("biology-7b", ())
    await put(spawner, "lab/a.ipynb", b"new")
    return spawner


async def put(files: ClassFiles, path: str, content: bytes, user: Username = TINA) -> None:
    with tempfile.TemporaryFile() as source:
        source.write(content)
        source.seek(0)
        await files.put_file(BIO, user, path, source.fileno())


@pytest.fixture
def root(files: SystemdSpawner | LocalSpawner, places: Places, trial: Places) -> Path:
    """What classes have in common."""
    used = places if isinstance(files, SystemdSpawner) else trial
    return used.class_files


@pytest.fixture
def home(files: SystemdSpawner | LocalSpawner, places: Places, trial: Places) -> Path:
    """Ada's."""
    return places.homes / "nb-ada" if isinstance(files, SystemdSpawner) else trial.homes / "ada"


def test_spawners_and_their_fake_keep_classes_files(trial: Places) -> None:
    found = [SystemdSpawner(Path("/x")), LocalSpawner(Config(), trial), FakeClassFiles()]
    assert all(isinstance(one, ClassFiles) for one in found)


async def test_what_is_uploaded_is_listed(files: ClassFiles) -> None:
    await put(files, "lab/big.bin", b"x" * 3_000_000)
    (lab,) = await files.list_folder(BIO, TINA, "")
    assert (lab.name, lab.kind) == ("lab", "folder")
    found = {one.name: one.size for one in await files.list_folder(BIO, TINA, "lab")}
    assert found == {"a.ipynb": 3, "big.bin": 3_000_000}
    assert lab.modified.tzinfo is not None
    assert await files.list_folder(BIO, TINA, "", Area.COLLECTED) == []


async def test_a_hand_out_is_copied_once(files: ClassFiles, home: Path) -> None:
    assert await files.hand_out(BIO, ADA, "lab", Rule.KEEP) == HandedOut(copied=1, bytes=3)
    assert await files.hand_out(BIO, ADA, "lab", Rule.KEEP) == HandedOut(kept=1)
    assert (home / "biology-7b/lab/a.ipynb").read_text() == "new"
    assert (home / "biology-7b/drop").is_dir()
    assert not (home / "biology-7b/collected").exists()


async def test_teachers_have_links_to_more(files: ClassFiles, home: Path) -> None:
    await files.hand_out(BIO, TINA, "lab", Rule.KEEP)
    own = home.with_name(home.name.replace("ada", "tina")) / "biology-7b"
    assert sorted(path.name for path in own.iterdir() if path.is_symlink()) == [
        "collected",
        "drop-boxes",
        "shared",
        "together",
    ]


async def test_a_collection_tells_of_each(files: ClassFiles, home: Path, root: Path) -> None:
    told: list[tuple[str, bool]] = []
    await files.hand_out(BIO, ADA, "lab", Rule.KEEP)
    (home / "biology-7b/lab/a.ipynb").write_text("answer")
    (home / "biology-7b/lab/link").symlink_to("/etc/passwd")
    reports = await files.collect(
        BIO, [ADA, BOB], TINA, "lab", "lab/monday",
        told=lambda user, report: told.append((user, report.done)),
    )  # fmt: skip
    assert reports == {
        ADA: Collected(1, 6, ("link: it is a link",)),
        BOB: Collected(failure="there is no such folder"),
    }
    assert sorted(told) == [("ada", True), ("bob", False)]
    place = root / "classes/biology-7b/collected/lab/monday"
    assert (place / "ada/a.ipynb").read_text() == "answer"
    manifest = json.loads((place / "ada.manifest.json").read_text())
    assert (manifest["user"], manifest["class"]) == ("ada", BIO)
    assert manifest["skipped"] == ["link: it is a link"]


async def test_only_teachers_and_members_are_served(files: ClassFiles) -> None:
    eve = Username("eve")
    for doing in (
        files.list_folder(BIO, ADA, ""),
        put(files, "x", b"", ADA),
        files.hand_out(BIO, eve, "lab", Rule.KEEP),
        files.collect(BIO, [ADA], ADA, "lab", "x"),
        files.hand_out("Art", ADA, "lab", Rule.KEEP),
    ):
        with pytest.raises(SpawnRefused):
            await doing
    report = await files.collect(BIO, [eve], TINA, "lab", "x")
    assert report[eve].failure == "'eve' is not in the class"


@pytest.mark.parametrize("folder", ["..", "/etc", "lab/../..", ".ssh", "", "drop"])
async def test_folders_that_lead_elsewhere_are_refused(folder: str, files: ClassFiles) -> None:
    for doing in (
        files.hand_out(BIO, ADA, folder, Rule.KEEP),
        files.collect(BIO, [ADA], TINA, folder, "x"),
        files.collect(BIO, [ADA], TINA, "lab", folder if folder != "drop" else ".."),
    ):
        with pytest.raises(BadRequest):
            await doing


async def test_an_archive_is_all_or_nothing(files: ClassFiles, home: Path, root: Path) -> None:
    told: list[str] = []
    await files.hand_out(BIO, ADA, "lab", Rule.KEEP)
    made = await files.archive_class(BIO, "bio-2026", [ADA, BOB], told=told.append)
    assert (told, made.homes[BOB], made.skipped) == (["ada", "bob"], 0, {})
    assert made.bytes > made.homes[ADA] > 0
    with tarfile.open(f"{made.place}/ada.tar.gz") as tar:
        assert "ada/biology-7b/lab/a.ipynb" in tar.getnames()
    with tarfile.open(f"{made.place}/CLASS.tar.gz") as tar:
        assert "biology-7b/shared/lab/a.ipynb" in tar.getnames()
    manifest = json.loads((root / "archives/bio-2026/manifest.json").read_text())
    assert made.place == str(root / "archives/bio-2026")
    assert manifest["students"] == ["ada", "bob"]
    with pytest.raises(SpawnRefused, match="one of that name already"):
        await files.archive_class(BIO, "bio-2026", [ADA])
    with pytest.raises(SpawnRefused, match="not in the class"):
        await files.archive_class(BIO, "other", [ADA, Username("eve")])
    assert [path.name for path in (root / "archives").iterdir()] == ["bio-2026"]
    for _ in range(2):
        await files.delete_archive("bio-2026")
    assert list((root / "archives").iterdir()) == []


def make_deep(folder: Path) -> None:
    """Deeper than a path may be long, and than a program may call itself."""
    top = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)


async def test_a_class_that_is_forgotten_leaves_its_name_free(
    files: ClassFiles, home: Path, root: Path
) -> None:
    await files.hand_out(BIO, ADA, "lab", Rule.KEEP)
    make_deep(root / "classes/biology-7b/together")
    for _ in range(2):
        await files.forget_class(BIO)
    assert [*(root / "classes").iterdir(), *(root / "removed").iterdir()] == []
    assert (home / "biology-7b/lab/a.ipynb").exists()
    folder = await files.set_class(BIO, members=[ADA], teachers=[])
    assert folder.slug == "biology-7b-2"
    with pytest.raises(SpawnRefused, match="does not teach"):
        await files.list_folder(BIO, TINA, "")


async def test_a_user_keeps_the_class_under_a_new_name_and_loses_it_when_removed(
    files: SystemdSpawner | LocalSpawner,
) -> None:
    eve = Username("eve")
    await files.hand_out(BIO, ADA, "lab", Rule.KEEP)
    await files.rename_user(ADA, eve)
    assert (await files.hand_out(BIO, eve, "lab", Rule.KEEP)).kept == 1
    await files.forget_user(eve)
    with pytest.raises(SpawnRefused, match="not in the class"):
        await files.hand_out(BIO, eve, "lab", Rule.KEEP)


async def test_who_runs_a_server_from_before_is_told(
    daemon: Daemon, places: Places, units: FakeUnits, host: FakeHost
) -> None:
    spawner = SystemdSpawner(daemon.path)
    await spawner.start(ServerId(ADA), REQUEST)

    async def set_class(*members: Username, teachers: tuple[Username, ...] = ()) -> Any:
        return (await spawner.set_class(BIO, members=members, teachers=teachers)).needs_restart

    assert await set_class(ADA, BOB) == (ADA,)
    await spawner.stop(ServerId(ADA))
    await spawner.start(ServerId(ADA), REQUEST)
    groups = units.properties[ServerId(ADA).unit]["SupplementaryGroups"]
    assert groups == ["appliance-users", str(host.groups["nbc-biology-7b"])]
    assert (places.homes / "nb-ada/biology-7b/drop").is_symlink()
    assert await set_class(ADA, BOB) == ()
    assert await set_class(ADA, teachers=(ADA,)) == (ADA,)
    assert await set_class(BOB) == (ADA,)


async def test_a_home_that_cannot_be_linked_does_not_keep_a_server_from_starting(
    daemon: Daemon, places: Places
) -> None:
    spawner = SystemdSpawner(daemon.path)
    await spawner.set_class(BIO, members=[ADA], teachers=[])
    (places.homes / "nb-ada").mkdir()
    (places.homes / "nb-ada/biology-7b").write_text("mine")
    await spawner.start(ServerId(ADA), REQUEST)
    assert (places.homes / "nb-ada/biology-7b").read_text() == "mine"
    (places.homes / "nb-ada/biology-7b").unlink()
    await spawner.stop(ServerId(ADA))
    await spawner.start(ServerId(ADA), REQUEST)
    assert (places.homes / "nb-ada/biology-7b/shared").is_symlink()


async def test_a_class_of_two_thousand_is_one_request(files: ClassFiles) -> None:
    many = [Username(f"{number:04}{'x' * 44}") for number in range(2000)]
    assert (await files.set_class("All", members=many, teachers=[])).slug == "all"


async def test_few_jobs_work_at_once(
    daemon: Daemon, classes: ClassFilesKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [Username(f"user{number}") for number in range(8)]
    now, most, lock = 0, 0, threading.Lock()

    def run(job: FileJob) -> dict[str, Any]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.05)
        with lock:
            now -= 1
        numbers = dict.fromkeys(("copied", "kept", "replaced", "beside", "bytes"), 0)
        return {**numbers, "skipped": []}

    monkeypatch.setattr(classes, "_runner", type("Runner", (), {"run": staticmethod(run)}))
    clients = [SystemdSpawner(daemon.path) for _ in range(2)]
    await clients[0].set_class(BIO, members=people, teachers=[])
    await asyncio.gather(
        *(client.hand_out(BIO, user, "lab", Rule.KEEP) for client in clients for user in people)
    )
    assert most == JOBS_MAX


async def test_a_power_cut_at_any_moment_of_making_and_forgetting_is_healed(
    places: Places, host: FakeHost, classes: ClassFilesKeeper, daemon: Daemon
) -> None:
    spawner = SystemdSpawner(daemon.path)
    for moment in range(1, 9):
        host.fail_at, host.changes = moment, 0
        for _ in range(2):
            with suppress(SpawnFailed):
                await spawner.set_class(BIO, members=[ADA], teachers=[])
                await spawner.forget_class(BIO)
            classes.finish_interrupted()
    host.fail_at = 0
    await spawner.set_class(BIO, members=[ADA], teachers=[])
    kept = json.loads((places.spawner_state / "classes.json").read_text())["classes"]
    states = [one["state"] for one in kept]
    assert states[-1] == "ready"
    assert set(states[:-1]) <= {"retired"}
    numbers = [one[f"{kind}_group"] for one in kept for kind in ("students", "teachers")]
    assert len(numbers) == len(set(numbers))
    assert set(host.groups) == {f"{kind}-{kept[-1]['slug']}" for kind in ("nbc", "nbt")}
    folders = [path.name for path in (places.class_files / "classes").iterdir()]
    assert folders == [kept[-1]["slug"]]


async def test_archives_that_were_never_completed_go_when_the_daemon_starts(
    classes: ClassFilesKeeper, daemon: Daemon, places: Places
) -> None:
    spawner = SystemdSpawner(daemon.path)
    await spawner.set_class(BIO, members=[ADA], teachers=[])
    await spawner.archive_class(BIO, "whole", [ADA])
    half = places.class_files / "archives/.half.part"
    half.mkdir()
    (half / "ada.tar.gz").write_text("half")
    classes.begin_anew()
    assert [path.name for path in half.parent.iterdir()] == ["whole"]
    classes.finish_interrupted()
    assert list((places.class_files / "removed").iterdir()) == []


def test_a_job_is_a_unit_of_the_user_concerned(units: FakeUnits, places: Places) -> None:
    person = Person("nb-ada", 20_000, "/home/nb-ada", (10_000,))
    with pytest.raises(SpawnFailed, match="said nothing that makes sense"):
        UnitRunner(units, places).run(FileJob("cannot", {"do": "list"}, person, 60, -1, 5))
    (found,) = units.properties.values()
    assert (found["User"], found["Group"]) == ("nb-ada", "nb-ada")
    assert found["SupplementaryGroups"] == ["appliance-users", "10000"]
    assert (found["CapabilityBoundingSet"], found["NoNewPrivileges"]) == (0, True)
    assert found["ExecStart"][0][1][-1] == "file-worker"
    assert found["LimitFSIZE"] == 5


def test_the_store_reads_what_it_wrote_and_refuses_what_is_damaged(tmp_path: Path) -> None:
    def store() -> ClassStore:
        return ClassStore(
            tmp_path / "classes.json",
            is_slug_taken=lambda slug: slug == "art",
            is_id_taken=lambda number: number == 10_001,
        )

    first = store()
    one = first.plan("Art")
    assert (one.slug, one.students_group, one.teachers_group) == ("art-2", 10_000, 10_002)
    first.set_people("art-2", students=[ADA, BOB], teachers=[BOB])
    first.settle("art-2", ADA, "student")
    again = store().find("Art")
    assert again == first.find("Art")
    assert again is not None
    assert (again.role_of(ADA), again.role_of(BOB), again.role_of(TINA)) == (
        "student",
        "teacher",
        "",
    )
    assert store().plan("Übung!").slug == "bung"
    assert store().plan("日本語").slug == "class"
    for damage in ("", "[]", "{}", '{"format": 1, "next_group": 1, "classes": [{}]}'):
        (tmp_path / "classes.json").write_text(damage)
        with pytest.raises(StoreDamagedError):
            store()
