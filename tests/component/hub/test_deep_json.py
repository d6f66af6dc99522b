"""JSON of many levels: what was read must also be written, now and in every list later."""

from __future__ import annotations

import pytest

from tests.fakes.hub_machine import Answer, Browser, Machine, exchange


async def _put(machine: Machine, url: str, body: str) -> Answer:
    headers = {"Content-Type": "application/json"}
    return await exchange(
        machine.places.admin_socket, "PUT", f"/hub/api/{url}", headers, body.encode()
    )


def _nested(levels: int) -> str:
    return '{"a":' * levels + "[]" + "}" * levels


@pytest.mark.parametrize("levels", [110, 930, 950, 5000])
async def test_too_many_levels_are_refused(machine: Machine, bob: Browser, levels: int) -> None:
    await machine.root("POST", "groups/g", {})
    for url, body in [
        ("groups/g/properties", _nested(levels)),
        ("users/bob/servers/lab", f'{{"user_options":{_nested(levels)}}}'),
    ]:
        refused = await _put(machine, url, body)
        assert (refused.status, refused.json["status"]) == (400, 400), url


async def test_some_levels_are_fine(machine: Machine, bob: Browser) -> None:
    await machine.root("POST", "groups/g", {})
    assert (await _put(machine, "groups/g/properties", _nested(90))).status == 200
    assert (await machine.root("GET", "groups")).status == 200
