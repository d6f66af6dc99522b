"""Run a kernel through its first minute once, and leave nothing of it but what it warmed up.

A first start and first cells finish classes, fill caches and import late what is the same for all.
Done before the fork, kernels share it: less to compute, and fewer pages to copy. The kernel is a
whole one, with sockets and threads, in a home of its own; a child plays the notebook. A first run
in a child shows whether it comes to its end and leaves nothing; only then this process does it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import logging
import os
import signal
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from .probe import MisbehavesError, changed, open_files, probe, surroundings
from .put_back import exits, put_back, put_back_environment

SECONDS: Final = 60
# Set for a start that does without, after one whose rehearsal left something.
LEFT_OUT_VARIABLE: Final = "APPLIANCE_NO_REHEARSAL"

CELLS: Final = (
    "1 + 1",
    "import sys\nprint('rehearsal')",
    "print('rehearsal', file=sys.stderr)",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>rehearsal</b>'))",
    "def twice(number):\n    return 2 * number\n\n\n[twice(number) for number in range(10)]",
    "%pwd",
    "import asyncio\nawait asyncio.sleep(0)",
    "1 / 0",
)
# Figures of one's own and no pyplot: that keeps notes about figures and backends.
PACKAGE_CELLS: Final = {
    "numpy": (
        "import numpy as np\nnumbers = np.arange(10.0).reshape(2, 5)\n"
        "numbers @ numbers.T, numbers.mean(), np.sin(numbers), np.linalg.norm(numbers)"
    ),
    "pandas": (
        "import io\nimport pandas as pd\n"
        "table = pd.read_csv(io.StringIO('name,value\\na,1\\nb,2\\na,3\\n'))\n"
        "display(table.describe(), table.groupby('name').mean(), table[table.value > 1])\n"
        "table.info()\ntable"
    ),
    "matplotlib.figure": (
        "import io\nfrom matplotlib.figure import Figure\n"
        "figure = Figure()\naxes = figure.subplots()\n"
        "axes.plot([1, 2, 3], label='x')\naxes.bar([1, 2], [1, 2])\naxes.scatter([1, 2], [2, 1])\n"
        "axes.set(title='title', xlabel='x', ylabel='$y^2$')\naxes.legend()\naxes.grid()\n"
        "figure.savefig(io.BytesIO(), format='png', bbox_inches='tight')"
    ),
}
COMPLETIONS: Final = ("import o", "sys.pa", "tw", "twice(")


def rehearse() -> list[str]:
    """Rehearse if that can be done here; returns remarks."""
    if os.environ.pop(LEFT_OUT_VARIABLE, ""):
        return ["kernels are not rehearsed: the last rehearsal left something behind"]
    try:
        probe(play, seconds=SECONDS)
    except MisbehavesError as err:
        return [f"kernels are not rehearsed: {err}"]
    before = surroundings()
    signal.signal(signal.SIGALRM, _start_over)
    signal.alarm(SECONDS)
    try:
        play()
    except Exception:  # noqa: BLE001 - whatever it was, this process is no template any more
        _start_over()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if changed(before):
        _start_over()
    return []


def _start_over(*_: object) -> NoReturn:
    """Begin this process again without a rehearsal; rare, for the one in a child went well."""
    # It would go off in the next one.
    signal.alarm(0)
    os.execve(  # noqa: S606 - no shell is wanted
        sys.executable, sys.orig_argv, {**os.environ, LEFT_OUT_VARIABLE: "1"}
    )


def play() -> None:
    """Start a kernel, have a notebook talk to it, end it, and look that it is gone."""
    files = open_files()
    # What is said about tasks that were never done, and about streams whose files are closed
    # already, is true and of no use.
    logging.disable(logging.CRITICAL)
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with tempfile.TemporaryDirectory(prefix="kernel-") as name, _home(Path(name)), put_back():
            file = _connection_file(Path(name))
            notebook = _start_notebook(file)
            kernel = contextvars.copy_context().run(_run_kernel, file)
            _, status = os.waitpid(notebook, 0)
        _close_fonts()
        gc.collect()
    finally:
        logging.disable(logging.NOTSET)
        sys.unraisablehook = told
    # ipykernel leaves to the end of its process to close the pipes of its streams.
    for number, opened in open_files().items():
        if number not in files and opened.startswith("pipe:"):
            os.close(number)
    if status:
        raise RuntimeError("the rehearsal's notebook was not answered")
    if kernel() is not None:
        raise RuntimeError("the rehearsal's kernel is still in memory")


def _close_fonts() -> None:
    """matplotlib keeps the files of fonts open in what its functions remember."""
    for found in gc.get_objects():
        remembers = isinstance(found, functools._lru_cache_wrapper)  # noqa: SLF001 - no other name
        if remembers and (found.__module__ or "").startswith("matplotlib."):
            found.cache_clear()


def _run_kernel(file: Path) -> weakref.ref[Any]:
    from ipykernel.kernelapp import IPKernelApp

    # Settings of the machine are code, and each kernel runs it for itself.
    for module in ("IPython.core.application", "IPython.core.shellapp"):
        for name in ("ENV_CONFIG_DIRS", "SYSTEM_CONFIG_DIRS"):
            setattr(sys.modules[module], name, [])
    with exits():
        app = IPKernelApp.instance()
        app.initialize(["-f", str(file)])
        streams = sys.stdout, sys.stderr
        app.start()
    for stream in streams:
        stream.close()
    app.io_loop.close(all_fds=True)
    for singleton in (app, app.kernel, app.shell):
        type(singleton).clear_instance()
    return weakref.ref(app.kernel)


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    with put_back_environment():
        os.environ.update(
            HOME=str(folder), USER="rehearsal", IPYTHONDIR=str(folder / "ipython"),
            JUPYTER_RUNTIME_DIR=str(folder), MPLCONFIGDIR=str(folder), TMPDIR=str(folder),
        )  # fmt: skip
        yield


def _connection_file(folder: Path) -> Path:
    from jupyter_client.connect import write_connection_file

    file, _ = write_connection_file(str(folder / "k.json"), transport="ipc", ip=str(folder / "k"))
    return Path(file)


def _start_notebook(file: Path) -> int:
    child = os.fork()
    if child == 0:
        _be_notebook(file)
    return child


def _be_notebook(file: Path) -> NoReturn:
    status = 1
    try:
        # A kernel that ends ends its children of the same group.
        os.setpgid(0, 0)
        signal.alarm(SECONDS)
        _talk(file)
        status = 0
    finally:
        os._exit(status)


def _talk(file: Path) -> None:
    from jupyter_client import BlockingKernelClient

    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels(hb=False)
    client.kernel_info(reply=True, timeout=SECONDS)
    more = [cell for name, cell in PACKAGE_CELLS.items() if name in sys.modules]
    for cell in (*CELLS, *more):
        client.execute(cell, reply=True, timeout=SECONDS)
    for code in COMPLETIONS:
        client.complete(code, reply=True, timeout=SECONDS)
    client.inspect("twice", reply=True, timeout=SECONDS)
    client.history(hist_access_type="tail", n=1, reply=True, timeout=SECONDS)
    client.shutdown(reply=True, timeout=SECONDS)
