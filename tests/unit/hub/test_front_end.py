"""Which files a front end needs first, from the script that its builder wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from appliance.config.schema import FrontEnd
from appliance.hub.front_end import FrontEndFiles, first_chunks

HASH = "0123456789abcdef"
# The parts of a script of JupyterLab 4.6 that matter, shortened.
SCRIPT = (
    "async function n(){return(await Promise.all([t.e(1),t.e(2),t.e(3)]).then(t.bind(t,81220)))}"
    '__webpack_require__.u=e=>""+(1===e?"jlab_core":e)+"."+({1:"HASH",2:"HASH",5:"HASH",6:"HASH",'
    '7:"HASH"})[e]+".js?v="+({1:"HASH"})[e],remotesLoadingData={chunkMapping:{}},'
    'consumesLoadingData={chunkMapping:{3:["70"],2:[80,"81"],6:["82"]},moduleIdToConsumeDataMapping'
    ':{70:{shareScope:"default",import:"x",fallback:()=>Promise.all([__webpack_require__.e(5)])'
    ',treeShakingMode:null},80:{shareScope:"default",fallback:()=>__webpack_require__.e(6)'
    ',treeShakingMode:null},82:{shareScope:"default",fallback:()=>__webpack_require__.e(2)'
    ',treeShakingMode:null},83:{shareScope:"default",fallback:()=>__webpack_require__.e(7)'
    ",treeShakingMode:null}}}"
).replace("HASH", HASH)


def test_chunks_are_followed_through_the_modules_that_they_share() -> None:
    wanted = ["jlab_core", "2", "6", "5"]
    assert sorted(first_chunks(SCRIPT)) == sorted(f"{name}.{HASH}.js" for name in wanted)


@pytest.mark.parametrize("script", ["", "alert(1)", SCRIPT[:200], SCRIPT[100:]])
def test_a_script_that_reads_otherwise_tells_nothing(script: str) -> None:
    assert first_chunks(script) == []


def _environment(folder: Path, *names: str) -> Path:
    static = folder / "share/jupyter/lab/static"
    static.mkdir(parents=True)
    (static / f"main.{HASH}.js").write_text(SCRIPT)
    for name in names:
        (static / name).write_text(name)
    return folder


def test_only_what_is_there_is_told_and_the_environment_in_use_counts(tmp_path: Path) -> None:
    files = FrontEndFiles(tmp_path, FrontEnd.LAB)
    assert files.first() == ()
    _environment(tmp_path / "environments/user-1", f"2.{HASH}.js")
    (tmp_path / "user").symlink_to("environments/user-1")
    assert files.first() == (f"lab/main.{HASH}.js?v={HASH}", f"lab/2.{HASH}.js?v={HASH}")
    _environment(tmp_path / "environments/user-2", f"jlab_core.{HASH}.js")
    (tmp_path / "user").unlink()
    (tmp_path / "user").symlink_to("environments/user-2")
    assert files.first()[1] == f"lab/jlab_core.{HASH}.js?v={HASH}"


def test_files_of_the_environment_before_are_found_for_servers_that_still_run(
    tmp_path: Path,
) -> None:
    _environment(tmp_path / "environments/user-1", f"old.{HASH}.js")
    _environment(tmp_path / "environments/user-2")
    (tmp_path / "user").symlink_to("environments/user-2")
    (tmp_path / "environments/secret.0123456789abcdef.js").write_text("not to be had")
    files = FrontEndFiles(tmp_path, FrontEnd.LAB)
    found = files.find(f"old.{HASH}.js")
    assert found
    assert found.read_text() == f"old.{HASH}.js"
    for name in (f"none.{HASH}.js", "index.html", f"../../../../secret.{HASH}.js", "..", ""):
        assert files.find(name) is None, name


@pytest.mark.parametrize("front_end", list(FrontEnd))
def test_the_front_ends_that_are_installed_are_understood(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    """When a new version's script reads otherwise, this says so."""
    if not (Path(sys.prefix) / "share/jupyter/lab/static").is_dir():
        pytest.skip("this environment has no JupyterLab")
    (tmp_path / "user").symlink_to(sys.prefix)
    found = FrontEndFiles(tmp_path, front_end).first()
    assert found[0].startswith(f"{front_end}/main.")
    assert any("_core." in name for name in found)
    assert 20 < len(found) < 80, json.dumps(found)
    assert len(set(found)) == len(found)
