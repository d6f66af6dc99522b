"""What the commands about limits do; and asking before memory is lowered below what is in use."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from appliance.cli.output import Output, count
from appliance.cli.people import confirm
from appliance.client.hub import HubClient
from appliance.config import edit as texts
from appliance.config.limits_schema import Limits
from appliance.config.load import check_text, read_text
from appliance.config.schema import Config
from appliance.config.setting import format_duration, format_size
from appliance.errors import ApplianceError, BadRequest, ConfigError
from appliance.findings import first_few
from appliance.limits import MIB, LimitBook, MachineSize, fitting_memory
from appliance.names import ServerId, ServerName, Username, parse_group_name, parse_username
from appliance.places import Places
from appliance.rollout.health import Deadline
from appliance.rollout.services import ask_spawner
from appliance.sizes import short_size
from appliance.systemd_spawner.told import ToldStore

_ASK_SECONDS: Final = 10.0
_SIZES: Final = frozenset({"memory", "swap", "memory_guarantee"})
_LABELS: Final = {
    "memory": "memory",
    "cpu": "processor cores",
    "tasks": "processes and threads",
    "run_time": "longest life",
    "swap": "swap",
    "cpu_weight": "share of the processor",
    "io_weight": "share of the disk",
    "memory_guarantee": "guaranteed memory",
}
# JupyterLab with a kernel that has loaded pandas and a table, as measured; docs/limits.md.
_TYPICAL: Final = 256 * MIB
_MEASURED_MIN: Final = 5
_ONLY_A_TRIAL: Final = "This is a trial, in which nothing holds servers to limits."


def show(places: Places, output: Output, name: str, group: str) -> None:
    """What holds for everybody, for a user, or for who is in a group."""
    if name and group:
        raise BadRequest("cannot show both", why="limits are of a user or of a group")
    path = "/appliance/limits"
    if name:
        path = f"/appliance/users/{quote(parse_username(name), safe='@')}/limits"
    elif group:
        path = f"/appliance/groups/{quote(parse_group_name(group), safe='')}/limits"
    found = HubClient.of(places).request("GET", path)
    rows = [
        [_LABELS[one], _in_words(one, limit["value"]), _source(limit)]
        for one, limit in found["limits"].items()
    ]
    output.table(found, ["limit", "value", "from"], rows)
    if places.trial:
        output.say(_ONLY_A_TRIAL)


def _in_words(name: str, value: float | None) -> str:
    if value is None:
        return "no limit"
    if name in _SIZES:
        return format_size(int(value))
    if name == "run_time":
        return format_duration(value)
    return f"{value:g}"


def _source(limit: dict[str, Any]) -> str:
    match limit["source"]:
        case "machine":
            return "what fits this machine and limits.class_size"
        case "default":
            return "limits"
    setting = f"{limit['source']}_limits.{limit['name']}"
    return f"the {limit['source']} {limit['name']}, on a page" if limit["on_page"] else setting


@dataclass(frozen=True, slots=True)
class Measured:
    """What servers use at this moment."""

    servers: int
    median: int
    largest: int

    @property
    def numbers(self) -> tuple[int, int]:
        return self.median, self.largest


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Limits for so many people on this machine, and what they were made of."""

    machine: MachineSize
    people: int
    memory: int
    measured: Measured | None

    @property
    def share(self) -> int:
        """What each has if all want most at once."""
        return self.machine.for_servers // self.people

    @property
    def typical(self) -> int:
        """What one student at work uses."""
        return max(_TYPICAL, self.measured.median) if self.measured else _TYPICAL

    @property
    def room_for(self) -> int:
        """How many can work at once without the machine's memory running out."""
        return self.machine.for_servers // self.typical

    @property
    def settings(self) -> dict[str, object]:
        """By setting what is suggested; None: the default, which is the right one."""
        return {"limits.class_size": self.people, "limits.memory": None}

    def model(self) -> dict[str, Any]:
        return {
            "machine": {"memory": self.machine.memory, "cores": self.machine.cores},
            "class_size": self.people,
            "memory": self.memory,
            "share": self.share,
            "typical": self.typical,
            "room_for": self.room_for,
            "measured": None if self.measured is None else {
                "servers": self.measured.servers, "median": self.measured.median,
                "largest": self.measured.largest,
            },
            "settings": self.settings,
        }  # fmt: skip


def make_suggestion(machine: MachineSize, people: int, uses: list[int]) -> Suggestion:
    """What fits, with what servers use now if that tells anything."""
    measured = None
    if len(uses) >= _MEASURED_MIN:
        measured = Measured(len(uses), int(statistics.median(uses)), max(uses))
    return Suggestion(machine, people, fitting_memory(machine, people), measured)


def suggest(
    places: Places, output: Output, class_size: int | None, *, apply: bool, yes: bool
) -> None:
    """Say what fits, and set it if that was asked for."""
    config = check_text(read_text(places.config_file), name=str(places.config_file))
    people = class_size or config.limits.class_size
    uses = [int(row["memory_bytes"] or 0) for row in running_servers(places)]
    found = make_suggestion(MachineSize.read(), people, uses)
    lines = _explained(found, config, is_applied=apply)
    output.data(found.model(), "" if output.quiet else "\n".join(lines))
    if places.trial:
        output.say(_ONLY_A_TRIAL)
    if apply:
        _apply(places, output, found, yes=yes)


def _explained(found: Suggestion, config: Config, *, is_applied: bool = False) -> list[str]:
    machine = found.machine
    total, shared = short_size(machine.memory), short_size(machine.for_servers)
    lines = [
        f"This machine has {total} of memory and {count(machine.cores, 'core')}. {shared} are for",
        "servers, the rest keeps the hub and the system alive.",
        "",
        f"memory  {format_size(found.memory)} each, for {found.people} at work at the same time",
        f"        Three times a fair share ({short_size(found.share)}), since hardly ever do all",
        "        want most at once; but enough to work with, and at most half of what is for all.",
    ]
    if found.measured:
        median, largest = (short_size(one) for one in found.measured.numbers)
        lines.append(
            f"        {found.measured.servers} servers run now: half use up to {median}, the "
            f"largest {largest}."
        )
    if found.room_for < found.people:
        typical = short_size(found.typical)
        lines += [
            f"        Careful: at {typical} each there is room for {found.room_for} at once. When",
            "        more are at work, Linux stops the largest kernel of all: the machine needs",
            "        more memory.",
        ]
    lines += _left_alone(config.limits)
    if is_applied:
        return lines
    commands = [
        f"sudo appliance config set {key} {value}"
        if value is not None
        else f"sudo appliance config unset {key}"
        for key, value in _changes(found, config).items()
    ]
    return [*lines, "", *(["To set it:", *commands] if commands else ["It is set so already."])]


def _left_alone(limits: Limits) -> list[str]:
    """What doesn't depend on the machine: the defaults and their reasons, or what somebody set."""
    cpu = "no limit: who works alone has the whole machine, and busy servers share it fairly"
    if limits.cpu is not None:
        cpu = f"{limits.cpu:g} cores each, as it is set"
    tasks = f"{limits.tasks} each: more than notebooks need, and what multiplies itself stays small"
    if limits.tasks != Limits().tasks:
        tasks = f"{limits.tasks or 'as many as systemd allows'} each, as it is set"
    return [f"cpu     {cpu}", f"tasks   {tasks}"]


def _changes(found: Suggestion, config: Config) -> dict[str, object]:
    """What must be set for it to be so."""
    changes: dict[str, object] = {}
    if config.limits.class_size != found.people:
        changes["limits.class_size"] = found.people
    if config.limits.memory is not None:
        changes["limits.memory"] = None
    return changes


def _apply(places: Places, output: Output, found: Suggestion, *, yes: bool) -> None:
    from appliance.cli.settings_change import change_text

    def change(text: str) -> str:
        name = str(places.config_file)
        for key, value in found.settings.items():
            if value is not None:
                text = texts.set_value(text, key, [str(value)], name=name)
            elif check_text(text, name=name).limits.memory is not None:
                text = texts.unset(text, key, name=name)
        return text

    # What is suggested was the output already.
    change_text(places, Output(quiet=output.quiet or output.as_json), change, yes=yes)


# Before memory is lowered


def ask_before_lowering(places: Places, new: str) -> None:
    """Let somebody say yes if the new settings would have Linux stop what runs; UsageError else."""
    above = servers_above(places, new)
    if above:
        confirm(
            f"these servers use more memory than they may then, so that Linux may stop kernels in "
            f"them at once: {first_few([str(one) for one in above])}. Go on?"
        )


def servers_above(places: Places, new: str) -> list[ServerId]:
    """The running servers that use more memory than the new settings let them."""
    try:
        config = check_text(new, name=str(places.config_file))
    except ConfigError:
        # Who applies it tells what is wrong with it.
        return []
    book = LimitBook(config.model_dump(mode="json", include=_SECTIONS), MachineSize.read())
    told = ToldStore(places.run / "limits.json")
    found = []
    for row in running_servers(places):
        server = ServerId(Username(row["user"]), ServerName(row["server"]))
        may = book.of(server.user, told.find(server.user)).memory
        # A limit that it has reached already isn't lowered.
        if min(row["memory_bytes"] or 0, row["memory_limit_bytes"] or 0) > may:
            found.append(server)
    return sorted(found)


_SECTIONS: Final = {"limits", "group_limits", "user_limits", "page_limits"}


def running_servers(places: Places) -> list[dict[str, Any]]:
    """What runs, from the spawner itself; nothing where it doesn't answer, as in a trial."""
    if places.trial:
        return []
    try:
        answer = ask_spawner(places, {"verb": "list"}, Deadline(_ASK_SECONDS))
    except ApplianceError:
        return []
    return list(answer["servers"])
