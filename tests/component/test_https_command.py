"""`appliance https …` and the upkeep's chore, with a real nginx that is told of changes."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.cli import https_work
from appliance.cli.errors import UsageError
from appliance.cli.https_work import Asked
from appliance.cli.output import Output
from appliance.config.edit import write_first
from appliance.config.kinds import Reload
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.errors import ApplianceError, ConfigError
from appliance.findings import Finding, Severity, read_findings
from appliance.https import chore, switching
from appliance.https.store import Store
from appliance.places import Places
from appliance.proxy.certificates import CertificateError
from appliance.rollout.apply import Applier, ApplyFailed
from appliance.rollout.health import Deadline
from tests.fakes.browser import Encrypted, send
from tests.fakes.certificates import Authority, write_pair
from tests.fakes.nginx import Proxy, proxy, rendered_text
from tests.fakes.pebble import name_server, pebble
from tests.fakes.ports import free_port

HOST = "hub.test"


class NginxServices:
    """nginx is told by a signal, as systemd does, and waited for; the hub needn't hear of HTTPS."""

    def __init__(self, nginx: Proxy) -> None:
        self.nginx = nginx
        self.told: list[Reload] = []
        self.broken = False

    def carry_out(self, reload: Reload, deadline: Deadline, *, restart_proxy: bool) -> list[str]:
        self.told.append(reload)
        if self.broken:
            self.broken = False
            raise ApplianceError("cannot reload the proxy", why="it ended with 1")
        if Reload.PROXY in reload:
            self.nginx.reload()
        return []

    def make_ready(self, deadline: Deadline) -> None:
        """Nothing is left of a failed attempt."""

    def is_stopped(self) -> bool:
        return False


class Rig:
    """A real nginx, with a stand-in for the hub behind it."""

    def __init__(self, nginx: Proxy, services: NginxServices, port: int) -> None:
        self.nginx, self.services, self.port = nginx, services, port
        self.places: Places = nginx.places

    @property
    def config(self) -> Config:
        return read_in_force(self.places)

    async def do(self, command: Callable[..., Any], *words: Any, **more: Any) -> Any:
        return await asyncio.to_thread(command, self.places, Output(True), *words, **more)

    def finding(self) -> Finding:
        return next(one for one in read_findings(self.places.health) if one.topic == "certificate")

    async def serial(self, trusted: str) -> int:
        """Of the certificate that nginx shows, which must be one that is trusted."""
        context = ssl.create_default_context(cadata=trusted)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=HOST
        )
        found = int(writer.get_extra_info("peercert")["serialNumber"], 16)
        writer.close()
        return found


@pytest_asyncio.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with proxy(tmp_path / "trial") as nginx:
        nginx.start_hub()
        places = nginx.places
        services = NginxServices(nginx)

        def text(config: Config, places: Places) -> str:
            return rendered_text(Path(nginx.program), config, places, nginx.static)

        def make(places: Places) -> Applier:
            return Applier(places=places, services=services, nginx_text=text, apply_seconds=30)

        for module in (https_work, switching, chore):
            monkeypatch.setattr(module, "make_applier", make)
        http = nginx.config.http
        write_first(places, {"http.port": str(http.port), "http.address": http.address})
        await asyncio.to_thread(make(places).reload)
        services.told.clear()
        yield Rig(nginx, services, free_port())


async def test_own_ca_and_off_again(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.do(https_work.own_ca, [f"https://{HOST.upper()}/"], port=rig.port, new=False)
    said = json.loads(capsys.readouterr().out)
    assert (said["names"], said["url"]) == ([HOST], f"https://{HOST}:{rig.port}/")
    assert rig.services.told == [Reload.PROXY]
    trusted = Store(rig.places).authority_file.read_text()
    target = Encrypted(("127.0.0.1", rig.port), ssl.create_default_context(cadata=trusted), HOST)
    assert (await send(target, "/hub/login")).status == 200
    assert (await send(rig.nginx.address, "/hub/ca.crt")).body.decode() == trusted
    assert await rig.do(https_work.status) == 0
    assert rig.finding().severity is Severity.OK
    await rig.do(https_work.off)
    assert (await send(rig.nginx.address, "/hub/login")).status == 200
    assert not read_findings(rig.places.health)


async def test_renewal_by_hand_and_by_the_upkeep(rig: Rig) -> None:
    await rig.do(https_work.own_ca, [HOST], port=rig.port, new=False)
    trusted = Store(rig.places).authority_file.read_text()
    first = await rig.serial(trusted)
    await rig.do(https_work.renew)
    second = await rig.serial(trusted)
    Store(rig.places).pair_file(rig.config.https.mode).unlink()
    await asyncio.to_thread(chore.keep_certificate, rig.config, rig.places)
    assert len({first, second, await rig.serial(trusted)}) == 3
    assert rig.finding().severity is Severity.OK


async def test_new_file_is_taken_and_a_broken_one_is_told(rig: Rig, tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = write_pair(tmp_path, authority.issue([HOST]))
    await rig.do(https_work.files, (str(certificate), str(key)), [], port=rig.port)
    assert rig.config.https.names == [HOST]
    first = await rig.serial(authority.pem)
    write_pair(tmp_path, authority.issue([HOST]))
    await asyncio.to_thread(chore.keep_certificate, rig.config, rig.places)
    second = await rig.serial(authority.pem)
    assert second != first
    told = len(rig.services.told)
    key.write_text("nonsense")
    await asyncio.to_thread(chore.keep_certificate, rig.config, rig.places)
    assert len(rig.services.told) == told
    assert rig.finding().severity is Severity.WARNING
    assert "it is not PEM" in rig.finding().why
    assert await rig.serial(authority.pem) == second
    with pytest.raises(CertificateError, match="it is not PEM"):
        await rig.do(https_work.renew)


async def test_lets_encrypt_and_a_change_that_fails(rig: Rig, tmp_path: Path) -> None:
    with (
        name_server(tmp_path) as names,
        pebble(tmp_path / "acme", names, http_port=rig.nginx.config.http.port) as acme,
    ):
        asked = Asked([HOST], "admin@school.example", acme.directory, str(acme.authority_file))
        await rig.do(https_work.letsencrypt, asked, port=rig.port, preflight=False)
        root = acme.root()
        first = await rig.serial(root)
        with pytest.raises(ApplianceError, match=r"the name hub\.test has no address") as caught:
            await rig.do(https_work.letsencrypt, asked, port=0, preflight=True)
        assert "A record" in caught.value.mend
        # A certificate for another name, which the proxy then doesn't take.
        rig.services.broken = True
        other = Asked(["other.test"], "", "", "")
        with pytest.raises(ApplyFailed, match="it ended with 1"):
            await rig.do(https_work.letsencrypt, other, port=0, preflight=False)
        assert rig.config.https.names == [HOST]
        assert await rig.serial(root) == first
        names.set_default("127.0.0.9")
        with pytest.raises(ApplianceError, match="could not check it"):
            await rig.do(https_work.renew)
        await asyncio.to_thread(chore.keep_certificate, rig.config, rig.places)
        assert rig.finding().severity is Severity.WARNING
        assert await rig.serial(root) == first


async def test_what_is_wrong_is_told_before_anything_is_changed(rig: Rig, tmp_path: Path) -> None:
    nothing = Asked([], "", "", "")
    refused = [
        (https_work.letsencrypt, (nothing,), UsageError, "no --domain"),
        (https_work.letsencrypt, (Asked([HOST], "", "", ""),), UsageError, "no --email"),
    ]
    for command, words, kind, said in refused:
        with pytest.raises(kind, match=said):
            await rig.do(command, *words, port=rig.port, preflight=False)
    for name in ("*.a.test", "192.0.2.1", "hub"):
        asked = Asked([name], "a@b.test", "", "")
        with pytest.raises(ConfigError) as caught:
            await rig.do(https_work.letsencrypt, asked, port=rig.port, preflight=False)
        assert "https.names" in str(caught.value.problems[0])
    with pytest.raises(UsageError, match="no --certificate"):
        await rig.do(https_work.files, ("", ""), [], port=rig.port)
    with socket.create_server(("127.0.0.1", rig.port)):
        asked = Asked([HOST], "a@b.test", "https://127.0.0.1:1/dir", "")
        with pytest.raises(ApplianceError, match="the port is taken by python"):
            await rig.do(https_work.letsencrypt, asked, port=rig.port, preflight=False)
        with pytest.raises(ApplianceError, match="the port is taken by python"):
            await rig.do(https_work.own_ca, [HOST], port=rig.port, new=False)
    assert not rig.config.https.is_on
    assert rig.services.told == []


async def test_snippets_are_printed_with_settings(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    await rig.do(https_work.behind, "Caddy", name="schüle.test", address="192.0.2.7")
    said = json.loads(capsys.readouterr().out)
    assert "xn--schle-mva.test {" in said["snippet"]
    assert said["settings"] == {"http.trusted_proxies": "192.0.2.7"}
    for server, address in (("iis", "127.0.0.1"), ("nginx", "nobody")):
        with pytest.raises(UsageError):
            await rig.do(https_work.behind, server, name=HOST, address=address)
