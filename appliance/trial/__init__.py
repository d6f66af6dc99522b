"""Trial mode: the same hub and nginx below one supervisor, without root and systemd.

`python -I -m appliance.trial`; APPLIANCE_TRIAL names the folder that `bootstrap.py --trial` made.

- `sockets.py`: the directory of sockets, and the ones that systemd would open.
- `children.py`: starting, watching and ending processes.
- `supervisor.py`: hub and proxy, restarted when they die; SIGHUP after a change of settings.
- `__main__.py`: the command, and what it says to the person at the terminal.
"""
