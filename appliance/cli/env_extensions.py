"""`appliance env extensions` and `appliance env extension on|off`: settings, so that it stays."""

from __future__ import annotations

import difflib
from dataclasses import asdict

from appliance.cli import settings_change
from appliance.cli.output import Output
from appliance.config.load import check_text, read_text
from appliance.config.schema import Config
from appliance.environments.extensions import Extension, extensions
from appliance.errors import NotFound
from appliance.places import Places


def show(places: Places, output: Output) -> None:
    found = extensions(places.user_environment, _config(places))
    rows = [[one.name, one.part, one.version, "on" if one.on else "off", one.why] for one in found]
    output.table(
        [asdict(one) for one in found], ["extension", "of", "version", "", "because"], rows
    )


def switch(places: Places, output: Output, name: str, *, on: bool) -> None:
    config = _config(places)
    one = _find(name, extensions(places.user_environment, config))
    if one.part == "server":
        value = f"{one.name}={'true' if on else 'false'}"
        settings_change.add(places, output, "servers.extensions", [value], roll_back=True)
    elif on and one.name in config.servers.lab_extensions_off:
        settings_change.remove(
            places, output, "servers.lab_extensions_off", [one.name], roll_back=True
        )
    elif not on and one.name not in config.servers.lab_extensions_off:
        settings_change.add(
            places, output, "servers.lab_extensions_off", [one.name], roll_back=True
        )
    else:
        state = "on" if on else "off"
        nothing = {"changes": [], "effects": [], "notes": [], "healed": "", "in_force": True}
        output.done(nothing, f"nothing to do: {one.name} is {state} already")


def _config(places: Places) -> Config:
    return check_text(read_text(places.config_file), name=str(places.config_file))


def _find(name: str, found: list[Extension]) -> Extension:
    for one in found:
        if one.name == name:
            return one
    near = difflib.get_close_matches(name, [one.name for one in found], n=1, cutoff=0.4)
    raise NotFound(
        f"cannot find the extension '{name}'",
        why=f"did you mean {near[0]}?" if near else "nothing installed has the name",
        mend="appliance env extensions",
    )
