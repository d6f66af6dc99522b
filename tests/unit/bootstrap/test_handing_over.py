"""What the installer is told of what somebody typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.bootstrap import FakeMachine, bootstrap, options

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
TRIAL = ["--trial", "/t"]
INSTALLER = """\
#!/bin/sh
echo "$*" >{folder}/asked
"""


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ([], ""),
        (["--quota"], "--quota"),
        (["--ca-file", AUTHORITIES], f"--ca-file {AUTHORITIES}"),
        (["--admin", "ada", "--admin", "bob"], "--admin ada --admin bob"),
        (["--port", "8080"], "--port 8080"),
        # What is the machine's own, a trial leaves alone.
        ([*TRIAL, "--quota", "--ca-file", AUTHORITIES], "--trial /t --python /p"),
    ],
)
def test_each_option_reaches_the_installer(tmp_path: Path, typed: list[str], told: str) -> None:
    program = tmp_path / "bin/python"
    program.parent.mkdir()
    program.write_text(INSTALLER.format(folder=tmp_path))
    program.chmod(0o755)
    log = bootstrap.Log(str(tmp_path / "log"))
    screen = bootstrap.Screen(quiet=True)
    made = bootstrap.Bootstrap(options(*typed), FakeMachine(tmp_path / "root"), screen, log)
    made.built, made.python = str(tmp_path), "/p"
    made.hand_over("/w.whl")
    asked = (tmp_path / "asked").read_text().strip()
    assert asked == f"-I -m installer --events --wheel /w.whl {told}".strip()
