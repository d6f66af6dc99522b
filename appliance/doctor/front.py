"""The first two layers: what browsers see of the address, and the proxy."""

from __future__ import annotations

import re
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Final

from appliance.config.https_schema import HttpsMode
from appliance.doctor.browser import Answer, Browser, NotHttpError, unverified
from appliance.doctor.layer import INSTALLER, Walk, check_unit, log_command, starting
from appliance.doctor.report import Broken, Fix
from appliance.doctor.settings import MEND, damaged, render_again
from appliance.errors import ApplianceError
from appliance.proxy.machine import find_nginx
from appliance.rollout.render import PROXY_FILE, check_nginx
from appliance.rollout.services import PROXY_UNIT

# A hub that takes longer is looked at next; here it is nginx that must answer.
_SECONDS: Final = 4.0
OF_THE_PROXY: Final = frozenset({502, 503, 504})
"""What nginx says when the hub behind it doesn't answer."""


def browser(walk: Walk) -> str:
    """The address that people type: whether a browser on the way to it would turn back."""
    entrance = walk.browser.entrance
    if not entrance.root.startswith("https:"):
        return f"{entrance.root}{walk.config.base_url} is plain HTTP, which browsers open"
    try:
        with entrance.dial("https", 5.0) as plain:
            _shake_hands(walk, plain)
    except ssl.SSLCertVerificationError as error:
        # What nobody but we ourselves have signed is for browsers that were told of it.
        known = "self-signed" in error.verify_message or "local issuer" in error.verify_message
        if known and walk.config.https.mode is HttpsMode.FILES:
            walk.warnings.append(
                "browsers trust the certificate only where its authority was installed"
            )
            return f"{entrance.root} has a certificate that this machine's programs don't know"
        raise Broken(
            f"browsers refuse the certificate of {entrance.root}",
            why=error.verify_message, mend="sudo appliance https status",
        ) from error  # fmt: skip
    except (ssl.SSLError, OSError):
        # Nobody is there, or it speaks no TLS: the proxy's layer finds out why.
        return f"{entrance.root} can't be judged while nobody answers there"
    if walk.config.https.mode is HttpsMode.OWN_CA:
        return f"{entrance.root} is known to browsers that have the appliance's own authority"
    return f"{entrance.root} has a certificate that browsers accept"


def _shake_hands(walk: Walk, plain: socket.socket) -> None:
    names = walk.config.https.names
    context = ssl.create_default_context()
    authority = walk.places.certificates / "ca.crt"
    if walk.config.https.mode is HttpsMode.OWN_CA and authority.is_file():
        context.load_verify_locations(authority)
    with context.wrap_socket(plain, server_hostname=names[0] if names else "localhost"):
        pass


def proxy(walk: Walk) -> str:
    """nginx answers at the public port, with the hub's log-in page or with word of the hub."""
    root = walk.browser.entrance.root
    if find_nginx(walk.places) is None:
        raise Broken(
            "the proxy is not installed",
            why="this machine has no nginx", mend=f"sudo apt-get install nginx-light; {INSTALLER}",
        )  # fmt: skip
    try:
        answer = Browser(walk.browser.entrance, seconds=_SECONDS).get(walk.path("hub/login"))
    except NotHttpError as error:
        raise _foreign(walk, "it does not speak HTTP") from error
    except ssl.SSLError as error:
        raise _foreign(walk, "it does not speak HTTPS") from error
    except TimeoutError as error:
        if _answers_by_itself(walk):
            return f"nginx answers at {root}, and waits for the hub behind it"
        raise _why_silent(walk, error) from error
    except OSError as error:
        raise _why_silent(walk, error) from error
    if answer.status in OF_THE_PROXY:
        return f"nginx answers at {root}, and says that the hub behind it does not"
    if not answer.is_ours:
        raise _foreign(walk, f"it answers {answer.status}, and it is not our hub")
    return f"nginx answers at {root}{_version(answer)}"


def _answers_by_itself(walk: Walk) -> bool:
    """Whether nginx refuses what no hub needs to be asked about: a request without a host."""
    entrance = walk.browser.entrance
    scheme = entrance.root.partition(":")[0]
    try:
        with entrance.dial(scheme, 3.0) as plain:
            there = unverified().wrap_socket(plain) if scheme == "https" else plain
            there.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return there.recv(64).startswith(b"HTTP/1.1 400")
    except OSError:
        return False


def _version(answer: Answer) -> str:
    server = answer.headers.get("Server", "")
    return f" ({server})" if "/" in server else ""


def _why_silent(walk: Walk, error: OSError) -> Broken:
    """Why nobody answers at the public port."""
    entrance = walk.browser.entrance
    owner = walk.system.owner_of_port(entrance.port)
    if owner and not owner.startswith("nginx"):
        return _foreign(walk, "")
    try:
        check_unit(walk, "proxy", explain=lambda: _why_not_started(walk))
    except Broken as found:
        return found
    why = (error.strerror or str(error) or "no answer in time").lower()
    return Broken(
        f"nginx runs and does not answer at {entrance.root}",
        why=why,
        mend=f"sudo systemctl restart {PROXY_UNIT}; {log_command(walk, 'proxy')}",
        log=() if walk.places.trial else walk.system.journal(PROXY_UNIT),
        fix=None if walk.places.trial else starting(walk.system, PROXY_UNIT),
    )


def _why_not_started(walk: Walk) -> Broken | None:
    """What keeps nginx from starting, where that can be known."""
    path = walk.places.rendered / PROXY_FILE
    why = _complaint(walk, path)
    if not why:
        return None
    fix = Fix("write nginx.conf once more and start nginx", partial(_write_and_start, walk))
    is_ours = PROXY_FILE not in damaged(walk.places)
    return Broken(
        "nginx refuses its settings",
        why=f"{path}: {why}",
        mend=log_command(walk, "proxy") if is_ours else MEND,
        fix=None if is_ours else fix,
    )


def _complaint(walk: Walk, path: Path) -> str:
    try:
        check_nginx(path.read_text("utf-8", errors="replace"), walk.places)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    except ApplianceError as error:
        # nginx read a copy, with the time and its process before what matters.
        said = re.sub(r"[0-9/]{10} [0-9:]{8} (\[\w+\]) \S+: ", r"\1 ", error.why)
        return re.sub(r"\S*/check-[^/]+/nginx\.conf", PROXY_FILE, said)
    return ""


def _write_and_start(walk: Walk) -> None:
    render_again(walk.places)
    walk.system.start(PROXY_UNIT)


def _foreign(walk: Walk, what_it_does: str) -> Broken:
    """Another program sits where the proxy should."""
    port = walk.browser.entrance.port
    owner = walk.system.owner_of_port(port) or "another program"
    unit = _unit_of(walk, owner)
    ending = f"sudo systemctl disable --now {unit}" if unit else f"stop {owner}"
    restart = "" if walk.places.trial else f"; sudo systemctl restart {PROXY_UNIT}"
    return Broken(
        f"port {port} is taken by another program",
        why=f"{owner} listens there" + (f"; {what_it_does}" if what_it_does else ""),
        mend=f"{ending}{restart}",
    )


def _unit_of(walk: Walk, owner: str) -> str:
    """The service that a process belongs to, as its control group says."""
    pid = owner.rpartition("(process ")[2].rstrip(")")
    try:
        text = Path(f"/proc/{int(pid)}/cgroup").read_text()
    except (OSError, ValueError):
        return ""
    name = text.strip().rpartition("/")[2]
    return name if name.endswith(".service") else ""
