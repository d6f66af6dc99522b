"""Changing environments with the real uv, and packages that are made on the spot."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv as uv_package

from appliance.config.schema import Config
from appliance.environments import changes, kinds
from appliance.environments.care import look
from appliance.environments.changes import Changer, alone
from appliance.environments.extensions import extensions
from appliance.environments.kernels import add_kernel, kernels, remove_kernel
from appliance.environments.operations import Shop, freeze, packages
from appliance.errors import ApplianceError, NotFound
from appliance.findings import Severity, read_findings
from appliance.places import Places
from installer import uv as installer_uv
from installer.environments import COMPLETE, PINNED, Environment
from tests.fakes.wheels import make_wheel

PINS = "base==1.0\nipykernel==1.0\npip==1.0\n"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """An installation whose everybody's environment has three packages."""
    places = Places.of_trial(tmp_path / "t")
    wheels = tmp_path / "wheels"
    for name in ("base", "ipykernel", "pip"):
        make_wheel(wheels, name, "1.0")
    make_wheel(wheels, "base", "2.0")
    make_wheel(wheels, "dep", "1.0")
    make_wheel(wheels, "tool", "1.0", requires=["dep"], scripts=["tool"])
    make_wheel(wheels, "tool", "2.0", requires=["dep"], scripts=["tool"])
    make_wheel(wheels, "other", "1.0", requires=["dep", "base"])
    make_wheel(wheels, "mover", "1.0", requires=["base>=2"])
    own = make_wheel(places.software / "wheels", "hub-appliance", "1.0")

    def named(name: str, *, wanted: str = "", locked: str = "") -> Environment:
        return Environment(name, PINS, wanted, locked)

    monkeypatch.setattr(Environment, "named", staticmethod(named))
    program = installer_uv.uv_program(places.software)
    program.parent.mkdir(parents=True)
    program.symlink_to(uv_package.find_uv_bin())
    monkeypatch.setattr(kinds.Everybody, "proof", lambda self, directory: ["/bin/true"])
    monkeypatch.setattr(kinds.Kernel, "proof", lambda self, directory: ["/bin/true"])
    python = os.path.realpath(sys.executable)
    monkeypatch.setattr("appliance.environments.operations.SYSTEM_PYTHON", python)
    first = places.software / "environments/user-first"
    _run(program, "venv", "-q", "--python", python, first)
    _run(
        program, "pip", "install", "-q", "--offline", "--no-index", "--no-deps", "--find-links",
        wheels, "--python", first / "bin/python", "base==1.0", "ipykernel", "pip", own,
    )  # fmt: skip
    (first / PINNED).write_text(f"{PINS}\nhub-appliance @ {own.as_uri()} --hash=sha256:00\n")
    (first / COMPLETE).touch()
    (places.software / "user").symlink_to("environments/user-first")
    return places


def _run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)


@pytest.fixture
def shop(places: Places, tmp_path: Path) -> Shop:
    return Shop(places, Changer(places, network={}, say=lambda text: None), tmp_path / "wheels")


def _versions(shop: Shop, name: str = "") -> dict[str, str]:
    return {row["name"]: row["version"] for row in packages(shop, name)}


def _site(places: Places) -> Path:
    return next(places.user_environment.glob("lib/python3*/site-packages"))


def test_what_is_installed_is_in_a_new_directory_and_the_old_one_stays(shop: Shop) -> None:
    places = shop.places
    before = places.user_environment
    outcome = shop.install("", ["tool<2"], did="install")
    assert outcome.added == {"dep": "1.0", "tool": "1.0"}
    after = places.user_environment
    assert after != before
    assert not (before / "bin/tool").exists()
    # The same file, not a copy of it.
    base = _site(places) / "base.py"
    assert (
        base.stat().st_ino == next(before.glob("lib/python3*/site-packages/base.py")).stat().st_ino
    )
    script = (after / "bin/tool").read_text()
    assert str(after) in script
    assert "new-user" not in script
    assert subprocess.run([after / "bin/tool"], capture_output=True).stdout == b"1\n"
    assert (places.settings / "user-requirements.txt").read_text() == "tool<2\n"
    assert (places.settings / "user-requirements.lock").read_text() == "dep==1.0\ntool==1.0\n"
    why = {row["name"]: row["why"] for row in packages(shop, "")}
    assert (why["tool"], why["dep"], why["base"]) == ("asked for", "came along", "appliance")
    assert freeze(shop, "") == "dep==1.0\ntool==1.0\n"


def test_the_installer_takes_it_for_what_is_wanted(shop: Shop) -> None:
    shop.install("", ["tool"], did="install")
    record = shop.changer.records.read("")
    kind = shop.kind(record)
    environment = Environment("user", PINS, record.wanted, record.locked)
    tools = kinds.installed_tools(shop.places)
    assert environment.is_current(shop.places.software, tools)
    assert kind.current() == shop.places.user_environment


def test_what_came_along_goes_unless_something_needs_it(shop: Shop) -> None:
    shop.install("", ["tool", "other"], did="install")
    shop.remove("", ["tool"], did="remove")
    assert _versions(shop).keys() >= {"other", "dep", "base"}
    outcome = shop.remove("", ["other"], did="remove")
    assert outcome.removed == {"other": "1.0", "dep": "1.0"}
    assert _versions(shop) == {
        "base": "1.0", "hub-appliance": "1.0", "ipykernel": "1.0", "pip": "1.0",
    }  # fmt: skip


def test_versions_stay_until_they_are_upgraded(shop: Shop, tmp_path: Path) -> None:
    newest = tmp_path / "wheels/tool-2.0-py3-none-any.whl"
    kept = newest.rename(tmp_path / "later.whl")
    shop.install("", ["tool"], did="install")
    kept.rename(newest)
    shop.install("", ["other"], did="install")
    assert _versions(shop)["tool"] == "1.0"
    outcome = shop.upgrade("", [], did="upgrade")
    assert outcome.moved == {"tool": ("1.0", "2.0")}
    shop.rollback("", 0, did="rollback")
    assert _versions(shop)["tool"] == "1.0"
    assert "tool==1.0" in (shop.places.settings / "user-requirements.lock").read_text()


def test_what_cannot_be_newer_says_why(shop: Shop) -> None:
    shop.install("", ["tool==1.0"], did="install")
    with pytest.raises(ApplianceError, match="it was asked for as tool") as caught:
        shop.upgrade("", ["tool"], did="upgrade")
    assert caught.value.mend == "sudo appliance env install 'tool==VERSION'"
    with pytest.raises(NotFound, match="nosuch is not there"):
        shop.upgrade("", ["nosuch"], did="upgrade")
    assert not shop.upgrade("", ["dep"], did="upgrade").changed, "it came along"


def test_going_back_to_what_was_deleted_builds_it_again(shop: Shop) -> None:
    shop.install("", ["tool==1.0"], did="one")
    first = shop.places.user_environment
    shop.install("", ["tool==2.0"], did="two")
    subprocess.run(["rm", "-r", first], check=True)
    shop.rollback("", 2, did="rollback")
    assert shop.places.user_environment == first
    assert _versions(shop)["tool"] == "1.0"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["nosuchthing"], "there is no package 'nosuchthing'"),
        (["base==2.0"], "the appliance itself needs base 1.0"),
        (["mover"], "what the appliance itself needs (base 1.0)"),
        (["hub-appliance==2"], "hub-appliance is the appliance's own"),
    ],
)
def test_what_cannot_be_changes_nothing(shop: Shop, lines: list[str], why: str) -> None:
    before = sorted(shop.places.software.glob("environments/*"))
    with pytest.raises(ApplianceError) as raised:
        shop.install("", lines, did="install")
    assert why in raised.value.why
    assert raised.value.mend
    assert sorted(shop.places.software.glob("environments/*")) == before
    assert shop.places.user_environment.name == "user-first"
    assert not (shop.places.settings / "user-requirements.txt").exists()


def test_what_does_not_start_is_not_put_in_force(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = ["/bin/sh", "-c", "echo a server does not start: no jinja2; exit 1"]
    monkeypatch.setattr(kinds.Everybody, "proof", lambda self, directory: failing)
    with pytest.raises(ApplianceError, match="cannot install tool") as raised:
        shop.install("", ["tool"], did="install")
    assert "no jinja2" in raised.value.why
    assert [path.name for path in shop.places.software.glob("environments/user*")] == ["user-first"]


def test_a_killed_change_leaves_all_as_it_was(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(changes, "mark_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.install("", ["tool"], did="install")
    assert [path.name for path in shop.places.software.glob("environments/[!h]*")] == ["user-first"]
    left = shop.places.software / "environments/new-user-4194999"
    left.mkdir()
    look(Config(), shop.places)
    assert "cut off" in read_findings(shop.places.health)[0].summary

    shop.repair("", did="repair")
    assert not left.exists()


def test_a_dry_run_changes_nothing(shop: Shop, places: Places, tmp_path: Path) -> None:
    dry = Shop(places, shop.changer, tmp_path / "wheels", dry_run=True)
    outcome = dry.install("", ["tool"], did="install")
    assert outcome.added.keys() == {"tool", "dep"}
    assert outcome.bytes > 0
    assert places.user_environment.name == "user-first"
    assert [path.name for path in places.software.glob("environments/user*")] == ["user-first"]


def test_two_at_once(shop: Shop) -> None:
    with alone(shop.places), pytest.raises(ApplianceError, match="cannot change the packages now"):
        shop.install("", ["tool"], did="install")


def test_what_came_from_a_folder_can_be_built_again_without_it(shop: Shop) -> None:
    shop.install("", ["tool"], did="install")
    kept = {path.name for path in (shop.places.software / "wheels/own").iterdir()}
    assert kept == {"tool-2.0-py3-none-any.whl", "dep-1.0-py3-none-any.whl"}


@pytest.mark.parametrize("name", ["tool-9.0-py3-none-any.whl", "shadow", "pipe", "folder"])
def test_what_is_no_wheel_is_not_copied_to_where_everybody_reads(
    shop: Shop, places: Places, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:$y$j9T$salt$hash")
    path = tmp_path / "theirs" / name
    path.parent.mkdir()
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    else:
        path.symlink_to(secret)
    with pytest.raises(ApplianceError, match="cannot install from"):
        shop.install("", [f"tool @ file://{path}"], did="test")
    assert not (places.software / "wheels/own" / name).exists()


def test_a_folder_of_wheels_may_hold_anything_else(
    shop: Shop, places: Places, tmp_path: Path
) -> None:
    (tmp_path / "wheels/notes.whl").write_text("no wheel, and no name of one")
    shop.install("", ["tool==1.0"], did="test")
    kept = [path.name for path in (places.software / "wheels/own").iterdir()]
    assert "tool-1.0-py3-none-any.whl" in kept


def test_a_kernel_of_its_own(shop: Shop, places: Places) -> None:
    shop.create("data", ["tool==1.0"], title="Data", python="", did="create")
    assert {"tool", "ipykernel", "pip"} <= _versions(shop, "data").keys()
    assert "base" not in _versions(shop, "data")
    spec = next(one for one in kernels(places) if one.name == "data")
    assert (spec.title, spec.origin, spec.works) == ("Data", "environment", True)
    assert spec.command.startswith(f"{places.software}/environments/kernel-data-")
    # Other versions than everybody's may be there.
    shop.install("data", ["mover"], did="install")
    assert _versions(shop, "data")["base"] == "2.0"
    assert places.user_environment.name == "user-first"
    look(Config(), places)
    assert read_findings(places.health)[0].severity is Severity.OK
    (places.jupyter / "environments/data").resolve().joinpath(COMPLETE).unlink()
    look(Config(), places)
    assert "'data' is not complete" in read_findings(places.health)[0].summary
    shop.repair("data", did="repair")
    assert _versions(shop, "data")["base"] == "2.0"
    shop.delete("data")
    assert not [one for one in kernels(places) if one.name == "data"]
    assert not list(places.software.glob("environments/kernel-data-*"))


@pytest.mark.parametrize("name", ["Data", "python3", "a b", "../x", "", "x" * 32])
def test_names_that_no_environment_can_have(name: str, shop: Shop) -> None:
    with pytest.raises(ApplianceError):
        shop.create(name, [], title="", python="", did="create")


def test_a_kernel_of_another_language(places: Places) -> None:
    command = ["/bin/sh", "-c", "true", "{connection_file}"]
    add_kernel(places, "shell", command, title="Shell", language="sh")
    spec = next(one for one in kernels(places) if one.name == "shell")
    assert (spec.title, spec.language, spec.origin) == ("Shell", "sh", "added")
    remove_kernel(places, "shell")
    assert not [one for one in kernels(places) if one.name == "shell"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/bin/sh"], "no {connection_file}"),
        (["/nowhere", "{connection_file}"], "no program"),
        ([], "there is no command"),
    ],
)
def test_kernels_that_could_not_start_are_refused(
    command: list[str], why: str, places: Places
) -> None:
    with pytest.raises(ApplianceError) as raised:
        add_kernel(places, "x", command, title="", language="")
    assert why in raised.value.why


def test_a_known_kernel_says_what_it_needs(shop: Shop, places: Places, tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as raised:
        add_kernel(places, "bash", [], title="", language="")
    assert raised.value.mend == "sudo appliance env install bash_kernel"
    files = {"bash_kernel/__init__.py": "", "bash_kernel/__main__.py": ""}
    make_wheel(tmp_path / "wheels", "bash_kernel", "1.0", files=files)
    shop.install("", ["bash_kernel"], did="install")
    add_kernel(places, "bash", [], title="", language="")
    spec = next(one for one in kernels(places) if one.name == "bash")
    assert (spec.title, spec.language, spec.works) == ("Bash", "bash", True)


def test_a_full_disk_changes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr("appliance.environments.clone.link", full)
    with pytest.raises(ApplianceError) as raised:
        shop.install("", ["tool"], did="install")
    assert "No space left on device" in raised.value.why
    assert [path.name for path in shop.places.software.glob("environments/*")] == ["user-first"]


def test_an_index_that_cannot_be_reached_is_named(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    network = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    shop = Shop(places, Changer(places, network=network, say=lambda text: None))
    with pytest.raises(ApplianceError) as raised:
        shop.install("", ["tool"], did="install")
    assert "the package index can't be reached (http://127.0.0.1:9)" in raised.value.why
    assert places.user_environment.name == "user-first"


def test_extensions_are_listed_with_what_made_them_on_or_off(shop: Shop, tmp_path: Path) -> None:
    folder = "fancy-1.0.data/data"
    files = {
        "fancy.py": "",
        f"{folder}/share/jupyter/labextensions/@fancy/lab/package.json": '{"version": "1.0"}',
        f"{folder}/etc/jupyter/jupyter_server_config.d/fancy.json": (
            '{"ServerApp": {"jpserver_extensions": {"fancy": true}}}'
        ),
    }
    make_wheel(tmp_path / "wheels", "fancy", "1.0", files=files)
    shop.install("", ["fancy"], did="install")
    config = Config.model_validate(
        {"servers": {"lab_extensions_off": ["@fancy/lab", "gone"], "extensions": {"fancy": False}}}
    )
    found = {one.name: one for one in extensions(shop.places.user_environment, config)}
    assert (found["@fancy/lab"].on, found["@fancy/lab"].version) == (False, "1.0")
    assert (found["fancy"].on, found["fancy"].why) == (False, "servers.extensions")
    assert (found["gone"].on, found["jupyterlab"].on) == (False, True)
    on = {one.name: one.on for one in extensions(shop.places.user_environment, Config())}
    assert (on["@fancy/lab"], on["fancy"]) == (True, True)


def _telling(log: Path) -> str:
    """A line of Python that leaves a word when it is run."""
    return f"import os; os.close(os.open({str(log)!r}, os.O_CREAT))\n"


@pytest.mark.parametrize("name", ["evil.pth", "sitecustomize.py", "usercustomize/__init__.py"])
def test_nothing_of_a_package_runs_while_packages_are_installed(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    log, wheels = tmp_path / "log", tmp_path / "wheels"
    make_wheel(wheels, "evil", "1.0", files={name: _telling(log), "evil.py": "version = 1\n"})
    shop.install("", ["evil"], did="install")
    shop.install("", ["tool<2"], did="install")
    shop.upgrade("", [], did="upgrade")
    assert not log.exists()
    # It is installed nevertheless, compiled, and goes with its package.
    site = _site(shop.places)
    assert (site / name).read_text() == _telling(log)
    assert list(site.glob("__pycache__/evil.*.pyc"))
    shop.remove("", ["evil"], did="remove")
    assert not (_site(shop.places) / name).exists()
    assert not log.exists()
    shop.rollback("", 0, did="rollback")
    assert (_site(shop.places) / name).exists()
    assert not log.exists()


def test_lines_that_are_no_packages_stay(shop: Shop) -> None:
    line = "import sys\n"
    (_site(shop.places) / "_local.pth").write_text(line)
    shop.install("", ["tool"], did="install")
    assert (_site(shop.places) / "_local.pth").read_text() == line
    assert not (shop.places.user_environment / ".startup").exists()


def test_no_package_says_what_python_is(shop: Shop, tmp_path: Path) -> None:
    name = "evil-1.0.data/data/pyvenv.cfg"
    make_wheel(tmp_path / "wheels", "evil", "1.0", files={name: f"home = {tmp_path}\n"})
    before = shop.places.user_environment
    with pytest.raises(ApplianceError, match="can't be installed"):
        shop.install("", ["evil"], did="install")
    assert shop.places.user_environment == before
    assert "evil" not in _versions(shop)
