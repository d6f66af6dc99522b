"""Servers and kernels forked from processes that have loaded everything already.

This package lives in the users' environment. Two root daemons (`python -m appliance.preload server`
and `… kernel`) import what a server or a kernel needs, and on request fork a child into the unit of
whoever asks. It stands on the standard library, on what Jupyter brings along, and for the server on
`appliance.singleuser`; it imports nothing else of the appliance.

A request is a process of a user's unit that asks; to start cold is to start the ordinary way,
with all imports, which is what happens whenever anything is odd.
"""
