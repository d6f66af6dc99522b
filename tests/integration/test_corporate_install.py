"""The one command on a machine whose only way out is a company's proxy, which opens TLS.

The machine has a loopback interface and nothing else; the proxy listens there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.integration.images import Debian, base_image
from tests.integration.installed import CHECKOUT, make_release
from tests.integration.nspawn import NativeMachine, why_not
from tests.integration.opening_proxy import RELEASES, OpeningProxy
from tests.integration.preloaded import Preloaded
from tests.integration.ssh import Result

pytestmark = [pytest.mark.machine, pytest.mark.long, pytest.mark.timeout(1800)]

FILE: Final = "/home/ada/company-ca.pem"
STORE: Final = "/usr/local/share/ca-certificates/company.crt"
# Nothing of this host's own way to packages is to be of help.
BARE: Final = 'env --ignore-environment PATH="$PATH" HOME=/root LANG=C.UTF-8'
PASSWORD: Final = "very/secret word"


@dataclass(frozen=True)
class Company:
    """A fresh machine, and the proxy that is all it has."""

    machine: NativeMachine
    proxy: OpeningProxy
    wheel: str

    def install(self, options: str, *, curl: str = "", proxy: bool = True) -> Result:
        """What somebody types who may use sudo, with the variables in the own shell alone."""
        line = f"https_proxy={self.proxy.url} curl {curl} -fsS https://{RELEASES}/bootstrap.py"
        line += f" | sudo python3 - --source https://{RELEASES}/{self.wheel} {options} 2>&1"
        if proxy:
            line = f"export http_proxy={self.proxy.url} https_proxy={self.proxy.url}; {line}"
        line = f"set -o pipefail; {line}"
        return self.machine.attempt(f"runuser -l ada -c {shlex.quote(line)}", timeout=900)


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    image = base_image(Debian.BOOKWORM)
    if reason := why_not(image):
        pytest.skip(f"systemd-nspawn can't boot a machine here: {reason}")
    wheel = make_release(CHECKOUT, tmp_path).wheel.name
    with NativeMachine(image) as machine:
        machine.execute(
            "echo cpu memory pids >/run/controllers;"
            " mount --bind /run/controllers /sys/fs/cgroup/cgroup.controllers;"
            " useradd --create-home --shell /bin/bash ada;"
            " sed -i 's|http://|https://|' /etc/apt/sources.list"
        )
        machine.write_file("/etc/sudoers.d/ada", "ada ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
        network = machine.network
        with OpeningProxy(network, tmp_path, user="hub", password=PASSWORD) as proxy:
            machine.write_file(FILE, proxy.authority.pem)
            yield Company(machine, proxy, wheel)


def check_it_works(company: Company) -> None:
    """And goes the same way from now on, when nobody's shell says which."""
    machine = company.machine
    assert '"healthy": true' in machine.execute("appliance status --json")
    room = Preloaded(machine)
    room.prepare()
    room.add("bob")
    room.start("bob")
    assert room.run("bob", room.start_kernel("bob"), "print(6 * 7)").strip() == "42"
    room.stop_all()
    company.proxy.asked.clear()
    machine.execute(f"{BARE} appliance env install iniconfig", timeout=180)
    machine.execute("/opt/appliance/user/bin/python -c 'import iniconfig'")
    assert was_asked(company, "/simple/iniconfig/")


def was_asked(company: Company, *parts: str) -> bool:
    return all(any(part in address for address in company.proxy.asked) for part in parts)


def test_with_the_authority_in_debians_store(company: Company) -> None:
    machine, proxy = company.machine, company.proxy
    assert machine.execute("ls /sys/class/net").split() == ["lo"]
    refused = company.install("--yes", curl="--insecure", proxy=False)
    assert refused.code == 1
    assert "for Debian packages: its name cannot be resolved" in refused.stdout
    assert "behind a proxy: sudo https_proxy=http://HOST:PORT" in refused.stdout
    assert "nothing was changed" in refused.stdout
    refused = company.install("--yes", curl="--insecure")
    assert refused.code == 1
    assert "cannot read the lists of Debian packages" in refused.stdout
    assert "certificate" in refused.stdout
    assert "where the network opens TLS: --ca-file FILE" in refused.stdout
    machine.execute(f"cp {FILE} {STORE} && update-ca-certificates")
    done = company.install("--yes")
    assert done.code == 0, done.describe()
    assert "use http_proxy, https_proxy from your environment" in done.stdout
    assert "The appliance is running" in done.stdout
    # apt, the download of the release, pip and uv.
    assert was_asked(company, "/InRelease", ".deb", ".whl", "/uv-", "/jupyterlab-"), proxy.asked
    assert proxy.refused == 0
    assert PASSWORD not in done.stdout + machine.read_file("/var/log/appliance-install.log")
    check_it_works(company)


def test_with_the_authority_in_a_file(company: Company) -> None:
    machine = company.machine
    # One of Debian's many sources may be out of order, if nothing of ours comes from there.
    machine.write_file("/etc/apt/sources.list.d/gone.list", f"deb https://{RELEASES}/gone x main\n")
    done = company.install(f"--yes --ca-file {FILE}", curl=f"--cacert {FILE}")
    assert done.code == 0, done.describe()
    assert was_asked(company, "/InRelease", ".deb", "/uv-", "/jupyterlab-"), company.proxy.asked
    # The file may have come on a stick.
    machine.execute(f"rm {FILE}")
    check_it_works(company)
