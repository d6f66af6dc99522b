"""What would go wrong with Let's Encrypt, found and said before anybody is asked.

Each name is looked up, and a text is fetched by it at port 80, as the authority will. Nothing is
asked of the authority itself but its date, so trying costs none of the few tries that it allows.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.https.store import Store
from appliance.proxy.tls import CHALLENGE_PATH

HTTP_PORT: Final = 80
_SECONDS: Final = 8.0
_BODY_MAX: Final = 4096

Resolve = Callable[[str], list[str]]


class NotReady(ApplianceError):
    """The names can't be proved to be this machine's, and why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one name, and what mends it."""

    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class Look:
    """How names are looked at; tests have their own name server and port."""

    resolve: Resolve
    port: int = HTTP_PORT
    public: bool = True
    """Whether the authority is in the Internet, from which private addresses can't be reached."""


def resolve(name: str) -> list[str]:
    """All addresses of a name, IPv6 first, which Let's Encrypt prefers; empty: it has none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    addresses = dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found)
    return sorted(addresses, key=lambda one: ":" not in one)


def check_names(
    names: Sequence[str], config: Config, store: Store, look: Look, own: Sequence[str]
) -> list[str]:
    """Look at every name; NotReady tells all that is wrong. Returns what people should know.

    `own` are this machine's addresses, for the sentences.
    """
    token = f"appliance-{secrets.token_urlsafe(12)}"
    text = secrets.token_urlsafe(24)
    faults: list[Fault] = []
    notes: list[str] = []
    with store.answered(token, text):
        for name in names:
            faults += _name_faults(name, (token, text), config, look, own, notes)
    if faults:
        first = faults[0]
        raise NotReady(
            f"cannot get a certificate for {', '.join(names)}",
            why="; ".join(dict.fromkeys(fault.why for fault in faults)),
            mend=first.mend,
        )
    return notes


def _name_faults(
    name: str,
    proof: tuple[str, str],
    config: Config,
    look: Look,
    own: Sequence[str],
    notes: list[str],
) -> Iterator[Fault]:
    addresses = look.resolve(name)
    mine = " and ".join(own) or "this machine's address"
    if not addresses:
        yield Fault(
            f"the name {name} has no address",
            f"where the domain is managed, give {name} an A record with the address that the "
            f"Internet knows this machine by (it has {mine} itself); that can take an hour",
        )
        return
    for address in addresses:
        parsed = ipaddress.ip_address(address)
        if parsed.is_loopback and look.public:
            notes.append(
                f"{name} is {address} on this machine (/etc/hosts), so it can't be seen from here "
                "where others find it"
            )
        elif not parsed.is_global and look.public:
            yield Fault(
                f"{name} is {address}, a private address that Let's Encrypt can't reach",
                f"for a network of your own: sudo appliance https own-ca --name {name}",
            )
            continue
        fault = _fetch(name, address, proof, look.port)
        if fault:
            yield _explained(name, address, fault, config, mine)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came instead of our text."""

    refused: bool = False
    silent: bool = False
    said: str = ""


def _fetch(name: str, address: str, proof: tuple[str, str], port: int) -> _Answer | None:
    """Ask one address as the authority will; None if our own text came."""
    token, text = proof
    connection = http.client.HTTPConnection(address, port, timeout=_SECONDS)
    try:
        connection.request("GET", CHALLENGE_PATH + token, headers={"Host": name})
        answer = connection.getresponse()
        body = answer.read(_BODY_MAX)
    except ConnectionRefusedError:
        return _Answer(refused=True)
    except TimeoutError:
        return _Answer(silent=True)
    except OSError as error:
        return _Answer(said=os.strerror(error.errno).lower() if error.errno else "no answer")
    except http.client.HTTPException:
        return _Answer(said="an answer that isn't HTTP")
    finally:
        connection.close()
    if answer.status == http.client.OK and body.strip() == text.encode():
        return None
    program = answer.getheader("Server") or "another web server"
    to = answer.getheader("Location", "")
    where = f" and leads to {to[:200]}" if to else ""
    return _Answer(said=f"{program} answers {answer.status}{where}")


def _explained(name: str, address: str, answer: _Answer, config: Config, mine: str) -> Fault:
    """The likeliest reason why nothing or somebody else answers."""
    ours = is_own(address)
    if answer.refused and ours:
        port = config.http.port
        if port != HTTP_PORT:
            return Fault(
                f"nothing listens at {address}, port {HTTP_PORT}: the appliance has port {port}",
                f"sudo appliance config set http.port {HTTP_PORT}, "
                f"or pass port {HTTP_PORT} on to {port}",
            )
        return Fault(f"nothing listens at {address}, port {HTTP_PORT}", "sudo appliance status")
    if answer.refused or answer.silent:
        how = "refuses connections" if answer.refused else "doesn't answer"
        if ours:
            return Fault(
                f"{address}, port {HTTP_PORT}, {how}", "look at this machine's firewall: port 80"
            )
        return Fault(
            f"{name} points to {address}, which isn't this machine's ({mine}), and {how} "
            f"at port {HTTP_PORT}",
            f"if {address} is your router, let it pass port 80 on to this machine; if it is "
            f"another machine, change the record of {name}; if others reach this machine by it "
            "and only this machine itself can't: --skip-preflight",
        )
    if ours:
        return Fault(
            f"at {address}, port {HTTP_PORT}, another program than the appliance answers: "
            f"{answer.said}",
            f"see which: sudo ss -ltnp 'sport = :{HTTP_PORT}'; then stop it, "
            "or let it be in front: appliance https behind nginx",
        )
    return Fault(
        f"{name} points to {address}, which isn't this machine's ({mine}); there {answer.said}",
        f"change the record of {name} where the domain is managed, or let {address} pass port 80 "
        "on to this machine",
    )


def is_own(address: str) -> bool:
    """Whether an address is this machine's: then a socket can have it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
