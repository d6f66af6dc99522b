"""What `--json` prints for each command: the stable shapes that scripts may rely on.

Names in here are kept; new ones may be added. A test compares them with what the commands print.
"""

from __future__ import annotations

from typing import Final

from appliance.cli.doctor_shapes import DOCTOR_SHAPES
from appliance.cli.env_shapes import ENV_SHAPES
from appliance.cli.https_shapes import HTTPS_SHAPES
from appliance.cli.upgrade_shapes import UPGRADE_SHAPES

_CHANGED: Final = """\
{"changes": [{"key": "limits.memory", "old": "1G", "new": "2G"}],
 "effects": ["servers that run get it at once"], "notes": [], "healed": "", "in_force": true}"""
_CLASS: Final = """\
{"name": "physics-7a", "title": "Physics 7a", "created": "2030-01-01T08:00:00Z", "frozen": false,
 "must_approve": true, "has_nbgrader": false, "teachers": ["ada"], "students": 24, "waiting": 0,
 "archiving": null}"""
_ARCHIVE: Final = """\
{"id": 3, "name": "physics-7a", "title": "Physics 7a", "created": "2030-07-01T08:00:00Z",
 "created_by": "ada", "state": "ready", "place": "/srv/appliance/archives/physics-7a-2030-07-01-3",
 "bytes": 80000000, "students": 24, "done": 24, "failure": null}"""
_INVITE: Final = """\
{"id": 4, "code": "blue-tree-42x7k", "class": "physics-7a", "note": "Monday group",
 "created": "2030-01-01T08:00:00Z", "created_by": "root", "expires_at": "2030-01-08T08:00:00Z",
 "uses": 3, "most_uses": 30, "works": true}"""
_HANDOUT: Final = """\
{"id": 4, "folder": "week1", "rule": "keep", "created": "2030-01-01T08:00:00Z",
 "created_by": "root", "latecomers": true, "done": 29, "waiting": 0, "failed": 1}"""
_COLLECTION: Final = """\
{"id": 2, "folder": "week1", "place": "week1-2030-01-08-0900", "created": "2030-01-08T08:00:00Z",
 "created_by": "root", "note": "", "collected": 29, "waiting": 0, "failed": 1}"""
_DONE: Final = """{"done": ["ada"], "failed": [{"name": "bob", "why": "…"}]}"""

SHAPES: Final[dict[str, str]] = {
    "status": """\
{"version": "1.0.0", "mode": "installed", "healthy": true, "fault": "", "url": "http://192.0.2.10/",
 "https": null, "signup_mode": "approval", "users": {"total": 31, "waiting": 2, "admins": 1},
 "servers": {"running": 12, "starting": 1},
 "services": [{"name": "culler", "state": "running", "why": ""}],
 "preload": {"servers": {"state": "ready", "why": ""},
             "kernels": {"state": "off", "why": "by preload.kernels"},
             "starts": {"preloaded": 30, "cold": 1,
                        "latest_cold": {"server": "ada", "reason": "…"}}},
 "memory": {"total_bytes": 0, "available_bytes": 0, "servers_bytes": 0},
 "units": {"hub": "active", "proxy": "active", "spawner": "active"},
 "configuration": {"state": "in_force", "changes": [], "problems": []},
 "findings": [{"topic": "backup", "severity": "failed", "summary": "the last backup failed",
               "why": "…", "mend": "sudo appliance backup create",
               "checked": "2030-01-01T08:00:00+00:00", "details": {}}]}

`mode` is `installed` or `trial`; `https` is how the certificate is, as in
`/var/lib/appliance/health/certificate.json`, and null without HTTPS; `users`, `servers`, `services`
and `starts` are null when the hub doesn't answer, `url` and `signup_mode` before the first
configuration; a service's `state` is
`running`, `starting`, `failed`, `unknown`, or `external` for one that somebody else runs; a preload
daemon's is `ready`, `starting`, `off`, `not_running` or `unknown`; `starts` counts from the hub's
start on, and `latest_cold` is null before the first cold one;
`configuration.state` is `in_force`, `differs`, `wrong`, `interrupted` or `unknown`.""",
    "logs": """{"name": "hub", "lines": ["…"]}""",
    "audit": """\
[{"time": "2030-01-01T08:00:00.000000Z", "actor": {"kind": "user", "name": "ada", "token": "a7"},
  "address": "192.0.2.7", "action": "user.approve", "targets": ["bob"], "outcome": "done",
  "details": {}}]

Oldest first. docs/operating.md has the actions.""",
    "version": """{"version": "1.0.0"}""",
    "config show": """\
{"settings": {"http.port": 80, "limits.memory": 1073741824, "signup.code": null},
 "set": ["http.port"]}

Sizes are bytes, times seconds; a secret that is set is "(secret)" unless --secrets is given.""",
    "config get": """\
{"key": "limits.memory", "value": 1073741824, "default": 1073741824, "set": false}

Of a group: {"limits.memory": 1073741824, "limits.cpu": null, "limits.tasks": 512}""",
    "config set": _CHANGED,
    "config unset": _CHANGED,
    "config add": _CHANGED,
    "config remove": _CHANGED,
    "config edit": _CHANGED,
    "config reload": f"""{_CHANGED}

With --render-only: {{"written": ["/var/lib/appliance/rendered/hub.json"]}}""",
    "config explain": """\
{"key": "limits.memory", "description": "…", "expected": "a size such as 512M …",
 "default": 1073741824, "example": "2G", "on_change": ["servers that run get it at once"],
 "value": 1073741824}

Of a group, or without a name: a list of them, without `value`.""",
    "config check": """\
{"file": "/etc/appliance/config.yaml", "in_force": false,
 "changes": [{"key": "limits.memory", "old": "1G", "new": "2G"}], "effects": ["…"],
 "notes": []}""",
    "limits show": """\
{"limits": {"memory": {"value": 402653184, "source": "machine", "name": null, "on_page": false}},
 "given": {}, "most": {"memory": 4294967296, "cpu": 4, "tasks": 4096}}

`source` is `user`, `group`, `default` or `machine`, `name` the user's or group's; `given` has what
was set on a page, `most` what can be. Sizes are bytes, `value` is null where there is no limit.""",
    "limits suggest": """\
{"machine": {"memory": 8589934592, "cores": 4}, "class_size": 30, "memory": 671088640,
 "share": 243366000, "typical": 268435456, "room_for": 27,
 "measured": {"servers": 24, "median": 180000000, "largest": 640000000},
 "settings": {"limits.class_size": 30, "limits.memory": null}}

Sizes are bytes; `measured` is null while fewer than five servers run, a setting of null means its
default.""",
    "user import": """\
{"created": [{"name": "anna.ek", "full_name": "Anna Ek", "password": "kemo-ruda-nifa-besu"}],
 "joined": ["bob"], "here": ["ada"], "wrong": [{"line": 7, "why": "the name is taken"}],
 "skipped": [{"name": "eve", "why": "…"}], "file": null}

With --output, `password` is null. With --dry-run:
{"columns": ["name", "email", ""], "counts": {"new": 1, "join": 0, "here": 0, "wrong": 0,
 "left_out": 1}, "rows": [{"line": 2, "state": "new", "name": "anna.ek", "typed": "",
 "full_name": "Anna Ek", "email": "", "language": "", "class_name": "math", "new_class": false,
 "why": "", "mend": "", "note": ""}]}""",
    "user export": """\
[{"user_name": "anna.ek", "full_name": "Anna Ek", "email": "", "class": "math", "language": "",
  "state": "active", "last_seen": ""}]""",
    "user list": """\
[{"name": "ada", "admin": true, "roles": ["admin"], "full_name": "", "state": "active",
  "has_password": true, "servers": [""], "created": "2030-01-01T08:00:00Z",
  "last_activity": null}]

`state` is `active`, `waiting` or `locked`; the default server's name is "".""",
    "user add": """\
{"created": [{"name": "ada", "password": "…"}], "skipped": [{"name": "Ä", "why": "…"}],
 "file": null}

`password` is null without --generate, and with --output, when it is in the file.""",
    "user remove": _DONE,
    "user rename": """{"name": "grace"}""",
    "user approve": _DONE,
    "user lock": _DONE,
    "user unlock": _DONE,
    "user admin": _DONE,
    "user passwd": """{"name": "ada", "password": null}""",
    "user link": """\
{"name": "ada", "url": "http://192.0.2.10/hub/setup?token=…",
 "expires_at": "2030-01-01T08:00:00Z"}""",
    "user reset-factors": """{"name": "ada"}""",
    "user allow-tries": """{"name": "ada"}""",
    "user sessions": """\
[{"id": "12", "device": "Firefox on Windows", "address": "192.0.2.7",
  "created": "2030-01-01T08:00:00Z", "last_seen": "2030-01-01T09:30:00Z"}]

With --end: {"ended": 2}""",
    "backup create": """\
{"name": "2030-01-31T03-00-05Z", "path": "/mnt/backups/2030-01-31T03-00-05Z",
 "created": "2030-01-31T03:00:05+00:00", "bytes": 80000000, "scheduled": false, "homes": true,
 "encrypted": false, "host": "hub", "version": "1.0.0", "verified": true,
 "notes": [{"part": "home-nb-ada", "count": 1, "lines": ["./log: file changed as we read it"]}],
 "left_out": [{"part": "home-nb-bob", "count": 1,
               "notes": ["'./dev/null': a device, which isn't in the backup"]}]}

`notes` has those of `left_out`, too, unless the backup is encrypted.""",
    "backup list": """\
[{"name": "2030-01-31T03-00-05Z", "path": "/mnt/backups/2030-01-31T03-00-05Z",
  "created": "2030-01-31T03:00:05+00:00", "bytes": 80000000, "scheduled": true, "homes": true,
  "encrypted": false, "host": "hub", "version": "1.0.0"}]""",
    "backup verify": """\
{"name": "2030-01-31T03-00-05Z", "sound": true, "bytes": 80000000, "files": 4200, "opened": true,
 "restored": false}

`opened` is false if it is encrypted and no key was given: then the stored bytes were compared.""",
    "backup remove": """{"removed": ["2030-01-31T03-00-05Z"]}""",
    "backup passphrase": """{"set": true, "passphrase": "…"}

`passphrase` is there with `--generate`.""",
    "restore": """\
{"name": "2030-01-31T03-00-05Z", "created": "2030-01-31T03:00:05+00:00", "accounts": 31,
 "brought_back": ["hub", "settings", "home-nb-ada"], "staying": ["home-nb-bob"],
 "stopped_servers": 2, "conflicts": [], "notes": ["…"]}

With `--user`: `{"user": "ada", "folder": "/home/nb-ada/restored-…"}`; with `--only-settings`:
`{"changes": ["limits.memory"]}`; with `--undo`: `{"undone": "…"}`.""",
    "notices test": """\
{"mail": {"sent_to": ["ada@example.org"], "failure": ""}, "webhook": {"sent": true, "failure": ""}}

A way that isn't set is null.""",
    "mail test": """{"sent_to": "ada@example.org"}""",
    "mail status": """\
{"set_up": true, "failure": {"at": "2030-01-01T08:00:00Z", "why": "it doesn't answer"}}

`failure` is null once a mail was sent again.""",
    "class list": f"[{_CLASS}]",
    "class show": _CLASS,
    "class change": _CLASS,
    "class add": f"""\
{{"class": {_CLASS},
 "created": [{{"name": "ada", "password": "…"}}]}}

`created` has the teacher's account, if it is new.""",
    "class teacher": """{"name": "ada", "password": null}""",
    "class invite": f"""\
{_INVITE}

`url` is there besides: the link with the code.""",
    "class invites": f"[{_INVITE}]",
    "class uninvite": """{"removed": 4}""",
    "class take-out": """{"taken_out": ["bob"]}""",
    "class exam": """\
{"begins": "2030-06-01T08:00:00.000000Z", "ends": "2030-06-01T10:00:00.000000Z",
 "set_by": "ada", "is_now": true, "waits_for": []}""",
    "class keep": """\
{"kept_until": "2030-06-01T20:00:00.000000Z", "kept_by": "ada", "kept_for_class": "physics-7a"}""",
    "isolation test": """\
{"passed": true,
 "attempts": [{"name": "home: read", "what": "read a file in the neighbour's home",
               "expected": "refused", "happened": "refused (EACCES)", "verdict": "ok"}]}

A verdict is ok, failed, or open (possible, and documented as such).""",
    "class remove": """{"removed": "physics-7a"}""",
    "class archive": _ARCHIVE,
    "class archives": f"[{_ARCHIVE}]",
    "class restore": """\
{"created": [{"name": "bob", "password": "…"}], "skipped": []}""",
    "class remove-archive": """{"removed": 3}""",
    "class materials": f"""\
{{"folder": "physics-7a", "handouts": [{_HANDOUT}],
 "collections": [{_COLLECTION}]}}""",
    "class hand-out": f"""\
{_HANDOUT}

`people` is there besides: by name a `state` (done or failed), and figures or `why`.""",
    "class collect": f"""\
{_COLLECTION}

`people` is there besides: by name a `state` (collected or failed), and figures or `why`.""",
    "class say": """{"to": "physics-7a", "hours": 12}""",
    "say": """{"to": null, "hours": 12}

`to` is the user with --user.""",
    "class nbgrader": """{"on": true, "version": "0.9.6", "course": "physics-7a"}""",
    "token add": """\
{"id": "a7", "note": "grading", "scopes": ["read:users!user=ada"],
 "created": "2030-01-01T08:00:00Z", "last_activity": null, "expires_at": "2030-01-31T08:00:00Z",
 "token": "…"}""",
    "token list": """\
[{"id": "a7", "note": "grading", "scopes": ["read:users!user=ada"],
  "created": "2030-01-01T08:00:00Z", "last_activity": null, "expires_at": null}]""",
    "token revoke": """{"revoked": ["a7"]}""",
    "server list": """\
[{"user": "ada", "server": "", "ready": true, "started": "2030-01-01T08:00:00Z",
  "last_activity": "2030-01-01T08:10:00Z", "memory_bytes": 100000000,
  "memory_limit_bytes": 1073741824, "cpu_seconds": 2.5, "tasks": 9}]""",
    "server start": """{"server": "ada", "state": "ready"}""",
    "server stop": """{"stopped": ["ada"]}""",
    "disk status": """\
{"file_systems": [{"place": "/home", "kind": "xfs", "size": 2000000000000, "free": 900000000000,
                   "percent": 55, "files_percent": 2, "quota": "enforced", "holds": ["homes"]}],
 "biggest": [{"name": "ada", "bytes": 1200000000, "limit_bytes": 5368709120, "files": 4100,
              "files_limit": null, "percent": 23, "enforced": true, "complete": true}],
 "measured": 1900000000.5}

`quota` is `enforced`, `counted`, or says why there are none; `measured` is in seconds since 1970,
or null; with `complete` false it is at least that much.""",
    "disk usage": """\
{"users": [{"name": "ada", "bytes": 1200000000, "limit_bytes": 5368709120, "files": 4100,
            "files_limit": null, "percent": 23, "enforced": true, "complete": true}],
 "classes": [], "measured": 1900000000.5}""",
    "disk apply": """{"problems": []}""",
    "disk prepare": """\
{"file_systems": [{"place": "/", "kind": "ext4", "state": "steps", "says": "…",
                   "steps": [{"does": "…", "command": ["quotaon", "-u", "/"], "options": []}],
                   "by_hand": []}]}

`state` is `ready`, `steps` or `by-hand`.""",
    **ENV_SHAPES,
    **DOCTOR_SHAPES,
    **HTTPS_SHAPES,
    **UPGRADE_SHAPES,
}
