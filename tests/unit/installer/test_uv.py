"""pip's settings as uv understands them."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.uv import uv_environment


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
