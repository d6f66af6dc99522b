"""Certificates from a real ACME server (pebble), proved by a real nginx."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.config.https_schema import HttpsMode
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.https import renewing
from appliance.https.chore import renew
from appliance.https.orders import OrderRefused
from appliance.https.preflight import Look, NotReady
from appliance.https.renewing import is_due, look_first, order, renewal_time
from appliance.https.store import Store, Tries, now_utc
from appliance.names import ServerId, Username
from appliance.proxy.certificates import Pair
from appliance.proxy.served import read_original
from tests.fakes.browser import Browser, Encrypted, send
from tests.fakes.nginx import Proxy, proxy
from tests.fakes.pebble import NameServer, Pebble, name_server, pebble
from tests.fakes.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUB, LAB = "hub.school.test", "lab.school.test"


class Rig:
    """nginx without HTTPS, an ACME server and its twin for trials."""

    def __init__(self, nginx: Proxy, names: NameServer, acme: Pebble, twin: Pebble) -> None:
        self.nginx, self.names, self.acme, self.twin = nginx, names, acme, twin
        self.places = nginx.places
        self.store = Store(nginx.places)
        self.said: list[str] = []
        self.config = self.with_https(HUB, LAB)

    def with_https(self, *names: str, **other: Any) -> Config:
        https = {
            "mode": "letsencrypt",
            "names": list(names),
            "email": "admin@school.example",
            "port": free_port(),
            "directory": self.acme.directory,
            "directory_ca": str(self.acme.authority_file),
        }
        return Config.model_validate(
            {"http": self.nginx.config.http.model_dump(), "https": https | other}
        )

    @property
    def look(self) -> Look:
        return Look(lambda _: ["127.0.0.1"], self.nginx.config.http.port, public=False)

    async def order(self, config: Config | None = None, *, rehearse: bool = False) -> None:
        config = config or self.config
        await asyncio.to_thread(
            order, config, self.places, config.https, self.said.append, rehearse=rehearse
        )

    def pair(self, config: Config | None = None) -> Pair:
        return read_original((config or self.config).https, self.places)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("acme")


@pytest.fixture(scope="module")
def names(folder: Path) -> Iterator[NameServer]:
    with name_server(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(folder: Path, names: NameServer) -> AsyncIterator[Rig]:
    async with proxy(folder / "trial") as nginx:
        nginx.start_hub()
        nginx.start_server(ServerId(Username("alice")))
        port = nginx.config.http.port
        with (
            pebble(folder / "acme", names, http_port=port) as acme,
            pebble(folder / "twin", names, http_port=port) as twin,
        ):
            yield Rig(nginx, names, acme, twin)


@pytest.fixture(autouse=True)
def _anew(rig: Rig) -> None:
    rig.said.clear()
    rig.names.set_default("127.0.0.1")
    rig.store.keep_tries(Tries())


async def test_order_gives_a_pair_that_nginx_serves_and_clients_trust(rig: Rig) -> None:
    await asyncio.to_thread(look_first, rig.nginx.config, rig.places, rig.config.https, rig.look)
    await rig.order()
    pair = rig.pair()
    assert pair.names == [HUB, LAB]
    assert len(pair.chain) == 2
    assert rig.store.pair_file(HttpsMode.LETSENCRYPT).stat().st_mode & 0o777 == 0o600
    assert not list((rig.places.certificates / "challenges").iterdir())
    await rig.nginx.rewrite(rig.config)
    context = ssl.create_default_context(cadata=rig.acme.root())
    target = Encrypted(("127.0.0.1", rig.config.https.port), context, HUB)
    reply = await send(target, "/hub/login")
    assert reply.header("X-Reached") == "hub"


async def test_renewal_keeps_open_websockets_and_the_account(rig: Rig) -> None:
    await rig.order()
    first = rig.pair()
    accounts = rig.acme.log.read_text().count(" accounts in memory")
    await rig.nginx.rewrite(rig.config)
    context = ssl.create_default_context(cadata=rig.acme.root())
    target = Encrypted(("127.0.0.1", rig.config.https.port), context, HUB)
    async with Browser(target).websocket("/user/alice/socket") as socket:
        await socket.send(1)
        assert await socket.receive_json() == 1
        assert await asyncio.to_thread(renew, rig.config, rig.places, force=True)
        await rig.nginx.rewrite(rig.config)
        await socket.send(2)
        assert await socket.receive_json() == 2
    assert rig.pair().leaf != first.leaf
    assert rig.acme.log.read_text().count(" accounts in memory") == accounts
    assert not await asyncio.to_thread(renew, rig.config, rig.places)


async def test_name_that_leads_elsewhere_is_told_and_leaves_the_old_pair(rig: Rig) -> None:
    await rig.order()
    before = rig.pair()
    # The challenge's address, where nothing listens.
    rig.names.set_default("127.0.0.9")
    with pytest.raises(OrderRefused, match=f"could not check it: .*{HUB}"):
        await rig.order()
    assert rig.pair().leaf == before.leaf
    tries = rig.store.tries()
    assert tries.failed == 1
    assert HUB in tries.why
    assert not tries.may_try(now_utc())
    # The regular upkeep waits, although it is due.
    early = rig.with_https(HUB, LAB, "third.school.test")
    assert not await asyncio.to_thread(renew, early, rig.places)
    rig.names.set_default("127.0.0.1")
    await rig.order()
    assert rig.store.tries().failed == 0


async def test_trial_at_the_twin_comes_first_and_spares_the_real_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(renewing.STAGING, rig.acme.directory, rig.twin.directory)
    rig.twin.authority_file.write_text(
        rig.twin.authority_file.read_text() + rig.acme.authority_file.read_text()
    )
    config = rig.with_https(HUB, directory_ca=str(rig.twin.authority_file))
    real = rig.acme.orders()
    rig.names.set_default("127.0.0.9")
    with pytest.raises(OrderRefused):
        await rig.order(config, rehearse=True)
    assert rig.acme.orders() == real
    rig.names.set_default("127.0.0.1")
    await rig.order(config, rehearse=True)
    assert rig.acme.orders() > real
    assert [said for said in rig.said if "trial" in said]


FAULTS = {
    "no address": ([], None, "has no address"),
    "elsewhere": (["192.0.2.77"], None, "points to 192.0.2.77, which isn't this machine's"),
    "port closed": (["127.0.0.1"], "closed", "nothing listens at 127.0.0.1"),
    "another program": (["127.0.0.1"], "other", "another program than the appliance answers"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_preflight_says_what_is_wrong(
    rig: Rig, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses, port, said = FAULTS[fault]
    monkeypatch.setattr("appliance.https.preflight._SECONDS", 0.5)
    at = {None: rig.nginx.config.http.port, "closed": free_port(), "other": rig.acme.port}[port]
    look = Look(lambda _: addresses, at, public=False)
    with pytest.raises(NotReady) as caught:
        await asyncio.to_thread(look_first, rig.config, rig.places, rig.config.https, look)
    assert said in caught.value.why
    assert caught.value.mend


async def test_private_address_is_no_way_to_a_public_authority(rig: Rig) -> None:
    look = Look(lambda _: ["10.0.0.7"], rig.nginx.config.http.port, public=True)
    with pytest.raises(NotReady, match="a private address") as caught:
        await asyncio.to_thread(look_first, rig.config, rig.places, rig.config.https, look)
    assert "own-ca" in caught.value.mend


async def test_wrong_clock_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.https.orders.CLOCK_SLACK", timedelta(seconds=-1))
    with pytest.raises(ApplianceError, match="clock says"):
        await asyncio.to_thread(look_first, rig.config, rig.places, rig.config.https, rig.look)


async def test_server_that_is_not_trusted_or_not_there_is_told(rig: Rig) -> None:
    stranger = rig.with_https(HUB, directory_ca=None)
    with pytest.raises(OrderRefused, match="itself is not trusted"):
        await rig.order(stranger)
    nobody = rig.with_https(HUB, directory=f"https://127.0.0.1:{free_port()}/dir")
    with pytest.raises(OrderRefused, match="can't be reached: Connection refused"):
        await rig.order(nobody)


async def test_renewal_comes_with_a_third_of_life_left(rig: Rig) -> None:
    await rig.order()
    pair = rig.pair()
    life = pair.leaf.not_valid_after_utc - pair.leaf.not_valid_before_utc
    when = renewal_time(pair)
    assert life / 3 - life / 60 <= pair.leaf.not_valid_after_utc - when <= life / 3
    assert not is_due(pair, [HUB], when - timedelta(seconds=1))
    assert is_due(pair, [HUB], when)
    assert is_due(pair, [HUB, "new.school.test"], when - timedelta(days=1))
