"""Turning quotas on: what it takes on each file system, and doing what can be done while it runs.

Everything is planned before anything is changed, and the plan is what people are shown.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from appliance.config.files import write_atomically
from appliance.disk.file_systems import FileSystem, find
from appliance.errors import ApplianceError
from appliance.outgoing import apt_options
from appliance.places import Places

FSTAB: Final = Path("/etc/fstab")
_JOURNALED: Final = ("usrjquota=aquota.user", "jqfmt=vfsv1")
_XFS: Final = ("usrquota", "prjquota")
# What can't be unmounted while the machine runs.
_BUSY_FOR_EVER: Final = frozenset({"/", "/usr", "/var", "/srv", "/opt", "/var/lib"})
_COMMAND_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Step:
    """A command, or a change of /etc/fstab."""

    does: str
    command: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """What the mount point's line in /etc/fstab gets."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one file system needs."""

    place: str
    kind: str
    state: str
    """ready, steps, or by-hand."""
    says: str
    steps: tuple[Step, ...] = ()
    by_hand: tuple[str, ...] = field(default=())


Has = Callable[[str], bool]


def plans(places: Places) -> list[Plan]:
    """What each disk of homes and classes needs."""
    try:
        fstab = FSTAB.read_text("utf-8")
    except OSError:
        fstab = ""
    return [
        plan_for(one, fstab=fstab, has_command=has_command, has_module=has_module)
        for one in find([places.homes, places.class_files])
    ]


def plan_for(one: FileSystem, *, fstab: str, has_command: Has, has_module: Has) -> Plan:
    """Pure: nothing is looked at but what is given."""
    mount, quota = one.mount, one.quota
    if quota.users_enforced:
        says = "quotas are on" + ("" if quota.projects_counted else _WITHOUT_PROJECTS)
        return Plan(mount.point, mount.kind, "ready", says)
    if quota.users_counted:
        return Plan(
            mount.point,
            mount.kind,
            "ready",
            "it counts by user; limits hold as soon as one is set in the settings",
        )
    if mount.kind == "ext4":
        return _ext4(one, fstab, has_command, has_module)
    if mount.kind == "xfs":
        return _xfs(one, fstab)
    return Plan(
        mount.point,
        mount.kind,
        "by-hand",
        f"{quota.why}: homes are measured instead; for quotas, put them on ext4 or XFS",
    )


_WHOLE_KERNEL: Final = (
    "install your distribution's whole kernel, such as linux-image-amd64 of Debian or "
    "linux-modules-extra of Ubuntu, restart, and run this again"
)
_WITHOUT_PROJECTS: Final = "; it doesn't count by project, so classes' folders are measured"


def _ext4(one: FileSystem, fstab: str, has_command: Has, has_module: Has) -> Plan:
    point, source = one.mount.point, one.mount.source
    if not has_module("quota_v2"):
        return Plan(
            point,
            "ext4",
            "by-hand",
            "this kernel has no quotas for ext4: the module quota_v2 is missing",
            by_hand=(_WHOLE_KERNEL,),
        )
    if point not in _BUSY_FOR_EVER:
        return Plan(
            point,
            "ext4",
            "steps",
            "it gets quotas by user and by project, for which nothing may use it for a moment",
            steps=(
                Step(f"unmount {point}", ("umount", point)),
                Step(
                    "give the file system quotas, and count what is there",
                    ("tune2fs", "-O", "quota,project", "-Q", "usrquota,prjquota", source),
                ),
                Step(f"mount {point} again", ("mount", point)),
            ),
            by_hand=_stop_servers(point),
        )
    if not has_line(fstab, point):
        return Plan(
            point,
            "ext4",
            "by-hand",
            f"{point} has no line in /etc/fstab, so quotas would be off after a restart",
            by_hand=(f"write a line for {point} into /etc/fstab, and run this again",),
        )
    install = Step("install Debian's quota tools", ("apt-get", "install", "-y", "quota"))
    return Plan(
        point,
        "ext4",
        "steps",
        f"it gets quotas by user while it is in use{_WITHOUT_PROJECTS}",
        steps=(
            *(() if has_command("quotacheck") else (install,)),
            Step("note it in /etc/fstab", options=_JOURNALED),
            Step(
                "turn it on for the mounted file system",
                ("mount", "-o", f"remount,{','.join(_JOURNALED)}", point),
            ),
            Step("count what is there, which takes a while", ("quotacheck", "-cum", point)),
            Step("begin to count", ("quotaon", "-u", point)),
        ),
    )


def _xfs(one: FileSystem, fstab: str) -> Plan:
    point = one.mount.point
    if point == "/":
        return Plan(
            point,
            "xfs",
            "by-hand",
            "XFS takes quotas up when it is mounted, which for / is when the machine starts",
            by_hand=(
                'add rootflags=uquota,pquota to GRUB_CMDLINE_LINUX="…" in /etc/default/grub',
                "sudo update-grub",
                "sudo systemctl reboot",
            ),
        )
    if not has_line(fstab, point):
        return Plan(
            point,
            "xfs",
            "by-hand",
            f"{point} has no line in /etc/fstab",
            by_hand=(f"mount {point} with the options {','.join(_XFS)}",),
        )
    return Plan(
        point,
        "xfs",
        "steps",
        "XFS takes quotas up when it is mounted, for which nothing may use it for a moment",
        steps=(
            Step("note it in /etc/fstab", options=_XFS),
            Step(f"unmount {point}", ("umount", point)),
            Step(f"mount {point} again", ("mount", point)),
        ),
        by_hand=_stop_servers(point),
    )


def _stop_servers(point: str) -> tuple[str, ...]:
    stop = "sudo appliance server stop --all, or restart the machine"
    return (f"if {point} is in use: `cd /` in each shell that stands in it, then {stop}",)


def has_line(fstab: str, point: str) -> bool:
    """Whether /etc/fstab says how it is mounted."""
    return with_options(fstab, point, ()) is not None


def with_options(fstab: str, point: str, options: Iterable[str]) -> str | None:
    """The file's text with the options added to the line of a mount point; all else stays as it is,
    blanks too. None if there is no such line."""
    lines = fstab.splitlines(keepends=True)
    for number, line in enumerate(lines):
        match = re.match(r"^(\s*[^#\s]\S*\s+(\S+)\s+\S+\s+)(\S+)(.*)$", line, re.DOTALL)
        if match and match[2].replace("\\040", " ") == point:
            names = {option.partition("=")[0] for option in options}
            kept = [one for one in match[3].split(",") if one.partition("=")[0] not in names]
            lines[number] = f"{match[1]}{','.join([*kept, *options])}{match[4]}"
            return "".join(lines)
    return None


def carry_out(
    plan: Plan,
    *,
    say: Callable[[str], None],
    network: Mapping[str, str] = MappingProxyType({}),
    fstab: Path = FSTAB,
) -> None:
    """Do the steps one after the other; raises ApplianceError at the first that fails.

    `network` are the variables by which programs go to the network (`appliance/network.py`). What
    was unmounted is mounted again then: homes must not stay away.
    """
    done: list[Step] = []
    for step in plan.steps:
        say(step.does)
        try:
            if step.options:
                _note(fstab, plan.place, step.options)
            else:
                run(_told(step.command, network), network)
        except ApplianceError as error:
            if any(one.command[:1] == ("umount",) for one in done):
                run(("mount", plan.place))
            raise ApplianceError(
                f"cannot {step.does}",
                why=error.why,
                mend=plan.by_hand[0] if plan.by_hand else "",
            ) from error
        done.append(step)


def _note(fstab: Path, point: str, options: Sequence[str]) -> None:
    text = fstab.read_text("utf-8")
    changed = with_options(text, point, options)
    if changed is None:
        raise ApplianceError("cannot change /etc/fstab", why=f"{point} has no line in it")
    if changed != text:
        shutil.copy2(fstab, fstab.with_name("fstab.before-quotas"))
        write_atomically(fstab, changed, mode=fstab.stat().st_mode & 0o777)


def _told(command: tuple[str, ...], network: Mapping[str, str]) -> tuple[str, ...]:
    if command[0] != "apt-get":
        return command
    return (command[0], *apt_options(network), *command[1:])


def run(command: Sequence[str], network: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raises ApplianceError with the command's own words."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False,
            env={**os.environ, **network},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplianceError(f"cannot run {command[0]}", why=str(error)) from error
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())[-500:]
        raise ApplianceError(f"{command[0]} failed", why=words)


def has_command(name: str) -> bool:
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") is not None


def has_module(name: str) -> bool:
    """Whether the kernel has it, loaded, built in, or to be loaded."""
    if Path(f"/sys/module/{name}").exists():
        return True
    try:
        run(("modprobe", "--quiet", name))
    except ApplianceError:
        return False
    return True
