"""The addresses that people are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.places import Places
from appliance.rollout import addresses
from appliance.rollout.addresses import root_urls

INSTALLED = Places.installed()
TRIAL = Places.of_trial(Path("/t"))


def _config(address: str, port: int = 80) -> Config:
    return Config.model_validate({"http": {"address": address, "port": port}})


def test_every_address_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "own_addresses", lambda: ["192.0.2.7", "2001:db8::7"])
    assert root_urls(_config(""), INSTALLED) == ["http://192.0.2.7", "http://[2001:db8::7]"]
    assert root_urls(_config("::", 81), INSTALLED)[0] == "http://192.0.2.7:81"


def test_the_one_that_is_set() -> None:
    assert root_urls(_config("::1", 81), INSTALLED) == ["http://[::1]:81"]
    assert root_urls(_config("192.0.2.9"), TRIAL) == ["http://192.0.2.9"]


def test_a_trial_is_at_localhost() -> None:
    """One name: a browser that logged in at localhost isn't logged in at 127.0.0.1."""
    assert root_urls(_config("127.0.0.1", 8000), TRIAL) == ["http://localhost:8000"]
    assert root_urls(_config(""), TRIAL) == ["http://localhost"]
