"""The snippets for web servers in front, in those web servers: nginx, Apache, Caddy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.https.snippets import Front, snippet
from appliance.names import ServerId, parse_server_name, parse_username
from tests.fakes.browser import Browser, Encrypted, send
from tests.fakes.certificates import Authority
from tests.fakes.nginx import nginx_program, proxy
from tests.fakes.ports import free_port

NAME = "hub.test"
ALICE = ServerId(parse_username("alice"), parse_server_name(""))
LARGE = 3_000_000
APACHE = """\
ServerRoot {folder}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
ServerName localhost
Listen {tls}
{modules}
"""
MODULES = "mpm_event authz_core ssl proxy proxy_http proxy_wstunnel headers alias socache_shmcb"
NGINX = """\
daemon off; pid {folder}/front.pid; error_log stderr;
events {{ }}
http {{
access_log off;
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{snippet}
}}
"""


def _own_ports(text: str, *, tls: int, plain: int, folder: Path) -> str:
    """The snippet as it is printed, but for the ports and the places of the certificate."""
    text = text.replace(f"/etc/ssl/{NAME}.crt", f"{folder}/front.crt")
    text = text.replace(f"/etc/ssl/private/{NAME}.key", f"{folder}/front.key")
    for old, new in {"443": tls, "80": plain}.items():
        for before in ("listen ", "listen [::]:", "*:"):
            text = text.replace(f"{before}{old} ", f"{before}{new} ")
            text = text.replace(f"{before}{old};", f"{before}{new};")
            text = text.replace(f"{before}{old}>", f"{before}{new}>")
    return text


def _command(front: Front, text: str, *, tls: int, plain: int, folder: Path) -> list[str]:
    """The web server's command line; its configuration has the snippet."""
    own = _own_ports(text, tls=tls, plain=plain, folder=folder)
    file = folder / "front.conf"
    if front is Front.NGINX:
        file.write_text(NGINX.format(folder=folder, snippet=own.replace("[::]:", "[::1]:")))
        return [str(nginx_program()), "-e", "stderr", "-c", str(file)]
    if front is Front.APACHE:
        modules = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
            for name in MODULES.split()
        )
        file.write_text(APACHE.format(folder=folder, tls=tls, modules=modules) + own)
        return ["/usr/sbin/apache2", "-f", str(file), "-DFOREGROUND"]
    # Caddy would ask Let's Encrypt; here it is given a certificate.
    tls_line = f"\ttls {folder}/front.crt {folder}/front.key\n"
    own = own.replace(f"{NAME} {{\n", f"{NAME}:{tls} {{\n{tls_line}")
    file.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{own}")
    return ["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", str(file)]


@contextlib.asynccontextmanager
async def _running(command: list[str], port: int, folder: Path) -> AsyncIterator[None]:
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "front.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=folder
        )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            assert process.returncode is None, (folder / "front.log").read_text()
            await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("way", ["socket", "port"])
@pytest.mark.parametrize("front", Front)
async def test_it_passes_on_all_that_the_appliance_needs(
    front: Front, way: str, tmp_path: Path
) -> None:
    authority = Authority()
    made = authority.issue([NAME])
    (tmp_path / "front.crt").write_text(made.pem)
    (tmp_path / "front.key").write_text(made.key_pem())
    http = {"socket": True} if way == "socket" else {"trusted_proxies": ["127.0.0.1"]}
    async with proxy(tmp_path / "trial", http=http) as nginx:
        nginx.start_hub()
        nginx.start_server(ALICE)
        to = nginx.places.front_socket if way == "socket" else f"127.0.0.1:{nginx.address[1]}"
        tls, plain = free_port(), free_port()
        text = snippet(front, NAME, to=to)
        command = _command(front, text, tls=tls, plain=plain, folder=tmp_path)
        async with _running(command, tls, tmp_path):
            target = Encrypted(("127.0.0.1", tls), authority.context(), NAME)
            path = "/user/alice/api/contents/a%2Fb%20c.ipynb?x=%2F"
            seen = (await send(target, path)).json()
            assert seen["uri"] == path
            assert seen["headers"]["x-forwarded-proto"] == "https"
            assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
            assert seen["headers"]["host"] == NAME
            sent = await send(target, "/user/alice/x", method="PUT", body=b"x" * LARGE)
            assert len(sent.json()["body"]) == LARGE
            async with Browser(target).websocket("/user/alice/api/socket") as socket:
                await socket.send({"n": 1})
                assert await socket.receive_json() == {"n": 1}
