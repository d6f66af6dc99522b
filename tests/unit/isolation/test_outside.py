from __future__ import annotations

from pathlib import Path

import pytest

from appliance.isolation import outside
from appliance.isolation.scene import Scene, Seat
from appliance.places import Places

HUBS = "jupyterhub-hub-login"


def seat(user: str, uid: int) -> Seat:
    return Seat(user, f"{user}.service", f"nb-{user}", uid, Path(f"/home/nb-{user}"), uid, uid + 1)


def scene(*cookies: str) -> Scene:
    return Scene(
        Places.installed(), seat("eve", 20000), seat("bob", 30000), "secret", "mark", 4000, 7,
        frozenset(cookies),
    )  # fmt: skip


def verdict(name: str, scene: Scene) -> str:
    return next(look for look in outside.looks() if look.name == name).see(scene)


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ({4000: 1}, ""),
        ({4000: 1, 5001: 21, 5002: 31}, ""),
        ({5001: 21, 5002: 22}, "ports 5001 5002"),
        ({5001: 21, 6000: 99}, "ports 6000"),
    ],
)
def test_a_kernel_has_one_port_and_a_server_none(
    ports: dict[int, int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = {20001: {21, 22}, 30001: {31}}
    monkeypatch.setattr(outside, "listening_ports", lambda uids: dict(ports) if uids else {})
    monkeypatch.setattr(outside, "sockets_of", sockets.__getitem__)
    assert verdict("ports: kernels", scene()) == said


def test_the_log_in_goes_to_no_server() -> None:
    assert verdict("cookies: log-in", scene("_xsrf")) == ""
    assert HUBS in verdict("cookies: log-in", scene("_xsrf", HUBS))


def test_temporary_folders_are_the_servers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        outside, "place_of", lambda seat, folder: (1 if folder == "/tmp" else seat.uid, 2)
    )
    assert verdict("temporary folders", scene()) == "/tmp is everybody's"


@pytest.mark.parametrize(("room", "is_wrong"), [((50, 100), False), ((200, 100), True)])
def test_shared_memory_is_no_more_than_the_limit(
    room: tuple[int, int], is_wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "room_of", lambda _seat, _folder: room)
    assert bool(verdict("shared memory", scene())) is is_wrong
