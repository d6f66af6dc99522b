"""A forked kernel is the kernel that a cold start makes, in every field that code can see."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.outgoing import outgoing_variables
from appliance.preload.client import Cold
from tests.fakes.certificates import Authority
from tests.fakes.kernels import (
    Place,
    TestKernel,
    cold_kernel,
    forked_kernel,
    place,
    scientific_environment,
)  # fmt: skip
from tests.fakes.preload_kernel import KernelTemplate, kernel_template

FIELDS = Path(__file__).parents[1] / "fakes" / "kernel_fields.py"
PACKAGES = ("numpy", "pandas", "matplotlib")

# A forked kernel's parent is PID 1, which needs no watching.
WATCHES_PARENT = "ParentPollerUnix Thread-N"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scientific_environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def template(python: Path) -> Iterator[KernelTemplate]:
    with (
        tempfile.TemporaryDirectory(prefix="t-") as folder,
        kernel_template(Path(folder), packages=PACKAGES, python=python) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def bare_template(python: Path) -> Iterator[KernelTemplate]:
    with (
        tempfile.TemporaryDirectory(prefix="t-") as folder,
        kernel_template(Path(folder), python=python) as found,
    ):
        yield found


@pytest.fixture
def ada(python: Path) -> Iterator[Place]:
    """Ada, with packages and settings of her own; sockets' paths must be short."""
    with tempfile.TemporaryDirectory(prefix="ada-") as folder:
        authorities = Path(folder, "authorities.pem")
        authorities.write_text(Authority("School").pem)
        way_out = outgoing_variables(
            proxy="http://school:3128", direct=[".school"], authorities=authorities
        )
        where = place(Path(folder), python, TZ="Asia/Kolkata", EDITOR="nano", **way_out)
        version = python.parents[1].glob("lib/python3*")
        own = where.home / ".local" / "lib" / next(version).name / "site-packages"
        (own / "hers").mkdir(parents=True)
        (own / "her_module.py").write_text("WHOSE = 'hers'\n")
        (own / "hers.pth").write_text(f"{own / 'hers'}\n")
        settings = where.home / ".config" / "matplotlib"
        (settings / "stylelib").mkdir(parents=True)
        (settings / "matplotlibrc").write_text("lines.linewidth: 7\n")
        (settings / "stylelib" / "hers.mplstyle").write_text("lines.linewidth: 3\n")
        (where.folder / "helper.py").write_text("def double(x):\n    return 2 * x\n")
        yield where


def fields(kernel: TestKernel) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kernel.run(FIELDS.read_text()).splitlines()[-1])
    return found


def test_a_template_is_fit_for_forking(template: KernelTemplate) -> None:
    found = template.found
    assert found["remarks"] == []
    assert found["threads"] == 1
    assert [number for number in found["files"] if number < 10] == [0, 1, 2]
    assert sorted(found["environ"]) == ["HOME", "LANG", "PATH"]


def test_a_template_does_without_a_rehearsal_after_one_that_left_something(
    python: Path, ada: Place
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="t-") as folder,
        kernel_template(Path(folder), python=python, APPLIANCE_NO_REHEARSAL="1") as template,
    ):
        assert template.found["remarks"] == [
            "kernels are not rehearsed: the last rehearsal left something behind"
        ]
        assert "APPLIANCE_NO_REHEARSAL" not in template.found["environ"]
        with forked_kernel(ada, template.socket) as kernel:
            assert kernel.value("1 + 1") == 2


def differences(cold: dict[str, Any], forked: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that are not the same, but for what comes with being forked."""
    cold["threads"].remove(WATCHES_PARENT)
    cold["system's threads"] -= 1
    return {name: (found, forked[name]) for name, found in cold.items() if found != forked[name]}


def test_a_forked_kernel_equals_a_cold_one(bare_template: KernelTemplate, ada: Place) -> None:
    with cold_kernel(ada) as kernel:
        cold = fields(kernel)
    with forked_kernel(ada, bare_template.socket) as kernel:
        forked = fields(kernel)
    missing = set(cold.pop("modules")) - set(forked.pop("modules"))
    assert not missing
    assert "School" in str(cold["network"])
    differing = differences(cold, forked)
    assert not differing, json.dumps(differing, indent=1)


def test_packages_change_only_what_their_import_changes(
    template: KernelTemplate, ada: Place
) -> None:
    """Beside cold kernels that have imported them."""
    imports = "import numpy, pandas, matplotlib.pyplot\n"
    with cold_kernel(ada) as kernel:
        kernel.run(imports)
        cold = fields(kernel)
    with forked_kernel(ada, template.socket) as kernel:
        kernel.run(imports)
        forked = fields(kernel)
    assert not any(name.startswith("appliance") for name in forked["modules"])
    # Its codec is for names of fonts, which the template has looked up for all.
    missing = set(cold.pop("modules")) - set(forked.pop("modules"))
    assert missing <= {"encodings.utf_16_be"}
    differing = differences(cold, forked)
    # The order is that of imports.
    assert sorted(cold["filters"]) == sorted(forked["filters"])
    differing.pop("filters", None)
    assert not differing, json.dumps(differing, indent=1)


RANDOM = """
import multiprocessing, random, secrets, tempfile, uuid
import numpy as np
print(json.dumps([
    random.random(), np.random.random(), np.random.default_rng().random(), secrets.token_hex(),
    str(uuid.uuid4()), tempfile.mktemp(), multiprocessing.current_process().authkey.hex(),
]))
"""


def test_kernels_have_no_random_numbers_in_common(template: KernelTemplate, ada: Place) -> None:
    drawn = []
    for _ in range(2):
        with forked_kernel(ada, template.socket) as kernel:
            drawn.append(json.loads(kernel.run(f"import json\n{RANDOM}")))
    assert len(drawn[0]) == 7
    assert not set(drawn[0]) & set(drawn[1])


MATPLOTLIB = """
import matplotlib.pyplot as plt
from matplotlib import font_manager, style, texmanager
plt.plot([1, 2])
plt.show()
found = {
    "folders": [matplotlib.get_configdir(), matplotlib.get_cachedir()],
    "backend": [matplotlib.get_backend(), plt.get_backend()],
    "settings": {name: str(value) for name, value in matplotlib.rcParams.items()},
    "original": {name: str(value) for name, value in matplotlib.rcParamsOrig.items()
                 if name != "backend"},
    "default": {name: str(value) for name, value in matplotlib.rcParamsDefault.items()
                if name != "backend"},
    "styles": [style.available, style.library.get("hers")],
    "style folders": list(map(str, style.USER_LIBRARY_PATHS)),
    "tex": str(texmanager.TexManager._cache_dir),
    "fonts": [font_manager.X11FontDirectories, sorted(font_manager.get_font_names())],
    "shown": plt.get_fignums(),
}
print(json.dumps(found))
"""


def test_matplotlib_is_set_up_as_the_user_has_it(template: KernelTemplate, ada: Place) -> None:
    code = f"import json, matplotlib\n{MATPLOTLIB}"
    with forked_kernel(ada, template.socket) as kernel:
        forked = json.loads(kernel.run(code).splitlines()[-1])
    with cold_kernel(ada) as kernel:
        cold = json.loads(kernel.run(code).splitlines()[-1])
    assert cold["settings"]["lines.linewidth"] == "7.0"
    assert "hers" in cold["styles"][0]
    for name, found in cold.items():
        assert forked[name] == found, name


def test_nothing_is_made_in_the_home_of_one_who_plots_nothing(
    template: KernelTemplate, python: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="bob-") as folder:
        bob = place(Path(folder), python)
        with forked_kernel(bob, template.socket) as kernel:
            kernel.run("1 + 1")
        assert {path.name for path in bob.home.iterdir() if not path.name.startswith("k")} == {
            "notebooks", ".ipython",
        }  # fmt: skip


MENTIONS = """
import gc, os
gc.unfreeze()
found = []
for holder in gc.get_objects():
    values = holder.values() if isinstance(holder, dict) else holder
    if isinstance(holder, (dict, list, tuple, set)) and holder is not globals():
        found += [value for value in list(values) if isinstance(value, str) and FOLDER in value]
print(json.dumps(found))
"""


def test_nothing_of_the_templates_home_is_known_to_kernels(
    template: KernelTemplate, ada: Place
) -> None:
    folder = str(template.socket.parent)
    with forked_kernel(ada, template.socket) as kernel:
        found = json.loads(kernel.run(f"import json\nFOLDER = {folder!r}\n{MENTIONS}"))
    # Where matplotlib would look for fonts under other systems.
    assert {line for line in found if "\n" not in line and not line.endswith("Fonts")} <= {folder}


PROGRAM = """
import multiprocessing, pickle, subprocess, sys
import helper, her_module

class Own:
    number = 3

own = pickle.loads(pickle.dumps(Own()))
pools = []
for method in ("spawn", "fork"):
    with multiprocessing.get_context(method).Pool(2) as pool:
        pools.append(pool.map(helper.double, [1, 2]))
path = subprocess.run(
    [sys.executable, "-c", "import sys; print(len(sys.path))"], capture_output=True, check=True
)
print(json.dumps([
    her_module.WHOSE, helper.__file__, own.number, Own.__module__, pools, int(path.stdout),
    __name__, sys.modules[__name__].Own is Own,
]))
# It ignores SIGTERM, and the end of ipykernel waits half a minute for its children.
multiprocessing.resource_tracker._resource_tracker._stop()
"""


def test_programs_find_what_a_cold_kernel_finds(template: KernelTemplate, ada: Place) -> None:
    (ada.folder / "run_me.py").write_text("import helper\nresult = helper.double(__name__)\n")
    found = []
    for start in (cold_kernel, lambda where: forked_kernel(where, template.socket)):
        with start(ada) as kernel:
            kernel.run("%run run_me.py")
            found.append([kernel.value("result"), json.loads(kernel.run(PROGRAM))])
    assert found[0][0] == "__main__" * 2
    assert found[0][1][4] == [[2, 4], [2, 4]]
    assert found[1] == found[0]


@pytest.mark.parametrize(
    ("file", "environ", "reason"),
    [
        ("notebooks/pandas.py", {}, "pandas.py in the working directory hides a package"),
        ("notebooks/numpy/__init__.py", {}, "numpy in the working directory hides a package"),
        ("notebooks/numpy/notes.txt", {}, ""),
        ("notebooks/random.py", {}, ""),
        ("notebooks/pandas.ipynb", {}, ""),
        (".local/lib/{python}/site-packages/usercustomize.py", {}, "runs when Python starts"),
        (".local/lib/{python}/site-packages/hook.pth", {}, "runs code when Python starts"),
        (".local/lib/{python}/site-packages/distutils-precedence.pth", {}, ""),
        ("", {"PYTHONPATH": "/srv/packages"}, "PYTHONPATH is set"),
        ("", {"PYTHONPATH": ""}, ""),
        ("", {"LD_PRELOAD": "/srv/x.so"}, "LD_PRELOAD is set"),
        ("", {"LANG": "C"}, "the locale is not one of UTF-8"),
        ("", {"LC_ALL": "xx_XX.UTF-8"}, "the locale is not installed"),
    ],
)
def test_kernels_start_cold_where_a_forked_one_would_be_another(
    template: KernelTemplate, ada: Place, file: str, environ: dict[str, str], reason: str
) -> None:
    if file:
        version = next(ada.home.glob(".local/lib/*")).name
        path = ada.home / file.format(python=version)
        path.parent.mkdir(exist_ok=True)
        path.write_text("import sys\n")
    where = replace(ada, environ=ada.environ | environ)
    if not reason:
        with forked_kernel(where, template.socket) as kernel:
            assert kernel.value("1 + 1") == 2
        return
    with pytest.raises(Cold, match=reason), forked_kernel(where, template.socket):
        pass


def test_a_package_that_has_read_authorities_is_no_one_elses(python: Path, ada: Place) -> None:
    packages = next(python.parents[1].glob("lib/python3*/site-packages"))
    (packages / "trusting.py").write_text("import ssl\nHAS = ssl.create_default_context()\n")
    code = "__import__('trusting').HAS.cert_store_stats()['x509']"
    plain = {name: value for name, value in ada.environ.items() if name != "SSL_CERT_FILE"}
    with (
        tempfile.TemporaryDirectory(prefix="t-") as folder,
        kernel_template(Path(folder), packages=("trusting",), python=python) as template,
    ):
        with cold_kernel(ada) as kernel:
            assert kernel.value(code) == 1
        with (
            pytest.raises(Cold, match="SSL_CERT_FILE is set"),
            forked_kernel(ada, template.socket),
        ):
            pass
        where = replace(ada, environ=plain)
        with cold_kernel(where) as kernel:
            systems = kernel.value(code)
        with forked_kernel(where, template.socket) as kernel:
            assert kernel.value(code) == systems


@dataclass(frozen=True)
class Cost:
    """Of a kernel that has imported numpy and pandas."""

    cpu_seconds: float
    private_mb: float

    @classmethod
    def of(cls, kernel: TestKernel) -> Cost:
        kernel.run("import numpy, pandas")
        return cls(kernel.cpu_seconds, kernel.private_mb)


def test_a_forked_kernel_costs_a_fraction(template: KernelTemplate, ada: Place) -> None:
    """Run it with -s for the figures."""
    with cold_kernel(ada) as kernel:
        cold = Cost.of(kernel)
    with forked_kernel(ada, template.socket) as kernel:
        forked = Cost.of(kernel)
    print(f"\ncold: {cold}\nforked: {forked}")  # noqa: T201
    assert forked.cpu_seconds < cold.cpu_seconds / 2
    assert forked.private_mb < cold.private_mb / 1.8
