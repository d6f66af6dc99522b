"""A template of servers without root, units and checks: `python -I preload_server_program.py ROOT`.

Standard input is a socket on which a test asks: {"args", "environ"} with descriptors 0, 1, 2 and
the working directory. The answer is {"pid"} or {"refused"}; {"wait": pid} asks for a child's exit
status.
Standard library only, because it runs in whichever environment the template is for.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

CONTROL = 0
MESSAGE_MAX = 1 << 16


def main() -> None:
    sys.path.append(sys.argv[1])
    control = socket.socket(fileno=CONTROL)
    gc.disable()
    # The daemon's own modules are imported late: what they import isn't the template's to name.
    template = importlib.import_module("appliance.preload.server")
    options = importlib.import_module("appliance.preload.options")
    remarks = template.load(options.Options(servers=True, kernels=False, packages=()))
    os.environ.clear()
    gc.collect()
    gc.freeze()
    answer(control, remarks=remarks, cpu=time.process_time())
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MESSAGE_MAX, 4)
        if not data:
            return
        request = json.loads(data)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer(control, status=os.waitstatus_to_exitcode(status))
            continue
        refused = template.refuses(request["args"], request["environ"])
        pid = 0 if refused else os.fork()
        if not refused and pid == 0:
            become(template, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        answer(control, pid=pid, refused=refused)


def answer(control: socket.socket, **fields: Any) -> None:
    control.sendall(json.dumps(fields).encode())


def become(template: Any, request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """What the daemon does after the fork, as far as it needs no rights."""
    status = 1
    try:
        os.setsid()
        child = importlib.import_module("appliance.preload.child")
        environ = {os.fsencode(name): os.fsencode(one) for name, one in request["environ"].items()}
        child._take_over(child.Request("", request["args"], environ, descriptors))
        gc.enable()
        status = template.run(request["args"])
    except SystemExit as err:
        status = err.code if isinstance(err.code, int) else int(err.code is not None)
    except BaseException:  # noqa: BLE001 - the edge of this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 255)


if __name__ == "__main__":
    main()
