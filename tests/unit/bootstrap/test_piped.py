"""bootstrap.py as people run it: piped, cut off, on an old Python, with wrong flags, twice."""

from __future__ import annotations

import ast
import fcntl
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import appliance
from appliance.names import RESERVED, USERNAME_PATTERN
from installer.lock import ROOT
from tests.fakes.bootstrap import bootstrap

TEXT = (ROOT / "bootstrap.py").read_text("utf-8")


def _pipe(text: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-", *arguments],
        input=text, capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip


def test_old_pythons_can_read_it() -> None:
    ast.parse(TEXT, feature_version=(3, 6))


def test_only_the_last_statement_does_something() -> None:
    last = TEXT.rstrip().rpartition("\n\n")[2]
    assert last == 'if __name__ == "__main__":\n    sys.exit(main())'


@pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.83, 0.99, 1.0])
def test_a_cut_download_runs_nothing(share: float, tmp_path: Path) -> None:
    end = len(TEXT.rstrip()) - len("(main())")
    cut = TEXT[: int(end * share)]
    done = _pipe(cut, "--trial", str(tmp_path / "trial"), "--yes", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "Checking" not in done.stdout


def test_piped_it_has_its_options(tmp_path: Path) -> None:
    done = _pipe(TEXT, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--user-requirements" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--admin", "ada:secret"], "a password on a command line"),
        (["--admin", "../x"], "cannot use '../x' as a user name"),
        (["--admin", "root"], "the name 'root' is reserved"),
        (["--admin", "x" * 49], "1 to 48"),
        (["--port", "0"], "from 1 to 65535"),
        (["--wheels", "/nowhere"], "there is no folder /nowhere"),
        (["--ca-file", "/etc/hostname"], "no certificates in PEM form"),
        (["--user-requirements", "/nowhere"], "cannot read /nowhere"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        bootstrap.parse_options(arguments)
    assert exit_info.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_what_it_repeats_of_the_package_is_the_same() -> None:
    assert appliance.__version__ == bootstrap.VERSION
    assert bootstrap.RESERVED == RESERVED
    assert bootstrap.USERNAME == USERNAME_PATTERN


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with bootstrap.take_lock(str(path)):
        with pytest.raises(bootstrap.StageError) as caught:
            bootstrap.take_lock(str(path))
        assert caught.value.why == f"process {os.getpid()}"
    with path.open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_unpacked_source_stays_in_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        link = tarfile.TarInfo("good-1/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        for name in ("good-1/link/x", "good-1/../../y", "../z", f"{tmp_path}/w", "good-1/here"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"x\n"))
    folder = tmp_path / "work"
    folder.mkdir()
    wanted = bootstrap.parse_options(["--trial", str(folder / "t"), "--source", str(archive)])
    log = bootstrap.Log(str(folder / "log"))
    made = bootstrap.Bootstrap(wanted, bootstrap.Machine(), bootstrap.Screen(quiet=True), log)
    with pytest.raises(bootstrap.StageError):
        made.find_wheel(str(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar.gz", "work"]


def test_only_new_lines_of_a_stage_reach_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    screen = bootstrap.Screen()
    screen.begin("Doing it")
    screen.detail = "a detail that would flicker"
    screen.end()
    assert capsys.readouterr().out == "  0:00  Doing it ...\n"


def test_a_failure_says_stage_reason_mend_and_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = bootstrap.Log(str(tmp_path / "log"))
    runner = bootstrap.Runner(bootstrap.Screen(quiet=True), log, dict(os.environ))
    with pytest.raises(bootstrap.StageError) as caught:
        runner.run(["sh", "-c", "echo one; echo two >&2; exit 3"], "cannot do it", "do that")
    runner.screen.begin("Doing it")
    runner.screen.fail(caught.value, log)
    said = capsys.readouterr().err
    for part in ("Doing it: cannot do it", "one", "two", "do that", str(tmp_path / "log"), "again"):
        assert part in said
    assert "+ sh -c" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
