"""`appliance doctor` on a machine: each layer is broken in turn, and it must name that one.

The machine is mended after each test, by the doctor itself where that is safe.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.commands import Commands
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = pytest.mark.machine

LAYERS = ("browser", "proxy", "hub", "log-in", "spawner", "server", "kernel")
RENDERED = "/var/lib/appliance/rendered"
STATE_OF_THE_CHECK_USER = (
    '/opt/appliance/hub/bin/python -c "import sqlite3; print(*sqlite3.connect('
    "'/var/lib/appliance/hub/hub.sqlite').execute("
    "'SELECT state FROM users WHERE name = ?', ['appliance-check']).fetchone())\""
)
# What machines on this host lack, and what a fresh appliance warns of.
EXPECTED = {"names", "control groups", "encryption", "backup", "disk", "updates", "own name"}


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        # Units of ours are made to fail here, and say so.
        room.machine.allowed.errors.append(".")
        yield room


@pytest.fixture
def machine(room: Preloaded) -> Commands:
    return room.machine


def doctor(machine: Commands, *options: str) -> dict[str, Any]:
    done = machine.attempt(f"appliance doctor --json {' '.join(options)}")
    assert done.code in (0, 1), done.describe()
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.code == (1 if report["state"] == "failed" else 0)
    return report


def named(report: dict[str, Any]) -> dict[str, Any]:
    """The broken layer; all before it are well, and none after it was tried."""
    layers = report["layers"]
    states = [one["state"] for one in layers[: len(LAYERS)]]
    assert [one["name"] for one in layers[: len(LAYERS)]] == list(LAYERS)
    at = LAYERS.index(report["broken"])
    assert set(states[:at]) <= {"ok", "warning"}, layers
    assert states[at] == "failed"
    assert set(states[at + 1 :]) <= {"not tried"}, layers
    found: dict[str, Any] = layers[at]
    assert found["mend"], found
    return found


def is_well(report: dict[str, Any]) -> bool:
    checks = [one for one in report["checks"] if one["name"] not in EXPECTED]
    return all(one["state"] == "ok" for one in (*report["layers"], *checks))


def mended(machine: Commands) -> list[str]:
    """What --fix did, after which all is well."""
    report = doctor(machine, "--fix")
    assert is_well(report), report
    return [text for one in (*report["layers"], *report["checks"]) for text in one["fixed"]]


def test_a_healthy_machine_on_which_nothing_is_left_behind(machine: Commands) -> None:
    done = machine.attempt("appliance doctor --json")
    report = json.loads(done.stdout)
    assert is_well(report), report
    assert report["layers"][-1]["summary"].startswith("6*7 is 42")
    assert done.seconds < 60
    text = machine.execute("appliance doctor")
    assert "6*7 is 42" in text
    assert "\x1b" not in text
    machine.fail("journalctl -u appliance-proxy.service -o cat | grep -F '[warn]'")
    # And nothing of it is left behind.
    assert machine.execute(STATE_OF_THE_CHECK_USER).split() == ["locked"]
    assert "appliance-check" not in machine.execute("appliance user list")
    assert "appliance-check" not in machine.execute("appliance server list 2>&1")
    assert json.loads(machine.execute("appliance status --json"))["users"]["total"] == 1


def test_all_upkeep_is_done_in_its_sandbox(machine: Commands) -> None:
    """The first round on a machine: everything is due."""
    machine.execute("rm -f /var/lib/appliance/upkeep/last.json")
    machine.execute("systemctl start appliance-upkeep.service", timeout=60)
    said = machine.execute("journalctl -u appliance-upkeep.service -o cat _COMM=python")
    assert said == ""
    found = set(machine.execute("ls /var/lib/appliance/health").split())
    assert {"backup.json", "disk.json", "environment.json", "machine.json"} <= found


@pytest.mark.long
def test_a_run_that_is_killed_is_cleaned_up_by_the_next(machine: Commands) -> None:
    machine.execute(
        "appliance doctor >/dev/null 2>&1 & pid=$!;"
        " timeout 20 sh -c 'until appliance server list | grep -q appliance-check; do :; done';"
        " kill -KILL $pid; wait $pid || true"
    )
    assert is_well(doctor(machine))
    assert "appliance-check" not in machine.execute("appliance server list 2>&1")


def test_a_stopped_proxy(machine: Commands) -> None:
    machine.execute("systemctl stop appliance-proxy")
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("proxy", "the proxy does not run")
    assert "systemctl restart appliance-proxy.service" in found["mend"]
    assert mended(machine) == ["start appliance-proxy.service"]


def test_broken_settings_of_nginx(machine: Commands) -> None:
    machine.execute(f"echo 'garbage {{' >>{RENDERED}/nginx.conf")
    machine.attempt("systemctl restart appliance-proxy")
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("proxy", "nginx refuses its settings")
    assert 'unknown directive "garbage"' in found["why"]
    assert "config reload --force" in found["mend"]
    assert "write the settings in force once more" in mended(machine)


@pytest.mark.long
def test_another_program_at_the_port(machine: Commands) -> None:
    machine.execute("systemctl stop appliance-proxy")
    machine.execute(
        "systemd-run -q --unit=foreign /usr/bin/python3 -m http.server 80;"
        " until ss -Hltn 'sport = :80' | grep -q .; do sleep 0.1; done"
    )
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("proxy", "port 80 is taken by another program")
    assert found["why"].startswith("python3 (process ")
    assert found["mend"].startswith("sudo systemctl disable --now foreign.service; ")
    # Other people's programs are never stopped.
    report = doctor(machine, "--fix")
    assert report["broken"] == "proxy"
    machine.execute("systemctl is-active foreign; systemctl stop foreign")
    mended(machine)


def test_a_stopped_hub(machine: Commands) -> None:
    machine.execute(
        "systemctl stop appliance-hub.socket appliance-hub-admin.socket appliance-hub.service"
    )
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("hub", "the hub does not run")
    assert "systemctl restart appliance-hub.service" in found["mend"]
    assert "start appliance-hub.service" in mended(machine)


@pytest.mark.long
def test_damaged_settings_of_the_hub(machine: Commands) -> None:
    machine.execute(f"echo '{{' >{RENDERED}/hub.json")
    machine.attempt("systemctl restart appliance-hub")
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("hub", "the hub can't read its settings")
    assert f"{RENDERED}/hub.json" in found["why"]
    assert "write the settings in force once more" in mended(machine)


def test_a_damaged_database(machine: Commands) -> None:
    place = "/var/lib/appliance/hub"
    machine.execute(
        f"systemctl stop appliance-hub.socket appliance-hub-admin.socket appliance-hub.service;"
        f" cp -a {place} /root/kept; rm -f {place}/hub.sqlite-*;"
        f" dd if=/dev/zero of={place}/hub.sqlite bs=1000 seek=1 count=40 conv=notrunc status=none;"
        " systemctl start appliance-hub.socket appliance-hub-admin.socket"
    )
    found = named(doctor(machine))
    assert found["name"] == "hub"
    assert "database" in found["summary"]
    assert "restore" in found["mend"]
    # Nothing of it belongs to root afterwards, which would keep the hub out.
    assert not machine.execute(f"find {place} -user root").strip()
    machine.execute(
        "systemctl stop appliance-hub.socket appliance-hub-admin.socket appliance-hub.service;"
        f" rm -rf {place}; mv /root/kept {place}"
    )
    mended(machine)


def test_log_in_whose_cookies_are_lost_on_the_way(machine: Commands) -> None:
    kept = "proxy_hide_header X-Accel-Redirect;"
    machine.execute(
        f"sed -i 's/{kept}/& proxy_hide_header Set-Cookie;/' {RENDERED}/nginx.conf;"
        " systemctl reload appliance-proxy"
    )
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("log-in", "the right password was refused")
    assert "/hub/login answers 403" in found["why"]
    assert "write the settings in force once more" in mended(machine)


def test_a_socket_of_the_spawner_that_is_gone(machine: Commands) -> None:
    machine.execute("rm /run/appliance/spawner.sock")
    found = named(doctor(machine))
    assert found["name"] == "spawner"
    assert found["summary"] == "nobody listens at /run/appliance/spawner.sock"
    assert "appliance-spawner.socket" in found["mend"]
    assert "start appliance-spawner.socket appliance-spawner.service" in mended(machine)


def test_a_stopped_spawner(machine: Commands) -> None:
    machine.execute("systemctl stop appliance-spawner.socket appliance-spawner.service")
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("spawner", "the spawner does not run")
    assert "start appliance-spawner.service" in mended(machine)


@pytest.mark.long
def test_a_python_that_cannot_be_run(machine: Commands) -> None:
    python = machine.execute("echo $(readlink -f /opt/appliance/user/bin)/python").strip()
    machine.execute(f"mv {python} {python}.kept; echo no program >{python}")
    found = named(doctor(machine))
    assert (found["name"], found["summary"]) == ("server", "everybody's Python can't be run")
    assert "Permission denied" in found["why"]
    machine.execute(f"mv -f {python}.kept {python}")
    assert is_well(doctor(machine))


def test_a_kernel_that_cannot_be_loaded(machine: Commands, room: Preloaded) -> None:
    """Preloaded kernels hide it; it is told all the same, before the next start of the machine."""
    package = machine.execute("ls -d /opt/appliance/user/lib/python3*/site-packages/ipykernel")
    module = f"{package.strip()}/kernelbase.py"
    machine.execute(f"cp {module} /root/kept.py; echo 'raise ImportError(\"by hand\")' >{module}")
    found = named(doctor(machine))
    assert found["name"] == "kernel"
    assert found["why"] == "ipykernel can't be imported: ImportError: by hand"
    assert "installer" in found["mend"]
    machine.execute(f"cp /root/kept.py {module}")
    room.start_daemons()
    assert is_well(doctor(machine))


def test_what_is_around_it(machine: Commands) -> None:
    """Several things at once, none of which stops anybody today."""
    machine.execute(
        "appliance user add eve; appliance server start eve; appliance server stop eve;"
        " userdel nb-eve; chmod 777 /var/lib/appliance/backups;"
        " sed -i 's/^#.*/# changed/' /etc/systemd/system/appliance-proxy.service;"
        " sed -i 's/^pages:.*/&\\n  language: de/' /etc/appliance/config.yaml"
    )
    checks = {one["name"]: one for one in doctor(machine)["checks"]}
    assert "nb-eve of eve" in checks["accounts"]["summary"]
    assert "/var/lib/appliance/backups has the mode 0777" in checks["folders"]["summary"]
    assert "daemon-reload" in checks["units"]["mend"]
    assert checks["settings"]["mend"] == "sudo appliance config reload"
    report = doctor(machine, "--fix")
    fixed = {one["name"]: one["fixed"] for one in report["checks"] if one["fixed"]}
    assert fixed == {
        "folders": ["set owners and modes by systemd-tmpfiles"],
        "units": ["systemctl daemon-reload"],
    }
    # Neither accounts nor settings that nobody made take effect are touched.
    assert machine.attempt("id nb-eve").code != 0
    machine.execute("appliance config unset pages.language; appliance user remove eve --yes")


def test_logs_of_every_layer(machine: Commands, room: Preloaded) -> None:
    machine.execute("appliance user add zoe; appliance server start zoe", timeout=90)
    layers = ("proxy", "hub", "spawner", "preload", "disk", "zoe")
    found = {
        name: json.loads(machine.execute(f"appliance logs {name} -n 5 --json")) for name in layers
    }
    for name, said in found.items():
        assert 0 < len(said["lines"]) <= 5, name
    assert any("/hub/" in line for line in found["proxy"]["lines"]), found["proxy"]
    assert found["hub"]["lines"] != found["spawner"]["lines"]
    unknown = machine.attempt("appliance logs nobody-here")
    assert "nobody-here" in unknown.stderr
    room.stop_all()


def test_the_status_page_says_what_is_wrong_and_what_mends_it(machine: Commands) -> None:
    finding = {
        "topic": "backup", "severity": "failed", "summary": "the last backup broke off",
        "why": "the disk was pulled out", "mend": "sudo appliance backup create", "details": {},
        "checked": "2030-01-01T00:00:00+00:00",
    }  # fmt: skip
    machine.execute("appliance user passwd ada --stdin", stdin="violet lantern seventeen")
    place = "/var/lib/appliance/health/backup.json"
    machine.execute(f"test ! -e {place} || mv {place} /root/backup.json")
    machine.write_file(place, json.dumps(finding))
    machine.execute(
        "cd /root; rm -f jar;"
        " xsrf=$(curl -sS -c jar http://127.0.0.1/hub/login"
        ' | sed -n \'s/.*name="_xsrf" value="\\([^"]*\\)".*/\\1/p\' | head -1);'
        " curl -sS -o /dev/null -b jar -c jar --data-urlencode _xsrf=$xsrf --data username=ada"
        " --data-urlencode 'password=violet lantern seventeen' http://127.0.0.1/hub/login"
    )
    page = machine.execute("curl -sSf -b /root/jar http://127.0.0.1/hub/admin/status")
    # The page begins sentences with capital letters.
    for words in ("he last backup broke off", "he disk was pulled out"):
        assert words in page
    assert "<code>sudo appliance backup create</code>" in page
    assert "the last backup broke off" in machine.attempt("appliance status").stdout
    machine.execute(f"rm {place}; test ! -e /root/backup.json || mv /root/backup.json {place}")


def test_a_support_bundle_has_no_secret_of_this_machine(machine: Commands) -> None:
    mail = "planted-mail-word"
    machine.execute("appliance config set mail.password --stdin", stdin=mail, timeout=60)
    token = machine.execute("appliance token add ada").split()[-1]
    crypt = "$2b$12$" + "Kix2Aue5" * 6 + "abcde"
    hub = machine.execute("systemctl show --value -P MainPID appliance-hub.service").strip()
    # The first by what it stands beside, the next two by their looks, the last as it is set here.
    for number, text in enumerate(("password=planted-word", token, crypt, f"told {mail}")):
        # As if the hub had said it.
        words = f"MESSAGE=line{number} {text}\nSYSLOG_IDENTIFIER=appliance-hub\nOBJECT_PID={hub}\n"
        machine.execute("logger --journald", stdin=words)
    machine.execute("appliance support-bundle /root/bundle.tar.gz")
    assert machine.execute("stat -c %a /root/bundle.tar.gz").strip() == "600"
    machine.execute("mkdir /root/out; tar -xzf /root/bundle.tar.gz -C /root/out")
    log = machine.read_file("/root/out/appliance-support/journal/appliance-hub.service.log")
    assert [number for number in range(4) if f"line{number} " in log] == [0, 1, 2, 3]
    for secret in ("planted-word", token, crypt, mail):
        assert machine.attempt(f"grep -rF '{secret}' /root/out").stdout == ""
    machine.execute("grep -q 6\\*7 /root/out/appliance-support/doctor.json")
    machine.execute("appliance config unset mail.password", timeout=60)
