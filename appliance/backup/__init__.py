"""Backups: everything that a new machine needs to be this one, and bringing it back.

A backup is a folder of ordinary files, so that nothing of ours is needed to get at what is in it:
tar archives packed by gzip, a copy of the database, a manifest, `SHA256SUMS` for sha256sum(1), and
if it is encrypted, each of them in the format of age.
"""
