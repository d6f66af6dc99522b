"""What the root daemon is made of, so that the installer copies it and nothing else.

The daemon has its own copy because root must not run code from an environment that it doesn't need:
no dependency of the hub, and no file of the hub's environment, is ever imported by root. With it
come the program that works on files for classes, and the scripts that units run before their
programs: a preload daemon's before the users' environment, all where no file can be made any more.
"""

from __future__ import annotations

from typing import Final

_PACKAGE: Final = (
    "__init__.py",
    "errors.py",
    "interfaces.py",
    "limits.py",
    "names.py",
    "notify.py",
    "outgoing.py",
    "places.py",
    "texts.py",
)
_DAEMON: Final = (
    "__init__.py",
    "accounts.py",
    "acl.py",
    "bus.py",
    "causes.py",
    "class_files.py",
    "class_folders.py",
    "class_machine.py",
    "class_store.py",
    "counters.py",
    "daemon.py",
    "ends.py",
    "environment.py",
    "file_jobs.py",
    "host.py",
    "journal.py",
    "listener.py",
    "offline.py",
    "programs.py",
    "properties.py",
    "protocol.py",
    "results.py",
    "servers.py",
    "service_accounts.py",
    "service_properties.py",
    "service_settings.py",
    "services.py",
    "settings.py",
    "sockets.py",
    "starter.py",
    "status_text.py",
    "told.py",
    "units.py",
)

# What works on files of classes and homes, as the user concerned.
_FILE_WORKER: Final = (
    "__init__.py",
    "archiving.py",
    "bundles.py",
    "collecting.py",
    "handing_out.py",
    "reading.py",
    "shelves.py",
    "trees.py",
    "worker.py",
)

# What root must know of the users' environment before it runs any of it.
_PRELOAD: Final = ("__init__.py", "import_path.py", "options.py")

DAEMON_FILES: Final[dict[str, str]] = {
    "systemd_spawner/__main__.py": "__main__.py",
    **{name: f"appliance/{name}" for name in _PACKAGE},
    **{f"systemd_spawner/{name}": f"appliance/systemd_spawner/{name}" for name in _DAEMON},
    **{f"file_worker/{name}": f"appliance/file_worker/{name}" for name in _FILE_WORKER},
    **{f"preload/{name}": f"appliance/preload/{name}" for name in _PRELOAD},
    "disk/spare.py": "appliance/disk/spare.py",
}
"""From the package `appliance` to the daemon's directory, /opt/appliance/spawner."""
