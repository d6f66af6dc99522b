"""Whom servers and kernels trust that find TLS contexts made already."""

from __future__ import annotations

import ssl

import pytest

from appliance.preload import server
from appliance.preload.authorities import variables_read


def test_a_context_that_was_made_is_found() -> None:
    made = ssl.create_default_context()
    assert variables_read() == {"SSL_CERT_DIR", "SSL_CERT_FILE"}
    del made


@pytest.mark.parametrize(("read", "reason"), [({"SSL_CERT_FILE"}, "SSL_CERT_FILE"), (set(), "")])
def test_a_server_starts_cold_only_if_its_authorities_come_too_late(
    monkeypatch: pytest.MonkeyPatch, read: set[str], reason: str
) -> None:
    monkeypatch.setattr(server, "_read", read)
    told = server.refuses([], {"SSL_CERT_FILE": "/srv/school.pem", "HTTPS_PROXY": "http://x:1"})
    assert told.partition(" is set")[0] == reason
