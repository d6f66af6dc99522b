"""Certificates for HTTPS: getting, renewing, judging them, and switching HTTPS on and off.

`orders.py` asks an ACME server such as Let's Encrypt, after `preflight.py` has looked for what
would go wrong; `own_ca.py` is an authority of our own. `renewing.py` decides when it is time for a
new one, `state.py` says how things are, `chore.py` does both in the regular upkeep. `switching.py`
changes the settings, `snippets.py` has what a web server in front needs. What nginx reads is made
in `appliance/proxy/served.py`. Root's programs alone import this, never the hub.
"""
