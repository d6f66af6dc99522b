"""The proxy of JupyterLab's manager of extensions, which JupyterLab reads when it is imported.

In our servers that manager is off. Who turns it on finds what a cold server has: the module is run
again when the manager is made, in the server's environment.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Final

_MODULE: Final = "jupyterlab.extensions.pypi"


def read_proxies_late() -> None:
    """In the template, when JupyterLab is imported.

    Not in each server as it starts: with a proxy the module makes two clients, each of which reads
    all authorities, and that takes as long as all the rest of a start.
    """
    module: Any = sys.modules.get(_MODULE)
    if module is None:
        return
    manager = module.PyPIExtensionManager
    make = manager.__init__

    @functools.wraps(make)
    def make_late(self: Any, *args: Any, **named: Any) -> None:
        manager.__init__ = make
        # The classes that are there already find the names that this sets anew.
        importlib.reload(module)
        make(self, *args, **named)

    manager.__init__ = make_late
