from __future__ import annotations

from typing import Any

import pytest

from appliance.names import ServerId, ServerName, Username
from appliance.places import Places
from appliance.systemd_spawner.properties import (
    INFINITY,
    denied_addresses,
    limit_properties,
    memory_high,
    service_properties,
)
from appliance.systemd_spawner.settings import ServerSettings
from appliance.systemd_spawner.starter import runtime_directory
from tests.fakes.server_settings import make_limits, make_server_settings

MIB = 2**20


def limits(**changes: Any) -> dict[str, Any]:
    return {item.name: item.value for item in limit_properties(make_limits(**changes))}


def service(settings: ServerSettings | None = None) -> dict[str, Any]:
    properties = service_properties(
        ServerId(Username("ada")),
        account="nb-ada",
        home="/home/nb-ada",
        command=["/opt/appliance/user/bin/python", "-I"],
        environment={"HOME": "/home/nb-ada"},
        credential="/run/appliance/credentials/x",
        socket_descriptor=7,
        runtime_directory="appliance-user/20000",
        denied_addresses=["169.254.169.254", "fd00:ec2::254"],
        settings=settings or make_server_settings(),
        limits=make_limits(),
        places=Places.installed(),
    )
    names = [item.name for item in properties]
    assert len(names) == len(set(names))
    return {item.name: item.value for item in properties}


def test_limits_are_in_systemds_units() -> None:
    found = limits(memory="1000M", cpu=1.5, tasks=64)
    assert found["MemoryMax"] == 1000 * MIB
    assert found["MemorySwapMax"] == 0
    assert found["CPUQuotaPerSecUSec"] == 1_500_000
    assert found["TasksMax"] == 64
    assert (found["CPUWeight"], found["IOWeight"], found["MemoryLow"]) == (100, 100, 0)


def test_weights_swap_and_guarantees_are_passed_on() -> None:
    found = limits(
        memory="1000M", swap="64M", cpu_weight=200, io_weight=50, memory_guarantee="256M"
    )
    assert found["MemorySwapMax"] == 64 * MIB
    assert (found["CPUWeight"], found["IOWeight"]) == (200, 50)
    assert found["MemoryLow"] == 256 * MIB
    # Of what is guaranteed, nothing can be taken back.
    assert limits(memory="400M", memory_guarantee="1G")["MemoryLow"] == 300 * MIB


def test_no_limit_is_infinity() -> None:
    found = limits(cpu=None, tasks=None)
    names = ("CPUQuotaPerSecUSec", "TasksMax")
    assert {found[name] for name in names} == {INFINITY}


@pytest.mark.parametrize("limit", [64 * MIB, 200 * MIB, 2**30, 2**40])
def test_linux_slows_allocations_down_only_close_below_the_limit(limit: int) -> None:
    gap = limit - memory_high(limit)
    assert 0 < gap <= 8 * MIB
    assert gap <= limit / 50


def test_only_the_own_home_is_there_and_writable() -> None:
    found = service()
    assert found["ProtectHome"] == "tmpfs"
    assert [bind[:3] for bind in found["BindPaths"]] == [("/home/nb-ada", "/home/nb-ada", False)]
    assert found["ProtectSystem"] == "strict"
    assert found["ReadWritePaths"] == ["/home/nb-ada", "-/srv/appliance/classes"]


def test_of_the_appliances_sockets_only_the_proxys_is_seen() -> None:
    found = service()
    assert found["TemporaryFileSystem"] == [
        ("/run/appliance", "ro"),
        ("/dev/shm", f"mode=1777,nosuid,nodev,size={make_limits().memory // 2}"),
    ]
    binds = [bind[0] for bind in found["BindReadOnlyPaths"]]
    assert binds == ["/run/appliance/proxy", "/run/appliance/preload"]
    # A directory that isn't there is no reason not to start.
    assert all(bind[2] for bind in found["BindReadOnlyPaths"])
    assert found["InaccessiblePaths"] == [
        "-/etc/appliance",
        "-/var/lib/appliance",
        "-/run/dbus/system_bus_socket",
    ]


def test_authorities_are_shown_where_servers_are_told_of_them() -> None:
    found = service(make_server_settings(network_ca_file="/etc/ssl/school-ca.pem"))
    assert found["BindReadOnlyPaths"][-1] == (
        "/var/lib/appliance/rendered/authorities.pem",
        "/run/appliance/authorities.pem",
        True,
        0,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"preload_servers": False, "preload_kernels": False},
        {"servers_program": "jupyterhub-singleuser"},
    ],
)
def test_whoever_cannot_be_forked_does_not_see_the_preload_daemons(
    settings: dict[str, Any],
) -> None:
    found = service(make_server_settings(**settings))
    assert [bind[0] for bind in found["BindReadOnlyPaths"]] == ["/run/appliance/proxy"]


def test_the_user_gains_no_privilege() -> None:
    found = service()
    assert found["NoNewPrivileges"] is True
    assert found["CapabilityBoundingSet"] == 0
    assert found["RestrictNamespaces"] == 0
    assert (found["User"], found["Group"]) == ("nb-ada", "nb-ada")


def test_metadata_addresses_are_denied_by_exact_address() -> None:
    assert service()["IPAddressDeny"] == [
        (2, bytes([169, 254, 169, 254]), 32),
        (10, bytes.fromhex("fd000ec2000000000000000000000254"), 128),
    ]


def test_an_address_that_serves_names_is_not_denied() -> None:
    assert denied_addresses("nameserver 127.0.0.53\n") == ["169.254.169.254", "fd00:ec2::254"]
    assert denied_addresses("# x\nnameserver 169.254.169.254\nnameserver\n") == ["fd00:ec2::254"]


def test_a_start_has_the_configured_time() -> None:
    settings = make_server_settings(servers_start_timeout=90)
    assert service(settings)["TimeoutStartUSec"] == 90_000_000


def test_no_secret_is_in_a_property_that_anybody_can_read() -> None:
    assert service()["LoadCredential"] == [("token", "/run/appliance/credentials/x")]
    assert not any("TOKEN" in entry.upper() for entry in service()["Environment"])


def test_kernels_sockets_fit_into_the_runtime_directory() -> None:
    longest = ServerId(Username("a" * 48), ServerName("b" * 30))
    path = f"/run/{runtime_directory(longest, 59_999)}/kernel-{'0' * 36}-ipc-5"
    assert len(path) <= 107
    other = ServerId(Username("a" * 48), ServerName("c" * 30))
    assert runtime_directory(longest, 1) != runtime_directory(other, 1)
