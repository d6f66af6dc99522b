"""The spawner daemon without systemd, and both spawners as the hub uses them."""
