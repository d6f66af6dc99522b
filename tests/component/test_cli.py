"""The command line from argv to exit code, against a hub's API in memory and files in a folder."""

from __future__ import annotations

import io
import json
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import __version__
from appliance.cli import __main__, reference, settings_change, settings_view, status
from appliance.cli.errors import NeedsRootError, exit_code, require_root
from appliance.cli.shapes import SHAPES
from appliance.client.connections import by_socket
from appliance.client.hub import HubClient, HubUnreachable, parse_server
from appliance.config.edit import write_first
from appliance.config.load import load
from appliance.config.rendered import dump_json
from appliance.config.schema import Config
from appliance.doctor import machine
from appliance.doctor.report import Check, State
from appliance.errors import BadRequest, ConfigError, NotFound
from appliance.findings import Finding, Severity, write_finding
from appliance.names import ServerId, ServerName, Username
from appliance.places import TRIAL_VARIABLE, Places
from appliance.rollout.apply import Applier
from appliance.rollout.transaction import Marker
from tests.component.test_apply import nginx_text
from tests.fakes.hub_api import FakeHubApi
from tests.fakes.ports import free_port
from tests.fakes.services import FakeServices

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv(TRIAL_VARIABLE, str(tmp_path))
    made = Places.of_trial(tmp_path)
    for folder in (made.state, made.run, made.homes):
        folder.mkdir()
    write_first(made, {"http.port": str(free_port())})
    return made


@pytest.fixture
def services(places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServices]:
    made = FakeServices(places, works=lambda config: config.limits.tasks != 666)

    def make(_: Places) -> Applier:
        return Applier(places=places, services=made, nginx_text=nginx_text, apply_seconds=1)

    for module in (settings_change, settings_view):
        monkeypatch.setattr(module, "make_applier", make)
    make(places).reload()
    yield made
    made.close()


@pytest.fixture
def hub(places: Places) -> Iterator[FakeHubApi]:
    made = FakeHubApi(places)
    made.add("ada", admin=True)
    made.add("bob", state="waiting")
    yield made
    made.close()


@pytest.fixture
def run(places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(line: str, *, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["appliance", *shlex.split(line)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = 0
        try:
            __main__.main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run_command


# Settings.


def test_set_says_what_changed_and_what_happens(run: Run, services: FakeServices) -> None:
    done = run("config set limits.memory 600M")
    assert done == Done(
        0,
        "limits.memory: null → 600M\n"
        "  servers that run get it at once\n"
        "done; the appliance answers\n",
        "",
    )
    assert run("config get limits.memory").out == "600M\n"
    assert run("config set limits.memory 600M").out.startswith("nothing to change")
    assert run("config set limits.memory 700M --quiet").out == ""


def test_wrong_values_are_refused_with_their_place(run: Run, services: FakeServices) -> None:
    done = run("config set http.port eighty")
    assert done.code == 78
    assert re.search(
        r"config\.yaml:\d+:9  http\.port: must be a whole number .*, found \"eighty\"\n"
        r"1 problem; nothing was changed\.\n$",
        done.err,
    )
    assert run("config set limits.memry 1G").err == (
        "error: cannot find a setting 'limits.memry'\n"
        "  why      there is none; did you mean limits.memory?\n"
        "  to mend  appliance config explain limits.memory\n"
    )


def test_a_change_that_fails_is_undone_and_said(run: Run, services: FakeServices) -> None:
    done = run("config set limits.tasks 666")
    assert done.code == 1
    assert "the configuration before it is in force again" in done.err
    assert run("config get limits.tasks").out == "512\n"


def test_secrets_come_by_stdin_and_are_not_shown(
    run: Run, services: FakeServices, places: Places
) -> None:
    assert run("config set signup.code hush-hush").code == 2
    assert run("config set signup.code").code == 2
    done = run("config set signup.code --stdin", stdin="hush-hush\n")
    assert done.code == 0
    assert "signup.code: null → (secret)" in done.out
    shown = run("config show").out + run("config show --json").out + run("config get signup").out
    assert "hush-hush" not in shown
    assert "# code: (secret)" in shown
    assert run("config get signup.code --secrets").out == "hush-hush\n"
    assert "hush-hush" in run("config show --secrets").out
    (places.rendered / "spawner.json").read_text().index('"code": null')


def test_lists_are_added_to_and_removed_from(run: Run, services: FakeServices) -> None:
    assert run("config add http.trusted_proxies 10.0.0.0/8 192.0.2.1").code == 0
    assert run("config remove http.trusted_proxies 10.0.0.0/8").code == 0
    assert run("config get http.trusted_proxies").out == "192.0.2.1\n"
    assert run("config unset http.trusted_proxies").code == 0
    assert run("config get http.trusted_proxies --json").json["value"] == []


def test_show_is_yaml_that_means_the_same(
    run: Run, services: FakeServices, places: Places, tmp_path: Path
) -> None:
    run("config set culling.timeout 2h")
    copy = tmp_path / "copy.yaml"
    copy.write_text(run("config show").out)
    assert load(copy) == load(places.config_file)


def test_check_tells_what_a_reload_would_change(
    run: Run, services: FakeServices, places: Places, tmp_path: Path
) -> None:
    assert run("config check").out.endswith("right and in force\n")
    text = places.config_file.read_text()
    places.config_file.write_text(text.replace("  # cpu: null", "  cpu: 2", 1))
    done = run("config check --json").json
    assert done["changes"] == [{"key": "limits.cpu", "old": "null", "new": "2.0"}]
    assert run("config reload").code == 0
    assert run("config check --json").json["in_force"] is True
    other = tmp_path / "other.yaml"
    other.write_text("limits: {memry: 1G}")
    assert run(f"config check {other}").code == 78


def test_edit_keeps_a_wrong_draft(
    run: Run,
    services: FakeServices,
    places: Places,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "%s" "$TEXT" > "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    before = places.config_file.read_text()
    monkeypatch.setenv("TEXT", "limits: {memry: 1G}")
    done = run("config edit")
    assert done.code == 78
    assert "go on with: sudo appliance config edit" in done.err
    assert places.config_file.read_text() == before
    monkeypatch.setenv("TEXT", before.replace("  # cpu: null", "  cpu: 2"))
    assert "going on with the draft" in run("config edit").err
    assert run("config get limits.cpu").out == "2.0\n"
    assert not (places.settings / "config.draft.yaml").exists()


def test_explain_needs_no_file(run: Run, places: Places) -> None:
    places.config_file.unlink()
    assert "must be   a size such as 512M" in run("config explain limits.memory").out
    assert "limits.cpu" in run("config explain limits").out
    assert run("config show").code == 78


# People.


def test_users_are_added_with_passwords_shown_once(run: Run, hub: FakeHubApi) -> None:
    done = run("user add - dan --generate", stdin="eve\n\nfrank\n")
    assert done.out == "eve    made-1234\nfrank  made-1234\ndan    made-1234\n"
    assert run("user add gil --generate --quiet").out == "gil  made-1234\n"
    assert set(hub.users) == {"ada", "bob", "dan", "eve", "frank", "gil"}


def test_passwords_go_to_a_new_private_file(run: Run, hub: FakeHubApi, tmp_path: Path) -> None:
    file = tmp_path / "passwords.csv"
    names = " ".join(f"u{number}" for number in range(45))
    done = run(f"user add {names} --generate --output {file} --json")
    assert {user["password"] for user in done.json["created"]} == {None}
    assert "40 of 45" in done.err
    assert len(file.read_text().splitlines()) == 46
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = run(f"user add zoe --generate --output {file}")
    assert again.code == 1
    assert "zoe" not in hub.users


def test_names_that_are_refused_are_told_and_the_others_added(run: Run, hub: FakeHubApi) -> None:
    done = run("user add dan ada")
    assert done.code == 1
    assert "dan: added" in done.out
    assert "'ada' is no good" in done.err


def test_users_are_listed_approved_made_admin_removed(run: Run, hub: FakeHubApi) -> None:
    assert [user["name"] for user in run("user list --waiting --json").json] == ["bob"]
    assert run("user approve --all").out == "bob: approved\n"
    assert run("user admin bob").code == 0
    assert [user["name"] for user in run("user list --admins --json").json] == ["ada", "bob"]
    assert run("user admin bob --revoke").code == 0
    assert run("user rename bob Zoe").out == "bob: is called zoe now\n"
    assert run("user rename zoe bob --json").json == {"name": "bob"}
    assert run("user rename nobody-here zoe").code == 1
    assert run("user remove bob").code == 2
    assert run("user remove bob --yes").out == "bob: removed\n"
    assert "ada" in run("user list").out


def test_passwords_are_set_generated_and_linked(run: Run, hub: FakeHubApi, places: Places) -> None:
    assert run("user passwd ada --stdin", stdin="correct horse\n").code == 0
    assert hub.passwords["ada"] == "correct horse"
    assert run("user passwd ada --generate").out == "made-1234\n"
    assert run("user passwd ada").code == 2
    assert "too short" in run("user passwd ada --stdin", stdin="short\n").err
    places.rendered.mkdir(parents=True, exist_ok=True)
    (places.rendered / "spawner.json").write_text(dump_json(Config(), secrets=False))
    assert run("user link ada").out == "http://localhost/hub/setup?token=abc\n"


def test_unknown_users_are_told_with_the_mend(run: Run, hub: FakeHubApi) -> None:
    assert run("user approve nobody-here").err == (
        "error: cannot find the user 'nobody-here'\n"
        "  why      no such user\n"
        "  to mend  appliance user list\n"
    )
    done = run("user remove ada zoe --yes --json")
    assert done.json == {"done": ["ada"], "failed": [{"name": "zoe", "why": "no such user"}]}
    assert done.code == 1
    assert run("user approve ../x").code == 1


def test_many_users_come_page_by_page(places: Places, hub: FakeHubApi) -> None:
    for number in range(450):
        hub.add(f"u{number}")
    assert len(list(HubClient.of(places).users())) == 452


# Servers, status, logs.


def test_servers_start_and_stop(run: Run, hub: FakeHubApi) -> None:
    assert run("server start ada").out == "ada: ready\n"
    assert run("server start ada/lab2").out == "ada/lab2: ready\n"
    assert "ada/lab2" in run("server list").out
    assert run("server stop ada/lab2 --json").json == {"stopped": ["ada/lab2"]}
    assert run("server stop --all").out == "ada: stopped\n"
    assert run("server list").err == "no server runs\n"
    assert run("server stop").code == 2


def test_a_server_that_fails_to_start_is_told(run: Run, hub: FakeHubApi) -> None:
    hub.fails_to_start = "out of memory"
    done = run("server start ada")
    assert done.code == 1
    assert "out of memory" in done.err
    assert "appliance logs ada" in done.err


def test_status_is_one_screen(run: Run, hub: FakeHubApi, services: FakeServices) -> None:
    done = run("status")
    assert done.code == 0
    assert "1 person waits" in done.out
    assert "config.yaml is in force" in done.out
    assert "preload  servers and kernels off: a trial preloads nothing\n" in done.out
    assert len(done.out.splitlines()) == 10


def test_status_says_how_services_are(run: Run, hub: FakeHubApi, services: FakeServices) -> None:
    hub.services = [
        {"name": "culler", "state": "running", "why": ""},
        {"name": "pages", "state": "failed", "why": "its process ended with exit status 3"},
    ]
    out = run("status").out
    assert "services culler running, pages failed\n" in out
    assert "pages: its process ended with exit status 3\n" in out
    assert run("status --json").json["services"] == hub.services


def test_status_counts_preloaded_starts(run: Run, hub: FakeHubApi, services: FakeServices) -> None:
    hub.starts = {"preloaded": 30, "cold": 0, "latest_cold": None}
    assert "30 of 30 starts since the hub's own preloaded\n" in run("status").out
    reason = "too many requests; wait a few seconds"
    hub.starts = {"preloaded": 30, "cold": 1, "latest_cold": {"server": "ada", "reason": reason}}
    out = run("status").out
    assert "30 of 31 starts since the hub's own preloaded\n" in out
    assert f"the last cold one, ada: {reason}\n" in out
    assert run("status --json").json["preload"]["starts"] == hub.starts


def test_status_says_what_is_wrong_when_nothing_runs(run: Run, places: Places) -> None:
    done = run("status")
    assert done.code == 1
    assert "does not answer: nothing is configured yet" in done.out
    places.config_file.write_text("limits: {memry: 1}")
    assert run("status --json").json["configuration"]["state"] == "wrong"


def test_status_sees_a_full_disk_itself(
    run: Run, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_finding(places.health, Finding("disk", Severity.OK, "there is room on every disk"))
    assert "room on every disk" in run("status").out
    monkeypatch.setattr(machine, "disks", lambda _: [("/", 10**10, 0, 1000, 500)])
    out = run("status").out
    assert "disk: failed: a disk is full, room on /: only 0" in out
    assert "room on every disk" not in out
    known = Finding("disk", Severity.FAILED, "the disk of homes is full")
    write_finding(places.health, known)
    assert [one["summary"] for one in run("status --json").json["findings"]] == [known.summary]


def test_status_sees_a_broken_disk_itself(
    run: Run, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Finding("disk", Severity.FAILED, "the disk of homes is full")
    write_finding(places.health, known)
    broken = Check("writing to /home", State.FAILED, "the disk takes nothing any more")
    monkeypatch.setattr(status, "writing", lambda _: iter([broken]))
    out = run("status").out
    assert "disk: failed: a disk is broken, writing to /home: the disk takes nothing" in out
    assert known.summary not in out


def test_status_tells_ordinary_users_to_become_root(
    run: Run, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.rendered.mkdir()
    (places.rendered / "hub.json").write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "only root may see how it is: sudo appliance status" in run("status").out


def test_status_says_that_the_configuration_is_missing(
    run: Run, hub: FakeHubApi, services: FakeServices, places: Places
) -> None:
    places.config_file.unlink()
    assert "config.yaml has 1 problem" in run("status").out


def test_a_hub_that_is_down_is_told(run: Run, places: Places) -> None:
    for command in ("user list", "server list", "user add zoe"):
        done = run(command)
        assert done.code == 1
        assert done.err.startswith("error: cannot reach the hub\n  why      it does not run\n")


def test_logs_of_services(run: Run, hub: FakeHubApi, places: Places) -> None:
    assert run("config set services.culler.command '[sleep, 1]'").code == 0
    places.logs.mkdir(parents=True, exist_ok=True)
    places.service_log("culler").write_text("one\ntwo\n")
    assert run("logs culler").out == "one\ntwo\n"
    assert run("logs culler -n 1 --json").json == {"name": "culler", "lines": ["two"]}
    assert run("config unset services.culler").code == 0
    assert run("logs services/culler").out == "one\ntwo\n"
    assert run("logs services/..").code == 1
    assert "why      it never ran here" in run("logs services/cullr").err


def test_logs_of_what_is_not_ours_to_show(
    run: Run, hub: FakeHubApi, services: FakeServices
) -> None:
    assert run("config set services.grades.url http://127.0.0.1:9001").code == 0
    assert "started by somebody else" in run("logs grades").err
    assert "no program, server or service of that name" in run("logs eve").err


def test_logs_of_programs_and_users(run: Run, hub: FakeHubApi, places: Places) -> None:
    log = places.state / "log" / "hub.log"
    log.parent.mkdir()
    log.write_text("one\ntwo\nthree\n")
    assert run("logs hub -n 2").out == "two\nthree\n"
    assert run("logs ada -n 2 --json").json == {"name": "ada", "lines": ["line 0", "line 1"]}
    assert run("logs proxy").code == 1
    assert run("logs hub -f --json").code == 2
    assert "plain files" in run("logs hub --since 1h").err
    assert "neither an age nor a date" in run("logs hub --since soon").err
    assert "a trial has no upkeep" in run("logs upkeep").err


def test_status_has_a_line_for_each_finding(run: Run, hub: FakeHubApi, places: Places) -> None:
    write_finding(places.health, Finding("backup", Severity.OK, "the last one is from today"))
    disk = Finding("disk", Severity.WARNING, "/home is nearly full", mend="appliance disk")
    write_finding(places.health, disk)
    lines = [line.strip() for line in run("status").out.splitlines()]
    assert "found    disk: warning: /home is nearly full; appliance disk" in lines
    assert "backup: the last one is from today" in lines
    assert [one["topic"] for one in run("status --json").json["findings"]] == ["disk", "backup"]


# The edge.


def test_version(run: Run) -> None:
    assert run("version").out == f"{__version__}\n"
    assert run("version --json").json == {"version": __version__}


def test_exit_codes() -> None:
    assert exit_code(ConfigError([])) == 78
    assert exit_code(NeedsRootError("x")) == 77
    assert exit_code(NotFound("x")) == 1
    assert exit_code(ZeroDivisionError()) == 70


def test_a_bug_is_told_without_a_traceback_unless_asked_for(
    run: Run, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_view, "load", None, raising=False)
    monkeypatch.setattr(settings_view, "read_text", lambda path: 1 / 0)
    done = run("config show")
    assert done.code == 70
    assert "error: cannot go on" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in run("config show --debug").err


def test_ordinary_users_are_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["appliance", "user", "add", "bob smith"])
    with pytest.raises(NeedsRootError) as caught:
        require_root(Places.installed())
    assert caught.value.mend == "sudo appliance user add 'bob smith'"


def test_wrong_command_lines_end_with_2(run: Run, places: Places) -> None:
    for line in ("nonsense", "config", "config set", "user add", "logs -n x", "user approve"):
        assert run(line).code == 2, line


def test_completion_offers_settings_values_and_users(
    places: Places, hub: FakeHubApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complete(line: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli"],
            env={
                "PYTHONPATH": str(ROOT),
                "_APPLIANCE_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(line.split(" ")) - 1),
                TRIAL_VARIABLE: str(places.settings),
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    assert "limits.memory" in complete("appliance config set limits.m")
    assert complete("appliance config set signup.mode o").split() == ["open"]
    assert complete("appliance user passwd a").split() == ["ada"]


def test_help_and_version_do_not_import_what_they_do_not_need() -> None:
    code = (
        "import sys; sys.argv = ['appliance', *{0}];\n"
        "from appliance.cli.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {{'pydantic', 'ruamel.yaml', 'rich', 'tornado'}}))"
    )
    for arguments in ("['version']", "['--help']"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(arguments)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "[]", arguments


def test_the_page_of_commands_is_fresh() -> None:
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == reference.page(), (
        "run python -m appliance.cli.reference"
    )
    assert set(reference.command_names()) == set(SHAPES)


def test_json_has_the_documented_names(
    run: Run, hub: FakeHubApi, services: FakeServices, places: Places
) -> None:
    """The first JSON value of each shape has the names that the command prints."""
    commands = {
        "status": "",
        "version": "",
        "config show": "",
        "config get": "limits.memory",
        "config set": "limits.memory 2G",
        "config unset": "limits.memory",
        "config reload": "",
        "config explain": "limits.memory",
        "config check": "",
        "user list": "",
        "user add": "dan",
        "user approve": "bob",
        "user admin": "bob",
        "user passwd": "ada --generate",
        "user link": "ada",
        "user rename": "bob robert",
        "disk status": "",
        "disk usage": "--now",
        "server start": "ada",
        "server list": "",
        "server stop": "ada",
        "user remove": "robert --yes",
    }
    for command, arguments in commands.items():
        said = run(f"{command} {arguments} --json").json
        documented = json.loads(SHAPES[command].partition("\n\n")[0])
        if isinstance(said, list):
            said, documented = said[0], documented[0]
        assert set(said) == set(documented), command


# The client.


def test_the_client_tells_who_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(HubUnreachable, match="it does not run"):
        HubClient(by_socket(tmp_path / "none.sock")).status()


def test_the_client_turns_refusals_into_errors(places: Places, hub: FakeHubApi) -> None:
    client = HubClient.of(places)
    with pytest.raises(NotFound) as caught:
        client.approve(Username("zoe"))
    assert caught.value.what == "cannot find the user 'zoe'"
    with pytest.raises(BadRequest, match="too short"):
        client.set_password(Username("ada"), "short")


def test_servers_are_named_by_user_and_name() -> None:
    assert parse_server("ada") == ServerId(Username("ada"))
    assert parse_server("Ada/lab2") == ServerId(Username("ada"), ServerName("lab2"))
    with pytest.raises(BadRequest):
        parse_server("ada/../x")


def test_the_default_configuration_is_what_the_first_file_says(places: Places) -> None:
    config = load(places.config_file)
    assert config.model_copy(update={"http": Config().http}) == Config()


def test_status_says_that_a_change_was_cut_off(
    run: Run, services: FakeServices, places: Places
) -> None:
    Marker(places).place()
    assert run("status --json").json["configuration"]["state"] == "interrupted"
    assert "a change was cut off" in run("status").out
    assert "is in force again" in run("config reload").err
    assert run("status --json").json["configuration"]["state"] == "in_force"


def test_help_of_groups_cuts_no_sentence_off() -> None:
    for words in ([], ["class"], ["env"], ["https"], ["env", "extension"]):
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli", *words, "--help"],
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "80"},
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "Commands:" in done.stdout
        assert "..." not in done.stdout.partition("Commands:")[2], words
