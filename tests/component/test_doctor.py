"""The doctor on its way through real nginx, hub and server, whole and with one thing broken."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.cli.doctor import text_of
from appliance.doctor import walk
from appliance.doctor.hub_layers import account_files
from appliance.doctor.report import Check, Report, State
from appliance.doctor.system import System
from appliance.names import CHECK_USER, ServerId
from appliance.proxy.machine import nginx_text
from appliance.rollout.render import render_all, write_rendered
from tests.fakes.whole import Whole, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES = list(walk.LAYERS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with whole(tmp_path_factory.mktemp("whole") / "trial") as running:
        places = running.nginx.places
        files = render_all(running.config, places, nginx_text=nginx_text)
        conf = (places.rendered / "nginx.conf").read_text()
        write_rendered(files, places, source=f"http:\n  port: {running.config.http.port}\n")
        (places.rendered / "nginx.conf").write_text(conf)
        yield running


async def examined(appliance: Whole) -> list[Check]:
    """Beside the hub, which is in this process, too."""
    return await asyncio.to_thread(
        walk.go, appliance.nginx.places, System(), fixes=False, tell=lambda _: None
    )


def states(checks: list[Check]) -> dict[str, State]:
    return {one.name: one.state for one in checks}


async def test_a_healthy_appliance_is_gone_through_to_the_kernel(appliance: Whole) -> None:
    checks = await examined(appliance)
    text = text_of(Report(checks))
    assert states(checks) == dict.fromkeys(NAMES, State.OK), text
    assert "6*7 is 42" in text
    assert text.endswith("All is well.")


async def test_nothing_is_left_of_it(appliance: Whole) -> None:
    await examined(appliance)
    assert appliance.hub
    users = appliance.hub._hub.users
    assert users.get(CHECK_USER).state == "locked"
    assert ServerId(CHECK_USER) not in await appliance.spawner.running()
    assert users.counts().total == 0


async def test_a_hub_that_is_down_is_named_and_not_the_proxy(appliance: Whole) -> None:
    await appliance.stop_hub()
    appliance.nginx.places.admin_socket.rename(appliance.nginx.places.run / "away")
    try:
        found = states(await examined(appliance))
    finally:
        (appliance.nginx.places.run / "away").rename(appliance.nginx.places.admin_socket)
        await appliance.start_hub()
    assert found["proxy"] is State.OK
    assert found["hub"] is State.FAILED
    assert found["log-in"] is found["kernel"] is State.NOT_TRIED


async def test_a_page_that_is_not_ours_is_another_program(appliance: Whole, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            writer.close()

        server = await asyncio.start_server(answer, sock=other)
        hub_json = appliance.nginx.places.rendered / "hub.json"
        text = hub_json.read_text()
        hub_json.write_text(
            text.replace(f'"port": {appliance.config.http.port}', f'"port": {port}')
        )
        try:
            checks = await examined(appliance)
        finally:
            hub_json.write_text(text)
            server.close()
    broken = next(one for one in checks if one.state is State.FAILED)
    assert broken.name == "proxy"
    assert broken.summary == f"port {port} is taken by another program"
    assert "stop" in broken.mend


async def test_a_database_that_was_made_anew_is_told(appliance: Whole) -> None:
    accounts = account_files(appliance.nginx.places)
    rows = [
        {"user": "ada", "name": "nb-ada", "uid": 60000, "state": "ready"},
        {"user": CHECK_USER, "name": "nb-check", "uid": 60001, "state": "ready"},
        {"user": "gone", "name": "nb-gone", "uid": 60002, "state": "retired"},
    ]
    accounts.parent.mkdir(parents=True, exist_ok=True)
    accounts.write_text(json.dumps({"accounts": rows}))
    try:
        checks = await examined(appliance)
    finally:
        accounts.unlink()
    broken = next(one for one in checks if one.state is State.FAILED)
    assert (broken.name, broken.summary) == ("hub", "the database knows nobody")
    assert "accounts of people on this machine: 1;" in broken.why
    assert "restore" in broken.mend


async def test_a_database_that_is_damaged_is_the_hubs_fault(appliance: Whole) -> None:
    path = appliance.nginx.places.database
    away = path.with_name("away")
    path.rename(away)
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))
    try:
        checks = await examined(appliance)
    finally:
        path.unlink()
        away.rename(path)
    broken = next(one for one in checks if one.state is State.FAILED)
    assert (broken.name, broken.summary) == ("hub", "the database is damaged")


async def test_a_python_that_cannot_run_is_the_servers_fault(appliance: Whole) -> None:
    link = appliance.nginx.places.software / "user"
    target = link.readlink()
    link.unlink()
    link.symlink_to("/nowhere")
    try:
        checks = await examined(appliance)
    finally:
        link.unlink()
        link.symlink_to(target)
    broken = next(one for one in checks if one.state is State.FAILED)
    assert (broken.name, broken.summary) == ("server", "everybody's Python can't be run")
    assert "installer" in broken.mend
    assert states(checks)["kernel"] is State.NOT_TRIED


async def test_a_kernel_that_answers_wrongly_is_named(
    appliance: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(*_: object) -> str:
        return "41"

    monkeypatch.setattr("appliance.doctor.server_layers._compute", wrong)
    checks = await examined(appliance)
    broken = next(one for one in checks if one.state is State.FAILED)
    assert (broken.name, broken.summary) == ("kernel", "the kernel says that 6*7 is '41'")


async def test_a_kernel_that_only_preloading_holds_up_is_named(
    appliance: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, but for who starts one when the daemon has been started anew."""
    monkeypatch.setattr(
        "appliance.doctor.server_layers._kernel_complaint", lambda _: "No module named 'zmq'"
    )
    checks = await examined(appliance)
    broken = next(one for one in checks if one.state is State.FAILED)
    assert broken.name == "kernel"
    assert broken.summary == "kernels run only for as long as they are preloaded"
    assert "No module named 'zmq'" in broken.why
    assert "appliance env rollback" in broken.mend
