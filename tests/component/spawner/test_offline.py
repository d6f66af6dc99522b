"""Who has no network: kept over restarts, on servers that run and that start, and never less."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import BadRequest
from appliance.names import ServerId, Username
from appliance.systemd_spawner.offline import Offline
from appliance.systemd_spawner.properties import METADATA_ADDRESSES
from appliance.systemd_spawner.protocol import parse_request
from appliance.systemd_spawner.servers import Servers
from tests.fakes.systemd import FakeUnits

EMMY, SOPHIE = ServerId(Username("emmy")), ServerId(Username("sophie"))
TOKEN = "a" * 64
EVERYTHING = [(2, b"\0" * 4, 0), (10, b"\0" * 16, 0)]


def _denied(units: FakeUnits, server: ServerId) -> object:
    return units.properties[server.unit]["IPAddressDeny"]


def _offline(tmp_path: Path, units: FakeUnits) -> Offline:
    return Offline(
        tmp_path / "offline.json", units=units, denied_addresses=lambda: [*METADATA_ADDRESSES]
    )


def test_a_running_server_loses_its_network_and_gets_it_back(
    servers: Servers, units: FakeUnits
) -> None:
    servers.start(EMMY, TOKEN)
    servers.start(SOPHIE, TOKEN)
    usual = _denied(units, EMMY)
    assert servers.set_offline([EMMY.user]) == {"open": [], "cut": []}
    assert _denied(units, EMMY) == EVERYTHING
    assert _denied(units, SOPHIE) == usual
    assert servers.set_offline([]) == {"open": [], "cut": []}
    assert _denied(units, EMMY) == usual


def test_one_that_starts_meanwhile_has_none(servers: Servers, units: FakeUnits) -> None:
    servers.set_offline([EMMY.user])
    servers.start(EMMY, TOKEN)
    assert _denied(units, EMMY) == EVERYTHING
    assert "PrivateNetwork" not in units.properties[EMMY.unit], "so that it can come back"


def test_where_packets_are_not_filtered_it_takes_a_new_start(
    servers: Servers, units: FakeUnits
) -> None:
    units.filters_packets = False
    servers.start(EMMY, TOKEN)
    assert servers.set_offline([EMMY.user, SOPHIE.user]) == {"open": ["emmy"], "cut": []}
    servers.stop(EMMY)
    servers.start(EMMY, TOKEN)
    assert units.properties[EMMY.unit]["PrivateNetwork"] is True
    assert servers.set_offline([EMMY.user]) == {"open": [], "cut": []}
    assert servers.set_offline([]) == {"open": [], "cut": ["emmy"]}


def test_it_outlives_the_daemon(tmp_path: Path, units: FakeUnits) -> None:
    _offline(tmp_path, units).set([EMMY.user])
    again = _offline(tmp_path, units)
    assert again.includes(EMMY.user)
    assert not again.includes(SOPHIE.user)


def test_a_damaged_note_means_nobody_until_the_hub_tells(tmp_path: Path, units: FakeUnits) -> None:
    (tmp_path / "offline.json").write_text("{")
    offline = _offline(tmp_path, units)
    assert offline.includes(SOPHIE.user)
    assert offline.at_start(SOPHIE.user)
    offline.set([])
    assert not offline.includes(SOPHIE.user)


@pytest.mark.parametrize(
    "line",
    [
        b'{"verb": "set_offline"}',
        b'{"verb": "set_offline", "users": "emmy"}',
        b'{"verb": "set_offline", "users": ["Emmy"]}',
        b'{"verb": "set_offline", "users": ["../x"]}',
        b'{"verb": "set_offline", "users": [], "address": "any"}',
    ],
)
def test_it_takes_names_of_users_and_nothing_else(line: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(line)
