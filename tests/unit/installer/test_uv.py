"""uv: fetched once, and told of pip's settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.errors import InstallError
from installer.events import Reporter
from installer.uv import fetch_uv, uv_environment, uv_program


@pytest.mark.parametrize(
    ("pip", "uv"),
    [
        ({"PIP_INDEX_URL": "https://m/simple"}, {"UV_DEFAULT_INDEX": "https://m/simple"}),
        (
            {"PIP_EXTRA_INDEX_URL": "https://a/s https://b/s"},
            {"UV_INDEX": "https://a/s https://b/s", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ({"PIP_EXTRA_INDEX_URL": "file:///nowhere/simple"}, {}),
        ({"PIP_FIND_LINKS": "/nowhere /tmp"}, {"UV_FIND_LINKS": "/tmp"}),
        ({"PIP_CERT": "/ca.pem"}, {"SSL_CERT_FILE": "/ca.pem"}),
        ({"PIP_PROXY": "http://p:3128"}, {"ALL_PROXY": "http://p:3128"}),
        ({"PIP_TRUSTED_HOST": "a b"}, {"UV_INSECURE_HOST": "a b"}),
        (
            {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/tmp"},
            {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": "/tmp", "UV_INDEX": ""},
        ),
    ],
)
def test_settings_are_translated(pip: dict[str, str], uv: dict[str, str]) -> None:
    plain = uv_environment({}, cache=Path("/cache"))
    found = uv_environment(pip, cache=Path("/cache"))
    assert {name: value for name, value in found.items() if plain.get(name) != value} == uv


def test_uv_never_downloads_a_python() -> None:
    found = uv_environment({}, cache=Path("/cache"))
    assert found["UV_PYTHON_DOWNLOADS"] == "never"
    assert found["UV_CACHE_DIR"] == "/cache"


# What `pip download -d FOLDER` leaves: a wheel that has the program among its scripts.
_PIP = """
import sys, zipfile
words = sys.argv[1:]
if "--fail" in words:
    sys.exit("no matching distribution")
folder = words[words.index("-d") + 1]
with zipfile.ZipFile(folder + "/uv-1.0-py3-none-linux.whl", "w") as wheel:
    wheel.writestr("uv-1.0.data/scripts/uv", "#!/bin/sh")
"""


def test_uv_is_fetched_once_with_its_hash(tmp_path: Path) -> None:
    pip = [sys.executable, "-c", _PIP]
    reporter = Reporter(as_json=True)
    program = fetch_uv(tmp_path, pip=pip, reporter=reporter)
    assert program == uv_program(tmp_path)
    assert program.stat().st_mode & 0o777 == 0o755
    # The second time it is there, and pip isn't needed.
    assert fetch_uv(tmp_path, pip=["/nowhere"], reporter=reporter) == program
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_what_pip_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        fetch_uv(
            tmp_path, pip=[sys.executable, "-c", _PIP, "--fail"], reporter=Reporter(as_json=True)
        )
    assert "no matching distribution" in caught.value.why
