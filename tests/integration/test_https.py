"""HTTPS on an installed machine: switched on, logged in by, renewed under open connections, refused
where it would not work, and off again."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

from tests.fakes.certificates import Authority, Made
from tests.integration.commands import Commands
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = pytest.mark.machine

HOST: Final = "appliance"
SECOND: Final = "users.test"
SITE: Final = f"https://{HOST}"
CA: Final = "/var/lib/appliance/certificates/ca.crt"
CURL: Final = f"curl -sS --cacert {CA}"
GIVEN: Final = "--certificate /root/hub.crt --key /root/hub.key"
# The certificate is due; what else a round does is not what is looked at here.
FORGET: Final = """
import json, pathlib, time
record = pathlib.Path("/var/lib/appliance/upkeep/last.json")
record.parent.mkdir(0o700, exist_ok=True)
names = ("environment", "updates", "next-python")
record.write_text(json.dumps(dict.fromkeys(names, time.time())))
"""


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    """A machine with HTTPS by its own authority, and bob."""
    with open_native(Debian.BOOKWORM) as made:
        made.add("bob")
        names = f"--name {HOST} --name {SECOND}"
        said = made.machine.execute(f"appliance https own-ca {names} 2>&1", timeout=60)
        assert f"the appliance answers at {SITE}/" in said
        assert CA in said
        yield made


def status(machine: Commands) -> dict[str, Any]:
    """What `appliance https status` says, whatever its exit code."""
    found: dict[str, Any] = json.loads(machine.attempt("appliance https status --json").stdout)
    return found


def finding(machine: Commands) -> dict[str, Any]:
    """What pages and notices read, after a round of the upkeep."""
    machine.execute(f"/usr/bin/python3 -I -c {shlex.quote(FORGET)}")
    machine.execute("systemctl start appliance-upkeep.service", timeout=60)
    found: dict[str, Any] = json.loads(
        machine.read_file("/var/lib/appliance/health/certificate.json")
    )
    return found


def presented(machine: Commands, *old: str) -> str:
    """The fingerprint of the certificate that nginx shows; with `old`, once it is another: nginx
    takes a moment to have what it was told."""
    until = time.monotonic() + 10
    while True:
        shown = machine.execute(
            '/usr/bin/python3 -c "import hashlib, ssl; print(hashlib.sha256(ssl.'
            f"PEM_cert_to_DER_cert(ssl.get_server_certificate(('{HOST}', 443)))).hexdigest())\""
        ).strip()
        if shown not in old or time.monotonic() > until:
            return shown
        time.sleep(0.2)


def give(machine: Commands, made: Made, *, key: str = "") -> None:
    machine.write_file("/root/hub.crt", made.pem)
    machine.write_file("/root/hub.key", key or made.key_pem(), mode=0o600)


def test_plain_http_leads_to_https_but_for_the_authority(room: Preloaded) -> None:
    machine = room.machine
    head = machine.execute(f"curl -sSi http://{HOST}/hub/login?next=%2Fhub%2Fhome")
    assert head.startswith("HTTP/1.1 308")
    assert f"Location: {SITE}/hub/login?next=%2Fhub%2Fhome" in head
    assert machine.execute(f"curl -fsS http://{HOST}/hub/ca.crt") == machine.read_file(CA)
    assert machine.execute("appliance https ca 2>/dev/null") == machine.read_file(CA)
    assert SITE in machine.execute("appliance status")


def test_log_in_by_https_sets_cookies_for_https_alone(room: Preloaded) -> None:
    machine = room.machine
    made = json.loads(machine.execute("appliance user add carol --generate --json"))
    password = re.search(r'"password": "([^"]+)"', json.dumps(made))
    assert password
    page = machine.execute(f"{CURL} -c /root/jar {SITE}/hub/login")
    token = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert token
    head = machine.execute(
        f"{CURL} -b /root/jar -c /root/jar -o /dev/null -D - {SITE}/hub/login "
        f"--data-urlencode username=carol --data-urlencode '_xsrf={token[1]}' "
        f"--data-urlencode 'password={password[1]}'"
    )
    assert head.startswith("HTTP/1.1 302"), head
    cookies = re.findall(r"(?mi)^set-cookie: (.*?)\r?$", head)
    assert any(one.startswith("jupyterhub-hub-login=") for one in cookies)
    assert all("secure" in one.lower() for one in cookies)
    # A generated password must be changed first, which only who is logged in is asked to.
    led = machine.execute(
        f"{CURL} -b /root/jar -o /dev/null -w '%{{redirect_url}}' {SITE}/hub/home"
    )
    assert led.startswith(f"{SITE}/hub/")
    assert "/hub/login" not in led


def test_running_cell_and_its_websocket_survive_a_new_certificate(room: Preloaded) -> None:
    machine = room.machine
    room.start("bob")
    words = f"{SITE}/user/bob {room.token_of('bob')}"
    program = f"SSL_CERT_FILE={CA} /opt/appliance/user/bin/python -I /opt/inside/notebook.py"
    kernel = machine.execute(f"{program} {words} start").strip()
    code = (
        "import pathlib, time\n"
        "pathlib.Path('begun').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.1)\n"
        "print('still here')\n"
    )
    machine.write_file("/root/cell", code)
    machine.execute(
        f"nohup env {program} {words} run {kernel} </root/cell >/root/printed 2>&1 & "
        "timeout 30 sh -c 'until [ -e /home/nb-bob/begun ]; do sleep 0.1; done'",
        timeout=40,
    )
    before = presented(machine)
    machine.execute("appliance https renew", timeout=60)
    assert presented(machine, before) != before
    machine.execute(
        "touch /home/nb-bob/go; timeout 20 sh -c 'until [ -s /root/printed ]; do sleep 0.1; done'",
        timeout=40,
    )
    assert machine.read_file("/root/printed") == "still here\n"


def test_keys_are_for_root_and_the_proxy_alone(room: Preloaded) -> None:
    told = room.machine.execute(
        "stat -c '%a %U %G' /var/lib/appliance/certificates/own-ca "
        "/var/lib/appliance/certificates/own-ca/*.* /var/lib/appliance/certificates/served/*"
    ).splitlines()
    assert told[:3] == ["700 root appliance-proxy", "600 root root", "600 root root"]
    assert set(told[3:]) == {"640 root appliance-proxy"}
    assert finding(room.machine)["severity"] == "ok"


def test_certificate_of_ones_own_is_checked_and_a_broken_one_leaves_the_old(
    room: Preloaded,
) -> None:
    machine, authority = room.machine, Authority()
    before = presented(machine)
    good = authority.issue([HOST])
    refused = {
        "ended on": (authority.issue([HOST], days=1, begins=timedelta(days=-3)), ""),
        "is not that of the certificate": (good, authority.issue([HOST]).key_pem()),
        "has a password": (good, good.key_pem("secret")),
    }
    for said, (made, key) in refused.items():
        give(machine, made, key=key)
        assert said in machine.fail(f"appliance https files {GIVEN}", timeout=60).stderr
    give(machine, authority.issue(["other.test"]))
    wrong = machine.fail(f"appliance https files {GIVEN} --name {HOST}", timeout=60)
    assert f"not for {HOST}" in wrong.stderr
    assert (presented(machine), status(machine)["mode"]) == (before, "own-ca")

    give(machine, good)
    said = machine.execute(f"appliance https files {GIVEN} 2>&1", timeout=60)
    assert "is not in /root/hub.crt" in said
    assert status(machine)["issuer"] == "Test Authority"
    ours = presented(machine, before)
    assert ours != before

    machine.write_file("/root/hub.crt", "nonsense")
    machine.execute("systemctl restart appliance-proxy.service")
    told = finding(machine)
    assert told["severity"] == "warning"
    assert "it is not PEM" in told["why"]
    assert presented(machine) == ours

    give(machine, authority.issue([HOST], days=10))
    told = finding(machine)
    assert (told["severity"], told["details"]["step"]) == ("warning", 14)
    assert presented(machine, ours) != ours


def test_port_that_is_taken_is_told_with_the_program(room: Preloaded) -> None:
    machine = room.machine
    machine.execute("appliance https off", timeout=60)
    machine.wait_until(f"curl -fsS http://{HOST}/hub/login | grep -q password", timeout=10)
    machine.fail("test -e /var/lib/appliance/health/certificate.json")
    machine.execute("systemd-run --unit=squatter /usr/bin/python3 -m http.server 443")
    machine.wait_until("ss -Hltn 'sport = :443' | grep -q .")
    refused = machine.fail(f"appliance https own-ca --name {HOST}", timeout=60)
    assert "port 443" in refused.stderr
    assert "the port is taken by python3" in refused.stderr
    machine.execute("systemctl stop squatter")
    machine.execute(f"appliance https own-ca --name {HOST}", timeout=60)
    assert machine.execute(f"{CURL} -o /dev/null -w '%{{http_code}}' {SITE}/hub/health") == "200"


def test_users_servers_on_a_host_name_of_their_own(room: Preloaded) -> None:
    machine = room.machine
    machine.execute(f"appliance https own-ca --name {HOST} --name {SECOND}", timeout=60)
    machine.execute(f"appliance config set http.host {HOST}", timeout=60)
    machine.execute(f"appliance config set http.content_host {SECOND}", timeout=60)
    report = json.loads(machine.attempt("appliance doctor --json", timeout=60).stdout)
    assert {one["state"] for one in report["layers"]} == {"ok"}, report["layers"]
    assert "browsers that have the appliance's own authority" in report["layers"][0]["summary"]
    checks = {one["name"]: one["summary"] for one in report["checks"]}
    assert SECOND in checks["isolation"]
    assert "encryption" not in checks
    # Of what is tried there, su says so in the journal.
    machine.allowed.errors.append("su:auth")
    tried = json.loads(machine.execute("appliance isolation test --json", timeout=60))
    assert tried["passed"]
