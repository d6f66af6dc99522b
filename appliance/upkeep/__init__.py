"""The root's regular work, every quarter of an hour: `appliance-upkeep.timer` runs `__main__.py`.

Each chore is a small module beside this one or in the package that it belongs to, listed in
`chores.py`. A chore that fails is logged, and the others go on.
"""
