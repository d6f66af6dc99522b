"""The file that nginx has its certificate from: made from what the settings name, if that is good.

The names of these files say what they were made from and what is in them: where the original is
broken, the last good one for the same settings stays in service.
"""

from __future__ import annotations

import grp
import hashlib
import os
from pathlib import Path
from typing import Final

from appliance.config.files import write_atomically
from appliance.config.https_schema import Https, HttpsMode
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.proxy.certificates import CertificateError, Pair, read_pair

PROXY_GROUP: Final = "appliance-proxy"
_KEPT: Final = 3


def originals(https: Https, places: Places) -> tuple[Path, Path]:
    """The files with the certificate and with the key; what we get ourselves is one file."""
    if https.mode is HttpsMode.FILES:
        return Path(https.certificate or ""), Path(https.key or "")
    own = places.certificates / https.mode.value / "pair.pem"
    return own, own


def read_original(https: Https, places: Places) -> Pair:
    """Read and check what the settings name; CertificateError if it can't be used."""
    certificate, key = originals(https, places)
    if https.mode is not HttpsMode.FILES and not certificate.exists():
        asked = " ".join(f"--domain {name}" for name in https.names)
        asked += f" --email {https.email}"
        named = " ".join(f"--name {name}" for name in https.names)
        raise CertificateError(
            f"cannot use HTTPS in the mode {https.mode.value}",
            why="there is no certificate yet",
            mend=f"sudo appliance https {https.mode.value} "
            + (asked if https.mode is HttpsMode.LETSENCRYPT else named),
        )
    return read_pair(certificate, key, https.names)


def served_certificate(https: Https, places: Places) -> Path | None:
    """nginx's file for these settings, made if need be; None where HTTPS is off.

    CertificateError where the original can't be used and there was never a good one.
    """
    if not https.is_on:
        return None
    try:
        pair = read_original(https, places)
    except CertificateError:
        kept = last_served(https, places)
        if kept is None:
            raise
        return kept
    return _serve(pair, https, places)


def last_served(https: Https, places: Places) -> Path | None:
    """The newest file that was made for the same settings, if any."""
    made = list(_folder(places).glob(f"{_source(https, places)}-*.pem"))
    return max(made, key=lambda one: one.stat().st_mtime_ns, default=None)


def forget_served(places: Places, *, in_use: str) -> None:
    """Take away all but the newest few, and what the text in force names."""
    made = sorted(_folder(places).glob("*.pem"), key=lambda one: one.stat().st_mtime_ns)
    for path in made[:-_KEPT]:
        if path.name not in in_use:
            path.unlink(missing_ok=True)


def certificate_folder(places: Places, name: str, *, mode: int) -> Path:
    """A folder of that name among the certificates, made if need be; what its group may, nginx
    may."""
    folder = places.certificates / name
    group = proxy_group(places)
    for path, wanted in ((places.certificates, 0o750), (folder, mode)):
        path.mkdir(mode=wanted, parents=True, exist_ok=True)
        path.chmod(wanted)
        if group is not None:
            os.chown(path, 0, group)
    return folder


def _serve(pair: Pair, https: Https, places: Places) -> Path:
    text = pair.pem()
    digest = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = _folder(places) / f"{_source(https, places)}-{digest}.pem"
    if path.exists():
        path.touch()
        return path
    certificate_folder(places, "served", mode=0o750)
    write_for_proxy(path, text, places)
    return path


def write_for_proxy(path: Path, text: str, places: Places) -> None:
    """Write a file that root may change and nginx may read."""
    group = proxy_group(places)
    write_atomically(path, text, mode=0o640, user=None if group is None else 0, group=group)


def _folder(places: Places) -> Path:
    return places.certificates / "served"


def _source(https: Https, places: Places) -> str:
    """A word for what the certificate is made from and for."""
    certificate, key = originals(https, places)
    parts = "\n".join([https.mode.value, str(certificate), str(key), *sorted(https.names)])
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def proxy_group(places: Places) -> int | None:
    """The group that nginx has; a trial's nginx is the user's own."""
    if places.trial or os.geteuid() != 0:
        return None
    try:
        return grp.getgrnam(PROXY_GROUP).gr_gid
    except KeyError as error:
        raise ApplianceError(
            "cannot give the proxy its certificate",
            why=f"there is no group {PROXY_GROUP} on this machine",
            mend="run the installer again",
        ) from error
