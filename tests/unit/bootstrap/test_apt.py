"""How Debian's packages are asked for, with an apt-get that does what the real one does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.bootstrap import FakeMachine, bootstrap, options

# As the real one, it fails for lists that can't be fetched only when it is told to.
APT_GET = """\
#!/bin/sh
echo "$*" >>{folder}/asked
case "$*" in
  *install*) test -e {folder}/there && exit 0; echo "E: Unable to locate package nginx"; exit 100 ;;
  *Error-Mode=any*update) echo "E: Failed to fetch: certificate verify failed"; exit 100 ;;
esac
"""

Made = Callable[..., Any]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    program = tmp_path / "bin/apt-get"
    program.parent.mkdir()
    program.write_text(APT_GET.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def make(*arguments: str) -> Any:
        log = bootstrap.Log(str(tmp_path / "log"))
        screen = bootstrap.Screen(quiet=True)
        return bootstrap.Bootstrap(options(*arguments), FakeMachine(tmp_path / "root"), screen, log)

    return make


def test_lists_that_cannot_be_fetched_are_the_reason_that_is_told(made: Made) -> None:
    with pytest.raises(bootstrap.StageError) as caught:
        made().install_wanted(["nginx"])
    assert caught.value.what == "cannot read the lists of Debian packages"
    assert "certificate verify failed" in caught.value.why
    assert "where the network opens TLS: --ca-file FILE" in caught.value.mend


def test_a_broken_source_that_nothing_comes_from_is_in_nobodys_way(
    made: Made, tmp_path: Path
) -> None:
    (tmp_path / "there").touch()
    made().install_wanted(["nginx"])
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith("install nginx")


def test_apt_trusts_whom_all_else_trusts(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the given file has the system's authorities, too, nothing is put together."""
    system = tmp_path / "system.pem"
    monkeypatch.setattr(bootstrap, "SYSTEM_AUTHORITIES", str(system))
    system.write_text(Path("/etc/ssl/certs/ca-certificates.crt").read_text())
    more = tmp_path / "more.pem"
    more.write_text(f"{system.read_text()}the school's")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_CERT", raising=False)
    assert not any("CAInfo" in word for word in made().apt_network())
    assert made("--ca-file", str(more)).apt_network()[-1] == f"Acquire::https::CAInfo={more}"
    # As an upgrade is told by the settings.
    monkeypatch.setenv("PIP_CERT", str(more))
    assert made().apt_network()[-1] == f"Acquire::https::CAInfo={more}"
