"""What a rehearsal must not leave, and how much lighter a server's work may be without a change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.preload_server import ENVIRON
from tests.fakes.single_user import ROOT

# Loads once, and then tries each case in a fork; prints what the check says about it.
PROGRAM = """
import sys; sys.path.append({root!r})
import asyncio, concurrent.futures, gc, json, logging, os, signal, socket, threading, time, weakref
import zmq
from appliance.preload import server, server_identity, server_residue
from appliance.preload.options import Options
kept = []

class Server:
    pass

def try_case(code):
    before = server_residue.Residue()
    names = dict(globals())
    with before.kept():
        names["app"] = Server()
        exec(code, names)
        app = weakref.ref(names.pop("app"))
    try:
        before.check(app)
    except server_residue.ResidueError as err:
        return str(err)
    return ""

server_residue.THREAD_SECONDS = 0.2
if sys.argv[1:] == ["unrepaired"]:
    server_identity._take_defaults = lambda: None
    try:
        server.load(Options(servers=True, kernels=True, packages=()))
    except server_residue.ResidueError as err:
        print(json.dumps(str(err)))
    sys.exit()
if sys.argv[1:2] == ["foreign"]:
    import jupyter_core.paths
    sys.path.append(sys.argv[2])
    jupyter_core.paths.ENV_CONFIG_PATH.insert(0, sys.argv[2])
    jupyter_core.paths.SYSTEM_CONFIG_PATH.insert(0, sys.argv[3])
    remarks = server.load(Options(servers=True, kernels=True, packages=()))
    print(json.dumps([remarks, [one for one in sys.modules if one.startswith("foreign")]]))
    sys.exit()
found = {{}}
for name, code in json.load(sys.stdin).items():
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        os.dup2(write, 1)
        os.close(write)
        os.write(1, try_case(code).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        found[name] = answer.read()
print(json.dumps(found))
"""

CASES = {
    "nothing": ("", ""),
    "what is put back": (
        "signal.signal(signal.SIGTERM, print); os.umask(0o77);"
        "logging.getLogger('a.b').addHandler(logging.StreamHandler());"
        "logging.getLogger('tornado').setLevel(1)",
        "",
    ),
    "a server that is kept": ("kept.append(app)", "is still referred to"),
    "a thread": (
        "threading.Thread(target=time.sleep, args=(9,), name='t').start()",
        "the first, t",
    ),
    "a pool": (
        "p = concurrent.futures.ThreadPoolExecutor(1); p.submit(int).result(); kept.append(p)",
        "a pool of threads",
    ),
    "a descriptor": ("kept.append(os.open('/dev/zero', 0))", "/dev/zero"),
    "a socket": ("kept.append(socket.socket())", "socket:"),
    "a loop": ("kept.append(asyncio.new_event_loop())", "an event loop is open"),
    "a zmq context": ("kept.append(zmq.Context())", "a zmq context is open"),
    "a lock": (
        "kept.append(asyncio.Event())\n"
        "async def wait():\n"
        "    asyncio.get_running_loop().call_soon(kept[0].set); await kept[0].wait()\n"
        "asyncio.run(wait())",
        "a lock belongs to an event loop",
    ),
    "a variable": ("os.environ['A'] = 'b'", "the environment was changed"),
    "a directory": ("os.chdir('/tmp')", "the working directory was changed"),
}


def _run(home: Path, *arguments: str, cases: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM.format(root=str(ROOT)), *arguments],
        env=ENVIRON | {"HOME": str(home)}, cwd="/", input=json.dumps(cases),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cases = {name: code for name, (code, _) in CASES.items()}
    text = _run(tmp_path_factory.mktemp("home"), cases=cases)
    answers: dict[str, str] = json.loads(text)
    return answers


@pytest.mark.parametrize("case", CASES)
def test_what_children_must_not_inherit_is_found(found: dict[str, str], case: str) -> None:
    expected = CASES[case][1]
    assert expected in found[case]
    assert bool(expected) == bool(found[case])


def test_template_that_noted_its_own_home_is_refused(tmp_path: Path) -> None:
    why = json.loads(_run(tmp_path, "unrepaired", cases={}))
    assert "has the daemon's home" in why


def test_extensions_that_others_brought_are_not_started_as_root(tmp_path: Path) -> None:
    """Nor is the administrator's configuration for servers run in the daemon."""
    environment, system = tmp_path / "environment", tmp_path / "etc"
    for folder, name in ((environment, "foreign1"), (system, "foreign2")):
        config = folder / "jupyter_server_config.d" / "foreign.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"ServerApp": {"jpserver_extensions": {name: True}}}))
        (environment / f"{name}.py").write_text("raise SystemExit('imported as root')")
    (system / "jupyter_server_config.py").write_text("raise SystemExit('run as root')")
    home = tmp_path / "home"
    home.mkdir()
    remarks, imported = json.loads(_run(home, "foreign", str(environment), str(system), cases={}))
    assert (remarks, imported) == ([], [])


LEAN = """
import sys; sys.path.append({root!r})
import json, importlib.metadata
before = importlib.metadata.entry_points
from appliance.singleuser import lean
lean.make_imports_lean()
lean.make_imports_lean()
after = importlib.metadata.entry_points
groups = ("jupyter_client.kernel_provisioners", "nbconvert.exporters", "console_scripts", "none")
same = [sorted(map(str, before(group=one))) == sorted(map(str, after(group=one))) for one in groups]
counts = [len(after(group=one)) for one in groups]
from jupyterlab_server import settings_handler, settings_utils, translation_utils
import gettext
schema = {{"title": "A", "properties": {{"a": {{"title": "B"}}}}}}
class English:
    _translator = gettext.NullTranslations()
    def pgettext(self, context, text): return text
class German(English):
    _translator = object()
    def pgettext(self, context, text): return "de:" + text
def translated(kind):
    copy = json.loads(json.dumps(schema))
    translation_utils.translator._translate_schema_strings(kind(), copy)
    return copy
plain = [translated(kind) for kind in (English, German)]
lean.make_requests_lean()
lean.make_requests_lean()
refused = 0
for _ in range(2):
    settings_utils.Validator.check_schema({{"type": "object"}})
    try:
        settings_utils.Validator.check_schema({{"type": 7}})
    except Exception as err:
        refused += type(err).__name__ == "SchemaError"
try:
    settings_utils.Validator({{"type": "object"}}).validate(7)
except Exception as err:
    refused += type(err).__name__ == "ValidationError"
checked = []
def mending(schema):
    checked.append(dict(schema))
    schema["version"] = str(schema["version"])
once = lean._Once(mending)
for version in (1, 1, "1", "1"):
    event = {{"version": version}}
    once(event)
    checked[-1]["after"] = event["version"]
print(json.dumps({{
    "checked": checked,
    "same": same, "counts": counts, "refused": refused,
    "translated": [translated(kind) for kind in (English, German)] == plain,
    "german": plain[1]["title"],
    "replaced": [
        type(settings_utils.Validator).__name__,
        after is importlib.metadata.entry_points,
        settings_handler.SettingsHandler.get.is_lean,
    ],
}}))
"""


def test_spared_work_changes_no_result() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", LEAN.format(root=str(ROOT))],
        env=ENVIRON, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found.pop("counts")[1] > 10
    assert found == {
        # A schema that the check mended is checked, and mended, again.
        "checked": [{"version": one, "after": "1"} for one in (1, 1, "1")],
        "same": [True] * 4,
        "refused": 3,
        "translated": True,
        "german": "de:A",
        "replaced": ["_CheckedOnce", True, True],
    }


COMMAND_LINE = """
import sys; sys.path.append({root!r})
import json
from appliance.singleuser import lean
lean.make_imports_lean()
from jupyter_server.serverapp import ServerApp
from jupyterlab.labapp import LabApp
def parsed(kind, argv):
    app = kind()
    app.parse_command_line(argv)
    return [app.argv, app.extra_args, app.cli_config, app.config]
def everything():
    given = ["--ServerApp.quit_button=False", "--no-browser", "--LabApp.dev_mode=True"]
    return [parsed(kind, argv) for kind in (ServerApp, LabApp) for argv in ([], given)]
before = everything()
lean.make_start_lean()
lean.make_start_lean()
print(json.dumps([before, everything()]))
"""


def test_command_lines_are_still_understood() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", COMMAND_LINE.format(root=str(ROOT))],
        env=ENVIRON | {"HOME": "/nonexistent"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    before, after = json.loads(done.stdout)
    assert after == before
    # An empty command line sets nothing, and another one does.
    assert (before[0][2], before[1][2]["LabApp"]) == ({}, {"dev_mode": "True"})


PACKING = """
import sys; sys.path.append({root!r})
from appliance.preload import packing
holes = [bytes(200) for _ in range(20000)]
del holes[::2]
before = sum(size * free for size, free in packing.small_holes().items())
packing.fill_holes()
after = sum(size * free for size, free in packing.small_holes().items())
print(before, after)
"""


def test_holes_in_memory_are_filled() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PACKING.format(root=str(ROOT))],
        env=ENVIRON, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    before, after = map(int, done.stdout.split())
    assert before > 2_000_000
    assert after < before / 10


STOPPED = """
import sys; sys.path.append({root!r})
import asyncio, os, signal
from appliance.preload import server_rehearsal

async def stop(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(30)

server_rehearsal._visit = stop
server_rehearsal.rehearse()
"""


def test_a_daemon_that_is_stopped_while_it_rehearses_ends_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", STOPPED.format(root=str(ROOT))],
        env=ENVIRON | {"HOME": str(tmp_path)}, cwd="/",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
