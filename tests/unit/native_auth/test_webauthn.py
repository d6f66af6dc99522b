"""Where passkeys work: where browsers allow them."""

from __future__ import annotations

import pytest

from appliance.native_auth.webauthn import Site


@pytest.mark.parametrize(
    ("origin", "works"),
    [
        ("https://hub.example.org", True),
        ("https://hub.example.org:8443", True),
        ("http://hub.example.org", False),
        ("http://localhost", True),
        ("http://localhost:8000", True),
        ("http://hub.localhost", True),
        ("http://localhost.example.org", False),
        ("http://notlocalhost", False),
        ("https://192.0.2.7", False),
        ("http://127.0.0.1:8000", False),
        ("https://[2001:db8::1]", False),
    ],
)
def test_only_over_https_and_by_name(origin: str, works: bool) -> None:
    assert Site(origin).has_passkeys is works
