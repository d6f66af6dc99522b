from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.singleuser.settings import read_settings
from appliance.singleuser.stock import EX_CONFIG, arguments, stock_environment
from tests.fakes.single_user import LAUNCH_STOCK, ROOT, TOKEN, environment


def test_the_server_gets_what_it_cannot_start_without(tmp_path: Path) -> None:
    environ = environment(tmp_path, tmp_path / "api.sock", NOTIFY_SOCKET="/run/systemd/notify")
    found = stock_environment(environ, read_settings(environ))
    assert found["JUPYTERHUB_API_TOKEN"] == TOKEN
    # Its port is jupyter_server's default, the only one that it takes beside a socket.
    assert found["JUPYTERHUB_SERVICE_URL"] == "http://127.0.0.1:8888/user/ada/"
    assert found["JUPYTERHUB_ROOT_DIR"] == str(tmp_path / "home")
    assert found["JUPYTERHUB_DEFAULT_URL"] == "/lab"
    assert not {"NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY"} & found.keys()


def test_notebook_is_its_front_end_too(tmp_path: Path) -> None:
    environ = environment(tmp_path, tmp_path / "api.sock", APPLIANCE_FRONT_END="notebook")
    found = stock_environment(environ, read_settings(environ))
    assert found["JUPYTERHUB_DEFAULT_URL"] == "/tree"


def test_nothing_is_listened_to_but_the_socket(tmp_path: Path) -> None:
    found = arguments(tmp_path / "server.sock")
    assert f"--ServerApp.sock={tmp_path}/server.sock" in found
    assert "--KernelManager.transport=ipc" in found


def test_all_that_is_missing_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", LAUNCH_STOCK.format(str(ROOT))],
        env={"CREDENTIALS_DIRECTORY": str(tmp_path)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == EX_CONFIG
    assert "JUPYTERHUB_USER is not set" in done.stderr
    assert "token cannot be read" in done.stderr
