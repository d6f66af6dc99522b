"""First admins are made through root's socket, and get a link as long as they have no password."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.client.first_admins import FirstAdmins
from appliance.client.hub import HubClient
from appliance.errors import ApplianceError
from appliance.names import Username
from appliance.places import Places
from tests.fakes.hub_api import FakeHubApi

ADA = Username("ada")


@pytest.fixture
def places() -> Iterator[Places]:
    folder = Path(tempfile.mkdtemp())
    yield Places.of_trial(folder)
    shutil.rmtree(folder)


@pytest.fixture
def hub(places: Places) -> Iterator[FakeHubApi]:
    fake = FakeHubApi(places)
    yield fake
    fake.close()
    shutil.rmtree(places.run)


@pytest.fixture
def admins(hub: FakeHubApi, places: Places) -> FirstAdmins:
    assert hub.users == {}
    return FirstAdmins(HubClient.of(places))


def test_a_new_admin_gets_a_link(admins: FirstAdmins) -> None:
    assert admins.count() == 0
    (link,) = admins.ensure([ADA])
    assert link.name == ADA
    assert link.path.startswith("/hub/setup?token=")
    assert admins.count() == 1


def test_an_admin_with_a_password_is_left_alone(hub: FakeHubApi, admins: FirstAdmins) -> None:
    hub.add(ADA, admin=True)
    hub.users[ADA]["appliance"]["has_password"] = True
    assert admins.ensure([ADA]) == []
    asked = [f"{method} {path}" for method, path, _ in hub.requests]
    assert asked == ["POST /hub/api/appliance/users", "GET /hub/api/users/ada"]


def test_a_waiting_student_is_let_in_and_made_an_admin(
    hub: FakeHubApi, admins: FirstAdmins
) -> None:
    hub.add(ADA, state="waiting")
    hub.users[ADA]["appliance"]["has_password"] = True
    assert admins.ensure([ADA]) == []
    assert hub.users[ADA]["admin"]
    assert hub.users[ADA]["appliance"]["state"] == "active"


def test_a_refusal_is_told(admins: FirstAdmins) -> None:
    with pytest.raises(ApplianceError, match="is no good"):
        admins.ensure([Username("BAD")])


def test_no_hub_is_told(places: Places) -> None:
    with pytest.raises(ApplianceError, match="cannot reach the hub"):
        FirstAdmins(HubClient.of(places)).count()
