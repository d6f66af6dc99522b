"""Python packages for everybody's notebooks, and further environments that are kernels.

An environment is never changed: a new directory is made beside it out of links to the same files,
packages are added to or taken from that, it is seen to work, and one rename puts it in force. What
runs keeps what it was started with. The last few are kept, so that one can go back.

**asked for** is what a person named, in a file of requirements below /etc/appliance; **locked** are
the versions that were chosen for it and for what came along. Both are enough to make the
environment anew. **pinned** is what the appliance needs itself, which nothing may move.
"""
