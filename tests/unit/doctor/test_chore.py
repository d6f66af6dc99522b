"""What the regular upkeep writes of hub, machine and clock."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.doctor import machine
from appliance.doctor.chore import look_at_machine
from appliance.doctor.machine import OUR_UNITS
from appliance.doctor.system import System
from appliance.findings import Finding, Severity, read_findings
from appliance.places import Places


class Programs:
    """systemctl and its like, as they answer on a machine that is well but for what a test says."""

    def __init__(self) -> None:
        self.states = dict.fromkeys(OUR_UNITS, "active")
        self.loads = dict.fromkeys(OUR_UNITS, "loaded")
        self.audit = ""
        self.ntp = "NTP=yes\nNTPSynchronized=yes\n"

    def __call__(self, command: Sequence[str], _seconds: float) -> subprocess.CompletedProcess[str]:
        out = ""
        if command[:2] == ("systemctl", "show"):
            out = "\n\n".join(
                f"Id={name}\nLoadState={self.loads[name]}\nActiveState={state}\nSubState=\n"
                "Result=success\nUnitFileState=enabled\nNeedDaemonReload=no\nNRestarts=0"
                for name, state in self.states.items()
            )
        elif command[0] == "dpkg":
            out = self.audit
        elif command[0] == "timedatectl":
            out = self.ntp
        return subprocess.CompletedProcess(list(command), 0, out, "")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Programs:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids io")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_is_on_its_own", lambda: True)
    return Programs()


def found(
    tmp_path: Path, programs: Programs, *, faults: Sequence[str] = ("",)
) -> dict[str, Finding]:
    places = Places.of_trial(tmp_path)
    left = list(faults)
    look_at_machine(
        Config(), places, system=System(programs), pause=lambda _: None,
        fault=lambda _: left.pop(0) if len(left) > 1 else left[0],
    )  # fmt: skip
    return {one.topic: one for one in read_findings(places.health)}


def test_a_machine_that_is_well(tmp_path: Path, programs: Programs) -> None:
    findings = found(tmp_path, programs)
    assert {name: one.severity for name, one in findings.items()} == {
        "hub": Severity.OK, "machine": Severity.OK, "clock": Severity.OK,
    }  # fmt: skip
    facts = findings["machine"].details
    assert facts["memory"]["total"] > facts["memory"]["available"] > 0
    assert facts["disks"][0]["path"] == "/"
    assert facts["units"]["appliance-hub.service"] == "active"


def test_a_hub_that_is_just_restarting_is_no_failure(tmp_path: Path, programs: Programs) -> None:
    assert found(tmp_path, programs, faults=("502", ""))["hub"].severity is Severity.OK
    finding = found(tmp_path, programs, faults=("502",))["hub"]
    assert (finding.severity, finding.why) == (Severity.FAILED, "502")
    assert finding.mend == "sudo appliance doctor"


def test_units_that_failed_are_told_with_their_mend(tmp_path: Path, programs: Programs) -> None:
    programs.states["appliance-spawner.service"] = "failed"
    programs.audit = "The following packages are only half configured\n nginx\n"
    finding = found(tmp_path, programs)["machine"]
    assert finding.severity is Severity.WARNING
    assert finding.summary.startswith("appliance-spawner.service is failed")
    assert finding.mend == "sudo systemctl restart appliance-spawner.service"
    assert "dpkg --configure -a" in finding.why


def test_units_that_are_missing_are_the_worst(tmp_path: Path, programs: Programs) -> None:
    programs.loads["appliance-proxy.service"] = "not-found"
    finding = found(tmp_path, programs)["machine"]
    assert finding.severity is Severity.FAILED
    assert "appliance-proxy.service" in finding.summary
    assert "installer" in finding.mend


def test_a_clock_that_nobody_sets(tmp_path: Path, programs: Programs) -> None:
    programs.ntp = "NTP=no\nNTPSynchronized=no\n"
    assert found(tmp_path, programs)["clock"].severity is Severity.WARNING


def test_a_clock_before_our_own_files(programs: Programs) -> None:
    now = 1.8e9
    assert not any(
        one.state == "failed" for one in machine.clock(System(programs), now, now + 3600)
    )
    (check,) = machine.clock(System(programs), now, now + 90_000)
    assert (check.state, "set-ntp" in check.mend) == ("failed", True)


def test_no_control_groups(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu")
    (check,) = machine.control_groups()
    assert check.summary == "servers have no limits for: memory, processes"
    (tmp_path / "cgroup.controllers").unlink()
    (check,) = machine.control_groups()
    assert check.state == "warning"
