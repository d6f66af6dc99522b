"""Finding out what is wrong, by going a user's way through all layers and looking at the machine.

`walk.py` goes from the browser to a running cell and names the first layer that is broken;
`machine.py`, `settings.py`, `accounts.py` and `advisories.py` look at what is around it.
"""
