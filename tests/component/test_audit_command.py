"""`appliance audit`: two writers as one list, filters, and files that somebody tampered with."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import audit
from appliance.audit import VISITOR, Action, Actor, AuditLog, Outcome, file_name
from appliance.cli import __main__
from appliance.cli import audit as command
from appliance.cli.audit_files import Log
from appliance.cli.errors import UsageError
from appliance.places import TRIAL_VARIABLE, Places
from tests.fakes.clock import FakeClock

ADA = Actor("user", "ada")
ROOT = Actor("root", "root", unix_user="teacher")

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv(TRIAL_VARIABLE, str(tmp_path))
    made = Places.of_trial(tmp_path)
    made.hub_state.mkdir(parents=True)
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def hub(places: Places, clock: FakeClock) -> AuditLog:
    return AuditLog(places.hub_audit, clock=clock)


@pytest.fixture
def root(places: Places, clock: FakeClock) -> AuditLog:
    return AuditLog(places.root_audit, clock=clock)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_command(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["appliance", *line.split()])
        code = 0
        try:
            __main__.main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def story(hub: AuditLog, root: AuditLog, clock: FakeClock) -> None:
    """Five lines of two writers, an hour apart."""
    root.add(ROOT, Action.CHANGE_CONFIG, ["limits.memory"])
    clock.pass_time(3600)
    hub.add(ADA, Action.CREATE_USER, ["bob", "eve"], address="192.0.2.7")
    clock.pass_time(3600)
    hub.add(VISITOR, Action.LOG_IN, ["bob"], address="192.0.2.9", outcome=Outcome.REFUSED,
            details={"why": "wrong password"})  # fmt: skip
    clock.pass_time(3600)
    hub.add(ADA, Action.ADD_TO_GROUP, ["class1"], details={"users": ["eve"]})
    clock.pass_time(3600)
    hub.add(ADA, Action.START_SERVER, ["bob/lab2"])


def actions(run: Run, line: str) -> list[str]:
    code, out, err = run(f"audit {line} --json")
    assert (code, err) == (0, "")
    return [record["action"] for record in json.loads(out)]


@pytest.mark.usefixtures("story")
def test_it_reads_like_a_story(run: Run) -> None:
    code, out, err = run("audit")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "time (UTC) who from action target",
        "2026-09-01 09:00:00 root (teacher) config.change limits.memory",
        "2026-09-01 10:00:00 ada 192.0.2.7 user.create bob, eve",
        "2026-09-01 11:00:00 visitor 192.0.2.9 auth.log-in bob refused; why: wrong password",
        "2026-09-01 12:00:00 ada group.add-users class1 users: eve",
        "2026-09-01 13:00:00 ada server.start bob/lab2",
    ]


@pytest.mark.usefixtures("story")
def test_filters(run: Run) -> None:
    everything = [
        "config.change", "user.create", "auth.log-in", "group.add-users", "server.start"
    ]  # fmt: skip
    assert actions(run, "") == everything
    assert actions(run, "-n 2") == everything[-2:]
    assert actions(run, "-n 0") == []
    assert actions(run, "--user bob") == ["user.create", "auth.log-in", "server.start"]
    assert actions(run, "--user eve") == ["user.create", "group.add-users"]
    assert actions(run, "--user teacher") == ["config.change"]
    assert actions(run, "--action user.") == ["user.create"]
    assert actions(run, "--since 2026-09-01T12:00") == everything[-2:]
    assert actions(run, "--since 2026-09-01T13:00+02:00 --user bob") == [
        "auth.log-in", "server.start"
    ]  # fmt: skip
    assert actions(run, "--since 1h") == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", datetime(2030, 1, 31, 7, 58, 30, tzinfo=UTC)),
        ("2h", datetime(2030, 1, 31, 6, tzinfo=UTC)),
        ("1w", datetime(2030, 1, 24, 8, tzinfo=UTC)),
        ("2030-01-30", datetime(2030, 1, 30, tzinfo=UTC)),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert command.parse_since(text, now=datetime(2030, 1, 31, 8, tzinfo=UTC)) == moment


@pytest.mark.parametrize("text", ["yesterday", "1y", "h", "2030-13-01", "999999w"])
def test_since_what(text: str) -> None:
    with pytest.raises(UsageError, match="neither an age nor a date"):
        command.parse_since(text)


def test_nothing_yet(run: Run) -> None:
    assert run("audit") == (0, "", "nothing was noted that fits\n")
    assert run("audit --json") == (0, "[]\n", "")
    code, _, err = run("audit --follow --json")
    assert code == 2
    assert "cannot follow with --json" in err


def test_older_files_are_read_too(hub: AuditLog, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST_FILE", 1000)
    for number in range(20):
        hub.add(ADA, Action.REMOVE_USER, [f"user-{number}"])
    assert (hub.folder / file_name(3)).exists()
    _, out, _ = run("audit --json -n 15")
    assert [record["targets"] for record in json.loads(out)] == [
        [f"user-{number}"] for number in range(5, 20)
    ]


class TestAHubThatWasTakenOver:
    """It can write what it likes into its own directory; root only reads there."""

    def test_it_forges_no_line_of_roots(self, hub: AuditLog, run: Run) -> None:
        hub.add(ROOT, Action.CHANGE_CONFIG, ["limits.memory"])
        code, out, err = run("audit")
        assert (code, out) == (0, "")
        assert "1 line can't be read and was left out" in err

    @pytest.mark.usefixtures("story")
    def test_its_links_and_pipes_are_not_opened(
        self, hub: AuditLog, run: Run, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        (hub.folder / file_name(0)).rename(secret)
        os.mkfifo(hub.folder / file_name(0))
        for why in ("no regular file", "Too many levels of symbolic links"):
            code, out, err = run("audit --json")
            assert [record["action"] for record in json.loads(out)] == ["config.change"]
            assert why in err
            assert code == 0
            (hub.folder / file_name(0)).unlink()
            (hub.folder / file_name(0)).symlink_to(secret)

    @pytest.mark.usefixtures("story")
    def test_a_link_in_the_place_of_its_directory(
        self, hub: AuditLog, run: Run, tmp_path: Path
    ) -> None:
        hub.folder.rename(tmp_path / "elsewhere")
        hub.folder.symlink_to(tmp_path / "elsewhere")
        code, out, err = run("audit")
        assert code == 0
        assert "config.change" in out
        assert "user.create" not in out
        assert "no link" in err

    @pytest.mark.parametrize(
        "line",
        [
            "", "{", "[]", "null", "7", '{"time": "2030-01-01T00:00:00Z"}', "[" * 100_000,
            '{"time": 5, "actor": {}, "address": "", "action": "x", "targets": [], "outcome": "", '
            '"details": {}}',
        ],
    )  # fmt: skip
    def test_rubbish_is_left_out(self, hub: AuditLog, run: Run, line: str) -> None:
        hub.add(ADA, Action.LOG_OUT)
        with (hub.folder / file_name(0)).open("a") as file:
            file.write(f"{line}\n\xff\n")
        hub.add(ADA, Action.CHANGE_PASSWORD)
        _, out, _ = run("audit")
        assert out.count("\n") == 3

    def test_nothing_reaches_the_terminal_but_text(self, hub: AuditLog, run: Run) -> None:
        hub.add(
            Actor("user", "\x1b]0;owned\x07"), Action.LOG_OUT, ["\u202egnp.exe"],
            address="\x9b2J", details={"a\rb": "[red]x[/red]\n\x00"},
        )  # fmt: skip
        for line in ("audit", "audit --json"):
            _, out, _ = run(line)
            assert not [char for char in out if char != "\n" and not char.isprintable()]
            assert "[red]x[/red]" in out


@pytest.mark.usefixtures("story")
def test_following_across_a_change_of_files(
    places: Places, hub: AuditLog, root: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(places)
    log.begin_to_follow()
    assert log.new_records() == []
    monkeypatch.setattr(audit, "LARGEST_FILE", 1500)
    added = []
    for number in range(12):
        hub.add(ADA, Action.REMOVE_USER, [f"user-{number}"])
        if number % 3 == 2:
            added += [record["targets"][0] for record in log.new_records()]
    root.add(ROOT, Action.RELOAD_CONFIG)
    assert [record["action"] for record in log.new_records()] == ["config.reload"]
    assert added == [f"user-{number}" for number in range(12)]
    assert (hub.folder / file_name(1)).exists()


def test_following_prints_lines_at_once(
    places: Places, hub: AuditLog, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = []

    def nap(_: float) -> None:
        naps.append(1)
        if len(naps) == 3:
            raise KeyboardInterrupt
        hub.add(ADA, Action.LOG_OUT, ["ada"])

    monkeypatch.setattr("appliance.cli.audit.time.sleep", nap)
    code, out, _ = run("audit -f")
    assert code == 130
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "2026-09-01 09:00:00 ada auth.log-out ada"
    ] * 2


def test_two_writers_lose_nothing_when_files_turn_over(
    hub: AuditLog, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LARGEST_FILE", 20_000)
    other = AuditLog(hub.folder)

    def write(log: AuditLog) -> None:
        for number in range(200):
            log.add(ADA, Action.REMOVE_USER, [f"user-{number}"])

    threads = [threading.Thread(target=write, args=(log,)) for log in (hub, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _, out, err = run("audit --json -n 1000")
    assert err == ""
    assert len(json.loads(out)) == 400
