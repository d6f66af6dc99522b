"""Asking an ACME server for a certificate: account, order, proof, and what it says if it won't.

The protocol is certbot's library, acme. The proof is HTTP-01: nginx answers with a text that only
who has the account's key can know.
"""

from __future__ import annotations

import email.utils
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import requests
from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from appliance import __version__
from appliance.errors import ApplianceError
from appliance.https.store import Store, key_text

ORDER_SECONDS: Final = 120
_REQUEST_SECONDS: Final = 30
CLOCK_SLACK: Final = timedelta(minutes=5)
_SYSTEM_CAS: Final = Path("/etc/ssl/certs/ca-certificates.crt")


class OrderRefused(ApplianceError):
    """The ACME server gave no certificate; `not_before` is when it may be asked again."""

    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """An ACME server, and how it is reached."""

    url: str
    authorities: Path | None = None
    """Whom to trust for its own certificate; None: those of the system."""
    environment: dict[str, str] | None = None
    """Variables with a proxy to use (appliance/network.py)."""
    staging: bool = False

    @property
    def host(self) -> str:
        return self.url.partition("://")[2].partition("/")[0]


def get_certificate(
    server: Server, names: Sequence[str], mail: str, store: Store, say: Callable[[str], None]
) -> str:
    """A new key and its certificates, as PEM; OrderRefused says why there is none."""
    account_key = JWKEC(key=store.account_key(staging=server.staging))
    network = client.ClientNetwork(
        account_key,
        alg=ES256,
        user_agent=f"hub-appliance/{__version__}",
        verify_ssl=_trusted(server),  # type: ignore[arg-type]  # as requests takes it
        timeout=_REQUEST_SECONDS,
    )
    seen = _Seen()
    _prepare(network.session, server, seen)
    with _refusals(server, names, seen):
        directory = client.ClientV2.get_directory(server.url, network)
        acme = client.ClientV2(directory, network)
        _log_in(acme, mail)
        key = ec.generate_private_key(ec.SECP256R1())
        request = crypto_util.make_csr(key_text(key).encode(), domains=list(names))
        order = acme.new_order(request)
        say(f"{server.host} has the order for {', '.join(names)}, and asks for proof")
        return key_text(key) + _finish(acme, order, account_key, store)


def check_clock(server: Server) -> None:
    """Compare this machine's clock with the ACME server's, which would refuse everything.

    A clock that is far off makes the server's certificate look wrong, too; so nothing is believed
    of this answer but the date.
    """
    session = requests.Session()
    seen = _Seen()
    _prepare(session, server, seen)
    with _refusals(server, [], seen):
        try:
            session.get(server.url, timeout=_REQUEST_SECONDS, verify=_trusted(server))
        except requests.exceptions.SSLError:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                session.get(server.url, timeout=_REQUEST_SECONDS, verify=False)
            _compare(seen.date)
            raise
    _compare(seen.date)


def _compare(date: datetime | None) -> None:
    now = datetime.now(UTC)
    if date is None or abs(now - date) <= CLOCK_SLACK:
        return
    raise ApplianceError(
        "cannot ask for a certificate",
        why=f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and it is {date:%Y-%m-%d %H:%M}",
        mend="sudo timedatectl set-ntp true",
    )


@dataclass(slots=True)
class _Seen:
    """What answers say beside their content."""

    date: datetime | None = None
    retry_after: datetime | None = None

    def note(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        self.date = _moment(answer.headers.get("Date", "")) or self.date
        text = answer.headers.get("Retry-After", "")
        if answer.status_code >= 400 and text:
            now = datetime.now(UTC)
            self.retry_after = now + timedelta(seconds=int(text)) if text.isdigit() else None
            self.retry_after = self.retry_after or _moment(text)


def _moment(text: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _prepare(session: requests.Session, server: Server, seen: _Seen) -> None:
    session.hooks["response"].append(seen.note)
    given = server.environment or {}
    for scheme in ("http", "https"):
        if f"{scheme}_proxy" in given:
            session.proxies[scheme] = given[f"{scheme}_proxy"]
    if "no_proxy" in given:
        session.proxies["no_proxy"] = given["no_proxy"]


def _trusted(server: Server) -> str | bool:
    if server.authorities:
        return str(server.authorities)
    given = (server.environment or {}).get("REQUESTS_CA_BUNDLE", "")
    if given:
        return given
    return str(_SYSTEM_CAS) if _SYSTEM_CAS.exists() else True


def _log_in(acme: client.ClientV2, mail: str) -> None:
    account = messages.NewRegistration.from_data(email=mail, terms_of_service_agreed=True)
    try:
        acme.new_account(account)
    except errors.ConflictError as error:
        known = messages.RegistrationResource(
            body=messages.Registration.from_data(email=mail), uri=error.location
        )
        acme.query_registration(known)


def _finish(acme: client.ClientV2, order: messages.OrderResource, key: JWK, store: Store) -> str:
    with ExitStack() as answered:
        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue
            proof = next(
                (one for one in authorization.body.challenges if _is_http(one.chall)), None
            )
            if proof is None:
                raise OrderRefused(
                    f"cannot get a certificate for {authorization.body.identifier.value}",
                    why="the ACME server doesn't offer to look by HTTP (HTTP-01)",
                    mend="use another server, or a certificate of your own: "
                    "sudo appliance https files",
                )
            response, text = proof.chall.response_and_validation(key)
            answered.enter_context(store.answered(proof.chall.encode("token"), text))
            acme.answer_challenge(proof, response)
        # The library counts in local time without a zone.
        until = datetime.now() + timedelta(seconds=ORDER_SECONDS)  # noqa: DTZ005
        return str(acme.poll_and_finalize(order, until).fullchain_pem)


def _is_http(challenge: object) -> bool:
    return isinstance(challenge, challenges.HTTP01)


@contextmanager
def _refusals(server: Server, names: Sequence[str], seen: _Seen) -> Iterator[None]:
    """Everything that can be in the way, as sentences."""
    what = (
        f"cannot get a certificate for {', '.join(names)}"
        if names
        else "cannot ask " + (f"{server.host} for a certificate")
    )
    try:
        yield
    except errors.ValidationError as error:
        raise OrderRefused(
            what, why=f"{server.host} could not check it: {_failures(error)}", mend=_LOOK
        ) from error
    except (messages.Error, errors.IssuanceError) as error:
        problem = error if isinstance(error, messages.Error) else error.error
        raise _refused(what, server, problem, seen) from error
    except errors.TimeoutError as error:
        raise OrderRefused(
            what, why=f"{server.host} did not decide in time", mend="try again later"
        ) from error
    except requests.exceptions.SSLError as error:
        raise OrderRefused(
            what,
            why=f"the certificate of {server.host} itself is not trusted: {_innermost(error)}",
            mend="look at the clock (timedatectl); for a server of your own give its authority: "
            "--directory-ca FILE; behind a company's proxy set network.ca_file",
        ) from error
    except (requests.exceptions.RequestException, errors.ClientError) as error:
        raise OrderRefused(
            what,
            why=f"{server.host} can't be reached: {_innermost(error)}",
            mend=f"curl -I {server.url}; behind a company's proxy set network.proxy",
        ) from error
    except errors.Error as error:
        raise OrderRefused(
            what, why=f"{server.host} answers in an unknown way: {error}", mend=_LOOK
        ) from error


_LOOK: Final = "sudo appliance https letsencrypt says what is in the way when it begins"


def _refused(what: str, server: Server, problem: messages.Error, seen: _Seen) -> OrderRefused:
    details = str(problem.detail or problem.typ)
    parts = [str(one.detail) for one in problem.subproblems or () if one.detail]
    said = "; ".join([details, *parts])
    if problem.code != "rateLimited":
        return OrderRefused(what, why=f"{server.host} refuses it: {said}", mend=_LOOK)
    after = seen.retry_after or _written_moment(said) or datetime.now(UTC) + timedelta(hours=24)
    refused = OrderRefused(
        what,
        why=f"{server.host} was asked too often and refuses until {after:%Y-%m-%d %H:%M} UTC: "
        f"{said}",
        mend="wait until then; the appliance tries again by itself if HTTPS is on, "
        "else: sudo appliance https letsencrypt",
    )
    refused.not_before = after
    return refused


def _written_moment(text: str) -> datetime | None:
    """ "retry after 2030-01-02 03:04:05 UTC", as Let's Encrypt says it in words."""
    found = re.search(r"retry after (\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)", text)
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


def _failures(error: errors.ValidationError) -> str:
    found = []
    for authorization in error.failed_authzrs:
        name = authorization.body.identifier.value
        found += [
            f"{name}: {one.error.detail or one.error.typ}"
            for one in authorization.body.challenges
            if one.error is not None
        ]
    return "; ".join(found) or "without a reason"


def _innermost(error: BaseException) -> str:
    """The last cause has the words; those around it have addresses of Python objects."""
    reason: Any = error
    while True:
        inner = getattr(reason, "reason", None) or (
            reason.args[0] if getattr(reason, "args", None) else None
        )
        if not isinstance(inner, BaseException):
            break
        reason = inner
    text = str(getattr(reason, "strerror", "") or reason)
    return _AROUND.sub("", text)


_AROUND: Final = re.compile(
    r"^<[^>]*>: |HTTPSConnection(Pool)?\([^)]*\): |Failed to establish a new connection: "
    r"|\[Errno -?\d+\] | \(_ssl\.c:\d+\)"
)
