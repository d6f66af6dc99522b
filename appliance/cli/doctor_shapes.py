"""The shapes of `appliance doctor` and `appliance support-bundle`."""

from __future__ import annotations

from typing import Final

DOCTOR_SHAPES: Final[dict[str, str]] = {
    "doctor": """\
{"state": "failed", "broken": "proxy",
 "layers": [{"name": "proxy", "state": "failed", "summary": "the proxy does not run",
             "why": "appliance-proxy.service is stopped",
             "mend": "sudo systemctl restart appliance-proxy.service; sudo appliance logs proxy",
             "log": [], "seconds": 0.1, "fixed": [], "can_be_fixed": true}],
 "checks": [{"name": "memory", "state": "ok", "summary": "5.1G of 15.6G free, no swap", "why": "",
             "mend": "", "log": [], "seconds": null, "fixed": [], "can_be_fixed": false}]}

A `state` is `ok`, `warning`, `failed` or `not tried`; that of all is the worst. `layers` are, in
this order, browser, proxy, hub, log-in, spawner, server and kernel; `broken` is the first that
failed, or null. `fixed` is what `--fix` did.""",
    "support-bundle": """\
{"file": "/root/appliance-support-20300101-080000.tar.gz", "removed": {"token": 3, "link": 1},
 "members": ["about.json", "doctor.json", "…"]}

`removed` counts the secrets that were taken out, by kind.""",
}
