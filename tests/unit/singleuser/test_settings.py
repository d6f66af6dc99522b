"""The environment that a server needs, and what it says when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.singleuser.settings import SettingsError, read_settings


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text("secret\n")
    return {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "JUPYTERHUB_USER": "a@b.c",
        "JUPYTERHUB_SERVER_NAME": "lab2",
        "JUPYTERHUB_SERVICE_PREFIX": "/base/user/a@b.c/lab2/",
        "JUPYTERHUB_BASE_URL": "/base/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-a%40b.c-lab2",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:80/base/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": "http://127.0.0.1:80/base/hub/api/users/a@b.c/activity",
        "APPLIANCE_API_SOCKET": "/run/appliance/proxy/api.sock",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=a@b.c/lab2"]',
    }


def test_settings_are_read(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    assert settings.token == "secret"
    assert settings.api_path == "/base/hub/api"
    assert settings.activity_path == "/base/hub/api/users/a@b.c/activity"
    assert settings.callback_path == "/base/user/a@b.c/lab2/oauth_callback"
    assert settings.hub_prefix == "/base/hub/"
    assert settings.cookie_name == "jupyterhub-user-a%40b.c-lab2"
    assert settings.access_scopes == {"access:servers!server=a@b.c/lab2"}
    assert (settings.front_end, settings.count_busy) == ("lab", True)


def test_every_problem_is_told_at_once(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").unlink()
    del environ["JUPYTERHUB_USER"]
    environ["JUPYTERHUB_SERVICE_PREFIX"] = "user"
    environ["JUPYTERHUB_OAUTH_ACCESS_SCOPES"] = "access"
    environ["JUPYTERHUB_ACTIVITY_INTERVAL"] = "soon"
    environ["APPLIANCE_FRONT_END"] = "rstudio"
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    lines = str(caught.value).splitlines()
    names = ["JUPYTERHUB_USER", "SERVICE_PREFIX", "SCOPES", "INTERVAL", "FRONT_END", "token"]
    assert len(lines) == len(names)
    assert all(any(name in line for line in lines) for name in names)


def test_cookies_die_with_the_servers_token(environ: dict[str, str], tmp_path: Path) -> None:
    first = read_settings(environ).cookie_secret
    assert first == read_settings(environ).cookie_secret
    (tmp_path / "token").write_text("another")
    assert first != read_settings(environ).cookie_secret


def test_extensions_are_switched_by_name(environ: dict[str, str]) -> None:
    assert read_settings(environ).extensions == {}
    environ["APPLIANCE_EXTENSIONS"] = '{"nbgitpuller": false, "jupyter_lsp": true}'
    assert read_settings(environ).extensions == {"nbgitpuller": False, "jupyter_lsp": True}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": "yes"}', "true"])
def test_switches_that_are_none_are_refused(environ: dict[str, str], text: str) -> None:
    environ["APPLIANCE_EXTENSIONS"] = text
    with pytest.raises(SettingsError, match="APPLIANCE_EXTENSIONS must be a JSON object"):
        read_settings(environ)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"APPLIANCE_PRELOADED": "1"}, "preloaded"),
        ({"APPLIANCE_COLD_START": "it is\n  not running"}, "cold: it is not running"),
        ({"APPLIANCE_COLD_START": "x" * 500}, "cold: " + "x" * 200),
    ],
    ids=["plain", "preloaded", "cold", "long reason"],
)
def test_how_the_server_was_started_is_one_line(
    environ: dict[str, str], variables: dict[str, str], expected: str
) -> None:
    assert read_settings(environ | variables).how_started == expected
