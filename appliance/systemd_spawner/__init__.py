"""Single-user servers as transient systemd units: the root daemon, and the hub's side of it.

`spawner.py` is the hub's side. All else is the daemon, which runs on the distribution's Python
with the standard library and the distribution's pystemd alone: `files.py` lists what the installer
copies.

The daemon's files, from the bottom up:

- `settings.py`, `environment.py`, `properties.py`, `results.py`: pure; what a unit looks like and
  what its end means.
- `host.py`, `accounts.py`: Unix accounts and homes, and the stored mapping of users to them.
- `sockets.py`, `journal.py`: the listening sockets, the log.
- `units.py`: what is asked of systemd; `bus.py`: asking it over D-Bus.
- `causes.py`, `starter.py`, `servers.py`: start, stop, list, watch, on top of the above;
  `ends.py` carries the ends of servers to who watches.
- `service_settings.py`, `service_properties.py`, `service_accounts.py`, `services.py`: the same for
  services that the appliance runs; `service_runner.py` is the hub's side of them.
- `protocol.py`, `listener.py`: requests, replies, connections.
- `daemon.py`: joins the parts.
"""
