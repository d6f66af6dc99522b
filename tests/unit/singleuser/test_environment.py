"""What is added to the user environment: people's own packages are seen, Debian's are not."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path

import pytest

from appliance.singleuser.environment import prepare_environment

SHOW = "import json, site, sys; print(json.dumps([sys.path, bool(site.ENABLE_USER_SITE)]))"


@pytest.fixture
def user_env(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    venv.create(folder, with_pip=False, symlinks=True)
    prepare_environment(folder)
    return folder


def _show(user_env: Path, home: Path, *flags: str) -> tuple[list[str], bool]:
    done = subprocess.run(
        [user_env / "bin/python", *flags, "-c", SHOW],
        env={"HOME": str(home)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths, enabled = json.loads(done.stdout)
    return paths, enabled


def _site_packages(home: Path) -> Path:
    folder = home / f".local/lib/python{'.'.join(_version())}/site-packages"
    folder.mkdir(parents=True)
    return folder


def _version() -> list[str]:
    import sys

    return [str(number) for number in sys.version_info[:2]]


def test_kernels_see_what_users_install_and_servers_do_not(user_env: Path, tmp_path: Path) -> None:
    mine = str(_site_packages(tmp_path / "home"))
    kernel, enabled = _show(user_env, tmp_path / "home")
    assert (mine in kernel, enabled) == (True, True)
    server, enabled = _show(user_env, tmp_path / "home", "-I")
    assert (mine in server, enabled) == (False, False)


def test_packages_of_the_distribution_stay_hidden(user_env: Path, tmp_path: Path) -> None:
    paths, _ = _show(user_env, tmp_path)
    packages = [path for path in paths if path.endswith(("-packages", "-packages/"))]
    assert packages == [str(next(user_env.glob("lib/python3*/site-packages")))]


def test_running_it_again_changes_nothing_and_keeps_the_admins_file(user_env: Path) -> None:
    settings = user_env / "share/jupyter/lab/settings"
    (settings / "overrides.json").write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in user_env.rglob("*") if path.is_file()}
    prepare_environment(user_env)
    after = {path: path.stat().st_mtime_ns for path in user_env.rglob("*") if path.is_file()}
    assert before == after
    defaults = json.loads((settings / "overrides.d/appliance.json").read_text())
    assert defaults["@jupyterlab/apputils-extension:sanitizer"] == {"allowCommandLinker": False}
