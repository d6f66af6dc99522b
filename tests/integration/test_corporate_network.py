"""Where everything goes by a proxy with a password, which opens TLS by an authority of its own."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from tests.fakes.certificates import Authority
from tests.fakes.wheels import make_wheel
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = [pytest.mark.machine, pytest.mark.long]

FOLDER: Final = "/srv/corporate"
INDEX: Final = "https://pypi.test/simple"
SECRET: Final = "very/secret word"
AUTHORITY: Final = "/etc/ssl/school-ca.pem"
SYSTEM: Final = "/etc/ssl/certs/ca-certificates.crt"
OPEN_PROXY: Final = "http://127.0.0.1:3129"
SETTINGS: Final = f"""\
network:
  proxy: http://127.0.0.1:3128
  proxy_user: hub
  proxy_password: {SECRET}
  ca_file: {AUTHORITY}
updates:
  source: {INDEX}
notices:
  webhook: https://chat.test/hooks/secret
"""
# The tests' own way to packages is not to be of help.
BARE: Final = 'env --ignore-environment PATH="$PATH" HOME=/root LANG=C.UTF-8'

BACKEND: Final = """\
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "fromsource-1.0.dist-info"
    files = {
        "fromsource.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: fromsource\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{folder}/fromsource-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "fromsource-1.0-py3-none-any.whl"
"""
PROJECT: Final = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def source_package() -> bytes:
    """A package that has to be built, with all that its building needs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {
            "PKG-INFO": "Metadata-Version: 2.1\nName: fromsource\nVersion: 1.0\n",
            "pyproject.toml": PROJECT,
            "backend.py": BACKEND,
        }.items():
            details = tarfile.TarInfo(f"fromsource-1.0/{name}")
            details.size = len(text)
            archive.addfile(details, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    authority = Authority()
    site = authority.issue(["pypi.test", "chat.test"])
    with open_native(Debian.BOOKWORM) as room, tempfile.TemporaryDirectory() as name:
        machine = room.machine
        make_wheel(Path(name), "tinytool", "1.0")
        make_wheel(Path(name), "hub_appliance", "77.0")
        for wheel in Path(name).iterdir():
            machine.write_file(f"{FOLDER}/{wheel.name}", wheel.read_bytes())
        machine.write_file(f"{FOLDER}/fromsource-1.0.tar.gz", source_package())
        machine.write_file(f"{FOLDER}/site.pem", site.key_pem() + site.pem)
        machine.write_file(AUTHORITY, authority.pem)
        machine.write_file("/etc/pip.conf", f"[global]\nindex-url = {INDEX}\n")
        machine.write_file("/etc/appliance/config.yaml", SETTINGS, mode=0o600)
        machine.execute(
            f"setsid /usr/bin/python3 /opt/inside/corporate.py {FOLDER} 'hub:{SECRET}'"
            " >/root/corporate.log 2>&1 </dev/null & appliance config reload",
            timeout=90,
        )
        yield room


def seen(room: Preloaded) -> set[str]:
    """What the proxies and what is behind them were asked for since this was last asked."""
    log = room.machine.execute(f"touch {FOLDER}/log; cat {FOLDER}/log; : >{FOLDER}/log")
    return set(log.splitlines())


def test_packages_releases_and_notices_go_that_way(room: Preloaded) -> None:
    machine = room.machine
    machine.execute(f"{BARE} appliance env install tinytool", timeout=120)
    machine.execute("/opt/appliance/user/bin/python -c 'import tinytool'")
    assert {"CONNECT pypi.test:443", "GET pypi.test /simple/tinytool/"} <= seen(room)
    machine.execute(f"{BARE} appliance env remove tinytool", timeout=120)
    # Shells often name the system's authorities, which are not enough here.
    shell = f"{BARE} SSL_CERT_FILE={SYSTEM} PIP_CERT={SYSTEM} REQUESTS_CA_BUNDLE={SYSTEM}"
    machine.execute(f"{shell} appliance env install tinytool", timeout=120)
    seen(room)
    for words in (BARE, shell):
        told = machine.execute(f"{words} appliance upgrade --check --json", timeout=60)
        assert json.loads(told)["newest"] == "77.0"
        assert {"CONNECT pypi.test:443", "GET pypi.test /simple/hub-appliance/"} <= seen(room)
    # The daily look comes from a unit that may write to little.
    unit = "systemd-run --quiet --wait --pipe --property=ProtectSystem=strict"
    unit += " --property=PrivateTmp=yes"
    told = machine.execute(f"{unit} appliance upgrade --check --json", timeout=60)
    assert json.loads(told)["newest"] == "77.0"
    machine.execute(f"{BARE} appliance notices test", timeout=60)
    assert {"CONNECT chat.test:443", "POST chat.test /hooks/secret"} <= seen(room)


def test_what_is_built_from_source_comes_that_way(room: Preloaded) -> None:
    room.machine.execute(f"{BARE} appliance env install --build fromsource", timeout=180)
    room.machine.execute("/opt/appliance/user/bin/python -c 'import fromsource'")
    assert "GET pypi.test /files/fromsource-1.0.tar.gz" in seen(room)


def test_the_installer_takes_the_release_that_way(room: Preloaded) -> None:
    proxy = f"http://hub:{quote(SECRET, safe='')}@127.0.0.1:3128"
    program = "$(ls /opt/appliance/hub/lib/python3*/site-packages/installer/bootstrap.py)"
    command = f"{BARE} https_proxy={proxy} /usr/bin/python3 {program} --fetch /root/fetched"
    command += f" --version 77.0 --index {INDEX}"
    room.machine.execute(f"{command} --ca-file {AUTHORITY}", timeout=60)
    room.machine.execute("test -f /root/fetched/hub_appliance-77.0-py3-none-any.whl")
    assert {"CONNECT pypi.test:443", "GET pypi.test /simple/hub-appliance/"} <= seen(room)
    room.machine.fail(command, timeout=60)


def test_without_the_authority_or_the_password_it_is_said_what_is_missing(room: Preloaded) -> None:
    machine = room.machine
    machine.execute("appliance config unset network.ca_file", timeout=90)
    refused = machine.fail(f"{BARE} appliance env install unknown", timeout=120)
    assert "network.ca_file" in refused.stderr, refused.describe()
    machine.execute(f"appliance config set network.ca_file {AUTHORITY}", timeout=90)
    machine.execute("appliance config set network.proxy_password --stdin", stdin="wrong\n")
    refused = machine.fail(f"{BARE} appliance env install unknown", timeout=120)
    assert "network.proxy_password" in refused.stderr, refused.describe()
    machine.execute("appliance config set network.proxy_password --stdin", stdin=f"{SECRET}\n")


ENVIRONMENT: Final = """\
import json, os
names = ("https_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
print(json.dumps({name: os.environ[name] for name in names if name in os.environ}))
print(sum("very" in value for value in os.environ.values()))
"""
DOWNLOADS: Final = f"""\
import requests, ssl, subprocess, sys, urllib.request
pip = [sys.executable, "-m", "pip", "install", "-q", "--no-cache-dir", "-U", "--target", "own"]
done = subprocess.run([*pip, "tinytool"], capture_output=True, text=True)
print(done.returncode or 0, done.stderr if done.returncode else "")
print(urllib.request.urlopen("{INDEX}/tinytool/").status)
print(requests.get("{INDEX}/tinytool/").status_code)
print("Test Authority" in str(ssl.create_default_context().get_ca_certs()))
"""
PARENT: Final = "import os; print(os.getppid())"
WRITES: Final = """\
import os
try:
    open(os.environ["SSL_CERT_FILE"], "a")
except OSError as error:
    print(error.strerror)
print(sorted(os.listdir("/run/appliance")))
"""


def test_servers_go_that_way_when_wished_for_and_are_never_told_the_password(
    room: Preloaded,
) -> None:
    room.add("zoe")
    room.start("zoe")
    assert room.run("zoe", room.start_kernel("zoe"), ENVIRONMENT) == "{}\n0\n"
    room.stop("zoe")
    for words in ("for_servers true", f"proxy {OPEN_PROXY}"):
        room.machine.execute(f"appliance config set network.{words}", timeout=90)
    assert room.start("zoe").endswith("(preloaded)")
    kernel = room.start_kernel("zoe")
    assert room.run("zoe", kernel, PARENT) == "1\n"
    told, secrets = room.run("zoe", kernel, ENVIRONMENT).splitlines()
    assert secrets == "0"
    found = json.loads(told)
    assert found["https_proxy"] == OPEN_PROXY
    seen(room)
    downloads = room.run("zoe", kernel, DOWNLOADS)
    assert downloads.split() == ["0", "200", "200", "True"]
    assert {"CONNECT pypi.test:443", "GET pypi.test /files/tinytool-1.0-py3-none-any.whl"} <= seen(
        room
    )
    # They are shown this file and no other of those that root makes.
    refused, run = room.run("zoe", kernel, WRITES).splitlines()
    assert refused in {"Read-only file system", "Permission denied"}
    assert run == "['authorities.pem', 'preload', 'proxy']"
    # What systemd shows of units, it shows to everybody.
    shown = room.machine.execute("systemctl show appliance-user-zoe 'appliance-preload-*'")
    assert shown.count(OPEN_PROXY)
    assert not [word for word in (SECRET, quote(SECRET, safe="")) if word in shown]
    room.stop("zoe")
    starts = json.loads(room.machine.execute("appliance status --json"))["preload"]["starts"]
    assert (starts["cold"], starts["latest_cold"]) == (0, None)
    # One that starts cold has the same.
    room.stop_daemons()
    assert room.start("zoe").endswith("(cold: the preload daemon is not running)")
    kernel = room.start_kernel("zoe")
    assert room.run("zoe", kernel, PARENT) != "1\n"
    assert room.run("zoe", kernel, DOWNLOADS) == downloads
    room.stop("zoe")
    room.start_daemons()
