"""nginx with HTTPS: who is led there, what is still answered in the clear, and a renewal."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from appliance.names import ServerId, Username
from appliance.proxy.served import certificate_folder
from appliance.rollout.health import find_fault
from tests.fakes.browser import Browser, Encrypted, request_bytes, send, send_raw
from tests.fakes.certificates import Authority, write_pair
from tests.fakes.nginx import Proxy, proxy
from tests.fakes.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["hub.test", "lab.test"]
ALICE = ServerId(Username("alice"))
HSTS = 300


class Rig:
    """nginx, the authority that its certificate is from, and the files it is made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.files = self.renew()
        self.nginx: Proxy

    def renew(self) -> tuple[Path, Path]:
        return write_pair(self.folder, self.authority.issue(NAMES))

    @property
    def secure(self) -> Encrypted:
        return self.nginx.encrypted(self.authority)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("https")
    made = Rig(folder)
    certificate, key = made.files
    https = {
        "mode": "files",
        "names": NAMES,
        "certificate": str(certificate),
        "key": str(key),
        "port": free_port(),
        "hsts": HSTS,
    }
    async with proxy(folder / "trial", https=https) as made.nginx:
        made.nginx.start_hub()
        made.nginx.start_server(ALICE)
        challenges = certificate_folder(made.nginx.places, "challenges", mode=0o755)
        (challenges / "a-Token_1").write_text("a-Token_1.thumbprint")
        yield made


async def test_https_reaches_hub_and_servers_and_says_so(rig: Rig) -> None:
    for path, label in (("/hub/login", "hub"), ("/user/alice/lab", "alice")):
        reply = await send(rig.secure, path)
        assert (reply.status, reply.header("X-Reached")) == (200, label)
        assert reply.json()["headers"]["x-forwarded-proto"] == "https"


async def test_browsers_remember_it_by_the_hubs_answers(rig: Rig) -> None:
    assert (await send(rig.secure, "/hub/login")).every("Strict-Transport-Security") == [
        f"max-age={HSTS}"
    ]
    assert not (await send(rig.nginx.address, "/hub/health")).header("Strict-Transport-Security")
    # Nobody is bound to HTTPS who didn't wish for it.
    https = rig.nginx.config.https.model_copy(update={"hsts": None})
    await rig.nginx.rewrite(rig.nginx.config.model_copy(update={"https": https}))
    try:
        assert not (await send(rig.secure, "/hub/login")).header("Strict-Transport-Security")
    finally:
        await rig.nginx.rewrite(rig.nginx.config)


@pytest.mark.parametrize("path", ["/", "/hub/login?next=%2Fhub%2Fhome", "/user/alice/lab"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_plain_http_is_led_to_https_with_path_and_method(
    rig: Rig, path: str, method: str
) -> None:
    reply = await send(rig.nginx.address, path, method=method)
    port = rig.nginx.config.https.port
    assert (reply.status, reply.header("Location")) == (308, f"https://hub.test:{port}{path}")
    assert not reply.header("X-Reached")


@pytest.mark.parametrize(
    ("host", "there"),
    [("lab.test", "lab.test"), ("192.0.2.1:80", "hub.test"), ("e.vil", "hub.test")],
)
async def test_only_our_own_names_are_led_to(rig: Rig, host: str, there: str) -> None:
    reply = await send_raw(rig.nginx.address, request_bytes("GET", "/hub/", {}, host=host))
    assert reply.header("Location") == f"https://{there}:{rig.nginx.config.https.port}/hub/"


async def test_plain_http_on_the_port_for_https_is_led_to_https(rig: Rig) -> None:
    reply = await send(("127.0.0.1", rig.nginx.config.https.port), "/hub/login")
    there = f"https://hub.test:{rig.nginx.config.https.port}/hub/login"
    assert (reply.status, reply.header("Location")) == (308, there)


async def test_health_and_own_services_are_answered_in_the_clear(rig: Rig) -> None:
    for path in ("/hub/health", "/hub/api/users"):
        reply = await send(rig.nginx.address, path)
        assert (reply.status, reply.header("X-Reached")) == (200, "hub"), path
    assert (await send(rig.nginx.address, "/hub/healthy")).status == 308


async def test_dot_segment_is_refused_and_led_nowhere(rig: Rig) -> None:
    for target in (rig.nginx.address, rig.secure):
        assert (await send(target, "/user/eve/..%2falice/")).status == 400


async def test_challenge_of_an_authority_is_answered_in_the_clear(rig: Rig) -> None:
    there = "/.well-known/acme-challenge/"
    reply = await send(rig.nginx.address, f"{there}a-Token_1")
    assert (reply.status, reply.body) == (200, b"a-Token_1.thumbprint")
    assert reply.header("Content-Type").startswith("text/plain")
    assert (await send(rig.nginx.address, f"{there}another")).status == 404
    for outside in ("..%2fserved", "%2e%2e", "a-Token_1/x", ""):
        assert (await send(rig.nginx.address, there + outside)).status in {308, 400}


async def test_weak_ciphers_are_refused(rig: Rig) -> None:
    context = rig.authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:AES256-SHA:AES128-GCM-SHA256:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await send(replace(rig.secure, context=context), "/hub/login")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_old_protocols_are_refused(rig: Rig) -> None:
    context = rig.authority.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await send(replace(rig.secure, context=context), "/hub/login")


async def test_tls_1_2_works_for_older_browsers(rig: Rig) -> None:
    context = rig.authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await send(replace(rig.secure, context=context), "/hub/login")).status == 200


async def test_health_is_asked_for_by_plain_http_and_by_https(rig: Rig) -> None:
    config = rig.nginx.config
    assert await asyncio.to_thread(find_fault, config) == ""
    nowhere = free_port()
    moved = config.https.model_copy(update={"port": nowhere})
    fault = await asyncio.to_thread(find_fault, config.model_copy(update={"https": moved}))
    assert fault == f"https://127.0.0.1:{nowhere}/hub/health does not answer (connection refused)"
    plain = config.https.model_copy(update={"port": config.http.port})
    fault = await asyncio.to_thread(find_fault, config.model_copy(update={"https": plain}))
    assert "the answer is not HTTPS" in fault


async def test_open_websocket_survives_a_new_certificate(rig: Rig) -> None:
    browser = Browser(rig.secure)
    before = await _serial(rig)
    async with browser.websocket("/user/alice/socket") as socket:
        await socket.send(1)
        assert await socket.receive_json() == 1
        rig.renew()
        await rig.nginx.rewrite(rig.nginx.config)
        assert await _serial(rig) != before
        await socket.send(2)
        assert await socket.receive_json() == 2


async def test_broken_file_keeps_the_last_good_certificate(rig: Rig) -> None:
    before = await _serial(rig)
    rig.files[0].write_text("nonsense")
    await rig.nginx.rewrite(rig.nginx.config)
    assert await _serial(rig) == before
    expired = rig.authority.issue(NAMES, days=5, begins=timedelta(days=-9))
    write_pair(rig.folder, expired)
    await rig.nginx.rewrite(rig.nginx.config)
    assert await _serial(rig) == before


async def _serial(rig: Rig) -> int:
    target = rig.secure
    _, writer = await asyncio.open_connection(
        *target.address, ssl=target.context, server_hostname=target.host
    )
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return int(found, 16)


async def test_cookies_of_servers_are_for_https_alone_where_it_is_used(rig: Rig) -> None:
    asked = {"X-Answer-With": "Set-Cookie: a=1; Path=/user/alice/"}
    reply = await send(rig.secure, "/user/alice/lab", headers=asked)
    assert reply.header("Set-Cookie") == "a=1; Path=/user/alice/; Secure"
