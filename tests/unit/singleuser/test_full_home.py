"""What a server does in a home that is full, and what it tells who can't save."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from appliance.singleuser import full_home
from appliance.singleuser.full_home import NOTARY, has_room, make_do

web = pytest.importorskip("tornado.web")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home, runtime = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    runtime.mkdir()
    return {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(runtime)}


def test_room_is_found_out_without_a_trace(tmp_path: Path) -> None:
    assert has_room(tmp_path)
    assert list(tmp_path.iterdir()) == []
    # A folder that can't be asked isn't full, whatever else is wrong with it.
    assert has_room(tmp_path / "missing")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "posix_fallocate"])
def test_no_room_is_seen_by_each_call(
    number: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(full_home.os, call, refuse)
    assert not has_room(tmp_path)


def test_where_there_is_room_nothing_changes(environ: dict[str, str]) -> None:
    before = dict(environ)
    make_do(environ)
    assert environ == before


def test_in_a_full_home_what_isnt_there_is_kept_elsewhere(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_home, "has_room", lambda _folder: False)
    make_do(environ)
    assert environ["IPYTHONDIR"].startswith(environ["JUPYTER_RUNTIME_DIR"])
    assert Path(environ[NOTARY]).stat().st_mode & 0o777 == 0o700


def test_what_is_in_a_full_home_is_used(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(environ["HOME"])
    (home / ".ipython/profile_default").mkdir(parents=True)
    (home / ".local/share/jupyter").mkdir(parents=True)
    (home / ".local/share/jupyter/notebook_secret").touch()
    monkeypatch.setattr(full_home, "has_room", lambda _folder: False)
    make_do(environ)
    assert "IPYTHONDIR" not in environ
    assert NOTARY not in environ


class Manager:
    """What saves files: one way that waits, and one that doesn't."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def save(self, _model: object, path: str = "") -> None:
        """As jupyter_server does: the true cause is inside."""
        try:
            raise self.error
        except OSError as err:
            raise web.HTTPError(500, f"Unexpected error while saving file: {path} {err}") from err

    async def create_checkpoint(self, _path: str) -> None:
        raise self.error


def full(number: int, name: str | None = None) -> OSError:
    path = name and os.path.expanduser(name)  # noqa: PTH111 - as the server itself does
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (full(errno.EDQUOT), "Your home is full"),
        (full(errno.EDQUOT, "~/a"), "Your home is full"),
        (full(errno.EDQUOT, "/srv/appliance/classes/physics/together/a"), "class's folder"),
        (full(errno.ENOSPC, "~/a"), "no room left"),
    ],
)
async def test_who_cannot_save_is_told_why(error: OSError, words: str) -> None:
    from appliance.singleuser.saving import explain_full_disk

    manager = Manager(error)
    explain_full_disk(manager)
    with pytest.raises(web.HTTPError) as saved:
        manager.save({}, path="a")
    with pytest.raises(web.HTTPError) as kept:
        await manager.create_checkpoint("a")
    for caught in (saved, kept):
        assert caught.value.status_code == 507
        assert words in caught.value.log_message
        assert "save again" in caught.value.log_message


async def test_other_errors_stay_what_they_are() -> None:
    from appliance.singleuser.saving import explain_full_disk

    for error in (PermissionError(errno.EACCES, "no"), web.HTTPError(409, "changed")):
        manager = Manager(error)
        explain_full_disk(manager)
        with pytest.raises(type(error)) as caught:
            await manager.create_checkpoint("a")
        assert caught.value is error


def test_of_a_new_file_that_could_not_be_written_nothing_is_left(tmp_path: Path) -> None:
    from appliance.singleuser.saving import explain_full_disk

    class OnDisk(Manager):
        def _get_os_path(self, path: str) -> str:
            return str(tmp_path / path)

        def save(self, model: object, path: str = "") -> None:
            (tmp_path / path).touch()
            super().save(model, path)

    manager = OnDisk(full(errno.EDQUOT))
    explain_full_disk(manager)
    (tmp_path / "old").touch()
    for name in ("new", "old"):
        with pytest.raises(web.HTTPError, match="507"):
            manager.save({}, name)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_the_own_quota_is_asked_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctypes
    import struct

    from appliance.singleuser import own_quota

    numbers = struct.pack("8QI4x", 2048, 0, 1_000_000, 0, 0, 7, 0, 0, 0x3F)

    class Library:
        failed = 0

        def syscall(
            self, number: object, _fd: object, command: object, uid: object, to: object
        ) -> int:
            assert (number.value, command.value) == (443, 0x80000700)  # type: ignore[attr-defined]
            assert uid.value == os.getuid()  # type: ignore[attr-defined]
            ctypes.memmove(to, numbers, len(numbers))  # type: ignore[arg-type]
            return self.failed

    library = Library()
    monkeypatch.setattr(own_quota.ctypes, "CDLL", lambda _name: library)
    found = own_quota.own_quota(str(tmp_path))
    assert found is not None
    assert (found.key, found.used, found.limit, found.state) == (
        "disk", 1_000_000, 2048 * 1024, "ok"
    )  # fmt: skip
    numbers = bytes(len(numbers))
    assert own_quota.own_quota(str(tmp_path)) is None
    library.failed = -1
    assert own_quota.own_quota(str(tmp_path)) is None
    assert own_quota.own_quota(str(tmp_path / "missing")) is None
