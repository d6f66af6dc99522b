# mypy: ignore-errors
# The peer stack, configured as the documentation of its parts says; read by JupyterHub, not by us.
import pathlib
import sys

import nativeauthenticator

c = get_config()  # noqa: F821
scripts = pathlib.Path(sys.executable).parent
c.JupyterHub.bind_url = "http://127.0.0.1:18000"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:18081"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:18001"

c.JupyterHub.authenticator_class = "native"
c.JupyterHub.template_paths = [f"{pathlib.Path(nativeauthenticator.__file__).parent}/templates/"]
c.NativeAuthenticator.open_signup = True
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"peeradmin"}

c.JupyterHub.spawner_class = "systemd"
c.SystemdSpawner.mem_limit = "1G"
c.SystemdSpawner.cpu_limit = 2.0
c.SystemdSpawner.cmd = [f"{scripts}/jupyterhub-singleuser"]
c.SystemdSpawner.extra_paths = [str(scripts)]
# Generous, so that a busy machine makes a figure worse and not a failure.
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300

c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    },
    {"name": "benchmark", "api_token": pathlib.Path("/srv/peer/token").read_text(), "admin": True},
]
