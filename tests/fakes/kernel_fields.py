"""What a kernel is like, as JSON: run in one with `%run`, or `exec`, by tests that compare two.

Standard library and what kernels have; never imported by tests.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import collections
import decimal
import gc
import json
import locale
import logging
import multiprocessing.process
import os
import platform
import re
import signal
import site
import ssl
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
import warnings
from pathlib import Path


def text(value: object) -> str:
    """Without addresses and numbers of processes."""
    return re.sub(r"0x[0-9a-f]+|\b\d{3,}\b|k\d+\b|(?<=Handler )\d+", "N", str(value))


def stream(one: object) -> list[object]:
    names = ("name", "encoding", "errors", "line_buffering", "mode")
    return [getattr(one, name, None) for name in names]


def thread_name(thread: threading.Thread) -> str:
    return f"{type(thread).__name__} {re.sub('[0-9]+', 'N', thread.name)}"


def status() -> dict[str, str]:
    names = ("Umask", "SigBlk", "SigIgn", "SigCgt", "SigPnd")
    lines = Path("/proc/self/status").read_text().splitlines()
    pairs = (line.partition(":\t")[::2] for line in lines)
    return {name: value for name, value in pairs if name in names}


def files() -> dict[str, int]:
    """Without what depends on the moment: connections, what polls them, and sqlite's."""
    found = []
    for file in Path("/proc/self/fd").iterdir():
        try:
            found.append(text(file.readlink()).partition(":")[0])
        except FileNotFoundError:
            continue
    count = collections.Counter(found)
    passing = ("socket", "anon_inode")
    return {
        name: number
        for name, number in count.items()
        if name not in passing and ".ipython" not in name
    }


def network() -> list[object]:
    """By which proxy libraries go out, and whom they trust."""
    return [
        urllib.request.getproxies(),
        str(urllib.request._opener),
        ssl.get_default_verify_paths(),
        [str(one["subject"]) for one in ssl.create_default_context().get_ca_certs()],
    ]


def loggers() -> dict[str, list[str]]:
    known = {"root": logging.root, **logging.Logger.manager.loggerDict}
    return {
        name: [text(logger.level), str(logger.propagate), *map(text, logger.handlers)]
        for name, logger in sorted(known.items())
        if isinstance(logger, logging.Logger) and (logger.handlers or logger.level)
    }


def collect(shell: object) -> dict[str, object]:
    kernel = shell.kernel
    return {
        "path": sys.path,
        "argv": [text(word) for word in sys.argv],
        "original argv": [text(word) for word in sys.orig_argv],
        "flags": str(sys.flags),
        "options": sys._xoptions,
        "places": [sys.executable, sys.prefix, sys.base_prefix, sys.platlibdir],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()],
        "encodings": [sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()],
        "streams": [stream(one) for one in (sys.__stdin__, sys.__stdout__, sys.__stderr__)],
        "hooks": [text(one) for one in (sys.excepthook, sys.displayhook, sys.__excepthook__)],
        "finders": [text(one) for one in sys.meta_path],
        "names of sys": sorted(vars(sys)),
        "builtins": sorted(vars(builtins)),
        "environ": {key: text(value) for key, value in sorted(os.environ.items())},
        "directory": [str(Path.cwd()), multiprocessing.process.ORIGINAL_DIR, shell.starting_dir],
        "site": [site.USER_BASE, site.USER_SITE, site.ENABLE_USER_SITE, site.PREFIXES],
        "userbase": sysconfig.get_config_var("userbase"),
        "signals": {str(one): text(signal.getsignal(one)) for one in signal.valid_signals()},
        "status": status(),
        "standard input": sys.__stdin__.read(),
        "files": files(),
        "threads": sorted(thread_name(thread) for thread in threading.enumerate()),
        "system's threads": len(list(Path("/proc/self/task").iterdir())),
        "session leader": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
        "locale": [locale.setlocale(one) for one in (locale.LC_CTYPE, locale.LC_NUMERIC)],
        "time zone": time.tzname,
        "temporary": tempfile.gettempdir(),
        "node": platform.node(),
        "decimal": str(decimal.getcontext()),
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
        "filters": [text(one) for one in warnings.filters],
        "loggers": loggers(),
        "at exit": atexit._ncallbacks(),
        "loop": text(type(asyncio.get_event_loop_policy())),
        "main": sorted(name for name in vars(sys.modules["__main__"]) if name.startswith("__")),
        "main's spec": text(vars(sys.modules["__main__"]).get("__spec__")),
        "shell": [text(type(shell)), text(shell.config), shell.history_manager.hist_file],
        "profile": shell.profile_dir.location,
        "magics": sorted(shell.magics_manager.magics["line"]),
        "extensions": sorted(shell.extension_manager.loaded),
        "user of messages": kernel.session.username,
        "kernel": [text(type(kernel)), kernel.implementation_version, kernel.language_info],
        "modules": sorted(sys.modules),
        "network": network(),
    }


print(json.dumps(collect(get_ipython()), default=str))  # noqa: F821, T201
