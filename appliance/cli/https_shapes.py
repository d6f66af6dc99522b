"""What `--json` prints for the commands below `appliance https`; shapes.py has the others."""

from __future__ import annotations

from typing import Final

_STATE: Final = """\
"mode": "letsencrypt", "names": ["hub.school.example"],
 "certificate_names": ["hub.school.example"], "issuer": "Let's Encrypt",
 "starts": "2030-01-01T08:00:00+00:00", "expires": "2030-04-01T08:00:00+00:00",
 "renews": "2030-03-02T08:00:00+00:00", "sha256": "AB:CD:…", "notes": [], "failed_tries": 0,
 "last_try": null, "next_try": null, "why": "", "authority_expires": null"""
_SWITCHED: Final = f"""\
{{{_STATE},
 "changes": [{{"key": "https.mode", "old": "off", "new": "letsencrypt"}}],
 "url": "https://hub.school.example/", "in_force": true}}"""
_PLAIN: Final = "What is of a certificate is null while there is none."

HTTPS_SHAPES: Final[dict[str, str]] = {
    "https letsencrypt": _SWITCHED,
    "https files": _SWITCHED,
    "https own-ca": _SWITCHED,
    "https off": f"{_SWITCHED}\n\n{_PLAIN}",
    "https renew": f"""{{{_STATE},\n "changed": true}}""",
    "https ca": """\
{"file": "/var/lib/appliance/certificates/ca.crt", "sha256": "AB:CD:…", "names": ["hub.lan"],
 "expires": "2040-01-01T08:00:00+00:00", "url": "http://hub.lan/hub/ca.crt"}""",
    "https status": f"""\
{{{_STATE},
 "addresses": ["https://hub.school.example/"], "redirect": true, "hsts_seconds": null,
 "severity": "ok", "summary": "the certificate is good until 2030-04-01", "mend": ""}}

`severity` is `ok`, `warning` or `failed`, and null for plain HTTP. {_PLAIN}""",
    "https behind": """\
{"snippet": "…", "settings": {"http.trusted_proxies": "192.0.2.10"},
 "commands": ["sudo appliance config set http.trusted_proxies 192.0.2.10"]}""",
}
