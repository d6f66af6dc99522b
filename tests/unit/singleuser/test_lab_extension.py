"""Our JupyterLab extension: where it is installed, what its script may do, and the key it sends."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from appliance.access.tokens import hash_secret, new_secret
from appliance.hub.classroom.lab_keys import key_of
from appliance.hub.front_end import HASHED
from appliance.singleuser.environment import LAB_EXTENSION, install_extension, prepare_environment
from appliance.singleuser.messages import lab_key

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / LAB_EXTENSION


def test_servers_and_the_hub_agree_on_the_key() -> None:
    token = new_secret()
    assert lab_key(token) == key_of(hash_secret(token))
    assert lab_key(token) != lab_key(new_secret())


def test_the_installed_script_has_its_hash_in_its_name(tmp_path: Path) -> None:
    """So the proxy serves it, and a browser keeps it until it changes."""
    install_extension(SOURCE, tmp_path)
    place = tmp_path / "@hub-appliance/classroom"
    load = json.loads((place / "package.json").read_text())["jupyterlab"]["_build"]["load"]
    assert HASHED.fullmatch(load.removeprefix("static/"))
    assert (place / load).read_bytes() == (SOURCE / "static/remoteEntry.js").read_bytes()


def test_a_changed_script_gets_another_name(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "source")
    names = []
    for number in range(2):
        script = tmp_path / "source/static/remoteEntry.js"
        script.write_text(f"{script.read_text()}// {number}\n")
        install_extension(tmp_path / "source", tmp_path / str(number))
        names.append(next((tmp_path / str(number)).rglob("remoteEntry.*.js")).name)
    assert len(set(names)) == 2


def test_an_environment_with_our_package_has_the_extension(tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3.11/site-packages"
    shutil.copytree(SOURCE, packages / LAB_EXTENSION)
    (tmp_path / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    for _ in range(2):
        prepare_environment(tmp_path)
    found = list((tmp_path / "share/jupyter/labextensions").rglob("package.json"))
    assert [one.parent.name for one in found] == ["classroom"]


def test_what_arrives_is_never_taken_for_code() -> None:
    script = (SOURCE / "static/remoteEntry.js").read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
    )
    assert not re.findall(forbidden, script)
