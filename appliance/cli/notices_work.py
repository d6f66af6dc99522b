"""What `appliance notices …` does."""

from __future__ import annotations

import socket
from typing import Any

from appliance.cli.backup_work import settings_in_force
from appliance.cli.output import Output
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.upkeep.delivery import Message
from appliance.upkeep.notices import Notices


def test(places: Places, output: Output) -> None:
    host = socket.gethostname()
    message = Message(
        f"[{host}] a test of the notices",
        "If you read this, you are told when something of the appliance is wrong.\n",
        ({"topic": "test", "state": "test", "severity": "ok", "summary": "a test"},),
    )
    value: dict[str, Any] = {"mail": None, "webhook": None}
    lines, failures = [], []
    ways = Notices(settings_in_force(places), places).ways()
    if not ways:
        raise ApplianceError(
            "cannot send a notice",
            why="neither mail (mail.host, and an address in notices.mail or of an admin) nor a "
            "webhook is set",
            mend="sudo appliance config set notices.webhook; or the settings mail.host and "
            "notices.mail: sudo appliance config show mail",
        )
    for way in ways:
        failure, sent = "", []
        try:
            sent = way.send(message)
            lines.append(f"sent to {', '.join(sent)}")
        except ApplianceError as err:
            failure = err.why
            failures.append(f"{way.name}: {err.why}")
        key = "sent_to" if way.name == "mail" else "sent"
        value[way.name] = {key: sent if way.name == "mail" else bool(sent), "failure": failure}
    output.done(value, "\n".join(lines))
    if failures:
        raise ApplianceError(
            "cannot send a notice by each way",
            why="; ".join(failures),
            mend="look at the settings of notices and mail, then try again",
        )
