"""The single-user server: jupyter_server behind the hub's log-in, on a socket its spawner made.

It runs in the user environment as `python -I -m appliance.singleuser` and stands alone: nothing of
the rest of the appliance is imported, because the hub's environment isn't there. What it speaks
with the hub is JupyterHub's own protocol (OAuth code flow, `GET /user`, activity).
"""
