"""What people keep on the machine's disks: quotas where the file system can, else measuring.

Two small programs of root's do it, each in a unit of its own: `appliance-quota.service` sets limits
when an account is made or the settings change, `appliance-disk.service` measures what everybody
uses and writes it down for the hub. The spawner daemon has no part in it: setting quotas needs more
power than making accounts.
"""
