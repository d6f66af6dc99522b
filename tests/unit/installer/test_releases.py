"""Which release is taken; the way to the network that is kept; when environments are rebuilt."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config.rendered import dump_json
from appliance.config.schema import Config
from appliance.errors import ApplianceError, InstallError
from appliance.findings import read_findings
from appliance.network import authorities_text, outgoing_environment
from appliance.places import Places
from appliance.upkeep import updates
from installer import rebuild, releases
from installer.first_network import first_network_settings
from installer.rebuild import is_of_another_python, online_environment, repair_kernels
from installer.releases import Wanted, available, fetch, is_newer, newest, take_bootstrap
from tests.fakes.bootstrap import bootstrap


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return replace(Places.installed(), state=tmp_path / "var", settings=tmp_path / "etc")


def _config(**sections: object) -> Config:
    return Config.model_validate_json(json.dumps(sections))


def _wheel(folder: Path, version: str, *files: str) -> Path:
    path = folder / f"hub_appliance-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        info = f"hub_appliance-{version}.dist-info"
        out.writestr(f"{info}/METADATA", f"Name: hub-appliance\nVersion: {version}\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        for name in files:
            out.writestr(name, "print('bootstrap')\n")
    return path


@pytest.mark.parametrize(
    ("pin", "expected"),
    [("", "2.0.0"), ("1", "1.10.0"), ("1.4", "1.4.2"), ("1.1", "1.1"), ("3", "")],
)
def test_the_newest_that_the_pin_allows(pin: str, expected: str) -> None:
    assert newest(["1.4.2", "1.10.0", "2.0.0", "1.1", "1.4.0"], pin) == expected


def test_versions_are_compared_as_such() -> None:
    assert is_newer("1.10", "1.9")
    assert is_newer("1.0", "1.0rc1")
    assert not is_newer("", "1.0")
    assert not is_newer("nonsense", "1.0")


def test_a_folder_is_looked_through_without_a_network(places: Places, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    _wheel(shelf, "7.1.0", "installer/bootstrap.py")
    _wheel(shelf, "7.2.0rc1")
    stable = _config(updates={"source": str(shelf)})
    beta = _config(updates={"source": str(shelf), "channel": "beta"})
    assert available(stable, places, Wanted()) == ["7.1.0"]
    assert newest(available(beta, places, Wanted()), "") == "7.2.0rc1"
    wheel = fetch(Wanted(version="7.1.0"), stable, places, tmp_path / "fetched")
    assert take_bootstrap(wheel, tmp_path).read_text() == "print('bootstrap')\n"


def test_a_file_that_is_damaged_is_told(places: Places, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "7.1.0", "installer/bootstrap.py")
    whole = bytearray(wheel.read_bytes())
    for damaged in (whole[:-30], whole.replace(b"print", b"PRINT")):
        wheel.write_bytes(damaged)
        with pytest.raises(InstallError) as caught:
            fetch(Wanted(source=str(wheel)), _config(), places, tmp_path / "fetched")
        assert "damaged" in caught.value.why


def test_what_is_no_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        take_bootstrap(_wheel(tmp_path, "7.1.0"), tmp_path)
    assert "bootstrap.py" in caught.value.mend


def test_the_upkeep_tells_of_a_newer_release(places: Places, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    _wheel(shelf, "7.1.0")
    updates.look_for_updates(_config(updates={"source": str(shelf)}), places)
    (finding,) = read_findings(places.health)
    assert finding.summary.startswith("release 7.1.0 is there")
    assert finding.mend == "sudo appliance upgrade"


def test_switched_off_nobody_is_asked(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "_ask", lambda *_: pytest.fail("asked"))
    updates.look_for_updates(_config(updates={"check": False}), places)
    assert read_findings(places.health) == []


def test_the_first_installation_keeps_its_way_to_the_network(
    places: Places, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("a certificate")
    variables = {
        "https_proxy": "http://me:pa%3Ass@proxy.school:3128/",
        "no_proxy": "localhost,.school,bad one",
    }
    found = first_network_settings(variables, places, ca_file)
    assert found == {
        "network.proxy": "http://proxy.school:3128",
        "network.proxy_user": "me",
        "network.proxy_password": "pa:ss",
        "network.direct": "localhost,.school",
        "network.ca_file": str(places.settings / "network-ca.pem"),
    }
    assert (places.settings / "network-ca.pem").read_text() == "a certificate"
    places.config_file.touch()
    assert first_network_settings(variables, places, ca_file) == {}


def test_programs_of_root_are_told_of_proxy_and_authorities(places: Places) -> None:
    config = _config(
        network={
            "proxy": "http://proxy.school:3128",
            "proxy_user": "me",
            "proxy_password": "pa:ss",
            "direct": [".school"],
            "ca_file": "/nowhere.pem",
        }
    )
    found = outgoing_environment(config, places)
    assert found["https_proxy"] == found["HTTPS_PROXY"] == "http://me:pa%3Ass@proxy.school:3128"
    assert found["no_proxy"].endswith(",.school")
    assert found["SSL_CERT_FILE"] == str(places.rendered / "authorities.pem")
    assert outgoing_environment(Config(), places) == {}
    with pytest.raises(ApplianceError, match=r"cannot use network\.ca_file"):
        authorities_text(config)


def test_environments_are_built_anew_by_the_proxy_of_the_settings(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "installer.bootstrap", bootstrap)
    network = {
        "proxy": "http://proxy.school:3128",
        "proxy_user": "me",
        "proxy_password": "pa:ss",
        "direct": [".school"],
    }
    places.rendered.mkdir(parents=True, exist_ok=True)
    rendered = places.rendered / "hub.json"
    rendered.write_text(dump_json(_config(network=network), secrets=True))
    found = online_environment(places)
    assert found["https_proxy"] == found["HTTPS_PROXY"] == "http://me:pa%3Ass@proxy.school:3128"
    assert found["no_proxy"].endswith(",.school")
    # What can't be read is no reason not to try.
    rendered.write_text("{")
    assert "me:pa" not in online_environment(places).get("https_proxy", "")


def test_authorities_that_are_none_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")
    with pytest.raises(ApplianceError) as caught:
        authorities_text(_config(network={"ca_file": str(file)}))
    assert caught.value.why == "it holds no certificates"


def test_an_environment_of_another_python_is_found(tmp_path: Path) -> None:
    python = tmp_path / "python3.13"
    python.touch()
    link = tmp_path / "python3"
    link.symlink_to(python)
    environment = tmp_path / "hub"
    (environment / "lib/python3.11").mkdir(parents=True)
    assert is_of_another_python(environment, str(link))
    (environment / "lib/python3.13").mkdir()
    assert not is_of_another_python(environment, str(link))
    assert not is_of_another_python(tmp_path / "nothing", str(link))


def test_kernels_of_their_own_are_rebuilt_beside_the_hub(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def succeeds(*words: str) -> bool:
        asked.append(words)
        return True

    monkeypatch.setattr(rebuild, "succeeds", succeeds)
    assert not repair_kernels(places)
    (places.settings / "environments").mkdir(parents=True)
    (places.settings / "environments/data.json").write_text("{}")
    assert repair_kernels(places)
    [words] = asked
    assert words[0] == "systemd-run"
    assert "--no-block" in words
    assert words[-3:] == ("env", "repair", "--quiet")
