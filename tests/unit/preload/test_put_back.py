"""After a rehearsal names are what they were, and caches are full."""

from __future__ import annotations

import atexit
import builtins
import logging
import signal
import sys
import types
import warnings

import pytest

from appliance.preload.put_back import exits, put_back


def test_what_a_kernel_sets_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("rehearsed")
    vars(module).update(kept="before", cache={}, singleton=None)
    monkeypatch.setitem(sys.modules, "rehearsed", module)
    main, hook, path = sys.modules["__main__"], sys.excepthook, list(sys.path)
    handler, filters = signal.getsignal(signal.SIGTERM), list(warnings.filters)
    with put_back():
        vars(module).update(kept="after", singleton=object(), new=1, imported=types.ModuleType("m"))
        module.cache["warm"] = True
        sys.modules["__main__"] = types.ModuleType("__main__")
        sys.excepthook = print  # type: ignore[assignment]
        sys.path.insert(0, "")
        builtins.display = print  # type: ignore[attr-defined]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        warnings.simplefilter("error")
        logging.getLogger("rehearsed").addHandler(logging.NullHandler())
        logging.getLogger("rehearsed").setLevel(logging.ERROR)
    assert (module.kept, module.singleton, module.cache) == ("before", None, {"warm": True})
    assert not hasattr(module, "new")
    assert isinstance(module.imported, types.ModuleType)
    assert sys.modules["__main__"] is main
    assert sys.excepthook is hook
    assert sys.path == path
    assert not hasattr(builtins, "display")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert warnings.filters == filters
    logger = logging.getLogger("rehearsed")
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


def of_a_module() -> None:
    """What a module wants done at the end of every process."""


def test_only_what_objects_want_done_at_the_end_is_done_at_once() -> None:
    before = atexit._ncallbacks()  # type: ignore[attr-defined]
    done: list[str] = []
    with exits():
        atexit.register(done.append, "first")
        atexit.register(done.append, "second")
        atexit.register(of_a_module)
        assert done == []
    assert done == ["second", "first"]
    assert atexit._ncallbacks() == before + 1  # type: ignore[attr-defined]
    atexit.unregister(of_a_module)
