"""Single-user servers as child processes, for trial mode: no root, no systemd, and so no limits.

Every server runs as whoever started the appliance and can read what that person can; nothing holds
its memory or CPU. Children end with the hub.
"""
