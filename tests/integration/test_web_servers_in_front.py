"""Web servers in front on the same machine, set up as `appliance https behind` says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.certificates import Authority
from tests.integration.commands import Commands
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = [pytest.mark.machine, pytest.mark.long]

CONNECT: Final = """\
import socket
try:
    socket.socket(socket.AF_UNIX).connect("/run/appliance/front/http.sock")
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""


@dataclass(frozen=True)
class FrontProgram:
    """A web server in the machine, with our snippet in /srv/front/site."""

    program: str
    folders: tuple[str, ...]
    """What of this host's it needs besides its libraries."""
    configuration: str
    start: str
    stop: str


APACHE_MODULES: Final = (
    "mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "headers", "alias", "socache_shmcb",
)  # fmt: skip
FRONTS: Final = {
    "nginx": FrontProgram(
        "/usr/sbin/nginx", (),
        "user www-data; pid /run/front.pid; error_log /srv/front/errors;\nevents {}\n"
        "http { access_log off; include /srv/front/site; }\n",
        "nginx -c /srv/front/conf", "nginx -c /srv/front/conf -s stop",
    ),
    "apache": FrontProgram(
        "/usr/sbin/apache2", tuple(
            f"/usr/lib/apache2/modules/mod_{name}.so" for name in APACHE_MODULES
        ),
        "ServerRoot /srv/front\nPidFile /run/front.pid\nErrorLog /srv/front/errors\n"
        "User www-data\nGroup www-data\nServerName localhost\nListen 443\nListen 80\n"
        + "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
                  for name in APACHE_MODULES)
        + "Include /srv/front/site\n",
        "apache2 -f /srv/front/conf", "apache2 -f /srv/front/conf -k stop",
    ),
    # Caddy would ask Let's Encrypt; here it is its own authority.
    "caddy": FrontProgram(
        "/usr/bin/caddy", (),
        "{\n admin off\n local_certs\n skip_install_trust\n storage file_system /srv/front/store\n"
        "}\nimport /srv/front/site\n",
        "systemd-run --unit=front caddy run --adapter caddyfile --config /srv/front/conf",
        "systemctl stop front",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as made:
        made.add("bob")
        yield made


@pytest.mark.parametrize("front", FRONTS)
def test_behind_another_web_server_as_the_command_says(room: Preloaded, front: str) -> None:
    """The snippet as it is printed: log-in, and a cell by its websocket."""
    machine, authority, server = room.machine, Authority(), FRONTS[front]
    name = f"{front}.test"
    made = authority.issue([name])
    told = json.loads(machine.execute(f"appliance https behind {front} --name {name} --json"))
    for command in told["commands"]:
        machine.execute(command.removeprefix("sudo "), timeout=60)
    _bring(machine, server)
    machine.write_file(f"/etc/ssl/{name}.crt", made.pem)
    machine.write_file(f"/etc/ssl/private/{name}.key", made.key_pem(), mode=0o600)
    machine.write_file("/srv/front/authority.crt", authority.pem)
    machine.write_file("/srv/front/site", told["snippet"])
    machine.write_file("/srv/front/conf", server.configuration)
    machine.execute(f"echo 127.0.0.1 {name} >>/etc/hosts; {server.start}")
    if front == "caddy":
        root = "/srv/front/store/pki/authorities/local/root.crt"
        machine.wait_until(f"cp {root} /srv/front/authority.crt")
    site, curl = f"https://{name}", "curl -sS --cacert /srv/front/authority.crt"
    machine.wait_until(f"{curl} -o /dev/null {site}/hub/health")
    assert "308" in machine.execute(f"curl -sSI http://{name}/hub/login").splitlines()[0]
    head = machine.execute(f"{curl} -o /dev/null -D - {site}/hub/login")
    assert re.match(r"HTTP/(1\.1|2) 200", head), head
    cookies = re.findall(r"(?mi)^set-cookie: (.*?)\r?$", head)
    assert cookies
    assert all("secure" in one.lower() for one in cookies), "it was told that this is HTTPS"
    machine.attempt("appliance server start bob", timeout=90)
    program = "SSL_CERT_FILE=/srv/front/authority.crt /opt/appliance/user/bin/python -I"
    words = f"/opt/inside/notebook.py {site}/user/bob {room.token_of('bob')}"
    kernel = machine.execute(f"{program} {words} start").strip()
    said = machine.execute(f"{program} {words} run {kernel}", stdin="print(6 * 7)")
    assert said == "42\n"
    # Users' programs can't come that way and say that they are somebody else.
    said = machine.execute(f"{program} {words} run {kernel}", stdin=CONNECT)
    assert said in {"FileNotFoundError\n", "PermissionError\n"}
    machine.execute(server.stop)
    machine.wait_until("! ss -Hltn 'sport = :443' | grep -q .")


def _bring(machine: Commands, server: FrontProgram) -> None:
    """This host's own program, of the same Debian: the machine has no network."""
    if not Path(server.program).exists():
        pytest.skip(f"needs {server.program}")
    libraries = subprocess.run(
        ["ldd", server.program, *server.folders], capture_output=True, text=True, check=False
    ).stdout
    files = {server.program, *server.folders, *re.findall(r"/\S+\.so\S*(?= \()", libraries)}
    for file in sorted(files):
        if machine.attempt(f"test -e {file}").code:
            machine.write_file(file, Path(file).read_bytes(), mode=0o755)
