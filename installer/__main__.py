"""`python -m installer`: what bootstrap.py hands over to, in the hub's environment."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from appliance.client.first_admins import FirstAdmins
from appliance.client.hub import HubClient
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places
from appliance.proxy.machine import nginx_text
from appliance.rollout.addresses import root_urls
from installer import environments, trial
from installer.environment_steps import UserEnvironment, UserLink, own_requirements
from installer.events import Reporter
from installer.first_network import first_network_settings
from installer.going_back import go_back
from installer.machine_steps import Accounts, CommandLink, Folders, SpawnerFiles, Units
from installer.options import Options
from installer.plan import Step, carry_out
from installer.point import Point
from installer.preload_steps import Preload, StalePreload
from installer.quota_steps import Quotas
from installer.result import link_entries, make_admins
from installer.service_steps import Configuration, Health, Services
from installer.upgrade import Answers, HubLink, Upgrade
from installer.wheels import prune_wheels

_NO_ADMIN = "Nobody is an admin yet: sudo appliance user add NAME --admin"
_EDITED = "config.yaml was edited and is not in force: sudo appliance config reload"


def install(options: Options, reporter: Reporter) -> None:
    """Go through the steps of an installed appliance; an older release is gone back to if the
    newer one doesn't work."""
    places = options.places
    _go_back_from_what_was_cut_off(places, reporter)
    changes = {"http.port": str(options.port)} if options.port else {}
    configuration = Configuration(
        places, nginx_text, changes | first_network_settings(os.environ, places, options.ca_file)
    )
    wanted = own_requirements(places, options.user_requirements)
    users = UserEnvironment(places, options.tools, reporter, wanted, hold=True)
    users.start()
    preload = Preload(places)
    hub = environments.Environment.named("hub").directory(places.software, options.tools)
    machine: list[Step] = [
        Accounts(reporter),
        Folders(reporter),
        SpawnerFiles(places, reporter, options.tools.python),
        Units(reporter),
        CommandLink(places),
    ]
    programs: list[Step] = [
        HubLink(places, hub, options.tools.wheel),
        UserLink(users),
        configuration,
        StalePreload(preload),
        Services(places, reporter),
        Health(configuration),
        Answers(places),
        preload,
    ]
    upgrade = Upgrade.wanted(places, hub, reporter, configuration)
    if upgrade is None:
        carry_out([*machine, users, *programs], reporter)
    else:
        carry_out([users], reporter)
        upgrade.rehearse()
        with upgrade.protected():
            carry_out([*machine, *programs], reporter)
    _prune(places, reporter)
    finish(options, configuration, reporter, remarks=preload.remarks)


def _go_back_from_what_was_cut_off(places: Places, reporter: Reporter) -> None:
    point = Point.under_way(places)
    if point.exists:
        reporter.stage(f"Going back to release {point.manifest().version}: an upgrade was cut off")
        go_back(point, reporter)


def _prune(places: Places, reporter: Reporter) -> None:
    """Only what is in force, in use, or may be gone back to stays."""
    previous = Point.previous(places)
    targets = previous.manifest().links.values() if previous.exists else ()
    keep = {Path(target).name for target in targets}
    reporter.output(f"removed: {environments.prune(places.software, keep=keep)}")
    prune_wheels(places.software, keep={Path(target).parts[0] for target in targets})


def finish(
    options: Options, configuration: Configuration, reporter: Reporter, *, remarks: list[str]
) -> None:
    """First admins, and what the person at the terminal has to know."""
    places, config = options.places, configuration.in_force()
    reporter.stage("Making the first admins")
    admins = FirstAdmins(HubClient.of(places))
    links = make_admins(admins, options.admins)
    notes = [*([] if admins.count() else [_NO_ADMIN]), *remarks]
    if options.quota:
        notes += Quotas(places, reporter).prepare()
    if configuration.has_unapplied_edits():
        notes.append(_EDITED)
    if options.port and options.port != config.http.port:
        notes.append(
            f"the port stays {config.http.port}; to change it: "
            f"sudo appliance config set http.port {options.port}"
        )
    roots = root_urls(config, places)
    reporter.result(
        addresses=[f"{root}{config.base_url}" for root in roots],
        links=link_entries(links, roots[0]),
        notes=notes,
    )


def main() -> int:
    os.umask(0o022)
    reporter = Reporter(as_json="--events" in sys.argv)
    try:
        options = Options.parse(sys.argv[1:])
        if options.places.trial:
            trial.prepare(options, reporter, nginx_text)
        else:
            install(options, reporter)
    except ConfigError as error:
        problems = "\n".join(str(problem) for problem in error.problems)
        reporter.failed(ApplianceError(error.what, why=problems, mend=error.mend))
        return 1
    except ApplianceError as error:
        reporter.failed(error)
        return 1
    except Exception as error:  # noqa: BLE001 - an edge: what gets here is a bug
        reporter.output(traceback.format_exc())
        what = f"the installer has a fault: {type(error).__name__}: {error}"
        reporter.failed(ApplianceError(what, mend="report it with the log"))
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
