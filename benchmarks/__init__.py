"""Ours and the peer stack side by side in one machine: `python3 -m benchmarks`, see README.md.

Standard library only, so that it runs from a checkout without an environment.
"""
