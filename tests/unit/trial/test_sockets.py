"""The directory of a trial's sockets: short, private, taken by one supervisor."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, Conflict
from appliance.names import SERVER_NAME_MAX, USERNAME_MAX, ServerId, ServerName, Username
from appliance.places import Places
from appliance.trial.sockets import TrialSockets


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    places = Places.of_trial(tmp_path)
    yield places
    shutil.rmtree(places.run, ignore_errors=True)


@pytest.mark.parametrize("folder", ["/t", "/home/somebody/with/a/very/deep/folder/" + "x" * 200])
def test_the_longest_names_fit_into_a_sockets_path(folder: str) -> None:
    longest = ServerId(Username("u" * USERNAME_MAX), ServerName("s" * SERVER_NAME_MAX))
    path = Places.of_trial(Path(folder)).server_sockets / longest.socket_path
    assert len(bytes(path)) <= 107


def test_two_folders_have_two_directories() -> None:
    folders = [Path("/home/a/appliance-trial"), Path("/home/b/appliance-trial")]
    assert len({Places.of_trial(folder).run for folder in folders}) == 2


def test_the_hub_can_be_reached_before_it_runs(places: Places) -> None:
    sockets = TrialSockets.open(places)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(places.hub_socket))
    assert set(sockets.listening) == {"hub", "admin"}
    assert places.run.stat().st_mode & 0o777 == 0o700
    assert (places.state.parent / "run").resolve() == places.run
    sockets.close(places)
    assert not places.run.exists()


def test_a_second_supervisor_is_refused(places: Places) -> None:
    sockets = TrialSockets.open(places)
    (places.run / "trial.pid").write_text("4711\n")
    with pytest.raises(Conflict, match="4711"):
        TrialSockets.open(places)
    sockets.close(places)


def test_what_a_killed_supervisor_left_is_cleared(places: Places) -> None:
    places.run.mkdir(mode=0o700)
    (places.run / "hub.sock").touch()
    (places.run / "proxy").mkdir()
    (places.run / "proxy/api.sock").touch()
    sockets = TrialSockets.open(places)
    assert list((places.run / "proxy").iterdir()) == []
    sockets.close(places)


def test_somebody_elses_directory_is_not_used(places: Places) -> None:
    places.run.mkdir(mode=0o777)
    places.run.chmod(0o777)
    with pytest.raises(ApplianceError, match="only you may enter"):
        TrialSockets.open(places)
