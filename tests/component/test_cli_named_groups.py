"""Services, roles and custom scopes by command: set, looked at, refused, taken away."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer import Context
from typer.core import TyperCommand as Command

from appliance.access.configured import configured_roles
from appliance.cli import completion
from appliance.config.fields import NAME
from appliance.config.kinds import Reload
from appliance.config.load import load
from appliance.config.rendered import read_rendered
from appliance.places import Places
from tests.component.test_cli import Done, Run, hub, places, run, services
from tests.fakes.hub_api import FakeHubApi
from tests.fakes.services import FakeServices

__all__ = ["hub", "places", "run", "services"]

COMMAND = '["python3","-m","jupyterhub_idle_culler"]'


def did(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


@pytest.fixture
def culler(run: Run, services: FakeServices) -> None:
    did(run(f"config set services.culler.command '{COMMAND}'"))


def test_a_service_comes_into_being_with_its_first_setting(
    run: Run, services: FakeServices, places: Places
) -> None:
    before = places.config_file.read_text()
    done = did(run(f"config set services.culler.command '{COMMAND}'"))
    assert done.out == (
        'services.culler: (none) → {command: [python3, "-m", jupyterhub_idle_culler]}\n'
        "  the hub restarts (pages wait a second; servers don't notice)\n"
        "  the proxy reloads (open connections go on)\n"
        "done; the appliance answers\n"
    )
    assert services.told[-1] == Reload.HUB | Reload.PROXY
    service = load(places.config_file).services["culler"]
    assert service.command == ["python3", "-m", "jupyterhub_idle_culler"]
    after = places.config_file.read_text()
    assert '  culler:\n    command: [python3, "-m", jupyterhub_idle_culler]\n' in after
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    did(run("config unset services.culler"))
    assert places.config_file.read_text() == before


def test_a_command_is_typed_in_three_ways(run: Run, services: FakeServices, places: Places) -> None:
    expected = ["sh", "-c", "echo a, b"]
    for typed in ('\'["sh", "-c", "echo a, b"]\'', "\"sh -c 'echo a, b'\"", "-- sh -c 'echo a, b'"):
        did(run(f"config set services.a.command {typed}"))
        assert load(places.config_file).services["a"].command == expected
        did(run("config unset services.a"))
    assert "can't be read as a shell" in run('config set services.a.command "sh -c \'x"').err


def test_environment_is_a_map(run: Run, culler: None, places: Places) -> None:
    did(run("config set services.culler.environment TZ=UTC A=b=c"))
    did(run("config add services.culler.environment EMPTY= TZ=Europe/Berlin"))
    did(run("config remove services.culler.environment A"))
    service = load(places.config_file).services["culler"]
    assert service.environment == {"TZ": "Europe/Berlin", "EMPTY": ""}
    assert run("config remove services.culler.environment NONE").code == 1
    assert "NAME=VALUE" in run("config add services.culler.environment TZ").err
    refused = run("config add services.culler.environment '1 A=x'")
    assert refused.code == 78
    assert "services.culler.environment: must have a variable's name" in refused.err
    did(run("config remove services.culler.environment TZ EMPTY"))
    assert load(places.config_file).services["culler"].environment == {}
    did(run("""config set services.culler.info '{room: 12, of: {who: [ada]}}'"""))
    assert load(places.config_file).services["culler"].info == {"room": 12, "of": {"who": ["ada"]}}
    assert "found 1" in run("config set services.culler.environment '{A: 1}'").err


def test_secrets_stay_secret_where_services_have_them(
    run: Run, culler: None, places: Places
) -> None:
    assert run("config set services.culler.api_token 0123456789").code == 2
    done = did(run("config set services.culler.api_token --stdin", stdin="hush-hush-hush\n"))
    assert done.out.startswith("services.culler.api_token: null → (secret)\n")
    did(run("config set proxy.api_token --stdin", stdin="hush-hush-proxy\n"))
    views = ("show", "show --json", "get services.culler", "get services --json", "show proxy")
    assert "hush-hush" not in "".join(did(run(f"config {view}")).out for view in views)
    assert "    # api_token: (secret)\n" in run("config show services.culler").out
    assert run("config get services.culler.api_token --secrets").out == "hush-hush-hush\n"
    assert "hush-hush-hush" in run("config show services --secrets").out
    rendered = places.rendered / "spawner.json"
    assert "hush" not in rendered.read_text()
    assert stat.S_IMODE(rendered.stat().st_mode) == 0o600
    assert json.loads(rendered.read_text())["services"]["culler"]["api_token"] is None
    hub = read_rendered(places.rendered / "hub.json")
    token = hub.services["culler"].api_token
    assert token is not None
    assert token.get_secret_value() == "hush-hush-hush"
    # One that goes takes its secret with it, unseen.
    assert "hush" not in did(run("config unset services.culler")).out
    refused = run("config set services.culler.api_token --stdin", stdin="short\n")
    assert refused.code == 78
    assert "8 to 64 characters" in refused.err
    assert '"short"' not in refused.err


def test_roles_are_built_up_and_reach_the_hub(
    run: Run, services: FakeServices, places: Places
) -> None:
    did(run("config add roles.teachers.users Ada grace"))
    did(run("config set roles.teachers.scopes list:users 'access:servers!group=class 1'"))
    did(run("config add roles.teachers.scopes read:metrics"))
    did(run("config remove roles.teachers.users grace"))
    did(run("config set roles.user.scopes self shares"))
    did(run("config set roles.server.description Servers"))
    assert services.told[-1] == Reload.HUB
    roles = configured_roles(read_rendered(places.rendered / "hub.json"))
    assert roles["teachers"].scopes == (
        "list:users", "access:servers!group=class 1", "read:metrics",
    )  # fmt: skip
    assert roles["teachers"].users == {"ada"}
    assert roles["user"].scopes == ("self", "shares")
    assert roles["user"].description
    assert "users:activity!user" in roles["server"].scopes
    assert roles["server"].description == "Servers"
    assert run("config get roles").out == "teachers\nuser\nserver\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "set roles.teachers.scopes list:usrs",
            "roles.teachers.scopes[0]: there is no scope 'list:usrs'; did you mean list:users?",
        ),
        ("set roles.admin.scopes self", "roles.admin.scopes: can't be changed"),
        ("add roles.user.users ada", "roles.user.users: can't be given to anybody"),
        ("set services.a/b.url http://127.0.0.1:1", "services: must have a service's name"),
        ("set services.x.url ftp://x", "services.x.url: must be a URL"),
        ("set services.x.oauth_client_id x", 'services.x.oauth_client_id: must be "service-"'),
        ("set custom_scopes.grades.description x", "custom_scopes: must have a name such as"),
        (
            "set custom_scopes.custom:grades.subscopes users",
            "custom_scopes.custom:grades.subscopes[0]: must be a custom scope",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_anything_happens(
    run: Run, services: FakeServices, places: Places, command: str, said: str
) -> None:
    before, told = places.config_file.read_text(), len(services.told)
    rendered = (places.rendered / "hub.json").read_text()
    done = run(f"config {command}")
    assert done.code == 78
    assert said in done.err
    assert done.err.endswith("nothing was changed.\n")
    assert (places.config_file.read_text(), len(services.told)) == (before, told)
    assert (places.rendered / "hub.json").read_text() == rendered


def test_a_role_of_a_service_that_is_not_there_is_noted(run: Run, culler: None) -> None:
    done = did(run("config add roles.reader.services culler cullr"))
    note = "roles.reader.services has cullr, which is not in services; the role waits for it"
    assert f"  note: {note}\n" in done.out
    assert f"note: {note}\n" in run("config check").out
    assert run("config check --json").json["notes"] == [note]
    assert note not in did(run("config set limits.cpu 2")).out
    assert "note" not in did(run("config remove roles.reader.services cullr")).out


def test_roles_that_name_a_renamed_user_are_told(
    run: Run, services: FakeServices, hub: FakeHubApi
) -> None:
    did(run("config set roles.teachers.users ada"))
    assert did(run("user rename bob robert")).err == ""
    told = did(run("user rename ada grace")).err
    assert told.startswith("note: roles.teachers.users still names ada; to mend: ")


def test_names_that_are_not_there_are_told_with_the_nearest(run: Run, culler: None) -> None:
    for command in ("get services.culer.url", "unset services.culer", "unset services.culer.url"):
        assert "did you mean services.culler?" in run(f"config {command}").err
    assert "did you mean services.culler.url?" in run("config set services.culler.ulr x").err
    assert "did you mean services.culler.url?" in run("config get services.culler.ulr").err
    assert "did you mean services.culler.url?" in run("config set service.culler.ulr x").err
    for key in ("services", "services.culler", "limits"):
        assert "why      it is a group of settings\n" in run(f"config set {key} x").err
    assert run("config show services.culler.url").code == 1


def test_show_and_get_tell_what_is_there(
    run: Run, culler: None, places: Places, tmp_path: Path
) -> None:
    did(run("config set services.my.pages.url http://127.0.0.1:9001"))
    did(run("config set custom_scopes.custom:grades.description Grades"))
    assert run("config get services").out == "culler\nmy.pages\n"
    assert run("config get services.my.pages.url").out == "http://127.0.0.1:9001\n"
    assert run("config get services.culler.command").out == "python3\n-m\njupyterhub_idle_culler\n"
    assert "memory: 512M\n" in run("config get services.culler").out
    shown = did(run("config show services.my.pages")).out
    assert shown.startswith('services:\n  my.pages:\n    url: "http://127.0.0.1:9001"\n')
    assert "culler" not in shown
    said = run("config show --json").json
    assert said["settings"]["services.my.pages.url"] == "http://127.0.0.1:9001"
    assert "services.my.pages.url" in said["set"]
    assert "roles: {}" in run("config show").out
    copy = tmp_path / "copy.yaml"
    copy.write_text(run("config show").out)
    assert load(copy) == load(places.config_file)
    did(run("config unset services"))
    assert run("config get services --json").json == {}


def test_explain_knows_them_by_any_name(run: Run, culler: None) -> None:
    table = did(run("config explain services")).out
    assert f"services.{NAME}.url" in table
    assert "services.culler.url" in run("config explain services.culler").out
    one = did(run(f"config explain services.{NAME}.command")).out
    assert "now" not in one
    assert f"appliance config set services.{NAME}.command 'python3 -m jupyter" in one
    assert '  now       [python3, "-m"' in run("config explain services.culler.command").out
    facts = run(f"config explain roles.{NAME}.scopes --json").json
    assert facts["expected"].startswith("a list, each a scope")


def test_changes_of_members_are_told_one_by_one(run: Run, culler: None, places: Places) -> None:
    text = places.config_file.read_text()
    changed = text.replace(
        "  culler:\n", "  grades:\n    url: http://127.0.0.1:9001\n  culler:\n    admin: true\n"
    )
    places.config_file.write_text(changed)
    assert run("config check --json").json["changes"] == [
        {"key": "services.culler.admin", "old": "false", "new": "true"},
        {"key": "services.grades", "old": "(none)", "new": '{url: "http://127.0.0.1:9001"}'},
    ]
    did(run("config reload"))
    places.config_file.write_text(text)
    assert 'services.grades: {url: "http://127.0.0.1:9001"} → (none)' in run("config reload").out


def test_a_folder_of_templates_must_be_there(
    run: Run, services: FakeServices, tmp_path: Path
) -> None:
    refused = run(f"config set pages.templates {tmp_path}/none")
    assert refused.code == 1
    assert "there is no folder" in refused.err
    assert run("config get pages.templates").out == "null\n"
    did(run(f"config set pages.templates {tmp_path}"))


def test_tab_offers_what_is_there_and_what_is_being_named(run: Run, culler: None) -> None:
    def offered(incomplete: str) -> list[str]:
        return [name for name, _ in completion.setting_names(incomplete)]

    assert "services.culler.url" in offered("serv")
    assert offered("services.grades.u") == ["services.grades.url"]
    assert not any(NAME in name for name in offered(""))
    assert [name for name, _ in completion.list_names("services.culler.e")] == [
        "services.culler.environment"
    ]
    assert completion.group_names("s") == ["servers", "services", "services.culler", "signup"]
    context = Context(Command("set"))
    context.params["key"] = "services.culler.admin"
    assert completion.setting_values(context, "t") == ["true"]
