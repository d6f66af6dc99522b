"""Servers and kernels forked from processes that have loaded everything already.

This package lives in the users' environment. Two root daemons (`python -m appliance.preload server`
and `… kernel`) import what a server or a kernel needs, and on request fork a child into the unit of
whoever asks. It stands on the standard library, on what Jupyter brings along, and for the server on
`appliance.singleuser`; it imports nothing else of the appliance.

A request is a process of a user's unit that asks; to start cold is to start the ordinary way,
with all imports, which is what happens whenever anything is odd.

Who asks, as the user:
    client          the first process of a server's unit, and the protocol
    provisioner     the same for kernels, inside a user's server

Before a daemon imports anything, by the system's Python:
    options         is it wanted, and with which packages
    import_path     can only root change what will be imported, and has it changed
    import_guard    the same for what is imported from elsewhere, by then in the daemon

The daemon, as root:
    __main__        puts the others together
    daemon          listens, counts, forks
    peer            who asks, and what confines that process
    confinement     becoming a process like that; with seccomp (filters), linux (system calls)
    child           the steps after the fork; the last ones as the user, whose request it reads then

The templates, which is what is forked:
    server          loads and runs servers; server_rehearsal starts one for nobody,
                    server_residue looks at what that left, server_identity makes it the user's,
                    server_proxies has JupyterLab read the user's proxy
    kernel          loads and runs kernels; kernel_rehearsal starts one for nobody (probe tries it
                    in a child first, put_back undoes what it set), kernel_refusals says which must
                    start cold, kernel_interpreter makes up for Python's start, kernel_packages and
                    kernel_matplotlib for what packages have read
    process_notes   for both: what the standard library notes about a process
    authorities     for both: whether packages have chosen whom to trust
    packing, side_by_side
                    memory: what keeps pages shared after the fork
"""
