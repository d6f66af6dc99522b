"""HTTPS on an installed machine: switched on, logged in by, renewed under open connections, refused
where it would not work, and off again."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
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


def test_only_modern_tls_and_hsts_when_it_is_wished_for(room: Preloaded) -> None:
    machine = room.machine
    head = f"{CURL} -o /dev/null -D - {SITE}/hub/login"
    assert "strict-transport-security" not in machine.execute(head).lower()
    machine.execute("appliance config set https.hsts 5m", timeout=60)
    # nginx's old workers may answer for a moment more.
    machine.wait_until(f"{head} | grep -qi '^strict-transport-security: max-age=300.$'", timeout=10)
    machine.execute("appliance config unset https.hsts", timeout=60)
    # Of programs that would still do with less, none gets it.
    tries = (
        "-tls1_1 -cipher ALL:@SECLEVEL=0", "-tls1 -cipher ALL:@SECLEVEL=0",
        "-tls1_2 -cipher AES128-SHA:AES256-SHA:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
    )  # fmt: skip
    for words in tries:
        machine.fail(f"openssl s_client -connect {HOST}:443 {words} </dev/null")
    for words in ("-tls1_2", "-tls1_3"):
        machine.execute(f"openssl s_client -connect {HOST}:443 {words} </dev/null")


def log_in(machine: Commands, user: str, password: str) -> str:
    """The head of what the log-in page answers; the cookies are in /root/jar."""
    page = machine.execute(f"{CURL} -c /root/jar {SITE}/hub/login")
    token = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert token
    return machine.execute(
        f"{CURL} -b /root/jar -c /root/jar -o /dev/null -D - {SITE}/hub/login "
        f"--data-urlencode username={user} --data-urlencode '_xsrf={token[1]}' "
        f"--data-urlencode 'password={password}'"
    )


def test_log_in_by_https_sets_cookies_for_https_alone(room: Preloaded) -> None:
    machine = room.machine
    made = json.loads(machine.execute("appliance user add carol --generate --json"))
    password = re.search(r'"password": "([^"]+)"', json.dumps(made))
    assert password
    head = log_in(machine, "carol", password[1])
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

    steps = []
    for days in (30.5, 14.5, 3.5):
        # One of its days is over.
        give(machine, authority.issue([HOST], days=days))
        told = finding(machine)
        assert told["severity"] != "ok", told
        steps.append(told["details"]["step"])
    assert steps == [30, 14, 3]
    assert "certificate" in machine.attempt("appliance status").stdout
    assert presented(machine, ours) != ours


@pytest.mark.long
def test_the_doctor_names_the_browser_where_a_certificate_has_ended(room: Preloaded) -> None:
    machine, authority = room.machine, Authority()
    machine.write_file("/usr/local/share/ca-certificates/test.crt", authority.pem)
    machine.execute("update-ca-certificates")
    # One of its days is over.
    give(machine, authority.issue([HOST], days=1 + 20 / 86400))
    machine.execute(f"appliance https files {GIVEN}", timeout=60)
    report = json.loads(machine.attempt("appliance doctor --json", timeout=60).stdout)
    assert report["layers"][0]["summary"] == f"{SITE} has a certificate that browsers accept"
    machine.wait_until("! openssl x509 -noout -checkend 0 -in /root/hub.crt", timeout=30)
    report = json.loads(machine.attempt("appliance doctor --json", timeout=60).stdout)
    first = report["layers"][0]
    assert report["broken"] == "browser", report["layers"]
    assert first["summary"] == f"browsers refuse the certificate of {SITE}"
    assert "expired" in first["why"]
    assert first["mend"] == "sudo appliance https status"


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
    # It is told to start anew while it begins, and systemd calls that a failure.
    machine.allowed.errors.append("Failed to start appliance-preload-kernel.service")
    tried = json.loads(machine.execute("appliance isolation test --json", timeout=60))
    assert tried["passed"]
    # What users' servers send comes by the second name alone, and the hub's pages by the first.
    asked = f"{CURL} --resolve {SECOND}:443:127.0.0.1 -o /dev/null -w '%{{http_code}}"
    for path, here, there in (("/user/bob/lab", HOST, SECOND), ("/hub/login", SECOND, HOST)):
        led = machine.execute(f"{asked} %{{redirect_url}}' https://{here}{path}")
        assert led == f"307 https://{there}{path}"
    # Who has the hub's cookie is known by the first name, and nobody by the second.
    machine.execute("appliance user passwd bob --stdin", stdin="violet lantern seventeen")
    log_in(machine, "bob", "violet lantern seventeen")
    machine.execute(f"{CURL} -b /root/jar -c /root/jar -o /dev/null {SITE}/hub/home")
    jar = dict(re.findall(r"(?m)\t(\S+)\t(\S+)$", machine.read_file("/root/jar")))
    sent = "; ".join(f"{name}={jar[name]}" for name in ("jupyterhub-hub-login", "_xsrf"))
    words = f"-H 'Cookie: {sent}' -H 'X-XSRFToken: {jar['_xsrf']}'"
    for name, answer in ((HOST, "200"), (SECOND, "403")):
        messages = f"https://{name}/hub/api/appliance/messages"
        assert machine.execute(f"{asked}' {words} {messages}") == answer


ACME: Final = "/run/acme"
PUBLIC: Final = "hub.school.test"


def _start_acme(machine: Commands) -> None:
    """An ACME server of Debian's in the machine; where names lead, its other program says."""
    authority = Authority()
    for program in ("pebble", "pebble-challtestsrv"):
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"needs {program}: apt-get install pebble")
        machine.write_file(f"{ACME}/{program}", Path(found).read_bytes(), mode=0o755)
    made = authority.issue(["127.0.0.1"])
    for name, text in {"ca": authority.pem, "crt": made.pem, "key": made.key_pem()}.items():
        machine.write_file(f"{ACME}/{name}.pem", text)
    settings = {
        "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
        "certificate": f"{ACME}/crt.pem", "privateKey": f"{ACME}/key.pem",
        "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
    }  # fmt: skip
    machine.write_file(f"{ACME}/pebble.json", json.dumps({"pebble": settings}))
    machine.execute(
        f"echo 127.0.0.1 {PUBLIC} >>/etc/hosts;"
        f" systemd-run --unit=names {ACME}/pebble-challtestsrv -management 127.0.0.1:8055"
        " -dns01 127.0.0.1:8053 -http01 '' -https01 '' -tlsalpn01 '' -defaultIPv6 ''"
        " -defaultIPv4 127.0.0.1;"
        " systemd-run --unit=acme --setenv=PEBBLE_VA_NOSLEEP=1"
        f" {ACME}/pebble -config {ACME}/pebble.json -strict -dnsserver 127.0.0.1:8053"
    )
    machine.wait_until(
        f"curl -fsS --cacert {ACME}/ca.pem https://127.0.0.1:15000/roots/0 >{ACME}/root.pem"
    )


def test_who_is_believed_about_the_visitor(room: Preloaded) -> None:
    """A web server on another machine, by its address, and nobody else."""
    machine = room.machine
    machine.execute("appliance config unset http.content_host", timeout=60)
    machine.execute("appliance config unset http.host; appliance https off", timeout=60)
    machine.execute("ip address add 192.0.2.10/32 dev lo; ip address add 192.0.2.66/32 dev lo")
    told = json.loads(machine.execute("appliance https behind nginx --address 192.0.2.10 --json"))
    for command in told["commands"]:
        machine.execute(command.removeprefix("sudo "), timeout=60)

    # nginx's old workers may answer for a moment more.
    secure = (
        "curl -sS --interface 192.0.2.10 -H 'X-Forwarded-Proto: https' -D - -o /dev/null"
        " http://192.0.2.66/hub/login | grep -qi '^set-cookie: .*secure'"
    )
    machine.wait_until(f"{secure} && {secure} && {secure}", timeout=10)

    def tries(source: str, visitor: str) -> str:
        """Log in with a wrong password; the cookies of the page."""
        curl = (
            f"curl -sS --interface {source} http://192.0.2.66/hub/login"
            f" -H 'X-Forwarded-Proto: https' -H 'X-Forwarded-For: {visitor}'"
        )
        page = machine.execute(f"{curl} -D -")
        token = re.search(r'name="_xsrf" value="([^"]+)"', page)
        assert token
        cookies = re.findall(r"(?mi)^set-cookie: (.*?)\r?$", page)
        sent = "; ".join(one.partition(";")[0] for one in cookies)
        machine.execute(
            f"{curl} -o /dev/null -H {shlex.quote(f'Cookie: {sent}')}"
            f" --data-urlencode '_xsrf={token[1]}' -d username=bob -d password=wrong"
        )
        return "\n".join(cookies).lower()

    assert "secure" in tries("192.0.2.10", "203.0.113.7")
    assert "secure" not in tries("192.0.2.66", "203.0.113.8")
    failed = machine.execute("appliance audit --json")
    assert "203.0.113.7" in failed
    assert "192.0.2.66" in failed
    assert "203.0.113.8" not in failed
    machine.execute("appliance config unset http.trusted_proxies", timeout=60)


@pytest.mark.long
def test_certificate_of_an_acme_server_is_ordered_renewed_and_kept(room: Preloaded) -> None:
    machine = room.machine
    machine.execute("appliance config unset http.content_host", timeout=60)
    machine.execute("appliance config unset http.host; appliance https off", timeout=60)
    _start_acme(machine)
    order = (
        f"appliance https letsencrypt --domain {PUBLIC} --email admin@school.test"
        f" --directory https://127.0.0.1:14000/dir --directory-ca {ACME}/ca.pem"
    )
    # A name that leads nowhere is told before anybody is asked.
    nowhere = machine.fail(order.replace(PUBLIC, "nowhere.test"), timeout=60)
    assert "nowhere.test" in nowhere.stderr
    _what_is_in_the_way_is_told(machine, order)
    assert status(machine)["mode"] == "off"
    machine.execute(order, timeout=120)
    curl = f"curl -fsS --cacert {ACME}/root.pem"
    machine.execute(f"{curl} https://{PUBLIC}/hub/login | grep -q password")
    assert "308" in machine.execute(f"curl -sSI http://{PUBLIC}/hub/login").splitlines()[0]
    assert finding(machine)["severity"] == "ok"
    number = f"{curl} -w '%{{certs}}' -o /dev/null https://{PUBLIC}/hub/health | grep -m1 Serial"
    first = machine.execute(number)
    machine.execute("appliance https renew", timeout=120)
    machine.wait_until(f"{number} | grep -qvF '{first.strip()}'")
    # An authority that is gone takes nothing from what is served.
    machine.execute("systemctl stop acme names")
    machine.fail("appliance https renew", timeout=120)
    machine.execute(f"{curl} https://{PUBLIC}/hub/health")
    told = finding(machine)
    assert told["severity"] == "warning", told
    assert "could not be renewed" in told["summary"]


def _what_is_in_the_way_is_told(machine: Commands, order: str) -> None:
    """The port, closed or somebody else's; the clock; an authority that was asked too often."""
    machine.execute("appliance config set http.port 8000", timeout=60)
    away = machine.fail(order, timeout=60).stderr
    assert "nothing listens at 127.0.0.1, port 80: the appliance has port 8000" in away
    assert "sudo appliance config set http.port 80" in away
    machine.execute("systemd-run --unit=squatter /usr/bin/python3 -m http.server 80")
    machine.wait_until("ss -Hltn 'sport = :80' | grep -q .")
    taken = machine.fail(order, timeout=60).stderr
    assert "another program than the appliance answers: SimpleHTTP" in taken
    assert "appliance https behind nginx" in taken
    machine.execute("systemctl stop squatter; appliance config unset http.port", timeout=60)
    machine.execute(
        "systemd-run --unit=refusing /usr/bin/python3 /opt/inside/refusing_acme.py"
        f" {ACME}/crt.pem {ACME}/key.pem"
    )
    machine.wait_until("ss -Hltn 'sport = :14001' | grep -q .")
    for path, *said in (
        ("late/dir", "this machine's clock says", "sudo timedatectl set-ntp true"),
        ("dir", "was asked too often and refuses until", "wait until then"),
    ):
        refused = machine.fail(order.replace("14000/dir", f"14001/{path}"), timeout=60).stderr
        assert all(part in refused for part in said), refused
    machine.execute("systemctl stop refusing")
