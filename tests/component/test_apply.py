"""A change takes effect, or everything is as it was: with real files, sockets and signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from appliance.config.edit import set_value, write_first
from appliance.config.load import load
from appliance.config.rendered import HUB_FILE, read_in_force
from appliance.config.schema import Config, Reload
from appliance.db.errors import DatabaseGoneError
from appliance.errors import ApplianceError, ConfigError, SpawnRefused
from appliance.hub.excuse import excuse
from appliance.places import Places
from appliance.rollout.apply import EVERYTHING, Applier, ApplyFailed
from appliance.rollout.changes import find_changes
from appliance.rollout.health import (
    Deadline,
    Unhealthy,
    check_address,
    check_port,
    find_fault,
    listening,
    wait_for_health,
)
from appliance.rollout.render import (
    PRELOAD_FILE,
    PROXY_FILE,
    SPAWNER_FILE,
    check_nginx,
    render_all,
)
from appliance.rollout.services import SystemdServices, TrialServices
from appliance.rollout.transaction import Marker, lock_file
from tests.fakes.hub_api import FakeHubApi
from tests.fakes.ports import free_port
from tests.fakes.services import (
    FakeCommands,
    FakeServices,
    FakeSpawnerDaemon,
    HealthPage,
)


def nginx_text(config: Config, places: Places) -> str:
    """Enough for nginx's own check, where there is one."""
    return f"""\
pid {places.run}/proxy/nginx.pid;
events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:{config.http.port}; root {config.base_url}; }} }}
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places.of_trial(tmp_path)
    for folder in (made.state, made.run, made.homes):
        folder.mkdir()
    write_first(made, {"http.port": str(free_port()), "http.address": "127.0.0.1"})
    return made


@pytest.fixture
def services(places: Places) -> Iterator[FakeServices]:
    made = FakeServices(places, works=lambda config: config.limits.tasks != 666)
    yield made
    made.close()


@pytest.fixture
def applier(places: Places, services: FakeServices) -> Applier:
    made = Applier(
        places=places,
        services=services,
        nginx_text=nginx_text,
        apply_seconds=1.0,
        rollback_seconds=1.0,
    )
    made.reload()
    services.told.clear()
    services.proxy_restarts.clear()
    return made


def set_to(places: Places, applier: Applier, key: str, word: str) -> None:
    applier.change(lambda text: set_value(text, key, [word], name=str(places.config_file)))


def snapshot(places: Places) -> dict[str, str]:
    """Everything that a failed change must leave as it was."""
    files = [places.config_file, *sorted(places.rendered.iterdir())]
    return {str(path): path.read_text() for path in files}


def test_the_first_reload_renders_and_tells_everybody(places: Places, applier: Applier) -> None:
    assert applier.in_force() == load(places.config_file)
    modes = {path.name: path.stat().st_mode & 0o777 for path in places.rendered.iterdir()}
    assert modes == {HUB_FILE: 0o600, SPAWNER_FILE: 0o600, PROXY_FILE: 0o644, "config.yaml": 0o600}


def test_a_change_is_told_to_whom_it_concerns(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    set_to(places, applier, "limits.memory", "2G")
    set_to(places, applier, "passwords.min_length", "10")
    set_to(places, applier, "base_url", "/jupyter/")
    set_to(places, applier, "servers.front_end", "notebook")
    assert services.told == [
        Reload.LIMITS,
        Reload.HUB,
        Reload.HUB | Reload.PROXY | Reload.NEXT_START,
        Reload.NEXT_START,
    ]
    assert not any(services.proxy_restarts)
    assert read_in_force(places).limits.memory == 2**31
    assert not Marker(places).exists
    assert len(list(places.config_history.iterdir())) == 4


def test_what_is_preloaded_follows_its_settings(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    services.remarks = ["kernels are not preloaded"]
    name = str(places.config_file)
    done = applier.change(lambda text: set_value(text, "preload.kernels", ["false"], name=name))
    assert done.notes == ["kernels are not preloaded"]
    set_to(places, applier, "preload.packages", "numpy pandas")
    assert services.told == [Reload.PRELOAD | Reload.NEXT_START, Reload.PRELOAD]


def test_what_the_preload_daemons_read(tmp_path: Path) -> None:
    installed = replace(Places.of_trial(tmp_path), trial=False)

    def rendered(**settings: Any) -> tuple[Any, int]:
        config = Config.model_validate(settings)
        file = render_all(config, installed, nginx_text=lambda *_: "")[
            installed.rendered / PRELOAD_FILE
        ]
        return json.loads(file.text), file.mode

    assert rendered() == ({"servers": True, "kernels": True, "packages": []}, 0o600)
    assert rendered(preload={"kernels": False, "packages": ["numpy"]})[0] == {
        "servers": True,
        "kernels": False,
        "packages": ["numpy"],
    }
    stock = rendered(servers={"program": "jupyterhub-singleuser"})[0]
    assert (stock["servers"], stock["kernels"]) == (False, False)


def test_what_changes_nothing_tells_nobody(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    set_to(places, applier, "limits.tasks", "512")
    assert services.told == []
    assert "\n  tasks: 512\n" in places.config_file.read_text()
    assert applier.reload().changes == []
    assert applier.reload(everything=True).reload == EVERYTHING


def test_a_moved_address_restarts_nginx_because_a_reload_would_not_move_it(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    set_to(places, applier, "http.address", "")
    assert services.proxy_restarts == [True]


def test_a_hub_that_does_not_come_up_is_undone(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    before = snapshot(places)
    with pytest.raises(ApplyFailed) as caught:
        set_to(places, applier, "limits.tasks", "666")
    assert "it ended with 78; the configuration before it is in force again" in caught.value.why
    assert snapshot(places) == before
    assert not Marker(places).exists
    assert services.told == [Reload.LIMITS, Reload.LIMITS]
    [refused] = places.config_history.glob("*.refused.yaml")
    assert "tasks: 666" in refused.read_text()
    assert str(refused) in caught.value.mend


def test_health_that_does_not_return_is_undone_in_time(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    before = snapshot(places)
    # Taken by another program after it was tested and found free.
    port = free_port()
    pages: list[HealthPage] = []

    def take() -> None:
        pages.append(HealthPage(port, ours=False))
        services.works = lambda config: config.http.port != port

    services.meanwhile = take
    started = time.monotonic()
    try:
        with pytest.raises(ApplyFailed):
            set_to(places, applier, "http.port", str(port))
    finally:
        pages[0].close()
    assert time.monotonic() - started < 5
    assert snapshot(places) == before


def test_when_the_old_one_does_not_work_either_that_is_said(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    before = snapshot(places)
    services.works = lambda config: False
    with pytest.raises(ApplyFailed, match="does not answer with that either"):
        set_to(places, applier, "passwords.min_length", "9")
    assert snapshot(places) == before
    assert not Marker(places).exists


def test_no_rollback_keeps_the_change(places: Places, applier: Applier) -> None:
    def change(text: str) -> str:
        return set_value(text, "limits.tasks", ["666"], name="f")

    with pytest.raises(ApplianceError, match="cannot restart"):
        applier.change(change, roll_back=False)
    assert read_in_force(places).limits.tasks == 666
    assert not Marker(places).exists


def test_a_broken_file_changes_nothing(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    rendered = {path: path.read_text() for path in places.rendered.iterdir()}
    places.config_file.write_text("limits:\n  memry: 1G\n")
    with pytest.raises(ConfigError) as caught:
        applier.reload()
    assert [problem.place for problem in caught.value.problems] == [f"{places.config_file}:2:3"]
    assert {path: path.read_text() for path in places.rendered.iterdir()} == rendered
    assert services.told == []


def test_a_failing_reload_of_an_edited_file_keeps_the_edit(
    places: Places, applier: Applier
) -> None:
    before = snapshot(places)
    places.config_file.write_text("# mine\nlimits: {tasks: 666}\n" + "http: {port: 1024}\n")
    with pytest.raises(ApplyFailed):
        applier.reload()
    assert snapshot(places) == before
    [refused] = places.config_history.glob("*.refused.yaml")
    assert refused.read_text().startswith("# mine\n")


def test_a_taken_port_is_refused_before_anything_changes(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    before, port = snapshot(places), free_port()
    page = HealthPage(port)
    try:
        with pytest.raises(ApplianceError, match="port is taken"):
            set_to(places, applier, "http.port", str(port))
    finally:
        page.close()
    assert snapshot(places) == before
    assert services.told == []


def test_a_program_of_servers_that_is_not_installed_is_refused(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    before = snapshot(places)
    with pytest.raises(SpawnRefused, match="the package jupyterhub is not in") as raised:
        set_to(places, applier, "servers.program", "jupyterhub-singleuser")
    assert "appliance env install jupyterhub" in raised.value.mend
    assert (snapshot(places), services.told) == (before, [])
    packages = places.user_environment / "lib/python3.11/site-packages"
    for folder in ("jupyterhub-6.1.1.dist-info", "jupyterhub/singleuser"):
        (packages / folder).mkdir(parents=True)
    set_to(places, applier, "servers.program", "jupyterhub-singleuser")
    assert services.told == [Reload.NEXT_START | Reload.PRELOAD]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_change_is_undone(
    places: Places, applier: Applier, services: FakeServices, number: signal.Signals
) -> None:
    before = snapshot(places)
    services.meanwhile = lambda: os.kill(os.getpid(), number)
    with pytest.raises(ApplyFailed, match="interrupted"):
        set_to(places, applier, "passwords.min_length", "9")
    assert snapshot(places) == before
    assert not Marker(places).exists


CRASH = """
import os, sys
from pathlib import Path
from appliance.config.edit import set_value
from appliance.places import Places
from appliance.rollout.apply import Applier
from tests.component.test_apply import nginx_text
from tests.fakes.services import FakeServices

places = Places.of_trial(Path(sys.argv[1]))
services = FakeServices(places, works=lambda config: True)
services.meanwhile = lambda: os._exit(9)
applier = Applier(places=places, services=services, nginx_text=nginx_text)
applier.change(lambda text: set_value(text, "passwords.min_length", ["9"], name="f"))
"""


def test_a_crash_in_the_middle_is_healed_by_the_next_command(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    before = snapshot(places)
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(places.settings)],
        cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert done.returncode == 9
    assert read_in_force(places).passwords.min_length == 9
    assert Marker(places).is_left_over
    assert "cut off" in applier.reload().healed
    assert snapshot(places) == before
    assert services.told == [EVERYTHING]
    assert not Marker(places).exists
    assert applier.reload().healed == ""


def test_a_stopped_appliance_gets_the_change_at_its_start(
    places: Places, applier: Applier, services: FakeServices
) -> None:
    services.stopped = True
    outcome = applier.change(lambda text: set_value(text, "limits.tasks", ["100"], name="f"))
    assert outcome.stopped
    assert services.told == []
    assert read_in_force(places).limits.tasks == 100


def test_render_tells_nobody(places: Places, applier: Applier, services: FakeServices) -> None:
    places.config_file.write_text("limits: {tasks: 100}\n")
    applier.render()
    assert services.told == []
    assert read_in_force(places).limits.tasks == 100
    assert lock_file(places).exists()


def test_secrets_are_masked_in_changes() -> None:
    new = Config.model_validate({"signup": {"code": "hush-hush"}})
    [change] = find_changes(Config(), new)
    assert (change.key, change.old, change.new) == ("signup.code", "null", "(secret)")


def test_health_wants_our_hub() -> None:
    port = free_port()
    config = Config.model_validate({"http": {"port": port}})
    assert "connection refused" in find_fault(config)
    for ours, said in ((False, "another program answers"), (True, "")):
        page = HealthPage(port, ours=ours)
        assert said in find_fault(config)
        page.close()
    with pytest.raises(Unhealthy, match="cannot reach the hub"):
        wait_for_health(config, Deadline.after(0.1))


def test_health_says_why_a_hub_cannot_start() -> None:
    config = Config.model_validate({"http": {"port": free_port()}})
    with socket.create_server(("127.0.0.1", config.http.port)) as listener:
        gone, sockets = DatabaseGoneError(Path("/x/hub.sqlite")), {"hub": listener}
        excusing = threading.Thread(target=excuse, args=(gone, sockets), kwargs={"seconds": 2})
        excusing.start()
        fault = find_fault(config)
        excusing.join()
    assert fault.startswith("cannot find the appliance's accounts: there was a database /x/hub.")
    assert "sudo appliance restore NAME" in fault


def test_addresses_that_this_machine_lacks_are_refused() -> None:
    config = Config.model_validate({"http": {"address": "192.0.2.1"}})
    with pytest.raises(ApplianceError, match="no such address"):
        check_address(config)
    check_address(Config.model_validate({"http": {"address": "127.0.0.1"}}))
    check_port(config, held=config)
    assert listening(Config()) == ("127.0.0.1", 80)
    assert listening(Config.model_validate({"http": {"address": "::"}})) == ("::1", 80)


def test_systemd_is_told_by_unit(tmp_path: Path) -> None:
    places, commands = Places.of_trial(tmp_path), FakeCommands()
    daemon = FakeSpawnerDaemon(places, {"ok": True})
    services = SystemdServices(places, runner=commands)
    services.carry_out(EVERYTHING, Deadline.after(5), restart_proxy=False)
    daemon.close()
    assert [seen for seen in commands.seen if not seen.startswith("systemctl show")] == [
        "systemctl restart appliance-hub.service",
        "systemctl reload-or-restart appliance-proxy.service",
        "systemctl restart appliance-preload-server.service appliance-preload-kernel.service",
    ]
    assert daemon.requests == [{"verb": "apply_limits"}]
    services.carry_out(Reload.PROXY, Deadline.after(5), restart_proxy=True)
    assert commands.seen[-1] == "systemctl restart appliance-proxy.service"


@pytest.mark.parametrize(
    ("code", "said"), [(1, "Job for appliance-hub.service failed"), (-1, "not ready in time")]
)
def test_a_unit_that_fails_is_told_with_its_log(tmp_path: Path, code: int, said: str) -> None:
    commands = FakeCommands(
        {
            "systemctl restart": (code, "Job for appliance-hub.service failed"),
            "journalctl": (0, "no such table: users\n"),
        }
    )
    services = SystemdServices(Places.of_trial(tmp_path), runner=commands)
    with pytest.raises(Unhealthy, match=said) as caught:
        services.carry_out(Reload.HUB, Deadline.after(5), restart_proxy=False)
    assert caught.value.log == ("no such table: users",)


def test_preloading_that_fails_is_told_and_no_failure(tmp_path: Path) -> None:
    commands = FakeCommands(
        {
            "systemctl restart": (1, "Job for appliance-preload-kernel.service failed"),
            "systemctl is-failed appliance-preload-server": (1, "inactive"),
            "systemctl is-failed appliance-preload-kernel": (0, "failed"),
            "systemctl show": (0, "0123456789abcdef"),
            "journalctl": (0, "loading\n/opt can be written by others\n"),
        }
    )
    services = SystemdServices(Places.of_trial(tmp_path), runner=commands)
    assert services.carry_out(Reload.PRELOAD, Deadline.after(5), restart_proxy=False) == [
        "kernels are not preloaded and start the ordinary way: /opt can be written by others "
        "(sudo appliance logs preload)"
    ]
    assert commands.seen[-1].endswith(" _SYSTEMD_INVOCATION_ID=0123456789abcdef")
    slow = SystemdServices(Places.of_trial(tmp_path), runner=FakeCommands({"systemctl": (-1, "")}))
    assert slow.carry_out(Reload.PRELOAD, Deadline.after(5), restart_proxy=False) == [
        "what is preloaded is still being loaded; until then all starts the ordinary way"
    ]


def test_a_package_that_cannot_be_preloaded_is_told(tmp_path: Path) -> None:
    said = "nonesuch is not preloaded: No module named 'nonesuch'"
    commands = FakeCommands(
        {
            "systemctl show --value --property=InvocationID appliance-preload-kernel": (0, "ab"),
            "journalctl": (0, f"loaded in 2 s\n{said}\n"),
        }
    )
    services = SystemdServices(Places.of_trial(tmp_path), runner=commands)
    assert services.carry_out(Reload.PRELOAD, Deadline.after(5), restart_proxy=False) == [said]


def test_a_spawner_that_refuses_is_told(tmp_path: Path) -> None:
    places = Places.of_trial(tmp_path)
    services = SystemdServices(places, runner=FakeCommands())
    with pytest.raises(Unhealthy, match="No such file"):
        services.carry_out(Reload.LIMITS, Deadline.after(1), restart_proxy=False)
    daemon = FakeSpawnerDaemon(places, {"ok": False, "code": "failed", "why": "no bus"})
    with pytest.raises(Unhealthy, match="no bus"):
        services.carry_out(Reload.LIMITS, Deadline.after(1), restart_proxy=False)
    daemon.close()


@pytest.mark.parametrize(
    ("said", "stopped"),
    [("inactive\ninactive\n", True), ("active\nactive\n", False), ("failed\ninactive\n", False)],
)
def test_stopped_means_that_both_units_are(tmp_path: Path, said: str, stopped: bool) -> None:
    commands = FakeCommands({"systemctl is-active": (3, said)})
    services = SystemdServices(Places.of_trial(tmp_path), runner=commands)
    assert services.is_stopped() is stopped


def test_a_trial_is_told_by_a_signal_and_waited_for(tmp_path: Path) -> None:
    places = Places.of_trial(tmp_path)
    services = TrialServices(places)
    assert services.is_stopped()
    hub = FakeHubApi(places)
    (places.run / "trial.pid").write_text(f"{os.getpid()}\n")
    assert not services.is_stopped()

    def restart(number: int, frame: FrameType | None) -> None:
        hub.started = "2030-01-01T09:00:00Z"

    old = signal.signal(signal.SIGHUP, restart)
    try:
        services.carry_out(Reload.HUB, Deadline.after(5), restart_proxy=False)
        assert hub.started.endswith("09:00:00Z")
        places.logs.mkdir(parents=True)
        (places.logs / "hub.log").write_text("no such table\n")
        with pytest.raises(Unhealthy, match="not ready in time") as caught:
            services.carry_out(Reload.HUB, Deadline.after(0.1), restart_proxy=False)
    finally:
        signal.signal(signal.SIGHUP, old)
        hub.close()
    assert caught.value.log == ("no such table",)


def test_nginx_checks_a_configuration_when_no_disk_has_room(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(places.state / "full"))
    check_nginx(nginx_text(load(places.config_file), places), places)


WITHOUT_IPV4 = """\
ip link set lo up && ip address del 127.0.0.1/8 dev lo && exec "$@"
"""
FIND_HUB = """\
import socket, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from appliance.config.schema import Config
from appliance.rollout.health import find_fault

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

class Server(HTTPServer):
    address_family = socket.AF_INET6

server = Server(("::", 80), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
find_fault(Config())
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="makes a network")
def test_the_hub_is_looked_for_where_there_is_no_ipv4() -> None:
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", WITHOUT_IPV4, "sh", sys.executable, "-c", FIND_HUB],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "asked\n", done.stderr
