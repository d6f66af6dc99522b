"""What a machine needs of its host to reach the package registries, copied when a machine is made.

Name servers, certificate authorities and the clients' own settings differ from place to place, so
none is written down here. Settings that point into the host's file system are left out: the paths
mean nothing in the machine.
"""

from __future__ import annotations

import configparser
import os
import shutil
from pathlib import Path
from typing import Final

_PASSED_ON: Final = frozenset(
    {
        *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        *("PIP_CERT", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    }
)
_CA_BUNDLE: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_LOCAL_CAS: Final = Path("/usr/local/share/ca-certificates")


def environment() -> dict[str, str]:
    """The variables with which clients in the machine find and trust the registries."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def copy_settings_to(root: Path) -> None:
    """Give the file system at `root` the host's name servers, authorities and client settings."""
    _copy(Path("/etc/resolv.conf"), root / "etc/resolv.conf")
    _copy(_CA_BUNDLE, root / str(_CA_BUNDLE).lstrip("/"))
    for authority in _LOCAL_CAS.glob("*.crt"):
        _copy(authority, root / str(authority).lstrip("/"))
    home = Path.home()
    _copy(home / ".npmrc", root / "root/.npmrc")
    for source in (Path("/etc/pip.conf"), home / ".config/pip/pip.conf", home / ".pip/pip.conf"):
        _copy_pip_settings(source, root / "etc/pip.conf")


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _copy_pip_settings(source: Path, target: Path) -> None:
    if not source.is_file():
        return
    settings = configparser.ConfigParser(interpolation=None)
    settings.read([target, source])
    for section in settings.sections():
        for option, value in list(settings.items(section)):
            if (value.startswith("/") and Path(value) != _CA_BUNDLE) or "file://" in value:
                settings.remove_option(section, option)
    with target.open("w") as file:
        settings.write(file)
