from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.limits import Effective
from appliance.names import ServerId, ServerName, Username
from appliance.places import Places
from appliance.systemd_spawner.environment import client_id, server_environment
from tests.fakes.server_settings import make_limits, make_server_settings

ADA = ServerId(Username("ada"))
LAB = ServerId(Username("ada@example.org"), ServerName("lab-2"))


def environment(
    server: ServerId = ADA, *, limits: Effective | None = None, **changes: Any
) -> dict[str, str]:
    return server_environment(
        server,
        account="nb-ada",
        home="/home/nb-ada",
        runtime_directory="/run/appliance-user/20000",
        settings=make_server_settings(**changes),
        places=Places.installed(),
        limits=limits,
    )


def test_a_default_server_has_jupyterhubs_variables() -> None:
    found = environment()
    assert found["JUPYTERHUB_SERVICE_PREFIX"] == "/user/ada/"
    assert found["JUPYTERHUB_CLIENT_ID"] == "jupyterhub-user-ada"
    assert found["JUPYTERHUB_OAUTH_CALLBACK_URL"] == "/user/ada/oauth_callback"
    assert found["JUPYTERHUB_API_URL"] == "http://127.0.0.1:80/hub/api"
    assert found["JUPYTERHUB_ACTIVITY_URL"] == "http://127.0.0.1:80/hub/api/users/ada/activity"
    assert json.loads(found["JUPYTERHUB_OAUTH_ACCESS_SCOPES"]) == [
        "access:servers!server=ada/",
        "access:servers!user=ada",
    ]


def test_a_named_server_below_a_base_url_has_its_own_places() -> None:
    found = environment(LAB, base_url="/jupyter/", http_port=8000)
    assert found["JUPYTERHUB_SERVICE_PREFIX"] == "/jupyter/user/ada@example.org/lab-2/"
    assert found["JUPYTERHUB_CLIENT_ID"] == "jupyterhub-user-ada%40example.org-lab-2"
    assert found["JUPYTERHUB_API_URL"] == "http://127.0.0.1:8000/jupyter/hub/api"
    assert found["JUPYTERHUB_SERVER_NAME"] == "lab-2"


@pytest.mark.parametrize(
    ("address", "host"),
    [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"),  # noqa: S104
     ("::", "127.0.0.1"), ("192.0.2.1", "192.0.2.1"),
     ("2001:db8::1", "[2001:db8::1]")],
)  # fmt: skip
def test_scripts_reach_the_api_where_the_proxy_listens(address: str, host: str) -> None:
    assert environment(http_address=address)["JUPYTERHUB_API_URL"] == f"http://{host}:80/hub/api"


@pytest.mark.parametrize(("timeout", "interval"), [(3600, "300"), (100, "25"), (10, "5")])
def test_activity_is_told_well_before_a_server_counts_as_idle(timeout: int, interval: str) -> None:
    assert environment(culling_timeout=timeout)["JUPYTERHUB_ACTIVITY_INTERVAL"] == interval


def test_limits_are_told_only_if_there_are_any() -> None:
    limited = environment(limits=make_limits(memory="1G", cpu=1.5, memory_guarantee="256M"))
    assert (limited["MEM_LIMIT"], limited["CPU_LIMIT"]) == ("1073741824", "1.5")
    assert limited["MEM_GUARANTEE"] == str(256 * 2**20)
    assert "CPU_LIMIT" not in environment(limits=make_limits())
    assert not {"MEM_LIMIT", "CPU_LIMIT", "MEM_GUARANTEE"} & environment().keys()


def test_kernels_are_forked_only_where_they_can_be() -> None:
    assert environment()["APPLIANCE_KERNEL_SOCKET"] == "/run/appliance/preload/kernel.sock"
    assert "APPLIANCE_KERNEL_SOCKET" not in environment(preload_kernels=False)
    assert "APPLIANCE_KERNEL_SOCKET" not in environment(servers_program="jupyterhub-singleuser")
    assert "APPLIANCE_KERNEL_SOCKET" in environment(preload_servers=False)


def test_a_trial_has_no_preload_daemons(tmp_path: Path) -> None:
    found = server_environment(
        ADA,
        account="ada",
        home="/home/ada",
        runtime_directory="/run/x",
        settings=make_server_settings(),
        places=Places.of_trial(tmp_path),
    )
    assert "APPLIANCE_KERNEL_SOCKET" not in found


def test_extensions_are_told_if_any_are_set() -> None:
    assert "APPLIANCE_EXTENSIONS" not in environment()
    found = environment(servers_extensions={"jupyter_lsp": True, "nbdime": False})
    assert json.loads(found["APPLIANCE_EXTENSIONS"]) == {"jupyter_lsp": True, "nbdime": False}


def test_busy_kernels_count_as_activity_unless_told_otherwise() -> None:
    assert environment()["APPLIANCE_COUNT_BUSY"] == "1"
    assert environment(culling_busy_kernels=True)["APPLIANCE_COUNT_BUSY"] == "0"
    assert environment(culling_terminals=False)["APPLIANCE_COUNT_TERMINALS"] == "0"


def test_different_servers_have_different_client_ids() -> None:
    first = ServerId(Username("ada"), ServerName("b"))
    second = ServerId(Username("ada@b"))
    assert client_id(first) != client_id(second)


def test_our_proxy_has_the_static_files_of_all_servers_at_one_address() -> None:
    assert environment(base_url="/b/")["APPLIANCE_STATIC_URL"] == "/b/hub/static/"
    assert "APPLIANCE_STATIC_URL" not in environment(proxy_program="configurable-http-proxy")
