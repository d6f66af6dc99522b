"""What the commands below `appliance https` do."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.cli.errors import Exit, UsageError
from appliance.cli.output import Output, count
from appliance.config.https_schema import HttpsMode, ascii_name, is_ip_address
from appliance.config.rendered import HUB_FILE, read_rendered
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.findings import Severity
from appliance.https.chore import renew as renew_if_due
from appliance.https.chore import report
from appliance.https.own_ca import read_authority, signs_for
from appliance.https.renewing import look_first, order, sign_own
from appliance.https.snippets import Front, settings_for, snippet
from appliance.https.state import State, finding_of, look
from appliance.https.store import Store
from appliance.https.switching import Wanted, switch, wanted_https
from appliance.places import Places
from appliance.proxy.certificates import fingerprint, read_pair
from appliance.proxy.tls import CA_PATH
from appliance.rollout.addresses import own_addresses, root_urls
from appliance.rollout.apply import make_applier
from appliance.rollout.health import check_port


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of Let's Encrypt; empty: as before."""

    domains: Sequence[str]
    email: str
    directory: str
    directory_ca: str


def letsencrypt(
    places: Places, output: Output, asked: Asked, *, port: int, preflight: bool
) -> None:
    config = _in_force(places)
    before = config.https
    names = _names(asked.domains, output) or before.names
    email = asked.email or before.email
    if not names or not email:
        raise UsageError(
            "cannot get a certificate",
            why="there is no --domain" if not names else "there is no --email",
            mend="appliance https letsencrypt --domain hub.school.example "
            "--email admin@school.example",
        )
    wanted = {
        "names": names,
        "email": [email],
        "directory": _word(asked.directory or before.directory),
        "directory_ca": _word(_full(asked.directory_ca) or before.directory_ca),
        **_mode(HttpsMode.LETSENCRYPT, port),
    }
    https = wanted_https(config, wanted)
    check_port(config.model_copy(update={"https": https}), held=config)
    if preflight:
        for note in look_first(config, places, https):
            output.say(f"note: {note}")
        output.say("the names lead here")
    order(config, places, https, output.say, rehearse=before.mode is not HttpsMode.LETSENCRYPT)
    _switch(places, output, wanted)


def files(
    places: Places, output: Output, paths: tuple[str, str], given: Sequence[str], *, port: int
) -> None:
    before = _in_force(places).https
    certificate = _full(paths[0]) or before.certificate
    key = _full(paths[1]) or before.key
    if not certificate or not key:
        raise UsageError(
            "cannot use a certificate of your own",
            why="there is no --certificate" if not certificate else "there is no --key",
            mend="appliance https files --certificate hub.crt --key hub.key",
        )
    names = _names(given, output)
    pair = read_pair(Path(certificate), Path(key), names)
    for note in pair.notes:
        output.say(f"note: {note}")
    names = names or [name for name in pair.names if not name.startswith("*.")][:100]
    if not names:
        output.say(
            f"note: the certificate is for {pair.names[0]}; say by --name which name people type, "
            "so that links have it"
        )
    wanted = {
        "names": names,
        "certificate": [certificate],
        "key": [key],
        **_mode(HttpsMode.FILES, port),
    }
    _switch(places, output, wanted)


def own_ca(places: Places, output: Output, given: Sequence[str], *, port: int, new: bool) -> None:
    before = _in_force(places).https
    names = _names(given, output) or before.names or _guessed_names()
    if not given and not before.names:
        output.say(f"for {', '.join(names)}; for other names: --name NAME")
    wanted = {"names": names, **_mode(HttpsMode.OWN_CA, port)}
    wanted_https(_in_force(places), wanted)
    made = sign_own(places, names, anew=new)
    _switch(places, output, wanted)
    if made and not output.as_json:
        output.say(_how_to_trust(places))


def show_authority(places: Places, output: Output) -> None:
    store = Store(places)
    authority = read_authority(store)
    said = {
        "file": str(store.authority_file),
        "sha256": fingerprint(authority),
        "names": signs_for(authority),
        "expires": authority.not_valid_after_utc.isoformat(),
        "url": _authority_url(places),
    }
    output.data(said, store.authority_file.read_text("ascii").rstrip())
    if not output.as_json:
        output.say(_how_to_trust(places))


def off(places: Places, output: Output) -> None:
    _switch(places, output, _mode(HttpsMode.OFF, 0))


def status(places: Places, output: Output) -> int:
    """Print it; 1 if something is wrong now."""
    config = _in_force(places)
    state = look(config, places)
    finding = finding_of(state, datetime.now(UTC))
    said: dict[str, Any] = {
        **state.to_json(),
        "addresses": [f"{root}{config.base_url}" for root in root_urls(config, places)],
        "redirect": config.https.redirect,
        "hsts_seconds": config.https.hsts,
        "severity": finding.severity.value if finding else None,
        "summary": finding.summary if finding else "plain HTTP",
        "mend": finding.mend if finding else "",
    }
    rows = _rows(state, said)
    if finding and finding.severity is not Severity.OK:
        rows += [("problem", finding.summary), ("why", finding.why), ("to mend", finding.mend)]
    output.data(said, "\n".join(f"{label:<13}{value}" for label, value in rows if value))
    return int(Exit.FAILED) if finding and finding.severity is Severity.FAILED else 0


def renew(places: Places, output: Output) -> None:
    config = _in_force(places)
    if not config.https.is_on:
        raise ApplianceError(
            "cannot renew the certificate",
            why="HTTPS is off",
            mend="appliance https --help shows the ways to switch it on",
        )
    made = renew_if_due(config, places, force=True)
    if not made:
        read_pair(
            Path(config.https.certificate or ""), Path(config.https.key or ""), config.https.names
        )
    changed = make_applier(places).refresh_proxy()
    report(config, places)
    state = look(config, places)
    text = f"the certificate is good until {state.pair.ends:%Y-%m-%d}" if state.pair else ""
    if not changed:
        text += "; it is the one from before"
    output.done({**state.to_json(), "changed": changed}, text)


def behind(places: Places, output: Output, server: str, *, name: str, address: str) -> None:
    try:
        front = Front(server.lower())
    except ValueError as error:
        raise UsageError(
            f"cannot show what {server} needs",
            why="there is nothing about it",
            mend=f"appliance https behind {'|'.join(Front)}",
        ) from error
    (name,) = _names([name], output)
    if address and not is_ip_address(address):
        raise UsageError(
            "cannot use this address",
            why=f"{address} is not an IP address",
            mend="--address 192.0.2.10",
        )
    settings = settings_for(str(ipaddress.ip_address(address)) if address else "")
    to = f"{_guessed_names()[-1]}:80" if address else places.front_socket
    text = snippet(front, name, to=to)
    commands = [f"sudo appliance config set {key} {value}" for key, value in settings]
    said = {"snippet": text, "settings": dict(settings), "commands": commands}
    head = "# On the appliance:\n" + "\n".join(f"#   {one}" for one in commands)
    output.data(said, f"{head}\n\n{text.rstrip()}")


def _switch(places: Places, output: Output, wanted: Wanted) -> None:
    outcome = switch(places, wanted)
    config = _in_force(places)
    report(config, places)
    state = look(config, places)
    root = root_urls(config, places)[0] + config.base_url
    lines = [f"{change.key}: {change.old} → {change.new}" for change in outcome.changes]
    if outcome.stopped:
        lines.append("the appliance is stopped; it will have this when it is started")
    elif state.pair:
        lines.append(f"done; the appliance answers at {root}")
        lines.append(_life(state))
    else:
        lines.append(f"done; the appliance answers at {root}, in the clear")
    changes = [{"key": one.key, "old": one.old, "new": one.new} for one in outcome.changes]
    said = {**state.to_json(), "changes": changes, "url": root, "in_force": not outcome.stopped}
    output.done(said, "\n".join(lines))


def _mode(mode: HttpsMode, port: int) -> dict[str, list[str]]:
    return {"mode": [mode.value], **({"port": [str(port)]} if port else {})}


def _names(given: Sequence[str], output: Output) -> list[str]:
    """Names as the settings have them; letters such as ü as name servers write them."""
    names = []
    for name in dict.fromkeys(given):
        host = name.removeprefix("https://").removeprefix("http://").rstrip("/")
        try:
            ascii_text = ascii_name(host)
        except ValueError as error:
            raise UsageError(
                f"cannot use the name {name[:200]!r}", why="it isn't a host name"
            ) from error
        if ascii_text != host:
            output.say(f"note: {host} is written {ascii_text}")
        names.append(ascii_text)
    return names


def _guessed_names() -> list[str]:
    """This machine's name and addresses."""
    host = socket.gethostname().lower()
    names = [host] if host and host != "localhost" else []
    return list(dict.fromkeys([*names, *own_addresses()]))


def _word(value: str | None) -> list[str]:
    return [value] if value else []


def _full(path: str) -> str:
    """The full path of a file that was named from where somebody is."""
    return str(Path(path).absolute()) if path else ""


def _in_force(places: Places) -> Config:
    path = places.rendered / HUB_FILE
    if path.exists():
        return read_rendered(path)
    raise ApplianceError(
        "cannot look at HTTPS",
        why="nothing is configured yet",
        mend="sudo appliance config reload",
    )


def _rows(state: State, said: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("HTTPS", state.mode.value), ("address", ", ".join(said["addresses"]))]
    pair = state.pair
    if pair is None:
        return [*rows, ("to switch on", "appliance https --help")]
    rows += [
        ("names", ", ".join(pair.names)),
        ("signed by", pair.issuer),
        ("good", f"{pair.starts:%Y-%m-%d} to {pair.ends:%Y-%m-%d}"),
        ("", _life(state)),
        ("SHA-256", said["sha256"]),
        ("plain HTTP", "leads to HTTPS" if said["redirect"] else "is answered, too"),
    ]
    if state.authority_ends:
        rows.append(("authority", f"good until {state.authority_ends:%Y-%m-%d}"))
    rows += [("note", note) for note in said["notes"]]
    if state.tries.after:
        rows.append(("next try", f"{datetime.fromisoformat(state.tries.after):%Y-%m-%d %H:%M} UTC"))
    return rows


def _life(state: State) -> str:
    if state.pair is None:
        return ""
    days = max(0, (state.pair.ends - datetime.now(UTC)) // timedelta(days=1))
    text = f"{count(days, 'day')} left"
    renews = state.to_json()["renews"]
    if renews:
        return f"{text}; renewed by itself about {datetime.fromisoformat(renews):%Y-%m-%d}"
    return f"{text}; put a new one in the same files in time, and the appliance takes it"


def _authority_url(places: Places) -> str:
    config = _in_force(places)
    host = (config.https.names or own_addresses())[0]
    shown = f"[{host}]" if ":" in host else host
    port = "" if config.http.port == 80 else f":{config.http.port}"
    return f"http://{shown}{port}{config.base_url}{CA_PATH}"


def _how_to_trust(places: Places) -> str:
    store = Store(places)
    return (
        f"the authority's certificate: {store.authority_file}, and {_authority_url(places)}\n"
        "it must be installed on every computer and phone, or browsers warn (docs/https.md); "
        "its SHA-256 fingerprint:\n"
        f"  {fingerprint(read_authority(store))}"
    )
